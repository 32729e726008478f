// The members of Domain: looking at it, and stopping and starting it.

internal import SystemIO
internal import Bytes
internal import Format
internal import Jobs
internal import Live
internal import LuaRuntime
internal import SimDomain

/// Runs `body`; what the hypervisor refuses is returned to the script as nil and an error.
func returning(
  _ frame: LuaFrame, _ body: () throws -> Int32
) throws -> Int32 {
  do { return try body() } catch { return try frame.fail(error) }
}

extension LuaDomain {
  package static var table: LuaClass<LuaDomain> {
    var table = LuaClass<LuaDomain>(
      "Domain",
      "A domain. `local dom <close> = assert(xs.domain \"web1\")`: at the end of the scope, by "
        + "whatever way, the domain is as it was found, not paused, suspended or noting dirty pages; "
        + "on Xen a second process sees to that even where the program is killed (SIGKILL). "
        + "What the hypervisor refuses is returned as nil and an error.",
      facts + control + memory + state + store + saving + simulation)
    table.index = { _, frame in
      let name = frame.text(2)
      let names = [facts, control, memory, state, store, saving, simulation].joined().map(\.name)
      throw LuaError("no member '\(name)' in Domain" + didYouMean(name, among: Array(names)))
    }
    table.toString = { "domain \($0.summary.id) (\($0.summary.name ?? "without a name"))" }
    table.close = { domain, _ in
      domain.close()
      return 0
    }
    return table
  }

  private static var facts: [LuaMember<LuaDomain>] {
    [
      .property("id", "integer", "Its number.") { domain, frame in
        frame.push(Int(domain.summary.id))
      },
      .property("name", "string?", "Its name; nil where it has none.") { domain, frame in
        frame.push(domain.summary.name.map { LuaValue.text($0) } ?? .none)
      },
      .property("uuid", "string?", "Its UUID.") { domain, frame in
        frame.push(domain.summary.uuid.map { LuaValue.text($0) } ?? .none)
      },
      .property("guest", "string", "\"x86_hvm\" (PVH too) or \"x86_pv\".") { domain, frame in
        frame.push(domain.summary.guest.name)
      },
      .method(
        "info", "(): table?, Error?",
        "What it is now: id, name, uuid, guest, max_pages, pages, vcpus (numbers of those online), "
          + "paused, suspended, shutdown (\"suspend\", \"crash\", ... or nil), xen, guest_width.",
        example: "print(dom:info().pages)"
      ) { domain, frame in
        let hypervisor = try domain.open()
        return try returning(frame) {
          let info = try hypervisor.info()
          var fields: [(name: String, value: LuaValue)] = [
            ("id", .integer(Int64(info.id))), ("guest", .text(info.guest.name)),
            ("max_pages", .integer(Int64(try domain.frameCount()))),
            ("pages", .integer(Int64(info.pageCount))),
            ("vcpus", .list(info.onlineVCPUs.map { .integer(Int64($0)) })),
            ("paused", .boolean(info.isPaused)), ("suspended", .boolean(info.isSuspended)),
            ("xen", .text("\(info.xenMajor).\(info.xenMinor)")),
            ("guest_width", .integer(Int64(info.guestWidth))),
          ]
          if let name = domain.summary.name { fields.append(("name", .text(name))) }
          if let uuid = domain.summary.uuid { fields.append(("uuid", .text(uuid))) }
          if let shutdown = info.shutdown { fields.append(("shutdown", .text("\(shutdown)"))) }
          frame.push(LuaValue.table(fields))
          return 1
        }
      },
      .property(
        "linux", "Linux",
        "What its Linux guest is doing. The domain must be paused or suspended, and stay so: once it has "
          + "run, what was given before raises an error. Raises one where there is no Linux, and for PV "
          + "domains on Xen.",
        example: "assert(dom:pause()) for _, task in ipairs(dom.linux:tasks()) do print(task) end"
      ) { domain, frame in frame.push(object: try domain.linux()) },
      .method("close", "()", "Ends the handle: the domain is as it was found.") { domain, _ in
        domain.close()
        return 0
      },
    ]
  }

