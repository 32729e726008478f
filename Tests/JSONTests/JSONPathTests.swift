// The text form of paths.

import JSON
import Testing

@Suite struct JSONPathTests {
  static let forms: [(String, JSONPath)] = [
    ("", []),
    ("c_info", ["c_info"]),
    ("c_info.name", ["c_info", "name"]),
    ("disks[0].pdev_path", ["disks", 0, "pdev_path"]),
    ("[3]", [3]),
    ("[3][4].a", [3, 4, "a"]),
    ("b_info[\"type.hvm\"].vga", ["b_info", "type.hvm", "vga"]),
    ("[\"\"]", [""]),
    ("a[\"é\\\"\\u001B\"][0]", ["a", "é\"\u{1B}", 0]),
    ("9p-x", ["9p-x"]),
  ]

  @Test(arguments: forms)
  func readsAndPrints(text: String, path: JSONPath) throws {
    #expect(try JSONPath(parsing: text) == path)
    #expect(path.description == text)
  }

  @Test func readsQuotedPlainNames() throws {
    #expect(try JSONPath(parsing: "[\"a\"][\"b\"]") == ["a", "b"])
    #expect(try JSONPath(parsing: "a[007]") == ["a", 7])
  }

  static let faults: [(String, Int)] = [
    (".", 0), (".a", 0), ("a.", 2), ("a..b", 2), ("a[", 2), ("a[]", 2), ("a[-1]", 2),
    ("a[1", 3), ("a[1]b", 4), ("a[\"x", 4), ("a[\"x\"", 5), ("a b", 1), ("a[x]", 2),
    ("a[99999999999999999999]", 2), ("é", 0), ("a[\"\\ud800\"]", 3),
  ]

  @Test(arguments: faults)
  func refusesFaultyText(text: String, offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSONPath(parsing: text) }
    #expect(error?.offset == offset)
  }

  @Test func stepsUpAndDown() {
    let path: JSONPath = ["a", 1]
    #expect(path.parent == ["a"])
    #expect(path.appending("b") == ["a", 1, "b"])
    #expect(JSONPath([]).parent == nil)
  }
}
