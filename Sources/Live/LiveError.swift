// The error of the layer that saves and restores domains.

public import Stream
public import SystemIO

/// The hooks of `Domain` and `DomainBuilder`, by name.
public enum Hook: String, Sendable, CaseIterable {
  case info, frameCount, frames, pageTypes, map, machineFrame, checkUnchanged
  case switchEmulatorLogDirty, enableLogDirty, cleanLogDirty, peekLogDirty, disableLogDirty
  case suspend, resume, state
  case pause, unpause, store
  case postcopy, checkpoint
  case staticDataDone, populate, setTypes, mapForWriting, setState, complete
}

/// Where a save or a restore is.
public enum Step: Sendable, Hashable, CustomStringConvertible {
  case setup
  case headers
  case staticData
  case startOfStream
  case enableLogDirty
  /// A round while the guest runs, from 0.
  case precopy(round: Int)
  case suspend
  /// The round in which the guest stands still.
  case finalRound
  case verify
  case endOfCheckpoint
  /// Between two checkpoints; the first one is 0.
  case checkpoint(Int)
  case end
  case restore

  public var description: String {
    switch self {
    case .setup: "setup"
    case .headers: "headers"
    case .staticData: "static data"
    case .startOfStream: "start of stream"
    case .enableLogDirty: "enabling log-dirty"
    case .precopy(let round): "live round \(round)"
    case .suspend: "suspending"
    case .finalRound: "final round"
    case .verify: "verify round"
    case .endOfCheckpoint: "end-of-checkpoint records"
    case .checkpoint(let number): "checkpoint \(number)"
    case .end: "end of stream"
    case .restore: "restore"
    }
  }
}

/// Why a domain was not saved or not restored.
public struct LiveError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The hypervisor, or the caller behind a callback, refused. `number`: errno, 0 if there is none.
    case hook(Hook, number: Int32)
    /// The policy ended the save.
    case aborted
    /// The domain said that it was suspended, but it is not shut down with that reason.
    case notSuspended
    /// A page has a type that no stream can hold.
    case unknownPageType
    /// Log-dirty told of fewer or more pages than the domain has.
    case logDirtyLength
    /// The stream is not one that this domain can be restored from.
    case unsuitable
    /// There is no hypervisor that could be asked, or one that is not known. `number`: errno.
    case noHypervisor(number: Int32)
    case system(SystemError)
    case stream(StreamError)
  }

  public let kind: Kind
  /// What was expected and what was found, or what the hypervisor said.
  public let problem: String
  /// Where it happened; nil only inside a hook.
  public internal(set) var step: Step?
  /// What could not be put back as it was: failures of cleaning up, in their order.
  public internal(set) var aftermath: [String] = []

  public init(_ kind: Kind, _ problem: String) {
    self.kind = kind
    self.problem = problem
  }

  /// A hook that was refused.
  public init(_ hook: Hook, _ number: Int32 = 0, _ problem: String) {
    self.init(.hook(hook, number: number), problem)
  }

  /// Notes what could not be put back either.
  public mutating func add(aftermath line: String) { aftermath.append(line) }

  init(_ error: SystemError) { self.init(.system(error), error.description) }
  init(_ error: StreamError) { self.init(.stream(error), error.description) }

  /// One word for programs: "aborted", "suspend", "epipe", ...
  public var code: String {
    switch kind {
    case .hook(let hook, _): hook.rawValue
    case .aborted: "aborted"
    case .notSuspended: "not_suspended"
    case .unknownPageType: "page_type"
    case .logDirtyLength: "log_dirty"
    case .unsuitable: "unsuitable"
    case .noHypervisor: "no_hypervisor"
    case .system(let error): error.symbol
    case .stream(let error): error.code
    }
  }

  /// errno, where the failure has one.
  public var number: Int32? {
    switch kind {
    case .hook(_, let number), .noHypervisor(let number): number == 0 ? nil : number
    case .system(let error): error.number
    default: nil
    }
  }

  public var description: String {
    var text = step.map { "\($0): " } ?? ""
    if case .hook(let hook, _) = kind { text += "\(hook.rawValue): " }
    text += problem
    for line in aftermath { text += "; then " + line }
    return text
  }
}
