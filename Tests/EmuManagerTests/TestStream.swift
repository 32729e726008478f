// The stream between two hosts, as a test holds its other end.

import Glibc
import SystemIO
import TestKit

/// What the manager gets as -fd, and what a test reads from it or writes into it.
final class TestStream {
  /// The manager's.
  private(set) var descriptor: Int32
  private var other: Int32
  private let file: TemporaryFile?

  enum Kind: CaseIterable { case socket, pipe, file }

  /// For a save.
  init(_ kind: Kind = .socket) {
    switch kind {
    case .socket: (descriptor, other, file) = TestStream.sockets()
    case .pipe:
      var ends: [Int32] = [-1, -1]
      precondition(Glibc.pipe(&ends) == 0)
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      (descriptor, other, file) = (ends[1], ends[0], nil)
    case .file:
      let file = TemporaryFile()
      descriptor = open(file.path, O_WRONLY | O_APPEND | O_CLOEXEC)
      other = open(file.path, O_RDONLY | O_CLOEXEC)
      self.file = file
    }
  }

  /// A descriptor that is no stream at all.
  init(taking descriptor: Int32) {
    (self.descriptor, other, file) = (descriptor, -1, nil)
  }

  /// For a restore: with these bytes in it. They fit into a socket.
  init(holding bytes: [UInt8]) {
    (descriptor, other, file) = TestStream.sockets()
    precondition(write(other, bytes, bytes.count) == bytes.count)
  }

  private static func sockets() -> (Int32, Int32, TemporaryFile?) {
    var ends: [Int32] = [-1, -1]
    precondition(
      socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
    return (ends[0], ends[1], nil)
  }

  deinit {
    giveAway()
    if other >= 0 { close(other) }
  }

  /// The manager has got it: then what is not kept here ends with the manager.
  func giveAway() {
    if isKept { return }
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
  }

  /// The host at the other end is gone.
  func closeOtherEnd() {
    close(other)
    other = -1
  }

  /// What the manager has left unread is still to be looked at.
  var isKept = false

  /// The test's own end, which it must not close.
  var otherEnd: Int32 { other }

  /// What can be read now: what the manager has written, or (`ofManager`) what it has left unread.
  func rest(ofManager: Bool = false) -> [UInt8] {
    let end = ofManager ? descriptor : other
    _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK)
    var out: [UInt8] = []
    while true {
      var bytes = [UInt8](repeating: 0, count: 65536)
      let count = read(end, &bytes, bytes.count)
      guard count > 0 else { return out }
      out += bytes[..<count]
    }
  }

  /// Reads until the manager has ended, on a thread of its own; then `collected` has all.
  func collect() {
    let end = other
    let box = box
    collector = TestThread {
      var bytes = [UInt8](repeating: 0, count: 1 << 16)
      while case let count = read(end, &bytes, bytes.count), count > 0 {
        box.bytes += bytes[..<count]
      }
    }
  }

  var collected: [UInt8] {
    collector?.join()
    return box.bytes
  }

  /// Writes on a thread of its own, and leaves the stream open.
  func feed(_ bytes: [UInt8]) {
    let end = other
    _ = TestThread {
      var start = 0
      while start < bytes.count {
        let part = Array(bytes[start..<min(start + 65536, bytes.count)])
        let count = write(end, part, part.count)
        guard count > 0 else { return }
        start += count
      }
    }
  }

  private var collector: TestThread?
  private let box = Box()
  private final class Box: @unchecked Sendable { var bytes: [UInt8] = [] }
}
