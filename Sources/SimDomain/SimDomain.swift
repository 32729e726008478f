// A domain that exists only here: memory, vCPUs and records, without a hypervisor.

internal import Bytes
public import Format
public import Live
public import SystemIO

/// A simulated domain. Its memory is real (a memfd), so that saving it costs what it would; what
/// its guest does follows from a seed and a clock. It fails where it is told to.
///
/// The guest runs while nobody calls: every hook first lets it catch up with the clock.
public final class SimDomain {
  public struct Configuration: Sendable {
    public var id: UInt32 = 1
    public var name = "simulated"
    public var guest = GuestType.x86HVM
    public var frameCount: Int
    /// Frames without a page, such as the hole below 4 GiB.
    public var holes: [Range<Int>] = []
    public var vcpuCount = 1
    public var seed: UInt64 = 1
    public var workload = Workload.idle
    public var clock = SimClock.Kind.virtual(bytesPerSecond: 1_000_000_000)
    /// Nanoseconds that the guest takes to stand still.
    public var suspendTime: UInt64 = 1_000_000
    /// Of 100 pages, how many have contents at the start; the others are zero.
    public var filledPercent = 75

    public init(frameCount: Int) { self.frameCount = frameCount }
  }

  struct StateKey: Hashable {
    let type: RecordType
    let vcpu: Int?
  }

  public let configuration: Configuration
  public let clock: SimClock
  public var faults = Faults()
  /// How often each hook was called.
  public internal(set) var callCounts: [Hook: Int] = [:]
  /// Leases that have not been given back.
  public internal(set) var openLeaseCount = 0
  public internal(set) var isLogDirtyOn = false
  public internal(set) var isEmulatorLogDirtyOn = false
  public internal(set) var shutdown: DomainInfo.Shutdown?
  /// Of 100, how much of its time the guest does without.
  public internal(set) var throttle = 0
  /// Hundredths of nanoseconds that the throttle left over.
  private var throttledRest: UInt64 = 0
  /// Whether somebody outside has stopped the vCPUs.
  public internal(set) var isPaused = false
  /// The domain's part of xenstore, by path.
  var store: [String: [UInt8]] = [:]
  /// vCPUs that are running; a domain that stands still has none.
  public internal(set) var runningVCPUs: Set<Int> = []
  /// Writes that the guest has done.
  public internal(set) var writeCount = 0
  /// The restore's own words on it: what it lacked, whether it was completed or thrown away.
  public internal(set) var missingStaticData: [RecordType] = []
  public internal(set) var isComplete = false
  public internal(set) var isDiscarded = false

  let memory: SharedMemory
  var present: PageBitmap
  var types: [PageType]
  var dirty: PageBitmap
  var states: [StateKey: [UInt8]] = [:]
  var isDead = false
  var isChanged = false
  /// Pages that the guest writes to: ordinary ones, ascending. Made anew when pages come and go.
  private var writable: [Int]?
  private var runner: WorkloadRunner
  private var lastTime: UInt64
  /// PV: the machine frame of each pfn, and back.
  let machineBase: UInt64 = 0x10_0000
  var machineFrames: [UInt64] = []
  var pageNumbers: [UInt64] = []

  /// A domain without memory, to be restored into.
  public init(blank configuration: Configuration) throws {
    self.configuration = configuration
    let count = configuration.frameCount
    memory = try SharedMemory(byteCount: count * pageByteCount, name: "simulated domain")
    clock = SimClock(configuration.clock)
    present = PageBitmap(count: count)
    types = [PageType](repeating: .xtab, count: count)
    dirty = PageBitmap(count: count)
    runner = WorkloadRunner(configuration.workload, seed: configuration.seed)
    lastTime = clock.now
    if configuration.guest == .x86PV { scatterFrames() }
    store[storePath("name")] = Array(configuration.name.utf8)
    store[storePath("domid")] = Array("\(configuration.id)".utf8)
    store[storePath("memory/target")] = Array("\(count * pageByteCount / 1024)".utf8)
  }

  /// A running HVM domain with synthetic contents and records.
  public convenience init(_ configuration: Configuration) throws {
    precondition(configuration.guest == .x86HVM, "a PV domain comes from an image")
    try self.init(blank: configuration)
    present.fill()
    for hole in configuration.holes { for page in hole { present[page] = false } }
    var random = SimRandom(configuration.seed ^ 0x5EED)
    for page in 0..<configuration.frameCount where present[page] {
      types[page] = .notab
      guard random.below(100) < configuration.filledPercent else { continue }
      fill(page, random.next())
    }
    states = SyntheticState.hvm(configuration)
    start()
  }

  /// A running domain from an image. `configuration.guest` is the image's.
  public convenience init(
    restoring source: Source, _ configuration: Configuration
  ) throws {
    try self.init(blank: configuration)
    _ = try Restore(source, into: self).run()
  }

