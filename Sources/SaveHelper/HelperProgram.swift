// The program as libxl's save helper: xensave-lua helper, or under the name libxl-save-helper.

internal import Glibc
public import HelperProtocol
internal import Live
internal import Reports
internal import SystemIO

/// The words after the helper's name where the program was started as one; nil where it was not.
/// libxl starts what LIBXL_SAVE_HELPER names with its mode as the first word.
public func helperWords(_ program: String, _ words: [String]) -> [String]? {
  let name = program.split(separator: "/").last.map(String.init) ?? ""
  if words.first == "helper", HelperSide(rawValue: words.dropFirst().first ?? "") != nil {
    return Array(words.dropFirst())
  }
  if name == "libxl-save-helper" || HelperSide(rawValue: words.first ?? "") != nil { return words }
  return nil
}

/// Runs as a save helper on the real Xen.
public func runHelper(_ words: [String]) -> Int32 {
  runHelper(words, configurationFolder: HelperConfiguration.folder) {
    channel in try XenHelperHost(channel)
  }
}

/// Runs as a save helper on the hypervisor that `open` opens, with the configuration of a folder;
/// returns the exit status. Nothing of it depends on the environment: libxl's is that of whoever
/// started xl. `patience`: that of the channel, and `deadlines`, for tests.
public func runHelper(
  _ words: [String], configurationFolder: String, patience: UInt64? = nil,
  deadlines: ScriptDeadlines = .standard,
  _ open: (HelperChannel) throws -> any HelperHost
) -> Int32 {
  ignoreWriteSignals()
  let arguments: HelperArguments
  let channel: HelperChannel
  let watch: ManagerWatch
  do {
    arguments = try HelperArguments(parsing: words)
    channel = try helperChannel(arguments)
    channel.patience = patience ?? channel.patience
    // A helper that restores dies of SIGTERM: libxl destroys what it has made.
    if arguments.side == .save {
      try HelperAbort.onSIGTERM([arguments.descriptor])
    } else {
      HelperAbort.unblock()
    }
    watch = try managerWatch(arguments, channel)
  } catch {
    writeError("xensave-lua: helper: \(error)\n")
    return XensaveError(error).code == .usage ? ExitCode.usage : HelperExit.status(of: error)
  }
  channel.log(.debug, errno: 0, "starting \(arguments.isRestore ? "restore" : "save")")
  let host: any HelperHost
  do { host = try open(channel) } catch {
    channel.log(.error, errno: XensaveError(error).errno ?? -1, "\(error)")
    return HelperExit.failed
  }
  let session = HelperSession(
    arguments, channel, host, configurationFolder: configurationFolder, deadlines: deadlines)
  return withExtendedLifetime(watch) { session.run() }
}

/// With what the stock helper exits.
enum HelperExit {
  /// -1: it has failed.
  static let failed: Int32 = 255
  /// -2: libxl is gone where an answer was due.
  static let withoutReply: Int32 = 254

  static func status(of error: any Error) -> Int32 {
    XensaveError(error).code == .noReply ? withoutReply : failed
  }
}

/// What the end of libxl does to a helper: one that saves puts the domain back, as when it is asked to
/// stop; one that restores has nothing to put back.
private func managerWatch(
  _ arguments: HelperArguments, _ channel: HelperChannel
) throws -> ManagerWatch {
  let isRestore = arguments.isRestore
  return try ManagerWatch(channel) {
    guard isRestore else { return HelperAbort.stopMain() }
    writeError("xensave-lua: helper: libxl is gone\n")
    _exit(HelperExit.withoutReply)
  }
}

/// Takes standard output and input for the channel alone: what anything else prints goes to standard
/// error, and nothing else can take an answer.
private func helperChannel(_ arguments: HelperArguments) throws -> HelperChannel {
  let output = try moved(1, "standard output") { dup2(2, 1) }
  let input = try moved(0, "standard input") {
    let empty = unsafe open("/dev/null", O_RDONLY)
    defer { _ = close(empty) }
    return dup2(empty, 0)
  }
  return HelperChannel(
    output: Sink(try Descriptor(taking: output, path: "libxl"), path: "libxl"),
    input: try Source(Descriptor(taking: input, path: "libxl"), path: "libxl"),
    release: arguments.release, callbacks: arguments.callbacks)
}

/// A copy of `fileDescriptor` above the standard ones, which `replace` then puts another in.
private func moved(
  _ fileDescriptor: Int32, _ name: String, _ replace: () -> Int32
) throws -> Int32 {
  let copy = try Descriptor.duplicate(fileDescriptor, path: name)
  guard replace() >= 0 else { throw SystemError("dup2", errno, name) }
  return copy
}
