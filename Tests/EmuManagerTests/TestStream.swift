// The stream between two hosts, as a test holds its other end.

import Glibc
import SystemIO
import TestKit

/// What the manager gets as -fd, and what a test reads from it or writes into it.
final class TestStream {
  /// The manager's.
  let descriptor: Int32
  private let other: Int32
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
    close(descriptor)
    close(other)
  }

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
}