  /// Bytes that no two pages share by chance.
  private func fill(_ page: Int, _ word: UInt64) {
    let start = page * pageByteCount
    memory.fill(start..<start + pageByteCount, UInt8(truncatingIfNeeded: word) | 1)
    memory.store(start + 8 * Int(word >> 55), word)
  }

  /// PV: gives every pfn a machine frame, in an order that the seed shuffles.
  private func scatterFrames() {
    var random = SimRandom(configuration.seed ^ 0xF4A3E)
    var order = Array(0..<UInt64(configuration.frameCount))
    order.shuffle(using: &random)
    machineFrames = order.map { machineBase + $0 }
    pageNumbers = [UInt64](repeating: 0, count: order.count)
    for (page, place) in order.enumerated() { pageNumbers[Int(place)] = UInt64(page) }
  }

  /// Lets the vCPUs run from now on.
  func start() {
    shutdown = nil
    runningVCPUs = Set(onlineVCPUs)
    lastTime = clock.now
    isComplete = true
    writable = nil
  }

  /// vCPUs that have state; all of an HVM domain.
  var onlineVCPUs: [Int] {
    guard configuration.guest == .x86PV else { return Array(0..<configuration.vcpuCount) }
    return states.keys.filter { $0.type == .x86PVVCPUBasic }.compactMap(\.vcpu).sorted()
  }

  // MARK: - The guest

  /// Lets the guest do what it does until now.
  public func catchUp() {
    let now = clock.now
    defer { lastTime = now }
    guard !runningVCPUs.isEmpty, !isPaused, !isDead, now > lastTime, configuration.workload != .idle
    else { return }
    let pages =
      writable ?? (0..<configuration.frameCount).filter { present[$0] && types[$0] == .notab }
    writable = pages
    // In real time a guest on a slow machine does less: to make up for all of it would take longer
    // than it lasted, and so on without an end.
    let passed = clock.kind == .real ? min(now - lastTime, 10_000_000) : now - lastTime
    let scaled = passed.multipliedSaturated(by: UInt64(100 - throttle)).addingSaturated(
      throttledRest)
    throttledRest = scaled % 100
    runner.run(scaled / 100, pageCount: pages.count) { write in
      let page = pages[write.rank]
      let start = page * pageByteCount
      if write.isZero {
        memory.fill(start..<start + pageByteCount, 0)
      } else {
        memory.store(start + 8 * Int(write.value >> 55), write.value)
      }
      touch(page)
      writeCount += 1
    }
  }

  func touch(_ page: Int) {
    if isLogDirtyOn { dirty[page] = true }
  }

  /// Takes a page from the domain, as a balloon driver does, or gives it a new one.
  public func balloon(_ page: Int, hasPage: Bool) {
    catchUp()
    present[page] = hasPage
    types[page] = hasPage ? .notab : .xtab
    let start = page * pageByteCount
    if !hasPage { memory.punch(start..<start + pageByteCount) }
    touch(page)
    writable = nil
  }

  // MARK: - Looking at it

  /// The pages in which two domains differ: contents, or whether there is a page at all.
  public func differences(from other: SimDomain) -> [Int] {
    let count = max(configuration.frameCount, other.configuration.frameCount)
    return (0..<count).filter { page in
      let here = hasPage(page)
      let there = other.hasPage(page)
      return here != there || (here && !isEqual(page, other))
    }
  }

  /// Whether there is a page that the guest may use.
  public func hasPage(_ page: Int) -> Bool {
    page < present.count && present[page] && types[page] != .xtab && types[page] != .broken
  }

  private func isEqual(_ page: Int, _ other: SimDomain) -> Bool {
    let range = page * pageByteCount..<(page + 1) * pageByteCount
    return memory.isEqual(range, to: other.memory)
  }

  /// Whether two domains have the same records.
  public func hasSameState(as other: SimDomain) -> Bool { states == other.states }

  /// The type of a page, as a save would be told it.
  public func type(of page: Int) -> PageType { hasPage(page) ? types[page] : .xtab }

  /// A copy of a page's bytes.
  public func page(_ page: Int) -> [UInt8] {
    memory.withBytes(page * pageByteCount..<(page + 1) * pageByteCount) { span in
      (0..<pageByteCount).map { span.load($0, as: UInt8.self) }
    }
  }

  /// Writes to a page as the guest does.
  public func write(_ page: Int, _ word: UInt64) {
    memory.store(page * pageByteCount, word)
    touch(page)
  }

  /// Writes bytes to a page from `offset` on, as the guest does. They end within the page.
  public func write(_ page: Int, at offset: Int, _ bytes: [UInt8]) {
    precondition(offset >= 0 && offset + bytes.count <= pageByteCount)
    for (index, byte) in bytes.enumerated() {
      memory.store(page * pageByteCount + offset + index, byte)
    }
    touch(page)
  }
}
