// Reading the guest's memory by physical and virtual addresses.

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
  /// Most octets of one read.
  public static let readLimit = 64 << 20

  private var cache: [UInt64: [UInt8]] = [:]
  private static let cacheLimit = 1024

  public init(_ image: PageImage) throws(PagesError) {
    self.image = image
    vcpus = try image.vcpus()
  }

  /// The vCPU with this number.
  public func vcpu(_ number: Int) throws(PagesError) -> VCPU {
    guard let vcpu = vcpus.first(where: { $0.number == number }) else {
      let there = vcpus.map { "\($0.number)" }.joined(separator: ", ")
      throw PagesError(
        .notFound,
        "\(image.path): there is no state of vCPU \(number) (there is: "
          + "\(there.isEmpty ? "none" : there))")
    }
    return vcpu
  }

  /// `count` octets from a guest-physical address on.
  public func physical(_ address: UInt64, _ count: Int) throws(PagesError) -> [UInt8] {
    try check(count)
    return try read(address, count) { $0 }
  }

  /// `count` octets from a virtual address of a vCPU on.
  public func virtual(
    _ vcpu: Int, _ address: UInt64, _ count: Int
  ) throws(PagesError) -> [UInt8] {
    try check(count)
    let state = try self.vcpu(vcpu)
    return try read(address, count) { (address) throws(PagesError) in
      try translate(state, address).physical
    }
  }

  private func check(_ count: Int) throws(PagesError) {
    guard count >= 0, count <= GuestMemory.readLimit else {
      throw PagesError(
        .usage, "expected at most \(GuestMemory.readLimit) octets to read, got \(count)")
    }
  }

  private func read(
    _ start: UInt64, _ count: Int, _ map: (UInt64) throws(PagesError) -> UInt64
  ) throws(PagesError) -> [UInt8] {
    var out: [UInt8] = []
    var address = start
    while out.count < count {
      let inPage = Int(address & 0xFFF)
      let piece = min(count - out.count, pageByteCount - inPage)
      let physical = try map(address)
      out += try page(physical >> 12)[inPage..<inPage + piece]
      let (next, overflow) = address.addingReportingOverflow(UInt64(piece))
      if overflow, out.count < count {
        throw PagesError(.notFound, "address \(start.hex()): \(count) octets wrap around")
      }
      address = next
    }
    return out
  }

  private func page(_ pfn: UInt64) throws(PagesError) -> [UInt8] {
    if let page = cache[pfn] { return page }
    let page = try image.contents(of: pfn)
    if cache.count >= GuestMemory.cacheLimit { cache.removeAll(keepingCapacity: true) }
    cache[pfn] = page
    return page
  }

  // MARK: - Page tables

  /// What a walk has found.
  public struct Translation: Sendable, Equatable {
    public let physical: UInt64
    /// Octets of the page that maps it: 4096, 2 MiB, 4 MiB or 1 GiB.
    public let pageByteCount: UInt64
    public let isWritable: Bool
    public let isUser: Bool
  }

  static func levels(_ mode: PagingMode) -> Int {
    switch mode {
    case .none: 0
    case .legacy: 2
    case .pae: 3
    case .fourLevel: 4
    case .fiveLevel: 5
    }
  }

  /// The physical address of a virtual one. Intel SDM volume 3, chapter 4.
  public func translate(_ vcpu: VCPU, _ address: UInt64) throws(PagesError) -> Translation {
    func fail(_ problem: String) -> PagesError {
      PagesError(
        .notFound,
        "vCPU \(vcpu.number), virtual address \(address.hex()) (\(vcpu.mode.rawValue)): \(problem)")
    }
    switch vcpu.mode {
    case .none:
      return Translation(
        physical: address, pageByteCount: UInt64(Format.pageByteCount), isWritable: true,
        isUser: true)
    case .legacy, .pae:
      guard address <= UInt64(UInt32.max) else { throw fail("expected an address of 32 bits") }
    case .fourLevel, .fiveLevel:
      let bits: UInt64 = vcpu.mode == .fourLevel ? 48 : 57
      let upper = address >> (bits - 1)
      guard upper == 0 || upper == UInt64.max >> (bits - 1) else {
        throw fail("is not canonical")
      }
    }
    let isLegacy = vcpu.mode == .legacy
    var table = vcpu.cr3 & GuestMemory.rootMask(vcpu.mode)
    var isWritable = true
    var isUser = true
    for level in stride(from: GuestMemory.levels(vcpu.mode), through: 1, by: -1) {
      let index: UInt64
      if isLegacy {
        index = address >> UInt64(12 + 10 * (level - 1)) & 0x3FF
      } else {
        let bits: UInt64 = vcpu.mode == .pae && level == 3 ? 3 : 0x1FF
        index = address >> UInt64(12 + 9 * (level - 1)) & bits
      }
      let place = table + index * (isLegacy ? 4 : 8)
      let entry: UInt64
      do {
        let bytes = try page(place >> 12)
        entry =
          isLegacy
          ? UInt64(bytes.load(Int(place & 0xFFF), as: UInt32.self))
          : bytes.load(Int(place & 0xFFF), as: UInt64.self)
      } catch {
        throw fail("its level \(level) table cannot be read: \(error.description)")
      }
      guard entry & 1 != 0 else {
        throw fail("not present: entry \(index) of the level \(level) table is \(entry.hex())")
      }
      if vcpu.mode != .pae || level < 3 {
        isWritable = isWritable && entry & 2 != 0
        isUser = isUser && entry & 4 != 0
      }
      let frame = entry & 0x000F_FFFF_FFFF_F000
      let isLarge =
        level > 1 && entry & 0x80 != 0
        && (isLegacy ? vcpu.cr4 & 0x10 != 0 : level == 2 || (level == 3 && vcpu.mode != .pae))
      if level == 1 || isLarge {
        let size: UInt64 =
          isLegacy && isLarge ? 4 << 20 : UInt64(1) << UInt64(12 + 9 * (level - 1))
        var base = frame & ~(size - 1)
        // PSE-36: bits 13 to 20 of a 4 MiB entry are bits 32 to 39 of the address.
        if isLegacy && isLarge { base = entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32 }
        return Translation(
          physical: base | address & (size - 1), pageByteCount: size, isWritable: isWritable,
          isUser: isUser)
      }
      table = isLegacy ? entry & 0xFFFF_F000 : frame
    }
    throw fail("the walk has no end")
  }

  private static func rootMask(_ mode: PagingMode) -> UInt64 {
    mode == .pae ? 0x000F_FFFF_FFFF_FFE0 : 0x000F_FFFF_FFFF_F000
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
      vcpu.cr3 & GuestMemory.rootMask(vcpu.mode), GuestMemory.levels(vcpu.mode), 0
    ) { [image] pfn in
      if let page = self.cache[pfn] { return page }
      let page = try? image.contents(of: pfn)
      if self.cache.count >= GuestMemory.cacheLimit { self.cache.removeAll(keepingCapacity: true) }
      self.cache[pfn] = page
      return page
    }
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
    let isTop = level == GuestMemory.levels(vcpu.mode)
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
