// Only a save that has suspended a domain resumes it: real domains, wherever the hypervisor fails.

import Format
import Glibc
import SystemIO
import Testing

@testable import Jobs
@testable import Live
@testable import XenDomain

@Suite(.serialized, .enabled(if: FakeXen.hasCompiler, "needs a C compiler called cc"))
struct SuspendRuleTests {
  /// As the program does it: a receiver that is gone is an error, and no signal.
  init() { ignoreWriteSignals() }

  enum Before: CaseIterable {
    case running, suspended, paused, both
    var state: [Int] { [self == .paused || self == .both ? 1 : 0, isSuspended ? 1 : 0] }
    var isSuspended: Bool { self == .suspended || self == .both }

    func prepare(_ domain: XenDomain) throws {
      if isSuspended { try domain.suspend() }
      if self == .paused || self == .both { try domain.pause() }
    }
  }

  enum Way: CaseIterable {
    case live, nonLive, checkpointed, libraryLive, libraryNonLive, libraryCheckpointed

    /// Saves; nil where it worked.
    func save(_ domain: XenDomain) throws -> XensaveError? {
      let checkpoints = DomainCheckpoints(domain) { $0 < 2 }
      let mode: Save.Mode =
        switch self {
        case .live, .libraryLive: .live(XenDefaultPolicy())
        case .nonLive, .libraryNonLive: .nonLive
        case .checkpointed, .libraryCheckpointed: .checkpointed(XenDefaultPolicy(), checkpoints)
        }
      let sink = Sink(try Descriptor.open("/dev/null", isWritable: true), path: "/dev/null")
      do {
        switch self {
        case .live, .nonLive, .checkpointed: _ = try Save(domain, to: sink, mode: mode).run()
        default:
          _ = try domain.saveByLibrary(
            to: sink, mode, isVerifying: false, TracingPolicy.Record()
          ) { _ in }
        }
      } catch { return XensaveError(error) }
      return nil
    }

    var isCheckpointed: Bool { self == .checkpointed || self == .libraryCheckpointed }
  }

  static let functions = [
    "xc_domain_getinfolist", "xc_domain_nr_gpfns", "xc_get_pfn_type_batch", "xenforeignmemory_map",
    "xc_shadow_control", "xc_logdirty_control", "xc_domain_get_tsc_info",
    "xc_domain_hvm_getcontext",
    "xc_hvm_param_get", "xc_domain_shutdown", "xc_vcpu_getinfo", "xc_cpu_policy_init",
    "xc_cpu_policy_get_domain", "xc__hypercall_buffer_alloc_pages", "xc_domain_save",
    "xc_domain_save, late", "xs_open", "xs_read", "xs_write",
  ]

  /// Each function at each of its calls, in each way, of a domain in each state.
  @Test(arguments: Way.allCases, Before.allCases) func staysAsItWas(way: Way, before: Before) throws
  {
    let xen = try FakeXen(minor: 17)
    let domain = try xen.host().domain(5)
    func state() -> [Int] { ["paused", "suspended"].map(xen.number) }
    // What the domain is like after a save that worked: a plain one leaves it suspended.
    let after = way.isCheckpointed ? before.state : [before.state[0], 1]
    var failed = 0
    for function in Self.functions {
      try before.prepare(domain)
      xen.fail(function, at: 1_000_000)
      #expect(try way.save(domain) == nil, "\(function)")
      let count = xen.number("calls")
      xen.fail("")
      #expect(state() == after, "\(function)")
      for call in 1..<count + 1 {
        if try domain.info().isSuspended { try domain.resume() }
        try domain.unpause()
        try before.prepare(domain)
        xen.fail(function, at: call)
        let error = try way.save(domain)
        xen.fail("")
        if error != nil { failed += 1 }
        #expect(state() == (error == nil ? after : before.state), "\(function), call \(call)")
      }
      if try domain.info().isSuspended { try domain.resume() }
      try domain.unpause()
      #expect(state() == [0, 0])
    }
    #expect(failed > 3)
  }

  /// A save for a script, through its pipe or file: what fails after the last byte, too.
  @Test(arguments: Before.allCases) func refusedAtTheEnd(before: Before) throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    func state() -> [Int] { ["paused", "suspended"].map(xen.number) }
    for target in [
      DomainSave.Target.command("cat > /dev/null; exit 3"), .command("exit 3"),
      .file("/nonexistent/image"),
    ] {
      for isLive in [true, false] {
        let host = try xen.host()
        let domain = try host.domain(5)
        try before.prepare(domain)
        var save = DomainSave(target: target)
        save.isLive = isLive
        #expect(throws: (any Error).self) { _ = try save.run(domain) }
        #expect(state() == before.state)
        if before.isSuspended { try domain.resume() }
        try domain.unpause()
        #expect(state() == [0, 0])
      }
    }
  }

  /// The crash guard's part: a domain that a script suspended runs again when the script is gone, though a
  /// receiver has had all of it and then refused; and one that was suspended before does not.
  @Test(arguments: [false, true]) func guardianAfterRefusal(wasSuspended: Bool) throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    if wasSuspended { try xen.host().domain(5).suspend() }
    do {
      let host = try xen.host()
      host.crashGuardWords = [Victim.program, xen.folder, "17", "guard"]
      let domain = try host.domain(5)
      try domain.suspend()
      var save = DomainSave(target: .command("cat > /dev/null; exit 3"))
      save.isLive = false
      #expect(throws: (any Error).self) { _ = try save.run(domain) }
      #expect(xen.number("suspended") == 1)
    }
    // The host is gone as if the program were: its crash guard has done what was due.
    #expect(xen.number("suspended") == (wasSuspended ? 1 : 0))
    // One that was given away stays as it is.
    do {
      let host = try xen.host()
      host.crashGuardWords = [Victim.program, xen.folder, "17", "guard"]
      let domain = try host.domain(5)
      try domain.suspend()
      var save = DomainSave(target: .command("cat > /dev/null"))
      save.isLive = false
      _ = try save.run(domain)
    }
    #expect(xen.number("suspended") == 1)
  }
}
