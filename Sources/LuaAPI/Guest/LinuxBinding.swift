// What a saved Linux guest's kernel says of itself: img.linux.

internal import Bytes
internal import GuestOS
package import LuaRuntime
internal import Pages
internal import Reports

extension GuestCell {
  /// The same for Lua; nil for what is not there.
  fileprivate var luaValue: LuaValue? {
    switch value {
    case .text(let text): .text(text)
    case .number(let value): .integer(value)
    case .hex(let value): .unsigned(value)
    case .flag(let flag): .boolean(flag)
    case .seconds(let seconds): .number(seconds)
    case .list(let items): .list(items.map { .text($0) })
    case .rows(let rows): .list(rows.map(GuestCell.table))
    case .none: nil
    }
  }

  fileprivate static func table(_ row: [GuestCell]) -> LuaValue {
    .table(row.compactMap { cell in cell.luaValue.map { (cell.key, $0) } })
  }
}

/// A Linux guest.
package final class LuaLinux {
  let owner: TypedOwner
  private let linux: LinuxGuest

  /// `check` throws where the guest's memory is not what it was.
  init(_ linux: LinuxGuest, check: @escaping () throws -> Void = {}) {
    self.linux = linux
    owner = TypedOwner(linux, check: check)
  }

  var guest: LinuxGuest {
    get throws {
      try owner.check()
      return linux
    }
  }

  var reports: GuestReports {
    get throws { GuestReports(try guest) }
  }

  /// Names of the kernel's variables that begin with `prefix`, at most `limit`.
  package func variables(_ prefix: String, limit: Int) -> [String] {
    linux.symbols.names(withPrefix: prefix, limit: limit)
  }

  /// A variable, where its type is known; reads no memory.
  package func variable(_ name: String) -> LuaTypedValue? {
    guard let value = try? linux.variable(name), value.type != TypeReference(0) else { return nil }
    return LuaTypedValue(owner, value)
  }

  /// Pushes rows and, where there may be more of them, why: two results.
  static func push(_ section: GuestSection, _ frame: LuaFrame) -> Int32 {
    frame.push(LuaValue.list(section.rows.map(GuestCell.table)))
    if let problem = section.problem { frame.push(problem) } else { frame.pushNil() }
    return 2
  }

  /// A method that gives rows.
  private static func rows(
    _ name: String, _ doc: String, takes parameters: String = "()", example: String = "",
    _ body: @escaping (LuaLinux, LuaFrame) throws -> GuestSection
  ) -> LuaMember<LuaLinux> {
    .method(
      name, "\(parameters): table?, (string|Error)?",
      doc + " Where there may be more of them, the second result says why.", example: example
    ) { linux, frame in
      do { return push(try body(linux, frame), frame) } catch { return try frame.fail(error) }
    }
  }

  private func push(_ tasks: Listing<LinuxTask>, _ frame: LuaFrame) -> Int32 {
    frame.pushTable()
    for (index, task) in tasks.items.enumerated() {
      frame.push(object: LuaTask(self, task))
      frame.setElement(index + 1)
    }
    if let problem = tasks.problem { frame.push(problem) } else { frame.pushNil() }
    return 2
  }

  package static var table: LuaClass<LuaLinux> {
    var table = LuaClass<LuaLinux>(
      "Linux",
      "What a Linux guest, a saved one or a domain that stands still, was doing, by what its kernel carries about itself: kallsyms, BTF and "
        + "unwind tables. Needs no file from outside.",
      properties + questions + values)
    table.toString = { "Linux \($0.linux.release)" }
    return table
  }

  private static var properties: [LuaMember<LuaLinux>] {
    [
      .property("release", "string", "The kernel's release, as uname -r says it.") {
        linux, frame in frame.push(try linux.guest.release)
      },
      .property("banner", "string", "The kernel's own line: release, compiler, build.") {
        linux, frame in frame.push(try linux.guest.banner)
      },
      .property("cpus", "integer[]", "The numbers of the CPUs that are online.") { linux, frame in
        frame.push(LuaValue.list(try linux.guest.cpus.map { .integer(Int64($0)) }))
      },
      .property("uptime", "number", "Seconds since the start, by the guest's own clock.", unit: "s")
      {
        linux, frame in
        let clock = try linux.guest.clock()
        frame.push(Double(clock.sinceBoot) / 1e9)
      },
      .property(
        "symbol", "Symbols", "The kernel's variables and functions by name.",
        example: "print(img.linux.symbol.init_task.comm)"
      ) { linux, frame in frame.push(object: LuaSymbols(linux)) },
    ]
  }

  private static var questions: [LuaMember<LuaLinux>] {
    [
      .method(
        "tasks", "(): Task[]?, (string|Error)?",
        "The processes. Where there may be more of them, the second result says why.",
        example: "for _, task in ipairs(img.linux:tasks()) do print(task.pid, task.comm) end"
      ) { linux, frame in
        do { return linux.push(try linux.guest.tasks(), frame) } catch {
          return try frame.fail(error)
        }
      },
      .method("threads", "(): Task[]?, (string|Error)?", "All threads of all processes.") {
        linux, frame in
        do { return linux.push(try linux.guest.threads(), frame) } catch {
          return try frame.fail(error)
        }
      },
      .method("task", "(pid: integer): Task?, Error?", "The task of this number.") {
        linux, frame in
        let pid = Int(try frame.integer(2, in: 0...Int64(Int32.max)))
        do {
          frame.push(object: LuaTask(linux, try linux.guest.task(pid)))
          return 1
        } catch { return try frame.fail(error) }
      },
      rows(
        "dmesg", "The kernel's log: tables of sequence, time (s), level, facility and text.",
        example: "for _, line in ipairs(img.linux:dmesg()) do print(line.time, line.text) end"
      ) { linux, _ in try linux.reports.log() },
      rows("modules", "The loaded modules: name, size, used, state, address and by.") {
        linux, _ in try linux.reports.modules()
      },
      rows("mounts", "The mounted file systems: device, type, access, number and path.") {
        linux, _ in try linux.reports.mounts()
      },
      rows(
        "blockdevs",
        "The disks and partitions: name, number (\"major:minor\"), size (bytes), access (\"ro\" or \"rw\") "
          + "and disk (that a partition is of).",
        example: "for _, d in ipairs(img.linux:blockdevs()) do print(d.name, d.size) end"
      ) { linux, _ in try linux.reports.blockDevices() },
      rows("netdevs", "The network devices: index, name, state, mtu, hardware and addresses.") {
        linux, _ in try linux.reports.netDevices()
      },
      rows(
        "sockets", "The sockets of processes: protocol, state, local, remote, pid, fd and name."
      ) { linux, _ in try linux.reports.sockets() },
      .method(
        "meminfo", "(): table?, Error?",
        "How memory is used, in bytes, by the names of /proc/meminfo.",
        example: "print(img.linux:meminfo().MemFree)"
      ) { linux, frame in
        do {
          let use = try linux.guest.memoryUse()
          frame.push(LuaValue.table(use.map { ($0.name, .unsigned($0.bytes)) }))
          return 1
        } catch { return try frame.fail(error) }
      },
      rows(
        "hung", "Tasks that wait without being interruptible for so long (120), with their stacks.",
        takes: "(seconds?: number)"
      ) { linux, frame in
        try linux.reports.hung(frame.isMissing(2) ? nil : "\(frame.number(2))")
      },
      .method(
        "owners", "(pfns: PageSet|integer[]): table[]?, (string|Error)?",
        "Where processes have these pages of the guest in their memory: a list of tables of pfn, pid, comm "
          + "and address, by process. A page without an owner is the kernel's, its page cache's, or free. "
          + "Where there may be more of them, the second result says why.",
        example: "print(img.linux:owners({ 0x1a2b })[1].comm)"
      ) { linux, frame in
        do {
          let owners = try linux.guest.owners(of: try pageSet(frame, 2))
          frame.push(
            LuaValue.list(
              owners.items.map {
                .table([
                  ("pfn", .unsigned($0.pfn)), ("pid", .integer(Int64($0.task.pid))),
                  ("comm", .text($0.task.name)), ("address", .unsigned($0.address)),
                ])
              }))
          if let problem = owners.problem { frame.push(problem) } else { frame.pushNil() }
          return 2
        } catch { return try frame.fail(error) }
      },
      rows("stack", "The stacks of the vCPUs: vcpu, pid, name, state and frames.") {
        linux, _ in try linux.reports.stacks(nil)
      },
    ]
  }

  private static var values: [LuaMember<LuaLinux>] {
    [
      .method(
        "eval", "(expression: string): any, Error?",
        "The value of an expression of C over the kernel's variables, as `xensave-lua guest IMAGE "
          + "print` takes it: a number, a string, a boolean, or a TypedValue.",
        example: "print(img.linux:eval \"per_cpu(runqueues, 0).curr->comm\")"
      ) { linux, frame in
        let text = try frame.string(2)
        do {
          try LuaTypedValue.push(linux.owner, try linux.guest.evaluate(text), frame)
          return 1
        } catch { return try frame.fail(error) }
      },
      .method(
        "cast", "(type: string, address: integer): any",
        "What is at an address, as a type of the kernel.",
        example: "local task = img.linux:cast(\"struct task_struct\", address)"
      ) { linux, frame in
        let name = try frame.string(2)
        let address = UInt64(bitPattern: try frame.integer(3))
        let type = try linux.guest.type(name)
        let place: TypedValue.Place = type.pointers > 0 ? .computed(address) : .memory(address)
        try LuaTypedValue.push(linux.owner, TypedValue(place, type), frame)
        return 1
      },
      .method(
        "location", "(address: integer): string?",
        "The function or variable that an address is in, as \"schedule+0x1f/0x40\".",
        example: "print(img.linux:location(img.vcpu[0].rip))"
      ) { linux, frame in
        let address = UInt64(bitPattern: try frame.integer(2))
        if let location = try linux.guest.location(of: address) {
          frame.push(location.description)
        } else {
          frame.pushNil()
        }
        return 1
      },
      .method(
        "read", "(address: integer, count: integer): string?, Error?",
        "Bytes of the kernel's memory, by the kernel's own addresses; at most 64 MiB."
      ) { linux, frame in
        let address = UInt64(bitPattern: try frame.integer(2))
        let count = Int(try frame.integer(3, in: 0...Int64(KernelMemory.readLimit)))
        do {
          frame.push(LuaValue.string(try linux.guest.memory.read(address, count)))
          return 1
        } catch { return try frame.fail(error) }
      },
    ]
  }
}

