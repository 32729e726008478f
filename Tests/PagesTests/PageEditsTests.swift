import Format
import Glibc
import ImageEdit
import Pages
import Stream
import SystemIO
import Testing
import func TestKit.mustSpawn

/// A filter that runs `edit` on every PAGE_DATA record.
final class EditFilter: RewriteFilter {
  let source: Source
  let guards = PageGuard()
  let edit: (PageEdits) throws -> Void

  init(_ source: Source, _ edit: @escaping (PageEdits) throws -> Void) {
    self.source = source
    self.edit = edit
  }

  func begin() {}
  func finish() {}
  func header(_ header: inout Header) { guards.observe(header) }
  func record(_ record: EditableRecord) throws -> FilterResult {
    try guards.observe(record.record)
    guard record.type == .pageData else { return .keep }
    try edit(PageEdits(record, source, guards))
    return .keep
  }
}

@Suite struct PageEditsTests {
  typealias Edit = (PageEdits) throws -> Void

  /// The bytes that a rewrite makes, from a file or through a pipe.
  func rewrite(_ bytes: [UInt8], pipe: Bool = false, _ edit: @escaping Edit) throws -> [UInt8] {
    let input = TemporaryFile(bytes)
    let output = TemporaryFile()
    let file = try OutputFile(output.path, .memory)
    if pipe {
      let fifo = input.path + ".fifo"
      #expect(mkfifo(fifo, 0o600) == 0)
      defer { unlink(fifo) }
      let feeder = Feeder("cat \(input.path) > \(fifo)")
      defer { feeder.wait() }
      let source = try Source(opening: fifo)
      #expect(source.kind == .pipe)
      _ = try Rewriter(source, to: file.sink, filter: EditFilter(source, edit)).run()
    } else {
      let source = try Source(opening: input.path)
      _ = try Rewriter(source, to: file.sink, filter: EditFilter(source, edit)).run()
    }
    try file.commit()
    return output.bytes
  }

  func program(_ text: String) throws -> SelectorProgram {
    SelectorProgram(try Selector(parsing: text))
  }

  let batch = [
    Entry(1, page(1)), Entry(2, page(2)), Entry(3, type: 0xF), Entry(4, page(0)), Entry(5, page(5)),
  ]

  @Test(arguments: [false, true]) func fill(pipe: Bool) throws {
    nonisolated(unsafe) var counts: [Int] = []
    let out = try rewrite(hvm([batch, batch]), pipe: pipe) { edits in
      counts.append(
        try edits.fill(self.program("pfn in 2..4 and has_data and not zero"), with: 0xAA))
    }
    var changed = batch
    changed[1].contents = page(0xAA)
    #expect(counts == [1, 1])
    #expect(out == hvm([changed, changed]))
  }

