// Moving bytes from a source to a sink by the cheapest way that the pair of them allows.

internal import Bytes
internal import CSystem
internal import Glibc

/// The ways to move bytes. Which one serves a pair of descriptors is `Transfer.strategy`.
public enum TransferStrategy: Sendable, Equatable {
  /// copy_file_range(2) of whole blocks: the file system shares extents.
  case shareExtents
  /// copy_file_range(2): the kernel copies from one file to the other, once instead of twice.
  case copyRange
  /// splice(2): pages change hands inside the kernel.
  case splice
  /// read(2) and write(2) through a buffer.
  case copy
}

public enum Transfer {
  /// What pipes are enlarged to, in bytes: with 64 KiB, waking the reader costs more than moving.
  public static let pipeCapacity: Int32 = 1 << 20
  /// Bytes of one write to a pipe. A writer and a reader take turns at a pipe's lock: one call of
  /// several MiB keeps it until the pipe is full, and then waits until it is empty.
  static let pipeChunk = 256 << 10
  /// Bytes of a copy's buffer; between files, and what is moved between two looks at `Interrupt`.
  static let chunk = 256 << 10
  /// What file systems share extents in, in bytes.
  static let block = 4096

  /// From how many bytes on a copy by hand reads ahead.
  static let readAheadLimit: UInt64 = 8 << 20

  /// Where in a block-aligned buffer bytes for `sink` begin: half a block from where they go, so that
  /// neither of the two copies is a slow one.
  static func bufferStart(_ sink: Sink) -> Int {
    sink.kind == .file ? (sink.fileOffset() + block / 2) % block : 0
  }

  /// Whether the kernel copies slowly from one place of a block to another: where bytes go a few
  /// bytes higher, as after a name that became longer, processors take three times as long.
  static func isSlow(from: Int, to: Int) -> Bool {
    let delta = (to - from) & (block - 1)
    return delta > 0 && delta < 64
  }

  /// The way for a pair. The table (rows: source, columns: sink):
  ///
  ///              | file                               | pipe   | socket | other
  ///      file    | shareExtents if it can, copyRange  | splice | copy   | copy
  ///      pipe    | splice                             | splice | splice | splice
  ///      socket  | copy                               | splice | copy   | copy
  static func strategy(_ source: Source, _ sink: Sink) -> TransferStrategy {
    if source.isRemote || sink.isRemote { return .copy }
    return switch (source.kind, sink.kind) {
    case (.file, .file):
      source.identity.device == sink.identity.device
        && csystem_shares_extents(source.fileDescriptor) ? .shareExtents : .copyRange
    case (.pipe, _): .splice
    case (.file, .pipe), (.socket, .pipe): .splice
    default: .copy
    }
  }
}

extension Source {
  /// Whether bytes that move to `sink` can stay where they are on the disk: where they lie at the
  /// same place of a block of 4096 bytes in both files.
  public func sharesExtents(with sink: Sink) -> Bool {
    Transfer.strategy(self, sink) == .shareExtents
  }

  /// Moves `count` bytes to `sink`. Returns how many there were: fewer only at the end of the
  /// source. `forcing` chooses the way (tests try each).
  public func move(
    _ count: UInt64, to sink: Sink, forcing: TransferStrategy? = nil
  ) throws(SystemError) -> UInt64 {
    var moved: UInt64 = 0
    let inWindow = takeWindow(Int(clamping: count))
    if !inWindow.isEmpty {
      try sink.write(inWindow)
      moved = UInt64(inWindow.count)
    }
    moved += try moveOn(count - moved, to: sink, forcing)
    return moved
  }

  /// Copies `count` bytes of a file from `offset` on, wherever the position is, and leaves the
  /// position alone. Returns how many there were.
  public func copy(
    from offset: UInt64, _ count: UInt64, to sink: Sink
  ) throws(SystemError) -> UInt64 {
    let here = position
    seek(offset)
    defer { seek(here) }
    return try moveOn(count, to: sink, nil)
  }

