// The documents, by name.

internal import SystemIO
internal import ArgumentParser
internal import CommandLine
internal import LuaAPI
internal import LuaRuntime
internal import REPL
internal import Reports

struct Document: ParsableCommand {
  enum Kind: String, CaseIterable, ExpressibleByArgument {
    case meta, api, man
    case apiMan = "api-man"
    /// The manual page of the script whose path is NAME.
    case scriptMan = "script-man"
    /// The manual page of the page of the documents whose path is NAME.
    case pageMan = "page-man"
    /// The names of the pages about formats, and the page called NAME.
    case formats, format
    case bash, zsh, fish
  }

  static let configuration = CommandConfiguration(
    commandName: "DocGenerator", abstract: "Print a document made from the declarations.")

  @Argument(help: "Which document.") var kind: Kind
  @Argument(help: "Which script or page.") var name: String?

  mutating func validate() throws {
    if name == nil, [.scriptMan, .pageMan, .format].contains(kind) {
      throw ValidationError("expected a name")
    }
  }

  func text() throws -> String {
    switch kind {
    case .formats: return FormatPage.all.map { $0.name + "\n" }.joined()
    case .format:
      guard let page = FormatPage.named(name ?? "") else {
        throw XensaveError(.usage, "no page '\(name ?? "")' (formats lists them)")
      }
      return page.text
    case .scriptMan: return try ScriptManual(path: name ?? "").page
    case .pageMan: return try MarkdownManual.text(path: name ?? "")
    case .man: return ManualPage.program
    case .bash, .zsh, .fish: return CommandHelp.completionScript(kind.rawValue) ?? ""
    case .meta, .api, .apiMan:
      let shell = try ShellContext(SessionExplainer())
      try shell.bind()
      defer { shell.state.close() }
      return Document.text(kind, shell.state)
    }
  }

  /// A document that is made from what scripts can use.
  static func text(_ kind: Kind, _ state: LuaState) -> String {
    switch kind {
    case .meta: MetaFile.text(state)
    case .api: ReferencePage.text(state)
    case .apiMan: ManualPage.api(state)
    default: ""
    }
  }
}
