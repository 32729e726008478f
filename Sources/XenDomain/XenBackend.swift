// The real Xen as one of the places that domains come from.

internal import Format
public import Live
internal import SystemIO

/// The domains of the Xen that this machine runs under, if it does.
public final class XenBackend: DomainBackend {
  private var opened: XenHost?
  private let guardianWords: [String]

  /// `guardianWords`: see `XenHost.guardianWords`.
  public init(guardianWords: [String] = []) { self.guardianWords = guardianWords }

  public var name: String { "xen" }

  /// The hypervisor; nil where there is none. It is opened once.
  private func host() throws(LiveError) -> XenHost? {
    if let opened { return opened }
    guard XenHost.isHere else { return nil }
    let host = try XenHost()
    host.guardianWords = guardianWords
    opened = host
    return host
  }

  public func list() throws(LiveError) -> [DomainSummary] {
    guard let host = try host() else { return [] }
    return try host.list()
  }

  public func open(_ id: UInt32) throws(LiveError) -> (any ManagedDomain)? {
    guard let host = try host(), try host.info(id) != nil else { return nil }
    return try host.domain(id)
  }
}

extension XenHost {
  /// Whether this machine runs under a Xen that it may ask.
  public static var isHere: Bool {
    Surroundings.exists("/dev/xen/privcmd") || Surroundings.exists("/proc/xen/privcmd")
  }

  /// All domains but that of the machine itself, with their names.
  public func list() throws(LiveError) -> [DomainSummary] {
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
