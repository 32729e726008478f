// The real Xen, as a save helper needs it.

internal import SystemIO
internal import Format
internal import HelperProtocol
internal import Jobs
internal import Live
internal import XenDomain

/// HVM and PVH are saved by the native loop; PV, and whatever COLO does, by xc_domain_save. All are
/// restored by xc_domain_restore.
final class XenHelperHost: HelperHost {
  private let host: XenHost

  init(_ channel: HelperChannel) throws {
    // Libxl is of the release that runs: where its arguments are those of an older one, nothing that
    // could be opened here fits.
    guard channel.release == .xen414 else {
      throw XenHost.unknown("a Xen before 4.14 (by libxl's arguments)")
    }
    host = try XenHost(
      message: { line in
        channel.log(
          HelperMessage.Level(rawValue: line.level) ?? .info, errno: line.errno,
          context: line.context, line.text)
      },
      progress: { line in
        channel.report(context: line.context, line.what, done: line.done, total: line.total)
      })
    // Started when a policy throttles the guest, and not before.
    host.crashGuardWords = [ownProgram, crashGuardWord]
    host.guardsThrottleOnly = true
  }

  func facts(_ id: UInt32) throws -> HelperFacts {
    guard let info = try host.info(id) else {
      throw XensaveError(.info, 3, "there is no domain \(id)")
    }
    return HelperFacts(
      id: id, name: try host.name(id) ?? "", type: info.isPVH ? "pvh" : info.isHVM ? "hvm" : "pv")
  }

  func domain(_ arguments: HelperArguments) throws -> (any Domain)? {
    let domain = try host.domain(arguments.domain)
    return try domain.info().guest == .x86HVM && arguments.stream != .colo ? domain : nil
  }

  func save(
    _ arguments: HelperArguments, to descriptor: Int32, policy: any Policy,
    _ callbacks: ManagerCallbacks
  ) throws {
    var save = DelegatedSave(isLive: arguments.isLive)
    save.isVerifying = arguments.isDebug
    save.streamType = arguments.stream ?? .plain
    save.backDescriptor = arguments.backDescriptor
    try save.run(try host.domain(arguments.domain), to: descriptor, policy: policy, callbacks)
  }

  func restore(
    _ arguments: HelperArguments, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> (store: UInt64, console: UInt64) {
    var restore = DelegatedRestore(
      storeChannel: arguments.value(of: .storeChannel),
      storeDomain: arguments.value(of: .storeDomain),
      consoleChannel: arguments.value(of: .consoleChannel),
      consoleDomain: arguments.value(of: .consoleDomain))
    restore.streamType = arguments.stream ?? .plain
    restore.backDescriptor = arguments.backDescriptor
    let result = try restore.run(host, domain: arguments.domain, from: descriptor, callbacks)
    return (result.store, result.console)
  }
}
