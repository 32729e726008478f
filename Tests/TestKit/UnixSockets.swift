// Sockets with names in the file system.

internal import Glibc

/// A socket that listens at `path`; closed when another program is started.
public func listeningSocket(at path: String) -> Int32 {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  precondition(descriptor >= 0)
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8) + [0]
  withUnsafeMutableBytes(of: &address.sun_path) { room in
    precondition(bytes.count <= room.count, "the path of a socket is short")
    room.copyBytes(from: bytes)
  }
  let result = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  precondition(result == 0 && listen(descriptor, 4) == 0)
  return descriptor
}
