// Functions of the module for scripts: composing filters, printing, sorting, files, help.

internal import Bytes
internal import Format
package import LuaRuntime
internal import Reports
internal import SystemIO
internal import Terminal

extension ShellContext {
  var scriptFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "chain", "(filter: Filter, ...): Filter",
        "One filter out of several: each sees what the one before it has written, records that it "
          + "inserted too.",
        example: "return xs.chain(strip { \"TOOLSTACK\" }, rename \"web1\")"
      ) { frame in
        guard frame.count > 0 else { throw frame.argumentError(1, "expected a filter") }
        var filters: [LuaReference] = []
        for index in 1...frame.count {
          guard LuaFilter.isFilter(frame, index) else {
            throw frame.argumentError(index, "expected a filter")
          }
          filters.append(frame.reference(index))
        }
        frame.push(object: try LuaChain(filters, frame))
        return 1
      },
      LuaModuleFunction(
        "xs", "is_main", "(): boolean",
        "Whether the file that calls it is the script that was started, and not a module that "
          + "`require` loads: a file can then be both.",
        example: "if not xs.is_main() then return M end"
      ) { frame in
        frame.push(try isMain(frame))
        return 1
      },
      LuaModuleFunction(
        "xs", "uuid", "(): string", "A random UUID (version 4).",
        example: "img.config.c_info.uuid = xs.uuid()"
      ) { frame in
        var bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let parts = [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { Array(bytes[$0]).hexDigits }
        frame.push(parts.joined(separator: "-"))
        return 1
      },
      LuaModuleFunction(
        "xs", "mac", "(): string",
        "A random MAC address of those that Xen has for virtual cards (00:16:3e:...).",
        example: "img.config.nics[1].mac = xs.mac()"
      ) { frame in
        // As libxl makes them. Xen: tools/libs/light/libxl_nic.c, libxl__device_nic_setdefault.
        let bytes: [UInt8] = [
          0, 0x16, 0x3E, .random(in: 0...0x7F), .random(in: 0...255), .random(in: 0...255),
        ]
        frame.push(bytes.map { [$0].hexDigits }.joined(separator: ":"))
        return 1
      },
      LuaModuleFunction(
        "xs", "glob", "(pattern: string): string[]?, Error?",
        "The paths that match a pattern of the shell, sorted; folders end in \"/\". Of s3:// the objects "
          + "that match, or all whose names begin with a prefix that ends in \"/\"; nil and an error "
          + "where the store does not say.",
        example: "for _, path in ipairs(xs.glob \"/var/lib/xen/*.save\") do print(path) end"
      ) { frame in
        let pattern = try frame.string(1)
        if RemoteFiles.isPattern(pattern) {
          do {
            frame.push(LuaValue.list(try RemoteFiles.matches(pattern).map { .text($0) }))
          } catch { return try frame.fail(error) }
          return 1
        }
        frame.push(LuaValue.list(FileSystem.matches(pattern).map { .text($0) }))
        return 1
      },
      LuaModuleFunction(
        "xs", "help", "(topic?: any)",
        "Explains a value, or what is called so: a function, class, record type or field. The "
          + "same as help in a session.",
        example: "xs.help \"HVM_PARAMS\""
      ) { [unowned self] frame in
        try explainer?.help(self, frame) ?? 0
      },
      LuaModuleFunction(
        "xs", "apropos", "(word: string)",
        "Lists functions, record types and fields whose name or description has the word in it.",
        example: "xs.apropos \"tsc\""
      ) { [unowned self] frame in
        try explainer?.apropos(self, frame) ?? 0
      },
    ] + printingFunctions
  }

  private var printingFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "repr", "(value: any, options?: table): string",
        "A value as a session prints it: tables with their entries, records as their fields. "
          + "Options: depth, width, items.",
        example: "print(xs.repr(rec:fields()))"
      ) { [unowned self] frame in
        var limits = ValueLimits()
        if frame.type(2) == .table {
          for (name, _) in try frame.fieldNames(2) {
            frame.pushField(2, name)
            defer { frame.pop() }
            let limit = try frame.integer(frame.count, in: 1...1_000_000)
            switch name {
            case "depth": limits.depth = limit
            case "width": limits.width = limit
            case "items": limits.items = limit
            default:
              throw LuaError(
                "repr has no option '\(name)'"
                  + didYouMean(name, among: ["depth", "width", "items"]))
            }
          }
        }
        frame.push(frame.count > 0 ? explainer?.text(frame, 1, limits) ?? "" : "nil")
        return 1
      },
      LuaModuleFunction(
        "xs", "table", "(rows: any[][], options?: table)",
        "Prints rows in columns; numbers stand on the right. Options: header, a row of titles; format, "
          + "\"text\" or \"csv\" (comma-separated values, RFC 4180).",
        example:
          "xs.table({ { \"kept\", 14 }, { \"dropped\", 1 } }, { header = { \"what\", \"n\" } })"
      ) { [unowned self] frame in
        try self.write(try columns(frame))
        return 0
      },
      LuaModuleFunction(
        "xs", "sorted", "(t: table): fun(): any, any",
        "Iterates over a table in the order of its keys: numbers, then names.",
        example: "for name, value in xs.sorted(params) do print(name, value) end"
      ) { frame in
        guard frame.type(1) == .table else { throw frame.argumentError(1, "expected a table") }
        var keys: [LuaFrame.Key] = []
        frame.forEachEntry(1) { key in
          if case .other = key { return true }
          keys.append(key)
          return true
        }
        keys.sort { $0.isBefore($1) }
        let table = frame.reference(1)
        var next = 0
        frame.push(function: "sorted") { frame in
          guard next < keys.count else {
            frame.pushNil()
            return 1
          }
          let key = keys[next].value
          next += 1
          frame.push(table)
          frame.pushRaw(-1, key)
          frame.push(key)
          frame.swapTop()
          return 2
        }
        return 1
      },
    ]
  }
}

