// One pass over memory: batches of pages, each one record and one system call.

internal import Bytes
internal import Format
internal import SystemIO

/// Sends sets of pages as PAGE_DATA records. Xen: xg_sr_save.c, write_batch and add_to_batch.
///
///     header buffer      | type, length | count, 0 | pfn[0] ... pfn[n-1] |
///     lease           | page | page page page |      | page |           <- mapped, not copied
///     copies buffer    |                       | table |                 <- PV page tables only
///                       all of it in one writev, chunks that touch as one
final class PageSender {
  /// Xen: MAX_BATCH_SIZE. A full pass gives records of 1024 consecutive pfns, from which restorers
  /// make superpages: a batch must not be flushed early.
  static let batchLimit = 1024

  private let domain: any Domain
  private let sink: Sink
  private let clock: any SaveClock
  private let guest: Guest
  private let info: DomainInfo
  private let head = PageAlignedBuffer(capacity: 16 + 8 * batchLimit)
  private let copies: PageAlignedBuffer
  private let vectors = WriteVectors()
  private var frames: [UInt64] = []
  private var types: [PageType] = []
  private var mapped: [UInt64] = []

  /// Pages that have to be looked at again when the guest stands still.
  var deferred: PageBitmap
  /// Whether the guest stands still: then nothing can be put off any more.
  var isFinal = false
  /// Bytes a second that go out at most; nil: no limit.
  var byteLimit: UInt64?
  /// Whether pages that are dirty again are left out.
  var skipsDirtyPages = false
  /// Pages that were left out since the start.
  private(set) var skippedCount = 0
  private var peeked = PageBitmap(count: 0)
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
    copies = PageAlignedBuffer(
      capacity: guest.normalises ? PageSender.batchLimit * pageByteCount : 0)
  }

  /// Sends all pages of `bitmap`, ascending. `progress` is called after each batch with how many
  /// have been looked at.
  func send(_ bitmap: PageBitmap, progress: (Int) -> Void) throws {
    var done = 0
    let pace = Pace(begin: clock.now, position: sink.position)
    var pfns: [UInt64] = []
    pfns.reserveCapacity(PageSender.batchLimit)
    try bitmap.forEach { page in
      pfns.append(UInt64(page))
      if pfns.count == PageSender.batchLimit {
        try flush(try withoutDirtyPages(pfns))
        wait(pace)
        pfns.removeAll(keepingCapacity: true)
        done += PageSender.batchLimit
        progress(done)
      }
    }
    try flush(try withoutDirtyPages(pfns))
    wait(pace)
    try domain.checkUnchanged()
  }

  /// Where a round began: by the clock, and in the sink.
  private struct Pace {
    let begin: UInt64
    let position: UInt64
  }

  /// Waits until what was sent since `pace` is within the limit.
  private func wait(_ pace: Pace) {
    guard let byteLimit, byteLimit > 0 else { return }
    let seconds = Double(sink.position - pace.position) / Double(byteLimit)
    let due = pace.begin.addingSaturated(UInt64(saturating: seconds * 1e9))
    let now = clock.now
    if now < due { clock.wait(nanoseconds: due - now) }
  }

  /// The pages of a batch that have not been dirtied again. The others are still noted as dirty: the next
  /// round has them. As Xen 4.5 did, in xc_domain_save.c with to_skip.
  private func withoutDirtyPages(_ pfns: [UInt64]) throws -> [UInt64] {
    guard skipsDirtyPages, !pfns.isEmpty else { return pfns }
    if peeked.count != deferred.count { peeked = PageBitmap(count: deferred.count) }
    let counts = try domain.peekLogDirty(into: &peeked)
    guard counts.frameCount == peeked.count else {
      throw XensaveError(
        .logDirtyLength, "expected dirty bits of \(peeked.count) pages, got \(counts.frameCount)")
    }
    let rest = pfns.filter { !peeked[Int($0)] }
    skippedCount += pfns.count - rest.count
    return rest
  }

  private func flush(_ pfns: [UInt64]) throws {
    guard !pfns.isEmpty else { return }
    try Interrupt.check(sink.path)
    try domain.frames(of: pfns, into: &frames)
    try domain.pageTypes(of: frames, into: &types)
    precondition(frames.count == pfns.count && types.count == pfns.count)
    // Local copies of the references: a property of a class is checked at every access.
    let (frames, types) = (frames, types)
    var mapped = mapped
    self.mapped = []
    mapped.removeAll(keepingCapacity: true)
    for index in types.indices {
      if frames[index] == invalidFrame { deferred[Int(pfns[index])] = true }
      let type = types[index]
      guard !type.isReserved else {
        throw XensaveError(
          .unknownPageType, "pfn \(pfns[index].hex()): the hypervisor gives type \(type.rawValue)")
      }
      if type.hasData { mapped.append(frames[index]) }
    }
    self.mapped = mapped
    vectors.removeAll()
    vectors.append(head, 0..<16 + 8 * pfns.count)
    if mapped.isEmpty { return try write(pfns, types, dataCount: 0) }
    // The lease ends with this scope: after the write, which takes the pages straight from it.
    let lease = try domain.map(mapped)
    precondition(lease.count == mapped.count)
    if guest.normalises {
      try write(pfns, types, normalising: lease)
    } else {
      lease.append(to: vectors)
      try write(pfns, types, dataCount: lease.count)
    }
  }

  /// PV: as above, but page tables are sent from their translated copies.
  private func write(
    _ pfns: [UInt64], _ types: [PageType], normalising lease: borrowing PageLease
  ) throws {
    var types = types
    var next = 0
    var dataCount = 0
    for index in types.indices where types[index].hasData {
      let page = next
      next += 1
      if let level = types[index].tableLevel {
        guard try normalise(lease, page, pfns[index], level) else {
          // The guest is just changing it: it is looked at again when it stands still.
          types[index] = .xtab
          deferred[Int(pfns[index])] = true
          continue
        }
        let offset = page * pageByteCount
        vectors.append(copies, offset..<offset + pageByteCount)
      } else {
        lease.append(page, to: vectors)
      }
      dataCount += 1
    }
    try write(pfns, types, dataCount: dataCount)
  }

  /// Makes the stream's form of a page table; false where it has been put off.
  private func normalise(
    _ lease: borrowing PageLease, _ page: Int, _ pfn: UInt64, _ level: Int
  ) throws -> Bool {
    let result = lease.withPage(page) {
      PVPageTable.normalise(
        $0, level: level, width: info.guestWidth, compatM2PFrame: info.compatM2PFrame,
        into: copies, at: page * pageByteCount
      ) { domain.pageNumber(ofMachineFrame: $0) }
    }
    switch result {
    case .done: return true
    case .foreign where !isFinal: return false
    case .foreign(let entry, let frame):
      throw XensaveError(
        .machineFrame, 34,
        "pfn \(pfn.hex()), entry \(entry): machine frame \(frame.hex()) is not the domain's"
      )
    case .superpage(let entry):
      throw XensaveError(
        .machineFrame, 7,
        "pfn \(pfn.hex()), entry \(entry): a PV guest's table maps a superpage")
    case .badLevel:
      throw XensaveError(
        .unknownPageType,
        "pfn \(pfn.hex()): a table of level \(level) in a guest of width \(info.guestWidth)"
      )
    }
  }

  /// Writes the record of the batch: `vectors` holds the header's place, and pages.
  private func write(
    _ pfns: [UInt64], _ types: [PageType], dataCount: Int
  ) throws {
    let body = 8 + 8 * pfns.count + pageByteCount * dataCount
    head.store(0, RecordType.pageData.wireValue)
    head.store(4, UInt32(body))
    head.store(8, UInt32(pfns.count))
    head.store(12, UInt32(0))
    var words = pfns
    for index in words.indices { words[index] |= UInt64(types[index].rawValue) << 60 }
    head.store(16, words: words)
    try sink.write(vectors)
    recordCount += 1
    pageCount += dataCount
    clock.didWrite(8 + body)
  }
}
