// One run of the save helper: from its arguments to the message that says how it ended.

public import HelperProtocol
internal import Jobs
internal import Live
internal import LuaRuntime
internal import PolicyEngine
internal import Reports
internal import SystemIO

/// What libxl started a helper for. libxl's contract: standard output carries messages only; the
/// last one is `complete`, and after it the exit status is 0, whatever it said.
public final class HelperSession {
  package let arguments: HelperArguments
  let channel: HelperChannel
  let host: any HelperHost

  /// The configuration's folder; "" for none.
  private let configurationFolder: String
  private let deadlines: ScriptDeadlines

  public init(
    _ arguments: HelperArguments, _ channel: HelperChannel, _ host: any HelperHost,
    configurationFolder: String, deadlines: ScriptDeadlines = .standard
  ) {
    self.arguments = arguments
    self.channel = channel
    self.host = host
    self.configurationFolder = configurationFolder
    self.deadlines = deadlines
  }

  /// Does it, and returns the exit status.
  public func run() -> Int32 {
    var result: (code: Int32, errno: Int32) = (0, 0)
    do {
      if arguments.isRestore { try restore() } else { try save() }
    } catch {
      let error = XensaveError(error)
      let errorNumber = error.errno ?? 0
      channel.log(.error, errno: errorNumber == 0 ? -1 : errorNumber, error.description)
      result = (-1, errorNumber)
    }
    channel.log(.debug, errno: 0, "complete r=\(result.code)")
    // Things have been put back; there is nobody left to tell.
    if let lost = channel.lost { return HelperExit.status(of: lost) }
    do {
      _ = try channel.call(.complete(result: result.code, errno: result.errno))
      return 0
    } catch { return HelperExit.status(of: error) }
  }

  // MARK: - Saving

  private func save() throws {
    guard let stream = arguments.stream else {
      throw XensaveError(.unsuitable, "stream type \(arguments[.streamType] ?? 0) is not known")
    }
    let facts = try host.facts(arguments.domain)
    let configuration = try configuration(facts)
    let recorder = recorder(configuration, facts)
    do { try save(stream, facts, configuration, recorder) } catch {
      recorder?.fail(HelperAbort.wasAsked ? "stopped" : XensaveError(error).word)
      write(recorder)
      throw error
    }
    write(recorder)
  }

  private func save(
    _ stream: StreamKind, _ facts: HelperFacts, _ configuration: HelperConfiguration,
    _ recorder: TraceRecorder?
  ) throws {
    var policy = policy(configuration)
    try filtered(configuration) { descriptor, filter in
      guard let domain = try host.domain(arguments) else {
        // Xen's own library does it: what it tells the policy is all that is known.
        policy.takesDecisionsOnly = true
        let record = TracingPolicy.Record()
        defer { if arguments.isLive { recorder?.trace = record.trace } }
        return try host.save(
          arguments, to: descriptor, policy: TracingPolicy(policy, record),
          record.recording(callbacks(facts, filter)))
      }
      let sink: Sink
      let path = "stream of domain \(facts.id)"
      sink = Sink(try Descriptor(taking: descriptor, path: path, isOwned: false), path: path)
      let checkpoints = FlushingCheckpoints(HelperCheckpoints(channel), filter)
      let mode: Save.Mode =
        switch (stream, arguments.isLive) {
        case (.plain, false): .nonLive
        case (.plain, true): .live(policy)
        default: .checkpointed(policy, checkpoints)
        }
      let save = Save(
        HelpedDomain(domain, id: arguments.domain, channel: channel), to: sink, mode: mode,
        isVerifying: arguments.isDebug, clock: host.clock, progress: channel.report)
      defer { recorder?.trace = save.trace }
      for line in try save.run().aftermath { channel.log(.warn, line) }
    }
  }

  private func configuration(_ facts: HelperFacts) throws -> HelperConfiguration {
    guard !configurationFolder.isEmpty else { return HelperConfiguration() }
    return try HelperConfiguration(
      folder: configurationFolder, facts, arguments.side, deadline: deadlines.configuration)
  }

  /// The policy of the configuration. One that cannot be had does not stop a save.
  private func policy(_ configuration: HelperConfiguration) -> LoggingPolicy {
    if let script = configuration.policy, arguments.isLive {
      let channel = channel
      do {
        let policy = try script.policy { channel.log($0.ofXen, context: "xensave-lua policy", $1) }
        return LoggingPolicy(policy, name: "\(policy.name) (\(script.path))") {
          channel.log($0.ofXen, $1)
        }
      } catch {
        let problem = LuaError(raising: error).message
        channel.log(.warn, "\(script.path): \(problem); Xen's builtin policy decides")
      }
    }
    return LoggingPolicy(XenDefaultPolicy(), name: "builtin") { [channel] in
      channel.log($0.ofXen, $1)
    }
  }

