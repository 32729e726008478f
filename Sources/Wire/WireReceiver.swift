// Frames from one descriptor, and the stream to another.

internal import Bytes
public import SystemIO

/// Restores a stream from frames. Whatever comes, memory is bounded: a few frames of 1 MiB, and the cache.
public final class WireReceiver {
  public private(set) var totals = WireTotals()

  private let source: Source
  private let sink: Sink
  private let end: Int32
  private let cache: PageCache
  private let out = PageAlignedBuffer(capacity: OutgoingFrame.chunkByteCount)
  private var frames: [IncomingFrame] = []
  private var threads: [WorkerThread] = []
  private var oldest = 0
  private var outstanding = 0
  private var sequence: UInt32 = 0
  private var head: [UInt8] = []

  /// Restores what comes from `source` to `sink`, unpacked by so many threads beside this one; 0 for none.
  /// Where the descriptor `end` can be read, nobody needs more.
  public init(
    _ source: Source, _ sink: Sink, end: Int32 = -1, cacheByteCount: UInt64, threads count: Int
  ) throws {
    self.source = source
    self.sink = sink
    self.end = end
    cache = PageCache(byteCount: cacheByteCount)
    for _ in 0..<count { threads.append(try WorkerThread()) }
    for _ in 0..<max(count, 1) { frames.append(try IncomingFrame()) }
  }

  /// Restores until the last frame.
  ///
  /// - Throws: `XensaveError` where a frame is damaged, and where the source ends without a last one.
  ///   Nothing of such a frame has been written.
  public func run() throws -> WireEnd {
    defer { for thread in threads { thread.wait() } }
    do {
      while true {
        if outstanding == frames.count { try finishOldest() }
        guard let header = try nextHeader() else { return .hungUp }
        if header.kind == .end {
          while outstanding > 0 { try finishOldest() }
          guard header.checksum == totals.restored else {
            throw XensaveError(.malformed, "wire: the last frame counts other bytes than came")
          }
          return .complete
        }
        let frame = frames[(oldest + outstanding) % frames.count]
        frame.begin(header)
        while !frame.isComplete {
          guard try waitForBytes() else { return .hungUp }
          if try !frame.fill(from: source) { throw cut }
        }
        try dispatch(frame)
      }
    } catch let error as SystemError where error.isBrokenPipe {
      return .hungUp
    }
  }

  /// Waits until there is something to read, and meanwhile writes what is restored; false where nobody
  /// reads it.
  private func waitForBytes() throws -> Bool {
    while true {
      let patience: Int32 = outstanding > 0 ? 0 : -1
      switch source.waitForBytes(milliseconds: patience, orHangupOf: sink, orEnd: end) {
      case .ready: return true
      case .hungUp: return false
      case .woken: try Interrupt.check(source.path)
      case .late: try finishOldest()
      }
    }
  }

  private func nextHeader() throws -> FrameHeader? {
    head.removeAll(keepingCapacity: true)
    while head.count < FrameHeader.byteCount {
      guard try waitForBytes() else { return nil }
      let more = try source.readAvailable(FrameHeader.byteCount - head.count)
      if more.isEmpty { throw cut }
      head += more
    }
    defer { sequence &+= 1 }
    return try FrameHeader(parsing: head, sequence: sequence)
  }

  private var cut: XensaveError {
    XensaveError(
      .truncated, "wire: the connection ended after \(totals.restored) bytes of the stream")
  }

  private func dispatch(_ frame: IncomingFrame) throws {
    outstanding += 1
    totals.frames += 1
    totals.sent += UInt64(FrameHeader.byteCount + frame.header.bodyByteCount)
    if threads.isEmpty {
      frame.unpack()
      try finishOldest()
    } else {
      threads[Int(frame.header.sequence) % threads.count].start { frame.unpack() }
    }
  }

  private func finishOldest() throws {
    let frame = frames[oldest]
    if !threads.isEmpty { threads[Int(frame.header.sequence) % threads.count].wait() }
    oldest = (oldest + 1) % frames.count
    outstanding -= 1
    out.reserve(frame.header.restored)
    try frame.restore(into: out, cache)
    try sink.write(out, 0..<frame.header.restored)
    totals.restored += UInt64(frame.header.restored)
  }
}
