// Reading memory through page tables, wherever its pages come from.

internal import SystemIO
internal import Bytes
internal import Format

/// What the pages of a guest are read from: an image, or a paused domain.
public protocol PageSource: AnyObject {
  /// The name that messages use.
  var path: String { get }
  /// The contents of the guest's page `pfn`: 4096 bytes. Throws where the source does not have it.
  func contents(of pfn: UInt64) throws -> [UInt8]
  /// The contents of `pfn` and as many of the `count` pages from it on as can be had together: whole
  /// pages, at least one; nil where it has none.
  func contents(of pfn: UInt64, count: Int) -> [UInt8]?
}

extension PageSource {
  public func contents(of pfn: UInt64, count: Int) -> [UInt8]? { try? contents(of: pfn) }
}

extension PageImage: PageSource {
  public func contents(of pfn: UInt64, count: Int) -> [UInt8]? {
    guard let run = index.run(of: pfn), run.hasData else { return nil }
    let bytes = min(count, Int(run.end - pfn)) * pageByteCount
    source.seek(run.offset(of: pfn))
    guard let found = try? source.read(bytes), found.count == bytes else { return nil }
    return found
  }
}

extension PagingMode {
  /// Levels of page tables that a walk goes through.
  var levels: Int {
    switch self {
    case .none: 0
    case .legacy: 2
    case .pae: 3
    case .fourLevel: 4
    case .fiveLevel: 5
    }
  }
}

/// Page tables: where they begin and how they are walked.
public struct AddressSpace: Sendable, Equatable {
  /// Whose it is, for messages: "vCPU 0", "the kernel".
  public let name: String
  public let mode: PagingMode
  /// The physical address of the top table.
  public let root: UInt64
  let hasLargePages: Bool

  /// The tables that `cr3` is the root of; its flags are left out. `cr4` decides about large pages of
  /// 32-bit tables.
  public init(name: String, mode: PagingMode, cr3: UInt64, cr4: UInt64 = 0) {
    self.name = name
    self.mode = mode
    root = cr3 & AddressSpace.rootMask(mode)
    hasLargePages = cr4 & 0x10 != 0
  }

  /// What a vCPU uses.
  public init(_ vcpu: VCPU) {
    self.init(name: "vCPU \(vcpu.id)", mode: vcpu.mode, cr3: vcpu.cr3, cr4: vcpu.cr4)
  }

  static func rootMask(_ mode: PagingMode) -> UInt64 {
    mode == .pae ? 0x000F_FFFF_FFFF_FFE0 : 0x000F_FFFF_FFFF_F000
  }
}

/// The memory of a guest by physical addresses and through any page tables.
///
/// Page tables in the image of a PV guest hold pfns, those of an HVM guest hold guest frames: both
/// are walked alike. A walk has as many steps as the mode has levels, so tables that refer to
/// themselves (which kernels do on purpose) end like any other.
public final class PagedMemory {
  public let source: any PageSource
  private var cache: [UInt64: [UInt8]] = [:]
  private static let cacheLimit = 1024

  public init(_ source: any PageSource) { self.source = source }

  /// The contents of a page; those that were read last are kept.
  public func page(_ pfn: UInt64) throws -> [UInt8] {
    if let page = cache[pfn] { return page }
    let page = try source.contents(of: pfn)
    guard page.count == pageByteCount else {
      throw XensaveError(
        .invalid,
        "\(source.path): page \(pfn.hex()): expected \(pageByteCount) bytes, got \(page.count)")
    }
    if cache.count >= PagedMemory.cacheLimit { cache.removeAll(keepingCapacity: true) }
    cache[pfn] = page
    return page
  }

  /// `count` bytes from a physical address on.
  public func physical(_ address: UInt64, _ count: Int) throws -> [UInt8] {
    try read(address, count) { $0 }
  }

  /// `count` bytes from a virtual address on.
  public func read(
    _ space: AddressSpace, _ address: UInt64, _ count: Int
  ) throws -> [UInt8] {
    try read(address, count) { (address) in
      try translate(space, address).physical
    }
  }

