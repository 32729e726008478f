// The sub-commands.

internal import SystemIO
internal import ArgumentParser
internal import XenDomain
internal import LuaRuntime
internal import Reports

/// A sub-command: says its exit code.
protocol ShellCommand: ParsableCommand {
  /// The word that asks for it.
  static var name: String { get }
  /// How its progress is to be shown, where it may take long.
  var progress: ProgressOptions? { get }
  mutating func execute() throws -> Int32
}

extension ShellCommand {
  mutating func run() throws { _ = try execute() }

  var progress: ProgressOptions? { nil }

  /// The command that these words ask for, without its name. Where it has commands of its own: nil.
  fileprivate static func parse(alone words: [String]) throws -> (any ShellCommand)? {
    // Cast to a type and not to a protocol: the search for a conformance takes 50 us.
    configuration.subcommands.isEmpty ? try parseAsRoot(words) as? Self : nil
  }
}

struct Commands: ParsableCommand {
  static let name = "xensave-lua"
  static let configuration = CommandConfiguration(
    commandName: name,
    abstract: "Look into, check and rewrite saved domains of Xen.",
    usage: """
      xensave-lua [-i] [IMAGE]
      xensave-lua SCRIPT.lua IMAGE [ARGUMENT...] [-o OUT | --in-place | --dry-run]
      xensave-lua -e CODE IMAGE [ARGUMENT...] [-o OUT | --in-place | --dry-run]
      xensave-lua COMMAND ...
      """,
    discussion: """
      A script sees the open image as `img` and its arguments as `arg`. If it returns a filter, the \
      filter is applied to the image and the result written to OUT ("-" is standard output). "-" as \
      SCRIPT or IMAGE is standard input. --unchecked leaves out the check of what was written; \
      --json prints the report as JSON; --quiet prints only warnings and errors.

      An image may be a URL (s3://BUCKET/KEY, https://...), and OUT one of s3. --endpoint URL before all \
      other words says where the object store is; AWS's variables and files do so too.

      Exit codes: \(ExitCode.sentence).
      """,
    version: "xensave-lua \(versionLine)",
    subcommands: all)

  static let all: [any ShellCommand.Type] = [
    Info.self, Verify.self, Dump.self, SetFields.self, Recover.self, Diff.self,
    ConvertImage.self, Wrap.self, Unwrap.self, CompatImage.self, HostCommand.self,
    PagesCommand.self, MapCommand.self, HistoryCommand.self, ReportCommand.self,
    GuestCommand.self, Compact.self, MakeDelta.self, ApplyDelta.self,
    Export.self,
    EachCommand.self, StoreCommand.self, PolicyCommand.self, HelperCommand.self,
    ManagerCommand.self,
    SSHCommand.self, Run.self,
    New.self, Test.self,
    Init.self,
  ]

  static var names: [String] { all.map { $0.name } }

  static func isName(_ word: String) -> Bool { all.contains { $0.name == word } }

  /// The command that these words ask for, where it can be read alone: to set all the others up takes
  /// as long as its work often does, and so does a search for options that no command has, which the
  /// name of a super-command keeps ArgumentParser from. Nil where it has commands of its own, and for
  /// mistakes and help, of which only the whole tree knows how to speak.
  static func parse(alone words: [String]) -> (any ShellCommand)? {
    guard let type = all.first(where: { $0.name == words.first }) else { return nil }
    return (try? type.parse(alone: Array(words.dropFirst()))) ?? nil
  }
}

/// The release with what it is made for: "0.1.0 (Lua 5.4.4; ...)".
var versionLine: String {
  let live = XenHost.knownReleases
  return "\(productVersion) (\(LuaState.release); libxc streams 1 to 3, libxl stream 2, legacy "
    + "streams; live Xen 4.\(live.first ?? 0) to 4.\(live.last ?? 0))"
}
