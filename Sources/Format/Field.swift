// One row of a record's table.

public import Bytes

/// A field of a record: its name, how many bytes it takes and how people read it.
///
/// The rows of a record are the format. Reading, writing, checking, printing, comparing and
/// documenting a record all interpret them.
public struct Field: Sendable {
  /// How a field lies in the body.
  public indirect enum Kind: Sendable {
    /// An unsigned integer of 1, 2, 4 or 8 bytes.
    case unsigned(Int)
    /// A two's complement integer of 1, 2, 4 or 8 bytes.
    case signed(Int)
    /// Bytes that must be zero.
    case reserved(Int)
    /// A fixed number of bytes that are not numbers.
    case bytes(Int)
    /// Everything to the end of the body, which belongs to another program.
    case opaque
    /// A fixed number of bytes: text, filled up with NULs.
    case text(Int)
    /// Fields one after the other.
    case group([Field])
    /// Elements one after the other; each has the kind of the field given.
    case array(Field, Count)
    /// Entries that each say their own type and length (HVM_CONTEXT).
    case chain(Chain)
    /// NUL-terminated keys and values in turn, to the end of the body.
    case keyValues
    /// A migration stream of QEMU to the end of the body, as `QEMUState` splits it. Bytes that are
    /// none are `opaque`.
    case qemu
    /// varstored's list of UEFI variables to the end of the body, as `UEFIVariables` reads it. Bytes
    /// that are none are `opaque`.
    case uefiVariables
  }

  /// How many elements an array has.
  public enum Count: Sendable {
    case fixed(Int)
    /// As many as the field of this name, which lies before it, says.
    case field(String)
    /// As many as fit to the end of the body.
    case rest
  }

  /// A part of an integer, found under `field.name`.
  public struct Bits: Sendable, Equatable {
    public let name: String
    /// The lowest bit; 0 is the integer's lowest.
    public let low: Int
    public let width: Int
    /// Names of values of this part.
    public let names: [UInt64: String]
    public init(
      _ name: String, _ low: Int, width: Int = 1, names: [UInt64: String] = [:]
    ) {
      precondition(low >= 0 && width > 0 && low + width <= 64)
      self.name = name
      self.low = low
      self.width = width
      self.names = names
    }

    /// The greatest value that fits.
    public var greatest: UInt64 { UInt64.max >> UInt64(64 - width) }
    /// The bits that the part takes of the integer.
    public var mask: UInt64 { greatest << UInt64(low) }
  }

  public let name: String
  public let kind: Kind
  /// Whether people read the number in hexadecimal: addresses, masks, registers.
  public var isHex = false
  /// The unit of the number ("ns", "kHz"), or "".
  public var unit = ""
  /// One sentence about the field, without its name.
  public var doc = ""
  /// Names of values, for example of page types or parameter numbers.
  public var names: [UInt64: String] = [:]
  /// Whether the names are the field's only legal values: scripts then read them as text.
  public var isEnumeration = false
  public var bits: [Bits] = []
  /// Where the bits depend on another field of the group: its name, and the bits by its value.
  public var bitsBySibling: (name: String, bits: @Sendable (UInt64) -> [Bits])?
  /// Whether the bits stand beside the field too, as the members of C's unnamed structures do:
  /// `is_master` is then the same place as `mode.is_master`.
  public var bitsAreMembers = false
  /// For arrays of groups: the field whose value names an element ("index" of HVM_PARAMS).
  public var key: String?
  /// For groups: the rows to use instead where the stream around the body says which.
  public var rows: (@Sendable (BodyContext) -> [Field]?)?
  /// The byte order of another program's state, whatever the stream's is: little-endian for guests
  /// and hypervisors on x86, big-endian for QEMU. Nil for the stream's own fields.
  public var ownOrder: ByteOrder?
  /// Whether where the field ends was guessed from its bytes.
  public var isGuess = false
  /// Whether the bytes are text of another program's: people read it as such.
  public var isText = false

  public init(_ name: String, _ kind: Kind) {
    self.name = name
    self.kind = kind
  }
}

