// xs.pages: predicates on pages that run natively.

internal import Bytes
internal import Format
package import LuaRuntime
internal import Pages

/// A selector in a script's hands. Immutable; it counts what its runs did.
final class LuaSelector {
  let selector: Selector
  /// Nesting, and tests in all: a script may put any one together from itself.
  private let depth: Int
  private let size: Int
  /// Bytes that it takes, about.
  let weight: Int
  private(set) lazy var program = SelectorProgram(selector)

  static let sizeLimit = 10_000

  private init(_ selector: Selector, depth: Int, size: Int, weight: Int) {
    self.selector = selector
    self.weight = weight
    self.depth = depth
    self.size = size
  }

  /// A single test, or what was parsed.
  convenience init(_ selector: Selector) throws {
    let checked = try selector.checked()
    self.init(
      checked, depth: checked.depth, size: checked.testCount, weight: checked.weight)
  }

  /// A selector made of others.
  static func joined(
    _ parts: [LuaSelector], _ join: ([Selector]) -> Selector
  ) throws -> LuaSelector {
    let depth = 1 + (parts.map(\.depth).max() ?? 0)
    let size = parts.reduce(0) { $0 + $1.size }
    guard depth < Selector.depthLimit, size <= sizeLimit else {
      throw LuaError(
        "a selector of \(size) tests, \(depth) deep (at most \(sizeLimit) and "
          + "\(Selector.depthLimit): use sets of pfns)")
    }
    // Its parts are those of the others.
    return LuaSelector(join(parts.map(\.selector)), depth: depth, size: size, weight: 64)
  }

  /// The selector at `index`: a selector, a set of pages, or the text form.
  static func at(_ frame: LuaFrame, _ index: Int) throws -> LuaSelector {
    guard let found = try ifAny(frame, index) else {
      throw frame.argumentError(index, "expected a Selector, a PageSet or the text of a selector")
    }
    return found
  }

  static func ifAny(_ frame: LuaFrame, _ index: Int) throws -> LuaSelector? {
    if let selector: LuaSelector = frame.objectIfAny(index) { return selector }
    if let set: LuaPageSet = frame.objectIfAny(index) { return try LuaSelector(.pfns(set.set)) }
    if frame.type(index) == .string, let text = frame.stringIfAny(index) {
      return try LuaSelector(
        try Selector(parsing: text))
    }
    return nil
  }

  static var table: LuaClass<LuaSelector> {
    var table = LuaClass<LuaSelector>(
      "Selector",
      "Which pages: a predicate that runs natively. Combine with & | - and ~; a PageSet or the text "
        + "form may stand on either side. What looks at contents is false of pages without any.",
      [
        .method(
          "explain", "(): string",
          "The order in which its tests run; after a run, how many pages each looked at, how many it "
            + "is true of, and its time per page.",
          example: "print(sel:explain())"
        ) { selector, frame in
          frame.push(selector.program.explain())
          return 1
        }
      ])
    table.weight = { $0.weight }
    table.toString = { "\($0.selector)" }
    table.equal = { $0.selector == $1.selector }
    func binary(
      _ name: String, _ join: @escaping (Selector, Selector) -> Selector
    ) -> (String, LuaFunction) {
      (
        name,
        { frame in
          guard let a = try ifAny(frame, 1), let b = try ifAny(frame, 2) else {
            throw LuaError(
              "expected selectors or page sets, got \(frame.typeName(1)) and \(frame.typeName(2))")
          }
          frame.push(object: try joined([a, b]) { join($0[0], $0[1]) })
          return 1
        }
      )
    }
    table.operators = [
      binary("__band", &), binary("__bor", |), binary("__sub", -),
      (
        "__bnot",
        { frame in
          frame.push(object: try joined([try at(frame, 1)]) { ~$0[0] })
          return 1
        }
      ),
    ]
    return table
  }
}

