// One pass over memory: batches of pages, each one record and one system call.

internal import Bytes
internal import Format
internal import SystemIO

/// Sends sets of pages as PAGE_DATA records. Xen: xg_sr_save.c, write_batch and add_to_batch.
///
///     head arena      | type, length | count, 0 | pfn[0] ... pfn[n-1] |
///     lease           | page | page page page |      | page |           <- mapped, not copied
///     copies arena    |                       | table |                 <- PV page tables only
///                       all of it in one writev, pieces that touch as one
final class PageSender {
  /// Xen: MAX_BATCH_SIZE. A full pass gives records of 1024 consecutive pfns, from which restorers
  /// make superpages: a batch must not be flushed early.
  static let batchLimit = 1024

  private let domain: any Domain
  private let sink: Sink
  private let clock: any SaveClock
  private let guest: Guest
  private let info: DomainInfo
  private let head = Arena(capacity: 16 + 8 * batchLimit)
  private let copies: Arena
  private let vectors = WriteVectors()
  private var pfns: [UInt64] = []
  private var frames: [UInt64] = []
  private var types: [PageType] = []
  private var mapped: [UInt64] = []

  /// Pages that have to be looked at again when the guest stands still.
  var deferred: PageBitmap
  /// Whether the guest stands still: then nothing can be put off any more.
  var isFinal = false
  /// Pages that were sent with their contents, and all records, since the start.
  private(set) var pageCount = 0
  private(set) var recordCount = 0

  init(
    _ domain: any Domain, _ info: DomainInfo, _ guest: Guest, frameCount: Int, sink: Sink,
    clock: any SaveClock
  ) {
    self.domain = domain
    self.info = info
    self.guest = guest
    self.sink = sink
    self.clock = clock
    deferred = PageBitmap(count: frameCount)
    copies = Arena(capacity: guest.normalises ? PageSender.batchLimit * pageByteCount : 0)
    pfns.reserveCapacity(PageSender.batchLimit)
  }

  /// Sends all pages of `bitmap`, ascending. `progress` is called behind each batch with how many
  /// have been looked at.
  func send(_ bitmap: PageBitmap, progress: (Int) -> Void) throws(LiveError) {
    var done = 0
    pfns.removeAll(keepingCapacity: true)
    try bitmap.forEach { page throws(LiveError) in
      pfns.append(UInt64(page))
      if pfns.count == PageSender.batchLimit {
        try flush()
        done += PageSender.batchLimit
        progress(done)
      }
    }
    try flush()
    try domain.checkUnchanged()
  }

  private func flush() throws(LiveError) {
    guard !pfns.isEmpty else { return }
    do { try Interrupt.check(sink.path) } catch { throw LiveError(error) }
    try domain.frames(of: pfns, into: &frames)
    for (index, frame) in frames.enumerated() where frame == invalidFrame {
      deferred[Int(pfns[index])] = true
    }
    try domain.pageTypes(of: frames, into: &types)
    precondition(frames.count == pfns.count && types.count == pfns.count)
    mapped.removeAll(keepingCapacity: true)
    for (index, type) in types.enumerated() {
      guard !type.isReserved else {
        throw LiveError(
          .unknownPageType, "pfn \(pfns[index].hex()): the hypervisor gives type \(type.rawValue)")
      }
      if type.hasData { mapped.append(frames[index]) }
    }
    if mapped.isEmpty { return try write(dataCount: 0) }
    // The lease ends with this scope: behind the write, which takes the pages straight from it.
    let lease = try domain.map(mapped)
    precondition(lease.count == mapped.count)
    try write(lease)
  }

  private func write(_ lease: borrowing PageLease) throws(LiveError) {
    vectors.removeAll()
    vectors.append(head, 0..<16 + 8 * pfns.count)
    var next = 0
    var dataCount = 0
    for index in types.indices where types[index].hasData {
      let page = next
      next += 1
      if guest.normalises, let level = types[index].tableLevel {
        guard try normalise(lease, page, index, level) else { continue }
        let offset = page * pageByteCount
        vectors.append(copies, offset..<offset + pageByteCount)
      } else {
        lease.append(page, to: vectors)
      }
      dataCount += 1
    }
    try write(dataCount: dataCount)
  }

  /// Makes the stream's form of a page table; false where it has been put off.
  private func normalise(
    _ lease: borrowing PageLease, _ page: Int, _ index: Int, _ level: Int
  ) throws(LiveError) -> Bool {
    let result = lease.withPage(page) {
      PVPageTable.normalise(
        $0, level: level, width: info.guestWidth, compatM2PFrame: info.compatM2PFrame,
        into: copies, at: page * pageByteCount
      ) { domain.pageNumber(ofMachineFrame: $0) }
    }
    switch result {
    case .done: return true
    case .foreign where !isFinal:
      // The guest is just changing it: it will be dirty again, or right when it stands still.
      types[index] = .xtab
      deferred[Int(pfns[index])] = true
      return false
    case .foreign(let entry, let frame):
      throw LiveError(
        .hook(.machineFrame, number: 34),
        "pfn \(pfns[index].hex()), entry \(entry): machine frame \(frame.hex()) is not the domain's"
      )
    case .superpage(let entry):
      throw LiveError(
        .hook(.machineFrame, number: 7),
        "pfn \(pfns[index].hex()), entry \(entry): a PV guest's table maps a superpage")
    case .badLevel:
      throw LiveError(
        .unknownPageType,
        "pfn \(pfns[index].hex()): a table of level \(level) in a guest of width \(info.guestWidth)"
      )
    }
  }

  /// Writes the record of the batch; with data, `vectors` holds head and pages.
  private func write(dataCount: Int) throws(LiveError) {
    let body = 8 + 8 * pfns.count + pageByteCount * dataCount
    head.store(0, RecordType.pageData.number)
    head.store(4, UInt32(body))
    head.store(8, UInt32(pfns.count))
    head.store(12, UInt32(0))
    for index in pfns.indices {
      head.store(16 + 8 * index, PageEntry(types[index], pfn: pfns[index]).rawValue)
    }
    do throws(SystemError) {
      if dataCount == 0 {
        try sink.write(head, 0..<16 + 8 * pfns.count)
      } else {
        try sink.write(vectors)
      }
    } catch { throw LiveError(error) }
    recordCount += 1
    pageCount += dataCount
    pfns.removeAll(keepingCapacity: true)
    clock.didWrite(8 + body)
  }
}
