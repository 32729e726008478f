// What a simulated domain answers to a save.

internal import Bytes
public import Format
public import Live
internal import SystemIO

extension SimDomain: Domain {
  /// Counts a call, lets the guest catch up and fails where it is asked to.
  func enter(_ hook: Hook) throws {
    catchUp()
    callCounts[hook, default: 0] += 1
    if faults.pass(.domainDies) != nil {
      isDead = true
      runningVCPUs = []
    }
    guard !isDead else { throw XensaveError(hook, 3, "no such domain") }
    if let errorNumber = faults.pass(.hook(hook)) {
      throw XensaveError(hook, errorNumber, "refused on request")
    }
  }

  public func info() throws -> DomainInfo {
    try enter(.info)
    let width = states[StateKey(type: .x86PVInfo, vcpu: nil)]?.first ?? 0
    return DomainInfo(
      id: configuration.id, guest: configuration.guest, shutdown: shutdown,
      pageCount: present.setCount, onlineVCPUs: onlineVCPUs, xenMajor: 4, xenMinor: 17,
      guestWidth: Int(width), isPaused: isPaused)
  }

  public func frameCount() throws -> Int {
    try enter(.frameCount)
    return configuration.frameCount
  }

  public func frames(of pfns: [UInt64], into frames: inout [UInt64]) throws {
    try enter(.frames)
    frames.removeAll(keepingCapacity: true)
    guard configuration.guest == .x86PV else { return frames += pfns }
    for pfn in pfns { frames.append(present[Int(pfn)] ? machineFrames[Int(pfn)] : invalidFrame) }
  }

  public func pageTypes(of frames: [UInt64], into types: inout [PageType]) throws {
    try enter(.pageTypes)
    types.removeAll(keepingCapacity: true)
    let (present, kinds) = (present, self.types)
    if configuration.guest == .x86PV {
      for frame in frames {
        let page = pageIndex(frame).flatMap { present[$0] ? $0 : nil }
        types.append(page.map { kinds[$0] } ?? .xtab)
      }
    } else {
      for frame in frames {
        let hasPage = frame < UInt64(present.count) && present[Int(frame)]
        types.append(hasPage ? kinds[Int(frame)] : .xtab)
      }
    }
    if faults.pass(.unknownType) != nil, !types.isEmpty { types[0] = PageType(rawValue: 5) }
  }

  public func map(_ frames: [UInt64]) throws -> PageLease {
    try enter(.map)
    if let errorNumber = faults.pass(.pageVanishes) {
      throw XensaveError(.map, errorNumber, "frame \(frames[0].hex()): the page is gone")
    }
    return try lend(frames, .map)
  }

  func lend(_ frames: [UInt64], _ hook: Hook) throws -> PageLease {
    var addresses: [UnsafeMutableRawPointer] = unsafe []
    unsafe addresses.reserveCapacity(frames.count)
    let present = present
    let base = unsafe memory.pointer(0)
    let isPV = configuration.guest == .x86PV
    for frame in frames {
      let page = isPV ? pageIndex(frame) ?? .max : Int(clamping: frame)
      guard page < present.count, present[page] else {
        throw XensaveError(hook, 22, "frame \(frame.hex()): no such page")
      }
      // Safety: the memory holds `present.count` pages.
      unsafe addresses.append(base + page * pageByteCount)
    }
    openLeaseCount += 1
    // Safety: the memory lives as long as the domain, which the closure holds.
    return unsafe PageLease(addresses) { self.openLeaseCount -= 1 }
  }

  /// The pfn of a frame; nil for none of this domain's.
  func pageIndex(_ frame: UInt64) -> Int? {
    guard configuration.guest == .x86PV else {
      return frame < UInt64(configuration.frameCount) ? Int(frame) : nil
    }
    guard frame >= machineBase, frame - machineBase < UInt64(pageNumbers.count) else { return nil }
    return Int(pageNumbers[Int(frame - machineBase)])
  }

  public func pageNumber(ofMachineFrame frame: UInt64) -> UInt64? {
    guard let page = pageIndex(frame), present[page] else { return nil }
    return UInt64(page)
  }

  public func checkUnchanged() throws {
    try enter(.checkUnchanged)
    if faults.pass(.domainChanges) != nil {
      throw XensaveError(.checkUnchanged, 5, "the guest has changed its p2m list")
    }
  }

  public func switchEmulatorLogDirty(_ isOn: Bool) throws {
    try enter(.switchEmulatorLogDirty)
    isEmulatorLogDirtyOn = isOn
  }

  public func enableLogDirty() throws {
    try enter(.enableLogDirty)
    guard !isLogDirtyOn else { throw XensaveError(.enableLogDirty, 22, "it is on already") }
    isLogDirtyOn = true
    dirty.clear()
  }

  public func cleanLogDirty(
    into bitmap: inout PageBitmap, isFinal: Bool
  ) throws -> LogDirtyCounts {
    try enter(.cleanLogDirty)
    let counts = try peek(into: &bitmap, .cleanLogDirty)
    dirty.clear()
    return counts
  }

  public func peekLogDirty(into bitmap: inout PageBitmap) throws -> LogDirtyCounts {
    try enter(.peekLogDirty)
    return try peek(into: &bitmap, .peekLogDirty)
  }

  private func peek(
    into bitmap: inout PageBitmap, _ hook: Hook
  ) throws -> LogDirtyCounts {
    guard isLogDirtyOn else { throw XensaveError(hook, 22, "log-dirty is off") }
    guard bitmap.count == dirty.count else {
      throw XensaveError(hook, 22, "a bitmap of wrong length")
    }
    bitmap.assign(dirty)
    let missing = faults.pass(.shortBitmap) == nil ? 0 : 1
    return LogDirtyCounts(
      frameCount: dirty.count - missing, dirtyCount: dirty.setCount)
  }

  public func throttle(_ percent: Int) throws {
    try enter(.throttle)
    guard (0..<100).contains(percent) else { throw XensaveError(.throttle, 22, "no such throttle") }
    throttle = percent
  }

  public func disableLogDirty() throws {
    try enter(.disableLogDirty)
    isLogDirtyOn = false
    dirty.clear()
  }

  public func suspend() throws {
    try enter(.suspend)
    guard shutdown == nil else { return }
    // Whoever is paused answers nobody.
    guard !isPaused else { throw XensaveError(.suspend, 110, "the guest is paused") }
    // The guest continues working until its last vCPU has come to the hypercall.
    clock.advance(by: configuration.suspendTime)
    catchUp()
    if faults.pass(.silentSuspend) != nil { return }
    runningVCPUs = []
    shutdown = .suspend
  }

  public func resume() throws {
    try enter(.resume)
    guard shutdown == .suspend else { throw XensaveError(.resume, 22, "it is not suspended") }
    start()
  }

  public func state(_ type: RecordType, vcpu: Int?) throws -> [UInt8]? {
    try enter(.state)
    let isStatic = Guest.of(configuration.guest).map {
      $0.staticData.contains(type) || $0.startOfStream.contains(type)
    }
    guard isStatic == true || isPaused || shutdown == .suspend else {
      throw XensaveError(.state, 16, "\(type.name) was asked for while the guest runs")
    }
    return states[StateKey(type: type, vcpu: vcpu)]
  }
}
