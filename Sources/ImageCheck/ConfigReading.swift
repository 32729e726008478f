// Reading a configuration as xl does: what it takes, what it passes over, and where it stops.

internal import Bytes
internal import JSON

/// What libxl makes of a configuration. xl does not look at whether the conversion failed: what was
/// read before the place where it stopped is the domain's, and the rest is lost. Without the type, which
/// comes late, there is no domain. Xen: tools/xl/xl_vmcontrol.c, create_domain;
/// tools/libs/light/gentypes.py, libxl_C_type_parse_json; libxl_json.c.
struct ConfigReading {
  struct Problem: Equatable {
    enum Kind: Equatable {
      /// libxl stops there, before it knows the domain's type: xl refuses.
      case refused
      /// libxl stops there, and the rest is lost.
      case lost
      /// A value of another kind of JSON than libxl asks for: as if it were not there.
      case ignored
      /// A key that libxl never asks for.
      case unknown
      /// A key that was there already: the first one counts.
      case duplicate
    }
    let kind: Kind
    /// "b_info.type.hvm.bios", "nics[0].mac".
    let path: String
    /// "expected ..., got ...".
    let text: String
  }

  /// What libxl has read, where it is to have a meaning: without what it ignores, and what comes after
  /// the place where it stops. Elements of an array that it does not come to are as their type begins.
  /// Values are as libxl takes them: enumerations in lower case, three-valued words by their beginning,
  /// numbers as integers, of bitmaps the bits that are set.
  private(set) var root: JSONValue = .object(JSONObject())
  /// In the order in which libxl comes upon them. Nothing follows the place where it stops.
  private(set) var problems: [Problem] = []
  /// c_info.type and the member of b_info's union, in lower case; nil where libxl does not get them.
  private(set) var createType: String?
  private(set) var buildType: String?

  /// The release that reads; nil for the newest of each.
  private let minor: Int?
  private let types = LibxlTypes.shared
  private var hasStopped = false
  static let problemLimit = 100

  /// Reads `root` as Xen 4.`minor` does, or any where that is nil.
  init(_ root: JSONValue, minor: Int? = nil) {
    self.minor = minor
    guard case .object(let object) = ConfigReading.endedAtNUL(root) else { return }
    self.root = read(object, as: "domain_config", "")
  }

  /// The value with all texts, names too, as they are in C: they end at the first NUL.
  private static func endedAtNUL(_ value: JSONValue) -> JSONValue {
    func cut(_ text: String) -> String {
      text.utf8.firstIndex(of: 0).map { String(text[..<$0]) } ?? text
    }
    switch value {
    case .string(let text): return .string(cut(text))
    case .array(let elements): return .array(elements.map(endedAtNUL))
    case .object(let object):
      return .object(
        JSONObject(
          distinct: object.members.map {
            JSONObject.Member(name: cut($0.name), value: endedAtNUL($0.value))
          }))
    default: return value
    }
  }

  // MARK: - Structures

  private mutating func read(_ object: JSONObject, as name: String, _ path: String) -> JSONValue {
    guard let fields = types.structures[name] else { return .object(object) }
    noteNames(object, fields, path)
    var members: [JSONObject.Member] = []
    /// The members of unions that were there.
    var chosen: [String: String] = [:]
    for field in fields where !hasStopped {
      guard minor.map({ field.releases.contains($0) }) ?? true, let value = object[field.name]
      else { continue }
      let place = path.isEmpty ? field.name : "\(path).\(field.name)"
      guard ConfigReading.matches(field.type, value) else {
        note(.ignored, place, expected(field.type), value)
        continue
      }
      if let key = field.key, let member = field.member {
        // libxl's initialisation of a union wants it untouched, and ends the program: "unknown" is
        // what it looks like then.
        if let first = chosen[key], first != "unknown" {
          hasStopped = true
          note(.refused, place, "no second \(key) besides \(key).\(first)", value)
          break
        }
        chosen[key] = member
        if name == "build_info" { buildType = member }
      }
      if let taken = read(value, as: field.type, place) {
        members.append(JSONObject.Member(name: field.name, value: taken))
      }
      if name == "create_info", field.name == "type", !hasStopped {
        createType = value.stringValue.map(ConfigReading.lowered)
      }
    }
    return .object(JSONObject(distinct: members))
  }

  /// Keys that libxl does not ask for, or only the first time.
  private mutating func noteNames(
    _ object: JSONObject, _ fields: [LibxlTypes.Field], _ path: String
  ) {
    var seen: Set<[UInt8]> = []
    let known = Set(fields.map { Array($0.name.utf8) })
    for member in object.members {
      let name = Array(member.name.utf8)
      let place = (path.isEmpty ? "" : path + ".") + name.prefix(80).printable
      if !known.contains(name) {
        add(
          Problem(
            kind: .unknown, path: place,
            text: "expected a key of libxl's, got one that it never reads"))
      } else if !seen.insert(name).inserted {
        add(
          Problem(
            kind: .duplicate, path: place, text: "expected one, got a second, which is not read"))
      } else if let minor, let field = fields.first(where: { $0.name == member.name }),
        !field.releases.contains(minor)
      {
        add(
          Problem(
            kind: .unknown, path: place,
            text: "expected a key of Xen 4.\(minor), got one of 4.\(field.releases.lowerBound)"
              + (field.releases.upperBound < minor ? " to 4.\(field.releases.upperBound)" : "")))
      }
    }
  }

