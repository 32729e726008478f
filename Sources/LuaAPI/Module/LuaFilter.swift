// A Lua function or table as the filter of a rewrite.

internal import SystemIO
internal import Bytes
package import Format
package import ImageEdit
package import LuaRuntime
internal import Pages
internal import Reports
package import Stream

/// Runs a script's filter. A function gets every record; a table has functions by record type, and
/// `record` for all others, `header` (or `xl_header`, `libxl_header`, `image_header`,
/// `domain_header`), `begin` and `finish`.
package final class LuaFilter: RewriteFilter {
  private let frame: LuaFrame
  private let shell: ShellContext
  private var record: LuaReference?
  private var byType: [String: LuaReference] = [:]
  private var hooks: [String: LuaReference] = [:]
  /// What may not be done to pages.
  private let guards = PageGuard()
  /// What messages call it: the table's `name`, or "filter".
  package private(set) var name = "filter"
  /// Hooks that were called with a part of the image.
  private var calls = 0
  private var headersSeen: [String] = []

  static let hookNames =
    ["begin", "finish", "header"] + HeaderKind.allCases.map { "\($0.rawValue)_header" }
  /// Records that one may become.
  static let resultLimit = 4096
  /// Keys of a filter table that are not called.
  static let plainNames = ["name", "description", "opts", "on_error"]

  /// The filter at `index`; anything that is no filter is a mistake of the script.
  package init(_ frame: LuaFrame, _ index: Int, _ shell: ShellContext) throws {
    self.frame = frame
    self.shell = shell
    switch frame.type(index) {
    case .function: record = frame.reference(index)
    case .table: try readTable(index)
    default:
      throw LuaError("expected a filter (a function or a table), got \(frame.typeName(index))")
    }
  }

  /// Whether the value at `index` could be a filter.
  package static func isFilter(_ frame: LuaFrame, _ index: Int) -> Bool {
    frame.type(index) == .function || frame.type(index) == .table
      || frame.objectIfAny(index, as: LuaChain.self) != nil
  }

  private func readTable(_ index: Int) throws {
    for (key, type) in try frame.fieldNames(index) {
      if LuaFilter.plainNames.contains(key) {
        if key == "name", frame.pushField(index, key) == .string {
          name = frame.beginning(-1, 200) ?? name
          frame.pop()
        } else if key == "name" {
          frame.pop()
        }
        continue
      }
      let isType = RecordSchemas.named(key) != nil || UInt32(hexadecimal: key) != nil
      guard isType || key == "record" || LuaFilter.hookNames.contains(key) else {
        let names = RecordSchemas.names + LuaFilter.hookNames + ["record"] + LuaFilter.plainNames
        throw LuaError("a filter has no hook '\(key)'" + didYouMean(key, among: names))
      }
      guard type == .function else {
        throw LuaError("\(key) of a filter: expected a function, got \(type.name)")
      }
      frame.pushField(index, key)
      let reference = frame.reference(-1)
      frame.pop()
      if key == "record" {
        record = reference
      } else if isType {
        byType[key] = reference
      } else {
        hooks[key] = reference
      }
    }
  }

  // MARK: - RewriteFilter

  package func isOfHeadersOnly(in container: Container) -> Bool {
    // xenopsd's records are in no other image than its own.
    record == nil
      && byType.keys.allSatisfy {
        container != .xenopsd && RecordSchemas.named($0)?.type.layer == .xenopsd
      }
  }

  package func begin() throws { try callHook("begin") }
  package func finish() throws {
    try callHook("finish")
    if shell.refusesIdleFilters { try checkCalls() }
  }

  /// A filter that has found nothing of what it is for has not done its work: for headers, which only
  /// some images have, that is an error. Which records there are depends on the guest.
  private func checkCalls() throws {
    guard calls == 0, record == nil, hooks["header"] == nil else { return }
    let wanted = (hooks.keys.filter { $0.hasSuffix("_header") } + byType.keys).sorted()
    guard !wanted.isEmpty else { return }
    let seen = headersSeen.joined(separator: ", ")
    let problem =
      "the image has nothing that the filter is for (\(wanted.joined(separator: ", ")); its headers: "
      + "\(seen)), so nothing would change"
    let isOfContainer = wanted.contains {
      $0.hasSuffix("_header") || $0 == RecordSchemas.of(.xenops)?.name
    }
    guard isOfContainer else { return shell.log(.warning, "\(name): \(problem)") }
    throw XensaveError(.script, "\(name): \(problem)", underlying: LuaError(problem))
  }

  package func header(_ header: inout Header) throws {
    if headersSeen.count < HeaderKind.allCases.count {
      headersSeen.append("\(header.kind.rawValue)_header")
    }
    for hook in ["header", "\(header.kind.rawValue)_header"] {
      guard let function = hooks[hook] else { continue }
      calls += 1
      let object = LuaHeader(header)
      defer { object.invalidate() }
      try calling(header.kind.title) {
        frame.push(function)
        frame.push(object: object)
        try frame.state.call(frame, 1, results: 1)
        defer { frame.pop() }
        guard frame.isMissing(-1) else {
          throw LuaError(
            "\(hook): a header can be changed, not replaced: expected no result, "
              + "got \(frame.typeName(-1))")
        }
      }
      header = object.header
    }
    guards.observe(header)
  }

  package func record(_ editable: EditableRecord) throws -> FilterResult {
    try guards.observe(editable.record)
    guard let function = byType[editable.type.name] ?? record else { return .keep }
    calls += 1
    let object = LuaRecord(editable, guards)
    defer { object.pages.end() }
    return try calling("\(editable.record.place) at \(editable.record.offset.hex())") {

      let before = frame.count
      shell.made.removeAll()
      shell.makingOrder = editable.record.context.order
      defer { shell.makingOrder = .little }
      frame.push(function)
      frame.push(object: object)
      try frame.state.call(frame, 1, results: -1)
      defer { frame.pop(frame.count - before) }
      return try result(from: before + 1, for: object)
    }
  }

  /// The rule of returns: nothing keeps, false drops, records replace.
  private func result(from first: Int, for object: LuaRecord) throws -> FilterResult {
    let count = frame.count - first + 1
    if count == 0 || (count == 1 && frame.isMissing(first)) {
      if let forgotten = shell.made.first {
        shell.log(
          .warning,
          "\(object.record.place): \(forgotten) was made but not returned, so it is not written")
      }
      return .keep
    }
    if count == 1, frame.type(first) == .boolean {
      if frame.boolean(first) {
        throw LuaError("a filter returns nothing, false or records; got true")
      }
      return .drop
    }
    if count == 1, let word = frame.beginning(first, 100) {
      switch word {
      case "keep": return .keep
      case "drop": return .drop
      case "stop": return .stop
      default:
        throw LuaError(
          "unknown action '\(word)'" + didYouMean(word, among: ["keep", "drop", "stop"]))
      }
    }
    guard count <= LuaFilter.resultLimit else {
      throw LuaError(
        "a filter returns at most \(LuaFilter.resultLimit) records, got \(count) values")
    }
    var records: [EditableRecord] = []
    for index in first..<first + count {
      guard let record: LuaRecord = frame.objectIfAny(index) else {
        throw LuaError("a filter returns nothing, false or records; got \(frame.typeName(index))")
      }
      records.append(record.editable)
    }
    return .replace(records)
  }

  private func callHook(_ name: String) throws {
    guard let function = hooks[name] else { return }
    try calling(name) {
      frame.push(function)
      try frame.state.call(frame, 0)
    }
  }

  private func calling<R>(
    _ place: @autoclosure () -> String, _ body: () throws -> R
  ) throws -> R {
    do { return try body() } catch {
      let error = LuaError(raising: error)
      throw error.kind == .interrupted
        ? XensaveError(.interrupted, "interrupted", underlying: error)
        : XensaveError(.script, "\(place()): \(error.message)", underlying: error)
    }
  }
}

extension UInt32 {
  /// The number of "0x8000001f".
  package init?(hexadecimal text: String) {
    guard text.hasPrefix("0x") else { return nil }
    self.init(text.dropFirst(2), radix: 16)
  }
}
