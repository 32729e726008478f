// One run of the save helper: from its arguments to the message that says how it ended.

public import HelperProtocol
internal import Live
internal import SystemIO

/// What libxl started a helper for. libxl's contract: standard output carries messages only; the
/// last one is `complete`, and after it the exit status is 0, whatever it said.
public final class HelperSession {
  let arguments: HelperArguments
  let channel: HelperChannel
  let host: any HelperHost

  public init(_ arguments: HelperArguments, _ channel: HelperChannel, _ host: any HelperHost) {
    self.arguments = arguments
    self.channel = channel
    self.host = host
  }

  /// Does it, and returns the exit status.
  public func run() -> Int32 {
    var result: (code: Int32, number: Int32) = (0, 0)
    do throws(LiveError) {
      if arguments.isRestore { try restore() } else { try save() }
    } catch {
      let number = error.number ?? 0
      channel.log(.error, number: number == 0 ? -1 : number, error.description)
      result = (-1, number)
    }
    channel.log(.debug, number: 0, "complete r=\(result.code)")
    // Things have been put back; there is nobody left to tell.
    if let lost = channel.lost { return lost.exitStatus }
    do throws(HelperError) {
      _ = try channel.call(.complete(result: result.code, number: result.number))
      return 0
    } catch { return error.exitStatus }
  }

  // MARK: - Saving

  private func save() throws(LiveError) {
    guard let stream = arguments.stream else {
      throw LiveError(.unsuitable, "stream type \(arguments[.streamType] ?? 0) is not known")
    }
    let facts = try host.facts(arguments.domain)
    let policy = ToldPolicy(BuiltinPolicy(), name: "builtin", channel)
    guard let domain = try host.domain(arguments) else {
      return try host.save(
        arguments, to: arguments.descriptor, policy: policy, callbacks(facts))
    }
    let sink: Sink
    do {
      let path = "stream of domain \(facts.id)"
      sink = Sink(
        try Descriptor(taking: arguments.descriptor, path: path, isOwned: false), path: path)
    } catch { throw LiveError(.system(error), error.description) }
    let mode: Save.Mode =
      switch (stream, arguments.isLive) {
      case (.plain, false): .nonLive
      case (.plain, true): .live(policy)
      default: .checkpointed(policy, HelperCheckpoints(channel))
      }
    let save = Save(
      HelpedDomain(domain, id: arguments.domain, channel: channel), to: sink, mode: mode,
      isVerifying: arguments.isDebug, progress: channel.report)
    for line in try save.run().aftermath { channel.log(.warn, line) }
  }

  // MARK: - Restoring

  private func restore() throws(LiveError) {
    let facts = try host.facts(arguments.domain)
    let results = try host.restore(arguments, from: arguments.descriptor, callbacks(facts))
    try tell(.restoreResults(store: results.store, console: results.console))
  }

  // MARK: - libxl

  /// The callbacks that libxl has asked for.
  private func callbacks(_ facts: HelperFacts) -> ManagerCallbacks {
    let asked = arguments.callbacks
    var table = ManagerCallbacks()
    if asked.contains(.suspend) { table.suspend = { self.ask(.suspend, failure: 0) != 0 } }
    if asked.contains(.postcopy) { table.postcopy = { self.ask(.postcopy, failure: 0) } }
    if asked.contains(.checkpoint) { table.checkpoint = { self.ask(.checkpoint, failure: 0) } }
    if asked.contains(.waitCheckpoint) {
      table.waitCheckpoint = { self.ask(.waitCheckpoint, failure: 0) }
    }
    if asked.contains(.switchQEMULogDirty) {
      table.switchEmulatorLogDirty = { isOn in
        self.ask(.switchQEMULogDirty(domain: facts.id, isOn: isOn), failure: -1)
      }
    }
    if asked.contains(.staticDataDone) {
      table.staticDataDone = { self.ask(.staticDataDone(missing: $0), failure: -1) }
    }
    if asked.contains(.restoreResults) {
      table.restoreResults = { try? self.tell(.restoreResults(store: $0, console: $1)) }
    }
    return table
  }

  private func ask(_ message: HelperMessage, failure: Int32) -> Int32 {
    do throws(HelperError) { return try channel.call(message) } catch { return failure }
  }

  private func tell(_ message: HelperMessage) throws(LiveError) {
    do throws(HelperError) { try channel.send(message) } catch {
      throw LiveError(.complete, 0, error.description)
    }
  }
}
