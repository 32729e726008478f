// xenstored, as far as reading goes.

import Bytes
import Glibc
import Synchronization
import TestKit

/// Answers reads from a table, on a thread of its own.
final class FakeXenStore: Sendable {
  private let listener: Int32
  private let table = Mutex<[String: String]>([:])
  private let isStopped = Mutex(false)
  /// What is answered in the place of a value, for replies that make no sense.
  let reply = Mutex<[UInt8]?>(nil)

  var nodes: [String: String] {
    get { table.withLock { $0 } }
    set { table.withLock { $0 = newValue } }
  }

  init(_ path: String) throws {
    let listener = listeningSocket(at: path)
    self.listener = listener
    _ = TestThread { [weak self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0, let self else { return }
        self.serve(connection)
        close(connection)
      }
    }
  }

  deinit { stop() }

  /// From now on nobody listens.
  func stop() {
    isStopped.withLock { isStopped in
      if !isStopped {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
      }
      isStopped = true
    }
  }

  private func serve(_ connection: Int32) {
    while let header = FakeXenStore.read(connection, 16) {
      let count = Int(header.load(12, as: UInt32.self, .native))
      guard let body = FakeXenStore.read(connection, count), body.last == 0 else { return }
      let path = String(decoding: body.dropLast(), as: UTF8.self)
      let value = nodes[path]
      var answer: [UInt8] = []
      // XS_READ is 2, XS_ERROR 16.
      let isRead = header.load(0, as: UInt32.self, .native) == 2
      answer.append(integer: UInt32(isRead && value != nil ? 2 : 16), .native)
      answer += header[4..<12]
      let text = Array((isRead ? value ?? "ENOENT\0" : "EINVAL\0").utf8)
      answer.append(integer: UInt32(text.count), .native)
      answer += text
      answer = reply.withLock { $0 } ?? answer
      guard write(connection, answer, answer.count) == answer.count else { return }
    }
  }

  private static func read(_ descriptor: Int32, _ count: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var part = [UInt8](repeating: 0, count: count - bytes.count)
      let got = Glibc.read(descriptor, &part, part.count)
      guard got > 0 else { return nil }
      bytes += part[..<got]
    }
    return bytes
  }
}
