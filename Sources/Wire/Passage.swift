// Bytes from one descriptor to another, as they are.

internal import Bytes
public import SystemIO

/// Hands bytes on as soon as they come.
public enum Passage {
  private static let byteCount = 256 << 10

  /// Hands on all that comes, until the source ends or nobody reads what is written.
  /// Where the descriptor `end` can be read, nobody needs more.
  public static func run(_ source: Source, _ sink: Sink, end: Int32 = -1) throws -> WireEnd {
    do { return try passAll(source, sink, end) } catch {
      guard error.isBrokenPipe else { throw error }
      return .hungUp
    }
  }

  private static func passAll(
    _ source: Source, _ sink: Sink, _ end: Int32
  ) throws(SystemError) -> WireEnd {
    let buffer = PageAlignedBuffer(capacity: byteCount)
    while true {
      switch source.waitForBytes(milliseconds: -1, orHangupOf: sink, orEnd: end) {
      case .hungUp: return .hungUp
      case .late: continue
      case .woken: try Interrupt.check(source.path)
      case .ready:
        let got = try source.readAvailable(into: buffer, 0..<buffer.capacity)
        if got == 0 { return .complete }
        try sink.write(buffer, 0..<got)
      }
    }
  }

  /// The same on another thread, for the way back: at the end of one side the other is let go.
  static func start(_ source: Source, _ sink: Sink) throws -> WorkerThread {
    let thread = try WorkerThread()
    thread.start {
      // What goes wrong here ends the passage: both sides see it as an end.
      _ = try? run(source, sink)
      sink.cut()
      source.cut()
    }
    return thread
  }
}
