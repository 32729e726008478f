// Edits of documents: what changes, and that nothing else does.

import JSON
import Testing

@Suite struct JSONDocumentTests {
  private func text(_ document: JSONDocument) -> String {
    String(decoding: document.text, as: UTF8.self)
  }

  /// `config` with the one occurrence of `old` replaced.
  private func replacing(_ old: String, with new: String, in config: String) -> String {
    let parts = config.split(separator: old, omittingEmptySubsequences: false)
    #expect(parts.count == 2)
    return parts.joined(separator: new)
  }

  @Test(arguments: RealConfigs.all)
  func knowsTheStyleOfRealConfigs(config: String) throws {
    let document = try JSONDocument(config)
    #expect(document.style == .libxl)
    #expect(text(document) == config)
    #expect(document.root[["on_crash"]] == "preserve")
  }

  @Test func setsScalars() throws {
    var document = try JSONDocument(RealConfigs.hvm)
    try document.set(["c_info", "name"], to: "clone-1")
    #expect(text(document) == replacing("\"hvm1\"", with: "\"clone-1\"", in: RealConfigs.hvm))
    try document.set(["c_info", "name"], to: "hvm1")
    #expect(text(document) == RealConfigs.hvm)
  }

  @Test func addsMembersInTheLayoutOfTheirNeighbours() throws {
    var document = try JSONDocument(RealConfigs.hvm)
    try document.set(["c_info", "domid"], to: 7)
    let last = "\"run_hotplug_scripts\": \"True\""
    #expect(
      text(document)
        == replacing(last, with: last + ",\n        \"domid\": 7", in: RealConfigs.hvm))
    try document.remove(["c_info", "domid"])
    #expect(text(document) == RealConfigs.hvm)
  }

  @Test func fillsEmptyObjects() throws {
    var document = try JSONDocument(RealConfigs.hvm)
    try document.set(["b_info", "type.hvm", "spice", "enable"], to: "True")
    #expect(
      text(document)
        == replacing(
          "\"spice\": {\n\n            }",
          with: "\"spice\": {\n                \"enable\": \"True\"\n            }",
          in: RealConfigs.hvm))
    try document.remove(["b_info", "type.hvm", "spice", "enable"])
    #expect(text(document) == RealConfigs.hvm)
  }

  @Test func addsNestedValues() throws {
    var document = try JSONDocument(RealConfigs.pvh)
    let disk: JSONValue = ["pdev_path": "/dev/vg/a", "readwrite": 1, "options": [:]]
    try document.set(["disks"], to: [disk])
    try document.insert(["vdev": "xvda"], at: ["disks", 0])
    try document.insert(nil, at: ["disks", 2])
    let last = "\"on_soft_reset\": \"soft_reset\""
    let disks = """
      "disks": [
              {
                  "vdev": "xvda"
              },
              {
                  "pdev_path": "/dev/vg/a",
                  "readwrite": 1,
                  "options": {

                  }
              },
              null
          ]
      """
    #expect(
      text(document) == replacing(last, with: last + ",\n    " + disks, in: RealConfigs.pvh))
    try document.remove(["disks"])
    #expect(text(document) == RealConfigs.pvh)
  }

  /// Text, path, value (nil: remove), result.
  static let editCases: [(String, JSONPath, JSONValue?, String)] = [
    ("{}", ["a"], 1, #"{"a":1}"#),
    ("[]", [], 5, "5"),
    (#"{"a":1}"#, ["b"], [1, ["c": 2]], #"{"a":1,"b":[1,{"c":2}]}"#),
    (#"{"a": 1, "b": 2}"#, ["c"], 3, #"{"a": 1, "b": 2, "c": 3}"#),
    (#"{"a" : 1}"#, ["c"], ["d": 1], #"{"a" : 1,"c" : {"d" : 1}}"#),
    (#"{"a": 1, "b": 2}"#, ["a"], nil, #"{"b": 2}"#),
    (#"{"a": 1, "b": 2}"#, ["b"], nil, #"{"a": 1}"#),
    (#"{ "a": 1 }"#, ["a"], nil, "{}"),
    ("[1, 2, 3]", [1], nil, "[1, 3]"),
    ("[1, 2, 3]", [0], nil, "[2, 3]"),
    ("[1, 2, 3]", [2], nil, "[1, 2]"),
    ("{\n\t\"a\": {}\n}", ["a", "b"], 1, "{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}"),
    ("{\r\n \"a\": 1\r\n}", ["b"], [], "{\r\n \"a\": 1,\r\n \"b\": [\r\n\r\n ]\r\n}"),
    ("{\n  \"a\": [1, 2]\n}", ["a", 0], ["x": 1], "{\n  \"a\": [{\"x\": 1}, 2]\n}"),
    ("{\n  \"a\": 1\n}\n", ["a"], [2], "{\n  \"a\": [\n    2\n  ]\n}\n"),
    (#"{"a":"\u0062\/"}"#, ["a"], "b/", #"{"a":"\u0062\/"}"#),
    (#"{"a":1e3}"#, ["a"], 1000, #"{"a":1000}"#),
    ("{\"\u{E9}\":1,\"e\u{301}\":2}", ["e\u{301}"], 3, "{\"\u{E9}\":1,\"e\u{301}\":3}"),
  ]

  @Test(arguments: editCases)
  func edits(old: String, path: JSONPath, value: JSONValue?, new: String) throws {
    var document = try JSONDocument(old)
    if let value { try document.set(path, to: value) } else { try document.remove(path) }
    #expect(text(document).utf8.elementsEqual(new.utf8), "got \(text(document))")
    #expect(document[path] == value || value == nil)
  }

  @Test func insertsElements() throws {
    for (position, expected) in ["[0, 1, 2]", "[1, 0, 2]", "[1, 2, 0]"].enumerated() {
      var document = try JSONDocument("[1, 2]")
      try document.insert(0, at: [.index(position)])
      #expect(text(document) == expected)
      try document.remove([.index(position)])
      #expect(text(document) == "[1, 2]")
    }
  }

  @Test func tellsWhereValuesAre() throws {
    let document = try JSONDocument(RealConfigs.hvm)
    let range = try #require(document.range(of: ["b_info", "max_memkb"]))
    #expect(Array(document.text[range]) == Array("163840".utf8))
    #expect(document.range(of: ["b_info", "nothing"]) == nil)
    #expect(document[["b_info", "nothing"]] == nil)
  }

  @Test func refusesImpossibleEdits() throws {
    var document = try JSONDocument(#"{"a":{"b":[1]},"s":"x"}"#)
    let before = document.text
    func kind(_ edit: (inout JSONDocument) throws -> Void) -> JSONError.Kind? {
      #expect(throws: JSONError.self) { try edit(&document) }?.kind
    }
    #expect(kind { try $0.set(["x", "y"], to: 1) } == .noValue(["x", "y"]))
    #expect(kind { try $0.set(["a", "b", 1], to: 1) } == .noValue(["a", "b", 1]))
    #expect(kind { try $0.set(["s", "y"], to: 1) } == .noValue(["s", "y"]))
    #expect(kind { try $0.set(["a", 0], to: 1) } == .noValue(["a", 0]))
    #expect(kind { try $0.insert(1, at: ["a", "b", 2]) } == .noValue(["a", "b", 2]))
    #expect(kind { try $0.insert(1, at: ["a", "b", -1]) } == .noValue(["a", "b", -1]))
    #expect(kind { try $0.insert(1, at: ["a", "b"]) } == .memberExists(["a", "b"]))
    #expect(kind { try $0.insert(1, at: []) } == .rootIsFixed)
    #expect(kind { try $0.remove([]) } == .rootIsFixed)
    #expect(kind { try $0.remove(["a", "c"]) } == .noValue(["a", "c"]))
    #expect(document.text == before)
  }

  @Test func editsCannotBreakTheLimits() throws {
    var document = try JSONDocument("[[1]]", options: JSONOptions(depthLimit: 2, byteLimit: 8))
    #expect(throws: JSONError.self) { try document.set([0, 0], to: [1]) }
    #expect(throws: JSONError.self) { try document.set([0, 0], to: "long text") }
    #expect(text(document) == "[[1]]")
  }
}
