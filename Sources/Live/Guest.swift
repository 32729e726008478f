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
  /// Written behind those, vCPU by vCPU.
  public let eachVCPU: [RecordType]
  /// Whether a device model writes to the guest's memory, so that it has to tell about it.
  public let hasEmulator: Bool
  /// Whether page tables hold machine frames, which the stream must not.
  public let normalises: Bool

  /// HVM and PVH. Xen writes HVM_CONTEXT before HVM_PARAMS, whatever the specification's order.
  public static let hvm = Guest(
    type: .x86HVM, staticData: [.x86CPUIDPolicy, .x86MSRPolicy], startOfStream: [],
    endOfCheckpoint: [.x86TSCInfo, .hvmContext, .hvmParams], eachVCPU: [], hasEmulator: true,
    normalises: false)

  public static let pv = Guest(
    type: .x86PV, staticData: [.x86PVInfo, .x86CPUIDPolicy, .x86MSRPolicy],
    startOfStream: [.x86PVP2MFrames], endOfCheckpoint: [.x86TSCInfo, .sharedInfo],
    eachVCPU: [.x86PVVCPUBasic, .x86PVVCPUExtended, .x86PVVCPUXsave, .x86PVVCPUMSRs],
    hasEmulator: false, normalises: true)

  /// The table of a type; nil for a guest that no stream can hold.
  public static func of(_ type: GuestType) -> Guest? {
    switch type {
    case .x86HVM: hvm
    case .x86PV: pv
    default: nil
    }
  }
}
