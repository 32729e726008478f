// Everything that is bound is declared, and the committed documents are those of the declarations.

import LuaRuntime
import Terminal
import Testing

@testable import LuaAPI
@testable import REPL
@testable import Reports

@Suite struct DeclarationTests {
  private func bound() throws -> ShellContext {
    let shell = try ShellContext(SessionExplainer())
    try shell.bind()
    return shell
  }

  @Test(arguments: [
    ("meta", "lua/meta/xensave.lua"),
    ("api", "Sources/DocGenerator/Documentation.docc/LuaReference.md"),
  ])
  func committedDocumentsAreUpToDate(kind: String, file: String) {
    let outcome = Program.documents([kind])
    #expect(outcome.exitCode == 0)
    // Compared apart: what differs is shown better by git than by the test's message.
    let isUpToDate = outcome.output == Program.read(Program.checkout + "/" + file)
    #expect(isUpToDate, "scripts/docs makes \(file) anew")
  }

  /// One page a format, and none left over from a format that is gone.
  @Test func pagesOfFormatsAreUpToDate() {
    let names = Program.documents(["formats"]).text.split(separator: "\n").map(
      String.init)
    #expect(names.count >= 8)
    let folder = Program.checkout + "/Sources/DocGenerator/Documentation.docc/Formats"
    #expect(Program.names(in: folder) == names.map { $0 + ".md" }.sorted())
    for name in names {
      let page = Program.documents(["format", name])
      #expect(
        page.output == Program.read("\(folder)/\(name).md"), "scripts/docs makes \(name) anew")
      // Pictures are as wide as eight bytes.
      var isPicture = false
      for line in page.text.split(separator: "\n") {
        if line == "```" { isPicture.toggle() }
        #expect(!isPicture || line.count <= 70, "\(name): \(line)")
      }
    }
    #expect(Program.documents(["format", "FormatX"]).exitCode == 2)
  }

  /// Against pictures drawn by hand from the specification.
  @Test(arguments: [
    (
      "FormatLibxc",
      """
      +-------+-------+-----------------------------------------------+
      | guest_| pt_   | (reserved)                                    |
      | width | levels|                                               |
      +-------+-------+-----------------------------------------------+
      """
    ),
    (
      "FormatLibxc",
      """
      +-------------------------------+-------------------------------+
      | mode                          | khz                           |
      +-------------------------------+-------------------------------+
      | nsec                                                          |
      +-------------------------------+-------------------------------+
      | incarnation                   | (reserved)                    |
      +-------------------------------+-------------------------------+
      """
    ),
    (
      "FormatXenopsd",
      """
      +---------------------------------------------------------------+
      | signature, 15 octets                                          |
      |                                                       +-------+
      |                                                       |
      +-------------------------------------------------------+
      """
    ),
    (
      "FormatHVMContext",
      """
      +---------------+---------------+-------------------------------+
      | typecode      | instance      | length                        |
      +---------------+---------------+-------------------------------+
      | data ...                                                      |
      +---------------------------------------------------------------+
      """
    ),
  ])
  func picturesAreAsDrawnByHand(page: String, picture: String) {
    #expect(Program.documents(["format", page]).text.contains(picture + "\n"))
  }

  @Test func everyMemberHasATypeAndADocumentation() throws {
    let shell = try bound()
    defer { shell.state.close() }
    for declaration in shell.state.declarations {
      #expect(declaration.doc.hasSuffix("."), "\(declaration.fullName): no sentence")
      switch declaration.kind {
      case .module: continue
      case .function, .method:
        #expect(declaration.type.hasPrefix("("), "\(declaration.fullName): \(declaration.type)")
        #expect(declaration.type.closingParenthesis != nil, "\(declaration.fullName)")
      default: #expect(!declaration.type.isEmpty, "\(declaration.fullName)")
      }
    }
    let names = shell.state.declarations.map(\.fullName)
    #expect(Set(names).count == names.count, "declared twice")
  }

  /// By what the documentation of a number begins with. Those that count nothing are named here.
  @Test func numbersHaveTheirUnits() throws {
    let shell = try bound()
    defer { shell.state.close() }
    let units = [
      "Bytes": "bytes", "Seconds": "s", "Nanoseconds": "ns", "Hours": "h",
      "Pages": "pages",
      "Pages a second": "pages/s",
      "Percent": "%", "Records": "records", "Rounds": "rounds", "Headers": "headers",
      "Findings": "findings",
      "Calls": "calls", "Checkpoints": "checkpoints", "Different": "contents", "What the": "losses",
    ]
    let bare: Set = [
      "Image.version", "Record.type_id", "Record.index", "Record.checkpoint", "VCPU.id",
      "Domain.id", "Task.pid", "Task.process", "Task.ppid", "Task.uid", "Task.address",
      "TypedValue.address_", "TypedValue.value_",
      "Progress.done",
    ]
    var seen = 0
    for declaration in shell.state.declarations where declaration.kind == .property {
      let name = declaration.fullName
      guard ["integer", "integer?", "number", "number?"].contains(declaration.type) else {
        #expect(declaration.unit.isEmpty, "\(name)")
        continue
      }
      seen += 1
      if bare.contains(name) {
        #expect(declaration.unit.isEmpty, "\(name)")
        continue
      }
      let start = units.keys.filter { declaration.doc.hasPrefix($0) }.max { $0.count < $1.count }
      #expect(start.flatMap { units[$0] } == declaration.unit, "\(name): \(declaration.doc)")
    }
    #expect(seen > 40)
    for declaration in shell.state.declarations {
      #expect(productVersion.hasPrefix(declaration.since + "."), "\(declaration.fullName)")
    }
    // They are shown wherever the declarations are.
    let help = Program.run(["-i"], input: Array("help 'Record.length'\n".utf8)).text
    #expect(help.contains("unit: bytes\n") && help.contains("since: 0.1\n"), "\(help)")
    for kind in ["meta", "api", "api-man"] {
      #expect(
        Program.documents([kind]).text.contains("padding. Unit: bytes."), "\(kind)")
    }
  }

  /// Types in declarations are Lua's own, our classes, or the aliases of the definition file.
  @Test func everyTypeIsKnown() throws {
    let shell = try bound()
    defer { shell.state.close() }
    let known: Set<String> = [
      "string", "integer", "number", "boolean", "table", "any", "fun", "nil", "Filter", "Error",
    ]
    func check(_ type: String, _ name: String) {
      for word in type.split(whereSeparator: { !$0.isLetter }).map(String.init) {
        #expect(known.contains(word) || shell.state.isClass(word), "\(name): \(word)")
      }
    }
    for declaration in shell.state.declarations {
      for parameter in declaration.parameters {
        check(parameter.type, declaration.fullName)
      }
      for result in declaration.results { check(result, declaration.fullName) }
      if declaration.kind == .property { check(declaration.type, declaration.fullName) }
    }
  }

  /// Walks the module's tables as a script sees them.
  @Test func nothingIsBoundWithoutBeingDeclared() throws {
    let shell = try bound()
    defer { shell.state.close() }
    let frame = shell.state.frame
    func walk(_ owner: String) throws {
      for (name, type) in try frame.fieldNames(-1) {
        frame.pushField(-1, name)
        defer { frame.pop() }
        let full = "\(owner).\(name)"
        let isModule = shell.state.declarations.contains { $0.name == full && $0.kind == .module }
        if type == .table, isModule {
          try walk(full)
        } else {
          #expect(shell.state.member(name, of: owner) != nil, "\(full) is not declared")
        }
        if type == .function { #expect(frame.declaration(-1)?.fullName == full) }
      }
    }
    #expect(frame.pushLoaded("xensave") == .table)
    try walk("xs")
  }

  @Test func everythingDeclaredIsThere() throws {
    let shell = try bound()
    defer { shell.state.close() }
    let frame = shell.state.frame
    frame.pushLoaded("xensave")
    for member in shell.state.members(of: "xs") {
      #expect(frame.pushField(-1, member.name) != .nil, "xs.\(member.name)")
      frame.pop()
    }
  }

  /// The examples are Lua.
  @Test func examplesCompile() throws {
    let shell = try bound()
    defer { shell.state.close() }
    for declaration in shell.state.declarations where !declaration.example.isEmpty {
      let example = declaration.example.split(separator: "  -->").first.map(String.init) ?? ""
      let compiles = [example, "return " + example].contains { text in
        (try? shell.state.load(Array(text.utf8), name: "=example")) != nil
      }
      #expect(compiles, "\(declaration.fullName): \(declaration.example)")
    }
  }

  /// scripts/check-lua-fields reads the definition file as an editor does.
  @Test func luaUsesOnlyFieldsThatThereAre() {
    let found = Program.shell("scripts/check-lua-fields")
    #expect(found.exitCode == 0, "\(found.text)\(found.errors)")
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let wrong = """
      local xs = require "xensave"
      xs.log.warning("no such level")
      print(img.gest, img:frist "END", img.config.anything, img.vcpu[0].rip)
      local other <close> = assert(xs.open(arg[1]))
      print(other.guset)
      for rec in other:records() do print(rec.khz, rec.kzh) end
      return { X86_TSC_INFO = function(r) r.khzz = r.khz end }
      """
    Program.write(Array(wrong.utf8), to: folder + "/wrong.lua")
    let outcome = Program.shell("scripts/check-lua-fields \(folder)/wrong.lua")
    #expect(outcome.exitCode == 1)
    let lines = outcome.text.split(separator: "\n").map {
      $0.drop { $0 != ":" }.prefix { $0 != "(" }.trimmed
    }
    #expect(
      lines == [
        ":2: no 'warning' in xensave.log", ":3: no 'gest' in xensave.Image",
        ":3: no 'frist' in xensave.Image", ":5: no 'guset' in xensave.Image",
        ":6: no 'kzh' in xensave.Record", ":7: no 'khzz' in xensave.X86_TSC_INFO",
      ], "\(outcome.text)")
  }

  @Test func theDefinitionFileIsLua() {
    let outcome = Program.run(["-e", "assert(loadfile 'lua/meta/xensave.lua')"])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
  }

  @Test func manualPagesAreCleanRoff() {
    let scripts = Program.shell("ls lua/xensave/*s/*.lua").text.split(separator: "\n")
    #expect(scripts.count >= 7)
    let folder = "Sources/DocGenerator/Documentation.docc/"
    let pages = ["Configuration", "Policies"].map { "page-man \(folder)\($0).md" }
    for kind in ["man", "api-man"] + pages + scripts.map({ "script-man \($0)" }) {
      let outcome = Program.shell(
        "DocGenerator \(kind) | if command -v groff >/dev/null; "
          + "then groff -man -Tutf8 -ww -z; else grep -c '^.TH' >/dev/null; fi")
      #expect(outcome.exitCode == 0)
      #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    }
  }

  /// Pages of the documents as manual pages: all of their text, and nothing of Markdown.
  @Test func pagesBecomeManualPages() {
    let folder = "Sources/DocGenerator/Documentation.docc/"
    let page = Program.documents(["page-man", folder + "Configuration.md"]).text
    #expect(page.hasPrefix(".TH XENSAVE.D 5 "))
    for part in [
      ".SH NAME\n.PP\nxensave.d \\- Files of policies", ".SH DESCRIPTION\n", ".SH KEYS\n",
      ".IP \\(bu 2\n\\fBmatch.uuid\\fR: the domain's UUID", "\n  match = { pattern = \"^web\"",
      "xensave\\-lua\\-policies(7)", "\nxensave\\-lua helper \\-\\-check web1 pvh\n",
    ] { #expect(page.contains(part), "\(part)") }
    for part in ["`", "<doc:", "##", "\n- ", "\n|"] { #expect(!page.contains(part), "\(part)") }
    let other = Program.documents(["page-man", folder + "Tour.md"])
    #expect(other.exitCode != 0 && other.errors.contains("no manual page is made of 'Tour'"))
  }
}
