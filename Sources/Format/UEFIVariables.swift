// The UEFI variables that varstored keeps for a guest, in xenopsd's Varstored record.

internal import Bytes

/// varstored's list of variables. varstored: xapidb-lib.c, xapidb_serialize_variables.
///
///     +-----------------------+-------------------------+
///     | "VARS"                | version                 |
///     +-----------------------+-------------------------+
///     | count                                           |
///     +-------------------------------------------------+
///     | data_len: bytes of all variables                |
///     +-------------------------------------------------+
///     | name_len, name (UTF-16), data_len, data, GUID,  |
///     | attributes, timestamp, certificate's hash ...   |
///
/// Numbers are little-endian. Versions differ in what ends a variable: of the known ends the one that
/// fits the length of the whole is taken.
public struct UEFIVariables: Sendable {
  public struct Variable: Sendable {
    /// The name; of a second variable of the same name (and another GUID) with "#1" after it.
    public let name: String
    /// Bytes from the start of the body.
    public let range: Range<Int>
    public let nameRange: Range<Int>
    public let data: Range<Int>
  }

  public let variables: [Variable]
  /// Bytes of what ends each variable: its GUID, attributes, and what the version adds.
  let tailByteCount: Int

  static let headByteCount = 24
  /// GUID, attributes, EFI_TIME and SHA-256; without the hash; without both.
  private static let tails = [16 + 4 + 16 + 32, 16 + 4 + 16, 16 + 4]

  /// Whether the bytes from `start` begin as such a list does.
  static func exists(_ body: [UInt8], at start: Int) -> Bool {
    body.count - start >= headByteCount && body[start...].starts(with: "VARS".utf8)
      && UEFIVariables(body, from: start) != nil
  }

  /// Reads the list that begins at `start` and takes the rest of the body; nil for what is none.
  public init?(_ body: [UInt8], from start: Int = 0) {
    let first = start + UEFIVariables.headByteCount
    guard body.count >= first, body[start...].starts(with: "VARS".utf8) else { return nil }
    let count = body.load(start + 8, as: UInt64.self)
    guard count <= UInt64(body.count / 36) else { return nil }
    for tail in UEFIVariables.tails {
      guard let found = UEFIVariables.read(body, first, Int(count), tail) else { continue }
      variables = found
      tailByteCount = tail
      return
    }
    return nil
  }

  private static func read(
    _ body: [UInt8], _ first: Int, _ count: Int, _ tail: Int
  ) -> [Variable]? {
    var out: [Variable] = []
    var seen: [String: Int] = [:]
    var position = first
    /// A length of 8 bytes and as many bytes.
    func counted() -> Range<Int>? {
      guard body.count - position >= 8 else { return nil }
      let length = body.load(position, as: UInt64.self)
      guard length <= UInt64(body.count - position - 8) else { return nil }
      position += 8 + Int(length)
      return position - Int(length)..<position
    }
    for _ in 0..<count {
      let start = position
      guard let name = counted(), let data = counted(), body.count - position >= tail else {
        return nil
      }
      position += tail
      let text = UEFIVariables.text(body, name)
      let earlier = seen[text, default: 0]
      seen[text] = earlier + 1
      out.append(
        Variable(
          name: earlier == 0 ? text : "\(text)#\(earlier)", range: start..<position,
          nameRange: name,
          data: data))
    }
    return position == body.count ? out : nil
  }

  /// A name of UTF-16, up to its NUL.
  private static func text(_ body: [UInt8], _ range: Range<Int>) -> String {
    var units: [UInt16] = []
    for offset in stride(from: range.lowerBound, to: range.upperBound - 1, by: 2) {
      let unit = body.load(offset, as: UInt16.self)
      if unit == 0 { break }
      units.append(unit)
    }
    return String(decoding: units, as: UTF16.self)
  }

  /// The value of a variable of one byte, such as "SecureBoot".
  public func flag(_ name: String, in body: [UInt8]) -> Bool? {
    guard let found = variables.first(where: { $0.name == name }), found.data.count == 1 else {
      return nil
    }
    return body[found.data.lowerBound] != 0
  }
}

extension BodySchema {
  /// The header of the list in `slot`, and its variables by name: `variables["SecureBoot"]`.
  func variables(of slot: FieldLocation, in body: [UInt8]) -> [FieldLocation] {
    guard let list = UEFIVariables(body, from: slot.offset) else { return [] }
    func place(_ field: Field, _ path: String, at offset: Int, _ count: Int) -> FieldLocation {
      self.slot(field, path: path, at: offset, count: count, order: .little)
    }
    let start = slot.offset
    var out = [
      place(.text("magic", 4), slot.path + ".magic", at: start, 4),
      place(.u32("version"), slot.path + ".version", at: start + 4, 4),
      place(.u64("count"), slot.path + ".count", at: start + 8, 8),
      place(.u64("data_len"), slot.path + ".data_len", at: start + 16, 8),
    ]
    for variable in list.variables {
      var field = Field(variable.name, .group(Field.rows(of: variable, list.tailByteCount)))
      field.ownOrder = .little
      out.append(
        place(
          field, "\(slot.path)[\"\(variable.name)\"]", at: variable.range.lowerBound,
          variable.range.count))
    }
    return out
  }
}

extension Field {
  /// The rows of one variable.
  fileprivate static func rows(of variable: UEFIVariables.Variable, _ tail: Int) -> [Field] {
    let flags: Set<String> = ["SecureBoot", "SetupMode", "AuditMode", "DeployedMode"]
    let isFlag = variable.data.count == 1 && flags.contains(variable.name)
    var rows: [Field] = [
      .u64("name_len").unit("bytes"), .bytes("name", variable.nameRange.count),
      .u64("data_len").unit("bytes"),
      isFlag ? .u8("data").names([0: "off", 1: "on"]) : .bytes("data", variable.data.count),
      .bytes("guid", 16),
      .x32("attributes").bits([
        "non_volatile": 0, "bootservice_access": 1, "runtime_access": 2, "hardware_error_record": 3,
        "authenticated_write_access": 4, "time_based_authenticated_write_access": 5,
        "append_write": 6,
      ]),
    ]
    if tail >= 36 { rows.append(.bytes("timestamp", 16)) }
    if tail >= 68 { rows.append(.bytes("certificate_hash", 32)) }
    return rows
  }
}
