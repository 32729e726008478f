// A domain of the real Xen, as the save loop sees it.

internal import SystemIO
internal import CXen
public import Format
internal import Glibc
public import Live

/// A domain of a `XenHost`. HVM and PVH domains can be saved through it; what is a PV domain's alone
/// (its p2m, its page tables) is left to `DelegatedSave`, so those hooks refuse.
public final class XenDomain: Domain {
  public let id: UInt32
  public let host: XenHost
  /// Nil until it was asked for; it never changes.
  private var isPV: Bool?
  /// Kept between batches.
  private var errors = [Int32](repeating: 0, count: 1024)

  /// Whether it was suspended through this handle, and somebody is to resume it.
  var owesResume = false
  /// The cap of its scheduler before it was throttled; nil where it is not.
  var capBefore: UInt16?

  /// Nodes of xenstore that are watched.
  var watched: Set<String> = []

  init(_ host: XenHost, _ id: UInt32) {
    self.host = host
    self.id = id
  }

  deinit { forgetWatches() }

  /// The error of a call that has just failed.
  func failure(_ hook: Hook, _ problem: String) -> XensaveError {
    let errorNumber = errno
    return XensaveError(
      hook, errorNumber, "\(problem): \(unsafe String(cString: strerror(errorNumber)))")
  }

  public func xenInfo() throws -> XenDomainInfo {
    guard let info = try host.info(id) else {
      throw XensaveError(.info, ESRCH, "domain \(id) does not exist any more")
    }
    return info
  }

  // MARK: - What it is

  public func info() throws -> DomainInfo {
    let info = try xenInfo()
    var width: UInt32 = 0
    if !info.isHVM, unsafe cxen_guest_width(host.xen, id, &width) != 0 {
      throw failure(.info, "the guest's width")
    }
    return DomainInfo(
      id: id, guest: info.isHVM ? .x86HVM : .x86PV, shutdown: info.shutdown,
      pageCount: info.pageCount,
      onlineVCPUs: (0..<info.maxVCPU + 1).filter {
        unsafe cxen_vcpu_is_online(host.xen, id, UInt32($0)) == 1
      }, xenMajor: 4, xenMinor: UInt32(host.minor), guestWidth: Int(width), isPaused: info.isPaused)
  }

  public func frameCount() throws -> Int {
    var count: UInt64 = 0
    guard unsafe cxen_frame_count(host.xen, id, &count) == 0 else {
      throw failure(.frameCount, "the number of frames")
    }
    return Int(clamping: count)
  }

  // MARK: - Memory

  /// A PV domain's frames are the machine's, by a table that is the guest's own to lay out.
  public func frames(of pfns: [UInt64], into frames: inout [UInt64]) throws {
    if isPV == nil { isPV = try !xenInfo().isHVM }
    guard isPV == false else {
      throw XensaveError(
        .frames, ENOTSUP, "the pages of a PV domain are read by Xen's own save alone")
    }
    frames.removeAll(keepingCapacity: true)
    frames += pfns
  }

  public func pageTypes(of frames: [UInt64], into types: inout [PageType]) throws {
    var words = frames
    guard unsafe cxen_page_types(host.xen, id, UInt32(words.count), &words) == 0 else {
      throw failure(.pageTypes, "types of \(frames.count) frames")
    }
    types.removeAll(keepingCapacity: true)
    for word in words { types.append(PageType(rawValue: UInt8(word >> 28 & 0xF))) }
  }

  public func map(_ frames: [UInt64]) throws -> PageLease {
    try lend(frames, isWritable: false, .map)
  }

  /// Maps frames for as long as the lease lives.
  func lend(
    _ frames: [UInt64], isWritable: Bool, _ hook: Hook
  ) throws -> PageLease {
    let count = frames.count
    if errors.count < count { errors = [Int32](repeating: 0, count: count) }
    guard let start = unsafe cxen_map(host.xen, id, isWritable, count, frames, &errors) else {
      throw failure(hook, "\(count) frames cannot be mapped")
    }
    let bad = errors.prefix(count).firstIndex { $0 != 0 }
    let host = host
    // Safety: xenforeignmemory_map gives the pages one after the other; a page that has an error
    // is not there, and then none is lent.
    var addresses: [UnsafeMutableRawPointer] = unsafe []
    unsafe addresses.reserveCapacity(count)
    for index in 0..<count { unsafe addresses.append(start + index * pageByteCount) }
    let lease = unsafe PageLease(addresses) { _ = unsafe cxen_unmap(host.xen, start, count) }
    guard let bad else { return lease }
    throw XensaveError(
      hook, errors[bad],
      "frame \(String(frames[bad], radix: 16)) cannot be mapped: "
        + (unsafe String(cString: strerror(errors[bad]))))
  }

  public func pageNumber(ofMachineFrame frame: UInt64) -> UInt64? { nil }

  public func checkUnchanged() throws {}

  // MARK: - Log-dirty

  public func enableLogDirty() throws {
    try withPendingUndo(.logDirty) {
      guard unsafe cxen_log_dirty_on(host.xen, id) == 0 else {
        throw failure(.enableLogDirty, "log-dirty cannot be switched on")
      }
    }
  }

  public func disableLogDirty() throws {
    guard unsafe cxen_log_dirty_off(host.xen, id) == 0 else {
      throw failure(.disableLogDirty, "log-dirty cannot be switched off")
    }
    resolve(.logDirty)
  }

  public func cleanLogDirty(
    into bitmap: inout PageBitmap, isFinal: Bool
  ) throws -> LogDirtyCounts {
    try logDirty(into: &bitmap, peeks: false, isFinal: isFinal, .cleanLogDirty)
  }

  public func peekLogDirty(into bitmap: inout PageBitmap) throws -> LogDirtyCounts {
    try logDirty(into: &bitmap, peeks: true, isFinal: false, .peekLogDirty)
  }

  private func logDirty(
    into bitmap: inout PageBitmap, peeks: Bool, isFinal: Bool, _ hook: Hook
  ) throws -> LogDirtyCounts {
    var dirty: UInt32 = 0
    let count = UInt64(bitmap.count)
    // Safety: the bitmap has a word for each 64 of the `count` frames.
    let covered = unsafe bitmap.withWords { words in
      unsafe cxen_log_dirty(host.xen, id, peeks, isFinal, count, words, &dirty)
    }
    guard covered >= 0 else { throw failure(hook, "the dirty pages") }
    return LogDirtyCounts(frameCount: Int(clamping: covered), dirtyCount: Int(dirty))
  }
}
