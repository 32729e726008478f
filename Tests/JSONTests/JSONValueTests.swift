// Which texts are JSON, what they mean, and what is said about those that are not.

import JSON
import Testing

@Suite struct JSONValueTests {
  static let valid: [(String, JSONValue)] = [
    ("null", nil),
    (" \t\r\n true \n", true),
    ("false", false),
    ("0", 0),
    ("\"\"", ""),
    ("[]", []),
    ("{}", [:]),
    ("[ ]", []),
    ("{\n\n}", [:]),
    ("[1,[2,[3]],{}]", [1, [2, [3]], [:]]),
    (#"{"a":1,"b":{"c":[null]}}"#, ["a": 1, "b": ["c": [nil]]]),
    (#"{"":""}"#, ["": ""]),
    (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
    (#""\u0000\u001b\u00e9\u20AC""#, "\0\u{1B}\u{E9}\u{20AC}"),
    (#""\ud83d\ude00\uDBFF\uDFFF""#, "\u{1F600}\u{10FFFF}"),
    ("\"\u{7F}\u{9B}é€\u{1F600}\"", "\u{7F}\u{9B}é€\u{1F600}"),
    // Composed and decomposed: two names.
    ("{\"\u{E9}\":1,\"e\u{301}\":2}", ["\u{E9}": 1, "e\u{301}": 2]),
  ]

  @Test(arguments: valid)
  func readsValidText(text: String, value: JSONValue) throws {
    #expect(try JSONValue(parsing: text) == value)
  }

  static let numbers = [
    "0", "-0", "1", "-1", "10", "1.0", "1.50", "1e3", "1E3", "1e+3", "1E-03", "0e0", "0.1e1",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e999",
    "123456789012345678901234567890.000000000000000000000001",
  ]

  @Test(arguments: numbers)
  func keepsNumberLiterals(literal: String) throws {
    #expect(try JSONValue(parsing: literal).numberValue?.literal == literal)
    #expect(try JSONValue(parsing: "[\(literal)]").text() == Array("[\(literal)]".utf8))
  }

  /// The text, what is wrong, and at which byte.
  static let invalid: [(String, JSONError.Kind, Int)] = [
    ("", .unexpectedEnd, 0),
    ("  ", .unexpectedEnd, 2),
    ("[", .unexpectedEnd, 1),
    ("[1", .unexpectedEnd, 2),
    ("[1,", .unexpectedEnd, 3),
    ("{\"a\"", .unexpectedEnd, 4),
    ("{\"a\":", .unexpectedEnd, 5),
    ("\"abc", .unexpectedEnd, 4),
    ("\"\\", .unexpectedEnd, 2),
    ("\"\\u12", .unexpectedEnd, 5),
    ("\"\\ud800", .unexpectedEnd, 7),
    ("\"\\ud800\\", .unexpectedEnd, 8),
    ("nul", .unexpectedEnd, 3),
    ("-", .unexpectedEnd, 1),
    ("1.", .unexpectedEnd, 2),
    ("1e", .unexpectedEnd, 2),
    ("1e+", .unexpectedEnd, 3),
    ("01", .invalidNumber, 1),
    ("-01", .invalidNumber, 2),
    ("1.x", .invalidNumber, 2),
    ("[-]", .invalidNumber, 2),
    ("[-Infinity]", .invalidNumber, 2),
    ("1 2", .trailingText, 2),
    ("{}x", .trailingText, 2),
    ("{}\0", .trailingText, 2),
    ("NaN", .unexpectedByte(UInt8(ascii: "N"), expected: "a value"), 0),
    ("Infinity", .unexpectedByte(UInt8(ascii: "I"), expected: "a value"), 0),
    ("+1", .unexpectedByte(UInt8(ascii: "+"), expected: "a value"), 0),
    (".5", .unexpectedByte(UInt8(ascii: "."), expected: "a value"), 0),
    ("[1,]", .unexpectedByte(UInt8(ascii: "]"), expected: "a value"), 3),
    ("[,1]", .unexpectedByte(UInt8(ascii: ","), expected: "a value"), 1),
    ("[1 2]", .unexpectedByte(UInt8(ascii: "2"), expected: "',' or ']'"), 3),
    ("[1}", .unexpectedByte(UInt8(ascii: "}"), expected: "',' or ']'"), 2),
    ("{\"a\":1,}", .unexpectedByte(UInt8(ascii: "}"), expected: "a name"), 7),
    ("{a:1}", .unexpectedByte(UInt8(ascii: "a"), expected: "a name"), 1),
    ("{1:1}", .unexpectedByte(UInt8(ascii: "1"), expected: "a name"), 1),
    ("{\"a\" 1}", .unexpectedByte(UInt8(ascii: "1"), expected: "':'"), 5),
    ("]", .unexpectedByte(UInt8(ascii: "]"), expected: "a value"), 0),
    ("trux", .unexpectedByte(UInt8(ascii: "x"), expected: "'true'"), 3),
    ("// c\n1", .unexpectedByte(UInt8(ascii: "/"), expected: "a value"), 0),
    ("'a'", .unexpectedByte(UInt8(ascii: "'"), expected: "a value"), 0),
    ("\u{FEFF}1", .unexpectedByte(0xEF, expected: "a value"), 0),
    ("\u{A0}1", .unexpectedByte(0xC2, expected: "a value"), 0),
    ("\"a\nb\"", .controlCharacter(0x0A), 2),
    ("\"\u{1B}[31m\"", .controlCharacter(0x1B), 1),
    ("\"\0\"", .controlCharacter(0), 1),
    (#""\x41""#, .invalidEscape, 1),
    (#""a\u12g4""#, .invalidEscape, 2),
    (#""\u 123""#, .invalidEscape, 1),
    (#""\ud800""#, .loneSurrogate, 1),
    (#""\udc00""#, .loneSurrogate, 1),
    (#""\ud800\ud800""#, .loneSurrogate, 1),
    (#""\ud800\n""#, .loneSurrogate, 1),
    (#""\udc00\udc00""#, .loneSurrogate, 1),
    (#""\ud800A""#, .loneSurrogate, 1),
    (#"{"a":1,"b":2,"a":3}"#, .duplicateName("a"), 13),
    (#"{"a":1,"\u0061":3}"#, .duplicateName("a"), 7),
    (#"[{"x":{"y":1,"y":1}}]"#, .duplicateName("y"), 13),
  ]

  @Test(arguments: invalid)
  func refusesInvalidText(text: String, kind: JSONError.Kind, offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.kind == kind)
    #expect(error?.offset == offset)
  }

  /// Bytes between quotes that are not UTF-8, and which of them is the first bad one.
  static let notUTF8: [([UInt8], Int)] = [
    ([0x80], 0),  // continuation without a start
    ([0x61, 0xFF], 1),
    ([0xC0, 0xAF], 0),  // overlong
    ([0xED, 0xA0, 0x80], 0),  // surrogate
    ([0xF4, 0x90, 0x80, 0x80], 0),  // above U+10FFFF
    ([0xE2, 0x82], 0),  // cut short
  ]

  @Test(arguments: notUTF8)
  func refusesBytesThatAreNotUTF8(bytes: [UInt8], offset: Int) {
    let quote = UInt8(ascii: "\"")
    let error = #expect(throws: JSONError.self) {
      try JSONValue(parsing: [quote] + bytes + [quote])
    }
    #expect(error?.kind == .invalidUTF8)
    #expect(error?.offset == 1 + offset)
    #expect(throws: JSONError.self) { try JSONValue(parsing: bytes) }
  }

  @Test func saysLineAndColumn() {
    let error = #expect(throws: JSONError.self) {
      try JSONValue(parsing: "{\n  \"a\": 1,\n  \"b\": x\n}")
    }
    #expect(error?.line == 3)
    #expect(error?.column == 8)
    #expect(error?.offset == 19)
    #expect(
      error.map(\.description) == "line 3, column 8 (offset 0x13): expected a value, got 'x'")
  }

  @Test func messagesHoldNoControlCharactersAndEnd() {
    let name = String(repeating: "\\u001b", count: 1000)
    let error = #expect(throws: JSONError.self) {
      try JSONValue(parsing: "{\"\(name)\":1,\"\(name)\":2}")
    }
    let text = error?.description ?? ""
    #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value < 0x7F })
    #expect(text.count < 600)
  }

  @Test func limitsDepth() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try JSONValue(parsing: nested(64)) }
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: nested(65)) }
    #expect(error?.kind == .tooDeep(limit: 64))
    #expect(error?.offset == 64)
    let options = JSONOptions(depthLimit: 1_000_000)
    #expect(options.depthLimit == JSONOptions.highestDepthLimit)
    #expect(throws: Never.self) { try JSONValue(parsing: nested(512), options: options) }
    #expect(throws: JSONError.self) {
      try JSONValue(parsing: nested(100_000), options: options)
    }
    #expect(JSONOptions(depthLimit: -3).depthLimit == 1)
  }

  @Test func limitsSize() {
    let options = JSONOptions(byteLimit: 4)
    #expect(throws: Never.self) { try JSONValue(parsing: "1234", options: options) }
    let error = #expect(throws: JSONError.self) {
      try JSONValue(parsing: "12345", options: options)
    }
    #expect(error?.kind == .tooLarge(byteCount: 5, limit: 4))
  }

  @Test func keepsDuplicateNamesWhenAskedTo() throws {
    let text = #"{"a":1,"b":2,"a":3}"#
    let value = try JSONValue(parsing: text, options: JSONOptions(duplicateNames: .keep))
    #expect(value["a"] == 1)
    #expect(value.objectValue?.names == ["a", "b", "a"])
    #expect(value.text() == Array(text.utf8))
  }

  @Test func comparesBytesNotCanonicalForms() {
    #expect(JSONValue.string("\u{E9}") != "e\u{301}")
    #expect(JSONValue.object(["\u{E9}": 1]) != ["e\u{301}": 1])
    #expect(JSONValue.object(["\u{E9}": 1])["e\u{301}"] == nil)
  }

  @Test func objectsKeepOrderOverEdits() {
    var object: JSONObject = ["b": 1, "a": 2, "c": 3]
    object["a"] = 4
    object["d"] = 5
    object["b"] = nil
    object["missing"] = nil
    #expect(object.names == ["a", "c", "d"])
    #expect(object["a"] == 4)
  }

  @Test func findsValuesByPath() throws {
    let value = try JSONValue(parsing: RealConfigs.hvm)
    #expect(value[["c_info", "name"]] == "hvm1")
    #expect(value[["b_info", "avail_vcpus", 0]] == 0)
    #expect(value[["b_info", "type.hvm", "vga", "kind"]] == "none")
    #expect(value[["b_info", "avail_vcpus", 1]] == nil)
    #expect(value[["c_info", 0]] == nil)
    #expect(value[[]] == value)
  }

  @Test func everyTruncationOfRealConfigIsAnError() throws {
    for config in RealConfigs.all {
      let text = Array(config.utf8)
      let end = text.count - 1  // the line end after the last brace may go
      for length in 0..<end {
        let error = #expect(throws: JSONError.self) {
          try JSONValue(parsing: Array(text[..<length]))
        }
        #expect(error?.kind == .unexpectedEnd)
        #expect(error?.offset == length)
      }
      _ = try JSONValue(parsing: Array(text[..<end]))
    }
  }
}
