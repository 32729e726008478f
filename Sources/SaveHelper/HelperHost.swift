// What a save helper needs of a hypervisor.

public import HelperProtocol
public import Live

/// What is known of the domain that a helper is started for.
public struct HelperFacts: Sendable {
  public var id: UInt32
  /// As libxl has written it, without the "--incoming" and "--migratedaway" of a migration.
  public var name: String
  /// "pv", "pvh" or "hvm".
  public var type: String
  /// In the form 00000000-0000-4000-8000-000000000001; "" where it is not known.
  public var uuid: String
  /// Names by which the domain's own settings ask for files of the configuration (XAPI's hosts only).
  public var hooks: [String]

  public init(id: UInt32, name: String, type: String, uuid: String = "", hooks: [String] = []) {
    self.id = id
    self.name = name
    self.type = type
    self.uuid = uuid
    self.hooks = hooks
  }
}

/// The hypervisor that a helper works on.
public protocol HelperHost: AnyObject {
  /// Where the native loop takes its times from.
  var clock: any SaveClock { get }
  /// The domain that a helper was started for. Called once.
  func facts(_ id: UInt32) throws -> HelperFacts
  /// The domain for the native loop; nil where `save` has to do it.
  func domain(_ arguments: HelperArguments) throws -> (any Domain)?
  /// Saves a domain that the native loop cannot save, blocking.
  func save(
    _ arguments: HelperArguments, to descriptor: Int32, policy: any Policy,
    _ callbacks: ManagerCallbacks
  ) throws
  /// Restores into the domain that libxl has made, blocking; gives the frames of xenstore's ring and
  /// of the console. Reads nothing after END or CHECKPOINT.
  func restore(
    _ arguments: HelperArguments, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> (store: UInt64, console: UInt64)
}

extension HelperHost {
  public var clock: any SaveClock { MonotonicClock() }
}

extension HelperArguments {
  package var domain: UInt32 { value(of: .domain) }
  package var descriptor: Int32 { Int32(clamping: self[.ioDescriptor] ?? -1) }
  var backDescriptor: Int32 { Int32(clamping: self[.backDescriptor] ?? -1) }
  var isRestore: Bool { side == .restore }

  /// 4.6 saves have no such argument: Remus is known by its callbacks there.
  package var stream: StreamKind? {
    if let type = self[.streamType] { return StreamKind(rawValue: Int32(clamping: type)) }
    return callbacks.contains(.checkpoint) ? .remus : .plain
  }

  package func value(of name: Name) -> UInt32 { UInt32(truncatingIfNeeded: self[name] ?? 0) }
}