  /// Moves bytes that are not in the window.
  private func moveOn(
    _ count: UInt64, to sink: Sink, _ forcing: TransferStrategy?
  ) throws(SystemError) -> UInt64 {
    var moved: UInt64 = 0
    // The kernel would continue into what was appended since the file was opened.
    let count = min(count, byteCount.map { $0 > position ? $0 - position : 0 } ?? .max)
    var strategy = forcing ?? Transfer.strategy(self, sink)
    if remote != nil, sink.takesRanges(of: self) {
      moved = try sink.takeRange(of: self, position, count)
      advance(moved)
    }
    remote?.expect(position..<position + (count - moved))
    var copyBuffer: PageAlignedBuffer?
    while moved < count {
      try Interrupt.check(path)
      var chunk = Int(min(count - moved, UInt64(Transfer.chunk) * (strategy == .copy ? 1 : 64)))
      var got: Int
      var now = strategy
      if strategy == .shareExtents {
        // Only whole blocks are shared: what comes before the first is copied, and everything where
        // the two files do not have their bytes at the same place of a block.
        let place = fileOffset(position) % Transfer.block
        if place != sink.fileOffset() % Transfer.block {
          strategy = .copyRange
          continue
        }
        if place != 0 {
          now = .copy
          chunk = min(chunk, Transfer.block - place)
        }
      }
      if strategy == .copyRange, Transfer.isSlow(from: fileOffset(position), to: sink.fileOffset())
      {
        strategy = .copy
        let rest = count - moved
        if rest >= Transfer.readAheadLimit, let thread = try? WorkerThread() {
          return moved + (try copyAhead(rest, to: sink, thread))
        }
        continue
      }
      switch now {
      case .copy:
        let buffer = copyBuffer ?? PageAlignedBuffer(capacity: Transfer.block + Transfer.chunk)
        copyBuffer = buffer
        let start = Transfer.bufferStart(sink)
        chunk = min(chunk, Transfer.chunk)
        got = try readSome(into: buffer, start..<start + chunk, at: position)
        if got > 0 { try sink.write(buffer, start..<start + got) }
        advance(UInt64(got))
      case .splice, .shareExtents, .copyRange:
        guard let result = try kernelMove(chunk, to: sink, strategy) else {
          strategy = .copy  // the kernel cannot do it for this pair: the same bytes by hand
          continue
        }
        got = result
        advance(UInt64(got))
        sink.advance(UInt64(got))
      }
      if got == 0 { break }
      moved += UInt64(got)
    }
    return moved
  }

  /// Copies bytes of a file, which it has, to another one by hand: the next chunk is read on a second
  /// thread while the one before is written.
  private func copyAhead(
    _ count: UInt64, to sink: Sink, _ thread: WorkerThread
  ) throws(SystemError) -> UInt64 {
    /// Touched by the thread while it has a job, and by nobody else then.
    final class Outcome {
      var got = 0
      var error: SystemError?
    }
    let reader = try duplicate()
    let outcome = Outcome()
    let start = Transfer.bufferStart(sink)
    let buffers = (0..<2).map { _ in PageAlignedBuffer(capacity: Transfer.block + Transfer.chunk) }
    let end = position + count
    func begin(_ place: UInt64, into buffer: PageAlignedBuffer) {
      let chunk = Int(min(end - place, UInt64(Transfer.chunk)))
      thread.start {
        do throws(SystemError) {
          reader.seek(place)
          outcome.got = try reader.read(into: buffer, start..<start + chunk)
        } catch { outcome.error = error }
      }
    }
    defer { thread.wait() }
    let first = position
    var index = 0
    begin(position, into: buffers[0])
    while position < end {
      try Interrupt.check(path)
      thread.wait()
      if let error = outcome.error { throw error }
      let got = outcome.got
      let buffer = buffers[index % 2]
      index += 1
      let next = position + UInt64(got)
      if got > 0, next < end { begin(next, into: buffers[index % 2]) }
      if got == 0 { break }
      try sink.write(buffer, start..<start + got)
      advance(UInt64(got))
    }
    return position - first
  }

  /// One call of the kernel's; nil where it refuses the pair.
  private func kernelMove(
    _ count: Int, to sink: Sink, _ strategy: TransferStrategy
  ) throws(SystemError) -> Int? {
    while true {
      var offset = Int64(fileOffset(position))
      let result =
        switch strategy {
        case .shareExtents, .copyRange:
          // Safety: the calls read and write only the offset that they are given.
          unsafe csystem_copy_file_range(fileDescriptor, &offset, sink.fileDescriptor, nil, count)
        default:
          isFile
            ? unsafe csystem_splice(fileDescriptor, &offset, sink.fileDescriptor, nil, count)
            : csystem_splice(fileDescriptor, nil, sink.fileDescriptor, nil, count)
        }
      if result >= 0 {
        // copy_file_range gives 0 where it cannot copy (some virtual file systems): not an end.
        if result == 0, isFile, let byteCount, position < byteCount { return nil }
        return result
      }
      switch errno {
      case EINTR: try Interrupt.check(path)
      case EAGAIN:
        try Waiting.untilReady(fileDescriptor, forWriting: false, path)
        try Waiting.untilReady(sink.fileDescriptor, forWriting: true, sink.path)
      case EINVAL, ENOSYS, EXDEV, EOPNOTSUPP, EPERM, EBADF, EISDIR, ETXTBSY: return nil
      case EPIPE, ENOSPC, EDQUOT, EFBIG: throw SystemError("write", errno, sink.path)
      default: throw SystemError(strategy == .splice ? "splice" : "copy_file_range", errno, path)
      }
    }
  }
}
