// Where a session's text goes: the screen, a pager, a command, a file.

internal import LuaAPI
internal import LuaRuntime
internal import Reports
internal import SystemIO
internal import Terminal

extension Repl {
  /// The command that shows what is longer than the screen; nil for none.
  private var pager: String? {
    guard shell.usesPager, isInteractive else { return nil }
    if let command = Environment.variable("PAGER") { return command }
    guard !Environment.isSet("PAGER") else { return nil }
    return InputReader.isInPath("less") ? "less" : nil
  }

  /// Prints text: by the pager where it is longer than the screen.
  func show(_ text: String) throws {
    if shell.capture != nil {
      shell.capture?.append(text + "\n")
      return
    }
    let size = TerminalSize.current(of: 1) ?? .standard
    guard let pager, rowCount(text, size.columns) >= size.rows else {
      return try writeOut(text + "\n")
    }
    // What colours and short texts need of less, as git sets it.
    let isLess =
      pager.split(separator: " ").first.map { $0 == "less" || $0.hasSuffix("/less") } == true
    let setting = isLess && Environment.variable("LESS") == nil ? "LESS=FRX " : ""
    guard try feed(text + "\n", to: setting + pager) else { return try writeOut(text + "\n") }
  }

  private func rowCount(_ text: String, _ columns: Int) -> Int {
    text.split(separator: "\n", omittingEmptySubsequences: false).reduce(0) { count, line in
      count + max(1, (displayWidth(String(line)) + columns - 1) / columns)
    }
  }

  /// Runs a command of the shell with `text` as its standard input; false where it could not begin.
  private func feed(_ text: String, to command: String) throws -> Bool {
    let folder: String
    do { folder = try FileSystem.temporaryFolder() } catch {
      try write("\(error)", Palette.error)
      return false
    }
    let file = folder + "/output"
    defer {
      FileSystem.remove(file)
      FileSystem.remove(folder)
    }
    do { try FileSystem.create(file, text, mode: 0o600) } catch {
      try write("\(error)", Palette.error)
      return false
    }
    try runCommand("{ \(command)\n} <\(shellQuoted(file))")
    return true
  }

  /// Runs a command of the shell; a code that says it failed is printed.
  func runCommand(_ command: String) throws {
    guard let code = Environment.run(command) else {
      return try write("the command was ended by a signal", Palette.error)
    }
    if code != 0 { try write("exit code \(code)", Palette.comment) }
  }

  /// Brings what an input has printed to where it said.
  func deliver(_ text: String, to target: OutputTarget) throws {
    switch target {
    case .command(let command): _ = try feed(text, to: command)
    case .file(let path):
      do {
        try FileSystem.create(path, text)
        let count = text.split(separator: "\n", omittingEmptySubsequences: false).count - 1
        try write("\(count) line\(count == 1 ? "" : "s") written to \(path)")
      } catch let error as SystemError {
        try write("\(error)", Palette.error)
      } catch {
        throw error
      }
    }
  }
}
