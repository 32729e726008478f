// What the documents say of the commands.

internal import ArgumentParser

/// A command as its help explains it.
package struct CommandHelp {
  package let name: String
  package let abstract: String
  /// The text of --help.
  package let text: String

  /// What is said of the program as a whole.
  package static var discussion: String { Commands.configuration.discussion }

  /// All commands, with texts of so many columns.
  package static func all(columns: Int) -> [CommandHelp] {
    Commands.all.filter { $0.configuration.shouldDisplay }.map { command in
      CommandHelp(
        name: command.configuration.commandName ?? "", abstract: command.configuration.abstract,
        text: Commands.helpMessage(for: command, columns: columns))
    }
  }

  /// The completion script of the shell of this name; nil for others.
  package static func completionScript(_ shell: String) -> String? {
    CompletionRoot.script(named: shell)
  }
}
