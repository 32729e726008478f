// Targets over texts that people and programs write: JSON, paths, options, Lua, keys.

import Convert
import Format
import ImageCheck
import ImageEdit
import JSON
import TestKit

@testable import LuaAPI
@testable import LuaRuntime
import Markup
@testable import Pages
@testable import REPL
@testable import ScriptHost
@testable import Terminal

let textTargets: [FuzzTarget] = [
  FuzzTarget(
    "json", limit: 1024,
    seeds: {
      [
        "{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\ud83d\\ude00\"],\"b.c\":{\"d\":{}}}a[1]\u{4}",
        " [ 1 , { } ] [0]\u{3}",
        "{\"c_info\":{\"name\":\"guest\",\"type\":\"pv\"}}c_info.name\u{b}",
      ].map { Array($0.utf8) }
    }, json),
  FuzzTarget(
    "xml", limit: 1024,
    seeds: {
      [
        "<?xml version='1.0'?><domain type='xen'><name>a &amp; b</name><!-- c --><devices>"
          + "<disk/><disk a=\"1\"/></devices></domain>devices.disk[1]@a\u{11}",
        "<a><b><![CDATA[<]]></b><c>\u{e9}</c>\n  <d/>\n</a>d.e\u{3}", "<a x='&#10;'/>@y\u{2}",
      ].map { Array($0.utf8) }
    }, { try markup($0, XMLDocument.self) }),
  FuzzTarget(
    "s-expression", limit: 1024,
    seeds: {
      [
        "((time a)(vm_str\"((name \\\"b c\\\")(ty(HVM((hap true)))))\")(l(1 2 3)))vm_str.name\u{b}",
        "(a ; b\n (c \"\\065\\x42\\n\"))c\u{1}", "((a 1)(a 2))a[1]\u{4}",
      ].map { Array($0.utf8) }
    }, { try markup($0, SExpression.self) }),
  FuzzTarget(
    "config", limit: 1024,
    seeds: {
      [
        "{\"c_info\":{\"name\":\"guest\"},\"b_info\":{\"max_vcpus\":1,\"type.hvm\":{}}}name\u{4}",
        "<domain><name>a</name></domain>name\u{4}", "(vm (a b))\u{0}",
      ].map { Array($0.utf8) }
    }, config),
  FuzzTarget(
    "paths", limit: 256,
    seeds: {
      [
        "record[3].param[1].value", "vcpu[0].rip", "config.c_info.name", "cpuid[7,0].ebx",
        "HVM_CONTEXT.LAPIC[1].apic_base_msr", "0x10..0x1f\n7 # a\n", "4.17", "a[\"b.c\"][0]",
        "48 8b ?? [0-9]+", "hvm_params.STORE_PFN", "msr_policy[0xce]",
      ].map { Array($0.utf8) }
    }, paths),
  FuzzTarget(
    "keys", limit: 192,
    seeds: {
      [
        "abc\u{1b}[A\u{1b}[1;5D\u{12}b\r", "\u{1b}[200~x\ny\u{1b}[201~\u{1b}OH\t\t\u{3}",
        "\u{e9}\u{1F600}e\u{301}\u{1b}b\u{17}\u{1f}\u{1b}[3~\u{c}", "\u{1b}[[A\u{0b}\u{19}\u{1b}y",
      ].map { Array($0.utf8) }
    }, keys),
  FuzzTarget(
    "lua-text", limit: 512,
    seeds: {
      [
        "for i = 1, 10 do print(i .. \"a\\x41\\z  \\u{48}\") end -- x\n",
        "xs.open(\"a\").vcpu[0].r", "img:records('PAGE_DATA')", "s = [==[ a ]=] ]==] --[[ c ]]",
        "xs.pages.parse(\"any\"):expl", "string.for", ".load a", "x = 0x1p-3 + 1e+5 .. 3",
      ].map { Array($0.utf8) }
    }, luaText),
  FuzzTarget(
    "script-options", limit: 512,
    seeds: {
      [
        "--count=3\0--name\0x\0-v\0--list=a\0--list\0b\0rest",
        "-e\0return 1\0-o\0out\0--color\0never",
        "-l\0a=b\0--progress\0none\0--\0x", "--help\0--kind=two\0--ratio=1e3",
      ].map { Array($0.utf8) }
    }, scriptOptions),
  FuzzTarget(
    "history", limit: 512,
    seeds: { ["a\\nb\nc\\\\\n", "x\ny\nx\n"].map { Array($0.utf8) } }, history),
]

// MARK: - JSON

