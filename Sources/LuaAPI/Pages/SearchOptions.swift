// Searches and duplicates: what scripts say, and what they get.

internal import SystemIO
internal import Bytes
internal import Format
internal import LuaRuntime
package import Pages

/// What a search is told.
struct SearchOptions {
  var limit = 1000
  var program: SelectorProgram?
  /// Addresses to look between.
  var range: ClosedRange<UInt64>?
  private var encoding = Encoding.bytes

  private enum Encoding: String {
    case bytes, utf16, regex

    init?(_ word: String) {
      // "octets" is what it was called first.
      self.init(rawValue: word == "octets" ? "bytes" : word)
    }
  }

  /// Those at `index`. With `isVirtual` they choose addresses, else pages.
  init(_ frame: LuaFrame, _ index: Int, isVirtual: Bool = false) throws {
    if frame.isMissing(index) { return }
    guard frame.type(index) == .table else {
      throw frame.argumentError(index, "expected a table of options")
    }
    let names = ["encoding", "limit"] + (isVirtual ? ["first", "last"] : ["where"])
    var (first, last) = (UInt64(0), UInt64.max)
    for (name, _) in try frame.fieldNames(index) {
      frame.pushField(index, name)
      defer { frame.pop() }
      switch name {
      case _ where !names.contains(name):
        throw LuaError("search has no option '\(name)'" + didYouMean(name, among: names))
      case "first": first = UInt64(bitPattern: try frame.integer(frame.count))
      case "last": last = UInt64(bitPattern: try frame.integer(frame.count))
      case "limit": limit = try frame.integer(frame.count, in: 1...1_000_000)
      case "where": program = try LuaSelector.at(frame, frame.count).program
      default:
        guard let found = Encoding(frame.text(-1)) else {
          throw LuaError(
            "encoding: expected \"bytes\", \"utf16\" or \"regex\", got \"\(frame.text(-1))\"")
        }
        encoding = found
      }
    }
    guard first <= last else {
      throw LuaError("search: expected first below last, got \(first.hex()) and \(last.hex())")
    }
    if isVirtual { range = first...last }
  }

  /// What to look for.
  func pattern(_ text: [UInt8]) throws -> SearchPattern {
    switch encoding {
    case .bytes: return try SearchPattern(bytes: text)
    case .regex: return try SearchPattern(expression: text)
    case .utf16:
      guard let text = String(validating: text, as: UTF8.self) else {
        throw XensaveError(.usage, "utf16: expected text in UTF-8")
      }
      return try SearchPattern(bytes: SearchText.utf16(text))
    }
  }
}

extension LuaFrame {
  /// Pushes what a search has found.
  package func push(_ found: SearchResult) {
    push(LuaValue.list(found.addresses.map { .unsigned($0) }))
    push(found.count)
    setField("count")
  }
}

/// What img:dedupe gives.
final class LuaDuplicates {
  let found = PageDuplicates()
  private let images: [LuaImage]

  init(_ image: LuaImage, _ frame: LuaFrame) throws {
    var images = [image]
    if !frame.isMissing(2) {
      guard frame.type(2) == .table else {
        throw frame.argumentError(2, "expected a table of options")
      }
      for (name, _) in try frame.fieldNames(2) {
        frame.pushField(2, name)
        defer { frame.pop() }
        switch name {
        case "with":
          for position in 0..<(try listCount(frame, -1)) {
            frame.pushElement(frame.count, position + 1)
            defer { frame.pop() }
            guard let other: LuaImage = frame.objectIfAny(-1) else {
              throw LuaError("dedupe: with: expected a list of images")
            }
            images.append(other)
          }
        case "verify":
          guard frame.boolean(-1) else { throw LuaError("dedupe: every match is compared") }
        case "hash":
          // The matches are compared, so the result does not depend on it.
          guard frame.type(-1) == .string else { throw LuaError("dedupe: hash: expected a name") }
        default:
          throw LuaError(
            "dedupe has no option '\(name)'" + didYouMean(name, among: ["with", "verify", "hash"]))
        }
      }
    }
    self.images = images
    for image in images {
      let pages = try image.pages()
      try found.add(pages)
    }
  }

  private static func integer(
    _ name: String, _ doc: String, unit: String = "pages",
    _ get: @escaping (PageDuplicates) -> UInt64
  ) -> LuaMember<LuaDuplicates> {
    .property(name, "integer", doc, unit: unit) { object, frame in frame.push(get(object.found)) }
  }

  static var table: LuaClass<LuaDuplicates> {
    var table = LuaClass<LuaDuplicates>(
      "Duplicates", "Pages with the same contents, as img:dedupe has found them.",
      [
        integer("pages", "Pages with contents.") { $0.pageCount },
        integer("distinct", "Different contents.", unit: "contents") { $0.distinctCount },
        integer("zero", "Pages of zeros.") { $0.zeroCount },
        .method(
          "top", "(count?: integer): table",
          "The contents that most pages have (10 of them), most first, as a list: count, first_pfn, "
            + "zero, and image (its number, where further images were counted in).",
          example: "for _, d in ipairs(img:dedupe():top(3)) do print(d.count, d.first_pfn) end"
        ) { object, frame in
          let count = frame.isMissing(2) ? 10 : try frame.integer(2, in: 0...100_000)
          frame.push(
            LuaValue.list(
              object.found.top(count).map { group in
                .table([
                  ("count", .unsigned(group.count)), ("first_pfn", .unsigned(group.pfn)),
                  ("zero", .boolean(group.isZero)), ("image", .integer(Int64(group.image + 1))),
                ])
              }))
          return 1
        },
      ])
    table.toString = {
      "\($0.found.distinctCount.grouped) distinct of \($0.found.pageCount.grouped) pages"
    }
    return table
  }
}
