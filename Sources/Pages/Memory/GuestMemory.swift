// Reading the guest's memory by physical and virtual addresses.

internal import SystemIO
internal import Bytes
internal import Format

/// The memory of a saved guest.
///
/// Page tables in the image of a PV guest hold pfns, those of an HVM guest hold guest frames: both
/// are walked alike. A walk has as many steps as the mode has levels, so tables that refer to
/// themselves (which kernels do on purpose) end like any other.
public final class GuestMemory {
  public let image: PageImage
  public let vcpus: [VCPU]
  /// Most bytes of one read.
  public static let readLimit = 64 << 20

  /// The same memory, for address spaces that are no vCPU's own.
  public let paged: PagedMemory

  public init(_ image: PageImage) throws {
    self.image = image
    paged = PagedMemory(image)
    vcpus = try image.vcpus()
  }

  /// The vCPU with this id.
  public func vcpu(_ id: Int) throws -> VCPU {
    guard let vcpu = vcpus.first(where: { $0.id == id }) else {
      let there = vcpus.map { "\($0.id)" }.joined(separator: ", ")
      throw XensaveError(
        .notFound,
        "\(image.path): there is no state of vCPU \(id) (there is: "
          + "\(there.isEmpty ? "none" : there))")
    }
    return vcpu
  }

  /// `count` bytes from a guest-physical address on.
  public func physical(_ address: UInt64, _ count: Int) throws -> [UInt8] {
    try check(count)
    return try paged.physical(address, count)
  }

  /// `count` bytes from a virtual address of a vCPU on.
  public func virtual(
    _ vcpu: Int, _ address: UInt64, _ count: Int
  ) throws -> [UInt8] {
    try check(count)
    return try paged.read(AddressSpace(self.vcpu(vcpu)), address, count)
  }

  private func check(_ count: Int) throws {
    guard count >= 0, count <= GuestMemory.readLimit else {
      throw XensaveError(
        .usage, "expected at most \(GuestMemory.readLimit) bytes to read, got \(count)")
    }
  }

  // MARK: - Page tables

  public typealias Translation = PagedMemory.Translation

  /// The physical address of a virtual one.
  public func translate(_ vcpu: VCPU, _ address: UInt64) throws -> Translation {
    try paged.translate(AddressSpace(vcpu), address)
  }

  /// A range of virtual addresses that maps consecutive physical ones.
  public struct Mapping: Sendable, Equatable {
    public let virtual: UInt64
    public let physical: UInt64
    public internal(set) var byteCount: UInt64
  }

  /// What a vCPU's page tables map, ascending by virtual address; neighbours are joined. Stops at
  /// `limit` mappings, or `tableLimit` tables looked at (tables that refer to one another can map
  /// far more than there is memory): then `isComplete` is false. Of ranges that begin with the same
  /// page only the first 16 are kept (Linux maps its espfix pages 65536 times). Tables that cannot
  /// be read map nothing.
  public func mappings(
    _ vcpu: VCPU, limit: Int, tableLimit: Int = 1 << 18
  ) -> (mappings: [Mapping], isComplete: Bool) {
    var walk = MappingWalk(vcpu: vcpu, limit: limit, tablesLeft: tableLimit)
    guard vcpu.mode != .none else { return ([], true) }
    walk.visit(
      vcpu.cr3 & AddressSpace.rootMask(vcpu.mode), vcpu.mode.levels, 0
    ) { pfn in try? paged.page(pfn) }
    return (walk.out, walk.isComplete)
  }
}

/// Collects mappings from the page tables.
private struct MappingWalk {
  let vcpu: VCPU
  let limit: Int
  var tablesLeft: Int
  var out: [GuestMemory.Mapping] = []
  var isComplete = true
  /// How often a range began with a page.
  private var aliases: [UInt64: UInt8] = [:]
  /// How often a table was looked at on a level: what it maps is kept as often at most.
  private var visits: [UInt64: UInt8] = [:]

  init(vcpu: VCPU, limit: Int, tablesLeft: Int) {
    self.vcpu = vcpu
    self.limit = limit
    self.tablesLeft = tablesLeft
  }

  mutating func visit(
    _ table: UInt64, _ level: Int, _ base: UInt64, _ page: (UInt64) -> [UInt8]?
  ) {
    guard tablesLeft > 0 else {
      isComplete = false
      return
    }
    let key = table & ~0x1F | UInt64(level)
    guard visits[key, default: 0] < 16 else { return }
    visits[key, default: 0] += 1
    tablesLeft -= 1
    guard let bytes = page(table >> 12) else { return }
    let isLegacy = vcpu.mode == .legacy
    let width = isLegacy ? 4 : 8
    let count = isLegacy ? 1024 : vcpu.mode == .pae && level == 3 ? 4 : 512
    let shift = isLegacy ? 12 + 10 * (level - 1) : 12 + 9 * (level - 1)
    let start = Int(table & 0xFFF)
    guard start + count * width <= pageByteCount else { return }
    let isTop = level == vcpu.mode.levels
    for index in 0..<count {
      let entry =
        isLegacy
        ? UInt64(bytes.load(start + 4 * index, as: UInt32.self))
        : bytes.load(start + 8 * index, as: UInt64.self)
      guard entry & 1 != 0 else { continue }
      var address = base + UInt64(index) << UInt64(shift)
      if isTop, level >= 4, index >= 256 {
        address |= UInt64.max << UInt64(level == 4 ? 48 : 57)
      }
      let frame = isLegacy ? entry & 0xFFFF_F000 : entry & 0x000F_FFFF_FFFF_F000
      let isLarge =
        level > 1 && entry & 0x80 != 0
        && (isLegacy ? vcpu.cr4 & 0x10 != 0 : level == 2 || (level == 3 && vcpu.mode != .pae))
      if level == 1 || isLarge {
        let size = UInt64(1) << UInt64(shift)
        var physical = frame & ~(size - 1)
        if isLegacy && isLarge { physical = entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32 }
        add(address, physical, size)
      } else {
        visit(frame, level - 1, address, page)
      }
      if !isComplete { return }
    }
  }

  private mutating func add(_ virtual: UInt64, _ physical: UInt64, _ count: UInt64) {
    if let last = out.last, last.virtual &+ last.byteCount == virtual,
      last.physical + last.byteCount == physical
    {
      out[out.count - 1].byteCount += count
      return
    }
    guard aliases[physical, default: 0] < 16 else { return }
    guard out.count < limit else {
      isComplete = false
      return
    }
    aliases[physical, default: 0] += 1
    out.append(GuestMemory.Mapping(virtual: virtual, physical: physical, byteCount: count))
  }
}
