// What a run of the manager finds around it: programs, sockets, limits, its log.

internal import Live
package import Reports
internal import SystemIO

/// How long what is waited for, in nanoseconds. Whatever hangs, a run ends in less than 130 s after that.
package struct ManagerLimits: Sendable {
  /// Until xenguest is ready. The stock programs: 180 s.
  package var ready: UInt64 = 110_000_000_000
  /// For the answer to a command.
  package var command: UInt64 = 30_000_000_000
  /// For `done` of xenopsd: a guest may take its time to suspend.
  package var answer: UInt64 = 120_000_000_000
  /// Without a report, and without a byte that xenguest reads or writes; 0 for no limit.
  package var saveStall: UInt64 = 120_000_000_000
  /// The same of a restore, whose sender may have to wait for its guest as long as `answer`.
  package var restoreStall: UInt64 = 121_000_000_000
  /// For the end of xenguest, before it is killed.
  package var exit: UInt64 = 60_000_000_000
  /// The same where something did not come in time.
  package var exitAfterTimeout: UInt64 = 8_000_000_000

  package init() {}
}

/// What a run works with. Tests put others in the places of all of it.
package struct ManagerSetup {
  package var limits = ManagerLimits()
  /// The stock programs.
  package var stock = "/usr/lib64/xen/bin/emu-manager"
  package var xenguest = "/usr/libexec/xen/bin/xenguest"
  /// Where xenguest listens, and QEMU, without the domain's number.
  package var xenguestSocket = "/run/xen/xenguest-control-"
  package var qemuSocket = "/var/run/xen/qmp-libxl-"
  package var xenStoreSockets = XenStoreClient.sockets
  package var configurationFolder = "/etc/xen/xensave.d"
  /// Called on the main thread only.
  package var log: (LogLevel, String) -> Void

  package init(log: @escaping (LogLevel, String) -> Void) { self.log = log }
}
