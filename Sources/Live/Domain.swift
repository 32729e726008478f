// The hypervisor, as the save loop sees it.

public import Format
internal import SystemIO

/// What the hypervisor says of a domain. Xen: struct xen_domctl_getdomaininfo.
public struct DomainInfo: Sendable, Equatable {
  /// Why a domain is shut down. Xen: xen/include/public/sched.h, SHUTDOWN_*.
  public enum Shutdown: Int, Sendable {
    case powerOff, reboot, suspend, crash, watchdog, softReset
  }

  public var id: UInt32
  public var guest: GuestType
  /// nil while it runs or is paused.
  public var shutdown: Shutdown?
  /// Pages that it has now.
  public var pageCount: Int
  /// vCPUs that are online, ascending. PV state is saved for these only.
  public var onlineVCPUs: [Int]
  /// Release of the hypervisor, for the domain header.
  public var xenMajor: UInt32
  public var xenMinor: UInt32
  /// PV: bytes of the guest's words, 4 or 8; 0 for HVM.
  public var guestWidth: Int
  /// PV, 32-bit: the first machine frame of Xen's compatibility M2P table, by which the L2 that
  /// maps it is known; nil where there is none.
  public var compatM2PFrame: UInt64?
  /// Whether its vCPUs were stopped from outside.
  public var isPaused: Bool

  public init(
    id: UInt32, guest: GuestType, shutdown: Shutdown? = nil, pageCount: Int, onlineVCPUs: [Int],
    xenMajor: UInt32, xenMinor: UInt32, guestWidth: Int = 0, compatM2PFrame: UInt64? = nil,
    isPaused: Bool = false
  ) {
    self.id = id
    self.guest = guest
    self.shutdown = shutdown
    self.pageCount = pageCount
    self.onlineVCPUs = onlineVCPUs
    self.xenMajor = xenMajor
    self.xenMinor = xenMinor
    self.guestWidth = guestWidth
    self.compatM2PFrame = compatM2PFrame
    self.isPaused = isPaused
  }

  public var isSuspended: Bool { shutdown == .suspend }
}

/// The frame number of a page that the domain does not have (ballooned out). Xen: INVALID_MFN.
public let invalidFrame = UInt64.max

/// The operations that a save needs of a hypervisor and of whoever manages the domain. Every hook
/// must be implemented, even if it has nothing to do. They are called from one thread only. A hook
/// that throws ends the save: log-dirty is switched off, and a domain that was suspended by the
/// save is resumed.
///
/// Order: info, frameCount, switchEmulatorLogDirty(true), state (static), enableLogDirty,
/// { frames, pageTypes, map } ..., cleanLogDirty, ..., suspend, info, cleanLogDirty(final), ...,
/// state (records), disableLogDirty, switchEmulatorLogDirty(false).
public protocol Domain: AnyObject {
  /// The domain as it is now. Called once at the start, after each `suspend`, and when a save
  /// fails. Throws if the domain is gone.
  func info() throws -> DomainInfo

  /// The greatest page number of the domain, plus one. Called once, before all that counts pages.
  func frameCount() throws -> Int

  /// The frames after `pfns`, as many and in their order; `invalidFrame` where there is none.
  /// HVM: the pfns themselves. PV: from the guest's p2m. Called once a batch (at most 1024 pages),
  /// while the guest runs or stands still. `frames` holds what the last call left.
  func frames(of pfns: [UInt64], into frames: inout [UInt64]) throws

  /// The types of `frames`, as many and in their order; XTAB where there is no page. Called once a
  /// batch, after `frames`. Xen: XEN_DOMCTL_getpageframeinfo3.
  func pageTypes(of frames: [UInt64], into types: inout [PageType]) throws

  /// Lends the memory of `frames` for reading, in their order. Called once a batch that has a page
  /// with data, with those frames only. Throws if a single one cannot be mapped: there is no retry.
  /// The domain owns the memory; it takes it back when the lease goes, which is before the next
  /// call of any hook but `machineFrame`.
  func map(_ frames: [UInt64]) throws -> PageLease

  /// PV: the pfn of a machine frame of this domain, nil if it is not its (by the M2P table, and the
  /// p2m agrees). Called for each present entry of each page table that is sent. HVM: never called.
  func pageNumber(ofMachineFrame frame: UInt64) -> UInt64?

  /// Called at the end of each pass over memory. Throws if the guest has changed what the stream
  /// depends on (PV: the generation of its p2m list); else does nothing.
  func checkUnchanged() throws

  /// Tells the device model to report the pages that it writes, or to stop it. HVM only: once with
  /// true before the first record, live or not, and once with false at the end if that succeeded.
  func switchEmulatorLogDirty(_ isOn: Bool) throws

  /// Starts to note dirty pages. Called once, for saves with live rounds. When it throws,
  /// `disableLogDirty` and this are called once more before the save gives up.
  func enableLogDirty() throws

  /// Puts the pages dirtied since the last call into `bitmap` (which holds `frameCount` bits of
  /// older content) and forgets them. Called once after each live round, and once with `isFinal`
  /// when the guest stands still. Returns how many pages the bitmap covers and how many are dirty.
  func cleanLogDirty(
    into bitmap: inout PageBitmap, isFinal: Bool
  ) throws -> LogDirtyCounts

  /// As `cleanLogDirty`, but forgets nothing. Called once, after a verify round; and before each batch of a
  /// round that leaves out pages that are dirty again.
  func peekLogDirty(into bitmap: inout PageBitmap) throws -> LogDirtyCounts

  /// Takes `percent` of 100 of its vCPUs' time from the domain (0: gives all of it back). Called before
  /// rounds, where a policy asks for another value than before, and with 0 at the end of every save that
  /// has throttled it. Throws where the domain cannot be throttled: the save continues without.
  func throttle(_ percent: Int) throws

  /// Stops noting dirty pages. Called at the end of every save that called `enableLogDirty`, even
  /// if that failed; then nothing may be on, and it is no error.
  func disableLogDirty() throws

  /// Asks the guest to stand still, and waits for it: afterwards `info` says that it is shut down
  /// with reason suspend. Called once a save, and once a checkpoint. Also called for a domain that
  /// is suspended already. Throws if the guest does not do it in time.
  func suspend() throws

  /// Lets a suspended domain run on. Called once when a save fails that has suspended it, and by
  /// the standard `Checkpoints`. Does nothing where the caller of the save does it (libxl).
  func resume() throws

  /// The body of a record, as the stream holds it (PV: frames are pfns); nil if there is nothing to
  /// be said, and then no record is written. `vcpu` is given for the types that exist once a vCPU.
  /// Static types (X86_PV_INFO, X86_CPUID_POLICY, X86_MSR_POLICY) and X86_PV_P2M_FRAMES are asked
  /// for once before the first page, all others when the guest stands still.
  func state(_ type: RecordType, vcpu: Int?) throws -> [UInt8]?
}

extension Domain {
  public func throttle(_ percent: Int) throws {
    throw XensaveError(.throttle, 0, "this domain cannot be throttled")
  }
}

/// What an operation on log-dirty says.
public struct LogDirtyCounts: Sendable, Equatable {
  /// Pages that the bitmap covers: must be the domain's `frameCount`.
  public var frameCount: Int
  public var dirtyCount: Int

  public init(frameCount: Int, dirtyCount: Int) {
    self.frameCount = frameCount
    self.dirtyCount = dirtyCount
  }
}
