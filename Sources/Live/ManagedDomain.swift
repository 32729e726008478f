// A domain as a script handles it, and where such domains come from.

public import Format

/// A domain that can be managed: besides what a save needs, what `xl` does with it. The same rules
/// hold as for `Domain`: one thread, and a hook that throws has changed nothing.
public protocol ManagedDomain: Domain {
  /// Stops the vCPUs where they are; counted by nobody: a domain that is paused stays so. Xen:
  /// XEN_DOMCTL_pausedomain.
  func pause() throws

  /// Lets the vCPUs continue. Does nothing for a domain that is not paused.
  func unpause() throws

  /// Says that the domain, which is suspended or about to be, is to stay so if this program is killed:
  /// somebody may have the whole of it by now, and it must not run twice. Where nobody would resume it
  /// anyway, does nothing. Returns whether somebody would have.
  func keepSuspended() -> Bool

  /// Takes `keepSuspended` back, if that returned true: whoever was to have the domain does not.
  func takeBackSuspended()

  /// The value of a node of xenstore; nil where there is none. Paths that do not begin with "/" are
  /// below the domain's own, /local/domain/ID.
  func readStore(_ path: String) throws -> [UInt8]?

  /// Writes a node of xenstore, with those above it.
  func writeStore(_ path: String, _ value: [UInt8]) throws

  /// The names of the nodes below one; nil where there is no such node.
  func listStore(_ path: String) throws -> [String]?

  /// Waits until a node at or below `path` changes, for at most `timeout` nanoseconds: its path, or
  /// nil when nothing has. What changed before the first call does not count.
  func watchStore(_ path: String, timeout: UInt64) throws -> String?
}

extension ManagedDomain {
  public func keepSuspended() -> Bool { false }
  public func takeBackSuspended() {}
}

/// A line of a list of domains.
public struct DomainSummary: Sendable, Equatable {
  public var id: UInt32
  public var name: String?
  /// In the form 00000000-0000-4000-8000-000000000001.
  public var uuid: String?
  public var guest: GuestType
  public var isPaused: Bool
  public var pageCount: Int
  public var vcpuCount: Int

  public init(
    id: UInt32, name: String?, uuid: String?, guest: GuestType, isPaused: Bool, pageCount: Int,
    vcpuCount: Int
  ) {
    self.id = id
    self.name = name
    self.uuid = uuid
    self.guest = guest
    self.isPaused = isPaused
    self.pageCount = pageCount
    self.vcpuCount = vcpuCount
  }
}

/// A kind of hypervisor: lists its domains and opens them.
public protocol DomainBackend: AnyObject {
  /// One word: "xen", "simulated".
  var name: String { get }
  /// The domains that there are, by number. Empty where the hypervisor is not there; throws where it
  /// is and cannot be asked.
  func list() throws -> [DomainSummary]
  /// Domain `id`; nil where there is none.
  func open(_ id: UInt32) throws -> (any ManagedDomain)?
}
