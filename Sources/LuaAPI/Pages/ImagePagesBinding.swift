// An image by its pages: counting, selecting, searching, looking at them.

internal import SystemIO
internal import Bytes
internal import Format
internal import LuaRuntime
internal import Pages
internal import Reports

extension LuaImage {
  static var pageMethods: [LuaMember<LuaImage>] { choiceMethods + contentMethods }

  private static var choiceMethods: [LuaMember<LuaImage>] {
    [
      .method(
        "select", "(selector: Selector|PageSet|string): PageSet",
        "The pages that a selector is true of, as a restore would see them: the last occurrence of "
          + "each. One native pass.",
        example: "local zeros = img:select(xs.pages.zero)"
      ) { image, frame in
        let program = try LuaSelector.at(frame, 2).program
        let pages = try image.pages()
        let set = try pages.select(program)
        frame.push(object: LuaPageSet(set))
        return 1
      },
      .method(
        "count", "(selectors?: table|Selector|PageSet|string): any",
        "How many pages a selector is true of (all without one); with a table of selectors by name, a "
          + "table of numbers by the same names. One native pass for all.",
        example: "local n = img:count { data = xs.pages.has_data, zero = xs.pages.zero }"
      ) { image, frame in
        let pages = try image.pages()
        guard frame.type(2) == .table else {
          let selector = frame.isMissing(2) ? try LuaSelector(.any) : try LuaSelector.at(frame, 2)
          frame.push(
            try pages.count([selector.program])[0])
          return 1
        }
        let names = try frame.fieldNames(2).map(\.name)
        var programs: [SelectorProgram] = []
        for name in names {
          frame.pushField(2, name)
          defer { frame.pop() }
          guard let selector = try LuaSelector.ifAny(frame, frame.count) else {
            throw LuaError("count: \(name): expected a selector, got \(frame.typeName(-1))")
          }
          programs.append(selector.program)
        }
        let counts = try pages.count(programs)
        frame.push(LuaValue.table(zip(names, counts).map { ($0, .unsigned($1)) }))
        return 1
      },
      .method(
        "each", "(selector?: Selector|PageSet|string): fun(): integer, View",
        "Iterates over the selected pages that have contents, ascending: pfn and a view, which is valid "
          + "until the loop has gone 64 pages further. Cannot be written.",
        example: "for pfn, view in img:each(xs.pages.pfn(0, 0xff)) do print(pfn, view:u8(0)) end"
      ) { image, frame in
        let selector = frame.isMissing(2) ? try LuaSelector(.any) : try LuaSelector.at(frame, 2)
        try image.pushPageLoop(frame, selector.program)
        return 1
      },
      .method(
        "dedupe", "(options?: table): Duplicates",
        "Finds pages with the same contents; every match is compared byte by byte. Options: with (a "
          + "list of further images to count in). 64 to 128 bytes of memory a distinct page.",
        example: "print(img:dedupe().distinct)"
      ) { image, frame in
        frame.push(object: try LuaDuplicates(image, frame))
        return 1
      },
      .method(
        "diff_pages", "(other: Image): fun(): table?",
        "Iterates over the pages in which two images differ, as runs of one kind: first, last, count, "
          + "kind (\"contents\", \"type\", \"only_in_first\", \"only_in_second\"), and types where "
          + "these differ.",
        example: "for d in a:diff_pages(b) do print(xs.hex(d.first), d.count, d.kind) end"
      ) { image, frame in
        let other = try frame.object(2, as: LuaImage.self)
        var walk = PageDifferences(try image.pages(), try other.pages())
        frame.push(function: "diff_pages") { frame in
          guard let next = try walk.next() else {
            frame.pushNil()
            return 1
          }
          var fields: [(name: String, value: LuaValue)] = [
            ("first", .unsigned(next.first)), ("last", .unsigned(next.last)),
            ("count", .unsigned(next.pageCount)), ("kind", .text(next.kind.rawValue)),
          ]
          if !next.types.isEmpty {
            fields.append(("types", .list(next.types.map { .text($0.name) })))
          }
          frame.push(LuaValue.table(fields))
          return 1
        }
        return 1
      },
    ]
  }

