// What each release of Xen has: the table of functions, and calls to each release's libraries.

import CXen
import Format
import Glibc
import ImageCheck
import Live
import SimDomain
import SystemIO
import Testing
import XenDomain
import func TestKit.runShell

@Suite struct TableTests {
  /// From Xen's headers of the releases: symbol, library, releases in which it has the form, how
  /// many parameters it has then.
  static let forms: [(symbol: String, library: Int, releases: ClosedRange<Int>, count: Int)] = [
    ("xc_interface_open", 0, 14...22, 3), ("xc_interface_close", 0, 14...22, 1),
    ("xc_version", 0, 14...22, 3), ("xc_physinfo", 0, 14...22, 2),
    ("xc_get_system_cpu_policy", 1, 14...15, 6), ("xc_cpu_policy_get_system", 1, 16...22, 3),
    ("xc_domain_getinfolist", 0, 14...22, 4),
    ("xc_domain_nr_gpfns", 0, 14...22, 3), ("xc_domain_pause", 0, 14...22, 2),
    ("xc_sched_credit_domain_get", 0, 14...22, 3), ("xc_sched_credit_domain_set", 0, 14...22, 3),
    ("xc_sched_credit2_domain_get", 0, 14...22, 3), ("xc_sched_credit2_domain_set", 0, 14...22, 3),
    ("xc_domain_unpause", 0, 14...22, 2), ("xc_domain_shutdown", 0, 14...22, 3),
    ("xc_domain_resume", 1, 14...22, 3), ("xc_vcpu_getinfo", 0, 14...22, 4),
    ("xc_domain_get_guest_width", 0, 14...22, 3), ("xc_get_pfn_type_batch", 0, 14...22, 4),
    ("xc__hypercall_buffer_alloc_pages", 0, 14...22, 3),
    ("xc__hypercall_buffer_free_pages", 0, 14...22, 3), ("xc_shadow_control", 0, 14...15, 8),
    ("xc_shadow_control", 0, 16...22, 5), ("xc_logdirty_control", 0, 16...22, 7),
    ("xc_domain_get_tsc_info", 0, 14...22, 6), ("xc_domain_hvm_getcontext", 0, 14...22, 4),
    ("xc_hvm_param_get", 0, 14...22, 4), ("xc_get_cpu_policy_size", 1, 14...15, 3),
    ("xc_get_domain_cpu_policy", 1, 14...15, 6), ("xc_cpu_policy_init", 1, 16...22, 1),
    ("xc_cpu_policy_destroy", 1, 16...22, 1), ("xc_cpu_policy_get_size", 1, 16...22, 3),
    ("xc_cpu_policy_get_domain", 1, 16...22, 3), ("xc_cpu_policy_serialise", 1, 16...22, 6),
    ("xc_domain_save", 1, 14...14, 7), ("xc_domain_save", 1, 15...22, 7),
    ("xc_domain_restore", 1, 14...21, 12), ("xc_domain_restore", 1, 22...22, 13),
    ("xenforeignmemory_open", 2, 14...22, 2),
    ("xenforeignmemory_close", 2, 14...22, 1), ("xenforeignmemory_map", 2, 14...22, 6),
    ("xenforeignmemory_unmap", 2, 14...22, 3), ("xs_open", 3, 14...22, 1),
    ("xs_close", 3, 14...22, 1), ("xs_read", 3, 14...22, 4), ("xs_write", 3, 14...22, 5),
    ("xs_directory", 3, 14...22, 4), ("xs_resume_domain", 3, 14...22, 2),
    ("xs_watch", 3, 14...22, 3), ("xs_unwatch", 3, 14...22, 3), ("xs_check_watch", 3, 14...22, 1),
  ]

  @Test func functionsByRelease() {
    var row = cxen_row()
    var index: Int32 = 0
    var found: [String] = []
    while cxen_row(index, &row) {
      let parameters = String(cString: row.parameters)
      let count = parameters.split(separator: ",").count
      found.append(
        "\(String(cString: row.symbol)) \(row.library) \(row.first)...\(row.last) \(count)")
      index += 1
    }
    #expect(found.sorted() == Self.forms.map { "\($0) \($1) \($2) \($3)" }.sorted())
  }

