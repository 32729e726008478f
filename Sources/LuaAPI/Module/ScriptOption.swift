// The options that a script declares: reading them and explaining them.

internal import Format
package import LuaRuntime
internal import Terminal

/// One option of a script.
package struct ScriptOption {
  package enum Kind: String, CaseIterable { case flag, string, integer, number, list }
  package var name = ""
  package var kind = Kind.string
  package var help = ""
  package var short = ""
  var placeholder = ""
  var choices: [String] = []
  var fallback = LuaValue.none
  var isRequired = false

  /// The field of xs.opts: "dry-run" is xs.opts.dry_run.
  package var field: String { name.replacing("-", with: "_") }

  package static let keys = [
    "name", "type", "help", "short", "placeholder", "choices", "default", "required",
  ]

  package init(_ value: LuaValue) throws {
    guard case .table(let fields) = value else {
      throw LuaError(
        "options: expected a list of tables such as { name = \"json\", help = \"...\" }")
    }
    for (key, value) in fields {
      switch (key, value) {
      case ("name", .string(let text)): name = String(decoding: text, as: UTF8.self)
      case ("help", .string(let text)): help = String(decoding: text, as: UTF8.self)
      case ("short", .string(let text)): short = String(decoding: text, as: UTF8.self)
      case ("placeholder", .string(let text)): placeholder = String(decoding: text, as: UTF8.self)
      case ("type", .string(let text)):
        let word = String(decoding: text, as: UTF8.self)
        guard let kind = Kind(rawValue: word) else {
          throw LuaError(
            "options: no type '\(word)'" + didYouMean(word, among: Kind.allCases.map(\.rawValue)))
        }
        self.kind = kind
      case ("choices", .list(let list)):
        choices = list.compactMap {
          if case .string(let text) = $0 { String(decoding: text, as: UTF8.self) } else { nil }
        }
      case ("default", let value): fallback = value
      case ("required", .boolean(let flag)): isRequired = flag
      default:
        throw LuaError(
          "options: an option has no '\(key)' of this type"
            + didYouMean(key, among: ScriptOption.keys))
      }
    }
    guard !name.isEmpty else { throw LuaError("options: an option needs a name") }
  }

  /// "-j, --json", "--port=N".
  package var usage: String {
    let value = kind == .flag ? "" : "=" + (placeholder.isEmpty ? kind.placeholder : placeholder)
    return (short.isEmpty ? "    " : "-\(short), ") + "--\(name)\(value)"
  }

  /// The value that a word of the command line means.
  package func value(_ word: String) throws -> LuaValue {
    func wrong(_ expected: String) -> LuaError {
      LuaError("--\(name): expected \(expected), got '\(word)'", code: "usage")
    }
    if !choices.isEmpty, !choices.contains(word) {
      throw LuaError(
        "--\(name): expected \(choices.joined(separator: ", ")), got '\(word)'"
          + didYouMean(word, among: choices), code: "usage")
    }
    switch kind {
    case .integer:
      let value =
        word.hasPrefix("0x")
        ? UInt64(word.dropFirst(2), radix: 16).map(Int64.init(bitPattern:)) : Int64(word)
      guard let value else { throw wrong("an integer") }
      return .integer(value)
    case .number:
      guard let value = Double(word) else { throw wrong("a number") }
      return .number(value)
    default: return .text(word)
    }
  }
}

extension ScriptOption.Kind {
  fileprivate var placeholder: String {
    switch self {
    case .flag: ""
    case .string, .list: "TEXT"
    case .integer, .number: "N"
    }
  }
}

/// Reads the words of a script by its declared options.
struct ScriptOptionParser {
  let options: [ScriptOption]
  private(set) var values: [String: LuaValue] = [:]
  /// Words that are no options.
  private(set) var rest: [String] = []
  private(set) var wantsHelp = false

  init(_ options: [ScriptOption], _ words: [String]) throws {
    self.options = options
    var words = words[...]
    while let word = words.popFirst() {
      if word == "--" {
        rest += words
        break
      }
      guard word.hasPrefix("-"), word != "-", Double(word) == nil else {
        rest.append(word)
        continue
      }
      if word == "--help" || word == "-h" {
        wantsHelp = true
        continue
      }
      try take(word, &words)
    }
    for option in options where values[option.field] == nil {
      if option.isRequired, !wantsHelp {
        throw LuaError("expected --\(option.name) (--help explains)", code: "usage")
      }
      values[option.field] =
        option.kind == .flag && option.fallback == .none
        ? .boolean(false) : option.fallback
    }
  }

  private mutating func take(_ word: String, _ words: inout ArraySlice<String>) throws {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let given = String(parts[0])
    guard let option = options.first(where: { given == "--\($0.name)" || given == "-\($0.short)" })
    else {
      let names = options.map { "--\($0.name)" } + ["--help"]
      throw LuaError(
        "unknown option '\(given)'\(didYouMean(given, among: names)) (--help lists them)",
        code: "usage")
    }
    if option.kind == .flag {
      guard parts.count == 1 else {
        throw LuaError("--\(option.name): expected no value", code: "usage")
      }
      values[option.field] = .boolean(true)
      return
    }
    guard let text = parts.count > 1 ? String(parts[1]) : words.popFirst() else {
      throw LuaError("--\(option.name): expected a value", code: "usage")
    }
    let value = try option.value(text)
    guard option.kind == .list else {
      values[option.field] = value
      return
    }
    var list: [LuaValue] = []
    if case .list(let before)? = values[option.field] { list = before }
    values[option.field] = .list(list + [value])
  }

  /// The text of --help: the script's own first comment, then the options.
  func help(_ header: String) -> String {
    var lines = options.map {
      ($0.usage, $0.help + ($0.fallback.isPlain ? " (default \($0.fallback.shown))" : ""))
    }
    lines.append(("-h, --help", "Say this."))
    let column = (lines.map(\.0.count).max() ?? 0) + 4
    var out = header.isEmpty ? "" : header + "\n"
    out += "Options:\n"
    for (usage, help) in lines {
      out += "  " + usage
      let text = wrapped(help, indent: column, width: 80)
      out += String(repeating: " ", count: column - 2 - usage.count)
      out += String(text.dropFirst(min(column, text.count)))
      if text.trimmed.isEmpty { out += "\n" }
    }
    return out
  }
}

extension LuaValue {
  fileprivate var isPlain: Bool {
    switch self {
    case .integer, .number, .string: true
    default: false
    }
  }
  fileprivate var shown: String {
    switch self {
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let text): String(decoding: text, as: UTF8.self)
    default: ""
    }
  }
}

extension ScriptOptionParser {
  mutating func merge(_ name: String, _ isSet: Bool) {
    if isSet, options.contains(where: { $0.name == name && $0.kind == .flag }) {
      values[name] = .boolean(true)
    }
  }
}
