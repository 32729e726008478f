// S-expressions: what is read by path, and that an edit leaves all other bytes alone.

import Markup
import Testing

@Suite struct SExpressionTests {
  /// As xenopsd writes it: the VM is an S-expression in an atom.
  static let record =
    #"((time 20261128T12:00:00Z)(word_size 64)(vm_str"((id c4bf5566-ae09-448b-a079-4fd1ea2a4fc8)"#
    + #"(name\"web \\226\\130\\172\")(ty(HVM((hap true)(serial(none)))))(vcpu_max 2)(platformdata((\"a.b\" 1)"#
    + #"(c\"\")))(on_crash(Start Shutdown)))")(xs_subtree()))"#

  func document() throws -> SExpression { try SExpression(Array(Self.record.utf8)) }

  @Test(arguments: [
    ("time", "20261128T12:00:00Z"), ("word_size", "64"), ("vm_str.name", "web €"),
    ("vm_str.id", "c4bf5566-ae09-448b-a079-4fd1ea2a4fc8"), ("vm_str.ty.HVM.hap", "true"),
    ("vm_str.platformdata[\"a.b\"]", "1"), ("vm_str.platformdata.c", ""),
    ("vm_str.on_crash[1]", "Shutdown"), ("[0][1]", "20261128T12:00:00Z"),
    ("vm_str.ty.HVM.serial[0]", "none"),
  ]) func values(path: String, text: String) throws {
    #expect(try document().text(at: path) == text)
  }

  @Test(arguments: ["nothing", "time.x", "xs_subtree.a", "[9]", "vm_str.nothing", "@a"])
  func nothingThere(path: String) throws {
    #expect(try document().value(at: MarkupPath(parsing: path)) == nil)
  }

