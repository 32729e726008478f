// What a save or restore asks of whoever manages the domain, as functions.

/// What a save or restore in Xen's library asks of whoever manages the domain: libxl, mostly.
/// A callback that is nil is not offered. All are called on the thread of the save.
public struct ManagerCallbacks {
  /// Suspends the guest; false fails.
  public var suspend: (() -> Bool)?
  /// Lets the guest run again; false ends the save.
  public var postcopy: (() -> Int32)?
  public var checkpoint: (() -> Int32)?
  public var waitCheckpoint: (() -> Int32)?
  /// 0, or -1 for a failure.
  public var switchEmulatorLogDirty: ((Bool) -> Int32)?
  /// Restore: bit 0 for CPUID, bit 1 for MSRs that the stream does not have; 0 is good.
  public var staticDataDone: ((UInt32) -> Int32)?
  /// Restore: frames of xenstore's ring and of the console.
  public var restoreResults: ((UInt64, UInt64) -> Void)?

  public init() {}
}

/// Which kind of stream: Xen's xc_stream_type_t.
public enum StreamKind: Int32, Sendable {
  case plain, remus, colo
}