/// The kernel's symbols by name.
package final class LuaSymbols {
  package let linux: LuaLinux
  package init(_ linux: LuaLinux) { self.linux = linux }

  static var table: LuaClass<LuaSymbols> {
    var table = LuaClass<LuaSymbols>(
      "Symbols",
      "The kernel's variables and functions by name: a variable whose type is known is a value of it, "
        + "others are addresses; nil where there is no such name.", [])
    table.index = { symbols, frame in
      let name = try frame.string(2)
      let linux = symbols.linux
      guard let address = try linux.guest.symbols[name] else {
        frame.pushNil()
        return 1
      }
      guard let value = linux.variable(name) else {
        frame.push(LuaValue.unsigned(address))
        return 1
      }
      try LuaTypedValue.push(linux.owner, value.value, frame)
      return 1
    }
    table.length = { symbols, frame in
      frame.push(try symbols.linux.guest.symbols.count)
      return 1
    }
    return table
  }
}

/// A process or thread.
package final class LuaTask {
  let linux: LuaLinux
  let task: LinuxTask

  init(_ linux: LuaLinux, _ task: LinuxTask) {
    self.linux = linux
    self.task = task
  }

  package func structure() throws -> LuaTypedValue {
    try typed("struct task_struct", task.address)
  }

  package func addressSpace() throws -> LuaTypedValue {
    try typed("struct mm_struct", task.mm)
  }

  private func typed(_ type: String, _ address: UInt64) throws -> LuaTypedValue {
    LuaTypedValue(linux.owner, TypedValue(.memory(address), try linux.guest.type(type)))
  }

  private static func integer(
    _ name: String, _ doc: String, unit: String = "", _ get: @escaping (LinuxTask) -> UInt64
  ) -> LuaMember<LuaTask> {
    .property(name, "integer", doc, unit: unit) { task, frame in
      frame.push(LuaValue.unsigned(get(task.task)))
    }
  }

  package static var table: LuaClass<LuaTask> {
    var table = LuaClass<LuaTask>("Task", "A process of a guest, or a thread of one.", members)
    table.toString = { "task \($0.task.pid) (\($0.task.name))" }
    return table
  }

  private static var members: [LuaMember<LuaTask>] {
    [
      integer("pid", "Its number.") { UInt64(clamping: $0.pid) },
      integer("process", "The number of the process that it is a thread of.") {
        UInt64(clamping: $0.processID)
      },
      integer("ppid", "The number of the process that made it.") { UInt64(clamping: $0.parentID) },
      integer("uid", "The user that it acts as.") { UInt64($0.uid) },
      integer("rss", "Bytes of its memory that are there.", unit: "bytes") {
        $0.residentPages.multipliedSaturated(by: 4096)
      },
      integer("vsz", "Bytes of its address space.", unit: "bytes") {
        $0.virtualPages.multipliedSaturated(by: 4096)
      },
      integer("start_time", "Nanoseconds from the guest's start to its own.", unit: "ns") {
        $0.startTime
      },
      integer("address", "Where its struct task_struct is.") { $0.address },
      .property("comm", "string", "Its name, at most 15 bytes.") { task, frame in
        frame.push(task.task.name)
      },
      .property(
        "state", "string",
        "As ps(1) has it: R, S, D, T, t, X, Z, P, I; F for one that is frozen for the suspend."
      ) { task, frame in frame.push(String(task.task.state)) },
      .property("is_kernel", "boolean", "Whether it is a thread of the kernel.") { task, frame in
        frame.push(task.task.isKernelThread)
      },
      .property("cmdline", "string[]", "Its arguments; none for threads of the kernel.") {
        task, frame in
        let arguments = try task.linux.guest.arguments(of: task.task)
        frame.push(LuaValue.list(arguments.map { .text($0) }))
      },
      .property("exe", "string?", "The file that it runs; nil for threads of the kernel.") {
        task, frame in
        let path = try task.linux.guest.executable(of: task.task)
        if let path { frame.push(path) } else { frame.pushNil() }
      },
      .property("struct", "TypedValue", "Its struct task_struct.") {
        task, frame in
        frame.push(object: try task.structure())
      },
      .property(
        "mm", "TypedValue?", "Its struct mm_struct; nil for threads of the kernel.",
        example: "print(img.linux:task(1).mm.total_vm)"
      ) { task, frame in
        if task.task.mm == 0 {
          frame.pushNil()
        } else {
          frame.push(object: try task.addressSpace())
        }
      },
      .method(
        "stack", "(): table?, (string|Error)?",
        "Its calls in the kernel, the innermost first: tables of address, symbol, offset and module.",
        example: "for _, call in ipairs(img.linux:task(1):stack()) do print(call.symbol) end"
      ) { task, frame in
        do {
          let stack = try task.linux.guest.stack(of: task.task)
          frame.push(LuaValue.list(GuestReports.frames(stack).map(GuestCell.table)))
          if let problem = stack.problem { frame.push(problem) } else { frame.pushNil() }
          return 2
        } catch { return try frame.fail(error) }
      },
      rows("maps", "Its address space: start, end, rights, offset, device, inode and name.") {
        task in try task.linux.reports.maps("\(task.task.pid)")
      },
      rows("files", "Its open files: fd, position, flags and path.") {
        task in try task.linux.reports.files("\(task.task.pid)")
      },
      .method(
        "read", "(address: integer, count: integer): string?, Error?",
        "Bytes of its own memory, at most 64 MiB. Nil and an error where nothing is mapped."
      ) { task, frame in
        let address = UInt64(bitPattern: try frame.integer(2))
        let count = Int(try frame.integer(3, in: 0...Int64(KernelMemory.readLimit)))
        do {
          frame.push(
            LuaValue.string(try task.linux.guest.read(of: task.task, address, count)))
          return 1
        } catch { return try frame.fail(error) }
      },
    ]
  }

  private static func rows(
    _ name: String, _ doc: String,
    _ body: @escaping (LuaTask) throws -> GuestSection
  ) -> LuaMember<LuaTask> {
    .method(
      name, "(): table?, (string|Error)?",
      doc + " Where there may be more of them, the second result says why."
    ) { task, frame in
      do { return LuaLinux.push(try body(task), frame) } catch {
        return try frame.fail(error)
      }
    }
  }
}
