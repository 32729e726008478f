// Stopping and starting a domain without libxl.

internal import CXen
internal import Glibc
public import Live
internal import SystemIO

extension XenDomain: ManagedDomain {
  /// Seconds for which a guest may take its time, as with libxl.
  static let patience = 60

  public func pause() throws {
    // Xen counts: paused twice, a domain would have to be unpaused twice, by whoever paused it first.
    if try xenInfo().isPaused { return }
    try withPendingUndo(.pause) {
      guard unsafe cxen_pause(host.xen, id) == 0 else { throw failure(.suspend, "pausing") }
    }
  }

  public func unpause() throws {
    guard try xenInfo().isPaused else { return resolve(.pause) }
    guard unsafe cxen_unpause(host.xen, id) == 0 else { throw failure(.resume, "unpausing") }
    resolve(.pause)
  }

  /// A guest with PV drivers is asked through xenstore and stands still by itself; one without is
  /// stopped by Xen. Xen: tools/libs/light/libxl_dom_suspend.c.
  public func suspend() throws {
    let info = try xenInfo()
    if info.shutdown == .suspend { return }
    guard info.shutdown == nil else {
      throw XensaveError(.suspend, ENODEV, "the domain is shut down already")
    }
    try withPendingUndo(.suspension) { try askToSuspend(info) }
    owesResume = true
  }

  public func keepSuspended() -> Bool {
    resolve(.suspension)
    defer { owesResume = false }
    return owesResume
  }

  public func takeBackSuspended() {
    owesResume = true
    try? host.note(.suspension, id, isDue: true)
  }

  private func askToSuspend(_ info: XenDomainInfo) throws {
    if info.isHVM {
      let (callback, sleeping) = (try param(0), try param(14))
      if callback == 0 || sleeping != 0 {
        guard unsafe cxen_shutdown_for_suspend(host.xen, id) == 0 else {
          throw failure(.suspend, "suspending")
        }
        return
      }
    }
    let control = "control/shutdown"
    try writeStore(control, Array("suspend".utf8))
    do {
      try wait("the guest does not answer the request to suspend") {
        try readStore(control) != Array("suspend".utf8)
      }
      try wait("the guest does not stand still") {
        try xenInfo().shutdown != nil
      }
    } catch {
      // It must not suspend behind our back.
      if (try? readStore(control)) == Array("suspend".utf8) { try? writeStore(control, []) }
      throw error
    }
  }

  public func resume() throws {
    guard unsafe cxen_resume(host.xen, id, true) == 0 else { throw failure(.resume, "resuming") }
    _ = unsafe cxen_store_resume(host.xen, id)
    owesResume = false
    resolve(.suspension)
  }

  /// PVH and PV domains have no device model that writes to memory. That of an HVM domain is libxl's
  /// to talk to: live saves of those are done as its helper.
  public func switchEmulatorLogDirty(_ isOn: Bool) throws {
    let info = try xenInfo()
    guard isOn, info.isHVM, !info.isPVH else { return }
    throw XensaveError(
      .switchEmulatorLogDirty, ENOTSUP,
      "the domain has a device model, which only libxl can tell to note dirty pages")
  }

  // MARK: - Processors

  /// Caps the domain by its scheduler: its vCPUs together get what they would be left with. It is only
  /// done where somebody takes it back if this program is killed.
  public func throttle(_ percent: Int) throws {
    if percent == 0 {
      guard let cap = capBefore else { return }
      try setCap(cap)
      capBefore = nil
      return resolve(.throttle)
    }
    guard !host.crashGuardWords.isEmpty else {
      throw XensaveError(
        .throttle, 0, "nobody would give the guest its processors back if this program were killed")
    }
    let before: UInt16
    if let cap = capBefore {
      before = cap
    } else {
      var cap: UInt16 = 0
      guard unsafe cxen_cap(host.xen, id, &cap) == 0 else {
        throw failure(.throttle, "the domain's scheduler has no caps (credit and credit2 have)")
      }
      before = cap
      try host.note(.throttle, id, isDue: true, cap: cap)
      capBefore = cap
    }
    // In percent of one processor. A cap of 0 would be none.
    let all = before > 0 ? Int(before) : 100 * max(1, try info().onlineVCPUs.count)
    do { try setCap(UInt16(clamping: max(1, all * (100 - percent) / 100))) } catch {
      // What it had is what it has, or what is to be given back to it.
      try? setCap(before)
      capBefore = nil
      resolve(.throttle)
      throw error
    }
  }

  func setCap(_ cap: UInt16) throws {
    guard unsafe cxen_set_cap(host.xen, id, cap) == 0 else {
      throw failure(.throttle, "the cap of its scheduler")
    }
  }

  private func wait(
    _ problem: String, _ condition: () throws -> Bool
  ) throws {
    let end = monotonicNanoseconds() + UInt64(XenDomain.patience) * 1_000_000_000
    while try !condition() {
      guard monotonicNanoseconds() < end else { throw XensaveError(.suspend, ETIMEDOUT, problem) }
      try Interrupt.check("domain \(id)")
      sleep(nanoseconds: 5_000_000)
    }
  }
}
