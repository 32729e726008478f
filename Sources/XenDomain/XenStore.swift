// Xenstore, by libxenstore.

internal import CXen
internal import Glibc
internal import Live
internal import SystemIO

extension XenHost {
  func storeFailure(_ path: String) -> XensaveError {
    let errorNumber = errno
    return XensaveError(
      .store, errorNumber, "xenstore, \(path): \(unsafe String(cString: strerror(errorNumber)))")
  }

  /// The value of a node of xenstore; nil where there is none.
  public func readStore(_ path: String) throws -> [UInt8]? {
    var count: UInt32 = 0
    guard let value = unsafe cxen_store_read(xen, path, &count) else {
      guard errno == ENOENT else { throw storeFailure(path) }
      return nil
    }
    defer { unsafe free(value) }
    // Safety: xs_read gives that many bytes.
    return unsafe Array(
      UnsafeRawBufferPointer(start: UnsafeRawPointer(value), count: Int(count)))
  }

  /// The name of a domain, as libxl has written it; nil where it has none.
  public func name(_ id: UInt32) throws -> String? {
    try readStore("/local/domain/\(id)/name").map { String(decoding: $0, as: UTF8.self) }
  }
}

extension XenDomain {
  private func whole(_ path: String) -> String {
    path.hasPrefix("/") ? path : "/local/domain/\(id)/" + path
  }

  public func readStore(_ path: String) throws -> [UInt8]? {
    try host.readStore(whole(path))
  }

  public func writeStore(_ path: String, _ value: [UInt8]) throws {
    let path = whole(path)
    guard unsafe cxen_store_write(host.xen, path, value, UInt32(value.count)) == 0 else {
      throw host.storeFailure(path)
    }
  }

  public func listStore(_ path: String) throws -> [String]? {
    let path = whole(path)
    var count: UInt32 = 0
    guard let names = unsafe cxen_store_directory(host.xen, path, &count) else {
      guard errno == ENOENT else { throw host.storeFailure(path) }
      return nil
    }
    defer { unsafe free(names) }
    // Safety: xs_directory gives that many strings, in one chunk of memory with the list.
    return (0..<Int(count)).compactMap { index in
      unsafe names[index].map { unsafe String(cString: $0) }
    }
  }

  public func watchStore(_ path: String, timeout: UInt64) throws -> String? {
    let path = whole(path)
    if !watched.contains(path) {
      guard unsafe cxen_store_watch(host.xen, path) == 0 else { throw host.storeFailure(path) }
      watched.insert(path)
      // A watch fires once when it is made.
      _ = nextChange(path, timeout: 1_000_000_000)
    }
    return nextChange(path, timeout: timeout)
  }

  /// The next change at or below `path`; others that come before it are forgotten.
  private func nextChange(_ path: String, timeout: UInt64) -> String? {
    let end = monotonicNanoseconds() + timeout
    while true {
      while let changed = unsafe cxen_store_changed(host.xen) {
        defer { unsafe free(changed) }
        let node = unsafe String(cString: changed)
        if node == path || node.hasPrefix(path + "/") { return node }
      }
      guard monotonicNanoseconds() < end, !Interrupt.isRequested else { return nil }
      sleep(nanoseconds: 2_000_000)
    }
  }

  func forgetWatches() {
    for path in watched { _ = unsafe cxen_store_unwatch(host.xen, path) }
  }
}

extension XenDomainInfo {
  /// In the form 00000000-0000-4000-8000-000000000001.
  public var uuidText: String {
    let digits = uuid.map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { digits[$0].joined() }.joined(separator: "-")
  }
}
