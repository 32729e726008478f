// kallsyms: the table of symbols that a Linux kernel carries for its own messages.

internal import SystemIO
internal import Bytes
internal import Pages

/// Where the parts of kallsyms are, at run time. Linux: scripts/kallsyms.c, kernel/kallsyms.c.
struct KallsymsPlaces: Equatable {
  var names: UInt64
  var count: Int
  var tokenTable: UInt64
  var tokenIndex: UInt64
  var offsets: UInt64
  /// Where what the offsets are relative to stands; nil for offsets that are relative to their own
  /// places (7.x).
  var relativeBase: UInt64?

  /// Most symbols of a kernel: all of Linux 6.12 with everything built in has some 400,000.
  static let countLimit = 4 << 20
  /// Most bytes of the compressed names, and of the names themselves.
  static let namesLimit = 48 << 20

  init(
    names: UInt64, count: Int, tokenTable: UInt64, tokenIndex: UInt64, offsets: UInt64,
    relativeBase: UInt64?
  ) {
    self.names = names
    self.count = count
    self.tokenTable = tokenTable
    self.tokenIndex = tokenIndex
    self.offsets = offsets
    self.relativeBase = relativeBase
  }

  /// As VMCOREINFO names them, from Linux 6.0 on.
  init?(_ info: VMCoreInfo, _ memory: KernelMemory) {
    guard let names = info.symbol("kallsyms_names"),
      let tokenTable = info.symbol("kallsyms_token_table"),
      let tokenIndex = info.symbol("kallsyms_token_index"),
      let offsets = info.symbol("kallsyms_offsets"),
      let place = info.symbol("kallsyms_num_syms"),
      let count = try? memory.load(place, as: UInt32.self)
    else { return nil }
    self.init(
      names: names, count: Int(count), tokenTable: tokenTable, tokenIndex: tokenIndex,
      offsets: offsets, relativeBase: info.symbol("kallsyms_relative_base"))
  }
}

/// Finds kallsyms by its shape: kernels before 6.0 do not say where it is.
///
/// The token table is 256 strings, each with its zero; the digits stand for themselves, so there is
/// "0\01\0...9\0" in it. The token index (256 offsets of 16 bits) follows it. Before it lie the names,
/// before those their count:
///
///     up to 6.3   offsets, relative base, count, names, markers, [order of names], tokens, index
///     from 6.4    count, names, markers, tokens, index, offsets, relative base, order of names
///     7.x         the same without relative base: each offset is relative to its own place
///
/// Each part is aligned to 8 bytes (in 7.x to 4). The order of names (3 bytes each) came in 6.2.
struct KallsymsFinder {
  let memory: KernelMemory
  let limits: Limits

  /// What a search looks at in all: a guest may map far more than it has, and fill it with what
  /// looks like a table.
  final class Limits {
    var byteCount: UInt64 = 512 << 20
    /// Of pages that the image does not have: to find that out costs more than to read one.
    var absentByteCount: UInt64 = 256 << 20
    var likenessCount = 4096
    var tableCount = 16
  }

  init(memory: KernelMemory, limits: Limits = Limits()) {
    self.memory = memory
    self.limits = limits
  }

  private static let chunkByteCount = 4 << 20
  /// Bytes of a token table and its index at most.
  private static let tokensByteCount = 256 * 64 + 16 + 512
  /// The text is at most this long before its tokens.
  private static let backLimit = 32 << 20
  /// Full looks at what could be the names: each costs as much as reading them.
  private static let tryLimit = 64

  /// Looks in one range of the kernel's mapping.
  func find(in range: PagedMemory.MappedRange) -> KallsymsPlaces? {
    var done: UInt64 = 0
    while done < range.byteCount, limits.byteCount > 0, limits.absentByteCount > 0 {
      limits.byteCount -= min(limits.byteCount, UInt64(Self.chunkByteCount))
      let count = Int(
        min(range.byteCount - done, UInt64(Self.chunkByteCount + Self.tokensByteCount)))
      let start = range.start + done
      var absent: UInt64 = 0
      let bytes = memory.readWhatIsThere(start, count, &absent)
      limits.absentByteCount -= min(limits.absentByteCount, absent)
      for digits in Self.digits(in: bytes) {
        guard limits.likenessCount > 0, limits.tableCount > 0 else { return nil }
        limits.likenessCount -= 1
        guard let (table, index) = Self.tokens(bytes, digits) else { continue }
        limits.tableCount -= 1
        if let places = places(
          from: range.start, table: start + UInt64(table), index: start + UInt64(index))
        {
          return places
        }
      }
      done += UInt64(Self.chunkByteCount)
    }
    return nil
  }

