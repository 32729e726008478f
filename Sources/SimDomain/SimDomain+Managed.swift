// What a simulated domain does for whoever manages it.

internal import Bytes
internal import Format
public import Live

extension SimDomain: ManagedDomain {
  public func pause() throws {
    try enter(.pause)
    isPaused = true
  }

  public func unpause() throws {
    try enter(.unpause)
    isPaused = false
  }

  /// The full path of a node.
  func storePath(_ path: String) -> String {
    path.hasPrefix("/") ? path : "/local/domain/\(configuration.id)/\(path)"
  }

  public func readStore(_ path: String) throws -> [UInt8]? {
    try enter(.store)
    let path = storePath(path)
    if let value = store[path] { return value }
    // A node that only has others below it is empty.
    return store.keys.contains { $0.hasPrefix(path + "/") } ? [] : nil
  }

  public func writeStore(_ path: String, _ value: [UInt8]) throws {
    try enter(.store)
    store[storePath(path)] = value
  }

  public func listStore(_ path: String) throws -> [String]? {
    try enter(.store)
    let prefix = storePath(path) + "/"
    let below = store.keys.filter { $0.hasPrefix(prefix) }
    guard !below.isEmpty || store[storePath(path)] != nil else { return nil }
    return Set(below.map { String($0.dropFirst(prefix.count).prefix { $0 != "/" }) }).sorted()
  }

  /// Nobody but the caller writes here: the time passes, and nothing has changed.
  public func watchStore(_ path: String, timeout: UInt64) throws -> String? {
    try enter(.store)
    clock.advance(by: timeout)
    return nil
  }
}

/// The simulated domains of one program run, by number from 1.
public final class SimBackend: DomainBackend {
  private var domains: [UInt32: SimDomain] = [:]

  public init() {}

  public var name: String { "simulated" }

  /// The number that the next domain gets.
  public var nextID: UInt32 { (domains.keys.max() ?? 0) + 1 }

  /// Takes a domain up; it stays until `remove`.
  public func add(_ domain: SimDomain) { domains[domain.configuration.id] = domain }

  /// Ends a domain.
  public func remove(_ domain: SimDomain) { domains[domain.configuration.id] = nil }

  public func list() throws -> [DomainSummary] {
    domains.values.sorted { $0.configuration.id < $1.configuration.id }.map { domain in
      DomainSummary(
        id: domain.configuration.id, name: domain.configuration.name, uuid: domain.uuid,
        guest: domain.configuration.guest, isPaused: domain.isPaused,
        pageCount: domain.present.setCount, vcpuCount: domain.onlineVCPUs.count)
    }
  }

  public func open(_ id: UInt32) throws -> (any ManagedDomain)? { domains[id] }
}

extension SimDomain {
  /// Made from the number: the same in every run.
  public var uuid: String {
    let digits = String(configuration.id, radix: 16)
    return "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
  }
}