  private static func simple(
    _ name: String, _ doc: String, _ body: @escaping (LuaDomain) throws -> Void
  ) -> LuaMember<LuaDomain> {
    .method(name, "(): boolean?, Error?", doc) { domain, frame in
      _ = try domain.open()
      return try returning(frame) {
        try body(domain)
        frame.push(true)
        return 1
      }
    }
  }

  private static var control: [LuaMember<LuaDomain>] {
    [
      simple("pause", "Stops its vCPUs where they are.") { domain in
        try domain.pause()
      },
      simple("unpause", "Lets its vCPUs continue.") { domain in
        try domain.unpause()
      },
      simple("suspend", "Asks the guest to stand still, and waits for it.") {
        domain in try domain.suspend()
      },
      simple("resume", "Lets a suspended domain run on.") { domain in
        try domain.resume()
      },
      simple("enable_log_dirty", "Begins to note which pages are written to.") {
        domain in try domain.enableLogDirty()
      },
      simple("disable_log_dirty", "Stops noting them.") { domain in
        try domain.disableLogDirty()
      },
      dirty(
        "clean_log_dirty",
        "The pages written to since the last call, which are forgotten (where nobody has them noted: none "
          + "on Xen, an error from a simulated domain)",
        "local dirty = assert(dom:clean_log_dirty())"
      ) { domain, bitmap in
        try domain.cleanLogDirty(into: &bitmap, isFinal: false)
      },
      dirty("peek_log_dirty", "The same pages, which are not forgotten", "") {
        domain, bitmap in try domain.peekLogDirty(into: &bitmap)
      },
    ]
  }

  private static func dirty(
    _ name: String, _ doc: String, _ example: String,
    _ read: @escaping (any ManagedDomain, inout PageBitmap) throws -> LogDirtyCounts
  ) -> LuaMember<LuaDomain> {
    .method(
      name, "(): table?, Error?",
      doc + ": a table of count, and ranges, a list of { first, last } of pfns.", example: example
    ) { domain, frame in
      let hypervisor = try domain.open()
      return try returning(frame) {
        var bitmap = PageBitmap(count: try domain.frameCount())
        let counts = try read(hypervisor, &bitmap)
        var ranges: [ClosedRange<Int>] = []
        bitmap.forEach { page in
          if let last = ranges.last, last.upperBound == page - 1 {
            ranges[ranges.count - 1] = last.lowerBound...page
          } else {
            ranges.append(page...page)
          }
        }
        frame.push(
          LuaValue.table([
            ("count", .integer(Int64(counts.dirtyCount))),
            (
              "ranges",
              .list(
                ranges.map {
                  .list([.integer(Int64($0.lowerBound)), .integer(Int64($0.upperBound))])
                })
            ),
          ]))
        return 1
      }
    }
  }

