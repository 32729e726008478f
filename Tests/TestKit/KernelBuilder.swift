// The memory of a Linux kernel, laid out by hand: page tables, symbols and types.
//
// Nothing here uses the reader that it is made to test. Sizes and offsets are not those of any real
// kernel, so a reader that knows one by heart fails.

/// Pages of a guest and what is mapped where.
public struct KernelMemoryBuilder: Sendable {
  /// Contents by page frame.
  public private(set) var pages: [UInt64: [UInt8]] = [:]
  /// The physical address of the top page table.
  public let root: UInt64 = 0x2000
  private var frames: [UInt64: UInt64] = [:]
  private var nextFrame: UInt64 = 0x40
  private var nextTable: UInt64 = 4
  private var ends: [Region: UInt64] = [:]
  private let levels: Int

  /// Where things are put: Linux's own places.
  public enum Region: UInt64, Sendable {
    case text = 0xFFFF_FFFF_8100_0000
    case readOnly = 0xFFFF_FFFF_8200_0000
    case data = 0xFFFF_FFFF_8300_0000
    case module = 0xFFFF_FFFF_C010_0000
    case heap = 0xFFFF_8880_0100_0000
    var flags: UInt64 {
      switch self {
      case .text, .module: 1
      case .readOnly: 1 | 1 << 63
      default: 3 | 1 << 63
      }
    }
  }

  public init(levels: Int = 4) {
    self.levels = levels
    // The second of a pair of page tables maps nothing of the kernel.
    for frame in [2, 3] as [UInt64] { pages[frame] = [UInt8](repeating: 0, count: 4096) }
  }

  /// Maps the page at `address` to `frame` in the tables below `root`.
  public mutating func map(
    _ address: UInt64, to frame: UInt64, flags: UInt64, root: UInt64? = nil
  ) {
    var table = (root ?? self.root) >> 12
    for level in stride(from: levels, to: 1, by: -1) {
      let index = Int(address >> UInt64(12 + 9 * (level - 1)) & 511)
      var entry = word(table, index)
      if entry == 0 {
        entry = nextTable << 12 | 7
        pages[nextTable] = [UInt8](repeating: 0, count: 4096)
        nextTable += 1
        // After the tables is the data; more tables are after that.
        if nextTable == 0x40 { nextTable = 0x8001 }
        set(table, index, entry)
      }
      table = entry >> 12 & 0xFF_FFFF_FFFF
    }
    set(table, Int(address >> 12 & 511), frame << 12 | flags)
  }

  private func word(_ frame: UInt64, _ index: Int) -> UInt64 {
    guard let page = pages[frame] else { return 0 }
    return (0..<8).reduce(0) { $0 | UInt64(page[8 * index + $1]) << (8 * UInt64($1)) }
  }

  private mutating func set(_ frame: UInt64, _ index: Int, _ value: UInt64) {
    for byte in 0..<8 {
      pages[frame]?[8 * index + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte)))
    }
  }

  /// A new page that nothing maps yet.
  public mutating func frame() -> UInt64 {
    defer { nextFrame += 1 }
    pages[nextFrame] = [UInt8](repeating: 0, count: 4096)
    return nextFrame
  }

  /// Room for `count` bytes, zeros.
  public mutating func allocate(_ count: Int, _ region: Region, aligned: UInt64 = 8) -> UInt64 {
    let end = ends[region] ?? region.rawValue
    let start = (end + aligned - 1) & ~(aligned - 1)
    ends[region] = start + UInt64(count)
    var page = start & ~0xFFF
    while page < start + UInt64(count) {
      if frames[page] == nil {
        let frame = self.frame()
        frames[page] = frame
        map(page, to: frame, flags: region.flags)
      }
      page += 4096
    }
    return start
  }

  /// What comes next in `region` begins a page.
  public func end(of region: Region) -> UInt64 { ends[region] ?? region.rawValue }

  /// The physical address of what was allocated.
  public func physical(_ address: UInt64) -> UInt64 {
    guard let frame = frames[address & ~0xFFF] else { preconditionFailure("not allocated") }
    return frame << 12 | address & 0xFFF
  }

  public mutating func put(_ address: UInt64, _ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let place = physical(address + UInt64(done))
      let start = Int(place & 0xFFF)
      let count = min(4096 - start, bytes.count - done)
      pages[place >> 12]?.replaceSubrange(start..<start + count, with: bytes[done..<done + count])
      done += count
    }
  }

  public mutating func put(_ address: UInt64, _ value: UInt64, width: Int = 8) {
    put(address, (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) })
  }

  /// One byte at a physical address.
  public mutating func setByte(_ place: UInt64, _ byte: UInt8) {
    pages[place >> 12]?[Int(place & 0xFFF)] = byte
  }

  /// A string with its zero.
  public mutating func text(_ text: String, _ region: Region = .heap) -> UInt64 {
    let bytes = Array(text.utf8) + [0]
    let address = allocate(bytes.count, region)
    put(address, bytes)
    return address
  }
}

