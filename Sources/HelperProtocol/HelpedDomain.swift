// A domain whose manager is libxl: what libxl does is asked of it, the rest of the hypervisor.

public import Format
public import Live
internal import SystemIO

/// A domain that is saved on behalf of libxl. Suspending, the device model and checkpoints are
/// libxl's: it is asked through the channel. When the save fails, libxl resumes the domain.
public final class HelpedDomain: Domain {
  private let base: any Domain
  private let channel: HelperChannel
  private let id: UInt32

  /// `base` does all that is the hypervisor's.
  public init(_ base: any Domain, id: UInt32, channel: HelperChannel) {
    self.base = base
    self.id = id
    self.channel = channel
  }

  public func suspend() throws {
    guard try channel.ask(.suspend, .suspend) != 0 else {
      throw XensaveError(.suspend, 0, "libxl could not suspend the domain")
    }
  }

  public func switchEmulatorLogDirty(_ isOn: Bool) throws {
    let message = HelperMessage.switchQEMULogDirty(domain: id, isOn: isOn)
    guard try channel.ask(message, .switchEmulatorLogDirty) == 0 else {
      throw XensaveError(.switchEmulatorLogDirty, 0, "libxl could not tell the device model")
    }
  }

  /// libxl does it when it hears that the save has failed.
  public func resume() throws {}

  public func info() throws -> DomainInfo { try base.info() }
  public func frameCount() throws -> Int { try base.frameCount() }
  public func checkUnchanged() throws { try base.checkUnchanged() }
  public func enableLogDirty() throws { try base.enableLogDirty() }
  public func disableLogDirty() throws { try base.disableLogDirty() }
  public func map(_ frames: [UInt64]) throws -> PageLease { try base.map(frames) }

  public func frames(of pfns: [UInt64], into frames: inout [UInt64]) throws {
    try base.frames(of: pfns, into: &frames)
  }

  public func pageTypes(of frames: [UInt64], into types: inout [PageType]) throws {
    try base.pageTypes(of: frames, into: &types)
  }

  public func pageNumber(ofMachineFrame frame: UInt64) -> UInt64? {
    base.pageNumber(ofMachineFrame: frame)
  }

  public func cleanLogDirty(
    into bitmap: inout PageBitmap, isFinal: Bool
  ) throws -> LogDirtyCounts {
    try base.cleanLogDirty(into: &bitmap, isFinal: isFinal)
  }

  public func peekLogDirty(into bitmap: inout PageBitmap) throws -> LogDirtyCounts {
    try base.peekLogDirty(into: &bitmap)
  }

  public func throttle(_ percent: Int) throws { try base.throttle(percent) }

  public func state(_ type: RecordType, vcpu: Int?) throws -> [UInt8]? {
    try base.state(type, vcpu: vcpu)
  }
}

/// Checkpoints that libxl takes. Between two of them it writes its own records to the stream, which
/// is why nothing may be held back then.
public final class HelperCheckpoints: Checkpoints {
  private let channel: HelperChannel

  public init(_ channel: HelperChannel) { self.channel = channel }

  /// After CHECKPOINT the receiving libxl reads what this libxl writes. Xen: where the stream ends there,
  /// libxl_stream_read.c takes the end for records without a body, and never stops reading them.
  public func willEnd() throws {
    guard channel.isConnected else { throw XensaveError(.checkpoint, 0, "libxl is gone") }
  }

  public func postcopy() throws -> Bool { try channel.ask(.postcopy, .postcopy) > 0 }

  public func checkpoint(_ count: Int) throws -> Bool {
    try channel.ask(.checkpoint, .checkpoint) > 0
  }
}

extension HelperChannel {
  /// Calls libxl; a broken pipe fails the hook.
  fileprivate func ask(_ message: HelperMessage, _ hook: Hook) throws -> Int32 {
    do { return try call(message) } catch {
      let reason = XensaveError(error)
      throw XensaveError(hook, reason.errno ?? 0, reason.description)
    }
  }

  /// Tells libxl how far a save is. A failure shows at the next call that has an answer.
  public func report(_ progress: Save.Progress) {
    report(progress.what, done: progress.done, total: progress.total)
  }
}
