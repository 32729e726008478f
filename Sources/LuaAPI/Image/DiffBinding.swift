// Differences between two images as Lua sees them.

internal import Bytes
internal import Format
internal import ImageEdit
internal import JSON
internal import Jobs
internal import LuaRuntime
internal import Pages
internal import Stream
internal import SystemIO

extension ShellContext {
  var diffFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "diff", "(a: Image|string, b: Image|string, options?: table): fun(): table",
        "Iterates over the differences between two images in files, changes by the script included. "
          + "Each is a table with kind: \"field\" (path, a, b: values, nil where there is none), "
          + "\"record\" (a or b: the name of a record or header that only one image has) or "
          + "\"pages\" (first, last, count, how: \"contents\", \"type\" with a and b, "
          + "\"only_in_first\", \"only_in_second\"). Options: pages = true compares pages too; "
          + "context = N adds a list, context, of N records of the first image around the place.",
        example: "for d in xs.diff(a, b, { pages = true }) do print(d.kind, d.path) end"
      ) { frame in
        let (one, other) = (try image(frame, 1), try image(frame, 2))
        let options = try DiffOptions(frame, 3)
        let found = try differences(one, other, options)
        var next = 0
        frame.push(function: "diff") { frame in
          guard next < found.count else {
            frame.pushNil()
            return 1
          }
          frame.push(found[next])
          next += 1
          return 1
        }
        return 1
      }
    ]
  }
}

private struct DiffOptions {
  var comparesPages = false
  var context = 0

  init(_ frame: LuaFrame, _ index: Int) throws {
    guard !frame.isMissing(index) else { return }
    guard frame.type(index) == .table else {
      throw frame.argumentError(index, "expected a table of options")
    }
    for (name, _) in try frame.fieldNames(index) {
      frame.pushField(index, name)
      defer { frame.pop() }
      switch name {
      case "pages": comparesPages = frame.boolean(-1)
      case "context": context = try frame.integer(frame.count, in: 0...1000)
      default:
        throw LuaError(
          "diff has no option '\(name)'" + didYouMean(name, among: ["pages", "context"]))
      }
    }
  }
}

/// The image of an argument: one that is open, or a path.
private func image(_ frame: LuaFrame, _ index: Int) throws -> ImageDocument {
  if let open: LuaImage = frame.objectIfAny(index) { return try open.document() }
  let path = try frame.string(index)
  let source = try Source(image: path)
  return try LuaImage(source).document()
}

private func differences(
  _ one: ImageDocument, _ other: ImageDocument, _ options: DiffOptions
) throws -> [LuaValue] {
  var out: [LuaValue] = []
  do {
    try ImageDiff(one, other).run { difference in
      var fields = members(of: difference)
      if options.context > 0 {
        fields.append(("context", .list(context(of: difference, in: one, options.context))))
      }
      out.append(.table(fields))
    }
    guard options.comparesPages else { return out }
    for run in try pageDifferences(one.source, other.source) {
      out.append(.table(members(of: run)))
    }
  } catch let error as XensaveError {
    throw LuaError(error.description, code: error.word)
  } catch {
    throw error as? LuaError ?? LuaError("\(error)")
  }
  return out
}

private func members(of difference: Difference) -> [(name: String, value: LuaValue)] {
  let isRecord = difference.isWholeRecord
  var fields: [(name: String, value: LuaValue)] = [
    ("kind", .text(isRecord ? "record" : "field")), ("path", .text(difference.path)),
  ]
  if difference.kind != .added {
    let value = isRecord ? .text(difference.path) : value(difference, isBefore: true)
    fields.append(("a", value))
    if difference.recordA > 0 { fields.append(("record_a", .integer(Int64(difference.recordA)))) }
  }
  if difference.kind != .missing {
    let value = isRecord ? .text(difference.path) : value(difference, isBefore: false)
    fields.append(("b", value))
    if difference.recordB > 0 { fields.append(("record_b", .integer(Int64(difference.recordB)))) }
  }
  return fields
}

private func value(_ difference: Difference, isBefore: Bool) -> LuaValue {
  let text = isBefore ? difference.before : difference.after
  // Configurations are compared as JSON.
  if difference.path == "config" || difference.path.hasPrefix("config.") {
    return (try? JSONDocument(text)).map { luaValue($0.root) } ?? .text(text)
  }
  guard let field = isBefore ? difference.valueBefore : difference.value else {
    return .text(text)
  }
  if case .unsigned(let value) = field, let row = difference.slot?.field, row.isEnumeration,
    let name = row.names[value]
  {
    return .text(name)
  }
  return luaValue(field)
}

private func members(of run: PageDifference) -> [(name: String, value: LuaValue)] {
  var fields: [(name: String, value: LuaValue)] = [
    ("kind", .text("pages")), ("how", .text(run.kind.rawValue)), ("first", .unsigned(run.first)),
    ("last", .unsigned(run.last)), ("count", .unsigned(run.pageCount)),
  ]
  if let a = run.types.first, let b = run.types.last {
    fields += [("a", .text(a.name)), ("b", .text(b.name))]
  }
  return fields
}

/// The records of the first image around a difference; none for headers.
private func context(
  of difference: Difference, in image: ImageDocument, _ count: Int
) -> [LuaValue] {
  let recordIndex = max(difference.recordA, difference.anchor)
  guard recordIndex > 0 else { return [] }
  let first = max(1, recordIndex - count)
  let last = min(image.index.entries.count, recordIndex + count)
  return (first...last).map { .text("record \($0) (\(image.index.entries[$0 - 1].type.name))") }
}
