// The other programs of a host: xenguest and QEMU by their sockets, as tests play them.

import CSystem
import Glibc
import Synchronization
import SystemIO
import TestKit

/// The text of a file.
func contents(of path: String) throws -> String {
  String(decoding: try Source(opening: path).read(1 << 20), as: UTF8.self)
}

/// A socket on which another program sends JSON objects, one after the other.
final class FakePeer {
  /// -1 after `hangUp`, which may come from another thread.
  var descriptor: Int32 { open.withLock { $0 } }
  private let open: Mutex<Int32>
  private var buffer: [UInt8] = []
  /// Descriptors that came with the bytes, in order.
  private(set) var received: [Int32] = []
  private(set) var isAtEnd = false
  /// Bytes of each write: 0 for whole messages.
  var fragmentSize = 0

  init(_ descriptor: Int32) { open = Mutex(descriptor) }

  deinit {
    hangUp()
    for number in received { close(number) }
  }

  func hangUp() {
    open.withLock { descriptor in
      if descriptor >= 0 { close(descriptor) }
      descriptor = -1
    }
  }

  /// The descriptor that came first; the caller closes it.
  func takeDescriptor() -> Int32? { received.isEmpty ? nil : received.removeFirst() }

  func send(_ text: String) {
    guard descriptor >= 0 else { return }
    let bytes = Array(text.utf8)
    var start = 0
    while start < bytes.count {
      let end = fragmentSize > 0 ? min(start + fragmentSize, bytes.count) : bytes.count
      _ = csystem_send_descriptor(descriptor, Array(bytes[start..<end]), end - start, -1)
      start = end
    }
  }

  /// Reads once; the objects that are whole then. They have no brackets inside strings here.
  func receive() -> [String] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    var number: Int32 = -1
    let count = csystem_receive_descriptor(descriptor, &bytes, bytes.count, &number)
    if number >= 0 { received.append(number) }
    guard count > 0 else {
      isAtEnd = true
      return []
    }
    buffer += bytes[..<count]
    var objects: [String] = []
    var (depth, start, position) = (0, 0, 0)
    while position < buffer.count {
      if buffer[position] == UInt8(ascii: "{") { depth += 1 }
      if buffer[position] == UInt8(ascii: "}") {
        depth -= 1
        if depth == 0 {
          objects.append(String(decoding: buffer[start...position], as: UTF8.self))
          start = position + 1
        }
      }
      position += 1
    }
    buffer.removeFirst(start)
    return objects
  }
}

/// The program that the manager starts as xenguest, moved by the test.
final class Puppet {
  private let listener: Int32
  private(set) var driver: Int32 = -1
  private(set) var id: pid_t = 0
  private(set) var arguments: [String] = []
  private(set) var environment: [String] = []

  init(_ folder: String) { listener = listeningSocket(at: folder + "/driver") }

  deinit {
    close(listener)
    if driver >= 0 { close(driver) }
  }

  /// To be looked at until the puppet has been started.
  var waiting: Int32 { driver < 0 ? listener : -1 }

  /// It has been started.
  func take() throws {
    driver = accept(listener, nil, nil)
    _ = fcntl(driver, F_SETFD, FD_CLOEXEC)
    var text: [UInt8] = []
    // Two lists of lines, each with an empty line at its end.
    var emptyLines = 0
    while emptyLines < 2 {
      var byte: UInt8 = 0
      guard read(driver, &byte, 1) == 1 else { throw SystemError("read", EPIPE, "puppet") }
      text.append(byte)
      if text.suffix(2) == [10, 10] { emptyLines += 1 }
    }
    let lines = String(decoding: text, as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    let end = lines.firstIndex(of: "") ?? lines.endIndex
    id = lines.first.flatMap { pid_t($0) } ?? 0
    arguments = lines[..<end].dropFirst().map(String.init)
    environment = lines[(end + 1)...].filter { !$0.isEmpty }.map(String.init)
  }

  /// What it is to do: see Tests/SimEmuManager.
  func move(_ bytes: String) {
    _ = csystem_send_descriptor(driver, bytes, bytes.utf8.count, -1)
  }

  func exit(_ status: UInt8) {
    let bytes = [UInt8(ascii: "X"), status]
    _ = csystem_send_descriptor(driver, bytes, 2, -1)
  }

  /// The manager's connection, which it hands over.
  func connection() throws -> FakePeer {
    move("A")
    var byte: UInt8 = 0
    var number: Int32 = -1
    guard csystem_receive_descriptor(driver, &byte, 1, &number) == 1, number >= 0 else {
      throw SystemError("recvmsg", EPIPE, "puppet")
    }
    return FakePeer(number)
  }
}
