// The program as libxl's save helper: xensave-lua helper, or under the name libxl-save-helper.

internal import Glibc
public import HelperProtocol
public import Live
internal import Reports
internal import SystemIO

/// The words behind the helper's name where the program was started as one; nil where it was not.
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
    channel throws(LiveError) in try XenHelperHost(channel)
  }
}

/// Runs as a save helper on the hypervisor that `open` opens, with the configuration of a folder;
/// returns the exit status. Nothing of it depends on the environment: libxl's is that of whoever
/// started xl. `patience`: that of the channel, for tests.
public func runHelper(
  _ words: [String], configurationFolder: String, patience: UInt64? = nil,
  _ open: (HelperChannel) throws(LiveError) -> any HelperHost
) -> Int32 {
  ignoreWriteSignals()
  let arguments: HelperArguments
  let channel: HelperChannel
  let watch: ManagerWatch
  do throws(HelperError) {
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
    writeError("xensave-lua: helper: \(error.description)\n")
    return error.kind == .arguments ? ExitCode.usage : error.exitStatus
  }
  channel.log(.debug, number: 0, "starting \(arguments.isRestore ? "restore" : "save")")
  let host: any HelperHost
  do throws(LiveError) { host = try open(channel) } catch {
    channel.log(.error, number: error.number ?? -1, error.description)
    return 255
  }
  let session = HelperSession(
    arguments, channel, host, configurationFolder: configurationFolder)
  return withExtendedLifetime(watch) { session.run() }
}

/// What the end of libxl does to a helper: one that saves puts the domain back, as when it is asked to
/// stop; one that restores has nothing to put back.
private func managerWatch(
  _ arguments: HelperArguments, _ channel: HelperChannel
) throws(HelperError) -> ManagerWatch {
  let isRestore = arguments.isRestore
  do throws(SystemError) {
    return try ManagerWatch(channel) {
      guard isRestore else { return HelperAbort.stopMain() }
      writeError("xensave-lua: helper: libxl is gone\n")
      _exit(HelperError.goneStatus)
    }
  } catch { throw HelperError(error) }
}

/// Takes standard output and input for the channel alone: what anything else prints goes to standard
/// error, and nothing else can take an answer.
private func helperChannel(_ arguments: HelperArguments) throws(HelperError) -> HelperChannel {
  do throws(SystemError) {
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
  } catch { throw HelperError(error) }
}

/// A copy of descriptor `number` above the standard ones, which `replace` then puts another in.
private func moved(
  _ number: Int32, _ name: String, _ replace: () -> Int32
) throws(SystemError) -> Int32 {
  let copy = fcntl(number, F_DUPFD_CLOEXEC, 3)
  guard copy >= 0 else { throw SystemError("fcntl", errno, name) }
  guard replace() >= 0 else { throw SystemError("dup2", errno, name) }
  return copy
}
