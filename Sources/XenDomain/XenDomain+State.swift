// The records of an HVM or PVH domain that are not about pages.

internal import SystemIO
internal import Bytes
internal import CXen
public import Format
internal import Glibc
internal import Live

extension XenDomain {
  /// The parameters that a save carries, in the order in which Xen's own save writes them; those
  /// that are zero are left out. Xen: xg_sr_save_x86_hvm.c, write_hvm_params.
  static let savedParams: [UInt32] = [
    1, 5, 6, 27, 28, 29, 37, 17, 19, 9, 12, 34, 32, 33, 36, 38,
  ]

  public func state(_ type: RecordType, vcpu: Int?) throws -> [UInt8]? {
    switch type {
    case .x86CPUIDPolicy: return try cpuPolicy().leaves
    case .x86MSRPolicy: return try cpuPolicy().msrs
    case .x86TSCInfo: return try tscInfo()
    case .hvmContext: return try hvmContext()
    case .hvmParams: return try hvmParams()
    case .x86PVInfo:
      // Width and levels of page tables. Xen: xg_sr_save_x86_pv.c, write_x86_pv_info.
      let width = UInt8(clamping: try info().guestWidth)
      return width == 0 ? nil : [width, width == 8 ? 4 : 3, 0, 0, 0, 0, 0, 0]
    default:
      throw XensaveError(.state, ENOTSUP, "\(type.name) of a domain is not read here")
    }
  }

  /// CPUID leaves and MSRs; nil where there is none.
  private func cpuPolicy() throws -> (leaves: [UInt8]?, msrs: [UInt8]?) {
    var (leaves, msrs): (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) = (nil, nil)
    var (leafCount, msrCount): (UInt32, UInt32) = (0, 0)
    guard unsafe cxen_cpu_policy(host.xen, id, &leaves, &leafCount, &msrs, &msrCount) == 0 else {
      throw failure(.state, "the CPU policy")
    }
    defer {
      unsafe free(leaves)
      unsafe free(msrs)
    }
    // Safety: that many entries are there, as the counts say.
    func copy(_ start: UnsafeMutableRawPointer?, _ count: Int) -> [UInt8]? {
      count == 0
        ? nil : unsafe Array(UnsafeRawBufferPointer(start: UnsafeRawPointer(start), count: count))
    }
    return unsafe (copy(leaves, 24 * Int(leafCount)), copy(msrs, 16 * Int(msrCount)))
  }

  private func tscInfo() throws -> [UInt8] {
    var (mode, khz, incarnation): (UInt32, UInt32, UInt32) = (0, 0, 0)
    var nanoseconds: UInt64 = 0
    guard unsafe cxen_tsc_info(host.xen, id, &mode, &nanoseconds, &khz, &incarnation) == 0 else {
      throw failure(.state, "the TSC")
    }
    var body: [UInt8] = []
    body.append(integer: mode)
    body.append(integer: khz)
    body.append(integer: nanoseconds)
    body.append(integer: incarnation)
    body.append(integer: UInt32(0))
    return body
  }

  private func hvmContext() throws -> [UInt8] {
    let needed = unsafe cxen_hvm_context(host.xen, id, nil, 0)
    guard needed > 0 else { throw failure(.state, "the length of the HVM context") }
    var body = [UInt8](repeating: 0, count: Int(needed))
    let got = unsafe cxen_hvm_context(host.xen, id, &body, UInt32(needed))
    guard got > 0, got <= needed else { throw failure(.state, "the HVM context") }
    body.removeLast(Int(needed - got))
    return body
  }

  private func hvmParams() throws -> [UInt8]? {
    var entries: [(UInt32, UInt64)] = []
    for index in XenDomain.savedParams {
      let value = try param(index)
      if value != 0 { entries.append((index, value)) }
    }
    guard !entries.isEmpty else { return nil }
    var body: [UInt8] = []
    body.append(integer: UInt32(entries.count))
    body.append(integer: UInt32(0))
    for (index, value) in entries {
      body.append(integer: UInt64(index))
      body.append(integer: value)
    }
    return body
  }

  /// A parameter of an HVM domain. Xen: hvm/params.h.
  public func param(_ index: UInt32) throws -> UInt64 {
    var value: UInt64 = 0
    guard unsafe cxen_hvm_param(host.xen, id, index, &value) == 0 else {
      throw failure(.state, "HVM parameter \(index)")
    }
    return value
  }
}