  /// The file for the trace, where the configuration wants one. One that cannot be had does not stop
  /// a save. A save that is not live has no rounds to learn from.
  private func recorder(
    _ configuration: HelperConfiguration, _ facts: HelperFacts
  ) -> TraceRecorder? {
    guard let script = configuration.trace, arguments.isLive else { return nil }
    do { return try script.trace?.recorder(facts) } catch {
      channel.log(.warn, "\(script.path): \(error); no trace is recorded")
      return nil
    }
  }

  private func write(_ recorder: TraceRecorder?) {
    do { try recorder?.write() } catch {
      channel.log(.warn, "the trace is lost: \(error)")
    }
  }

  /// Runs `body` with the descriptor that is its end of the stream: libxl's, or that of the filters.
  private func filtered(
    _ configuration: HelperConfiguration,
    _ body: (Int32, HelperFilter?) throws -> Void
  ) throws {
    guard !configuration.filters.isEmpty else { return try body(arguments.descriptor, nil) }
    for script in configuration.filters { channel.log(.debug, "filter \(script.path)") }
    let log = FilterChannel(channel)
    let filter = try HelperFilter(
      configuration.filters, isRestore: arguments.isRestore, stream: arguments.descriptor,
      unknown: configuration.unknownRecords(otherwise: .show), deadline: deadlines.record
    ) { log.channel.log($0.ofXen, context: "xensave-lua filter", $1) }
    try filter.begin()
    if !arguments.isRestore {
      do { try HelperAbort.onSIGTERM([arguments.descriptor] + filter.descriptors) } catch {
        throw XensaveError(.unsuitable, "\(error)")
      }
    }
    do { try body(filter.descriptor, filter) } catch {
      throw HelperAbort.wasAsked ? error : filter.cause(of: error)
    }
    try filter.finish()
  }

  // MARK: - Restoring

  private func restore() throws {
    let facts = try host.facts(arguments.domain)
    try filtered(try configuration(facts)) { descriptor, filter in
      let results = try host.restore(arguments, from: descriptor, callbacks(facts, filter))
      // Nobody unpauses what has been restored before `complete` has said that all went well.
      try send(.restoreResults(store: results.store, console: results.console))
    }
  }

  // MARK: - libxl

  /// The callbacks that libxl has asked for.
  private func callbacks(_ facts: HelperFacts, _ filter: HelperFilter?) -> ManagerCallbacks {
    let asked = arguments.callbacks
    var table = ManagerCallbacks()
    if asked.contains(.suspend) { table.suspend = { self.ask(.suspend, failure: 0) != 0 } }
    let isRestore = arguments.isRestore
    if asked.contains(.postcopy) {
      table.postcopy = {
        // libxl writes after what has left the filters.
        if !isRestore, let filter, (try? filter.awaitCheckpoint()) == nil { return 0 }
        return self.ask(.postcopy, failure: 0)
      }
    }
    if asked.contains(.checkpoint) {
      table.checkpoint = {
        let answer = self.ask(.checkpoint, failure: 0)
        // Only where libxl has had its turn and continues: after a failover there is no next checkpoint,
        // and who waited for one would wait for a sender that may keep its end open for ever.
        if isRestore, answer == 1 { filter?.goOn() }
        return answer
      }
    }
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
      table.restoreResults = { try? self.send(.restoreResults(store: $0, console: $1)) }
    }
    return table
  }

  private func ask(_ message: HelperMessage, failure: Int32) -> Int32 {
    do { return try channel.call(message) } catch { return failure }
  }

  private func send(_ message: HelperMessage) throws {
    do { try channel.send(message) } catch {
      throw XensaveError(.complete, 0, "\(error)")
    }
  }
}

/// The channel as filters use it.
private final class FilterChannel: @unchecked Sendable {
  // Safe to send: the channel's log may be written from any thread.
  let channel: HelperChannel
  init(_ channel: HelperChannel) { self.channel = channel }
}

/// Checkpoints that libxl hears of once they have left the filters.
private final class FlushingCheckpoints: Checkpoints {
  private let base: HelperCheckpoints
  private let filter: HelperFilter?

  init(_ base: HelperCheckpoints, _ filter: HelperFilter?) {
    self.base = base
    self.filter = filter
  }

  func willEnd() throws { try base.willEnd() }

  func postcopy() throws -> Bool {
    try filter?.awaitCheckpoint()
    return try base.postcopy()
  }

  func checkpoint(_ count: Int) throws -> Bool { try base.checkpoint(count) }
}

extension LogLevel {
  /// The level in libxl's log.
  var ofXen: HelperMessage.Level {
    switch self {
    case .debug: .debug
    case .info: .info
    case .warning: .warn
    case .error: .error
    }
  }
}
