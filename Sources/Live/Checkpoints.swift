// What happens between the checkpoints of a stream that has no end.

internal import SystemIO

/// Whoever takes checkpoints: libxl with Remus, or a program of its own. Xen: struct
/// save_callbacks, postcopy and checkpoint.
public protocol Checkpoints: AnyObject {
  /// Called once, when the save begins, with the domain as it is then.
  func begin(_ info: DomainInfo)
  /// Called before CHECKPOINT is written. Throws where whoever continues after it is gone: a stream that
  /// ends inside a checkpoint makes the other side take over at once.
  func willEnd() throws
  /// Called when CHECKPOINT has been written: the guest may run again. Whoever adds records of its
  /// own to the stream does it in `checkpoint`. False ends the save; the guest runs then.
  func postcopy() throws -> Bool
  /// Called after `postcopy`, while the guest runs: waits until the next checkpoint is due.
  /// `count`: how many there are. False ends the save.
  func checkpoint(_ count: Int) throws -> Bool
}

extension Checkpoints {
  public func begin(_ info: DomainInfo) {}
  public func willEnd() throws {}
}

/// Checkpoints of one domain without libxl: it runs on by itself, for as long as a function says. One
/// that was suspended before stands still all the time: who suspended it resumes it.
public final class DomainCheckpoints: Checkpoints {
  private let domain: any Domain
  private var wasSuspended = false
  private let wait: (Int) throws -> Bool

  /// `wait` blocks until the next checkpoint is due, and is given how many there are; false ends
  /// the save.
  public init(_ domain: any Domain, wait: @escaping (Int) throws -> Bool) {
    self.domain = domain
    self.wait = wait
  }

  public func begin(_ info: DomainInfo) { wasSuspended = info.isSuspended }

  public func postcopy() throws -> Bool {
    if !wasSuspended { try domain.resume() }
    return true
  }

  public func checkpoint(_ count: Int) throws -> Bool { try wait(count) }
}
