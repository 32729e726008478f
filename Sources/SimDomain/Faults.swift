// Failures of a simulated domain, on request.

public import Live

/// A place where a simulated domain can be made to fail.
public enum FaultPoint: Hashable, Sendable, CustomStringConvertible {
  /// The hook throws.
  case hook(Hook)
  /// A page of the batch is gone when it is mapped.
  case pageVanishes
  /// A page has a type that no stream can hold.
  case unknownType
  /// `suspend` says that it worked, but the guest runs on.
  case silentSuspend
  /// Log-dirty tells of fewer pages than there are.
  case shortBitmap
  /// The guest changes its p2m list (PV).
  case domainChanges
  /// The domain is destroyed; counted in calls of all hooks.
  case domainDies

  /// All points that a save can meet.
  public static let ofSaves: [FaultPoint] =
    [
      Hook.info, .frameCount, .frames, .pageTypes, .map, .checkUnchanged, .switchEmulatorLogDirty,
      .enableLogDirty, .cleanLogDirty, .peekLogDirty, .disableLogDirty, .suspend, .resume, .state,
    ].map(FaultPoint.hook) + [
      .pageVanishes, .unknownType, .silentSuspend, .shortBitmap, .domainChanges, .domainDies,
    ]

  /// The name by which scripts ask for it: "map", "page-vanishes", ...
  public var description: String {
    switch self {
    case .hook(let hook): hook.rawValue
    case .pageVanishes: "page-vanishes"
    case .unknownType: "unknown-type"
    case .silentSuspend: "silent-suspend"
    case .shortBitmap: "short-bitmap"
    case .domainChanges: "domain-changes"
    case .domainDies: "domain-dies"
    }
  }

  /// The point of a name.
  public init?(name: String) {
    let all = FaultPoint.ofSaves + Hook.allCases.map(FaultPoint.hook)
    guard let point = all.first(where: { $0.description == name }) else { return nil }
    self = point
  }
}

/// Which calls fail.
public struct Faults: Sendable {
  private struct Armed: Sendable {
    var at: Int
    var times: Int
    var errno: Int32
  }

  private var armed: [FaultPoint: Armed] = [:]
  private var passed: [FaultPoint: Int] = [:]

  public init() {}

  /// Makes call `at` (from 1, counted from now on) of `point` fail, and the ones after it:
  /// `times` in all. `errno`: what the call fails with.
  public mutating func arm(_ point: FaultPoint, at: Int = 1, times: Int = 1, errno: Int32 = 5) {
    armed[point] = Armed(at: at, times: times, errno: errno)
    passed[point] = 0
  }

  public mutating func disarm() { armed = [:] }

  /// Counts a pass over `point`; the errno if it fails this time.
  mutating func pass(_ point: FaultPoint) -> Int32? {
    let count = passed[point, default: 0] + 1
    passed[point] = count
    guard let armed = armed[point], count >= armed.at, count - armed.at < armed.times else {
      return nil
    }
    return armed.errno
  }
}