  // MARK: - Values

  /// Whether the value is of the kind of JSON that libxl asks for: it takes others as if they were not
  /// there. Xen: libxl_json.c, libxl__json_map_get.
  private static func matches(_ type: LibxlType, _ value: JSONValue) -> Bool {
    switch type {
    case .defbool, .uuid, .mac, .enumeration: value.stringValue != nil
    case .bool: value.boolValue != nil
    case .int, .u8, .u16, .u32, .u64: value.numberValue.flatMap(integer) != nil
    case .string: value.stringValue != nil || value == .null
    case .bitmap, .strings, .array: value.arrayValue != nil
    case .pairs, .structure, .empty: value.objectValue != nil
    case .cpuid, .genid: true
    }
  }

  /// A number as libxl reads it: without a decimal point it is an integer, up to its exponent.
  private static func integer(_ number: JSONNumber) -> Int64? {
    if number.literal.contains(".") { return nil }
    return Int64(number.literal.prefix { $0 != "e" && $0 != "E" })
  }

  private mutating func read(
    _ value: JSONValue, as type: LibxlType, _ path: String
  ) -> JSONValue? {
    switch type {
    case .structure(let name):
      if case .object(let object) = value { return read(object, as: name, path) }
      // Of an array libxl does not ask for objects.
      note(.ignored, path, "an object", value)
      return nil
    case .array(let element):
      return .array(
        (value.arrayValue ?? []).enumerated().map { index, item in
          let taken = hasStopped ? nil : read(item, as: element, "\(path)[\(index)]")
          return taken ?? .object(JSONObject())
        })
    case .bitmap where ConfigReading.isTooLarge(value):
      hasStopped = true
      note(.refused, path, "a greatest number of at most 2147483646", value)
      return nil
    default:
      guard !takes(value, type) else { return ConfigReading.taken(value, type) }
      hasStopped = true
      note(buildType == nil ? .refused : .lost, path, expected(type), value)
      return nil
    }
  }

  /// A value that libxl can convert, as it takes it.
  private static func taken(_ value: JSONValue, _ type: LibxlType) -> JSONValue {
    switch type {
    case .defbool:
      let word = defboolWords.first { value.stringValue?.hasPrefix($0) ?? false }
      return word.map { .string($0) } ?? value
    case .int, .u8, .u16, .u32, .u64:
      return value.numberValue.flatMap(integer).map { .number(JSONNumber($0)) } ?? value
    case .enumeration: return value.stringValue.map { .string(lowered($0)) } ?? value
    case .bitmap: return .array(bits(value).map { .number(JSONNumber($0)) })
    default: return value
    }
  }

  /// The bits that are set in libxl's bitmap: it has as many bytes as its last number takes, and others do
  /// not come in. Xen: libxl_json.c, libxl__bitmap_parse_json.
  private static func bits(_ value: JSONValue) -> [Int32] {
    let bits = (value.arrayValue ?? []).compactMap {
      $0.numberValue.flatMap(integer).map { Int32(truncatingIfNeeded: $0) }
    }
    guard let last = bits.last, last >= 0 else { return [] }
    return bits.filter { $0 >= 0 && $0 / 8 <= last / 8 }
  }

  /// Whether xl ends for want of memory: libxl counts the bits of a bitmap, in an int, from its last number.
  /// Xen: libxl_json.c, libxl__bitmap_parse_json.
  private static func isTooLarge(_ value: JSONValue) -> Bool {
    guard let last = value.arrayValue?.last?.numberValue.flatMap(integer) else { return false }
    // Down to -7 bytes and more are none.
    return Int32(truncatingIfNeeded: last &+ 1) <= -15
  }