  private static var memory: [LuaMember<LuaDomain>] {
    [
      .method(
        "memory_map", "(): table[]?, Error?",
        "What is where: runs of pages of one type, each a table of first, last (pfns), count and "
          + "type (\"NOTAB\", \"L1TAB\", \"XTAB\" where there is none, ...).",
        example:
          "for _, run in ipairs(dom:memory_map()) do print(run.first, run.last, run.type) end"
      ) { domain, frame in
        _ = try domain.open()
        return try returning(frame) {
          var runs: [(range: ClosedRange<Int>, type: PageType)] = []
          try domain.forEachType(0..<(try domain.frameCount())) { page, type in
            if let last = runs.last, last.type == type {
              runs[runs.count - 1].range = last.range.lowerBound...page
            } else {
              runs.append((page...page, type))
            }
          }
          frame.push(
            LuaValue.list(
              runs.map { run in
                .table([
                  ("first", .integer(Int64(run.range.lowerBound))),
                  ("last", .integer(Int64(run.range.upperBound))),
                  ("count", .integer(Int64(run.range.count))), ("type", .text(run.type.name)),
                ])
              }))
          return 1
        }
      },
      .method(
        "page_types", "(first: integer, count?: integer): string[]?, Error?",
        "The types of pages, from a pfn on.",
        example: "print(dom:page_types(0x10)[1])"
      ) { domain, frame in
        let first = try frame.integer(2, in: 0...1 << 40)
        let count = frame.isMissing(3) ? 1 : try frame.integer(3, in: 0...1 << 20)
        _ = try domain.open()
        return try returning(frame) {
          let limit = try domain.frameCount()
          var names: [LuaValue] = []
          try domain.forEachType(min(first, limit)..<min(first + count, limit)) { _, type in
            names.append(.text(type.name))
          }
          frame.push(LuaValue.list(names))
          return 1
        }
      },
      .method(
        "page", "(pfn: integer): View?, Error?",
        "A page's bytes, mapped: what the guest writes shows. Valid until the next call of a method "
          + "of this domain.",
        example: "print(dom:page(0x10):u32(0))"
      ) { domain, frame in
        let pfn = UInt64(try frame.integer(2, in: 0...1 << 40))
        _ = try domain.open()
        return try returning(frame) {
          guard pfn < UInt64(try domain.frameCount()) else {
            throw XensaveError(.map, 22, "pfn \(pfn.hex()): no such page")
          }
          let pages = try domain.map([pfn])
          try frame.push(viewOf: MappedPage(pages, 0))
          return 1
        }
      },
    ]
  }

  private static var state: [LuaMember<LuaDomain>] {
    [
      .method(
        "record", "(type: string|integer, vcpu?: integer): Record?, Error?",
        "A record of its state as a save would write it; nil where it has none. Most can be had only "
          + "while the domain is paused or suspended. PV guests have X86_PV_VCPU_BASIC and its like "
          + "once a vCPU.",
        example: "local context = assert(dom:record \"HVM_CONTEXT\")"
      ) { domain, frame in
        let type = try recordTypes(frame, 2)[0]
        let vcpu = frame.isMissing(3) ? nil : try frame.integer(3, in: 0...65535)
        _ = try domain.open()
        return try returning(frame) {
          if let record = try domain.record(type, vcpu) {
            frame.push(object: record)
          } else {
            frame.pushNil()
          }
          return 1
        }
      },
      .method(
        "vcpu", "(id: integer): VCPU?, Error?",
        "The registers of a vCPU; nil where it is offline. The domain must be paused or suspended.",
        example: "print(xs.hex(dom:vcpu(0).rip))"
      ) { domain, frame in
        let id = try frame.integer(2, in: 0...65535)
        let hypervisor = try domain.open()
        return try returning(frame) {
          guard let vcpu = try domain.vcpu(id, hypervisor) else {
            frame.pushNil()
            return 1
          }
          frame.push(object: vcpu)
          return 1
        }
      },
      .method(
        "hvm_params", "(): HVMParams?, Error?",
        "The HVM parameters by name. The domain must be paused or suspended.",
        example: "print(xs.hex(dom:hvm_params().STORE_PFN))"
      ) { domain, frame in
        _ = try domain.open()
        return try returning(frame) {
          guard let record = try domain.record(.hvmParams, nil) else {
            frame.pushNil()
            return 1
          }
          frame.push(object: LuaParams(record))
          return 1
        }
      },
    ]
  }

  /// The registers of a vCPU.
  private func vcpu(_ id: Int, _ hypervisor: any ManagedDomain) throws -> LuaVCPU? {
    if summary.guest == .x86HVM {
      guard let context = try record(.hvmContext, nil) else { return nil }
      return LuaVCPUs.vcpu(nil, id, context)
    }
    guard try hypervisor.info().onlineVCPUs.contains(id),
      let basic = try record(.x86PVVCPUBasic, id)
    else { return nil }
    return LuaVCPU(nil, id, LuaVCPU.places(basic))
  }

