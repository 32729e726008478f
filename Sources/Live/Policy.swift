// Who decides when the guest is stopped.

internal import Bytes

/// What a policy says. Xen: XGS_POLICY_*.
public enum PrecopyDecision: Sendable, Equatable {
  /// Send another round while the guest runs.
  case continuePrecopy
  /// Suspend the guest and send what is left.
  case stopAndCopy
  /// Give up: the guest runs on here. With a reason for people.
  case abort(String)

  /// Xen's number: -1, 0, 1.
  public var code: Int {
    switch self {
    case .abort: -1
    case .continuePrecopy: 0
    case .stopAndCopy: 1
    }
  }

  /// The verdict of Xen's number; nil for any other.
  public init?(code: Int) {
    switch code {
    case -1: self = .abort("")
    case 0: self = .continuePrecopy
    case 1: self = .stopAndCopy
    default: return nil
    }
  }
}

/// What a stop of the guest has taken, in nanoseconds; nil of what nobody has measured.
public struct StopTimes: Sendable, Equatable {
  /// From asking the guest to suspend until it is suspended.
  public var suspend: UInt64?
  /// The round that was sent then.
  public var finalRound: UInt64?
  /// The records after it.
  public var records: UInt64?

  public init() {}

  /// What it takes beside the pages.
  public var besidePages: UInt64 { (suspend ?? 0).addingSaturated(records ?? 0) }
}

/// What a policy decides on: made by `PrecopyRecorder`. The first three are Xen's struct
/// precopy_stats.
public struct PrecopyStats: Sendable, Equatable {
  /// Rounds that were sent.
  public var iteration = 0
  /// Pages that were sent in all of them, those without data too.
  public var totalWritten = 0
  /// Pages that are dirty; nil while that is not known (Xen: -1).
  public var dirtyCount: Int?
  /// Whether this is the call before a round is sent (the other one comes after it).
  public var isBeforeRound = true
  /// Pages that the domain may have (its p2m size).
  public var frameCount = 0
  /// Nanoseconds since the first round began.
  public var elapsed: UInt64 = 0
  /// Nanoseconds of the last round; 0 before there is one.
  public var roundTime: UInt64 = 0
  /// Pages a second that the last round sent; 0 where it cannot be told.
  public var bandwidth = 0.0
  /// Pages a second that the guest dirtied in the last round; 0 where it cannot be told.
  public var dirtyRate = 0.0
  /// The same two, smoothed over the rounds: each new one counts half, and a bandwidth by how much
  /// was sent.
  public var smoothBandwidth = 0.0
  public var smoothDirtyRate = 0.0
  /// Pages that wait for the last round and are not dirty now: they come on top of `dirtyCount`.
  public var deferredCount = 0
  /// Pages of the last round that were dirty again when their turn came, and left to the next one.
  public var skippedCount = 0
  /// Element n: pages that were dirty in more than n of the last eight rounds. Empty where nobody counts.
  public var hotCounts: [Int] = []
  /// Of 100, how much of its processors the guest does without now.
  public var throttle = 0
  /// Bytes of the stream that were written; nil where nobody counts (saves by Xen's library).
  public var byteCount: UInt64?
  /// What the last stop of this save has taken: a checkpointed save has one each checkpoint.
  public var stop = StopTimes()

  public init() {}

  /// Pages that would be sent if the guest stood still now; nil where it cannot be told.
  public var remainingCount: Int? { dirtyCount.map { $0.addingSaturated(deferredCount) } }

  /// Nanoseconds that sending the remaining pages would take, with what is known of the rest of a stop; nil
  /// where it cannot be told.
  public var estimatedDowntime: UInt64? {
    guard let remainingCount, bandwidth > 0 else { return nil }
    return UInt64(saturating: Double(remainingCount) / bandwidth * 1e9)
      .addingSaturated(stop.besidePages)
  }
}

/// How a save ended, for a policy that wants to know.
public enum SaveOutcome: Sendable, Equatable {
  case complete
  case aborted(String)
  case failed(String)
}

/// Decides on precopy. Called from the save's thread, between batches of pages.
public protocol Policy {
  /// Called once, before the first `decide`.
  mutating func begin(_ info: DomainInfo, frameCount: Int)
  /// Called twice a round: before it is sent, and after it (`dirtyCount` is nil then).
  mutating func decide(_ stats: PrecopyStats) -> PrecopyDecision
  /// How the next round is to be sent; asked for after each `decide`. Xen's own library knows none of it.
  var measures: RoundMeasures { get }
  /// Called once, when the guest stands still after the last live round; not when a policy aborts.
  mutating func suspended(_ stats: PrecopyStats)
  /// Called when the guest of a checkpointed save runs again, after each checkpoint.
  mutating func postcopy()
  /// Called after `postcopy`, before the wait for the next checkpoint; `count`: how many there are.
  /// False ends the save; the guest runs then.
  mutating func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool
  /// Called once at the end of every save for which `begin` was called.
  mutating func end(_ outcome: SaveOutcome)
}

extension Policy {
  public var measures: RoundMeasures { RoundMeasures() }
  public mutating func begin(_ info: DomainInfo, frameCount: Int) {}
  public mutating func suspended(_ stats: PrecopyStats) {}
  public mutating func postcopy() {}
  public mutating func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool { true }
  public mutating func end(_ outcome: SaveOutcome) {}
}

/// What Xen does by itself. Xen: tools/libs/guest/xg_sr_save.c, simple_precopy_policy; the same
/// limits stood in the code without a callback in 4.6 to 4.9.
public struct XenDefaultPolicy: Policy, Sendable {
  public static let dirtyLimit = 50
  public static let roundLimit = 5

  public init() {}

  public func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    if let dirty = stats.dirtyCount, dirty < XenDefaultPolicy.dirtyLimit { return .stopAndCopy }
    return stats.iteration >= XenDefaultPolicy.roundLimit ? .stopAndCopy : .continuePrecopy
  }
}

/// Stops when the guest would stand still for no longer than it may; gives up when rounds stop
/// getting smaller.
public struct DowntimePolicy: Policy, Sendable {
  /// Nanoseconds for which the guest may stand still.
  public var budget: UInt64
  /// Rounds after which it is stopped anyway.
  public var roundLimit: Int
  /// Rounds without a new least number of dirty pages after which the save is given up; nil: never.
  public var patience: Int?
  private var least = Int.max
  private var stale = 0

  public init(budget: UInt64, roundLimit: Int = 12, patience: Int? = 3) {
    self.budget = budget
    self.roundLimit = roundLimit
    self.patience = patience
  }

  public mutating func begin(_ info: DomainInfo, frameCount: Int) { (least, stale) = (.max, 0) }

  public mutating func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    guard stats.isBeforeRound else { return .continuePrecopy }
    // Before the first round there is no bandwidth to go by.
    if let time = stats.estimatedDowntime, time <= budget { return .stopAndCopy }
    if stats.iteration >= roundLimit { return .stopAndCopy }
    if let dirty = stats.dirtyCount, dirty < least {
      (least, stale) = (dirty, 0)
    } else {
      stale += 1
    }
    if let patience, stale >= patience {
      return .abort("pages are dirtied faster than they are sent")
    }
    return .continuePrecopy
  }
}

/// A policy that is a function.
public struct ClosurePolicy: Policy {
  private let function: (PrecopyStats) -> PrecopyDecision
  public init(_ function: @escaping (PrecopyStats) -> PrecopyDecision) { self.function = function }
  public func decide(_ stats: PrecopyStats) -> PrecopyDecision { function(stats) }
}
