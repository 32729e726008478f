// Declared types as BTF, which is what values are read by.

internal import Bytes

/// A member that has its place.
struct MemberRow {
  let name: String
  let type: BTF.ID
  let bitOffset: UInt64
  let bitCount: UInt64
}

/// Gives members their places, as the ABI of x86-64 says it.
struct Layout {
  let isUnion: Bool
  let isPacked: Bool
  private var bits: UInt64 = 0
  private(set) var alignment = 1

  init(isUnion: Bool, isPacked: Bool) {
    self.isUnion = isUnion
    self.isPacked = isPacked
  }

  /// Bytes of the whole.
  var byteCount: Int {
    let bytes = Int(clamping: (bits + 7) / 8)
    return (bytes + alignment - 1) / alignment * alignment
  }

  /// The offset of the next member in bits.
  mutating func add(_ size: Int, _ aligned: Int, _ bitCount: UInt64) -> UInt64 {
    let aligned = isPacked ? 1 : max(1, aligned)
    alignment = max(alignment, aligned)
    let width = bitCount > 0 ? bitCount : UInt64(size) * 8
    if isUnion {
      bits = max(bits, width)
      return 0
    }
    let unit = UInt64(aligned) * 8
    var start = bits
    if bitCount == 0 {
      start = (start + unit - 1) / unit * unit
    } else if !isPacked, start / unit != (start + width - 1) / unit {
      // A bit field does not go across a boundary of its type.
      start = (start + unit - 1) / unit * unit
    }
    bits = start + width
    return start
  }
}

/// Writes types as BTF, which all else reads.
struct TypeWriter {
  private var types: [UInt8] = []
  private var strings: [UInt8] = [0]
  private var count = 1
  /// Where each type's last word of its first three is.
  private var targets: [Int] = [0]

  private mutating func add(
    _ kind: BTF.Kind, _ name: String, vlen: Int = 0, flag: Bool = false, _ sizeOrType: Int,
    _ extra: [UInt32] = []
  ) -> BTF.ID {
    let place = string(name)
    let info = UInt32(kind.rawValue) << 24 | UInt32(vlen) | (flag ? 1 << 31 : 0)
    types.append(integer: place, .little)
    types.append(integer: info, .little)
    targets.append(types.count)
    types.append(integer: UInt32(truncatingIfNeeded: sizeOrType), .little)
    for word in extra { types.append(integer: word, .little) }
    count += 1
    return count - 1
  }

  private mutating func string(_ text: String) -> UInt32 {
    if text.isEmpty { return 0 }
    defer { strings += Array(text.utf8) + [0] }
    return UInt32(strings.count)
  }

  mutating func integer(_ name: String, _ size: Int, _ flags: UInt32) -> BTF.ID {
    add(.integer, name, size, [flags << 24 | UInt32(8 * size)])
  }

  mutating func float(_ name: String, _ size: Int) -> BTF.ID { add(.float, name, size) }
  mutating func pointer(_ type: BTF.ID) -> BTF.ID { add(.pointer, "", type) }

  mutating func array(_ type: BTF.ID, _ count: Int) -> BTF.ID {
    add(.array, "", 0, [UInt32(type), 1, UInt32(count)])
  }

  mutating func structure(
    _ name: String, _ size: Int, _ rows: [MemberRow], isUnion: Bool
  ) -> BTF.ID {
    let flag = rows.contains { $0.bitCount > 0 }
    var extra: [UInt32] = []
    for row in rows {
      let offset = UInt32(truncatingIfNeeded: row.bitOffset)
      extra += [
        string(row.name), UInt32(row.type),
        flag ? UInt32(row.bitCount) << 24 | offset & 0xFF_FFFF : offset,
      ]
    }
    return add(isUnion ? .union : .structure, name, vlen: rows.count, flag: flag, size, extra)
  }

  mutating func enumeration(_ name: String, _ size: Int, _ values: [(String, Int64)]) -> BTF.ID {
    let isSigned = values.contains { $0.1 < 0 }
    let extra = values.flatMap { [string($0.0), UInt32(truncatingIfNeeded: $0.1)] }
    return add(.enumeration, name, vlen: values.count, flag: isSigned, size, extra)
  }

  /// A type that stands for a structure until that is defined.
  mutating func placeholder(
    _ name: String, _ promises: inout [String: (id: BTF.ID, place: Int)], at place: Int
  ) -> BTF.ID {
    if let known = promises[name] { return known.id }
    let id = add(.volatile, "", 0)
    promises[name] = (id, place)
    return id
  }

  mutating func redirect(_ id: BTF.ID, to type: BTF.ID) {
    types.store(targets[id], UInt32(type), .little)
  }

  /// The whole of it, with its header.
  var bytes: [UInt8] {
    var out: [UInt8] = [0x9F, 0xEB, 1, 0]
    for word in [24, 0, types.count, types.count, strings.count] {
      out.append(integer: UInt32(word), .little)
    }
    return out + types + strings
  }
}