extension Selector {
  fileprivate var depth: Int {
    switch self {
    case .and(let a, let b), .or(let a, let b), .minus(let a, let b): 1 + max(a.depth, b.depth)
    case .not(let a): 1 + a.depth
    default: 1
    }
  }
  fileprivate var weight: Int {
    switch self {
    case .and(let a, let b), .or(let a, let b), .minus(let a, let b): 64 + a.weight + b.weight
    case .not(let a): 64 + a.weight
    case .pfns(let set): 64 + set.ranges.count * MemoryLayout<Range<UInt64>>.stride
    case .hashIn(let set): 64 + set.hashes.count * 8
    case .contains(let needle): 64 + needle.pattern.count
    default: 64
    }
  }
  fileprivate var testCount: Int {
    switch self {
    case .and(let a, let b), .or(let a, let b), .minus(let a, let b): a.testCount + b.testCount
    case .not(let a): a.testCount
    default: 1
    }
  }
}

// MARK: - xs.pages

extension ShellContext {
  /// Pushes the module and sets it as a field of the table on the top.
  func bindPages() throws {
    let frame = state.frame
    frame.pushTable()
    state.declareTop(
      LuaDeclaration(
        .module, owner: "", "xs.pages", "",
        "Selectors of pages, which run natively. `local P = xs.pages`."))
    state.addFunctions(selectorFunctions + contentFunctions + pageSetFunctions)
    for (name, selector, doc, example) in [
      ("any", Selector.any, "Every page.", "batch:each(P.any)"),
      (
        "has_data", .hasData, "Pages that have contents in the stream.",
        "img:count(P.has_data)"
      ),
      ("zero", .zero, "Pages of nothing but zeros.", "img:count(P.has_data & ~P.zero)"),
    ] {
      frame.push(object: try LuaSelector(selector))
      state.addTopField(
        LuaDeclaration(.property, owner: "xs.pages", name, "Selector", doc, example: example))
    }
    frame.setField("pages")
  }

  private var selectorFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs.pages", "pfn", "(first: integer, last?: integer): Selector",
        "The page with this number, or those from the first to the last number.",
        example: "P.pfn(0x100, 0x1ff)"
      ) { frame in
        let range = try pfnRange(frame, 1)
        frame.push(object: try LuaSelector(.pfn(range.lowerBound...range.upperBound - 1)))
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "pfns", "(set: PageSet|table): Selector",
        "The pages of a set, or of a list of numbers.", example: "P.pfns { 0x10, 0x12 }"
      ) { frame in
        let set = try pageSet(frame, 1)
        frame.push(object: try LuaSelector(.pfns(set)))
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "type", "(name: string, ...): Selector",
        "Pages of one of these types (\"NOTAB\", \"L1TAB\", ...).",
        example: "P.type(\"L1TAB\", \"L1TAB_PIN\")"
      ) { frame in
        var types: [PageType] = []
        for index in 1...max(1, frame.count) { types.append(try pageType(frame, index)) }
        frame.push(object: try LuaSelector(.type(types)))
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "sample", "(share: number, seed?: integer): Selector",
        "A share of all pages from 0 to 1, chosen by their numbers and the seed: always the same ones.",
        example: "P.sample(1 / 64)"
      ) { frame in
        guard frame.type(1) == .number else {
          throw frame.argumentError(1, "expected a share from 0 to 1")
        }
        let seed = frame.isMissing(2) ? 0 : try frame.integer(2)
        frame.push(
          object: try LuaSelector(.sample(frame.number(1), seed: UInt64(bitPattern: seed))))
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "parse", "(text: string): Selector",
        "The selector of a text, as --where of the command pages takes it. A wrong text raises.",
        example: "P.parse \"pfn in 0x100..0x1ff and not zero\""
      ) { frame in
        let text = try frame.string(1)
        frame.push(
          object: try LuaSelector(
            try Selector(parsing: text)))
        return 1
      },
    ]
  }

  private var contentFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs.pages", "byte", "(offset: integer, value: integer): Selector",
        "Pages whose byte at an offset has this value.", example: "P.byte(0, 0x7f)"
      ) { frame in
        frame.push(
          object: try LuaSelector(
            .byte(
              offset: Int(clamping: try frame.integer(1)),
              value: UInt8(try frame.integer(2, in: 0...255)))))
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "u64", "(offset: integer, mask: integer, value?: integer): Selector",
        "Pages whose 8 bytes at an offset, little-endian and masked, have this value. With two "
          + "arguments the second is the value, and nothing is masked.",
        example: "P.u64(0, 0xffff, 0x457f)"
      ) { frame in
        let second = UInt64(bitPattern: try frame.integer(2))
        let isMasked = !frame.isMissing(3)
        frame.push(
          object: try LuaSelector(
            .u64(
              offset: Int(clamping: try frame.integer(1)), mask: isMasked ? second : .max,
              value: isMasked ? UInt64(bitPattern: try frame.integer(3)) : second)))
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "contains", "(bytes: string): Selector",
        "Pages in which these bytes stand, from 1 to 4096 of them.",
        example: "P.contains \"password=\""
      ) { frame in
        let bytes = try frame.bytes(1)
        guard let needle = Needle(bytes) else {
          throw LuaError("contains: expected 1 to 4096 bytes, got \(bytes.count)")
        }
        frame.push(object: try LuaSelector(.contains(needle)))
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "hash_in", "(hashes: table|Image): Selector",
        "Pages whose contents have one of these hashes (view:hash() gives one), or, with an image, "
          + "those of any of its pages: 8 bytes of memory for each.",
        example: "img:count(P.hash_in(golden) & ~P.zero)"
      ) { frame in
        if let image: LuaImage = frame.objectIfAny(1) {
          let pages = try image.pages()
          let hashes = try pages.hashes()
          frame.push(object: try LuaSelector(.hashIn(hashes)))
          return 1
        }
        guard frame.type(1) == .table else {
          throw frame.argumentError(1, "expected a list of hashes or an Image")
        }
        let hashes = HashSet(try integers(frame, 1, "hash").map { UInt64(bitPattern: $0) })
        frame.push(object: try LuaSelector(.hashIn(hashes)))
        return 1
      },
    ]
  }
}

