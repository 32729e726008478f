// xs.sim: simulated domains.

internal import Bytes
internal import Format
internal import Jobs
internal import Live
internal import LuaRuntime
internal import PolicyEngine
internal import SimDomain
internal import Stream
internal import SystemIO

extension ShellContext {
  private static let optionNames = [
    "pages", "memory_mib", "from", "blank", "guest", "name", "vcpus", "seed", "workload",
    "repeating", "link", "real_time", "suspend_ms", "filled", "holes",
  ]

  /// The table `xs.sim`, pushed: it can be called.
  func pushSimModule() {
    let frame = state.frame
    frame.pushTable()
    state.declareTop(
      LuaDeclaration(
        .module, owner: "", "xs.sim", "",
        "Simulated domains, which need no Xen, and replays of recorded saves. `xs.sim { ... }` is "
          + "short for xs.sim.domain { ... }."))
    state.addFunctions(replayFunctions + simFunctions)
    frame.pushTable()
    frame.push(function: "xs.sim") { [unowned self] frame in
      try self.makeSimulated(frame, 2)
    }
    frame.setField("__call")
    frame.setMetatable()
  }

  private var simFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs.sim", "domain", "(options?: table): Domain?, Error?",
        "Makes a simulated domain and starts it. Options: pages or memory_mib (16 MiB as a rule), "
          + "guest (\"x86_hvm\"; \"x86_pv\" only with from or blank), from (an image that it is "
          + "restored from), blank (waits for dom:restore), name, vcpus, seed, filled (of 100 pages, "
          + "how many have contents: 75), holes (list of { first, last } without pages), suspend_ms "
          + "(that the guest takes to stand still: 1), link (\"10G\": how fast its virtual time lets "
          + "saves write) or real_time = true, workload (list of phases, each with seconds, "
          + "writes_per_s, hot_pages, hot_percent, zero_percent, burst_writes, burst_ms) and "
          + "repeating (true: the first phase follows the last).",
        example: "local dom <close> = xs.sim.domain { workload = { { writes_per_s = 50000 } } }"
      ) { [unowned self] frame in try self.makeSimulated(frame, 1) }
    ]
  }

  private func makeSimulated(_ frame: LuaFrame, _ index: Int) throws -> Int32 {
    let options = try OptionTable(frame, index, "sim", ShellContext.optionNames)
    var configuration = SimDomain.Configuration(frameCount: 4096)
    if let pages = try options.integer("pages", 1...1 << 28) { configuration.frameCount = pages }
    if let mib = try options.integer("memory_mib", 1...1 << 20) {
      configuration.frameCount = mib * 256
    }
    configuration.id = backends.simulated.nextID
    configuration.name = try options.string("name") ?? "sim\(configuration.id)"
    if let vcpus = try options.integer("vcpus", 1...128) { configuration.vcpuCount = vcpus }
    if let seed = try options.integer("seed", Int64.min...Int64.max) {
      configuration.seed = UInt64(bitPattern: Int64(seed))
    }
    if let filled = try options.integer("filled", 0...100) { configuration.filledPercent = filled }
    if let time = try options.milliseconds("suspend_ms") { configuration.suspendTime = time }
    if let word = try options.string("link") {
      guard let speed = Backtest.link(word) else {
        throw LuaError("sim: link: expected bits a second such as \"10G\", got '\(word)'")
      }
      configuration.clock = .virtual(bytesPerSecond: speed)
    }
    if try options.flag("real_time", false) { configuration.clock = .real }
    configuration.holes = try holes(options, configuration.frameCount)
    configuration.workload = try workload(options)
    let guest = try options.string("guest")
    if let guest {
      guard ["x86_hvm", "x86_pv"].contains(guest) else {
        throw LuaError("sim: guest: expected \"x86_hvm\" or \"x86_pv\", got '\(guest)'")
      }
      configuration.guest = guest == "x86_pv" ? .x86PV : .x86HVM
    }
    let path = try options.string("from")
    let isBlank = try options.flag("blank", false)
    if path == nil, !isBlank, configuration.guest == .x86PV {
      throw LuaError("sim: a PV domain comes from an image: give one in `from`")
    }
    return try returning(frame) {
      let domain: SimDomain
      if let path {
        let image: Source
        do { image = try Source(image: path) } catch {
          return try frame.fail(error)
        }
        if guest == nil, let found = image.guestType() { configuration.guest = found }
        domain = try SimDomain(restoring: image, configuration)
      } else if isBlank {
        domain = try SimDomain(blank: configuration)
      } else {
        domain = try SimDomain(configuration)
      }
      backends.simulated.add(domain)
      let summary = try backends.simulated.list().first { $0.id == configuration.id }
      guard let summary else { throw XensaveError(.info, 3, "no such domain") }
      frame.push(object: LuaDomain(summary, domain, self))
      return 1
    }
  }

  private func holes(
    _ options: OptionTable, _ frameCount: Int
  ) throws -> [Range<Int>] {
    try options.with("holes") {
      guard case .list(let list)? = try options.frame.value(-1) else {
        throw LuaError("sim: holes: expected a list of { first, last }")
      }
      var out: [Range<Int>] = []
      for item in list {
        guard case .list(let pair) = item, pair.count == 2, case .integer(let first) = pair[0],
          case .integer(let last) = pair[1], first >= 0, last >= first, last < Int64(frameCount)
        else { throw LuaError("sim: holes: expected { first, last } below \(frameCount)") }
        out.append(Int(first)..<Int(last) + 1)
      }
      return out
    } ?? []
  }

  private static let phaseNames = [
    "seconds", "writes_per_s", "hot_pages", "hot_percent", "zero_percent", "burst_writes",
    "burst_ms",
  ]

  private func workload(_ options: OptionTable) throws -> Workload {
    let isRepeating = try options.flag("repeating", true)
    let phases = try options.with("workload") { () -> [Workload.Phase] in
      let value = try options.frame.value(-1)
      if value == .table([]) { return [] }
      guard case .list(let list)? = value else {
        throw LuaError("sim: workload: expected a list of phases (tables)")
      }
      var out: [Workload.Phase] = []
      for item in list { out.append(try phase(item)) }
      return out
    }
    return Workload(phases ?? [], isRepeating: isRepeating)
  }

  private func phase(_ value: LuaValue) throws -> Workload.Phase {
    guard case .table(let fields) = value else {
      throw LuaError("sim: workload: expected a phase such as { writes_per_s = 1000 }")
    }
    var phase = Workload.Phase()
    for (name, value) in fields {
      let amount: Double
      switch value {
      case .integer(let value): amount = Double(value)
      case .number(let value): amount = value
      default: throw LuaError("sim: workload: \(name): expected a number")
      }
      guard amount >= 0, amount <= 1e9 else {
        throw LuaError("sim: workload: \(name): expected a number from 0 to 1e9, got \(amount)")
      }
      switch name {
      case "seconds": phase.duration = max(1, UInt64(amount * 1e9))
      case "writes_per_s": phase.writesPerSecond = UInt64(amount)
      case "hot_pages": phase.hotPageCount = Int(amount)
      case "hot_percent": phase.hotPercent = min(100, Int(amount))
      case "zero_percent": phase.zeroPercent = min(100, Int(amount))
      case "burst_writes": phase.burstWrites = Int(amount)
      case "burst_ms": phase.burstInterval = UInt64(amount * 1e6)
      default:
        throw LuaError(
          "sim: a phase has no '\(name)'" + didYouMean(name, among: ShellContext.phaseNames))
      }
    }
    return phase
  }
}

