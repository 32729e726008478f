// The manual page of a shipped script: its first comment and the options that it declares.

internal import LuaAPI
internal import LuaRuntime
internal import REPL
internal import Reports
internal import ScriptHost
internal import SystemIO
internal import Terminal

/// What a script says of itself.
struct ScriptManual {
  let name: String
  /// The paragraphs of its first comment.
  private let paragraphs: [String]
  private let options: [ScriptOption]

  /// Runs the script as for its --help.
  init(path: String) throws {
    let options = try ScriptOptions([path, "--help"])
    let file = path.split(separator: "/").last.map(String.init) ?? path
    name = file.hasSuffix(".lua") ? String(file.dropLast(4)) : file
    let source = try Source(opening: path)
    let bytes = try source.read(Int(clamping: min(source.byteCount ?? 0, 64 << 10)))
    let header = ScriptHeader(String(decoding: bytes, as: UTF8.self)).text
    paragraphs = header.split(separator: "\n\n").map { String($0).droppingLineBreak }
    self.options = try ScriptManual.declared(options)
  }

  private static func declared(_ options: ScriptOptions) throws -> [ScriptOption] {
    let runner = ScriptRunner(options: options)
    let shell = try runner.makeShell()
    defer { shell.state.close() }
    var found: [ScriptOption]?
    shell.onHelp = { found = $0 }
    do {
      try shell.prepare(options, nil)
      try runner.load(options.chunks[0], shell)
      try shell.state.call(0)
    } catch let error as LuaError {
      if found == nil { throw error }
    }
    // A policy declares its options in its own table, and says in its comment what they are.
    return found ?? []
  }

  /// "rename - change the name": what stands after the dash.
  private var summary: String {
    guard let first = paragraphs.first else { return "" }
    return first.firstRange(of: " - ").map { String(first[$0.upperBound...]) } ?? first
  }

  var page: String {
    var page = ManualPage("XENSAVE-LUA-" + name.uppercased(), 1)
    page.section("NAME")
    page.text("xensave-lua-\(name) - \(summary)")
    var inScript: [String] = []
    var description: [String] = []
    for paragraph in paragraphs.dropFirst() {
      if paragraph.hasPrefix("usage:") {
        page.section("SYNOPSIS")
        page.helpLine(paragraph.dropFirst("usage:".count).trimmed)
        page.endHelp()
      } else if paragraph.hasPrefix("In a script:") {
        inScript.append(paragraph.dropFirst("In a script:".count).trimmed)
      } else {
        description.append(paragraph)
      }
    }
    page.section("DESCRIPTION")
    page.text(description.joined(separator: "\n\n"))
    if !options.isEmpty {
      page.section("OPTIONS")
      for option in options { page.item(option.usage.trimmed, option.help) }
      page.item("-h, --help", "Print this manual in short.")
      page.text(
        "The options of every script (-o, --in-place, --dry-run and so on): xensave-lua(1).")
    }
    if !inScript.isEmpty {
      page.section("IN A SCRIPT")
      for text in inScript { page.helpLine(text) }
      page.endHelp()
    }
    page.section("SEE ALSO")
    page.text("xensave-lua(1), xensave-lua-api(7)")
    return page.out
  }
}
