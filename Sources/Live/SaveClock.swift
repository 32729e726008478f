// The time of a save: of this machine, or of a simulation.

internal import SystemIO

/// Where a save takes its times from.
public protocol SaveClock: AnyObject {
  /// Nanoseconds; only differences mean something.
  var now: UInt64 { get }
  /// Told after each write that these bytes went out. A simulation lets time pass by it.
  func didWrite(_ byteCount: Int)
  /// Lets time pass, or returns early on a request to stop.
  func wait(nanoseconds: UInt64)
}

extension SaveClock {
  public func wait(nanoseconds: UInt64) { sleepUnlessInterrupted(nanoseconds: nanoseconds) }
}

/// The clock of this machine.
public final class MonotonicClock: SaveClock {
  public init() {}
  public var now: UInt64 { monotonicNanoseconds() }
  public func didWrite(_ byteCount: Int) {}
}
