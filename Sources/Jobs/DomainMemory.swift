// The memory of a domain that stands still, for who looks at guests.

internal import Bytes
internal import Format
package import Live
package import Pages
internal import SystemIO

/// Pages of a domain, as an image of it would have them: page tables of PV guests hold pfns.
///
/// What is read is kept by who reads it: the domain must stand still for as long.
package final class DomainPages: PageSource {
  package let path: String
  private let open: () throws -> any ManagedDomain
  private var frames: [UInt64] = []
  private var types: [PageType] = []
  private var info: DomainInfo?
  private var frameCount = 0

  /// `open` gives the domain for each call, or throws where it must not be read any more.
  package init(name: String, _ open: @escaping () throws -> any ManagedDomain) {
    path = name
    self.open = open
  }

  package func contents(of pfn: UInt64) throws -> [UInt8] { try read(pfn, 1) }

  package func contents(of pfn: UInt64, count: Int) -> [UInt8]? {
    // Where not all of them can be lent, the first may.
    (try? read(pfn, count)) ?? (try? read(pfn, 1))
  }

  private func read(_ first: UInt64, _ count: Int) throws -> [UInt8] {
    try Interrupt.check(path)
    let domain = try open()
    if info == nil {
      info = try domain.info()
      frameCount = try domain.frameCount()
    }
    guard let info, first < UInt64(frameCount) else {
      throw XensaveError(.notFound, "\(path): there is no page \(first.hex())")
    }
    let pfns = Array(first..<min(first + UInt64(count), UInt64(frameCount)))
    try domain.frames(of: pfns, into: &frames)
    try domain.pageTypes(of: frames, into: &types)
    let there = types.prefix { $0.hasData }.count
    guard there > 0 else {
      throw XensaveError(
        .notFound,
        "\(path): page \(first.hex()) is \(types.first?.name ?? "absent"): it has no contents")
    }
    let lease = try domain.map(Array(frames.prefix(there)))
    var out: [UInt8] = []
    out.reserveCapacity(there * pageByteCount)
    for index in 0..<there {
      let level = info.guest == .x86PV ? types[index].tableLevel : nil
      lease.withPage(index) { page in
        if let level {
          out += DomainPages.normalised(page, level, info, domain)
        } else {
          // Safety: the bytes are copied inside the closure.
          unsafe page.withUnsafeBytes { unsafe out += $0 }
        }
      }
    }
    return out
  }

  /// A page table with pfns; entries that are not the domain's are as if they were not present.
  private static func normalised(
    _ page: RawSpan, _ level: Int, _ info: DomainInfo, _ domain: any ManagedDomain
  ) -> [UInt8] {
    let buffer = PageAlignedBuffer(capacity: pageByteCount)
    _ = PVPageTable.normalise(
      page, level: level, width: info.guestWidth, compatM2PFrame: info.compatM2PFrame,
      into: buffer, at: 0
    ) { domain.pageNumber(ofMachineFrame: $0) }
    return buffer.copy(0..<pageByteCount)
  }
}

/// The vCPUs of a domain that stands still.
package func vcpus(of domain: any ManagedDomain) throws -> [VCPU] {
  let info = try domain.info()
  if info.guest == .x86HVM {
    return try domain.state(.hvmContext, vcpu: nil).map { VCPU.all(inHVMContext: $0) } ?? []
  }
  return try info.onlineVCPUs.compactMap { id in
    try domain.state(.x86PVVCPUBasic, vcpu: id).flatMap { VCPU(pvBasic: $0, .little) }
  }
}

/// Calls `body` with the memory and the vCPUs of a domain, which stands still for as long: it is paused
/// where it was not before, and continues afterwards however `body` ends. `warn` gets a line where it could
/// not be let go on.
package func withPausedDomain<R>(
  _ word: String, _ backends: Backends = Backends(), warn: (String) -> Void,
  _ body: (PagedMemory, [VCPU]) throws -> R
) throws -> R {
  guard let (summary, domain) = try backends.open(word) else {
    throw XensaveError(.notFound, "there is no domain '\(word)'")
  }
  let name = "domain \(summary.name ?? "\(summary.id)")"
  let info = try domain.info()
  let isRunning = !info.isPaused && info.shutdown == nil
  if isRunning { try domain.pause() }
  defer {
    if isRunning {
      do { try domain.unpause() } catch { warn("\(name): unpausing: \(error)") }
    }
  }
  let memory = PagedMemory(DomainPages(name: name) { domain })
  return try body(memory, try vcpus(of: domain))
}