/// How many elements a list has. A table with holes may say any length: a list longer than these is a
/// mistake, and nothing is computed from its length.
func listCount(_ frame: LuaFrame, _ index: Int) throws -> Int {
  guard frame.type(index) == .table else {
    throw LuaError("expected a list, got \(frame.typeName(index))")
  }
  let count = frame.length(index)
  guard count <= 1 << 24 else {
    throw LuaError("expected a list of at most \(1 << 24) elements, got \(count)")
  }
  return count
}

/// The integers of a list.
package func integers(_ frame: LuaFrame, _ index: Int, _ what: String) throws -> [Int64] {
  var out: [Int64] = []
  let count = try listCount(frame, index)
  out.reserveCapacity(count)
  for position in 0..<count {
    frame.pushElement(index, position + 1)
    defer { frame.pop() }
    guard let integer = frame.integerIfAny(-1) else {
      throw LuaError("element \(position + 1): expected a \(what), got \(frame.typeName(-1))")
    }
    out.append(integer)
  }
  return out
}

/// First and last pfn at `index` and after it, as a range; one pfn where there is no last.
func pfnRange(_ frame: LuaFrame, _ index: Int) throws -> Range<UInt64> {
  let limit = Int64(PageSet.limit) - 1
  let first = UInt64(try frame.integer(index, in: 0...limit))
  let last =
    frame.isMissing(index + 1) ? first : UInt64(try frame.integer(index + 1, in: 0...limit))
  guard first <= last else {
    throw LuaError("expected the first pfn before the last, got \(first.hex()) and \(last.hex())")
  }
  return first..<last + 1
}

/// A page type by its name.
func pageType(_ frame: LuaFrame, _ index: Int) throws -> PageType {
  let name = try frame.string(index)
  guard let type = PageType(name: name) else {
    throw LuaError(
      "no page type '\(name)'" + didYouMean(name, among: PageType.names.filter { !$0.isEmpty }))
  }
  return type
}
