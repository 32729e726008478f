import Testing

@testable import Terminal

@Suite struct EditBufferTests {
  @Test func `keeps the cursor on character boundaries`() {
    let seed = SeededGenerator.newSeed()
    var random = SeededGenerator(seed: seed)
    let pieces = ["a", "\n", "é", "e", "\u{301}", "世", "👩", "\u{200D}", "👧", "🇩", "🇪", "\r", "\t"]
    for _ in 0..<200 {
      var buffer = EditBuffer()
      for _ in 0..<30 {
        let first = Int.random(in: -2...buffer.count + 2, using: &random)
        let range = first..<first + Int.random(in: 0...5, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: buffer.replace(range, with: pieces.randomElement(using: &random) ?? "")
        case 1: _ = buffer.remove(range)
        case 2: buffer.move(to: first)
        default: buffer.insert(pieces.randomElement(using: &random) ?? "")
        }
        let boundaries = buffer.text.indices.map { $0.utf16Offset(in: buffer.text) }
        let cursor = buffer.text.utf8.index(buffer.text.startIndex, offsetBy: buffer.cursor)
        #expect(
          boundaries.contains(cursor.utf16Offset(in: buffer.text)) || buffer.cursor == buffer.count,
          "seed \(seed)")
        #expect(!buffer.text.utf8.contains(0x0D))
      }
    }
  }

  @Test func `joins a mark with the character before it`() {
    var buffer = EditBuffer("e")
    buffer.insert("\u{301}")
    #expect(buffer.offset(before: buffer.cursor) == 0)
    #expect(buffer.cursor == 3)
  }

  @Test func `puts the cursor after what an inserted text joins`() {
    var buffer = EditBuffer("👩👧")
    buffer.move(to: 4)
    buffer.insert("\u{200D}")
    #expect(buffer.cursor == buffer.count)
  }

  @Test(arguments: [(0, 0, 2), (2, 0, 2), (3, 3, 3), (4, 4, 8), (8, 4, 8)])
  func `finds the line of an offset`(offset: Int, start: Int, end: Int) {
    let buffer = EditBuffer("ab\n\ncdef")
    #expect(buffer.lineStart(of: offset) == start)
    #expect(buffer.lineEnd(of: offset) == end)
  }

  @Test func `finds words`() {
    var buffer = EditBuffer("img:page(pfn_1, été)")
    #expect(buffer[buffer.wordStart..<buffer.count] == "été)")
    #expect(buffer[buffer.blankWordStart..<buffer.count] == "été)")
    buffer.move(to: 0)
    #expect(buffer.wordEnd == 3)
    buffer.move(to: 8)
    #expect(buffer[8..<buffer.wordEnd] == "(pfn_1")
    #expect(buffer.blankWordStart == 0)
  }

  private func move(_ buffer: inout EditBuffer, down: Bool, column: Int) -> Bool {
    buffer.moveVertically(down: down, column: column)
  }

  @Test func `keeps the display column between lines`() {
    var buffer = EditBuffer("世界ab\nx\n\tcd")
    #expect(buffer.column == 10)
    #expect(move(&buffer, down: false, column: 10))
    #expect(buffer.cursor == buffer.lineEnd(of: buffer.cursor))
    #expect(move(&buffer, down: false, column: 3))
    #expect(buffer[0..<buffer.cursor] == "世")
    #expect(!move(&buffer, down: false, column: 3))
    #expect(move(&buffer, down: true, column: 0))
    #expect(move(&buffer, down: true, column: 7))
    #expect(buffer.column == 0)
    #expect(!move(&buffer, down: true, column: 0))
  }
}

@Suite struct UndoLogTests {
  @Test func `keeps a bounded number of steps`() {
    var log = UndoLog()
    for number in 0..<(UndoLog.stepLimit + 50) { log.record(EditBuffer(String(number))) }
    var count = 0
    while log.undo() != nil { count += 1 }
    #expect(count == UndoLog.stepLimit)
  }

  @Test func `keeps a bounded number of bytes but one step at least`() {
    var log = UndoLog()
    let large = EditBuffer(String(repeating: "x", count: UndoLog.byteLimit))
    log.record(large)
    log.record(large)
    let states = [log.undo(), log.undo()]
    #expect(states[0] != nil && states[1] == nil)
  }
}
