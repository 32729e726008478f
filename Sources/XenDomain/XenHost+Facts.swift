// What Xen says of the machine that it runs on.

internal import Bytes
internal import CXen
public import Format
internal import Glibc
public import Live

/// The release, memory and processor of a host, as Xen has them for its guests.
public struct XenHostFacts: Sendable {
  /// The most that guests of one kind can get of the processor.
  public struct Policy: Sendable {
    public let leaves: [CPUIDLeaf]
    public let msrs: [(index: UInt32, value: UInt64)]
  }

  /// With the point release as Xen names it: "4.17.7", "4.20.5-pre".
  public let release: String
  /// Bytes of memory, and how many of them are free for new domains.
  public let byteCount: UInt64
  public let freeByteCount: UInt64
  public let pv: Policy
  public let hvm: Policy
}

extension XenHost {
  /// What Xen says of this host. Xen: XEN_SYSCTL_physinfo, XEN_SYSCTL_get_cpu_policy.
  public func facts() throws(LiveError) -> XenHostFacts {
    var text = [CChar](repeating: 0, count: 16)
    guard unsafe cxen_extra_version(xen, &text) == 0 else {
      throw LiveError(.info, errno, "Xen does not tell its point release")
    }
    let extra = String(
      decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var (total, free): (UInt64, UInt64) = (0, 0)
    guard unsafe cxen_host_pages(xen, &total, &free) == 0 else {
      throw LiveError(.info, errno, "Xen does not tell the host's memory")
    }
    return XenHostFacts(
      release: "4.\(minor)\(extra)", byteCount: total.multipliedSaturated(by: 4096),
      freeByteCount: free.multipliedSaturated(by: 4096), pv: try hostPolicy(isHVM: false),
      hvm: try hostPolicy(isHVM: true))
  }

  private func hostPolicy(isHVM: Bool) throws(LiveError) -> XenHostFacts.Policy {
    var (leaves, msrs): (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) = (nil, nil)
    var (leafCount, msrCount): (UInt32, UInt32) = (0, 0)
    guard unsafe cxen_host_policy(xen, isHVM, &leaves, &leafCount, &msrs, &msrCount) == 0 else {
      throw LiveError(.info, errno, "Xen does not tell the host's CPU policy")
    }
    defer {
      unsafe Glibc.free(leaves)
      unsafe Glibc.free(msrs)
    }
    // Safety: the C side has allocated both, with as many entries as it says.
    let leafBytes = unsafe Array(
      UnsafeRawBufferPointer(start: leaves, count: 24 * Int(leafCount)))
    let msrBytes = unsafe Array(UnsafeRawBufferPointer(start: msrs, count: 16 * Int(msrCount)))
    return XenHostFacts.Policy(
      leaves: CPUIDLeaf.all(in: leafBytes, BodyContext()),
      msrs: (0..<Int(msrCount)).map { index in
        (
          msrBytes.load(16 * index, as: UInt32.self), msrBytes.load(16 * index + 8, as: UInt64.self)
        )
      })
  }
}
