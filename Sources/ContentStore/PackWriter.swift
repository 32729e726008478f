// New packs: pages gathered into frames, which are packed side by side.

internal import Bytes
internal import Jobs
internal import SystemIO
internal import Zstd

/// Writes pages that a store does not have. Frames are packed on several threads; their order in the pack
/// is the order of the pages.
final class PackWriter {
  private let place: StorePlace
  private let jobs: Int
  private var lanes: [Lane] = []
  private var filled = 0
  private var output: OutputFile?
  private var index = PackIndex()
  private var id = PackID.random()
  /// Called with each pack that is complete.
  private let finished: (PackID, PackIndex, _ hash: [UInt8]) throws -> Void

  /// A frame. Safe to send: one thread has it between two calls of `Crew.run`.
  private final class Lane: @unchecked Sendable {
    let input = PageAlignedBuffer(capacity: PackIndex.framePageCount * 4096)
    let output = PageAlignedBuffer(capacity: PackIndex.framePageCount * 4096)
    let packer: ZstdPacker
    var pageCount = 0
    /// Bytes of the packed frame; nil where it is written as it is.
    var packed: Int?

    init() throws { packer = try ZstdPacker() }
  }

  init(
    _ place: StorePlace, jobs: Int = Environment.coreCount,
    finished: @escaping (PackID, PackIndex, _ hash: [UInt8]) throws -> Void
  ) throws {
    (self.place, self.jobs, self.finished) = (place, jobs, finished)
    lanes = try (0..<2 * max(1, jobs)).map { _ in try Lane() }
  }

  /// Adds the page at byte `offset` of `buffer`; says where it will be.
  func add(
    _ buffer: PageAlignedBuffer, _ offset: Int, _ name: some Collection<UInt8>
  ) throws -> (pack: PackID, slot: Int) {
    if index.pageCount == PackIndex.pageLimit { try finish() }
    let lane = lanes[filled]
    buffer.withBytes(offset..<offset + 4096) { lane.input.store(4096 * lane.pageCount, $0) }
    lane.pageCount += 1
    let slot = index.pageCount
    index.addPages(name)
    let result = (id, slot)
    if lane.pageCount == PackIndex.framePageCount {
      filled += 1
      if filled == lanes.count { try flush() }
    }
    return result
  }

  /// Writes the frames that are gathered.
  private func flush() throws {
    let lanes = lanes.filter { $0.pageCount > 0 }
    guard !lanes.isEmpty else { return }
    try Crew.run(lanes.count, jobs: jobs) { index in
      let lane = lanes[index]
      lane.packed = try lane.packer.pack(
        lane.input, 4096 * lane.pageCount, level: 3, into: lane.output, at: 0)
    }
    let output = try output ?? OutputFile(place.path("packs/" + id.text), .memory, .replacing)
    self.output = output
    for lane in lanes {
      let count = lane.packed ?? 4096 * lane.pageCount
      try output.sink.write(lane.packed == nil ? lane.input : lane.output, 0..<count)
      index.addFrame(count)
      lane.pageCount = 0
    }
    filled = 0
  }

  /// Completes the pack. Its index comes last: a pack without one is nothing.
  func finish() throws {
    guard index.pageCount > 0 else { return }
    try flush()
    try output?.commit()
    output = nil
    let encoded = index.encoded
    try place.write("index/" + id.text, encoded.bytes, .replacing)
    try finished(id, index, encoded.hash)
    index = PackIndex()
    id = PackID.random()
  }
}
