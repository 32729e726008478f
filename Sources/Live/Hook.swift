// Operations on domains and parts of a save, as errors name them.

public import SystemIO

/// The hooks of `Domain` and `DomainBuilder`, by name.
public enum Hook: String, Sendable, CaseIterable {
  case info, frameCount, frames, pageTypes, map, machineFrame, checkUnchanged
  case switchEmulatorLogDirty, enableLogDirty, cleanLogDirty, peekLogDirty, disableLogDirty
  case throttle
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
    case .checkpoint(let index): "checkpoint \(index)"
    case .end: "end of stream"
    case .restore: "restore"
    }
  }
}

extension XensaveError {
  /// An operation on a domain that the hypervisor, or the caller behind a callback, refused.
  /// `errno` is 0 where there is none.
  public init(_ hook: Hook, _ errno: Int32 = 0, _ problem: String) {
    self.init(.hook, problem, errno: errno == 0 ? nil : errno, operation: hook.rawValue)
  }

  /// Notes what could not be put back either.
  public mutating func add(aftermath line: String) { aftermath.append(line) }
}
