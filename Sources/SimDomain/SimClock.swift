// The time of a simulated domain.

internal import Bytes
public import Live
internal import SystemIO

/// A clock that a simulation shares with the save that looks at it.
public final class SimClock: SaveClock {
  public enum Kind: Sendable, Equatable {
    /// Time passes by what is written: a link of so many bytes a second. Exact and repeatable.
    case virtual(bytesPerSecond: UInt64)
    /// The clock of this machine, from 0 at the start.
    case real
  }

  public let kind: Kind
  private var time: UInt64 = 0
  private var carry: UInt64 = 0
  private let start: UInt64

  public init(_ kind: Kind) {
    if case .virtual(let speed) = kind { precondition(speed > 0) }
    self.kind = kind
    start = monotonicNanoseconds()
  }

  public var now: UInt64 { kind == .real ? monotonicNanoseconds() - start : time }

  public func didWrite(_ byteCount: Int) {
    guard case .virtual(let speed) = kind else { return }
    let scaled = UInt64(byteCount).multipliedFullWidth(by: 1_000_000_000)
    let (low, overflow) = scaled.low.addingReportingOverflow(carry)
    let high = scaled.high + (overflow ? 1 : 0)
    guard high < speed else { return time = .max }
    let divided = speed.dividingFullWidth((high, low))
    time = time.addingSaturated(divided.quotient)
    carry = divided.remainder
  }

  public func wait(nanoseconds: UInt64) { advance(by: nanoseconds) }

  /// Lets time pass (in real time: sleeps).
  public func advance(by nanoseconds: UInt64) {
    if kind == .real {
      sleep(nanoseconds: nanoseconds)
    } else {
      time = time.addingSaturated(nanoseconds)
    }
  }
}
