// Which records a guest has, and when they are written.

public import Format

/// A kind of guest, as the save loop sees it.
public struct Guest: Sendable {
  public let type: GuestType
  /// Written before STATIC_DATA_END, in this order.
  public let staticData: [RecordType]
  /// Written before the first page.
  public let startOfStream: [RecordType]
  /// Written when all pages were sent and the guest stands still.
  public let endOfCheckpoint: [RecordType]
  /// Written after those, vCPU by vCPU.
  public let eachVCPU: [RecordType]
  /// Whether a device model writes to the guest's memory, so that it has to tell about it.
  public let hasEmulator: Bool
  /// Whether page tables hold machine frames, which the stream must not.
  public let normalises: Bool

  /// HVM and PVH.
  public static let hvm = Guest(.x86HVM, hasEmulator: true, normalises: false)
  public static let pv = Guest(.x86PV, hasEmulator: false, normalises: true)

  /// The records are those of the tables, in their order; Xen writes what every guest has before the
  /// state that only this one has.
  private init(_ type: GuestType, hasEmulator: Bool, normalises: Bool) {
    let rows = LibxcRecords.all.filter { $0.guests.include(type) && $0.type != .staticDataEnd }
    func types(_ phase: RecordSchema.Phase) -> [RecordType] {
      rows.filter { $0.phase == phase && !$0.perVCPU }.map(\.type)
    }
    self.type = type
    staticData = types(.staticData)
    startOfStream = types(.startOfStream)
    let state = rows.filter { $0.phase == .endOfCheckpoint && !$0.perVCPU }
    endOfCheckpoint =
      (state.filter { $0.guests == .any } + state.filter { $0.guests != .any }).map(\.type)
    eachVCPU = rows.filter { $0.phase == .endOfCheckpoint && $0.perVCPU }.map(\.type)
    self.hasEmulator = hasEmulator
    self.normalises = normalises
  }

  /// The table of a type; nil for a guest that no stream can hold.
  public static func of(_ type: GuestType) -> Guest? {
    switch type {
    case .x86HVM: hvm
    case .x86PV: pv
    default: nil
    }
  }
}