/// kallsyms as scripts/kallsyms.c of the kernel lays it out.
public struct KallsymsWriter: Sendable {
  /// Orders of its parts.
  public enum Order: CaseIterable, Sendable {
    /// Up to 6.1, and from 6.2 to 6.3 with the order of the names before the tokens.
    case classic, withOrder
    /// From 6.4 on.
    case modern
    /// Before 5.0: markers of 8 bytes.
    case wideMarkers
    /// 7.x: aligned to 4 bytes, and offsets that are relative to their own places.
    case placeRelative
  }

  public var symbols: [(name: String, kind: Character, address: UInt64)] = []
  public var order = Order.modern
  /// Whether small addresses are per-CPU variables, as until 6.14.
  public var hasAbsolutePerCPU = true

  public init() {}

  private static func le(_ value: UInt64, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
  }

  /// Letters and digits stand for themselves, as in any real table; the rest are chunks of names.
  private static let tokens: [String] = {
    var chunks = ["init", "_task", "func_", "start", "printk", "__", "_struct", "kernel", "tion"]
    return (0..<256).map { byte in
      let scalar = Unicode.Scalar(UInt8(byte))
      if byte < 128,
        scalar.properties.isAlphabetic || (48..<58).contains(byte)
          || "_.$".unicodeScalars.contains(scalar)
      {
        return String(Character(scalar))
      }
      return chunks.isEmpty ? "z\(byte)z" : chunks.removeFirst()
    }
  }()

  private static let chunks: [(token: UInt8, text: [UInt8])] = tokens.enumerated().compactMap {
    $0.element.utf8.count > 1 ? (UInt8($0.offset), Array($0.element.utf8)) : nil
  }

  private static func compress(_ name: String) -> [UInt8] {
    let name = Array(name.utf8)
    var place = 0
    var out: [UInt8] = []
    while place < name.count {
      let found = chunks.first { $0.text[0] == name[place] && name[place...].starts(with: $0.text) }
      out.append(found?.token ?? name[place])
      place += found?.text.count ?? 1
    }
    return out
  }

  /// Writes the tables into `memory`; the addresses of its parts, by their names.
  public func write(_ memory: inout KernelMemoryBuilder) -> [String: UInt64] {
    let base: UInt64 = 0xFFFF_FFFF_8100_0000
    let all = symbols.sorted { $0.address < $1.address }
    var names: [UInt8] = []
    var markers: [UInt8] = []
    var offsets: [UInt8] = []
    for (index, symbol) in all.enumerated() {
      if index % 256 == 0 {
        markers += Self.le(UInt64(names.count), order == .wideMarkers ? 8 : 4)
      }
      let bytes = Self.compress(String(symbol.kind) + symbol.name)
      if bytes.count < 128 {
        names.append(UInt8(bytes.count))
      } else {
        names += [UInt8(bytes.count & 0x7F | 0x80), UInt8(bytes.count >> 7)]
      }
      names += bytes
      let offset: UInt64
      if order == .placeRelative {
        offset = symbol.address
      } else if !hasAbsolutePerCPU {
        offset = symbol.address &- base
      } else if symbol.address < 1 << 31 {
        offset = symbol.address
      } else {
        offset = base &- 1 &- symbol.address
      }
      offsets += Self.le(offset, 4)
    }
    var table: [UInt8] = []
    var index: [UInt8] = []
    for token in Self.tokens {
      index += Self.le(UInt64(table.count), 2)
      table += Array(token.utf8) + [0]
    }
    let count = Self.le(UInt64(all.count), 8)
    let sequence = [UInt8](repeating: 1, count: 3 * all.count)
    let parts: [(String, [UInt8])] =
      switch order {
      case .classic, .wideMarkers, .withOrder:
        [
          ("offsets", offsets), ("relative_base", Self.le(base, 8)), ("num_syms", count),
          ("names", names), ("markers", markers),
        ] + (order == .withOrder ? [("seqs_of_names", sequence)] : []) + [
          ("token_table", table), ("token_index", index),
        ]
      case .modern:
        [
          ("num_syms", count), ("names", names), ("markers", markers), ("token_table", table),
          ("token_index", index), ("offsets", offsets), ("relative_base", Self.le(base, 8)),
          ("seqs_of_names", sequence),
        ]
      case .placeRelative:
        [
          ("num_syms", Array(count.prefix(4))), ("names", names), ("markers", markers),
          ("token_table", table), ("token_index", index), ("offsets", offsets),
          ("seqs_of_names", sequence),
        ]
      }
    var places: [String: UInt64] = [:]
    for (name, bytes) in parts {
      let place = memory.allocate(bytes.count, .readOnly, aligned: order == .placeRelative ? 4 : 8)
      memory.put(place, bytes)
      if name == "offsets", order == .placeRelative {
        for (number, symbol) in all.enumerated() {
          let own = place + UInt64(4 * number)
          memory.put(own, symbol.address &- own, width: 4)
        }
      }
      places["kallsyms_" + name] = place
    }
    return places
  }
}

