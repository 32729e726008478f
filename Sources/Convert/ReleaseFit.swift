// Making an image that a given release of Xen restores: what it cannot hold is leveled, cut or dropped.

internal import Bytes
internal import Format
internal import ImageCheck
internal import ImageEdit
internal import JSON
internal import Stream

/// Something that is done to an image for a release, or that would have to be done and must not.
public struct ReleaseChange: Sendable, Equatable, CustomStringConvertible {
  public enum Action: String, Sendable {
    /// A number or text has another value.
    case set
    /// The guest loses features of the processor.
    case leveled
    /// Something is shorter.
    case cut
    /// Something is left out.
    case dropped
    /// The release cannot hold it, and the guest needs it.
    case refused
  }

  public let action: Action
  /// "record 7 (HVM_CONTEXT): LAPIC[0]", "xl header: config.b_info.altp2m_count".
  public let place: String
  public let text: String
  /// Whether the source cannot be made from the result again: more than zeros is gone.
  public let isLoss: Bool

  public var description: String { "\(place): \(text)" }
}

/// Fits the parts of an image, in the order of the stream, to a release of Xen and to a host.
///
/// What is zero is cut and dropped. What is not zero is refused by name where the guest could miss it,
/// unless the fit may lose something. Features that the release does not give to guests are taken from
/// the policy, and refused where a vCPU has turned on what needs them. All of this is by the tables that
/// `Compat` reads.
struct ReleaseFit: Sendable {
  let release: XenRelease
  let host: HostDescription?
  let isLossy: Bool
  let traits: ReleaseTraits
  /// At most `limit`: what follows is counted.
  private(set) var changes: [ReleaseChange] = []
  private(set) var firstRefusal: ReleaseChange?
  private(set) var lossCount = 0
  static let limit = 1000

  /// The policies as they were and as they are now, for what vCPUs have turned on.
  var policies = FitPolicies()
  /// What is being looked at: "record 7 (HVM_CONTEXT)".
  private var place = ""
  private(set) var isHVM = true

  init(_ release: XenRelease, host: HostDescription? = nil, isLossy: Bool = false) {
    self.release = release
    self.host = host
    self.isLossy = isLossy
    traits = ReleaseTraits.of(release)
  }

  /// The release that a host runs, or nil where it is none that images are made for.
  static func refusal(of release: XenRelease) -> String? {
    if !release.isKnown {
      return "Xen \(release) is not known here: expected 4.6 to \(XenRelease.known.upperBound)"
    }
    return ReleaseTraits.of(release).version == 0
      ? "Xen \(release) reads the legacy format only, which is not written here: expected 4.6 to "
        + "\(XenRelease.known.upperBound)" : nil
  }

  // MARK: - Changes

  /// Notes a change; `inside` is the part of the place within the record or header.
  mutating func note(
    _ action: ReleaseChange.Action, _ inside: String, _ text: String, isLoss: Bool = false
  ) {
    let change = ReleaseChange(
      action: action, place: inside.isEmpty ? place : "\(place): \(inside)", text: text,
      isLoss: isLoss)
    if isLoss { lossCount += 1 }
    if action == .refused, firstRefusal == nil { firstRefusal = change }
    if changes.count < ReleaseFit.limit { changes.append(change) }
  }

  /// Whether something that the guest could miss may go: else it is refused.
  mutating func mayLose(_ inside: String, _ text: String) -> Bool {
    if isLossy { return true }
    note(.refused, inside, text + " (a lossy conversion leaves it out)")
    return false
  }

  mutating func refuse(_ inside: String, _ text: String) { note(.refused, inside, text) }

  // MARK: - Headers

  /// The header for the release. Version and byte order of the streams are the conversion's.
  mutating func fit(_ header: Header) -> Header {
    place = header.kind.title
    var header = header
    switch header.kind {
    case .xl:
      let unknown = (header.unsigned("mandatory_flags") ?? 0) & ~traits.xlFlags
      if unknown != 0 {
        refuse("mandatory_flags", "Xen \(release) does not know \(unknown.hex())")
      }
      if XLConfig.isJSON(header), let text = XLConfig.text(header) { fit(text, in: &header) }
    case .domain, .draftDomain: isHVM = header.unsigned("type") == UInt64(GuestType.x86HVM.rawValue)
    default: break
    }
    return header
  }

  /// Takes out of the configuration what the release's libxl does not know.
  private mutating func fit(_ text: [UInt8], in header: inout Header) {
    guard release.major == 4, var document = try? JSONDocument(text) else { return }
    var hasChanged = false
    // libxl stops at what it cannot convert: what comes after that shows when it is gone.
    for _ in 0..<100 {
      let problems = ConfigurationCheck.problems(document.text, minor: Int(release.minor))
      guard let problem = problems.first(where: { $0.removable != nil }),
        let path = problem.removable
      else {
        for problem in problems where problem.severity == .error {
          refuse(problem.path, problem.text)
        }
        break
      }
      if let replacement = problem.replacement {
        guard (try? document.set(path, to: replacement)) != nil else { break }
        hasChanged = true
        note(.set, problem.path, problem.text)
        continue
      }
      guard let value = document[path] else { break }
      if problem.severity != .note {
        guard mayLose(problem.path, problem.text) else { return }
      }
      guard (try? document.remove(path)) != nil else { break }
      hasChanged = true
      let was = value.text()
      note(
        .dropped, problem.path,
        "\(was.prefix(60).printable)\(was.count > 60 ? "..." : ""): " + problem.text, isLoss: true)
    }
    traditional(document)
    if hasChanged { XLConfig.setText(document.text, in: &header) }
  }

