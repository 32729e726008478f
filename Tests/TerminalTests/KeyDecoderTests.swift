import Testing

@testable import Terminal

@Suite struct KeyDecoderTests {
  private func keys(_ bytes: [UInt8]) -> [Key] {
    var decoder = KeyDecoder()
    var keys = bytes.flatMap { decoder.decode($0) }
    if let last = decoder.endEscape() { keys.append(last) }
    return keys
  }

  // swift-format-ignore
  @Test(arguments: [
    ("a",               [.text("a")]),
    ("é世😀",           [.text("é"), .text("世"), .text("😀")]),
    ("\r\n",            [.special(.enter, .none), .special(.enter, .none)]),
    ("\t",              [.special(.tab, .none)]),
    ("\u{8}\u{7F}",     [.special(.backspace, .none), .special(.backspace, .none)]),
    ("\u{1}\u{1A}",     [.control("a"), .control("z")]),
    ("\u{0}\u{1F}",     [.control("@"), .control("_")]),
    ("\u{1B}",          [.special(.escape, .none)]),
    ("\u{1B}\u{1B}",    [.special(.escape, .none)]),
    ("\u{1B}b",         [.alt("b")]),
    ("\u{1B}\u{3}",     [.special(.escape, .none), .control("c")]),
    ("\u{1B}é",         [.text("é")]),
    ("\u{1B}\r",        [.special(.enter, .alt)]),
    ("\u{1B}\u{7F}",    [.special(.backspace, .alt)]),
    ("\u{1B}[A",        [.special(.up, .none)]),
    ("\u{1B}OB",        [.special(.down, .none)]),
    ("\u{1B}[1;5C",     [.special(.right, .control)]),
    ("\u{1B}[1;3D",     [.special(.left, .alt)]),
    ("\u{1B}\u{1B}[D",  [.special(.left, .alt)]),
    ("\u{1B}[1;2A",     [.special(.up, .none)]),
    ("\u{1B}Oc",        [.special(.right, .control)]),
    ("\u{1B}[H",        [.special(.home, .none)]),
    ("\u{1B}[1~",       [.special(.home, .none)]),
    ("\u{1B}[7~",       [.special(.home, .none)]),
    ("\u{1B}OF",        [.special(.end, .none)]),
    ("\u{1B}[8~",       [.special(.end, .none)]),
    ("\u{1B}[3;5~",     [.special(.delete, .control)]),
    ("\u{1B}[3^",       [.special(.delete, .control)]),
    ("\u{1B}[5~",       [.special(.pageUp, .none)]),
    ("\u{1B}[Z",        [.special(.backTab, .none)]),
    ("\u{1B}[15~a",     [.text("a")]),                          // F5
    ("\u{1B}[[Aa",      [.text("a")]),                          // F1 of the Linux console
    ("\u{1B}OPa",       [.text("a")]),                          // F1
    ("\u{1B}[?1;2ca",   [.text("a")]),                          // an answer nobody asked for
    ("\u{1B}[12",       []),                                    // cut off
    ("\u{1B}[1\u{3}",   [.control("c")]),
    ("\u{1B}[99999999999999999999~a", [.text("a")]),
  ] as [(String, [Key])])
  func `reads keys`(input: String, expected: [Key]) {
    #expect(keys(Array(input.utf8)) == expected)
  }

  // swift-format-ignore
  @Test(arguments: [
    ([0xFF, 0x61],             ["\u{FFFD}", "a"]),
    ([0xC3, 0x61],             ["\u{FFFD}", "a"]),
    ([0xC0, 0x80],             ["\u{FFFD}", "\u{FFFD}"]),
    ([0xED, 0xA0, 0x80],       ["\u{FFFD}\u{FFFD}\u{FFFD}"]),
    ([0xE4, 0xC3, 0xA9],       ["\u{FFFD}", "é"]),
  ] as [([UInt8], [String])])
  func `repairs wrong UTF-8`(bytes: [UInt8], expected: [String]) {
    #expect(keys(bytes) == expected.map { .text($0) })
  }

  @Test func `reads a paste as one key`() {
    #expect(keys(Array(Keys.paste("a\r\nb\rc\n\u{1B}[A").utf8)) == [.paste("a\nb\nc\n\u{1B}[A")])
    #expect(keys(Array(Keys.paste("").utf8)) == [.paste("")])
    #expect(
      keys(Array("\u{1B}[200~x\u{1B}[201\u{1B}[201~y".utf8)) == [
        .paste("x\u{1B}[201"), .text("y"),
      ])
  }

  @Test func `leaves a paste without end by Ctrl-C`() {
    #expect(keys(Array("\u{1B}[200~abc\u{3}d".utf8)) == [.control("c"), .text("d")])
  }

  @Test func `refuses an endless paste`() {
    let long = String(repeating: "x", count: KeyDecoder.pasteLimit + 1)
    #expect(keys(Array((Keys.paste(long) + "y").utf8)) == [.pasteRefused, .text("y")])
    let most = String(repeating: "x", count: KeyDecoder.pasteLimit - 1)
    #expect(keys(Array(Keys.paste(most).utf8)) == [.paste(most)])
  }

  @Test func `tells when an escape sequence is open`() {
    var decoder = KeyDecoder()
    #expect(!decoder.isInsideEscape)
    for byte in "\u{1B}[1;".utf8 {
      let keys = decoder.decode(byte)
      #expect(keys == [])
      #expect(decoder.isInsideEscape)
    }
    let key = decoder.endEscape()
    #expect(key == nil)
    #expect(!decoder.isInsideEscape)
  }

  @Test func `survives random bytes`() {
    let seed = SeededGenerator.newSeed()
    var random = SeededGenerator(seed: seed)
    var decoder = KeyDecoder()
    let likely: [UInt8] = Array("\u{1B}\u{1B}[[O;~2001ABCDé世".utf8)
    for _ in 0..<20_000 {
      let byte = Bool.random(using: &random) ? likely.randomElement(using: &random) : nil
      _ = decoder.decode(byte ?? UInt8.random(in: 0...255, using: &random))
    }
  }
}