  private static var contentMethods: [LuaMember<LuaImage>] {
    [
      .method(
        "page", "(pfn: integer, options?: table): View?, Error?",
        "The contents of a page as a restore would see it. Options: version (which of its occurrences "
          + "in the stream, from 1; see history). Nil and an error where the image has no such "
          + "contents.",
        example: "print(img:page(0x10):hexdump())"
      ) { image, frame in
        let pfn = UInt64(bitPattern: try frame.integer(2))
        var version: Int?
        if !frame.isMissing(3) {
          guard frame.type(3) == .table else {
            throw frame.argumentError(3, "expected a table of options")
          }
          for (name, _) in try frame.fieldNames(3) {
            guard name == "version" else {
              throw LuaError("page has no option '\(name)'" + didYouMean(name, among: ["version"]))
            }
            frame.pushField(3, name)
            version = try frame.integer(frame.count, in: 1...Int64(Int32.max))
            frame.pop()
          }
        }
        let bytes: [UInt8]
        do {
          bytes =
            if let version {
              try image.contents(of: pfn, version: version)
            } else {
              try image.asPages().contents(of: pfn)
            }
        } catch { return try frame.fail(error) }
        frame.push(viewOfCopy: bytes, address: pfn << 12, reason: readOnly)
        return 1
      },
      .method(
        "history", "(pfn: integer): table",
        "Every occurrence of a page in the stream, as a list: type, offset (of its contents in the "
          + "file), round, checkpoint, and last (whether a restore ends up with it).",
        example: "for n, h in ipairs(img:history(0x10)) do print(n, h.type, h.round) end"
      ) { image, frame in
        let pfn = UInt64(bitPattern: try frame.integer(2))
        let index = try image.historyIndex()
        let values = index.history(of: pfn).map { occurrence -> LuaValue in
          .table([
            ("type", .text(occurrence.type.name)), ("round", .integer(Int64(occurrence.round))),
            ("checkpoint", .integer(Int64(occurrence.checkpoint))),
            ("last", .boolean(occurrence.isLast)),
            ("offset", occurrence.offset.map { .unsigned($0) } ?? LuaValue.none),
          ])
        }
        frame.push(LuaValue.list(values))
        return 1
      },
      .method(
        "search", "(text: string, options?: table): table",
        "Where bytes stand in the guest's physical memory: a list of addresses (at most limit, 1000), "
          + "and in count how many there are. Options: encoding (\"bytes\", \"utf16\" for "
          + "UTF-8 text as Windows keeps it, or \"regex\" for a POSIX extended regular expression), "
          + "where (a selector), limit.",
        example: "for _, address in ipairs(img:search \"root:\") do print(xs.hex(address)) end"
      ) { image, frame in
        let options = try SearchOptions(frame, 3)
        let pattern = try options.pattern(try frame.bytes(2))
        let pages = try image.pages()
        let set = try options.program.map { program in try pages.select(program) }
        let found = try pages.search(pattern, limit: options.limit, in: set)
        frame.push(found)
        return 1
      },
      .method(
        "entropy", "(selector?: Selector|PageSet|string): table",
        "The entropy of the selected pages that have contents, in bits a byte: count, mean, least, "
          + "most, and histogram (nine numbers: how many pages have 0 to 1 bits, 1 to 2, ... and "
          + "8).",
        example: "print(img:entropy(xs.pages.has_data).mean)"
      ) { image, frame in
        let program = frame.isMissing(2) ? nil : try LuaSelector.at(frame, 2).program
        let pages = try image.pages()
        var (count, sum, least, most) = (0, 0.0, 8.0, 0.0)
        var bins = [Int64](repeating: 0, count: 9)
        let set = try program.map { program in try pages.select(program) }
        try pages.forEachEntropy(in: set) { _, bits in
          count += 1
          sum += bits
          least = min(least, bits)
          most = max(most, bits)
          bins[Int(bits)] += 1
        }
        frame.push(
          LuaValue.table([
            ("count", .integer(Int64(count))),
            ("mean", .number(count > 0 ? sum / Double(count) : 0)),
            ("least", .number(count > 0 ? least : 0)), ("most", .number(most)),
            ("histogram", .list(bins.map { .integer($0) })),
          ]))
        return 1
      },
    ]
  }

  /// Why what an image shows cannot be written.
  static let readOnly = "it is a copy of what is in the image (edit pages in a filter)"

  /// `pages()` for who returns what goes wrong.
  func asPages() throws -> PageImage {
    do { return try pages() } catch { throw XensaveError(.usage, LuaError(raising: error).message) }
  }

  /// The contents of one occurrence of a page.
  fileprivate func contents(of pfn: UInt64, version: Int) throws -> [UInt8] {
    let all = try historyIndex().history(of: pfn)
    guard version <= all.count else {
      throw XensaveError(
        .notFound,
        "\(path): page \(pfn.hex()) is \(all.count) times in the stream, not \(version)")
    }
    guard let offset = all[version - 1].offset else {
      throw XensaveError(
        .notFound,
        "\(path): occurrence \(version) of page \(pfn.hex()) is \(all[version - 1].type.name): it has "
          + "no contents")
    }
    return try asPages().contents(at: offset)
  }

  /// Pushes a loop over the selected pages, a batch of 64 at a time.
  fileprivate func pushPageLoop(
    _ frame: LuaFrame, _ program: SelectorProgram
  ) throws {
    var walk = PageWalk(try pages(), program)
    let memory = LuaMemory(frame)
    memory.pushLoop(frame, reasons: [LuaImage.readOnly]) {
      guard let chunk = try walk.next() else {
        memory.end()
        return nil
      }
      // Safety: the walk's buffer keeps its bytes in their place until its next chunk, and `lend`
      // ends the views of the one before.
      unsafe memory.lend(chunk.buffer.pointer(), chunk.byteCount, owner: chunk.buffer)
      return (
        chunk.pages.count,
        { position in
          let page = chunk.pages[position]
          return LuaMemory.Item(
            key: page.pfn, address: page.pfn << 12,
            range: page.offset..<page.offset + pageByteCount, reason: 1)
        }
      )
    }
  }
}
