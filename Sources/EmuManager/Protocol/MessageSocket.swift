// A socket of another program that speaks JSON.

internal import CSystem
internal import Glibc
internal import JSON

/// The connection to xenguest or QEMU: objects in both directions, and descriptors in ours.
final class MessageSocket {
  let emulator: String
  /// -1 once it is closed.
  private(set) var fileDescriptor: Int32
  private var framing: JSONFraming
  /// Whether the other side has hung up.
  private(set) var isAtEnd = false

  /// Connects to the socket at `path`. Nobody retries: both programs listen before they say that they
  /// are ready.
  init(connectingTo path: String, emulator: String, limit: Int) throws(ManagerFailure) {
    self.emulator = emulator
    framing = JSONFraming(limit: limit)
    fileDescriptor = unsafe csystem_connect(path)
    guard fileDescriptor >= 0 else {
      throw ManagerFailure(.system(errno), "\(emulator): no connection to \(path)")
    }
    // A program that is stopped must not stop this one: what is written are single short messages.
    let flags = fcntl(fileDescriptor, F_GETFL)
    _ = fcntl(fileDescriptor, F_SETFL, flags | O_NONBLOCK)
  }

  deinit { close() }

  func close() {
    if fileDescriptor >= 0 { _ = Glibc.close(fileDescriptor) }
    fileDescriptor = -1
  }

  /// Sends a message, with a descriptor where `passing` is one. It goes out whole or not at all.
  func send(_ bytes: [UInt8], passing descriptor: Int32 = -1) throws(ManagerFailure) {
    let count = unsafe csystem_send_descriptor(fileDescriptor, bytes, bytes.count, descriptor)
    guard count != bytes.count else { return }
    let errorNumber = count < 0 ? errno : EAGAIN
    throw ManagerFailure(.system(errorNumber), "\(emulator): a command could not be sent")
  }

  /// Reads what there is, which may be nothing.
  func receive() throws(ManagerFailure) {
    var bytes = [UInt8](repeating: 0, count: 1024)
    let count = unsafe read(fileDescriptor, &bytes, bytes.count)
    if count > 0 {
      framing.append(bytes[..<count])
    } else if count == 0 || errno == ECONNRESET {
      isAtEnd = true
    } else if errno != EAGAIN && errno != EINTR {
      throw ManagerFailure(.system(errno), emulator: emulator, "its messages cannot be read")
    }
  }

  /// The next message that has come whole.
  func next() throws(ManagerFailure) -> JSONObject? { try framing.next(from: emulator) }
}
