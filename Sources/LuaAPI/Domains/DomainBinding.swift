// Domains in a script's hands.

internal import Bytes
internal import Format
internal import GuestOS
internal import ImageEdit
internal import Jobs
internal import Live
internal import LuaRuntime
internal import Pages
internal import Reports
internal import SimDomain
internal import SystemIO

/// A handle of a domain. However its scope ends, the domain is as it was found: not paused, not
/// suspended and not noting dirty pages where it was not before.
final class LuaDomain {
  private(set) weak var shell: ShellContext?
  let summary: DomainSummary
  private let domain: any ManagedDomain
  private var isClosed = false
  /// What this handle has done to the domain and must undo.
  private var hasPaused = false
  private var hasSuspended = false
  private var hasLogDirty = false
  private(set) var frameCountKnown: Int?
  /// Pages that are lent now: the next call of the hypervisor ends that.
  private var mapping: MappedPages?
  /// How often the domain was let run: what was read before is not what is there then.
  private var runCount = 0
  private var cachedLinux: LuaLinux?

  init(_ summary: DomainSummary, _ domain: any ManagedDomain, _ shell: ShellContext) {
    self.summary = summary
    self.domain = domain
    self.shell = shell
  }

  deinit { close() }

  /// The simulated domain after it.
  func simulated() throws -> SimDomain {
    let domain = try open()
    guard let simulated = domain as? SimDomain else {
      throw LuaError("domain \(summary.id) is not a simulated one")
    }
    return simulated
  }

  /// The domain, for one call: views of its pages end here.
  func open() throws -> any ManagedDomain {
    guard !isClosed else { throw LuaError("the domain's handle is closed") }
    mapping?.end()
    mapping = nil
    return domain
  }

  /// Notes that the domain runs, or may.
  func runs() {
    runCount += 1
    cachedLinux = nil
  }