/// BTF, written from the format's description.
public struct BTFWriter: Sendable {
  public private(set) var types: [UInt8] = []
  public private(set) var strings: [UInt8] = [0]
  private var count: UInt32
  private let firstString: UInt32

  /// - Parameters: what a table below has: types with `void`, and bytes of strings.
  public init(after types: UInt32 = 1, strings: UInt32 = 0) {
    count = types
    firstString = strings
  }

  public var nextID: UInt32 { count }

  private mutating func name(_ text: String) -> UInt32 {
    if text.isEmpty { return 0 }
    defer { strings += Array(text.utf8) + [0] }
    return firstString + UInt32(strings.count)
  }

  private mutating func words(_ words: [UInt32]) {
    for word in words {
      types += (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) }
    }
  }

  /// A type of any kind: its three words, and what is after them.
  @discardableResult
  public mutating func add(
    _ kind: UInt32, _ text: String, vlen: Int = 0, flag: Bool = false, _ sizeOrType: UInt32,
    _ extra: [UInt32] = []
  ) -> UInt32 {
    let name = name(text)
    words([name, kind << 24 | UInt32(vlen) | (flag ? 1 << 31 : 0), sizeOrType] + extra)
    count += 1
    return count - 1
  }

  public mutating func integer(_ name: String, _ size: UInt32, signed: Bool = false) -> UInt32 {
    add(1, name, size, [(signed ? 1 << 24 : 0) | 8 &* size & 0xFF])
  }
  public mutating func pointer(_ type: UInt32 = 0) -> UInt32 { add(2, "", type) }
  public mutating func array(_ type: UInt32, _ count: UInt32) -> UInt32 {
    add(3, "", 0, [type, 1, count])
  }

  /// A structure (4) or union (5). Offsets are bits; `bits` makes a bit field.
  public mutating func structure(
    _ text: String, _ size: UInt32,
    _ members: [(name: String, type: UInt32, offset: UInt32, bits: UInt32)], kind: UInt32 = 4
  ) -> UInt32 {
    let flag = members.contains { $0.bits > 0 }
    let extra = members.flatMap { member in
      [name(member.name), member.type, flag ? member.bits << 24 | member.offset : member.offset]
    }
    return add(kind, text, vlen: members.count, flag: flag, size, extra)
  }

  public mutating func enumeration(_ text: String, _ values: [(String, Int32)]) -> UInt32 {
    let extra = values.flatMap { [name($0.0), UInt32(bitPattern: $0.1)] }
    return add(6, text, vlen: values.count, flag: values.contains { $0.1 < 0 }, 4, extra)
  }

  /// The whole of it, with its header.
  public var bytes: [UInt8] {
    func le(_ value: Int) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    return [0x9F, 0xEB, 1, 0] + le(24) + le(0) + le(types.count) + le(types.count)
      + le(strings.count) + types + strings
  }
}
