// The few nodes of xenstore that say which domain this is, read without Xen's libraries.

internal import Bytes
internal import CSystem
internal import Glibc
internal import SystemIO

/// A connection to xenstored's socket. Xen: docs/misc/xenstore.txt, xen/include/public/io/xs_wire.h.
///
///      0         4         8         12        16
///     +---------+---------+---------+---------+-----------------+
///     | type    | request | transac | length  | path, NUL       |   the machine's own byte order
///     +---------+---------+---------+---------+-----------------+
///
/// Libraries of Xen would have to be those of the running release, and this program is installed beside
/// many of them.
final class XenStoreClient {
  /// Where xenstored listens.
  static let sockets = ["/run/xenstored/socket", "/var/run/xenstored/socket"]
  /// Longest payload. Xen: XENSTORE_PAYLOAD_MAX.
  private static let limit = 4096
  private static let read: UInt32 = 2
  private static let error: UInt32 = 16

  private let socket: Int32
  /// Milliseconds for an answer.
  private let patience: Int32

  init(_ paths: [String] = XenStoreClient.sockets, patience: Int32 = 5000) throws {
    var opened: Int32 = -1
    for path in paths where opened < 0 { opened = unsafe csystem_connect(path) }
    guard opened >= 0 else {
      throw SystemError("connect", errno, paths.first ?? "xenstored")
    }
    socket = opened
    self.patience = patience
  }

  deinit { _ = close(socket) }

  /// The value of a node; nil where there is none, or it is empty.
  func value(_ path: String) throws -> String? {
    var request: [UInt8] = []
    request.append(integer: XenStoreClient.read, .native)
    for _ in 0..<2 { request.append(integer: UInt32(0), .native) }
    request.append(integer: UInt32(path.utf8.count + 1), .native)
    request += Array(path.utf8) + [0]
    let sent = unsafe csystem_send_descriptor(socket, request, request.count, -1)
    guard sent == request.count else { throw SystemError("write", errno, "xenstored") }
    let header = try receive(16)
    let count = Int(header.load(12, as: UInt32.self, .native))
    guard count <= XenStoreClient.limit else {
      throw XensaveError(.message, "xenstored sent \(count) bytes where 4096 are the most")
    }
    let text = String(decoding: try receive(count).prefix { $0 != 0 }, as: UTF8.self)
    switch header.load(0, as: UInt32.self, .native) {
    case XenStoreClient.read: return text.isEmpty ? nil : text
    case XenStoreClient.error where text == "ENOENT": return nil
    default: throw XensaveError(.message, "xenstored: \(path): \(text)")
    }
  }

  private func receive(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      let ready = unsafe poll(&entry, 1, patience)
      guard ready != 0 else { throw SystemError("read", ETIMEDOUT, "xenstored") }
      var part = [UInt8](repeating: 0, count: count - bytes.count)
      let got = unsafe Glibc.read(socket, &part, part.count)
      if got < 0, errno == EINTR { continue }
      guard got > 0 else { throw SystemError("read", got < 0 ? errno : EPIPE, "xenstored") }
      bytes += part[..<got]
    }
    return bytes
  }
}
