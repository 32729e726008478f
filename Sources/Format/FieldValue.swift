// What a field holds, in the terms of its kind.

public import Bytes

/// The value of a field, or of a whole body.
public enum FieldValue: Sendable, Equatable {
  case unsigned(UInt64)
  case signed(Int64)
  case bytes([UInt8])
  case text(String)
  case list([FieldValue])
  /// Fields in their order.
  case group([(name: String, value: FieldValue)])

  public static func == (a: FieldValue, b: FieldValue) -> Bool {
    switch (a, b) {
    case (.unsigned(let x), .unsigned(let y)): x == y
    case (.signed(let x), .signed(let y)): x == y
    case (.bytes(let x), .bytes(let y)): x == y
    case (.text(let x), .text(let y)): x == y
    case (.list(let x), .list(let y)): x == y
    case (.group(let x), .group(let y)):
      x.count == y.count && zip(x, y).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    default: false
    }
  }
}

/// What is known of the stream around a body and needed to read it.
public struct BodyContext: Sendable, Equatable {
  /// The byte order of the stream's own fields.
  public var order: ByteOrder
  /// X86_PV_INFO's guest_width, or 0 where it is not known or there is none.
  public var guestWidth: Int
  /// Where the image's X86_CPUID_POLICY puts the parts of an XSAVE area; empty where not known.
  public var xstate: [Int: X86XState.Component]

  public init(
    order: ByteOrder = .little, guestWidth: Int = 0, xstate: [Int: X86XState.Component] = [:]
  ) {
    self.order = order
    self.guestWidth = guestWidth
    self.xstate = xstate
  }
}

/// A place in a body: which field lies there and where.
public struct FieldLocation: Sendable {
  /// "param[3].value".
  public let path: String
  public let field: Field
  /// Bytes from the start of the body.
  public let offset: Int
  /// Bytes that the field has in this body.
  public let byteCount: Int
  /// The byte order of an integer there.
  public let order: ByteOrder
  /// The part of the integer that is meant; nil for all of it.
  public let bits: Field.Bits?

  init(
    path: String, field: Field, offset: Int, byteCount: Int, order: ByteOrder,
    bits: Field.Bits? = nil
  ) {
    self.path = path
    self.field = field
    self.offset = offset
    self.byteCount = byteCount
    self.order = order
    self.bits = bits
  }
}

extension FieldLocation {
  /// Whether the field is a single value, and not one made of others.
  public var isLeaf: Bool {
    switch field.kind {
    case .group, .array, .chain, .keyValues, .qemu, .uefiVariables: false
    default: true
    }
  }

  /// The value of a leaf in `body`. Groups, arrays and chains give their bytes.
  public func value(in body: [UInt8]) -> FieldValue {
    switch field.kind {
    case .unsigned(let width):
      .unsigned(part(of: body.unsigned(at: offset, width: width, order)))
    case .signed(let width):
      .signed(
        signExtended(body.unsigned(at: offset, width: width, order), width: width))
    case .text: text(in: body)
    default: .bytes([UInt8](body[offset..<offset + byteCount]))
    }
  }

  private func part(of word: UInt64) -> UInt64 {
    guard let bits else { return word }
    return word >> UInt64(bits.low) & bits.greatest
  }

  /// The text up to its NULs; bytes that are no such text are given as bytes.
  private func text(in body: [UInt8]) -> FieldValue {
    let bytes = body[offset..<offset + byteCount]
    let text = bytes.prefix { $0 != 0 }
    guard bytes.dropFirst(text.count).allSatisfy({ $0 == 0 }),
      let string = String(validating: text, as: UTF8.self)
    else { return .bytes([UInt8](bytes)) }
    return .text(string)
  }

  /// Writes `value` into `body`. The place keeps its size: what does not fit throws. A part of an
  /// integer leaves the integer's other bits alone; an integer with named values takes a name.
  public func set(_ value: FieldValue, in body: inout [UInt8]) throws(FormatError) {
    switch (field.kind, value) {
    case (.unsigned(let width), .unsigned(let integer)):
      try set(integer, width, in: &body)
    case (.unsigned(let width), .signed(let integer)):
      // Lua's integers are signed: a negative one is the bit pattern of 8 bytes.
      if integer < 0, width < 8 || bits != nil { throw tooLarge("\(integer)", width) }
      try set(UInt64(bitPattern: integer), width, in: &body)
    case (.unsigned, .text(let text)), (.signed, .text(let text)):
      guard let integer = field.value(named: text) else {
        throw FormatError(
          .invalid, field: path,
          "expected a number or a name of one, got \"\(Array(text.utf8).printable)\""
            + didYouMean(text, among: Array(field.names.values)))
      }
      try set(.signed(integer), in: &body)
    case (.unsigned, .bytes) where bits != nil:
      throw FormatError(.invalid, field: path, "expected a number of \(bitCountText)")
    case (.signed(let width), .signed(let integer)):
      try check(integer, width)
      body.set(
        unsigned: UInt64(bitPattern: integer), at: offset, width: width, order)
    case (.signed(let width), .unsigned(let integer)):
      guard integer <= UInt64(Int64.max) else { throw tooLarge(integer.hex(), width) }
      try check(Int64(integer), width)
      body.set(unsigned: integer, at: offset, width: width, order)
    case (.reserved, .unsigned(0)):
      try replace([UInt8](repeating: 0, count: byteCount), in: &body, fill: false)
    case (.text, .text(let text)):
      try replace([UInt8](text.utf8), in: &body, fill: true)
    case (.text, .bytes(let bytes)):
      try replace(bytes, in: &body, fill: true)
    case (_, .bytes(let bytes)):
      try replace(bytes, in: &body, fill: false)
    case (_, .text(let text)):
      try replace([UInt8](text.utf8), in: &body, fill: false)
    default:
      throw FormatError(.invalid, field: path, "expected \(field.kindName)")
    }
  }

