// The contents of a packed file from its start to its end.

internal import Bytes
internal import CUnpack
internal import SystemIO
internal import Zstd

/// Unpacks a file or pipe while it is read. Memory does not grow with it: a window of at most 128 MiB (zstd
/// --long, xz -9 has 64), and 128 KiB.
final class UnpackedStream: UnpackingReader {
  let name: String
  let packing: Packing
  var identity: FileIdentity { source.identity }

  private let source: Source
  private let decoder: Decoder
  private let input = PageAlignedBuffer(capacity: 128 << 10)
  private var used = 0
  private var filled = 0
  private var isAtEnd = false
  /// Whether the data may end where it was unpacked to.
  private var isBetween = false
  /// Steps that came to nothing.
  private var idleCount = 0
  private static let idleLimit = 1000

  private enum Decoder {
    case zstd(ZstdStreamDecoder)
    case library(LibraryDecoder)
  }

  /// Begins where the source stands.
  init(_ source: Source, _ packing: Packing) throws(SystemError) {
    (self.source, self.packing) = (source, packing)
    name = source.path
    do {
      decoder =
        switch packing {
        case .zstd: .zstd(try ZstdStreamDecoder())
        case .gzip: .library(try LibraryDecoder(cunpack_gzip))
        case .xz: .library(try LibraryDecoder(cunpack_xz))
        }
    } catch {
      throw SystemError("open", RemoteFiles.unsupported, source.path, "\(packing) data: \(error)")
    }
  }

  func read(into buffer: PageAlignedBuffer, _ range: Range<Int>) throws(SystemError) -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    while !range.isEmpty {
      if used == filled, !isAtEnd {
        used = 0
        filled = try source.readAvailable(into: input, 0..<input.capacity)
        isAtEnd = filled == 0
      }
      if isAtEnd, isBetween { return 0 }
      let (taken, given) = try step(buffer, range)
      if given > 0 { return given }
      guard taken == 0 else { continue }
      // What it still holds of data that are cut comes out with no more input.
      if isAtEnd, !isBetween { throw refuse("it is cut") }
      idleCount += 1
      if idleCount > UnpackedStream.idleLimit { throw refuse("it does not go on") }
    }
    return 0
  }

  private func step(
    _ buffer: PageAlignedBuffer, _ range: Range<Int>
  ) throws(SystemError) -> (taken: Int, given: Int) {
    let step: (taken: Int, given: Int, isBetween: Bool)
    do {
      switch decoder {
      case .zstd(let decoder):
        step = try decoder.step(input, used..<filled, into: buffer, range)
      case .library(let decoder):
        step = try decoder.step(input, used..<filled, isLast: isAtEnd, into: buffer, range)
      }
    } catch { throw refuse("\(error)") }
    used += step.taken
    // Where nothing came of nothing, it is where it was.
    if step.taken > 0 || step.given > 0 || step.isBetween { isBetween = step.isBetween }
    return (step.taken, step.given)
  }

  private func refuse(_ problem: String) -> SystemError {
    let place = source.position - UInt64(filled - used)
    return SystemError("read", 5, name, "\(packing) data before byte \(place): \(problem)")
  }
}

/// Unpacks by a library that is opened at run time.
@safe private final class LibraryDecoder {
  private let state: OpaquePointer

  init(_ format: cunpack_format) throws {
    var problem: UnsafePointer<CChar>?
    // Safety: nil is checked for; it is ended once, in deinit. Texts are string constants.
    guard
      let state = unsafe cunpack_begin(format, 1 << ZstdStreamDecoder.windowLog, &problem)
    else {
      let text = unsafe problem.map { unsafe String(cString: $0) } ?? ""
      throw XensaveError(.invalid, unsafe "\(String(cString: cunpack_library(format))): \(text)")
    }
    unsafe self.state = state
  }

  deinit { unsafe cunpack_end(state) }

  func step(
    _ input: PageAlignedBuffer, _ range: Range<Int>, isLast: Bool, into output: PageAlignedBuffer,
    _ room: Range<Int>
  ) throws -> (taken: Int, given: Int, isBetween: Bool) {
    // Safety: both ranges lie inside their buffers; the text is a string constant.
    var step = unsafe cunpack_step(
      input: input.pointer(range.lowerBound), input_count: range.count, is_last: isLast,
      output: output.pointer(room.lowerBound), room: room.count, taken: 0, given: 0,
      is_between: false)
    if let problem = unsafe cunpack_step(state, &step) {
      throw XensaveError(.invalid, unsafe String(cString: problem))
    }
    return unsafe (step.taken, step.given, step.is_between)
  }
}
