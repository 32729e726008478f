// A domain that says which hook is called.

public import Format
public import Live

/// Calls a function before each hook of another domain.
public final class HookedDomain: Domain {
  private let base: any Domain
  private let before: (Hook) -> Void

  public init(_ base: any Domain, before: @escaping (Hook) -> Void) {
    self.base = base
    self.before = before
  }

  public func info() throws -> DomainInfo {
    before(.info)
    return try base.info()
  }

  public func frameCount() throws -> Int {
    before(.frameCount)
    return try base.frameCount()
  }

  public func frames(of pfns: [UInt64], into frames: inout [UInt64]) throws {
    before(.frames)
    try base.frames(of: pfns, into: &frames)
  }

  public func pageTypes(of frames: [UInt64], into types: inout [PageType]) throws {
    before(.pageTypes)
    try base.pageTypes(of: frames, into: &types)
  }

  public func map(_ frames: [UInt64]) throws -> PageLease {
    before(.map)
    return try base.map(frames)
  }

  public func pageNumber(ofMachineFrame frame: UInt64) -> UInt64? {
    base.pageNumber(ofMachineFrame: frame)
  }

  public func checkUnchanged() throws {
    before(.checkUnchanged)
    try base.checkUnchanged()
  }

  public func switchEmulatorLogDirty(_ isOn: Bool) throws {
    before(.switchEmulatorLogDirty)
    try base.switchEmulatorLogDirty(isOn)
  }

  public func enableLogDirty() throws {
    before(.enableLogDirty)
    try base.enableLogDirty()
  }

  public func cleanLogDirty(
    into bitmap: inout PageBitmap, isFinal: Bool
  ) throws -> LogDirtyCounts {
    before(.cleanLogDirty)
    return try base.cleanLogDirty(into: &bitmap, isFinal: isFinal)
  }

  public func peekLogDirty(into bitmap: inout PageBitmap) throws -> LogDirtyCounts {
    before(.peekLogDirty)
    return try base.peekLogDirty(into: &bitmap)
  }

  public func throttle(_ percent: Int) throws {
    before(.throttle)
    try base.throttle(percent)
  }

  public func disableLogDirty() throws {
    before(.disableLogDirty)
    try base.disableLogDirty()
  }

  public func suspend() throws {
    before(.suspend)
    try base.suspend()
  }

  public func resume() throws {
    before(.resume)
    try base.resume()
  }

  public func state(_ type: RecordType, vcpu: Int?) throws -> [UInt8]? {
    before(.state)
    return try base.state(type, vcpu: vcpu)
  }
}