  private func set(
    _ integer: UInt64, _ width: Int, in body: inout [UInt8]
  ) throws(FormatError) {
    var word = integer
    if let bits {
      if integer > bits.greatest { throw tooLarge(integer.hex(), width) }
      word = body.unsigned(at: offset, width: width, order) & ~bits.mask
      word |= integer << UInt64(bits.low)
    } else if width < 8, integer >> UInt64(8 * width) != 0 {
      throw tooLarge(integer.hex(), width)
    }
    body.set(unsigned: word, at: offset, width: width, order)
  }

  private var bitCountText: String {
    bits.map { $0.width == 1 ? "1 bit" : "\($0.width) bits" } ?? field.kindName
  }

  private func replace(
    _ bytes: [UInt8], in body: inout [UInt8], fill: Bool
  ) throws(FormatError) {
    guard bytes.count == byteCount || (fill && bytes.count < byteCount) else {
      throw FormatError(
        .outOfRange, field: path,
        "expected \(fill ? "at most " : "")\(byteCount) bytes, got \(bytes.count)")
    }
    let padding = [UInt8](repeating: 0, count: byteCount - bytes.count)
    body.replaceSubrange(offset..<offset + byteCount, with: bytes + padding)
  }

  private func check(_ integer: Int64, _ width: Int) throws(FormatError) {
    let half = Int64(1) << Int64(8 * width - 1 < 63 ? 8 * width - 1 : 62)
    if width < 8, integer < -half || integer >= half { throw tooLarge("\(integer)", width) }
  }

  private func tooLarge(_ text: String, _ width: Int) -> FormatError {
    let range: String
    if case .signed = field.kind {
      range =
        "-\((UInt64(1) << UInt64(8 * width - 1)))..\((UInt64(1) << UInt64(8 * width - 1)) - 1)"
    } else {
      range = "0..\((bits?.greatest ?? UInt64.max >> UInt64(64 - 8 * width)).hex())"
    }
    return FormatError(
      .outOfRange, field: path, "expected a value in \(range) (\(bitCountText)), got \(text)")
  }
}

func signExtended(_ value: UInt64, width: Int) -> Int64 {
  let shift = UInt64(64 - 8 * width)
  return Int64(bitPattern: value << shift) >> Int64(shift)
}

extension Field {
  /// The kind in words: "u32", "12 bytes".
  public var kindName: String {
    switch kind {
    case .unsigned(let n): "u\(8 * n)"
    case .signed(let n): "i\(8 * n)"
    case .reserved(let n): "\(n) bytes of zero"
    case .bytes(let n): "\(n) bytes"
    case .opaque: "bytes to the end of the body"
    case .text(let n): "text of at most \(n) bytes"
    case .group: "fields"
    case .array(let element, _): "array of \(element.kindName)"
    case .chain: "entries"
    case .keyValues: "keys and values"
    case .uefiVariables: "bytes to the end of the body, or UEFI variables"
    case .qemu: "bytes to the end of the body, or sections of QEMU's state"
    }
  }

  /// The number that text means here: decimal, 0x-hexadecimal, or the name of a value.
  func value(named text: String) -> Int64? {
    if let named = names.first(where: { $0.value == text }) {
      return Int64(bitPattern: named.key)
    }
    if text.hasPrefix("0x") {
      return UInt64(text.dropFirst(2), radix: 16).map(Int64.init(bitPattern:))
    }
    return Int64(text) ?? UInt64(text).map(Int64.init(bitPattern:))
  }

  /// The parts of `integer` that are not 0: " (pae, pge)", with the value of those of several bits; "" where
  /// there are none.
  private func setParts(of integer: UInt64) -> String {
    let parts = bits.compactMap { part -> String? in
      let value = integer >> UInt64(part.low) & part.greatest
      guard value != 0 else { return nil }
      return part.width == 1 ? part.name : "\(part.name)=\(part.names[value] ?? value.hex())"
    }
    return parts.isEmpty ? "" : " (\(parts.joined(separator: ", ")))"
  }

  /// How people read `value` of this field: hexadecimal where it says so, with its name or unit, or with
  /// its parts that are not 0.
  public func text(of value: FieldValue) -> String {
    switch value {
    case .unsigned(let integer):
      if let name = names[integer] { return "\(isHex ? integer.hex() : "\(integer)") (\(name))" }
      return (isHex ? integer.hex() : "\(integer)") + (unit.isEmpty ? "" : " " + unit)
        + setParts(of: integer)
    case .signed(let integer): return "\(integer)" + (unit.isEmpty ? "" : " " + unit)
    case .bytes(let bytes) where isText:
      let shown = bytes.prefix { $0 != 0 }
      return "\"\(shown.prefix(64).printable)\""
        + (shown.count > 64 ? "... (\(shown.count) bytes)" : "")
    case .bytes(let bytes):
      let shown = bytes.prefix(32).hexDigits
      return bytes.count > 32 ? "\(shown)... (\(bytes.count) bytes)" : shown
    case .text(let text): return "\"\(Array(text.utf8).printable)\""
    case .list(let values): return "[\(values.count)]"
    case .group(let fields): return "{\(fields.map(\.name).joined(separator: ", "))}"
    }
  }
}
