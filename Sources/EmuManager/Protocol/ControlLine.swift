// The lines of text between xenopsd and its emu-manager.

internal import Glibc

/// What an emu-manager writes to xenopsd. xen-api: ocaml/xenopsd/xc/emu_manager.ml, domain.ml.
enum ControlLine: Equatable {
  /// Bytes of a line without its end.
  static let limit = 127

  /// How far a save is, 0 to 100.
  case progress(Int)
  /// xenopsd is to write the header of this emulator's record into the stream. It answers `done`.
  case prepare(String)
  /// xenopsd is to suspend the domain. It answers `done`.
  case suspend
  /// The save is complete.
  case saved
  /// The restore of this emulator is complete. xenguest: frame numbers of xenstore's ring and of the
  /// console.
  case restored(String, result: String?)
  case error(String)

  /// The line with its end.
  var bytes: [UInt8] {
    let text =
      switch self {
      // xenopsd passes over four times a backslash and "b": once they were meant for a terminal.
      case .progress(let percent): #"info:\b\b\b\b\#(percent)"#
      case .prepare(let emulator): "prepare:\(emulator)"
      case .suspend: "suspend:"
      case .saved: "result:0 0"
      case .restored(let emulator, let result?): "result:\(emulator) \(result)"
      case .restored(let emulator, nil): "result:\(emulator)"
      case .error(let reason): "error:\(reason)"
      }
    return Array(text.utf8) + [UInt8(ascii: "\n")]
  }
}

/// What xenopsd writes to an emu-manager.
enum ControlMessage: Equatable {
  /// `prepare` or `suspend` has been done.
  case done
  /// The next byte of the stream is this emulator's.
  case restore(String)
  /// The task was cancelled.
  case abort
}

/// Takes messages from bytes, however they were cut on their way.
struct ControlReader {
  private var buffer: [UInt8] = []

  /// Adds bytes that were read: at most `room`.
  mutating func append(_ bytes: some Sequence<UInt8>) { buffer += bytes }

  /// Bytes that may be read next. 0 only where a line is too long, which `next` throws for.
  var room: Int { max(0, ControlLine.limit + 1 - buffer.count) }

  /// The next message; nil where its end has not come yet. Throws for one that is not known and for a
  /// line of more than 127 bytes, as the stock programs fail.
  mutating func next() throws(ManagerFailure) -> ControlMessage? {
    guard let end = buffer.firstIndex(of: UInt8(ascii: "\n")) else {
      guard room > 0 else {
        throw ManagerFailure(.system(EMSGSIZE), "xenopsd sent a line of more than 127 bytes")
      }
      return nil
    }
    let line = String(decoding: buffer[..<end], as: UTF8.self)
    buffer.removeFirst(end + 1)
    if line == "done" { return .done }
    // The stock program of XenServer looks at the beginning only.
    if line == "abort" { return .abort }
    if line.hasPrefix("restore:") { return .restore(String(line.dropFirst(8))) }
    throw .nonsense("xenopsd sent '\(line.prefix(60))'")
  }
}