extension Field {
  public static func u8(_ name: String) -> Field { Field(name, .unsigned(1)) }
  public static func u16(_ name: String) -> Field { Field(name, .unsigned(2)) }
  public static func u32(_ name: String) -> Field { Field(name, .unsigned(4)) }
  public static func u64(_ name: String) -> Field { Field(name, .unsigned(8)) }
  /// Unsigned integers that people read in hexadecimal.
  public static func x8(_ name: String) -> Field { Field(name, .unsigned(1)).hex }
  public static func x16(_ name: String) -> Field { Field(name, .unsigned(2)).hex }
  public static func x32(_ name: String) -> Field { Field(name, .unsigned(4)).hex }
  public static func x64(_ name: String) -> Field { Field(name, .unsigned(8)).hex }
  public static func i8(_ name: String) -> Field { Field(name, .signed(1)) }
  public static func i64(_ name: String) -> Field { Field(name, .signed(8)) }
  public static func reserved(_ count: Int, _ name: String = "reserved") -> Field {
    Field(name, .reserved(count))
  }
  public static func bytes(_ name: String, _ count: Int) -> Field { Field(name, .bytes(count)) }
  public static func opaque(_ name: String) -> Field { Field(name, .opaque) }
  public static func text(_ name: String, _ count: Int) -> Field { Field(name, .text(count)) }
  public static func group(_ name: String, _ fields: [Field]) -> Field {
    Field(name, .group(fields))
  }
  /// An array whose elements are groups of `fields`.
  public static func array(_ name: String, _ count: Count, of fields: [Field]) -> Field {
    Field(name, .array(Field("", .group(fields)), count))
  }
  /// An array of single fields; the element's own name is not used.
  public static func array(_ name: String, _ count: Count, each element: Field) -> Field {
    Field(name, .array(element, count))
  }

  public var hex: Field { with { $0.isHex = true } }
  public var asText: Field { with { $0.isText = true } }
  public var native: Field { with { $0.ownOrder = .little } }
  public func unit(_ unit: String) -> Field { with { $0.unit = unit } }
  public func doc(_ sentence: String) -> Field { with { $0.doc = sentence } }
  public func names(_ names: [UInt64: String]) -> Field { with { $0.names = names } }
  public func enumeration(_ names: [UInt64: String]) -> Field {
    with {
      $0.names = names
      $0.isEnumeration = true
    }
  }
  public func bits(_ bits: [Bits]) -> Field { with { $0.bits += bits } }
  /// Parts of one bit each, by number.
  public func bits(_ bits: KeyValuePairs<String, Int>) -> Field {
    self.bits(bits.map { Bits($0.key, $0.value) })
  }
  /// Parts that another field of the same group decides on, which comes before it.
  public func bits(
    by sibling: String, _ bits: @escaping @Sendable (UInt64) -> [Bits]
  ) -> Field {
    with { $0.bitsBySibling = (sibling, bits) }
  }
  /// As `bits`, and found beside the field as well.
  public func memberBits(_ bits: [Bits]) -> Field {
    self.bits(bits).with { $0.bitsAreMembers = true }
  }
  public func rows(_ rows: @escaping @Sendable (BodyContext) -> [Field]?) -> Field {
    with { $0.rows = rows }
  }
  public func keyed(by name: String) -> Field { with { $0.key = name } }

  private func with(_ change: (inout Field) -> Void) -> Field {
    var copy = self
    change(&copy)
    return copy
  }

  /// The bytes of the field where they do not depend on the body; nil for arrays by count, chains
  /// and opaque rests.
  public var fixedByteCount: Int? {
    switch kind {
    case .unsigned(let n), .signed(let n), .reserved(let n), .bytes(let n), .text(let n): n
    case .opaque, .chain, .keyValues, .qemu, .uefiVariables: nil
    case .group(let fields): Field.fixedByteCount(of: fields)
    case .array(let element, .fixed(let n)): element.fixedByteCount.map { $0 * n }
    case .array: nil
    }
  }

  /// The bytes of `fields` together, or nil if one of them depends on the body.
  public static func fixedByteCount(of fields: [Field]) -> Int? {
    var sum = 0
    for field in fields {
      guard let count = field.fixedByteCount else { return nil }
      sum += count
    }
    return sum
  }

  /// `placed` at their offsets in `byteCount` bytes, with the gaps between them as bytes called
  /// `_gap_` and their offset in hexadecimal. The fields are in the order of their offsets and do
  /// not overlap.
  public static func tiled(_ byteCount: Int, _ placed: [(offset: Int, field: Field)]) -> [Field] {
    var out: [Field] = []
    var end = 0
    func fill(to offset: Int) {
      precondition(offset >= end, "fields overlap at \(offset)")
      if offset > end { out.append(.bytes("_gap_" + String(end, radix: 16), offset - end)) }
    }
    for (offset, field) in placed {
      guard let count = field.fixedByteCount else {
        preconditionFailure("\(field.name) has no fixed length")
      }
      fill(to: offset)
      out.append(field)
      end = offset + count
    }
    fill(to: byteCount)
    return out
  }
}