extension LuaFrame.Key {
  /// The key as a value; none for keys that are no plain data.
  package var value: LuaValue {
    switch self {
    case .integer(let value): .integer(value)
    case .name(let bytes): .string(bytes)
    case .boolean(let flag): .boolean(flag)
    case .other: .none
    }
  }

  private var rank: Int {
    switch self {
    case .integer: 0
    case .name: 1
    case .boolean: 2
    case .other: 3
    }
  }

  package func isBefore(_ other: LuaFrame.Key) -> Bool {
    switch (self, other) {
    case (.integer(let a), .integer(let b)): a < b
    case (.name(let a), .name(let b)): a.lexicographicallyPrecedes(b)
    default: rank < other.rank
    }
  }
}

/// Whether the chunk that called the function of `frame` is the script: arg[0].
private func isMain(_ frame: LuaFrame) throws -> Bool {
  let base = frame.count
  defer { frame.pop(frame.count - base) }
  frame.pushGlobal("arg")
  guard frame.type(-1) == .table, frame.pushElement(-1, 0) == .string else { return true }
  let script = frame.stringIfAny(-1) ?? ""
  guard frame.pushLoaded("debug") == .table, frame.pushField(-1, "getinfo") == .function else {
    return true
  }
  // Level 0 is getinfo, 1 is_main, 2 its caller.
  frame.push(2)
  frame.push("S")
  try frame.state.call(frame, 2, results: 1)
  guard frame.type(-1) == .table, frame.pushField(-1, "source") == .string else { return true }
  let source = frame.stringIfAny(-1) ?? ""
  return source == "@" + script || !source.hasPrefix("@")
}

/// Rows as columns, or as comma-separated values.
private func columns(_ frame: LuaFrame) throws -> String {
  guard frame.type(1) == .table else { throw frame.argumentError(1, "expected a table of rows") }
  var rows: [[(text: String, isNumber: Bool)]] = []
  func add(_ index: Int) throws {
    var row: [(text: String, isNumber: Bool)] = []
    for position in 1..<(try listCount(frame, index)) + 1 {
      frame.pushElement(index, position)
      row.append((frame.text(-1), frame.type(-1) == .number))
      frame.pop()
    }
    rows.append(row)
  }
  var isCSV = false
  if frame.type(2) == .table {
    for (name, _) in try frame.fieldNames(2) where !["header", "format"].contains(name) {
      throw LuaError(
        "table has no option '\(name)'" + didYouMean(name, among: ["header", "format"]))
    }
    if frame.pushField(2, "header") == .table { try add(frame.count) }
    frame.pop()
    if frame.pushField(2, "format") != .nil {
      let format = frame.text(-1)
      guard ["text", "csv"].contains(format) else {
        throw LuaError("format: expected 'text' or 'csv', got '\(escapeForDisplay(format))'")
      }
      isCSV = format == "csv"
    }
    frame.pop()
  }
  for position in 1..<(try listCount(frame, 1)) + 1 {
    guard frame.pushElement(1, position) == .table else {
      frame.pop()
      throw LuaError("row \(position): expected a table")
    }
    try add(frame.count)
    frame.pop()
  }
  if isCSV { return commaSeparated(rows.map { $0.map(\.text) }) }
  rows = rows.map { $0.map { (escapeForDisplay($0.text), $0.isNumber) } }
  let count = rows.map(\.count).max() ?? 0
  let widths = (0..<count).map { column in
    rows.map { column < $0.count ? displayWidth($0[column].text) : 0 }.max() ?? 0
  }
  var out = ""
  for row in rows {
    var line = ""
    for (column, cell) in row.enumerated() {
      let gap = String(repeating: " ", count: widths[column] - displayWidth(cell.text))
      line += cell.isNumber ? gap + cell.text : cell.text + gap
      if column + 1 < row.count { line += "  " }
    }
    while line.hasSuffix(" ") { line.removeLast() }
    out += line + "\n"
  }
  return out
}