  @Test func releases() {
    #expect(XenHost.knownReleases == Array(14...22))
    for minor in 14...22 {
      let release = cxen_release(Int32(minor))?.pointee
      #expect(
        release.map { String(cString: $0.store) }
          == (minor < 16 ? "libxenstore.so.3.0" : "libxenstore.so.4"))
      #expect(release?.domain_info_size == (minor < 16 ? 104 : 112))
      #expect(release?.arch_config == (minor < 16 ? 96 : 104))
      #expect(release?.total_pages == (minor < 17 ? 32 : 40))
    }
    #expect(cxen_release(13) == nil && cxen_release(23) == nil)
  }

  @Test(arguments: [
    (13, ""), (23, " (XENSAVE_XEN_AS=4.22 tries it with the calls of 4.22)"),
  ]) func unknownReleases(minor: Int, hint: String) throws {
    let error = #expect(throws: XensaveError.self) {
      try XenHost(release: minor, folder: "/nonexistent/")
    }
    #expect(error?.word == "no_hypervisor")
    #expect(
      error?.description == "Xen 4.\(minor) is not known here: expected 4.14 to 4.22" + hint)
  }

  /// What XENSAVE_XEN_AS may say, and of which releases it speaks.
  @Test(arguments: [
    (23, "4.23", "XENSAVE_XEN_AS: expected a release of 4.14 to 4.22, got '4.23'"),
    (23, "22", "XENSAVE_XEN_AS: expected a release of 4.14 to 4.22, got '22'"),
    (13, "4.22", "Xen 4.13 is not known here: expected 4.14 to 4.22"),
  ]) func wrongCalls(minor: Int, calls: String, text: String) throws {
    let error = #expect(throws: XensaveError.self) {
      try XenHost(release: minor, folder: "/nonexistent/", calls: calls)
    }
    #expect(error?.description == text)
  }
}

