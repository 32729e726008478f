// Images on their way into a store.

internal import Bytes
internal import Format
internal import Glibc
internal import ImageCheck
internal import JSON
internal import Jobs
internal import Stream
internal import Synchronization
public import SystemIO

/// Adds images, one after another: knows which pages the store has. After an error it adds none any more,
/// since pages of the image that failed may be missing.
public final class ImageAdder {
  private let store: ImageStore
  private let lease: StoreLease
  private let pages = StoredPages()
  private var hasFailed = false

  init(_ store: ImageStore) throws {
    self.store = store
    lease = try StoreLease(store.place, .shared)
    // Pages of a pack that is gone are put again.
    let there = Set(try store.place.names(in: "packs"))
    let packs = try store.packs().filter { there.contains($0.text) }
    for (id, index) in zip(packs, try store.indexes(packs)) {
      pages.hashes[id] = index.hash
      pages.known.add(id, index)
    }
    try lease.renew()
  }

  /// Adds an image, which has to be a file or a URL. With `isReplacing` it takes the place of one of its
  /// name, which is an error else; with `isUnchecked` one that would not restore is taken all the same.
  ///
  /// - Throws: `rejected` where it would not restore; `refused` where there is one of the name.
  public func put(
    _ source: Source, as name: String, isReplacing: Bool = false, isUnchecked: Bool = false
  ) throws -> StoredImage {
    precondition(!hasFailed, "an image that failed is the last one")
    hasFailed = true
    try ImageStore.check(name)
    guard source.isFile else {
      throw XensaveError(
        .usage,
        "\(source.path): a store takes files and URLs, not pipes" + source.unpackingHint)
    }
    let object = "images/" + name
    if !isReplacing, try store.place.exists(object) {
      throw XensaveError(
        .refused,
        "\(store.place.root): it has an image '\(name)' already (--replace puts another in its place)"
      )
    }
    if !isUnchecked {
      let report = try Verifier(source.duplicate()).run()
      guard report.isGood else {
        let first = report.findings.first { $0.severity == .error }
        throw XensaveError(
          .rejected,
          "\(source.path): not put: it would not restore: \(first?.description ?? ""); --unchecked puts "
            + "it all the same")
      }
    }
    let manifest = try ImagePut(
      store, source, name, isUnchecked: isUnchecked, pages, lease
    ).run()
    let bytes = try manifest.encoded()
    try lease.check()
    try write(object, bytes, isReplacing: isReplacing)
    hasFailed = false
    return manifest.head
  }

  private func write(_ object: String, _ bytes: [UInt8], isReplacing: Bool) throws {
    guard !isReplacing else { return try store.place.write(object, bytes, .replacing) }
    do { try store.place.write(object, bytes, .new) } catch {
      switch XensaveError(error).errno {
      case EEXIST:
        // A server whose first answer was lost says that of what it has from us.
        guard try store.place.read(object, limit: Manifest.byteLimit) == bytes else { throw error }
      case RemoteFiles.unsupported:
        // Not every server knows conditions. That the name was free was looked at before.
        try store.place.write(object, bytes, .replacing)
      default: throw error
      }
    }
  }
}

/// The pages of a store, and the hashes of the indexes that they are known by.
private final class StoredPages {
  var known = KnownPages()
  var hashes: [PackID: [UInt8]] = [:]
}

/// Adds one image: its pages are named on all cores, those that the store has are only noted, the others
/// are packed.
private final class ImagePut {
  private let source: Source
  private let lease: StoreLease
  private let pages: StoredPages
  private let writer: PackWriter
  private let state: State
  private let isUnchecked: Bool
  private var newPageCount: UInt64 = 0
  private let buffer = PageAlignedBuffer(capacity: batch)
  /// Bytes that are read at once.
  private static let batch = 1024 * 4096

  /// What packs complete.
  private final class State {
    var manifest: Manifest
    init(_ manifest: Manifest) { self.manifest = manifest }
  }

  init(
    _ store: ImageStore, _ source: Source, _ name: String, isUnchecked: Bool, _ pages: StoredPages,
    _ lease: StoreLease
  ) throws {
    (self.source, self.pages, self.lease) = (source, pages, lease)
    self.isUnchecked = isUnchecked
    guard let byteCount = source.byteCount else {
      throw XensaveError(.usage, "\(source.path): its length is not known")
    }
    let state = State(
      Manifest(
        StoredImage(
          name: name, byteCount: byteCount,
          time: Environment.nanosecondsSince1970 / 1_000_000_000, domain: "", xen: "")))
    self.state = state
    writer = try PackWriter(store.place) { id, _, hash in
      pages.hashes[id] = hash
      state.manifest.complete(Manifest.Pack(id: id, hash: hash))
    }
  }

