// What a simulated domain does when it is restored.

internal import Bytes
public import Format
public import Live
internal import SystemIO

extension SimDomain: DomainBuilder {
  public var guestType: GuestType { configuration.guest }
  public var frameLimit: Int { configuration.frameCount }

  public func staticDataDone(missing: [RecordType]) throws {
    try enter(.staticDataDone)
    missingStaticData = missing
  }

  public func populate(_ pfns: [UInt64]) throws {
    try enter(.populate)
    for pfn in pfns {
      guard pfn < UInt64(frameLimit), !present[Int(pfn)] else {
        throw XensaveError(.populate, 22, "pfn \(pfn.hex()): no such page, or one that it has")
      }
      present[Int(pfn)] = true
      types[Int(pfn)] = .notab
    }
  }

  public func setTypes(_ entries: [PageEntry]) throws {
    try enter(.setTypes)
    for entry in entries {
      guard entry.pfn < UInt64(frameLimit) else { continue }
      // A page that was there and is no more keeps its memory, as with Xen; its type tells.
      types[Int(entry.pfn)] = entry.type
    }
  }

  public func mapForWriting(_ pfns: [UInt64]) throws -> PageLease {
    try enter(.mapForWriting)
    return try lend(
      configuration.guest == .x86PV ? pfns.map { machineFrames[Int($0)] } : pfns, .mapForWriting)
  }

  public func setState(_ type: RecordType, vcpu: Int?, _ body: [UInt8]) throws {
    try enter(.setState)
    states[StateKey(type: type, vcpu: vcpu)] = body
  }

  public func complete() throws {
    try enter(.complete)
    if configuration.guest == .x86PV { localise() }
    start()
  }

  public func discard() {
    isDiscarded = true
    runningVCPUs = []
  }

  /// PV: puts machine frames into the page tables. A pfn without a page gets one, as with Xen.
  private func localise() {
    let table = PageAlignedBuffer(capacity: pageByteCount)
    for page in 0..<configuration.frameCount where present[page] && types[page].isPageTable {
      let start = page * pageByteCount
      memory.withBytes(start..<start + pageByteCount) { table.store(0, $0) }
      PVPageTable.localise(table, at: 0) { pfn in
        guard pfn < UInt64(configuration.frameCount) else { return pfn }
        present[Int(pfn)] = true
        if types[Int(pfn)] == .xtab { types[Int(pfn)] = .notab }
        return machineFrames[Int(pfn)]
      }
      for place in stride(from: 0, to: pageByteCount, by: 8) {
        let word = table.withBytes(place..<place + 8) { $0.load(0, as: UInt64.self) }
        memory.store(start + place, word)
      }
    }
  }
}
