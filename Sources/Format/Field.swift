// One row of a record's table.

/// A field of a record: its name, how many octets it takes and how people read it.
///
/// The rows of a record are the format. Reading, writing, checking, printing, comparing and
/// documenting a record all interpret them.
public struct Field: Sendable {
  /// How a field lies in the body.
  public indirect enum Kind: Sendable {
    /// An unsigned integer of 1, 2, 4 or 8 octets.
    case unsigned(Int)
    /// A two's complement integer of 1, 2, 4 or 8 octets.
    case signed(Int)
    /// Octets that must be zero.
    case reserved(Int)
    /// A fixed number of octets that are not numbers.
    case octets(Int)
    /// Everything to the end of the body, which belongs to another program.
    case opaque
    /// A fixed number of octets: text, filled up with NULs.
    case text(Int)
    /// Fields one behind the other.
    case group([Field])
    /// Elements one behind the other; each has the kind of the field given.
    case array(Field, Count)
    /// Entries that each say their own type and length (HVM_CONTEXT).
    case chain(Chain)
    /// NUL-terminated keys and values in turn, to the end of the body.
    case keyValues
  }

  /// How many elements an array has.
  public enum Count: Sendable {
    case fixed(Int)
    /// As many as the field of this name, which lies before it, says.
    case field(String)
    /// As many as fit to the end of the body.
    case rest
  }

  /// A part of an integer.
  public struct Bits: Sendable {
    public let name: String
    public let low: Int
    public let width: Int
    public init(_ name: String, _ low: Int, width: Int = 1) {
      self.name = name
      self.low = low
      self.width = width
    }
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
  public var bits: [Bits] = []
  /// For arrays of groups: the field whose value names an element ("index" of HVM_PARAMS).
  public var key: String?
  /// Guest or hypervisor state: little-endian on x86 whatever the stream's byte order is.
  public var isNative = false

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
  public static func reserved(_ count: Int, _ name: String = "reserved") -> Field {
    Field(name, .reserved(count))
  }
  public static func octets(_ name: String, _ count: Int) -> Field { Field(name, .octets(count)) }
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
  public var native: Field { with { $0.isNative = true } }
  public func unit(_ unit: String) -> Field { with { $0.unit = unit } }
  public func doc(_ sentence: String) -> Field { with { $0.doc = sentence } }
  public func names(_ names: [UInt64: String]) -> Field { with { $0.names = names } }
  public func bits(_ bits: [Bits]) -> Field { with { $0.bits = bits } }
  public func keyed(by name: String) -> Field { with { $0.key = name } }

  private func with(_ change: (inout Field) -> Void) -> Field {
    var copy = self
    change(&copy)
    return copy
  }

  /// The octets of the field where they do not depend on the body; nil for arrays by count, chains
  /// and opaque rests.
  public var fixedByteCount: Int? {
    switch kind {
    case .unsigned(let n), .signed(let n), .reserved(let n), .octets(let n), .text(let n): n
    case .opaque, .chain, .keyValues: nil
    case .group(let fields): Field.fixedByteCount(of: fields)
    case .array(let element, .fixed(let n)): element.fixedByteCount.map { $0 * n }
    case .array: nil
    }
  }

  /// The octets of `fields` together, or nil if one of them depends on the body.
  public static func fixedByteCount(of fields: [Field]) -> Int? {
    var sum = 0
    for field in fields {
      guard let count = field.fixedByteCount else { return nil }
      sum += count
    }
    return sum
  }
}

/// The entries of a chain: a head of fixed fields, then as many octets as the head says.
public struct Chain: Sendable {
  /// The layout of an entry of this type number, if it is known.
  public let layout: @Sendable (UInt16) -> EntryLayout?
  /// The type number of an entry name.
  public let number: @Sendable (String) -> UInt16?
  /// All names, for suggestions and completion.
  public let names: @Sendable () -> [String]

  public init(
    layout: @escaping @Sendable (UInt16) -> EntryLayout?,
    number: @escaping @Sendable (String) -> UInt16?,
    names: @escaping @Sendable () -> [String]
  ) {
    self.layout = layout
    self.number = number
    self.names = names
  }
}

/// The table of one type of chain entry. Entries shorter than the table come from older releases:
/// the fields that they lack are zero to a reader.
public struct EntryLayout: Sendable {
  public let number: UInt16
  public let name: String
  public let fields: [Field]
  /// The lengths that releases have written; empty where the length varies.
  public let lengths: [Int]
  public let doc: String

  public init(
    _ number: UInt16, _ name: String, lengths: [Int] = [], _ doc: String, _ fields: [Field]
  ) {
    self.number = number
    self.name = name
    self.lengths = lengths
    self.doc = doc
    self.fields = fields
  }
}