  func run() throws -> Manifest {
    let bytes = try source.duplicate()
    try Progress.phase("storing", of: source.byteCount, done: { bytes.position }) {
      var walker = StreamReader(try source.duplicate())
      var summary = ImageSummary()
      let end = source.byteCount ?? 0
      while let part = try next(&walker) {
        summary.add(part)
        // Each part is cut from its own start: one that gets longer leaves the others as they are.
        try addLiterals(bytes, upTo: min(ImagePut.offset(part), end))
        guard case .record(let record) = part, record.payloadByteCount >= 4096 else { continue }
        // The last record of an image that was cut is shorter than it says.
        let start = min(record.payloadOffset, end)
        let count = min(record.payloadByteCount, end - start) / 4096 * 4096
        try addLiterals(bytes, upTo: start)
        try addPages(bytes, upTo: start + count)
      }
      try addLiterals(bytes, upTo: end)
      try writer.finish()
      let head = state.manifest.head
      state.manifest.head = StoredImage(
        name: head.name, byteCount: head.byteCount, time: head.time,
        domain: ImagePut.domain(summary),
        xen: summary.xenVersion.map { "\($0.major).\($0.minor)" } ?? "",
        newPageCount: newPageCount)
    }
    guard try source.isUnchanged() else {
      throw XensaveError(.changed, "\(source.path): it changed while it was read")
    }
    return state.manifest
  }

  private static func offset(_ part: StreamElement) -> UInt64 {
    switch part {
    case .header(let header): header.offset
    case .record(let record): record.offset
    case .trailing(let trailing): trailing.offset
    }
  }

  /// The next part of the image. One that would not restore is only followed as far as it can be.
  private func next(_ walker: inout StreamReader) throws -> StreamElement? {
    do { return try walker.next() } catch {
      if case .system = error.kind { throw error }
      guard isUnchecked else { throw error }
      return nil
    }
  }

  /// Bytes that are no pages. Lists of pfns are long, and the same in later images of a guest: such are cut
  /// into pieces that are kept as pages are.
  private func addLiterals(_ bytes: Source, upTo end: UInt64) throws {
    if bytes.position + 4096 <= end {
      try addPages(bytes, upTo: end - (end - bytes.position) % 4096, isCounted: false)
    }
    while bytes.position < end {
      let count = Int(min(end - bytes.position, UInt64(ImagePut.batch)))
      try read(bytes, count)
      try state.manifest.addLiteral(buffer.copy(0..<count))
      try lease.renew()
    }
  }

  private func addPages(_ bytes: Source, upTo end: UInt64, isCounted: Bool = true) throws {
    while bytes.position < end {
      let count = Int(min(end - bytes.position, UInt64(ImagePut.batch))) / 4096
      try read(bytes, 4096 * count)
      let names = try names(count)
      for page in 0..<count {
        if buffer.withBytes(0..<4096 * count, { $0.isZeroPage(at: 4096 * page) }) {
          state.manifest.addZeroPage()
          continue
        }
        let name = names[page * PageName.byteCount..<(page + 1) * PageName.byteCount]
        let place: KnownPages.Place
        if let known = pages.known.place(of: name) {
          place = known
        } else {
          let (pack, slot) = try writer.add(buffer, 4096 * page, name)
          place = KnownPages.Place(pack: pack, slot: slot)
          pages.known.add(name, at: place)
          if isCounted { newPageCount += 1 }
        }
        // The hash of a pack that is being written comes when it is complete.
        state.manifest.addPages(
          Manifest.Pack(id: place.pack, hash: pages.hashes[place.pack] ?? []), slot: place.slot)
      }
      try lease.renew()
    }
  }

  private func read(_ bytes: Source, _ count: Int) throws {
    guard try bytes.read(into: buffer, 0..<count) == count else {
      throw XensaveError(.changed, "\(source.path): it became shorter while it was read")
    }
    try Interrupt.check(source.path)
  }

  /// The names of the pages at the start of the buffer.
  private func names(_ count: Int) throws -> [UInt8] {
    let jobs = min(Environment.coreCount, (count + 63) / 64)
    guard jobs > 1 else { return PageName.all(buffer, 0..<count) }
    let parts = NamedParts(buffer, count: jobs)
    try Crew.run(jobs, jobs: jobs) { job in
      parts.name(count * job / jobs..<count * (job + 1) / jobs, job)
    }
    return parts.all
  }

  /// The name in the configuration; "" where there is none.
  private static func domain(_ summary: ImageSummary) -> String {
    guard let text = summary.config?.text, let config = try? JSONDocument(text).root else {
      return ""
    }
    return config["c_info"]?["name"]?.stringValue ?? ""
  }

  /// Pages that several threads give names. Safe to send: nobody writes to the buffer meanwhile, and the
  /// names are used under the lock.
  private final class NamedParts: @unchecked Sendable {
    private let buffer: PageAlignedBuffer
    private let parts: Mutex<[[UInt8]]>

    init(_ buffer: PageAlignedBuffer, count: Int) {
      self.buffer = buffer
      parts = Mutex([[UInt8]](repeating: [], count: count))
    }

    func name(_ pages: Range<Int>, _ part: Int) {
      let names = PageName.all(buffer, pages)
      parts.withLock { $0[part] = names }
    }

    var all: [UInt8] { parts.withLock { $0.flatMap { $0 } } }
  }
}