  @Test(arguments: [false, true]) func dropKeepRetype(pipe: Bool) throws {
    let dropped = try rewrite(hvm([batch]), pipe: pipe) { edits in
      _ = try edits.drop(self.program("zero or pfn = 1"))
    }
    #expect(dropped == hvm([[batch[1], batch[2], batch[4]]]))
    let kept = try rewrite(hvm([batch]), pipe: pipe) { edits in
      _ = try edits.keep(self.program("contains '\\x05'"))
    }
    #expect(kept == hvm([[batch[4]]]))
    let retyped = try rewrite(hvm([batch]), pipe: pipe) { edits in
      _ = try edits.retype(self.program("pfn in 1..3"), to: .broken)
    }
    #expect(
      retyped
        == hvm([[Entry(1, type: 0xD), Entry(2, type: 0xD), Entry(3, type: 0xD)] + batch[3...]]))
    // A record without pages is none.
    let none = try rewrite(hvm([batch]), pipe: pipe) { edits in
      _ = try edits.drop(self.program("any"))
    }
    #expect(none == hvm([]))
  }

  @Test func replace() throws {
    let other = TemporaryFile(hvm([[Entry(1, page(0x11)), Entry(5, page(0x55))]]))
    let image = try PageImage(opening: other.path)
    let out = try rewrite(hvm([batch])) { edits in
      _ = try edits.replace(self.program("pfn = 1 or pfn = 5"), from: image)
      _ = try edits.replace(self.program("pfn = 4"), with: page(4))
    }
    var changed = batch
    changed[0].contents = page(0x11)
    changed[3].contents = page(4)
    changed[4].contents = page(0x55)
    #expect(out == hvm([changed]))
    #expect(throws: XensaveError.self) {
      try rewrite(hvm([batch])) { edits in
        _ = try edits.replace(self.program("pfn = 2"), from: image)
      }
    }
  }

  @Test(arguments: [false, true]) func nothingSelectedIsIdentity(pipe: Bool) throws {
    let bytes = xl(hvm([batch, [Entry(7, page(7))]]))
    let out = try rewrite(bytes, pipe: pipe) { edits in
      _ = try edits.fill(self.program("pfn = 99 and zero"), with: 0)
      _ = try edits.drop(self.program("contains 'absent'"))
    }
    #expect(out == bytes)
  }

  /// Random edits against a model, from files and through pipes.
  @Test func randomEdits() throws {
    let seed = printedSeed()
    var random = SeededGenerator(seed)
    for round in 0..<40 {
      let batches = (0..<2).map { _ in
        randomEntries(&random, count: Int.random(in: 1..<80, using: &random), below: 300)
      }
      let choices = (0..<Int.random(in: 1..<4, using: &random)).map { _ in
        (
          Int.random(in: 0..<5, using: &random), SelectorTests.randomSelector(&random, 2),
          UInt8.random(in: 0..<255, using: &random)
        )
      }
      let expected = batches.map { entries in
        var out: [Entry?] = entries
        for (kind, selector, byte) in choices {
          for index in entries.indices {
            guard let entry = out[index] else { continue }
            let isChosen = selector.matches(
              PageEntry(PageType(rawValue: UInt8(entry.type)), pfn: entry.pfn), entry.contents)
            switch kind {
            case 0, 1:
              if isChosen, entry.contents != nil {
                out[index]?.contents = page(byte)
              }
            case 2: if isChosen { out[index] = nil }
            case 3: if !isChosen { out[index] = nil }
            default: if isChosen { out[index] = Entry(entry.pfn, type: 0xD) }
            }
          }
        }
        return out.compactMap { $0 }
      }
      let out = try rewrite(hvm(batches), pipe: round % 2 == 0) { edits in
        for (kind, selector, byte) in choices {
          let program = SelectorProgram(selector)
          switch kind {
          case 0: _ = try edits.fill(program, with: byte)
          case 1: _ = try edits.replace(program, with: page(byte))
          case 2: _ = try edits.drop(program)
          case 3: _ = try edits.keep(program)
          default: _ = try edits.retype(program, to: .broken)
          }
        }
      }
      #expect(out == hvm(expected.filter { !$0.isEmpty }), "seed \(seed)")
    }
  }

  @Test func pvRules() throws {
    let entries = [
      Entry(1, type: 9, page(0)), Entry(2, page(2)), Entry(3, page(3)), Entry(4, type: 0xF),
    ]
    let bytes = pv([entries], p2m: 3)
    func refusal(_ edit: @escaping Edit) throws -> String {
      let error = #expect(throws: XensaveError.self) { try self.rewrite(bytes, edit) }
      return error?.description ?? ""
    }
    let table = try refusal { edits in
      _ = try edits.fill(self.program("has_data"), with: 0)
    }
    #expect(table.contains("page 0x1 cannot be filled: it is a page table (L1TAB_PIN)"))
    let p2m = try refusal { edits in
      _ = try edits.drop(self.program("pfn in 2..3"))
    }
    #expect(p2m.contains("page 0x3 cannot be dropped: it is a part of the p2m table"))
    let retype = try refusal { edits in
      _ = try edits.retype(self.program("pfn = 2"), to: PageType(rawValue: 1))
    }
    #expect(retype.contains("page 0x2 cannot become L1TAB"))
    let empty = try refusal { edits in
      _ = try edits.retype(self.program("pfn = 4"), to: .notab)
    }
    #expect(empty.contains("page 0x4 cannot become NOTAB: it is XTAB and has no contents"))
    // An ordinary page may change.
    let out = try rewrite(bytes) { edits in
      _ = try edits.fill(self.program("pfn = 2"), with: 7)
    }
    #expect(out == pv([[entries[0], Entry(2, page(7)), entries[2], entries[3]]], p2m: 3))
  }

  @Test func largeRecordsAreStreamed() throws {
    let entries = (0..<3000).map { Entry($0, page(UInt8(truncatingIfNeeded: $0))) }
    let out = try rewrite(hvm([entries])) { edits in
      _ = try edits.fill(self.program("byte[7] = 3"), with: 0xFE)
      _ = try edits.drop(self.program("pfn in 1000..1999 or byte[9] = 4"))
    }
    let expected = entries.compactMap { entry -> Entry? in
      if (1000..<2000).contains(entry.pfn) || entry.contents?[0] == 4 { return nil }
      return entry.contents?[0] == 3 ? Entry(entry.pfn, page(0xFE)) : entry
    }
    #expect(out == hvm([expected]))
  }
}

/// A shell command that runs beside the test.
struct Feeder {
  private var number: pid_t = 0

  init(_ command: String) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    number = mustSpawn(["/bin/sh", "-c", command], &actions)
  }

  func wait() {
    var status: Int32 = 0
    waitpid(number, &status, 0)
  }
}