  /// Whether libxl can convert the value. Xen: libxl_json.c, libxl__*_parse_json.
  private func takes(_ value: JSONValue, _ type: LibxlType) -> Bool {
    let integer = value.numberValue.flatMap(ConfigReading.integer)
    switch type {
    case .defbool:
      // As long as the beginning is right.
      return ConfigReading.defboolWords.contains { value.stringValue?.hasPrefix($0) ?? false }
    case .bool, .empty: return true
    case .int: return integer.map { Int32(exactly: $0) != nil } ?? false
    case .u8: return integer.map { UInt8(exactly: $0) != nil } ?? false
    case .u16: return integer.map { UInt16(exactly: $0) != nil } ?? false
    case .u32: return integer.map { UInt32(exactly: $0) != nil } ?? false
    case .u64: return integer.map { $0 >= 0 } ?? false
    case .uuid: return value.stringValue.map(ConfigReading.isUUID) ?? false
    case .mac: return value.stringValue.map(ConfigReading.isMAC) ?? false
    case .string: return value.stringValue != nil || value == .null
    case .bitmap:
      return value.arrayValue?.allSatisfy { $0.numberValue.flatMap(ConfigReading.integer) != nil }
        ?? false
    case .strings: return value.arrayValue?.allSatisfy { $0.stringValue != nil } ?? false
    case .pairs:
      return value.objectValue?.members.allSatisfy {
        $0.value.stringValue != nil || $0.value == .null
      } ?? false
    case .cpuid:
      // Older releases take the array only.
      if let minor, minor < 16, value.arrayValue == nil { return false }
      guard let list = value.arrayValue ?? value["cpuid"]?.arrayValue,
        list.allSatisfy({ $0.objectValue != nil })
      else { return false }
      return value.objectValue == nil || value["msr"].map(ConfigReading.isMSRPolicy) ?? false
    case .genid:
      let bytes = value.arrayValue ?? []
      return bytes.count >= 16
        && bytes.prefix(16).allSatisfy { $0.numberValue.flatMap(ConfigReading.integer) != nil }
    case .enumeration(let name):
      return value.stringValue.map { values(of: name).contains(ConfigReading.lowered($0)) } ?? false
    case .structure, .array: return true
    }
  }

  private static let defboolWords = ["<default>", "True", "False"]

  /// What stands beside the CPUID policy since 4.17.2: of each MSR a word for each bit. Xen: libxl_cpuid.c,
  /// libxl__cpuid_policy_list_parse_json.
  private static func isMSRPolicy(_ value: JSONValue) -> Bool {
    value.arrayValue?.allSatisfy {
      $0["index"]?.numberValue.flatMap(integer) != nil
        && $0["policy"]?.stringValue?.utf8.count == 64
    } ?? false
  }

  private func values(of enumeration: String) -> [String] {
    (types.enumerations[enumeration] ?? []).filter { value in
      minor.map { value.releases.contains($0) } ?? true
    }.map(\.name)
  }

  /// Small letters: libxl compares without case.
  private static func lowered(_ text: String) -> String {
    String(decoding: text.utf8.map { (0x41...0x5A).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
  }

  /// 32 hexadecimal digits with hyphens where they belong. libuuid: uuid_parse.
  static func isUUID(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    return parts.map(\.count) == [8, 4, 4, 4, 12] && parts.joined().allSatisfy(isHexDigit)
  }

  /// Six times two hexadecimal digits with colons between. Xen: libxl_internal.c, libxl__parse_mac.
  static func isMAC(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    // What follows a colon after the last pair is not looked at.
    guard bytes.count >= 17, bytes.count == 17 || bytes[17] == UInt8(ascii: ":") else {
      return false
    }
    return (0..<17).allSatisfy { place in
      switch place % 3 {
      // strtol takes a space or a sign before a digit.
      case 0: isHexDigit(bytes[place]) || [0x20, 0x2B, 0x2D].contains(bytes[place])
      case 1: isHexDigit(bytes[place])
      default: bytes[place] == UInt8(ascii: ":")
      }
    }
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
    default: false
    }
  }

  // MARK: - Words

  private func expected(_ type: LibxlType) -> String {
    switch type {
    case .defbool: "\"True\", \"False\" or \"<default>\""
    case .bool: "true or false"
    case .int: "an integer of -2147483648 to 2147483647"
    case .u8: "an integer of 0 to 255"
    case .u16: "an integer of 0 to 65535"
    case .u32: "an integer of 0 to 4294967295"
    case .u64: "an integer of 0 to 9223372036854775807"
    case .uuid: "a UUID"
    case .mac: "six bytes in hexadecimal with colons between"
    case .string: "a string or null"
    case .bitmap: "an array of integers"
    case .strings: "an array of strings"
    case .pairs: "an object of strings"
    case .cpuid: "an array of objects, or an object with such a one as cpuid, and MSRs as msr"
    case .genid: "an array of 16 integers"
    case .empty, .structure: "an object"
    case .array: "an array"
    case .enumeration(let name): "one of \(values(of: name).joined(separator: ", "))"
    }
  }

  private mutating func note(
    _ kind: Problem.Kind, _ path: String, _ expected: String, _ value: JSONValue
  ) {
    let got = value.text()
    add(
      Problem(
        kind: kind, path: path,
        text: "expected \(expected), got \(got.prefix(60).printable)\(got.count > 60 ? "..." : "")")
    )
  }

  private mutating func add(_ problem: Problem) {
    if problems.count < ConfigReading.problemLimit || problem.kind == .refused
      || problem.kind == .lost
    {
      problems.append(problem)
    }
  }
}
