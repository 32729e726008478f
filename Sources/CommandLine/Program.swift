// The program: which of its jobs the words of the command line ask for.

internal import ArgumentParser
internal import Jobs
internal import Live
internal import LuaRuntime
internal import Remote
internal import Reports
internal import ScriptHost
internal import Synchronization
internal import SystemIO
internal import XenDomain
internal import Unpack

/// Runs the program with these words (without its own name) and returns its exit code.
public func runShell(_ words: [String]) -> Int32 {
  if words == [crashGuardWord] {
    return guardDomains {
      try XenHost()
    } report: {
      writeError("xensave-lua: \($0)\n")
    }
  }
  defer { ProgressDisplay.clear() }
  ignoreWriteSignals()
  Interrupt.watch(LuaState.stopActive)
  let written = Mutex<Set<String>>([])
  EditNotices.watch { line in
    if written.withLock({ $0.insert(line).inserted }) {
      writeError("xensave-lua: warning: \(line)\n")
    }
  }
  RemoteFiles.register(RemoteImages())
  CompressedFiles.register(PackedFile.open)
  do {
    return try dispatch(try withoutEndpoint(words))
  } catch {
    let error = XensaveError(error)
    if error.code != .brokenPipe {
      writeError("xensave-lua: \(error)\n")
      if let detail = error.detail { writeError(detail + "\n") }
    }
    return error.exitCode
  }
}

/// The words after `--endpoint URL`, which stands before all others: where s3:// is. What this program
/// starts is told of it, too.
private func withoutEndpoint(_ words: [String]) throws -> [String] {
  let option = "--endpoint"
  guard let first = words.first, first == option || first.hasPrefix(option + "=") else {
    return words
  }
  let count = first == option ? 2 : 1
  let url = first == option ? words.dropFirst().first : String(first.dropFirst(option.count + 1))
  guard let url, url.contains("://") else {
    throw XensaveError(.usage, "--endpoint: expected the URL of an object store")
  }
  Environment.set("AWS_ENDPOINT_URL_S3", url)
  return Array(words.dropFirst(count))
}

private func dispatch(_ words: [String]) throws -> Int32 {
  switch words.first {
  case "--version", "-v", "-V":
    try writeOut("xensave-lua \(versionLine)\n")
    return ExitCode.good
  case nil where Environment.isTerminal(0) && Environment.isTerminal(1):
    return try ScriptRunner(options: ScriptOptions.session).run()
  case nil, "--help", "-h", "help":
    return try runCommand(words.first == "help" ? words : ["--help"])
  case "--generate-completion-script" where words.count == 2:
    guard let script = CompletionRoot.script(named: words[1]) else {
      throw XensaveError(
        .usage,
        "--generate-completion-script: expected bash, zsh or fish, got '\(words[1])'")
    }
    try writeOut(script)
    return ExitCode.good
  case let first? where first.hasPrefix("---completion"): return try runCommand(words)
  case "run":
    if let code = try Run.dispatch(Array(words.dropFirst())) { return code }
    return try runCommand(words)
  case let first? where Commands.isName(first): return try runCommand(words)
  default: return try ScriptRunner(options: ScriptOptions(words), commands: Commands.names).run()
  }
}

/// Runs a sub-command. ArgumentParser's own errors are usage errors with its own text.
private func runCommand(_ words: [String]) throws -> Int32 {
  do {
    if let command = Commands.parse(alone: words) { return try run(command) }
    var command = try Commands.parseAsRoot(words)
    if let shellCommand = command as? any ShellCommand { return try run(shellCommand) }
    try command.run()
    return ExitCode.good
  } catch {
    if XensaveError.known(error) != nil { throw error }
    if Commands.exitCode(for: error) == .success {
      try writeOut(Commands.fullMessage(for: error) + "\n")
      return ExitCode.good
    }
    // One line: what is wrong, and where to read on.
    let name = words.first.flatMap { Commands.isName($0) ? $0 : nil }
    let message = Commands.message(for: error).split(separator: "\n").joined(separator: " ")
    throw XensaveError(
      .usage,
      (name.map { "\($0): " } ?? "") + message.prefix(1).lowercased() + message.dropFirst()
        + " (xensave-lua \(name.map { "\($0) " } ?? "")--help)")
  }
}

private func run(_ command: any ShellCommand) throws -> Int32 {
  var command = command
  if let progress = command.progress {
    ProgressDisplay.begin(progress.progress, isQuiet: progress.quiet)
  }
  return try command.execute()
}
