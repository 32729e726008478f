// The manual pages xensave-lua(1) and xensave-lua-api(7), and how one is written.

internal import SystemIO
internal import CommandLine
internal import LuaRuntime
internal import REPL
internal import Reports
internal import ScriptHost

/// Writes manual pages in roff's man macros.
struct ManualPage {
  /// xensave-lua(1): the command line.
  static var program: String {
    var page = ManualPage("XENSAVE-LUA", 1)
    page.section("NAME")
    page.text("xensave-lua - look into, check and rewrite saved domains of Xen with Lua")
    page.section("SYNOPSIS")
    for line in [
      "xensave-lua [OPTION...] SCRIPT.lua [IMAGE [ARGUMENT...]]",
      "xensave-lua [OPTION...] -e CODE [IMAGE [ARGUMENT...]]",
      "xensave-lua -i [SCRIPT.lua] [IMAGE]", "xensave-lua COMMAND [ARGUMENT...]",
    ] {
      page.line(line)
      page.macro(".br")
    }
    page.section("DESCRIPTION")
    page.text(CommandHelp.discussion)
    page.section("OPTIONS")
    for option in ScriptOptions.all {
      page.item(option.name + (option.value.isEmpty ? "" : " " + option.value), option.help)
    }
    page.section("COMMANDS")
    let commands = CommandHelp.all(columns: 76)
    for command in commands { page.item(command.name, command.abstract) }
    page.text("xensave-lua COMMAND --help explains a command.")
    for command in commands {
      page.section("COMMAND " + command.name)
      for line in command.text.split(separator: "\n", omittingEmptySubsequences: false) {
        page.helpLine(String(line))
      }
      page.endHelp()
    }
    page.section("EXIT STATUS")
    for (code, meaning) in ExitCode.table {
      page.item("\(code)", meaning.prefix(1).uppercased() + meaning.dropFirst() + ".")
    }
    page.section("ENVIRONMENT")
    page.item(
      "XENSAVE_LUA_PATH",
      "Folders with modules, separated by colons. Not for root. LUA_PATH, LUA_CPATH and LUA_INIT "
        + "have no effect.")
    page.item(
      "AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
      "Where the object store of s3:// is, and the key for it, as AWS's own programs have them; "
        + "~/.aws/config and ~/.aws/credentials are read too. --endpoint URL, before all other words, "
        + "is the first of them.")
    page.item(
      "XENSAVE_S3_STYLE",
      "path or virtual: whether a bucket stands in the path or in the host's name.")
    page.item("AWS_CA_BUNDLE", "The certificates that are trusted for URLs.")
    page.item(
      "XENSAVE_REMOTE_TIMEOUT",
      "Seconds without a byte after which a request has failed; 30 without it.")
    page.item("XENSAVE_LIBCURL", "The file of libcurl, which URLs need. Not for root.")
    page.item("VISUAL, EDITOR", "What .edit of a session starts.")
    page.item("NO_COLOR, CLICOLOR, CLICOLOR_FORCE", "Whether --color=auto gives colours.")
    page.section("EXAMPLES")
    for (purpose, command) in examples {
      page.item(purpose, "")
      page.macro(".EX")
      page.line(command)
      page.macro(".EE")
    }
    page.section("FILES")
    page.item("~/.local/share/xensave-lua/?.lua", "The user's modules. Not for root.")
    page.item("PREFIX/share/xensave-lua/", "The shipped modules and scripts.")
    page.item("~/.local/state/xensave-lua/history", "The history of sessions.")
    page.section("SEE ALSO")
    page.text(
      "xensave-lua-api(7), xensave-lua-policies(7), xensave.d(5), xl(1); the manual pages of the scripts: "
        + "xensave-lua-NAME(1)")
    return page.out
  }

