import Terminal
import Testing

@Suite struct DisplayWidthTests {
  @Test(arguments: [
    ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("\u{301}", 0), ("世界", 4), ("ｆｕｌｌ", 8),
    ("한글", 4), ("\u{1112}\u{1161}\u{11AB}", 2), ("😀", 2), ("👩\u{200D}👩\u{200D}👧", 6),
    ("❤\u{FE0F}", 1), ("🇩🇪", 2), ("\u{200B}", 0), ("\u{AD}", 1), ("a\u{1B}b\n\t", 2),
    ("\u{303F}", 1), ("。", 2), ("\u{2E80}", 2), ("⌚", 2), ("\u{1F9D1}", 2), ("𠀀", 2),
    ("ก\u{E31}", 1), ("\u{2028}", 0), ("─│", 2), ("ｱ", 1),
  ])
  func `counts columns`(text: String, columns: Int) {
    #expect(displayWidth(text) == columns)
  }
}

@Suite struct EscapeForDisplayTests {
  @Test(arguments: [
    ("plain é 世界", "plain é 世界"), ("a\u{1B}[31mb", "a\\x1b[31mb"), ("\n\r\t", "\\n\\r\\t"),
    ("\r\n", "\\r\\n"), ("\u{0}\u{7F}", "\\x00\\x7f"), ("\u{9B}", "\\u{9b}"), ("\\n", "\\n"),
    ("\u{202E}evil", "\\u{202e}evil"), ("\u{2028}", "\\u{2028}"), ("\u{FEFF}", "\\u{feff}"),
    ("👩\u{200D}👧", "👩\u{200D}👧"), ("e\u{301}", "e\u{301}"),
  ])
  func `makes controls visible`(text: String, expected: String) {
    #expect(escapeForDisplay(text) == expected)
  }

  // swift-format-ignore
  @Test(arguments: [
    ([0x61, 0xFF, 0x62],                   "a\\xffb"),         // no lead byte
    ([0xC3, 0xA9],                         "é"),
    ([0xC3],                               "\\xc3"),           // cut off
    ([0xC0, 0x80],                         "\\xc0\\x80"),      // overlong
    ([0xED, 0xA0, 0x80],                   "\\xed\\xa0\\x80"), // surrogate
    ([0xF0, 0x9F, 0x98, 0x80, 0x1B],       "😀\\x1b"),
    ([0xE4, 0xB8, 0x41],                   "\\xe4\\xb8A"),
  ] as [([UInt8], String)])
  func `makes wrong UTF-8 visible`(bytes: [UInt8], expected: String) {
    #expect(escapeForDisplay(bytes: bytes) == expected)
  }

  @Test func `leaves nothing that a terminal obeys`() {
    for code in UInt32(0)..<0x3000 {
      guard let scalar = Unicode.Scalar(code) else { continue }
      for escaped in escapeForDisplay(String(scalar)).unicodeScalars {
        #expect(escaped.value >= 0x20 && !(0x7F..<0xA0).contains(escaped.value), "\(code)")
      }
    }
  }
}
