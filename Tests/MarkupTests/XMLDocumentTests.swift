// XML: what is read by path, and that an edit leaves all other bytes alone.

import Markup
import Testing

@Suite struct XMLDocumentTests {
  static let domain = """
    <?xml version='1.0'?>
    <!-- <name>not this</name> -->
    <domain type='xen' id='3'>
      <name>web &amp; <![CDATA[<db>]]></name>
      <memory unit="KiB">131072</memory>
      <empty/>
      <devices>
        <disk type='file'><source file='/a'/><target dev='xvda'/></disk>
        <disk type='block'><source dev='/dev/b'/><target dev='xvdb'/></disk>
        <interface type='bridge'><mac address='00:16:3e:00:00:01'/></interface>
      </devices>
    </domain>

    """

  func document(_ text: String = domain) throws -> XMLDocument { try XMLDocument(Array(text.utf8)) }

  @Test(arguments: [
    ("name", "web & <db>"), ("domain.name", "web & <db>"), ("memory", "131072"),
    ("memory@unit", "KiB"), ("@type", "xen"), ("domain@id", "3"), ("empty", ""),
    ("devices.disk[1].target@dev", "xvdb"), ("devices.disk.source.@file", "/a"),
    ("devices[\"interface\"].mac@address", "00:16:3e:00:00:01"), ("devices.disk[0]@type", "file"),
  ]) func values(path: String, text: String) throws {
    #expect(try document().text(at: path) == text)
  }

  @Test(arguments: [
    "nothing", "devices.disk[2]", "@nothing", "name@type", "name.inside", "other.name",
  ])
  func nothingThere(path: String) throws {
    #expect(try document().value(at: MarkupPath(parsing: path)) == nil)
  }

  /// Every place that is listed is found by its path, and its path reads back.
  @Test func pathsLeadWhereTheySay() throws {
    let document = try document()
    let leaves = document.leaves(limit: 1000)
    #expect(leaves.count == 14)
    for (path, text) in leaves {
      #expect(document.value(at: path)?.text == text, "\(path)")
      #expect(try MarkupPath(parsing: path.description) == path)
    }
    var waiting = [MarkupPath([])]
    var texts = 0
    while let path = waiting.popLast() {
      waiting += document.children(of: path)
      if document.value(at: path)?.text != nil { texts += 1 }
    }
    // The five elements with attributes only are places, too.
    #expect(texts == 14 + 5)
  }

  /// What is between the first and last byte that differ is all that an edit touches.
  @Test(arguments: [
    ("name", "a<b>&'\"", "a&lt;b&gt;&amp;'\""), ("memory", "1", "1"), ("@type", "x'y", "x&apos;y"),
    ("memory@unit", "a\"b\n", "a&quot;b&#10;"), ("empty", "full", "><!>"),
    ("devices.disk[1].source@dev", "/dev/vg/new", "/dev/vg/new"),
  ]) func editsAreSplices(path: String, new: String, written: String) throws {
    var document = try document()
    let before = document.text
    let path = try MarkupPath(parsing: path)
    let old = document.value(at: path)?.text ?? ""
    try document.set(path, to: new)
    #expect(document.value(at: path)?.text == new)
    #expect(try XMLDocument(document.text).value(at: path)?.text == new)
    let head = zip(before, document.text).prefix { $0 == $1 }.count
    let tail = zip(before.reversed(), document.text.reversed()).prefix { $0 == $1 }.count
    #expect(head + tail >= before.count - 40, "\(before.count - head - tail) bytes went")
    if written != "><!>" {
      #expect(String(decoding: document.text, as: UTF8.self).contains(written))
    }
    // Back again, but for how the text was written.
    try document.set(path, to: old)
    #expect(document.value(at: path)?.text == old)
    // Setting what is there changes nothing.
    let same = document.text
    try document.set(path, to: old)
    #expect(document.text == same)
  }

  @Test func addingAndRemoving() throws {
    var document = try document()
    let before = document.text
    try document.set(MarkupPath(parsing: "title"), to: "<x>")
    #expect(
      String(decoding: document.text, as: UTF8.self)
        .contains("</devices>\n  <title>&lt;x&gt;</title>\n</domain>"))
    try document.remove(MarkupPath(parsing: "title"))
    #expect(document.text == before)
    try document.set(MarkupPath(parsing: "name@lang"), to: "'")
    #expect(String(decoding: document.text, as: UTF8.self).contains("<name lang='&apos;'>web"))
    try document.remove(MarkupPath(parsing: "name@lang"))
    #expect(document.text == before)
    try document.set(MarkupPath(parsing: "empty.inside"), to: "")
    #expect(String(decoding: document.text, as: UTF8.self).contains("<empty><inside/></empty>"))
    try document.set(MarkupPath(parsing: "devices.disk[2]"), to: "")
    #expect(document.text(at: "devices.disk[2]") == "")
    #expect(throws: MarkupError.self) { try document.set(MarkupPath(parsing: "disk[9]"), to: "") }
    #expect(throws: MarkupError.self) { try document.set(MarkupPath(parsing: "devices"), to: "") }
    #expect(throws: MarkupError.self) { try document.set(MarkupPath(parsing: "name"), to: "\u{1}") }
    #expect(throws: MarkupError.self) { try document.set(MarkupPath(parsing: "[\"a b\"]"), to: "") }
    #expect(throws: MarkupError.self) { try document.remove(MarkupPath([])) }
  }

  @Test(arguments: [
    "", "text", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a b/>", "<a b=c/>", "<a b='1' b='2'/>",
    "<a b='<'/>", "<a>&no;</a>", "<a>&#0;</a>", "<a>&amp</a>", "<!DOCTYPE a><a/>", "<a>\u{1}</a>",
    "<a><!-- </a>", "<a><![CDATA[</a>", "<?a", "<a", "<a b='", "< a/>", "<a/>x", "<1/>",
    "<a><a></a>",
  ]) func refused(text: String) {
    #expect(throws: MarkupError.self) { try XMLDocument(Array(text.utf8)) }
  }

  @Test func limits() throws {
    func nested(_ depth: Int) -> [UInt8] {
      Array((String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)).utf8)
    }
    _ = try XMLDocument(nested(MarkupLimit.depth))
    #expect(throws: MarkupError.self) { try XMLDocument(nested(MarkupLimit.depth + 1)) }
    let wide =
      Array("<a>".utf8)
      + Array(repeatElement(Array("<b/>".utf8), count: MarkupLimit.nodes).joined())
      + Array("</a>".utf8)
    #expect(throws: MarkupError.self) { try XMLDocument(wide) }
    let long =
      Array("<a>".utf8) + [UInt8](repeating: 0x20, count: MarkupLimit.bytes) + Array("</a>".utf8)
    #expect(throws: MarkupError.self) { try XMLDocument(long) }
    #expect(throws: MarkupError.self) {
      try XMLDocument(Array("<a>".utf8) + [0xFF] + Array("</a>".utf8))
    }
  }

  /// Cut anywhere, a text is refused and nothing traps.
  @Test func truncation() {
    let text = Array(Self.domain.utf8)
    let end = text.lastIndex(of: UInt8(ascii: ">")) ?? 0
    for count in 0..<end {
      #expect(throws: MarkupError.self) { try XMLDocument(Array(text.prefix(count))) }
    }
  }

  @Test(arguments: [
    "a..b", ".a", "a[", "a[x]", "a[\"", "a@", "a[0", "a b", "[99999999999999999999]",
  ])
  func wrongPaths(text: String) {
    #expect(throws: MarkupError.self) { try MarkupPath(parsing: text) }
  }
}
