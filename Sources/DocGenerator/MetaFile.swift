// lua/meta/xensave.lua: the declarations for the Lua language server.

internal import Format
internal import LuaAPI
internal import LuaRuntime
internal import REPL
internal import Terminal

/// Writes the definition file that editors complete and check scripts with.
struct MetaFile {
  private let state: LuaState
  private var out = ""

  init(_ state: LuaState) { self.state = state }

  /// The whole file.
  static func text(_ state: LuaState) -> String {
    var file = MetaFile(state)
    file.write()
    return file.out
  }

  private mutating func write() {
    out += """
      ---@meta xensave
      -- The module `xensave` for the Lua language server.
      -- Made from the program's declarations by `scripts/docs`.
      -- luacheck: ignore

      ---@alias xensave.FilterResult nil|false|"keep"|"drop"|"stop"|xensave.Record
      ---@alias xensave.FilterFunction fun(rec: xensave.Record): xensave.FilterResult, ...
      ---@alias xensave.Filter xensave.FilterFunction|xensave.FilterTable|xensave.Chain
      ---@alias xensave.HeaderFunction fun(header: xensave.Header)

      ---The second result of what failed because of the world outside.
      ---@class xensave.Error
      ---@field message string
      ---@field code string A word of the table of error codes, the symbol of errno, or an operation.
      ---@field path string?
      ---@field offset integer?
      ---@field record string?
      ---@field errno integer?
      ---@field stage string?
      ---@field hint string?
      ---@field exit_code integer?
      ---@field aftermath string[]?

      """
    let classes = state.declarations.filter { $0.kind == .class }
    for table in classes { write(class: table) }
    for layout in RecordSchemas.all { write(layout) }
    writeFilterTable()
    for module in state.declarations where module.kind == .module { write(module: module) }
    out += """

      ---The image of the command line; nil without one.
      ---@type xensave.Image?
      img = nil

      return xs

      """

  }

  private mutating func write(class table: LuaDeclaration) {
    out += "\n" + comment(table.doc)
    out += "---@class xensave.\(table.name)\n"
    let members = state.members(of: table.name)
    for member in members where member.kind == .property {
      out += "---@field \(member.name) \(type(member.type)) \(member.fullDoc)\n"
    }
    if table.name == "Header" { writeHeaderFields() }
    if let index = MetaFile.indexes[table.name] { out += "---@field \(index)\n" }
    out += "local \(table.name) = {}\n"
    for member in members where member.kind == .method { write(function: member) }
  }

  /// What classes whose members come from the image give for a name or number.
  private static let indexes: [String: String] = [
    "Config": "[string|integer] any", "Tree": "[string|integer] any",
    "Fields": "[string|integer] any",
    "VCPUs": "[integer] xensave.VCPU", "VCPU": "[string] any",
    "HVMParams": "[string|integer] integer?", "PageColumn": "[integer] integer|string",
  ]

  /// The fields of all headers: which of them there are depends on the kind.
  private mutating func writeHeaderFields() {
    var seen: Set<String> = []
    for kind in HeaderKind.allCases {
      for field in kind.fields where seen.insert(field.name).inserted {
        if case .reserved = field.kind { continue }
        guard state.member(field.name, of: "Header") == nil else { continue }
        out += "---@field \(field.name) \(field.luaType) Of the \(kind.title). \(field.doc)".trimmed
        out += "\n"
      }
    }
  }

  /// A filter's table with the record that each function gets.
  private mutating func writeFilterTable() {
    out += """

      ---A filter as a table: functions by record type, and what is called around them.
      ---@class xensave.FilterTable
      ---@field name? string
      ---@field record? xensave.FilterFunction All records without a function of their own.
      ---@field begin? fun()
      ---@field finish? fun()

      """
    for kind in HeaderKind.allCases where kind != .xenopsd {
      out += "---@field \(kind.rawValue)_header? xensave.HeaderFunction\n"
    }
    for layout in RecordSchemas.all where layout.type != .libxlEnd {
      out +=
        "---@field \(layout.name)? fun(rec: xensave.\(layout.name)): xensave.FilterResult, ...\n"
    }
  }

  private mutating func write(function: LuaDeclaration) {
    out += "\n" + comment(function.fullDoc)
    if !function.example.isEmpty {
      out += "---\n---```lua\n---\(function.example)\n---```\n"
    }
    let parameters = function.parameters
    for parameter in parameters {
      let mark = parameter.isOptional ? "?" : ""
      out += "---@param \(parameter.name)\(mark) \(type(parameter.type))\n"
    }
    for result in function.results { out += "---@return \(type(result))\n" }
    let names = parameters.map(\.name).joined(separator: ", ")
    out += "function \(function.fullName)(\(names)) end\n"
  }

  private mutating func write(module: LuaDeclaration) {
    out += "\n" + comment(module.doc)
    let members = state.members(of: module.name)
    out += "---@class \(module.name == "xs" ? "xensave" : "xensave." + module.name.dropFirst(3))\n"
    for member in members where member.kind == .property {
      out += "---@field \(member.name) \(type(member.type)) \(member.fullDoc)\n"
    }
    out += "\(module.name == "xs" ? "local " : "")\(module.name) = {}\n"
    for member in members where member.kind == .function { write(function: member) }
  }

  private mutating func write(_ layout: RecordSchema) {
    // END stands in both layers.
    guard layout.type != .libxlEnd else { return }
    out += "\n" + comment(layout.doc)
    out += "---@class xensave.\(layout.name): xensave.Record\n"
    if layout.type == .pageData {
      out += "---@field pfn xensave.PageColumn The page numbers.\n"
      out += "---@field pftype xensave.PageColumn The types of the pages, by name.\n"
    }
    // Which of its forms a body has is known only when it is read: all have their fields here.
    var seen: Set<String> = layout.type == .pageData ? ["pfn"] : []
    for field in layout.forms.flatMap(\.fields) where seen.insert(field.name).inserted {
      if case .reserved = field.kind { continue }
      guard LuaLexer.isIdentifier(field.name), state.member(field.name, of: "Record") == nil else {
        continue
      }
      let note = [field.unit.isEmpty ? "" : "In \(field.unit).", field.doc]
        .filter { !$0.isEmpty }.joined(separator: " ")
      out += "---@field \(field.name) \(field.luaType)\(note.isEmpty ? "" : " " + note)\n"
    }
  }

  private func comment(_ text: String) -> String {
    wrapped(text, indent: 0, width: 92).split(separator: "\n").map { "---\($0)\n" }.joined()
  }

  /// A declared type with the names of classes as the file has them.
  private func type(_ text: String) -> String {
    var out = ""
    var word = ""
    func end() {
      let isOurs = state.isClass(word) || ["Filter", "Error"].contains(word)
      out += (isOurs ? "xensave." : "") + word
      word = ""
    }
    for character in text + " " {
      if LuaLexer.isName(character.utf8.first ?? 0) {
        word.append(character)
      } else {
        end()
        out.append(character)
      }
    }
    return out.trimmed
  }
}

extension Field {
  /// What a script gets for the field.
  var luaType: String {
    switch kind {
    case .unsigned where isEnumeration:
      names.sorted { $0.key < $1.key }.map { "\"\($0.value)\"" }.joined(separator: "|")
    case .unsigned, .signed: "integer"
    case .reserved, .bytes, .opaque, .text: "string"
    case .group, .array, .chain, .keyValues, .qemu, .uefiVariables: "xensave.Fields"
    }
  }
}
