// The program as XAPI's emu-manager: xensave-lua emu-manager, a link in xenopsd's directory of
// alternatives, or what xenopsd.conf names.

internal import CSystem
internal import Glibc
internal import HelperProtocol
internal import Reports
internal import SaveHelper
internal import SystemIO

/// The words after the manager's name where the program was started as one; nil where it was not.
/// xenopsd's first word is a control descriptor, whatever the program is called.
public func managerWords(_ program: String, _ words: [String]) -> [String]? {
  let name = program.split(separator: "/").last.map(String.init) ?? ""
  let isOption = { (word: String?) in word == "-controloutfd" || word == "-controlinfd" }
  if words.first == "emu-manager", isOption(words.dropFirst().first) {
    return Array(words.dropFirst())
  }
  return name == "emu-manager" || isOption(words.first) ? words : nil
}

/// Runs as an emu-manager on this host.
public func runManager(_ program: String, _ words: [String]) -> Int32 {
  let name = program.split(separator: "/").last.map(String.init) ?? "emu-manager"
  _ = csystem_open_standard()
  unsafe csystem_open_log(name)
  let setup = ManagerSetup(log: writeToSystemLog)
  return runManager(program, words, setup) { domain in
    unsafe csystem_open_log("\(name)-\(domain)")
  }
}

private func writeToSystemLog(_ level: LogLevel, _ text: String) {
  let priority =
    switch level {
    case .debug: LOG_DEBUG
    case .info: LOG_INFO
    case .warning: LOG_WARNING
    case .error: LOG_ERR
    }
  unsafe csystem_log(priority, text)
}

/// Runs with the programs and sockets of `setup`; returns the exit status. `domainIsKnown` is called with
/// the domain's number once it is. What is not for this program is left to the stock one, which then
/// takes the place of this process.
package func runManager(
  _ program: String, _ words: [String], _ setup: ManagerSetup,
  domainIsKnown: (UInt32) -> Void = { _ in }
) -> Int32 {
  let arguments: ManagerArguments
  do {
    arguments = try ManagerArguments(words)
    try arguments.checkDescriptors()
  } catch {
    // A path of the settings may still be meant, where there are some.
    let settings = (try? ManagerSettings(folder: setup.configurationFolder)) ?? ManagerSettings()
    return becomeStock(settings.applied(to: setup), program, words, because: error.reason)
  }
  domainIsKnown(arguments.domain)
  var setup = setup
  var settings = ManagerSettings()
  do {
    settings = try ManagerSettings(folder: setup.configurationFolder)
    setup = settings.applied(to: setup)
    let choice = try ManagerChoice(arguments, setup, program: program, settings)
    guard let (facts, configuration) = choice.work else {
      return becomeStock(setup, program, words, because: choice.reason)
    }
    return runSession(arguments, setup, facts, configuration)
  } catch {
    let error = XensaveError(error)
    setup.log(.error, error.description)
    if settings.onError == .stock {
      return becomeStock(setup, program, words, because: "the configuration failed")
    }
    return refuse(arguments, error.description)
  }
}

private func runSession(
  _ arguments: ManagerArguments, _ setup: ManagerSetup, _ facts: HelperFacts,
  _ configuration: HelperConfiguration
) -> Int32 {
  ignoreWriteSignals()
  // The end of xenguest is waited for: nobody else may take it.
  signal(SIGCHLD, SIG_DFL)
  do {
    try HelperAbort.onSIGTERM([])
    for descriptor in [arguments.controlIn, arguments.controlOut, arguments.stream] {
      guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
        throw SystemError("fcntl", errno, "descriptor \(descriptor)")
      }
    }
  } catch { return refuse(arguments, "\(error)") }
  setup.log(
    .info,
    "\(arguments.mode.rawValue) of domain \(facts.id) '\(facts.name)' (\(facts.uuid)), "
      + (arguments.isLive ? "live" : "not live"))
  return ManagerSession(arguments, setup, facts, configuration).run()
}

/// Nothing was started, and nothing is.
private func refuse(_ arguments: ManagerArguments, _ reason: String) -> Int32 {
  ignoreWriteSignals()
  let failure = ManagerFailure(.own(reason), reason)
  let control = ControlConnection(input: arguments.controlIn, output: arguments.controlOut)
  if let report = failure.report { try? control.send(.error(report)) }
  return 1
}

/// Puts the stock program in the place of this one, with the same words, environment and descriptors.
/// Returns only where that is not possible.
private func becomeStock(
  _ setup: ManagerSetup, _ program: String, _ words: [String], because reason: String
) -> Int32 {
  setup.log(.info, "left to \(setup.stock): \(reason)")
  // A link that leads back here would begin anew for ever.
  guard resolvedPath(setup.stock) != resolvedPath("/proc/self/exe") else {
    setup.log(.error, "\(setup.stock) is this program: there is no stock emu-manager")
    return 1
  }
  // Safety: execv does not return where it works; the strings are not freed where it does not.
  var copies = unsafe ([setup.stock] + words).map { unsafe strdup($0) }
  unsafe copies.append(nil)
  unsafe execv(setup.stock, &copies)
  setup.log(.error, "\(setup.stock): \(SystemError("execve", errno, setup.stock).reason)")
  return 1
}