  private static let examples = [
    (
      "What is in an image, and is it whole?",
      "xensave-lua info web1.save\nxensave-lua verify web1.save"
    ),
    ("Does an older host restore it?", "xensave-lua compat web1.save --xen 4.17.3"),
    (
      "Make one that the older host restores.",
      "xensave-lua convert web1.save --for-xen 4.17 -o old.save"
    ),
    ("Another name, in place.", "xensave-lua run rename web1.save web2 --in-place"),
    ("A copy that can run beside it.", "xensave-lua run clone web1.save web3 -o web3.save"),
    (
      "A field by its path.",
      "xensave-lua set web1.save config.b_info.max_memkb=1048576 -o out.save"
    ),
    (
      "A filter in one line: what restores it sees no TSC record.",
      "xensave-lua -e 'return { X86_TSC_INFO = function() return \"drop\" end }' web1.save -o out.save"
    ),
    (
      "What was the guest doing?",
      "xensave-lua guest web1.save ps\nxensave-lua guest web1.save dmesg"
    ),
    (
      "Where is the memory, and what was sent again and again?",
      "xensave-lua map web1.save --by use\nxensave-lua history migration.stream"
    ),
    (
      "All about an image on one page, and how two differ.",
      "xensave-lua report web1.save -o web1.html\nxensave-lua report before.save after.save -o both.html"
    ),
    (
      "Which images of a directory are whole? Four at a time.",
      "xensave-lua each -j 4 verify -- saves/*.save"
    ),
    (
      "Which policy suits this guest and this link?",
      "xensave-lua policy test give-up downtime-budget --trace web1.trace --link 1G --report policies.html"
    ),
    (
      "An image in an object store.",
      "xensave-lua --endpoint http://rgw.lab:7480 verify s3://saves/web1.save"
    ),
    ("A session with the image as img.", "xensave-lua web1.save"),
    (
      "A live migration with a policy of Lua's.",
      "LIBXL_SAVE_HELPER=/usr/bin/xensave-lua xl migrate web1 host2"
    ),
  ]

  /// xensave-lua-api(7): the declarations.
  static func api(_ state: LuaState) -> String {
    var page = ManualPage("XENSAVE-LUA-API", 7)
    page.section("NAME")
    page.text("xensave-lua-api - the Lua module xensave")
    for declaration in state.declarations
    where declaration.kind == .module || declaration.kind == .class {
      page.section((declaration.kind == .module ? "MODULE " : "CLASS ") + declaration.name)
      page.text(declaration.doc)
      for member in state.members(of: declaration.name) {
        page.item(member.call, member.fullDoc)
        if !member.example.isEmpty {
          page.macro(".IP")
          page.macro(".EX")
          page.line(member.example)
          page.macro(".EE")
        }
      }
    }
    page.section("ERROR CODES")
    page.text("The field code of an error, and the exit code of the program where it ends a run.")
    for code in ErrorCode.allCases {
      page.item("\(code.rawValue) (\(code.exitCode))", code.row.meaning + ".")
    }
    page.section("SEE ALSO")
    page.text("xensave-lua(1)")
    return page.out
  }

  private(set) var out: String

  init(_ title: String, _ manualSection: Int) {
    out = ".TH \(title) \(manualSection) \"\" \"xensave-lua \(productVersion)\"\n"
  }

  mutating func macro(_ text: String) { out += text + "\n" }
  mutating func section(_ title: String) { out += ".SH \(escaped(title))\n" }
  mutating func line(_ text: String) { out += escaped(text) + "\n" }
  mutating func text(_ text: String) {
    for paragraph in text.split(separator: "\n\n") {
      out += ".PP\n" + escaped(String(paragraph)) + "\n"
    }
  }
  mutating func item(_ term: String, _ text: String) {
    out += ".TP\n.B \(escaped(term))\n\(escaped(text))\n"
  }

  mutating func subsection(_ title: String) { out += ".SS \(escaped(title))\n" }
  mutating func bullet() { macro(".IP \\(bu 2") }

  /// One paragraph of which parts stand in bold letters.
  mutating func styled(_ runs: [(text: String, isBold: Bool)]) {
    let text = runs.map { $0.isBold ? "\u{1}" + $0.text + "\u{2}" : $0.text }.joined()
    out +=
      escaped(text).replacing("\u{1}", with: "\\fB").replacing("\u{2}", with: "\\fR") + "\n"
  }

  private var isInHelp = false

  /// A line as it is, in the letters of a typewriter.
  mutating func helpLine(_ text: String) {
    if !isInHelp { macro(".PP\n.nf") }
    isInHelp = true
    line(text)
  }

  mutating func endHelp() {
    if isInHelp { macro(".fi") }
    isInHelp = false
  }

  /// Text that roff prints as it is.
  private func escaped(_ text: String) -> String {
    text.replacing("\\", with: "\\e").replacing("-", with: "\\-").split(
      separator: "\n", omittingEmptySubsequences: false
    ).map { $0.hasPrefix(".") || $0.hasPrefix("'") ? "\\&" + $0 : String($0) }
      .joined(separator: "\n")
  }
}
