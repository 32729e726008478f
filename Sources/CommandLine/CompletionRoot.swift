// The completion scripts of the shells.

internal import ArgumentParser
internal import LuaRuntime
internal import Reports

/// The command line with both its modes, for completion scripts only. Positional words of its
/// own would hide the commands: `CompletionRoot.script` adds script mode.
struct CompletionRoot: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "xensave-lua", abstract: Commands.configuration.abstract,
    version: productVersion, subcommands: Commands.all)

  @Option(name: .customShort("e"), help: "Run this code.") var code: [String] = []
  @Flag(name: .customShort("i"), help: "Continue with a session.") var isInteractive = false
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
  /// The completion script of the shell of this name; nil for others.
  static func script(named name: String) -> String? {
    switch name {
    case "bash": script(.bash)
    case "zsh": script(.zsh)
    case "fish": script(.fish)
    default: nil
    }
  }

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