  /// Offsets of "0\01\0...9\0".
  static func digits(in bytes: [UInt8]) -> [Int] {
    let text: [UInt8] = (0..<20).map { (index: UInt8) -> UInt8 in
      index % 2 == 0 ? 48 + index / 2 : 0
    }
    // Wherever it begins, one aligned word of 8 bytes lies inside of it.
    let words = (0..<8).map { text.load($0, as: UInt64.self) }
    var out: [Int] = []
    var place = 0
    while place + 8 <= bytes.count {
      let word = bytes.load(place, as: UInt64.self)
      if word != 0, word & 0xFF00_FF00_FF00_FF00 == 0 || word & 0x00FF_00FF_00FF_00FF == 0,
        let skipped = words.firstIndex(of: word), place >= skipped,
        place - skipped + text.count <= bytes.count,
        text.indices.allSatisfy({ bytes[place - skipped + $0] == text[$0] })
      {
        if out.last != place - skipped { out.append(place - skipped) }
      }
      place += 8
    }
    return out
  }

  /// The token table around its digits, and the index after it.
  static func tokens(_ bytes: [UInt8], _ digits: Int) -> (table: Int, index: Int)? {
    // 48 strings before "0".
    var start = digits
    for _ in 0..<48 {
      guard start > 0 else { return nil }
      var place = start - 1
      while place > 0, bytes[place - 1] != 0, start - place < 64 { place -= 1 }
      start = place
    }
    // Zeros before the first string belong to what is before the table; it has no empty ones.
    var offsets: [UInt16] = []
    var place = start
    for _ in 0..<256 {
      guard let offset = UInt16(exactly: place - start) else { return nil }
      offsets.append(offset)
      guard place < bytes.count, let length = bytes[place...].prefix(128).firstIndex(of: 0) else {
        return nil
      }
      place = length + 1
    }
    for index in place..<place + 16 where index + 512 <= bytes.count {
      if offsets.indices.allSatisfy({
        bytes.load(index + 2 * $0, as: UInt16.self) == offsets[$0]
      }) {
        return (start, index)
      }
    }
    return nil
  }

  /// The other parts around the tokens.
  private func places(from start: UInt64, table: UInt64, index: UInt64) -> KallsymsPlaces? {
    let count = Int(min(table - start, UInt64(Self.backLimit)))
    let first = table - UInt64(count)
    let bytes = memory.readWhatIsThere(first, count)
    var tries = 0
    // Positions stay aligned to 4: the tables are aligned to 8 for the most part.
    var place = (count & ~3) - 16
    while place >= 8, tries < Self.tryLimit {
      defer { place -= 4 }
      // The count stands just before the names: 4 bytes, and 4 of padding where that is 8.
      let last = bytes.load(place - 4, as: UInt32.self)
      let symbolCount = UInt64(last != 0 ? last : bytes.load(place - 8, as: UInt32.self))
      let rest = UInt64(count - place)
      guard symbolCount > 256, symbolCount < rest / 2, symbolCount > rest / 128,
        let marker = Self.markerOfSecond(bytes, place)
      else { continue }
      tries += 1
      guard let end = Self.endOfNames(bytes, place, Int(symbolCount)),
        Self.areMarkers(bytes, (end + 3) & ~3, marker)
          || Self.areMarkers(bytes, (end + 7) & ~7, marker)
      else { continue }
      let names = first + UInt64(place)
      if let found = withOffsets(names, Int(symbolCount), table, index) { return found }
    }
    return nil
  }

  /// Where the name of symbol 256 begins, counted from that of the first.
  private static func markerOfSecond(_ bytes: [UInt8], _ names: Int) -> UInt32? {
    endOfNames(bytes, names, 256).map { UInt32($0 - names) }
  }

  /// The end of so many names; nil where one has no length, or they do not end.
  private static func endOfNames(_ bytes: [UInt8], _ names: Int, _ count: Int) -> Int? {
    var place = names
    for _ in 0..<count {
      guard place + 1 < bytes.count else { return nil }
      var length = Int(bytes[place])
      place += 1
      if length & 0x80 != 0 {
        length = length & 0x7F | Int(bytes[place]) << 7
        place += 1
      }
      guard length > 0 else { return nil }
      place += length
    }
    return place <= bytes.count ? place : nil
  }

  /// Markers are offsets of every 256th name: integers of 4 bytes, of 8 before Linux 5.0.
  private static func areMarkers(_ bytes: [UInt8], _ place: Int, _ second: UInt32) -> Bool {
    guard place + 8 <= bytes.count, bytes.load(place, as: UInt32.self) == 0 else { return false }
    if bytes.load(place + 4, as: UInt32.self) == second { return true }
    return place + 16 <= bytes.count && bytes.load(place, as: UInt64.self) == 0
      && bytes.load(place + 8, as: UInt64.self) == UInt64(second)
  }

  /// The offsets and their base lie before the count, or after the index.
  private func withOffsets(
    _ names: UInt64, _ count: Int, _ table: UInt64, _ index: UInt64
  ) -> KallsymsPlaces? {
    let size = (UInt64(4 * count) + 7) & ~7
    let after = (index + 512 + 7) & ~7
    for (offsets, base) in [(names - 16 - size, names - 16), (after, after + size)] {
      guard let value = try? memory.word(base), value >= 0xFFFF_FFFF_8000_0000, value & 0xFFF == 0
      else { continue }
      return KallsymsPlaces(
        names: names, count: count, tokenTable: table, tokenIndex: index, offsets: offsets,
        relativeBase: base)
    }
    let offsets = (index + 512 + 3) & ~3
    var last: UInt64 = 0
    for symbolIndex in [0, 1, count / 2, count - 1] {
      let place = offsets &+ UInt64(4 * symbolIndex)
      guard let offset = try? memory.load(place, as: Int32.self) else { return nil }
      let address = place &+ UInt64(bitPattern: Int64(offset))
      guard KernelFinder.mapping.contains(address), address >= last else { return nil }
      last = address
    }
    return KallsymsPlaces(
      names: names, count: count, tokenTable: table, tokenIndex: index, offsets: offsets,
      relativeBase: nil)
  }
}