  private func read(
    _ start: UInt64, _ count: Int, _ map: (UInt64) throws -> UInt64
  ) throws -> [UInt8] {
    var out: [UInt8] = []
    var address = start
    while out.count < count {
      let inPage = Int(address & 0xFFF)
      let chunk = min(count - out.count, pageByteCount - inPage)
      let physical = try map(address)
      out += try page(physical >> 12)[inPage..<inPage + chunk]
      let (next, overflow) = address.addingReportingOverflow(UInt64(chunk))
      if overflow, out.count < count {
        throw XensaveError(.notFound, "address \(start.hex()): \(count) bytes wrap around")
      }
      address = next
    }
    return out
  }

  // MARK: - Page tables

  /// What a walk has found.
  public struct Translation: Sendable, Equatable {
    public let physical: UInt64
    /// Bytes of the page that maps it: 4096, 2 MiB, 4 MiB or 1 GiB.
    public let pageByteCount: UInt64
    public let isWritable: Bool
    public let isUser: Bool
  }

  /// The physical address of a virtual one. Intel SDM volume 3, chapter 4.
  public func translate(
    _ space: AddressSpace, _ address: UInt64
  ) throws -> Translation {
    func fail(_ problem: String) -> XensaveError {
      XensaveError(
        .notFound,
        "\(space.name), virtual address \(address.hex()) (\(space.mode.rawValue)): \(problem)")
    }
    let mode = space.mode
    switch mode {
    case .none:
      return Translation(
        physical: address, pageByteCount: UInt64(Format.pageByteCount), isWritable: true,
        isUser: true)
    case .legacy, .pae:
      guard address <= UInt64(UInt32.max) else { throw fail("expected an address of 32 bits") }
    case .fourLevel, .fiveLevel:
      let bits: UInt64 = mode == .fourLevel ? 48 : 57
      let upper = address >> (bits - 1)
      guard upper == 0 || upper == UInt64.max >> (bits - 1) else {
        throw fail("is not canonical")
      }
    }
    let isLegacy = mode == .legacy
    var table = space.root
    var isWritable = true
    var isUser = true
    for level in stride(from: mode.levels, through: 1, by: -1) {
      let index: UInt64
      if isLegacy {
        index = address >> UInt64(12 + 10 * (level - 1)) & 0x3FF
      } else {
        let bits: UInt64 = mode == .pae && level == 3 ? 3 : 0x1FF
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
        throw fail("its level \(level) table cannot be read: \(error)")
      }
      guard entry & 1 != 0 else {
        throw fail("not present: entry \(index) of the level \(level) table is \(entry.hex())")
      }
      if mode != .pae || level < 3 {
        isWritable = isWritable && entry & 2 != 0
        isUser = isUser && entry & 4 != 0
      }
      let frame = entry & 0x000F_FFFF_FFFF_F000
      let isLarge =
        level > 1 && entry & 0x80 != 0
        && (isLegacy ? space.hasLargePages : level == 2 || (level == 3 && mode != .pae))
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

  /// Neighbouring pages of a 64-bit address space that are mapped alike.
  public struct MappedRange: Sendable, Equatable {
    public let start: UInt64
    public internal(set) var byteCount: UInt64
    public let isWritable: Bool
    public let isExecutable: Bool
  }

  /// What the tables map inside `range`, ascending; none for other modes than 4-level and 5-level.
  /// At most `limit` ranges. Tables that cannot be read map nothing.
  public func mappedRanges(
    _ space: AddressSpace, in range: ClosedRange<UInt64>, limit: Int
  ) -> [MappedRange] {
    guard space.mode == .fourLevel || space.mode == .fiveLevel else { return [] }
    var out: [MappedRange] = []
    let top = space.mode.levels
    collect(space.root, top, top, 0, range, (true, true), limit, &out)
    return out
  }

  private func collect(
    _ table: UInt64, _ level: Int, _ top: Int, _ base: UInt64, _ range: ClosedRange<UInt64>,
    _ rights: (write: Bool, execute: Bool), _ limit: Int, _ out: inout [MappedRange]
  ) {
    guard let bytes = try? page(table >> 12) else { return }
    let shift = UInt64(12 + 9 * (level - 1))
    for index in 0..<512 {
      var address = base + UInt64(index) << shift
      if level == top, index >= 256 { address |= UInt64.max << (shift + 9) }
      let last = address | (UInt64(1) << shift - 1)
      guard last >= range.lowerBound, address <= range.upperBound, out.count < limit else {
        continue
      }
      let entry = bytes.load(8 * index, as: UInt64.self)
      guard entry & 1 != 0 else { continue }
      let write = rights.write && entry & 2 != 0
      let execute = rights.execute && entry >> 63 == 0
      if level > 1, level > 3 || entry & 0x80 == 0 {
        collect(
          entry & 0x000F_FFFF_FFFF_F000, level - 1, top, address, range, (write, execute), limit,
          &out)
      } else if let end = out.last, end.start &+ end.byteCount == address,
        end.isWritable == write, end.isExecutable == execute
      {
        out[out.count - 1].byteCount += 1 << shift
      } else {
        out.append(
          MappedRange(
            start: address, byteCount: 1 << shift, isWritable: write, isExecutable: execute))
      }
    }
  }

  // MARK: - From pages to addresses

  /// Where the user's half of a 64-bit address space maps pages, by address; at most `limit` places.
  /// `tableLimit` tables may be read, and what is left of it is there afterwards: tables that refer to each
  /// other would have no end else.
  public func places(
    of pages: PageSet, _ space: AddressSpace, tableLimit: inout Int, limit: Int
  ) -> [(address: UInt64, pfn: UInt64)] {
    guard space.mode == .fourLevel || space.mode == .fiveLevel else { return [] }
    var out: [(address: UInt64, pfn: UInt64)] = []
    var search = PlaceSearch(ranges: pages.ranges, limit: limit, tablesLeft: tableLimit)
    search.visit(self, space.root, space.mode.levels, 0, isTop: true, &out)
    tableLimit = search.tablesLeft
    return out
  }

  private struct PlaceSearch {
    let ranges: [Range<UInt64>]
    let limit: Int
    var tablesLeft: Int

    mutating func visit(
      _ memory: PagedMemory, _ table: UInt64, _ level: Int, _ base: UInt64, isTop: Bool,
      _ out: inout [(address: UInt64, pfn: UInt64)]
    ) {
      guard tablesLeft > 0, let bytes = try? memory.page(table >> 12) else { return }
      tablesLeft -= 1
      let shift = UInt64(12 + 9 * (level - 1))
      for index in 0..<(isTop ? 256 : 512) where out.count < limit {
        let entry = bytes.load(8 * index, as: UInt64.self)
        guard entry & 5 == 5 else { continue }
        let address = base + UInt64(index) << shift
        let frame = entry & 0x000F_FFFF_FFFF_F000
        if level > 1, level > 3 || entry & 0x80 == 0 {
          visit(memory, frame, level - 1, address, isTop: false, &out)
        } else {
          let first = frame >> 12 & ~(UInt64(1) << (shift - 12) - 1)
          add(first, UInt64(1) << (shift - 12), at: address, &out)
        }
      }
    }

    /// The pages of a run that are asked for.
    private func add(
      _ first: UInt64, _ count: UInt64, at address: UInt64,
      _ out: inout [(address: UInt64, pfn: UInt64)]
    ) {
      var low = ranges.partitioningIndex { $0.upperBound > first }
      let run = first..<first + count
      while low < ranges.count, ranges[low].lowerBound < run.upperBound {
        for pfn in ranges[low].clamped(to: run) {
          guard out.count < limit else { return }
          out.append((address + (pfn - first) << 12, pfn))
        }
        low += 1
      }
    }
  }
}
