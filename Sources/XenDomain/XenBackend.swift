// The real Xen as one of the places that domains come from.

internal import Format
public import Live
internal import SystemIO

/// The domains of the Xen that this machine runs under, if it does.
public final class XenBackend: DomainBackend {
  private var opened: XenHost?
  private let crashGuardWords: [String]

  /// `crashGuardWords`: see `XenHost.crashGuardWords`.
  public init(crashGuardWords: [String] = []) { self.crashGuardWords = crashGuardWords }

  public var name: String { "xen" }

  /// The hypervisor; nil where there is none. It is opened once.
  private func host() throws -> XenHost? {
    if let opened { return opened }
    guard XenHost.isHere else { return nil }
    let host = try XenHost()
    host.crashGuardWords = crashGuardWords
    opened = host
    return host
  }

  public func list() throws -> [DomainSummary] {
    guard let host = try host() else { return [] }
    return try host.list()
  }

  public func open(_ id: UInt32) throws -> (any ManagedDomain)? {
    guard let host = try host(), try host.info(id) != nil else { return nil }
    return try host.domain(id)
  }
}

extension XenHost {
  /// Whether this machine runs under a Xen that it may ask.
  public static var isHere: Bool {
    FileSystem.exists("/dev/xen/privcmd") || FileSystem.exists("/proc/xen/privcmd")
  }

  /// All domains but that of the machine itself, with their names.
  public func list() throws -> [DomainSummary] {
    var summaries: [DomainSummary] = []
    for info in try domains() {
      summaries.append(
        DomainSummary(
          id: info.id, name: try name(info.id), uuid: info.uuidText,
          guest: info.isHVM ? .x86HVM : .x86PV, isPaused: info.isPaused, pageCount: info.pageCount,
          vcpuCount: info.onlineVCPUCount))
    }
    return summaries
  }
}