  private static var store: [LuaMember<LuaDomain>] {
    [
      .method(
        "store_read", "(path: string): string?, Error?",
        "The value of a node of xenstore, or nil. Paths that do not begin with \"/\" are below the "
          + "domain's own.",
        example: "print(dom:store_read \"memory/target\")"
      ) { domain, frame in
        let path = try frame.string(2)
        let hypervisor = try domain.open()
        return try returning(frame) {
          let value = try hypervisor.readStore(path)
          frame.push(value.map { LuaValue.string($0) } ?? .none)
          return 1
        }
      },
      .method(
        "store_write", "(path: string, value: string): boolean?, Error?",
        "Writes a node of xenstore."
      ) { domain, frame in
        let (path, value) = (try frame.string(2), try frame.bytes(3))
        let hypervisor = try domain.open()
        return try returning(frame) {
          try hypervisor.writeStore(path, value)
          frame.push(true)
          return 1
        }
      },
      .method(
        "store_list", "(path: string): string[]?, Error?",
        "The names of the nodes below one, or nil where there is none."
      ) { domain, frame in
        let path = try frame.string(2)
        let hypervisor = try domain.open()
        return try returning(frame) {
          let names = try hypervisor.listStore(path)
          frame.push(names.map { LuaValue.list($0.map { .text($0) }) } ?? .none)
          return 1
        }
      },
      .method(
        "store_watch", "(path: string, seconds: number): string?, Error?",
        "Waits until a node at or below a path changes, for at most so long: the path of the node, "
          + "or nil."
      ) { domain, frame in
        let path = try frame.string(2)
        guard frame.type(3) == .number, frame.number(3) >= 0, frame.number(3) < 1e9 else {
          throw frame.argumentError(3, "expected seconds")
        }
        let timeout = UInt64(frame.number(3) * 1e9)
        let hypervisor = try domain.open()
        return try returning(frame) {
          let found = try hypervisor.watchStore(path, timeout: timeout)
          frame.push(found.map { LuaValue.text($0) } ?? .none)
          return 1
        }
      },
    ]
  }
}

extension ShellContext {
  var domainFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "domains", "(): table[]?, Error?",
        "The domains that there are, real and simulated: tables of id, name, uuid, guest, paused, "
          + "pages, vcpus and backend.",
        example: "for _, d in ipairs(xs.domains()) do print(d.id, d.name) end"
      ) { [unowned self] frame in
        try returning(frame) {
          let all = try self.backends.list()
          frame.push(
            LuaValue.list(
              all.map { summary, backend in
                .table([
                  ("id", .integer(Int64(summary.id))),
                  ("name", summary.name.map { .text($0) } ?? .none),
                  ("uuid", summary.uuid.map { .text($0) } ?? .none),
                  ("guest", .text(summary.guest.name)), ("paused", .boolean(summary.isPaused)),
                  ("pages", .integer(Int64(summary.pageCount))),
                  ("vcpus", .integer(Int64(summary.vcpuCount))), ("backend", .text(backend.name)),
                ])
              }))
          return 1
        }
      },
      LuaModuleFunction(
        "xs", "domain", "(which: integer|string): Domain?, Error?",
        "A domain by its number, name or UUID.",
        example: "local dom <close> = assert(xs.domain \"web1\")"
      ) { [unowned self] frame in
        guard frame.type(1) == .string || frame.type(1) == .number else {
          throw frame.argumentError(1, "expected a number, name or UUID")
        }
        let word = frame.text(1)
        return try returning(frame) {
          guard let (summary, domain) = try self.backends.open(word) else {
            return frame.fail(LuaFailure("no domain '\(word)'", code: "enoent"))
          }
          frame.push(object: LuaDomain(summary, domain, self))
          return 1
        }
      },
    ]
  }
}