extension Source {
  /// The type of the guest in an image that is a file; nil where that cannot be told.
  fileprivate func guestType() -> GuestType? {
    guard isFile, let copy = try? duplicate() else { return nil }
    var reader = StreamReader(copy)
    while let part = try? reader.next() {
      // The outer layers have headers and records before it.
      guard case .header(let header) = part else { continue }
      if header.kind == .domain {
        return header.unsigned("type") == UInt64(GuestType.x86PV.rawValue) ? .x86PV : .x86HVM
      }
    }
    return nil
  }
}

extension LuaDomain {
  /// What only simulated domains can do.
  static var simulation: [LuaMember<LuaDomain>] {
    [
      .method(
        "run", "(seconds: number)", "Simulated domains: lets time pass; the guest works.",
        example: "dom:run(0.5)"
      ) { domain, frame in
        let simulated = try domain.simulated()
        guard frame.type(2) == .number, frame.number(2) >= 0, frame.number(2) < 1e9 else {
          throw frame.argumentError(2, "expected seconds")
        }
        domain.runs()
        simulated.clock.advance(by: UInt64(frame.number(2) * 1e9))
        simulated.catchUp()
        return 0
      },
      .method(
        "write", "(pfn: integer, offset: integer, bytes: string)",
        "Simulated domains: writes to a page as the guest would."
      ) { domain, frame in
        let simulated = try domain.simulated()
        let limit = Int64(simulated.configuration.frameCount) - 1
        let pfn = try frame.integer(2, in: 0...limit)
        let offset = try frame.integer(3, in: 0...Int64(pageByteCount))
        let bytes = try frame.bytes(4)
        guard simulated.hasPage(pfn), offset + bytes.count <= pageByteCount else {
          throw LuaError("pfn \(UInt64(pfn).hex()): no such page, or it is too short for that")
        }
        domain.runs()
        simulated.write(pfn, at: offset, bytes)
        return 0
      },
      .method(
        "balloon", "(pfn: integer, has_page: boolean)",
        "Simulated domains: takes a page away, or gives it one."
      ) { domain, frame in
        let simulated = try domain.simulated()
        let limit = Int64(simulated.configuration.frameCount) - 1
        simulated.balloon(try frame.integer(2, in: 0...limit), hasPage: frame.boolean(3))
        return 0
      },
      .method(
        "fault", "(name: string, at?: integer, times?: integer, errno?: integer)",
        "Simulated domains: makes a hook fail (\"map\", \"suspend\", \"cleanLogDirty\", ...) or "
          + "something happen (\"page-vanishes\", \"unknown-type\", \"silent-suspend\", "
          + "\"short-bitmap\", \"domain-changes\", \"domain-dies\") at its `at`-th call from now (1), "
          + "`times` times (1), with an errno (5). \"none\" takes all of them back.",
        example: "dom:fault(\"map\", 3)"
      ) { domain, frame in
        let simulated = try domain.simulated()
        let name = try frame.string(2)
        if name == "none" {
          simulated.faults.disarm()
          return 0
        }
        guard let point = FaultPoint(name: name) else {
          throw LuaError(
            "no fault '\(name)'"
              + didYouMean(name, among: FaultPoint.ofSaves.map(\.description) + ["none"]))
        }
        simulated.faults.arm(
          point, at: frame.isMissing(3) ? 1 : try frame.integer(3, in: 1...Int64.max),
          times: frame.isMissing(4) ? 1 : try frame.integer(4, in: 1...Int64(Int32.max)),
          errno: frame.isMissing(5) ? 5 : Int32(try frame.integer(5, in: 0...4095)))
        return 0
      },
      .method(
        "calls", "(): table", "Simulated domains: how often each hook was called, by name.",
        example: "print(dom:calls().map)"
      ) { domain, frame in
        let calls = try domain.simulated().callCounts
        frame.push(
          LuaValue.table(
            calls.map { ($0.key.rawValue, .integer(Int64($0.value))) }.sorted { $0.0 < $1.0 }))
        return 1
      },
      .method(
        "state", "(): table",
        "Simulated domains: log_dirty, emulator_log_dirty, paused, running (whether vCPUs run), "
          + "leases (pages lent), writes (of the guest), time (seconds)."
      ) { domain, frame in
        let simulated = try domain.simulated()
        frame.push(
          LuaValue.table([
            ("log_dirty", .boolean(simulated.isLogDirtyOn)),
            ("emulator_log_dirty", .boolean(simulated.isEmulatorLogDirtyOn)),
            ("paused", .boolean(simulated.isPaused)),
            ("running", .boolean(!simulated.runningVCPUs.isEmpty && !simulated.isPaused)),
            ("leases", .integer(Int64(simulated.openLeaseCount))),
            ("writes", .integer(Int64(simulated.writeCount))),
            ("time", .number(Double(simulated.clock.now) / 1e9)),
          ]))
        return 1
      },
      .method(
        "differences", "(other: Domain): table",
        "Simulated domains: the pfns of pages that differ in contents, or that only one has (at most "
          + "1000), with count, and same_state, whether all records are the same.",
        example: "assert(dom:differences(copy).count == 0)"
      ) { domain, frame in
        let other = try frame.object(2, as: LuaDomain.self)
        let (mine, theirs) = (try domain.simulated(), try other.simulated())
        let pages = mine.differences(from: theirs)
        frame.push(
          LuaValue.table([
            ("count", .integer(Int64(pages.count))),
            ("pfns", .list(pages.prefix(1000).map { .integer(Int64($0)) })),
            ("same_state", .boolean(mine.hasSameState(as: theirs))),
          ]))
        return 1
      },
      .method("destroy", "()", "Simulated domains: ends it, and the handle.") {
        domain, _ in
        let simulated = try domain.simulated()
        domain.close()
        domain.shell?.backends.simulated.remove(simulated)
        return 0
      },
    ]
  }
}