/// Text that is read and written is the same text; what was edited is JSON again and says what was
/// set; what was inserted and removed is gone.
private func json(_ input: [UInt8]) throws {
  let (front, choices) = input.splitting(last: 1)
  let count = min(Int(choices[0] & 31), front.count)
  let text = Array(front.dropLast(count))
  guard let document = try? JSONDocument(text) else { return }
  try demand(document.text == text, "the text has changed")
  let written = document.root.text()
  guard let again = try? JSONValue(parsing: written) else {
    throw Violation("what was written is no JSON: \(written.text)")
  }
  try demand(again.text() == written, "\(written.text) becomes \(again.text().text)")
  let name = Array(front.suffix(count)).text
  guard let path = try? JSONPath(parsing: name) else { return }
  try demand((try? JSONPath(parsing: path.description)) == path, "path \(path) does not read back")
  var edited = document
  if (try? edited.set(path, to: .string(name))) != nil {
    try demand(edited[path] == .string(name), "\(path): set is not what is read")
    try check(edited)
  }
  edited = document
  if (try? edited.insert(.bool(true), at: path)) != nil {
    try check(edited)
    try edited.remove(path)
    guard let back = try? JSONDocument(edited.text) else { throw Violation(edited.text.text) }
    try demand(back.root == document.root, "insert and remove leave \(back.text.text)")
  }
  edited = document
  if (try? edited.remove(path)) != nil { try check(edited) }
}

private func check(_ document: JSONDocument) throws {
  guard let again = try? JSONDocument(document.text) else {
    throw Violation("edited JSON does not parse: \(document.text.text)")
  }
  try demand(again.root == document.root, "edited JSON reads as another value")
}

/// Text of a domain that is read: every place that is listed is found and its path reads back; an edit
/// reads as what was set, and leaves what is before and after it alone.
private func markup<Document: MarkupDocument>(_ input: [UInt8], _: Document.Type) throws {
  let (front, choices) = input.splitting(last: 1)
  let count = min(Int(choices[0] & 31), front.count)
  let text = Array(front.dropLast(count))
  guard let document = try? Document(text) else { return }
  try demand(document.text == text, "the text has changed")
  let leaves = document.leaves(limit: 100)
  for (path, said) in leaves {
    try demand(document.value(at: path)?.text == said, "\(path) leads elsewhere")
    try demand(
      (try? MarkupPath(parsing: path.description)) == path, "path \(path) does not read back")
  }
  let name = Array(front.suffix(count)).text
  guard let path = try? MarkupPath(parsing: name) else { return }
  _ = document.children(of: path)
  for place in [path] + leaves.prefix(4).map(\.path) {
    var edited = document
    guard (try? edited.set(place, to: name)) != nil else { continue }
    switch edited.value(at: place) {
    case .text(let said)?: try demand(said == name, "\(place): set is not what is read")
    // An atom that became an S-expression itself.
    case .tree(let source)?: try demand(source == Array(name.utf8), "\(place): set is not read")
    case nil: throw Violation("\(place): what was set is gone")
    }
    try demand((try? Document(edited.text))?.text == edited.text, "edited, it does not parse")
    var again = edited
    try again.set(place, to: name)
    try demand(again.text == edited.text, "\(place): what is there was set anew")
    _ = try? edited.remove(place)
    try demand((try? Document(edited.text)) != nil, "without \(place) it does not parse")
  }
}

/// A configuration in an image: it is read, edited and written as one.
private func config(_ input: [UInt8]) throws {
  let (front, choices) = input.splitting(last: 1)
  let count = min(Int(choices[0] & 31), front.count)
  let text = Array(front.dropLast(count))
  var image = StreamBuilder.hvm()
  image["xl"] = StreamBuilder.xl(config: text + [0]).bytes
  image["PAGE_DATA"] = StreamBuilder.pages([0xF000_0000_0000_0010]).bytes
  let bytes = image.bytes
  guard let document = try? ImageDocument(MemoryFile.input.source(bytes)) else { return }
  _ = try Verifier(MemoryFile.second.source(bytes)).run()
  for name in [Array(front.suffix(count)).text, "c_info.name", "b_info.max_vcpus"] {
    guard let path = try? ImagePath("config." + name) else { continue }
    _ = try? document.resolve(path)
    guard (try? document.set(path, text: name)) != nil else { continue }
    let sink = try MemoryFile.output.sink()
    _ = try Rewriter(MemoryFile.second.source(bytes), to: sink, filter: document.edits).run()
    let again = try ImageDocument(MemoryFile.other.source(MemoryFile.output.bytes))
    let (first, second) = (try? document.config(), try? again.config())
    try demand(first?.text == second?.text, "\(path.text): written and read differ")
  }
}

// MARK: - Paths and small languages

