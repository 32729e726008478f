// xensave-lua internal-docs: what is made from the declarations. For the build and packages.

internal import ArgumentParser
internal import LuaRuntime

struct InternalDocs: ShellCommand {
  enum Kind: String, CaseIterable, ExpressibleByArgument {
    case meta, api, man
    case apiMan = "api-man"
    case bash, zsh, fish
  }

  static let configuration = CommandConfiguration(
    commandName: "internal-docs", abstract: "Print a document made from the declarations.",
    shouldDisplay: false)

  @Argument(help: "Which document.") var kind: Kind

  mutating func execute() throws -> Int32 {
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
    case .bash: CompletionRoot.completionScript(for: .bash)
    case .zsh: CompletionRoot.completionScript(for: .zsh)
    case .fish: CompletionRoot.completionScript(for: .fish)
    }
  }
}

/// The command line with both its modes, for completion scripts only: a first word that is no
/// command is a script.
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
  @Argument(help: "A script.", completion: .file(extensions: ["lua"])) var script: String?
  @Argument(help: "An image, and words for the script.", completion: .file()) var words: [String] =
    []
}
