// Restores that Xen's own library does.

internal import SystemIO
internal import CXen
internal import Glibc
public import Live

/// A restore by xc_domain_restore. It reads not one byte after END, or after CHECKPOINT before
/// the checkpoint callback.
public struct DelegatedRestore {
  /// Event channels and domains of xenstore and the console.
  public var storeChannel: UInt32
  public var storeDomain: UInt32
  public var consoleChannel: UInt32
  public var consoleDomain: UInt32
  public var streamType = StreamKind.plain
  /// COLO: where this side's dirty pages go; -1 for nowhere.
  public var backDescriptor: Int32 = -1

  public init(
    storeChannel: UInt32, storeDomain: UInt32, consoleChannel: UInt32, consoleDomain: UInt32
  ) {
    self.storeChannel = storeChannel
    self.storeDomain = storeDomain
    self.consoleChannel = consoleChannel
    self.consoleDomain = consoleDomain
  }

  /// Frames of xenstore's ring and of the console.
  public struct Result: Sendable {
    public let store: UInt64
    public let console: UInt64
  }

  /// Restores the stream of `descriptor` into `domain`, which libxl has made, blocking.
  public func run(
    _ host: XenHost, domain: UInt32, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> Result {
    var arguments = cxen_restore_arguments(
      domain: domain, store_channel: storeChannel, store_domain: storeDomain,
      console_channel: consoleChannel, console_domain: consoleDomain,
      stream_type: streamType.rawValue, back_descriptor: backDescriptor)
    let box = CallbackBox(callbacks)
    var (store, console): (UInt, UInt) = (0, 0)
    let result = unsafe box.withTable {
      unsafe cxen_restore(host.xen, descriptor, &arguments, $0, &store, &console)
    }
    guard result == 0 else {
      let errorNumber = errno
      throw XensaveError(
        .complete, errorNumber,
        "xc_domain_restore failed: \(unsafe String(cString: strerror(errorNumber)))")
    }
    return Result(store: UInt64(store), console: UInt64(console))
  }
}
