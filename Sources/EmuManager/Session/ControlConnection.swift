// The two pipes to xenopsd.

internal import Glibc

/// The lines of one run.
final class ControlConnection {
  /// Where xenopsd's messages come from.
  let input: Int32
  private let output: Int32
  private var reader = ControlReader()
  /// Whether a `done` is due.
  private(set) var isWaiting = false
  /// Whether xenopsd said something that makes no sense, or is gone: it answers nothing any more.
  var isLost = false
  /// Whether xenopsd has closed its end.
  private(set) var isAtEnd = false

  init(input: Int32, output: Int32) {
    self.input = input
    self.output = output
  }

  /// Writes a line, at once and whole.
  func send(_ line: ControlLine) throws(ManagerFailure) {
    let bytes = line.bytes
    var start = 0
    while start < bytes.count {
      let rest = Array(bytes[start...])
      let count = unsafe write(output, rest, rest.count)
      if count >= 0 {
        start += count
      } else if errno == EAGAIN {
        var entry = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&entry, 1, 1000)
      } else if errno != EINTR {
        throw ManagerFailure(.system(errno), "a line to xenopsd could not be written")
      }
    }
  }

  /// Writes a line that `done` answers.
  func ask(_ line: ControlLine) throws(ManagerFailure) {
    try send(line)
    isWaiting = true
  }

  /// Reads what there is: called when there is something.
  func receive() throws(ManagerFailure) {
    var bytes = [UInt8](repeating: 0, count: reader.room)
    let count = unsafe read(input, &bytes, bytes.count)
    if count > 0 {
      reader.append(bytes[..<count])
    } else if count == 0 {
      isAtEnd = true
    } else if errno != EAGAIN && errno != EINTR {
      throw ManagerFailure(.system(errno), "xenopsd's messages cannot be read")
    }
  }

  /// The next message but `done`, which ends the wait for it; nil where there is none.
  func next() throws(ManagerFailure) -> ControlMessage? {
    while let message = try reader.next() {
      guard message == .done else { return message }
      guard isWaiting else { throw .nonsense("xenopsd sent done where nothing was asked") }
      isWaiting = false
    }
    return nil
  }
}
