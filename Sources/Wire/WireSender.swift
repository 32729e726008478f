// The stream from one descriptor to another, as frames.

internal import Bytes
public import SystemIO

/// How a passage of bytes ended.
public enum WireEnd: Sendable, Equatable {
  /// All has been written.
  case complete
  /// Nobody reads any more.
  case hungUp
}

/// Sends a stream as frames. What has come is sent as soon as the sender of the stream pauses: nothing
/// waits for more bytes.
public final class WireSender {
  public private(set) var totals = WireTotals()

  private let source: Source
  private let sink: Sink
  private let end: Int32
  private let cache: PageCache
  private var control: LevelControl
  private var scanner = StreamScanner()
  /// A ring: the frames from `oldest` on, `outstanding` of them, are being sealed or wait to be written, and
  /// the one after them is being filled.
  private var frames: [OutgoingFrame] = []
  /// They seal frames in turn; none where this thread does.
  private var threads: [WorkerThread] = []
  private var oldest = 0
  private var outstanding = 0
  private var sequence: UInt32 = 0

  /// Sends what comes from `source` to `sink`, packed by so many threads beside this one; 0 for none.
  /// `level` is one of zstd's, or nil for one that adapts. Where the descriptor `end` can be read, nobody
  /// needs more.
  public convenience init(
    _ source: Source, _ sink: Sink, end: Int32 = -1, cacheByteCount: UInt64, threads: Int,
    level: Int?
  ) throws {
    try self.init(
      source, sink, end: end, cacheByteCount: cacheByteCount, threads: threads, level: level,
      frameByteCount: OutgoingFrame.chunkByteCount)
  }

  /// Frames of `frameByteCount` bytes of the stream, at least two pages.
  init(
    _ source: Source, _ sink: Sink, end: Int32 = -1, cacheByteCount: UInt64, threads count: Int,
    level: Int?, frameByteCount: Int
  ) throws {
    self.source = source
    self.sink = sink
    self.end = end
    cache = PageCache(byteCount: cacheByteCount)
    control = LevelControl(fixed: level)
    for _ in 0..<count { threads.append(try WorkerThread()) }
    for _ in 0...max(count, 1) { frames.append(try OutgoingFrame(byteCount: frameByteCount)) }
  }

  private var current: OutgoingFrame { frames[(oldest + outstanding) % frames.count] }

  /// Sends until the source ends.
  public func run() throws -> WireEnd {
    defer { for thread in threads { thread.wait() } }
    do {
      while true {
        let frame = current
        switch try next(frame) {
        case .filled: try dispatch(isFlushed: false)
        case .paused: try dispatch(isFlushed: true)
        case .hungUp: return .hungUp
        case .ended:
          if !frame.isEmpty { try dispatch(isFlushed: true) }
          while outstanding > 0 { try finishOldest() }
          var end = FrameHeader(.end, sequence: sequence)
          end.checksum = totals.restored
          try sink.write(end.bytes)
          totals.sent += UInt64(FrameHeader.byteCount)
          return .complete
        }
      }
    } catch let error as SystemError where error.isBrokenPipe {
      return .hungUp
    }
  }

  /// Milliseconds for which the rest of a record is waited for.
  private static let linger: Int32 = 5

  private enum Fill { case filled, paused, ended, hungUp }

  /// Fills a frame until it is full, or the stream pauses.
  private func next(_ frame: OutgoingFrame) throws -> Fill {
    while !frame.isFull {
      let isIdle = frame.isEmpty && outstanding == 0
      switch try wait(milliseconds: isIdle ? -1 : 0) {
      case .ready:
        guard try frame.fill(from: source) else { return .ended }
        frame.scan(&scanner, cache, &totals)
      case .hungUp: return .hungUp
      case .woken: try Interrupt.check(source.path)
      case .late:
        if outstanding > 0 {
          try finishOldest()
          continue
        }
        // In the middle of a record more is on its way: a frame of a few bytes would cost more than it
        // brings. Between records the other side may wait for what has come.
        if !scanner.isBetweenRecords, try wait(milliseconds: WireSender.linger) == .ready {
          continue
        }
        return .paused
      }
    }
    return .filled
  }

  private func wait(milliseconds: Int32) throws -> PassageReadiness {
    guard milliseconds != 0 else {
      return source.waitForBytes(milliseconds: 0, orHangupOf: sink, orEnd: end)
    }
    let start = monotonicNanoseconds()
    defer { control.note(input: monotonicNanoseconds() - start) }
    return source.waitForBytes(milliseconds: milliseconds, orHangupOf: sink, orEnd: end)
  }

  /// Has the current frame sealed, and begins the next one with what was not looked at.
  private func dispatch(isFlushed: Bool) throws {
    let frame = current
    if isFlushed { frame.scan(&scanner, cache, &totals, isFlushed: true) }
    if outstanding == frames.count - 1 { try finishOldest() }
    let next = frames[(oldest + outstanding + 1) % frames.count]
    next.removeAll()
    frame.moveRest(to: next)
    let (frameSequence, level) = (sequence, control.level)
    sequence &+= 1
    outstanding += 1
    if threads.isEmpty {
      let start = monotonicNanoseconds()
      frame.seal(sequence: frameSequence, level: level)
      control.note(processor: monotonicNanoseconds() - start)
      try finishOldest()
    } else {
      // Outstanding frames are no more than threads, and each has its own.
      threads[Int(frameSequence) % threads.count].start {
        frame.seal(sequence: frameSequence, level: level)
      }
    }
  }

  /// Writes the frame that was dispatched first.
  private func finishOldest() throws {
    let frameSequence = sequence &- UInt32(outstanding)
    let start = monotonicNanoseconds()
    if !threads.isEmpty { threads[Int(frameSequence) % threads.count].wait() }
    let middle = monotonicNanoseconds()
    try frames[oldest].write(to: sink, &totals)
    oldest = (oldest + 1) % frames.count
    outstanding -= 1
    control.note(link: monotonicNanoseconds() - middle, processor: middle - start)
  }
}
