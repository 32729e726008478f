// xensave-lua internal-docs: what is made from the declarations. For the build and packages.

internal import ArgumentParser
internal import LuaRuntime

struct InternalDocs: ShellCommand {
  enum Kind: String, CaseIterable, ExpressibleByArgument {
    case meta, api, man
    case apiMan = "api-man"
    /// The manual page of the script whose path is NAME.
    case scriptMan = "script-man"
    /// The names of the pages about formats, and the page called NAME.
    case formats, format
    case bash, zsh, fish
  }

  static let name = "internal-docs"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Print a document made from the declarations.",
    shouldDisplay: false)

  @Argument(help: "Which document.") var kind: Kind
  @Argument(help: "Which script or page.") var name: String?

  mutating func validate() throws {
    if name == nil, kind == .scriptMan || kind == .format {
      throw ValidationError("expected a name")
    }
  }

  mutating func execute() throws -> Int32 {
    switch kind {
    case .formats:
      for page in FormatPage.all { try writeOut(page.name + "\n") }
      return ExitCode.good
    case .format:
      guard let page = FormatPage.named(name ?? "") else {
        throw Failure(ExitCode.usage, "no page '\(name ?? "")' (internal-docs formats)")
      }
      try writeOut(page.text)
      return ExitCode.good
    case .scriptMan:
      try writeOut(ScriptManual(path: name ?? "").page)
      return ExitCode.good
    default: break
    }
    let shell: ShellContext
    do {
      shell = try ShellContext()
      try shell.bind()
    } catch { throw Failure(error) }
    defer { shell.state.close() }
    try writeOut(InternalDocs.text(kind, shell.state))
    return ExitCode.good
  }

  static func text(_ kind: Kind, _ state: LuaState) -> String {
    switch kind {
    case .meta: MetaFile.text(state)
    case .api: ReferencePage.text(state)
    case .man: ManualPage.program
    case .apiMan: ManualPage.api(state)
    case .bash: CompletionRoot.script(.bash)
    case .zsh: CompletionRoot.script(.zsh)
    case .fish: CompletionRoot.script(.fish)
    case .scriptMan, .formats, .format: ""
    }
  }
}

/// The command line with both its modes, for completion scripts only. Positional words of its
/// own would hide the commands: `CompletionRoot.script` adds script mode.
private struct CompletionRoot: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "xensave-lua", abstract: Commands.configuration.abstract,
    version: productVersion, subcommands: Commands.all)

  @Option(name: .customShort("e"), help: "Run this code.") var code: [String] = []
  @Flag(name: .customShort("i"), help: "Go on with a session.") var isInteractive = false
  @Option(name: .customShort("l"), help: "Load a module into a global.") var module: [String] = []
  @Option(
    name: [.customShort("o"), .long], help: "Write the filtered image here.", completion: .file())
  var output: String?
  @Flag(help: "Replace the image by the filtered one.") var inPlace = false
  @Flag(help: "Say what the filter would change.") var dryRun = false
  @Flag(help: "Leave out the check of what was written.") var unchecked = false
  @Flag(help: "Print reports as JSON.") var json = false
  @Flag(help: "Print only warnings and errors.") var quiet = false
  @Option(help: "Colours.", completion: .list(["auto", "always", "never"])) var color: String?
}

extension CompletionRoot {
  /// The completion script of a shell, which also completes scripts as first words and files as
  /// further ones where the first word is no command.
  static func script(_ shell: CompletionShell) -> String {
    let text = completionScript(for: shell)
    switch shell {
    case .bash:
      let offer = "        # Offer subcommand completions\n"
      return text.replacing(
        offer,
        with: """
                  # A script, or words for one
                  if [[ "${#unparsed_words[@]}" -gt 0 ]]; then
                      __xensave-lua_add_completions -f
                      return
                  fi
                  __xensave-lua_add_completions -o plusdirs -fX '!*.lua'

          """ + offer)
    case .zsh:
      let describe = "_describe -V subcommand subcommands && ret=0\n"
      let arguments = "\"_xensave-lua_${words[1]}\" && ret=0\n            ;;\n"
      // Where a word has no action, zsh offers no options in its place either.
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        let spec = line.drop { $0 == " " }
        let isWord = spec.hasPrefix("':") || spec.hasPrefix("'*:")
        return isWord && spec.hasSuffix(":'") ? line.dropLast() + "( )'" : String(line)
      }
      return lines.joined(separator: "\n")
        .replacing(describe, with: describe + "        _files && ret=0\n")
        .replacing(arguments, with: arguments + "        *) _files && ret=0 ;;\n")
    case .fish:
      let names = Commands.names.sorted().joined(separator: " ")
      // Where the cursor stands in its word: "commandline -C" answers only a shell with a terminal.
      return text.replacing(
        "(__xensave-lua_tokens -tC)", with: "(string length -- \"$(commandline -ct)\")")
        + "\ncomplete -c 'xensave-lua' -n 'not __fish_seen_subcommand_from \(names) help' -F\n"
    default: return text
    }
  }
}