  /// A device model that the release does not have any more.
  private mutating func traditional(_ document: JSONDocument) {
    let info = document.root["b_info"]
    guard ReleaseFacts.dropsTraditional(release),
      (document.root["c_info"]?["type"]?.stringValue ?? "hvm") == "hvm",
      info?["device_model_version"]?.stringValue == "qemu_xen_traditional"
    else { return }
    refuse(
      "config.b_info.device_model_version",
      "qemu_xen_traditional, which Xen 4.21 dropped, and QEMU does not read its state")
  }

  // MARK: - Records

  /// The record for the release; nil where it has no place there.
  mutating func fit(_ record: Record) -> Record? {
    place = record.place
    guard record.type.layer == .libxc || record.type.layer == .libxl else { return record }
    guard let layout = RecordSchemas.of(record.type) else {
      if record.type.layer != .libxc || !record.type.isOptional {
        refuse("", "a record that no release knows")
      }
      return record
    }
    if record.type == .toolstack {
      return mayLose("", "every release refuses it") ? dropped("no release reads it") : record
    }
    if let first = ReleaseFacts.records[record.type], release < first {
      refuse("", "not known before Xen \(first)")
      return record
    }
    if record.type.layer == .libxc, record.length > traits.bodyLimit {
      refuse(
        "",
        "\(record.length) bytes, but Xen \(release) takes at most \(traits.bodyLimit >> 20) MiB")
      return record
    }
    if record.type.layer == .libxc, layout.since > traits.version {
      return dropped(
        record.type == .staticDataEnd
          ? nil : "Xen \(release) knows no such record: its toolstack makes a policy from the host")
    }
    // What is too long to be in memory is no state that a Xen takes.
    guard record.payloadByteCount == 0 else { return record }
    if record.isEmptyVCPUState, !ReleaseFacts.passesEmptyRecords.holds(for: release) {
      note(.dropped, "", "empty, which Xen \(release) refuses")
      return nil
    }
    switch record.type {
    case .x86CPUIDPolicy: return with(record, cpuid(record))
    case .x86MSRPolicy: return with(record, msrs(record))
    case .hvmContext: return checked(with(record, context(record)))
    case .hvmParams: return with(record, params(record))
    case .x86PVVCPUXsave: return checked(record)
    case .x86PVVCPUMSRs:
      guard let body = pvMSRs(record) else { return nil }
      return checked(with(record, body))
    default: return record
    }
  }

  /// Notes that a record is left out; without a text that says nothing of it.
  private mutating func dropped(_ text: String?) -> Record? {
    if let text { note(.dropped, "", text, isLoss: true) }
    return nil
  }

  /// The record, once what vCPUs have turned on in it was held against the release.
  private mutating func checked(_ record: Record) -> Record {
    checkUse(of: record)
    return record
  }

  private func with(_ record: Record, _ body: [UInt8]) -> Record {
    guard body != record.body else { return record }
    return Record(
      record.type, index: record.index, offset: record.offset, body: body,
      context: record.context, framing: record.framing, checkpoint: record.checkpoint)
  }

  /// HVM_PARAMS: a count, and pairs of 8 bytes each.
  private mutating func params(_ record: Record) -> [UInt8] {
    guard record.body.count >= 8 else { return record.body }
    let order = record.context.order
    var out = Array(record.body.prefix(8))
    for offset in stride(from: 8, through: record.body.count - 16, by: 16) {
      let index = record.body.load(offset, as: UInt64.self, order)
      let value = record.body.load(offset + 8, as: UInt64.self, order)
      let name = HVMParams.names[index] ?? "\(index)"
      if index == HVMParams.viridianIndex { checkViridian(value, name) }
      // libxc sets the parameter of the low 32 bits.
      let parameter = index & 0xFFFF_FFFF
      if let refusal = ReleaseFacts.refusal(ofParam: parameter, value, by: release) {
        let text = "\(value.hex()), and \(refusal)"
        if value == 0 || mayLose("params[\(name)]", text) {
          note(.dropped, "params[\(name)]", text, isLoss: value != 0)
          continue
        }
      }
      out += record.body[offset..<(offset + 16)]
    }
    guard out.count < record.body.count else { return record.body }
    out.store(0, UInt32((out.count - 8) / 16), order)
    return out
  }

  /// A guest that has been told of an interface uses it: nothing of it can be taken away.
  private mutating func checkViridian(_ value: UInt64, _ name: String) {
    for (bit, row) in HVMParams.viridian.enumerated()
    where value >> UInt64(bit) & 1 != 0 && release < XenRelease(4, UInt32(row.since)) {
      refuse(
        "params[\(name)]",
        "\(row.name) (bit \(bit)), which Xen knows from 4.\(row.since) on, and the guest may use")
    }
  }
}