  /// Puts everything back as it was found.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    runs()
    mapping?.end()
    mapping = nil
    func attempt(_ what: String, _ body: () throws -> Void) {
      do { try body() } catch {
        shell?.log(.warning, "domain \(summary.id): \(what): \(error)")
      }
    }
    if hasLogDirty {
      attempt("switching log-dirty off") { try domain.disableLogDirty() }
    }
    if hasSuspended {
      attempt("resuming") {
        if try domain.info().isSuspended { try domain.resume() }
      }
    }
    if hasPaused { attempt("unpausing") { try domain.unpause() } }
  }

  // MARK: - What has to be undone

  func pause() throws {
    let wasPaused = try domain.info().isPaused
    try domain.pause()
    if !wasPaused { hasPaused = true }
  }

  func unpause() throws {
    runs()
    try domain.unpause()
    hasPaused = false
  }

  func suspend() throws {
    let wasSuspended = try domain.info().isSuspended
    try domain.suspend()
    if !wasSuspended { hasSuspended = true }
  }

  func resume() throws {
    runs()
    try domain.resume()
    hasSuspended = false
  }

  func enableLogDirty() throws {
    try domain.enableLogDirty()
    hasLogDirty = true
  }

  func disableLogDirty() throws {
    try domain.disableLogDirty()
    hasLogDirty = false
  }

  /// A save has left the domain standing: the copy is the domain from now on.
  func forgetSuspension() { hasSuspended = false }

  // MARK: - Memory

  /// The memory of the domain, which must stand still, and whether it still does.
  func stoppedMemory() throws -> (memory: PagedMemory, check: () throws -> Void) {
    let info = try open().info()
    guard info.isPaused || info.shutdown != nil else {
      throw XensaveError(
        .usage, "domain \(summary.id) is running: pause it first (dom:pause())")
    }
    let count = runCount
    let check = { [weak self] in
      guard let self, !self.isClosed, self.runCount == count else {
        throw XensaveError(
          .usage, "the domain has run since this was read from it (pause it and ask again)")
      }
    }
    let pages = DomainPages(name: "domain \(summary.name ?? "\(summary.id)")") { [weak self] in
      try check()
      guard let self else { throw XensaveError(.usage, "the domain's handle is closed") }
      return try self.open()
    }
    return (PagedMemory(pages), check)
  }

  /// The Linux guest in it, which must stand still.
  func linux() throws -> LuaLinux {
    if let cachedLinux { return cachedLinux }
    let (memory, check) = try stoppedMemory()
    let linux = LuaLinux(try LinuxGuest(memory, vcpus(of: try open())), check: check)
    cachedLinux = linux
    return linux
  }

  func frameCount() throws -> Int {
    if let frameCountKnown { return frameCountKnown }
    let count = try domain.frameCount()
    frameCountKnown = count
    return count
  }

  /// Calls `body` with the types of pages `range`, a batch at a time.
  func forEachType(
    _ range: Range<Int>, _ body: (Int, PageType) -> Void
  ) throws {
    var frames: [UInt64] = []
    var types: [PageType] = []
    for start in stride(from: range.lowerBound, to: range.upperBound, by: 1024) {
      let pfns = (start..<min(start + 1024, range.upperBound)).map { UInt64($0) }
      try domain.frames(of: pfns, into: &frames)
      try domain.pageTypes(of: frames, into: &types)
      for (index, type) in types.enumerated() { body(start + index, type) }
    }
  }

  /// Maps pages, which must have contents.
  func map(_ pfns: [UInt64]) throws -> MappedPages {
    var frames: [UInt64] = []
    var types: [PageType] = []
    try domain.frames(of: pfns, into: &frames)
    try domain.pageTypes(of: frames, into: &types)
    for (pfn, type) in zip(pfns, types) where !type.hasData {
      throw XensaveError(.map, 22, "pfn \(pfn.hex()): a page of type \(type.name) has no contents")
    }
    let pages = MappedPages(try domain.map(frames), pfns)
    mapping = pages
    return pages
  }

  /// A record of the domain's state; nil where it has none.
  func record(_ type: RecordType, _ vcpu: Int?) throws -> LuaRecord? {
    guard let body = try domain.state(type, vcpu: vcpu) else { return nil }
    let width = try domain.info().guestWidth
    let record = LuaRecord(
      EditableRecord(making: type, body: body, BodyContext(guestWidth: width)))
    record.onChange = {
      throw LuaError("the state of a domain is read-only (change it in a save's filter)")
    }
    return record
  }
}

/// Pages of a domain that are lent to a script.
final class MappedPages {
  private var lease: LeaseBox?
  let pfns: [UInt64]

  /// A class, so that the lease can go before the views do.
  private final class LeaseBox {
    let lease: PageLease
    init(_ lease: consuming PageLease) { self.lease = lease }
  }

  init(_ lease: consuming PageLease, _ pfns: [UInt64]) {
    self.lease = LeaseBox(lease)
    self.pfns = pfns
  }

  func end() { lease = nil }
  var isValid: Bool { lease != nil }

  func bytes(_ index: Int) -> [UInt8] {
    guard let lease else { return [] }
    return lease.lease.withPage(index) { page in
      // Safety: the bytes are copied inside the closure.
      unsafe page.withUnsafeBytes { unsafe [UInt8]($0) }
    }
  }
}

/// One page of them, as the owner of views.
final class MappedPage: FieldOwner {
  private let pages: MappedPages
  private let index: Int

  init(_ pages: MappedPages, _ index: Int) {
    self.pages = pages
    self.index = index
  }

  var fieldBytes: [UInt8] { pages.bytes(index) }
  var fieldLayout: BodySchema { BodySchema([], BodyContext()) }
  var fieldTitle: String { "page" }
  let fieldShape = 0

  func checkValid() throws {
    guard pages.isValid else {
      throw LuaError(
        "stale view: page \(pages.pfns[index].hex()) was lent until the domain's next call")
    }
  }

  func setFieldBytes(_ bytes: [UInt8], keepsShape: Bool) throws {
    throw LuaError("the pages of a domain are read-only")
  }
}