extension SymbolTable {
  /// Reads kallsyms.
  init(_ memory: KernelMemory, _ places: KallsymsPlaces) throws {
    func bad(_ problem: String) -> XensaveError {
      XensaveError(.invalid, "\(memory.path): kallsyms: \(problem)")
    }
    let count = places.count
    guard count > 0, count <= KallsymsPlaces.countLimit else {
      throw bad("expected 1 to \(KallsymsPlaces.countLimit) symbols, got \(count)")
    }
    let tokens = try Tokens(memory, places, bad)
    let offsets = try memory.read(places.offsets, 4 * count)
    let base = try places.relativeBase.map { (place) in try memory.word(place) }
    // Where most offsets are negative those are relative to the base, and the others are the
    // addresses of per-CPU variables (CONFIG_KALLSYMS_ABSOLUTE_PERCPU, until 6.14).
    var negative = 0
    for index in 0..<count where offsets[4 * index + 3] & 0x80 != 0 { negative += 1 }
    let isAbsolutePerCPU = negative > count / 2
    var addresses = [UInt64](repeating: 0, count: count)
    for index in 0..<count {
      let offset = offsets.load(4 * index, as: Int32.self)
      guard let base else {
        addresses[index] =
          places.offsets &+ UInt64(4 * index) &+ UInt64(bitPattern: Int64(offset))
        continue
      }
      if !isAbsolutePerCPU {
        addresses[index] = base &+ UInt64(UInt32(bitPattern: offset))
      } else if offset >= 0 {
        addresses[index] = UInt64(offset)
      } else {
        addresses[index] = base &- 1 &- UInt64(bitPattern: Int64(offset))
      }
    }
    let (names, starts) = try tokens.expand(memory, places.names, count, bad)
    self.init(addresses: addresses, names: names, starts: starts)
  }
}

/// The strings that bytes of compressed names stand for.
private struct Tokens {
  let table: [UInt8]
  /// Start and length of each.
  var starts = [Int](repeating: 0, count: 256)
  var lengths = [Int](repeating: 0, count: 256)

  init(
    _ memory: KernelMemory, _ places: KallsymsPlaces, _ bad: (String) -> XensaveError
  ) throws {
    let index = try memory.read(places.tokenIndex, 512)
    let last = Int(index.load(510, as: UInt16.self))
    table = try memory.read(places.tokenTable, last + 256)
    for token in 0..<256 {
      let start = Int(index.load(2 * token, as: UInt16.self))
      guard start <= last, let end = table[start...].firstIndex(of: 0) else {
        throw bad("token \(token) lies outside of the table")
      }
      starts[token] = start
      lengths[token] = end - start
    }
  }

  /// The names of `count` symbols and where each begins.
  func expand(
    _ memory: KernelMemory, _ start: UInt64, _ count: Int, _ bad: (String) -> XensaveError
  ) throws -> ([UInt8], [UInt32]) {
    var names: [UInt8] = []
    names.reserveCapacity(24 * count)
    var starts: [UInt32] = []
    starts.reserveCapacity(count + 1)
    // The compressed names have no stated length: they are read a piece at a time.
    var bytes: [UInt8] = []
    var place = 0
    var address = start
    var total = 0
    func fill() throws {
      bytes.removeFirst(place)
      place = 0
      // Up to the end of a page: what is after the last name need not be there.
      var chunk = 4096 - Int(address & 0xFFF)
      if bytes.count + chunk < 3 * 4096 { chunk += 3 * 4096 }
      do { bytes += try memory.read(address, chunk) } catch {
        chunk = 4096 - Int(address & 0xFFF)
        bytes += try memory.read(address, chunk)
      }
      address &+= UInt64(chunk)
      total += chunk
      guard total <= KallsymsPlaces.namesLimit else { throw bad("its names have no end") }
    }
    for _ in 0..<count {
      starts.append(UInt32(names.count))
      while bytes.count - place < 2 { try fill() }
      var length = Int(bytes[place])
      place += 1
      if length & 0x80 != 0 {
        length = length & 0x7F | Int(bytes[place]) << 7
        place += 1
      }
      while bytes.count - place < length { try fill() }
      for index in place..<place + length {
        let token = Int(bytes[index])
        let first = self.starts[token]
        for byte in first..<first + lengths[token] { names.append(table[byte]) }
      }
      place += length
      guard names.count <= KallsymsPlaces.namesLimit else { throw bad("its names are too long") }
    }
    starts.append(UInt32(names.count))
    return (names, starts)
  }
}