private func paths(_ bytes: [UInt8]) throws {
  let text = bytes.text
  _ = try? FieldPath(text)
  _ = try? ImagePath(text)
  _ = didYouMean(text, among: RecordSchemas.names)
  _ = try? CPUIDFeatures.require(text)
  _ = X86MSRs.index(of: text)
  _ = HVMParams.index(of: text)
  if let release = XenRelease(text) {
    try demand(XenRelease(release.description) == release, "\(release) does not read back")
  }
  if let set = try? PageSet(text: text) {
    try demand((try? PageSet(text: set.text)) == set, "does not read back: \(set.text)")
    _ = set.union(PageSet(0..<9)).subtracting(PageSet(3..<5)).symmetricDifference(set)
  }
  if let pattern = try? SearchPattern(expression: bytes) { _ = pattern }
  _ = escapeForDisplay(bytes: bytes)
  try demand(displayWidth(escapeForDisplay(text)) >= 0, "a width below 0")
}

// MARK: - The session

private func keys(_ bytes: [UInt8]) throws {
  var options = LineEditorOptions()
  options.usesColor = true
  options.coloring = LuaColoring.runs
  options.completions = { text, cursor in
    Completions(
      replacing: 0..<cursor, [Completion("abc", note: "x"), Completion("abd", note: "")])
  }
  options.isComplete = { $0.utf8.count % 3 != 0 }
  var editor = Editor(options: options, entries: ["first", "second\nline", "\u{1F600}"])
  var rest = bytes[...]
  var count = 0
  while !rest.isEmpty, count < 600 {
    count += 1
    var chunk = rest.prefix(1 + Int(rest.first ?? 0) % 7)
    rest = rest.dropFirst(chunk.count)
    while !chunk.isEmpty {
      if let effect = editor.feed(&chunk) {
        if case .submit = effect { _ = editor.finish() }
        if case .suspend = effect {
          _ = editor.pause()
          editor.restart()
        }
      }
    }
    if editor.isInsideEscape, count % 5 == 0 { editor.endEscape() }
    if count % 4 == 0 {
      editor.resize(to: TerminalSize(columns: 1 + count % 11 * 3, rows: 1 + count % 5))
    }
    if count % 5 == 0 { _ = editor.draw() }
  }
  _ = editor.draw()
  _ = editor.finish(mark: "^C")
}

private func luaText(_ bytes: [UInt8]) throws {
  let text = bytes.text
  let tokens = LuaLexer.tokens(text)
  var end = 0
  for token in tokens {
    try demand(
      token.range.lowerBound >= end && token.range.upperBound <= text.utf8.count,
      "tokens overlap: \(token)")
    end = token.range.upperBound
  }
  _ = LuaColoring.runs(text)
  _ = LuaExpression(tokens)
  _ = LuaExpression(endOf: tokens)
  _ = DotCommand.parse(text)
  _ = ScriptHeader(text)
  let shell = try LuaMachine.plain().shell
  let before = shell.state.frame.count
  let completer = Completer(state: shell.state)
  _ = completer.completions(text, text.utf8.count)
  // Help looks for names like this one in all there are: that is slow.
  if bytes.count & 3 == 0 { _ = Help(shell).text(about: text) }
  try demand(shell.state.frame.count == before, "completion leaves values on the stack")
}

private let optionRows: [ScriptOption] = {
  func row(_ name: String, _ kind: ScriptOption.Kind, _ short: String) -> ScriptOption {
    guard var option = try? ScriptOption(.table([("name", .text(name))])) else {
      preconditionFailure("an option needs no more than a name")
    }
    option.kind = kind
    option.short = short
    return option
  }
  var rows = [
    row("count", .integer, "c"), row("name", .string, "n"), row("v", .flag, "v"),
    row("list", .list, "l"), row("kind", .string, ""), row("ratio", .number, "r"),
  ]
  rows[4].choices = ["one", "two"]
  return rows
}()

private func scriptOptions(_ bytes: [UInt8]) throws {
  let words = bytes.split(separator: 0, omittingEmptySubsequences: false).map { Array($0).text }
  _ = try? ScriptOptions(words)
  if let parser = try? ScriptOptionParser(optionRows, words) { _ = parser.help(words[0]) }
}

/// Blocks that are written to a history are read back.
private func history(_ bytes: [UInt8]) throws {
  for block in HistoryFile.decode(bytes) where !block.utf8.contains(0x0D) {
    try demand(HistoryFile.decode(HistoryFile.encode(block)) == [block], "\(block)")
  }
  // The editor makes line breaks of carriage returns before anything else.
  let text = bytes.text.withUnixLineBreaks
  if !text.isEmpty {
    try demand(HistoryFile.decode(HistoryFile.encode(text)) == [text], "\(text)")
  }
}
