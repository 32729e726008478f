// Sets of pages in Lua.

internal import Bytes
internal import LuaRuntime
internal import Pages

/// A set of pfns in a script's hands. Immutable.
final class LuaPageSet {
  let set: PageSet
  init(_ set: PageSet) { self.set = set }

  /// Its size and first ranges.
  var overview: String {
    let some = set.ranges.prefix(8).map { range in
      range.lowerBound + 1 == range.upperBound
        ? range.lowerBound.hex() : "\(range.lowerBound.hex())..\((range.upperBound - 1).hex())"
    }
    let text = some.joined(separator: ", ") + (set.ranges.count > 8 ? ", ..." : "")
    return "\(set.count.grouped) pages {\(text)}"
  }

  static var table: LuaClass<LuaPageSet> {
    var table = LuaClass<LuaPageSet>(
      "PageSet",
      "A set of page numbers. Combine with & | - and ~ (all others); # counts. Wherever a selector "
        + "is expected, a set may stand.",
      [
        .method("has", "(pfn: integer): boolean", "Whether a page is in it.") {
          set, frame in
          let pfn = try frame.integer(2)
          frame.push(pfn >= 0 && set.set.contains(UInt64(pfn)))
          return 1
        },
        .method(
          "ranges", "(): fun(): integer, integer",
          "Iterates over its ranges, ascending: the first and the last page of each.",
          example: "for first, last in set:ranges() do print(xs.hex(first), xs.hex(last)) end"
        ) { set, frame in
          let ranges = set.set.ranges
          var next = 0
          frame.push(function: "ranges") { frame in
            guard next < ranges.count else {
              frame.pushNil()
              return 1
            }
            frame.push(ranges[next].lowerBound)
            frame.push(ranges[next].upperBound - 1)
            next += 1
            return 2
          }
          return 1
        },
        .method(
          "each", "(): fun(): integer", "Iterates over its pages, ascending.",
          example: "for pfn in set:each() do print(pfn) end"
        ) { set, frame in
          let ranges = set.set.ranges
          var index = 0
          var pfn: UInt64 = ranges.first?.lowerBound ?? 0
          frame.push(function: "each") { frame in
            guard index < ranges.count else {
              frame.pushNil()
              return 1
            }
            frame.push(pfn)
            pfn += 1
            if pfn == ranges[index].upperBound {
              index += 1
              if index < ranges.count { pfn = ranges[index].lowerBound }
            }
            return 1
          }
          return 1
        },
        .method("first", "(): integer?", "The lowest page, or nil of an empty set.") {
          set, frame in
          if let range = set.set.ranges.first {
            frame.push(range.lowerBound)
          } else {
            frame.pushNil()
          }
          return 1
        },
        .method("last", "(): integer?", "The highest page, or nil of an empty set.") {
          set, frame in
          if let range = set.set.ranges.last {
            frame.push(range.upperBound - 1)
          } else {
            frame.pushNil()
          }
          return 1
        },
        .method(
          "save", "(path: string): string?, Error?",
          "Writes a file of lines \"0x100\" or \"0x100..0x1ff\", which P.load reads. Gives the path."
        ) { set, frame in
          let path = try frame.string(2)
          do { try set.set.save(to: path) } catch {
            return try frame.fail(error)
          }
          frame.push(path)
          return 1
        },
      ])
    table.weight = { $0.set.ranges.count * MemoryLayout<Range<UInt64>>.stride }
    table.length = { set, frame in
      frame.push(set.set.count)
      return 1
    }
    table.toString = { $0.overview }
    table.equal = { $0.set == $1.set }
    table.operators = [
      ("__band", operation("__band") { a, b in a.intersection(b) }),
      ("__bor", operation("__bor") { a, b in a.union(b) }),
      ("__sub", operation("__sub") { a, b in a.subtracting(b) }),
      (
        "__bnot",
        { frame in
          let set = try frame.object(1, as: LuaPageSet.self)
          frame.push(
            object: LuaPageSet(PageSet(0..<PageSet.limit).subtracting(set.set)))
          return 1
        }
      ),
    ]
    return table
  }

  /// An operator of two sets; with a selector on one side, that of selectors.
  private static func operation(
    _ name: String, _ join: @escaping (PageSet, PageSet) -> PageSet
  ) -> LuaFunction {
    { frame in
      if let a: LuaPageSet = frame.objectIfAny(1), let b: LuaPageSet = frame.objectIfAny(2) {
        frame.push(object: LuaPageSet(join(a.set, b.set)))
        return 1
      }
      guard let selector = LuaSelector.table.operators.first(where: { $0.name == name }) else {
        return 0
      }
      return try selector.body(frame)
    }
  }
}

extension ShellContext {
  /// Those of xs.pages.
  var pageSetFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs.pages", "set", "(first?: integer|table|string, last?: integer): PageSet",
        "A set: of one page, of those from first to last, of a list of numbers, or of a text of lines "
          + "as set:save writes them. Without arguments it is empty.",
        example: "P.set(0x100, 0x1ff) | P.set { 0x300, 0x302 }"
      ) { frame in
        if frame.isMissing(1) {
          frame.push(object: LuaPageSet(PageSet()))
        } else if frame.type(1) == .number {
          frame.push(object: LuaPageSet(PageSet(try pfnRange(frame, 1))))
        } else {
          frame.push(object: LuaPageSet(try pageSet(frame, 1)))
        }
        return 1
      },
      LuaModuleFunction(
        "xs.pages", "load", "(path: string): PageSet?, Error?",
        "Reads a set from a file that set:save or a person wrote.",
        example: "local free = assert(P.load \"free-pages.txt\")"
      ) { frame in
        let path = try frame.string(1)
        let set: PageSet
        do { set = try PageSet(loading: path) } catch {
          return try frame.fail(error)
        }
        frame.push(object: LuaPageSet(set))
        return 1
      },
    ]
  }
}

/// The set at `index`: a PageSet, a list of pfns, or text.
func pageSet(_ frame: LuaFrame, _ index: Int) throws -> PageSet {
  if let set: LuaPageSet = frame.objectIfAny(index) { return set.set }
  if frame.type(index) == .string, let text = frame.stringIfAny(index) {
    return try PageSet(text: text)
  }
  guard frame.type(index) == .table else {
    throw frame.argumentError(index, "expected a PageSet or a list of pfns")
  }
  let pfns = try integers(frame, index, "pfn")
  guard pfns.allSatisfy({ $0 >= 0 && UInt64($0) < PageSet.limit }) else {
    throw LuaError("expected pfns from 0 to \((PageSet.limit - 1).hex())")
  }
  return PageSet(pfns.map { UInt64($0) })
}