@Suite(.enabled(if: FakeXen.hasCompiler, "needs a C compiler called cc")) struct ReleaseTests {
  /// The libraries are there, but of another release than the one that runs.
  @Test func wrongRelease() throws {
    let xen = try FakeXen(minor: 16)
    #expect(
      runShell(
        "cd \(xen.folder) && ln -s fake libxenctrl.so.4.17 && "
          + "ln -s fake libxenguest.so.4.17") == 0)
    let error = #expect(throws: XensaveError.self) { try XenHost(release: 17, folder: xen.folder) }
    #expect(error?.description == "Xen 4.16 is not known here: expected 4.14 to 4.22")
    #expect(xen.number("interfaces") == 0)
  }

  /// A release that is newer than all known ones, whose interface is 4.22's still.
  @Test func newerRelease() throws {
    let xen = try FakeXen(minor: 23)
    #expect(throws: XensaveError.self) { try XenHost(release: 23, folder: xen.folder) }
    let host = try XenHost(release: 23, folder: xen.folder, calls: "4.22")
    #expect(host.minor == 23)
    #expect(try host.domain(5).info().xenMinor == 23)
    var callbacks = ManagerCallbacks()
    callbacks.restoreResults = { _, _ in }
    let restore = DelegatedRestore(
      storeChannel: 1, storeDomain: 2, consoleChannel: 3, consoleDomain: 4)
    #expect(try restore.run(host, domain: 5, from: 77, callbacks).store == 77)
  }

  /// What the host is: its point release, memory, and the policies that it can give.
  @Test(arguments: 14...22) func describes(minor: Int) throws {
    let host = try FakeXen(minor: minor).host()
    let facts = try host.facts()
    #expect(facts.release == "4.\(minor).7-pre")
    #expect(facts.byteCount == 4 << 30 && facts.freeByteCount == 16 << 20)
    #expect(facts.pv.leaves.map(\.a) == [1, 2] && facts.hvm.leaves.map(\.a) == [1, 3])
    #expect(facts.hvm.leaves.map(\.leaf) == [0, 1])
    #expect(facts.hvm.msrs.map(\.index) == [0xCE])
  }

  @Test(arguments: ["xc_physinfo", "xc_version", "xc_cpu_policy_get_system"])
  func describingFails(function: String) throws {
    let xen = try FakeXen(minor: 20)
    let host = try xen.host()
    xen.fail(function)
    let error = #expect(throws: XensaveError.self) { try host.facts() }
    #expect(error?.errno == EIO)
  }

  @Test func missingFunction() throws {
    let xen = try FakeXen(minor: 15)
    #expect(
      runShell(
        "cd \(xen.folder) && ln -s fake libxenctrl.so.4.18 && "
          + "ln -s fake libxenguest.so.4.18 && ln -s fake libxenstore.so.4") == 0)
    let error = #expect(throws: XensaveError.self) { try XenHost(release: 18, folder: xen.folder) }
    #expect(error?.description.hasSuffix("libxenctrl.so.4.18 has no xc_logdirty_control") == true)
  }

  @Test(arguments: 14...22) func lists(minor: Int) throws {
    let xen = try FakeXen(minor: minor)
    var lines: [String] = []
    let host = try xen.host { lines.append("\($0.level) \($0.errno) \($0.context) \($0.text)") }
    #expect(lines == ["1 -1 fake opened \(minor)"])
    #expect(host.minor == minor)
    let domains = try host.domains()
    #expect(domains.map(\.id) == [5, 6])
    #expect(domains.map(\.isPVH) == [true, false])
    #expect(domains.allSatisfy { $0.isHVM && $0.pageCount == 590 && $0.maxPageCount == 700 })
    #expect(domains.map { Array($0.uuid.prefix(4)) } == [[1, 2, 3, 5], [1, 2, 3, 6]])
    #expect(try host.name(5) == "web" && host.name(6) == nil)
    #expect(throws: XensaveError.self) { try host.domain(7) }
    let domain = try host.domain(5)
    let info = try domain.info()
    #expect(info.onlineVCPUs == [0, 2] && info.xenMinor == UInt32(minor))
    for _ in 0..<2 { try domain.pause() }
    #expect(xen.number("paused") == 1)
    for _ in 0..<2 { try domain.unpause() }
    #expect(xen.number("paused") == 0)
    #expect(try host.list().map(\.uuid).first == "01020305-0000-0000-0000-000000000000")
    #expect(try host.list().map(\.name) == ["web", nil])
    #expect(try domain.readStore("name") == Array("web".utf8) && domain.readStore("none") == nil)
    #expect(try domain.listStore("/local/domain") == ["0", "5"])
    #expect(try domain.watchStore("control", timeout: 1_000_000) == nil)
    try domain.writeStore("control/shutdown", [])
    #expect(
      try domain.watchStore("control", timeout: 1_000_000) == "/local/domain/5/control/shutdown")
    try domain.suspend()
    #expect(try domain.info().isSuspended)
    try domain.resume()
    #expect(xen.number("suspended") == 0 && xen.number("resumed") == 1)
  }

  /// A live save through each release's calls; what it wrote is a good image of that memory.
  @Test(arguments: 14...22) func saves(minor: Int) throws {
    let xen = try FakeXen(minor: minor)
    let host = try xen.host()
    let path = xen.folder + "image"
    // The guest writes while the first round is sent, and again at the end.
    let policy = ClosurePolicy { stats in
      if !stats.isBeforeRound { for frame in [3, 77, 599] { xen.write(frame) } }
      return stats.iteration >= 2 ? .stopAndCopy : .continuePrecopy
    }
    let number = open(path, O_RDWR | O_CREAT, 0o600)
    let sink = Sink(try Descriptor(taking: number, path: path), path: path)
    let result = try Save(try host.domain(5), to: sink, mode: .live(policy)).run()
    #expect(result.trace.rounds.map(\.dirtyCount) == [600, 3, 3])
    #expect(result.aftermath.isEmpty)
    #expect(xen.number("log_dirty") == 0 && xen.number("mappings") == 0)
    #expect(xen.number("suspended") == 1)
    let report = try Verifier(Source(opening: path)).run()
    #expect(report.findings.filter { $0.severity == .error }.map(\.description) == [])
    let copy = try SimDomain(
      restoring: Source(opening: path), SimDomain.Configuration(frameCount: 600))
    for frame in 0..<600 {
      let exists = !(100..<110).contains(frame)
      #expect(copy.hasPage(frame) == exists)
      guard exists else { continue }
      let page = copy.page(frame)
      #expect(page[0] == xen.byte(frame, 0) && page[8] == xen.byte(frame, 8), "frame \(frame)")
    }
    #expect(copy.page(3)[8] == 3 * 7 + 1 + 2)
  }

  /// Each function of Xen's fails in turn: the error names the hook, and all is put back.
  @Test(arguments: [
    ("xc_domain_getinfolist", "info"), ("xc_domain_nr_gpfns", "frameCount"),
    ("xc_get_pfn_type_batch", "pageTypes"), ("xenforeignmemory_map", "map"),
    ("xc_shadow_control", "enableLogDirty"), ("xc_logdirty_control", "cleanLogDirty"),
    ("xc_domain_get_tsc_info", "state"), ("xc_domain_hvm_getcontext", "state"),
    ("xc_hvm_param_get", "suspend or state"), ("xc_cpu_policy_init", "state"),
    ("xc_cpu_policy_get_size", "state"), ("xc_cpu_policy_get_domain", "state"),
    ("xc_cpu_policy_serialise", "state"), ("xc__hypercall_buffer_alloc_pages", "cleanLogDirty"),
  ])
  func failures(function: String, code: String) throws {
    let xen = try FakeXen(minor: 17)
    let host = try xen.host()
    let domain = try host.domain(5)
    let sink = Sink(try Descriptor.open("/dev/null", isWritable: true), path: "/dev/null")
    xen.fail(function)
    let error = #expect(throws: XensaveError.self) {
      try Save(domain, to: sink, mode: .live(XenDefaultPolicy())).run()
    }
    #expect(code.split(separator: " ").contains { $0 == error?.word ?? "" }, "\(error?.word ?? "")")
    #expect(error?.errno == EIO)
    xen.fail("")
    #expect(xen.number("mappings") == 0 && xen.number("log_dirty") == 0)
    #expect(xen.number("suspended") == 0)
  }

  /// xc_domain_save and its callbacks: 4.14 passes the statistics in another form.
  @Test(arguments: 14...22) func delegatedSaves(minor: Int) throws {
    let xen = try FakeXen(minor: minor)
    var progress: [String] = []
    let host = try xen.host({ _ in }) { progress.append("\($0.what) \($0.done) \($0.total)") }
    var seen: [String] = []
    let policy = ClosurePolicy { stats in
      seen.append("\(stats.iteration) \(stats.totalWritten) \(stats.dirtyCount ?? -1)")
      return stats.isBeforeRound ? .continuePrecopy : .stopAndCopy
    }
    var callbacks = ManagerCallbacks()
    callbacks.suspend = { true }
    callbacks.checkpoint = { 2 }
    callbacks.switchEmulatorLogDirty = { $0 ? 0 : -1 }
    var save = DelegatedSave(isLive: true)
    save.isVerifying = true
    save.streamType = .remus
    let pipe = try Pipe()
    try save.run(host.domain(5), to: pipe.writing.fileDescriptor, policy: policy, callbacks)
    #expect(seen == ["0 0 600", "1 600 -1"])
    #expect(progress == ["Frames 3 600"])
    var text = [UInt8](repeating: 0, count: 256)
    let count = read(pipe.reading.fileDescriptor, &text, 256)
    #expect(
      String(decoding: text.prefix(count), as: UTF8.self)
        == "flags 3 type 1 back -1 policy 0 1 suspend 1 postcopy -9 checkpoint 2 wait -9 switch 0\n"
    )
  }

  /// A domain in a script's hand: the same, with the domain's own ways to suspend, and a trace.
  @Test(arguments: [14, 17]) func savesByTheLibrary(minor: Int) throws {
    let xen = try FakeXen(minor: minor)
    let domain = try xen.host().domain(5)
    try domain.suspend()
    let pipe = try Pipe()
    let sink = Sink(try pipe.writing.duplicate(path: "out"), path: "out")
    var progress: [String] = []
    let record = TracingPolicy.Record()
    let policy = ClosurePolicy { $0.isBeforeRound ? .continuePrecopy : .stopAndCopy }
    let result = try domain.saveByLibrary(
      to: sink, .checkpointed(policy, DomainCheckpoints(domain) { _ in false }), isVerifying: false,
      record
    ) {
      progress.append($0.what)
    }
    #expect(result.trace.rounds.map(\.dirtyCount) == [600])
    #expect(result.checkpointCount == 1 && result.pageCount == 600)
    #expect(progress.first == "Domain now suspended" && progress.last == "Frames")
    var text = [UInt8](repeating: 0, count: 256)
    let count = read(pipe.reading.fileDescriptor, &text, 256)
    #expect(
      String(decoding: text.prefix(count), as: UTF8.self)
        == "flags 1 type 1 back -1 policy 0 1 suspend 1 postcopy 1 checkpoint 0 wait -9 switch -9\n"
    )
    // What a callback failed with is why the save did.
    let error = #expect(throws: XensaveError.self) {
      try domain.saveByLibrary(
        to: sink, .live(ClosurePolicy { _ in .abort("no hope") }), isVerifying: false, record
      ) { _ in }
    }
    #expect(error?.word == "aborted")
  }

  @Test(arguments: [14, 17]) func delegatedAborts(minor: Int) throws {
    let xen = try FakeXen(minor: minor)
    let policy = ClosurePolicy { $0.isBeforeRound ? .continuePrecopy : .abort("no hope") }
    let error = #expect(throws: XensaveError.self) {
      try DelegatedSave(isLive: true).run(
        xen.host().domain(5), to: 2, policy: policy, ManagerCallbacks())
    }
    #expect(error?.word == "aborted" && error?.message == "the policy gave up: no hope")
  }

  @Test(arguments: 14...22) func delegatedRestores(minor: Int) throws {
    let xen = try FakeXen(minor: minor)
    var told: [UInt64] = []
    var callbacks = ManagerCallbacks()
    callbacks.staticDataDone = { Int32($0) * 1000 }
    callbacks.restoreResults = { told = [$0, $1] }
    var restore = DelegatedRestore(
      storeChannel: 1, storeDomain: 2, consoleChannel: 3, consoleDomain: 4)
    restore.streamType = .colo
    restore.backDescriptor = 8
    let result = try restore.run(xen.host(), domain: 5, from: 77, callbacks)
    #expect(told == [0x111, 0x222])
    #expect(result.store == 77 + 3000)
    #expect(result.console == 1_234_209)
  }
}