  /// No text of a path finds a name that is not UTF-8: such elements are counted.
  @Test func namesThatAreNoUTF8() throws {
    let text: [UInt8] =
      Array("((h".utf8) + [0xFF] + Array(" 1) (h".utf8) + [0xFE] + Array(" 2))".utf8)
    let document = try SExpression(text)
    let leaves = document.leaves(limit: 100)
    #expect(leaves.map(\.text).filter { $0.count == 1 } == ["1", "2"])
    for leaf in leaves { #expect(document.value(at: leaf.path)?.text == leaf.text) }
  }

  @Test func pathsLeadWhereTheySay() throws {
    let document = try document()
    let leaves = document.leaves(limit: 1000)
    // The empty list of xs_subtree says nothing.
    #expect(
      leaves.map(\.path.description) == [
        "time", "word_size", "vm_str.id", "vm_str.name", "vm_str.ty.HVM.hap",
        "vm_str.ty.HVM.serial[0]", "vm_str.vcpu_max", "vm_str.platformdata[\"a.b\"]",
        "vm_str.platformdata.c", "vm_str.on_crash[0]", "vm_str.on_crash[1]",
      ])
    for (path, text) in leaves {
      #expect(document.value(at: path)?.text == text, "\(path)")
      #expect(try MarkupPath(parsing: path.description) == path)
    }
    #expect(
      document.children(of: MarkupPath([])).map(\.description) == [
        "time", "word_size", "vm_str", "xs_subtree",
      ])
    #expect(
      try document.children(of: MarkupPath(parsing: "vm_str.ty")).map(\.description) == [
        "vm_str.ty.HVM"
      ])
  }

  @Test(arguments: [
    ("vm_str.name", "new\"\n\\x", #"(name\"new\\\"\\n\\\\x\")"#),
    ("word_size", "32", "(word_size 32)"),
    ("time", "a b", "(time \"a b\")"), ("vm_str.ty.HVM.hap", "false", "(hap false)"),
    ("vm_str.vcpu_max", "", #"(vcpu_max \"\")"#),
  ]) func editsAreSplices(path: String, new: String, written: String) throws {
    var document = try document()
    let before = document.text
    let path = try MarkupPath(parsing: path)
    let old = document.value(at: path)?.text ?? ""
    try document.set(path, to: new)
    #expect(document.value(at: path)?.text == new)
    #expect(String(decoding: document.text, as: UTF8.self).contains(written))
    let head = zip(before, document.text).prefix { $0 == $1 }.count
    let tail = zip(before.reversed(), document.text.reversed()).prefix { $0 == $1 }.count
    #expect(head + tail >= before.count - 40)
    try document.set(path, to: old)
    #expect(document.value(at: path)?.text == old)
  }

  /// A name that becomes that of the list around it would be found by the list's path.
  @Test func whatWouldBeFoundElsewhereIsNotSet() throws {
    let text = Array(#"(c (d "x"))"#.utf8)
    var document = try SExpression(text)
    let path = try MarkupPath(parsing: "c[0]")
    #expect(document.value(at: path)?.text == "d")
    let error = #expect(throws: MarkupError.self) { try document.set(path, to: "c") }
    #expect(error?.description.contains("c[0] cannot have this text") == true)
    #expect(document.text == text)
    try document.set(path, to: "e")
    #expect(document.value(at: path)?.text == "e")
  }

  @Test func addingAndRemoving() throws {
    var document = try document()
    let before = document.text
    try document.set(MarkupPath(parsing: "vm_str.more"), to: "a b")
    #expect(String(decoding: document.text, as: UTF8.self).contains(#"(more \"a b\"))")(xs"#))
    try document.remove(MarkupPath(parsing: "vm_str.more"))
    #expect(document.text == before)
    try document.set(MarkupPath(parsing: "more"), to: "1")
    try document.remove(MarkupPath(parsing: "more"))
    #expect(document.text == before)
    try document.remove(MarkupPath(parsing: "vm_str"))
    #expect(document.text(at: "vm_str.name") == nil && document.text(at: "word_size") == "64")
    #expect(throws: MarkupError.self) {
      try document.set(MarkupPath(parsing: "xs_subtree"), to: "")
    }
    #expect(throws: MarkupError.self) { try document.set(MarkupPath(parsing: "a.b"), to: "") }
    #expect(throws: MarkupError.self) { try document.remove(MarkupPath([])) }
  }

  /// What sexplib's of_string (0.15) reads out of these.
  @Test(arguments: [
    (#""\q\o101\u{41}""#, #"\q\o101\u{41}"#), (#""\255\x41 \'""#, "\u{FFFD}A '"),
    ("\"a\\\r b\"", "a\r b"),
    ("\"a\\\r\n  b\"", "ab"), ("\"a\\\n\t b\"", "ab"), ("\"a\rb\u{C}\"", "a\rb\u{C}"),
    ("a\u{B}b", "a\u{B}b"),
    ("\u{C}a\r\n", "a"), ("#|x|# a", "a"), ("#| #| \"|#\" |# |# a", "a"), ("#||# a", "a"),
    ("#;x a", "a"),
    ("#;(x (y)) a", "a"), ("#; #; x y a", "a"), ("#;\"x\" a", "a"), ("a #;b", "a"),
    ("a#;b\n", "a#"),
    ("a;x\n", "a"), ("a|b#c", "a|b#c"), ("#a", "#a"), ("\"#|\"", "#|"), (#"\q"#, #"\q"#),
  ]) func dialect(text: String, atom: String) throws {
    #expect(try SExpression(Array("(a (b \(text)\n) c)".utf8)).text(at: "[1].b") == atom)
  }

  @Test func listsOfPairs() throws {
    let text = "((a ((b c) (d e)))(f ())(g (b c))(h ((b (c))))(i ((b c d)))(j k) #;(x y))"
    let document = try SExpression(Array(text.utf8))
    let paths = try ["a", "f", "g", "h", "i", "j", "x"].map { try MarkupPath(parsing: $0) }
    #expect(
      paths.map { document.isListOfPairs(at: $0) } == [
        true, true, false, false, false, false, false,
      ])
    #expect(paths.map { document.isList(at: $0) } == [true, true, true, true, true, false, false])
  }

  @Test(arguments: [
    "", "(", ")", "(a", "a b", "a #;b", "(a))", "\"a", "\"\\9\"", "\"\\12a\"", "\"\\256\"",
    "\"\\x4g\"", "\"\\x+1\"", "#| |#", "#|x", "#|\"|#", "#|\\\"|# a", "#;", "#;a", "(#;)",
    "a#|x|#", "|#x", "a\rb", "\r a",
  ])
  func refused(text: String) {
    #expect(throws: MarkupError.self) { try SExpression(Array(text.utf8)) }
  }

  @Test(arguments: [
    ("\"\\065\\x42\\\n   c\"", "ABc"), ("; a comment\n x ; another", "x"),
    ("\"\\t\\r\\b\\'\\ \"", "\t\r\u{8}' "),
  ]) func atoms(text: String, value: String) throws {
    #expect(try SExpression(Array(text.utf8)).value(at: MarkupPath([]))?.text == value)
  }

  @Test func limits() throws {
    func nested(_ depth: Int) -> [UInt8] {
      [UInt8](repeating: UInt8(ascii: "("), count: depth)
        + [UInt8](repeating: UInt8(ascii: ")"), count: depth)
    }
    _ = try SExpression(nested(MarkupLimit.depth))
    #expect(throws: MarkupError.self) { try SExpression(nested(MarkupLimit.depth + 1)) }
    let wide =
      Array("(".utf8) + [UInt8](repeating: 0x61, count: 2)
      + Array(repeatElement(Array(" a".utf8), count: MarkupLimit.nodes).joined()) + Array(")".utf8)
    #expect(throws: MarkupError.self) { try SExpression(wide) }
    // An S-expression in an atom in an atom ...: paths go only so deep.
    var text = "((a 1))"
    var path = "a"
    for _ in 0..<8 {
      text = "((b \"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\"))"
      path = "b.\(path)"
    }
    let document = try SExpression(Array(text.utf8))
    #expect(document.text(at: path) == nil)
    #expect(try document.value(at: MarkupPath(parsing: "b.b.b")) != nil)
    #expect(document.leaves(limit: 10).count == 1)
  }

  @Test func truncation() {
    let text = Array(Self.record.utf8)
    for count in 0..<text.count {
      #expect(throws: MarkupError.self) { try SExpression(Array(text.prefix(count))) }
    }
  }
}
