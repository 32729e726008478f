// Whether a run is for this program or for the stock one.

internal import HelperProtocol
internal import Reports
internal import SaveHelper
internal import SystemIO

/// What the configuration has for a domain, decided before anything is started.
struct ManagerChoice {
  /// The domain and what is to be done with it; nil where the stock program is to do it.
  private(set) var work: (facts: HelperFacts, configuration: HelperConfiguration)?
  /// Why it is left to the stock program; "" where it is not.
  private(set) var reason = ""

  /// Throws where the configuration cannot be read or fails, or where the domain asks for what is not
  /// there: a filter might be missing.
  init(
    _ arguments: ManagerArguments, _ setup: ManagerSetup, program: String,
    _ settings: ManagerSettings
  ) throws {
    let hasFiles = try !HelperConfiguration.files(setup.configurationFolder).isEmpty
    let facts: HelperFacts
    do {
      facts = try ManagerDomain.facts(
        arguments, program: program, XenStoreClient(setup.xenStoreSockets))
    } catch {
      // Without any file there is nothing that a name could decide, unless this program's own asks.
      guard hasFiles || ManagerDomain.hook(ofProgram: program) != nil else {
        reason = "there is no configuration"
        return
      }
      throw error
    }
    let configuration = try HelperConfiguration(
      folder: setup.configurationFolder, facts, arguments.isRestore ? .restore : .save)
    if let hook = facts.hooks.first(where: { !configuration.hooks.contains($0) }) {
      let text = "no file of \(setup.configurationFolder) has match.hook '\(hook)'"
      guard settings.onUnknownHook == .stock else { throw XensaveError(.unsuitable, text) }
      setup.log(.warning, text)
    }
    guard ManagerChoice.hasWork(arguments, configuration) else {
      reason = "no file of \(setup.configurationFolder) has anything for domain \(facts.id)"
      return
    }
    work = (facts, configuration)
  }

  /// Filters work in every run; policies and traces are of live saves.
  private static func hasWork(
    _ arguments: ManagerArguments, _ configuration: HelperConfiguration
  ) -> Bool {
    if !configuration.filters.isEmpty { return true }
    return arguments.isLive && !arguments.isRestore
      && (configuration.policy != nil || configuration.trace != nil)
  }
}
