// Whether a release of Xen restores an image, and why.

internal import Bytes
public import Format
public import ImageCheck
internal import Stream

/// One thing that speaks for or against a restore.
public struct CompatReason: Sendable, Equatable, CustomStringConvertible {
  /// `error`: the release refuses it. `warning`: it may fail, or give another guest. `note`: fine.
  public let severity: Severity
  /// What it is about: "version", "HVM_CONTEXT", "xl header".
  public let subject: String
  public let text: String

  public var description: String { "\(subject): \(text)" }
}

/// The compatibility of images with releases. Each check is one row.
public enum Compat {
  /// What speaks for and against restoring the image on `release`. The image is compatible where no
  /// reason is an error. With a `host`, its processor and memory count, too.
  public static func check(
    _ image: CompatSummary, for release: XenRelease, on host: HostDescription? = nil
  ) -> [CompatReason] {
    var look = CompatLook(image: image, release: release, host: host)
    guard release.isKnown else {
      look.refuse(
        "release",
        "Xen \(release) is not known here: expected \(XenRelease.known.lowerBound) to "
          + "\(XenRelease.known.upperBound) (for a newer one, ask for "
          + "\(XenRelease.known.upperBound))")
      return look.reasons
    }
    if image.legacy != nil {
      legacy(&look)
    } else {
      for check in checks { check(&look) }
    }
    return look.reasons
  }

  /// As above, for what a summary of the image alone knows: not the lengths of HVM_CONTEXT's entries and
  /// records.
  public static func check(_ imageSummary: ImageSummary, for release: XenRelease) -> [CompatReason]
  {
    check(CompatSummary(imageSummary), for: release)
  }

  /// Whether none of the reasons is against it.
  public static func isCompatible(_ reasons: [CompatReason]) -> Bool {
    !reasons.contains { $0.severity == .error }
  }

  private static let checks: [@Sendable (inout CompatLook) -> Void] = [
    version, order, container, records, lengths, release, policies, bounds, host, features, width,
    memory,
    context, msrs, params, viridian, deviceModel, configuration,
    checkpoints, errors, ending,
  ]

  // MARK: - Streams

  private static func legacy(_ look: inout CompatLook) {
    if look.traits.reads.upperBound == 0 {
      look.note("version", "Xen \(look.release) reads and writes the legacy format")
    } else {
      look.warn(
        "version",
        "the legacy format of Xen 4.5 and older: Xen \(look.release) reads it through libxl's "
          + "converter, if that is installed")
    }
  }

  /// Spec: libxc-migration-stream, Image Header: tools read version V, and V - 1 where the release
  /// before theirs wrote it.
  private static func version(_ look: inout CompatLook) {
    guard let version = look.imageSummary.version else {
      return look.refuse("version", "there is no libxc stream")
    }
    let traits = look.traits
    let before = ReleaseTraits.of(look.release.previous)
    if version == DraftB.version {
      look.refuse("version", "no release reads draft B (convert it to version 3)")
    } else if version == traits.version {
      look.note("version", "\(version) is what Xen \(look.release) writes")
    } else if !traits.reads.contains(version) {
      look.refuse(
        "version",
        traits.version == 0
          ? "\(version), but Xen \(look.release) reads only the legacy format"
          : "\(version), but Xen \(look.release) reads no stream newer than \(traits.version)")
    } else if version == before.version {
      look.note(
        "version", "\(version) is what the release before, Xen \(look.release.previous), wrote")
    } else {
      look.warn(
        "version",
        "\(version): Xen \(look.release) reads it, but promises that only for what the release "
          + "before it wrote (\(before.version))")
    }
  }

  private static func order(_ look: inout CompatLook) {
    let summary = look.imageSummary
    for (name, order) in [("libxl", summary.libxlOrder), ("libxc", summary.libxcOrder)]
    where order == .big {
      look.refuse(
        "byte order",
        "the \(name) stream is big-endian, which no release reads "
          + "(convert it to little-endian)")
    }
  }

  private static func container(_ look: inout CompatLook) {
    let headers = look.imageSummary.headers
    if let flags = headers[.xl]?.unsigned("mandatory_flags") {
      let unknown = flags & ~look.traits.xlFlags
      if unknown != 0 {
        look.refuse(
          "xl header",
          "mandatory_flags \(flags.hex()): Xen \(look.release) does not know \(unknown.hex())"
        )
      }
    }
    if headers[.xl] != nil, look.imageSummary.config == nil {
      look.warn(
        "xl header", "no configuration: `xl restore` needs one as a file (xl restore CONFIG IMAGE)")
    }
    if headers[.xenopsd] != nil {
      look.warn("container", "xenopsd's suspend image: xl and libvirt do not read it (unwrap it)")
    }
    if headers[.libvirt] != nil {
      look.note("container", "libvirt's save file: for virsh restore, not for xl")
    }
  }

  private static func records(_ look: inout CompatLook) {
    for type in look.imageSummary.records.keys.sorted(by: { $0.name < $1.name }) {
      guard type.layer == .libxc || type.layer == .libxl else { continue }
      guard let layout = RecordSchemas.of(type) else {
        if type.layer == .libxc, type.isOptional {
          look.note(type.name, "an optional record that Xen \(look.release) passes over")
        } else {
          look.refuse(type.name, "a record that no release knows")
        }
        continue
      }
      if type == .toolstack {
        look.refuse(type.name, "every release refuses it")
      } else if type.layer == .libxc, look.traits.version > 0, layout.since > look.traits.version {
        look.refuse(type.name, "not known before Xen 4.14")
      } else if let first = ReleaseFacts.records[type], look.release < first {
        look.refuse(type.name, "not known before Xen \(first)")
      }
    }
    if let place = look.image.emptyRecord, !ReleaseFacts.passesEmptyRecords.holds(for: look.release)
    {
      look.refuse(
        place,
        "empty: Xen \(look.release) refuses such records, which Xen passes over from "
          + "\(ReleaseFacts.passesEmptyRecords.text) on")
    }
  }

  private static func lengths(_ look: inout CompatLook) {
    guard let longest = look.image.longest, longest.byteCount > look.traits.bodyLimit else {
      return
    }
    look.refuse(
      longest.place,
      "\(longest.byteCount) bytes, but Xen \(look.release) takes at most "
        + "\(look.traits.bodyLimit >> 20) MiB")
  }

  // MARK: - State

  private static func release(_ look: inout CompatLook) {
    guard let said = look.imageSummary.xenVersion else { return }
    guard said.major > 0 else {
      return look.warn("release", "a converter made the stream: its saver is not known")
    }
    let saver = XenRelease(
      UInt32(truncatingIfNeeded: said.major), UInt32(truncatingIfNeeded: said.minor))
    let blobs =
      look.imageSummary.guest == .x86HVM ? "HVM_CONTEXT and the device model" : "vCPUs' state"
    if saver == look.release.branch || saver == look.release.previous {
      look.note("release", "saved by Xen \(saver)")
    } else if saver > look.release {
      look.warn(
        "release",
        "saved by the newer Xen \(saver): \(blobs) may hold what Xen \(look.release) does not know")
    } else {
      look.warn(
        "release",
        "saved by Xen \(saver): Xen \(look.release) promises to restore only what Xen "
          + "\(look.release.previous) saved")
    }
  }

  /// Xen: xen/common/hvm/save.c, hvm_load_entry: an entry longer than Xen's own is refused; a shorter
  /// one only where the type allows it.
  private static func context(_ look: inout CompatLook) {
    guard look.release.major == 4 else { return }
    for entry in look.image.entries {
      // Of END no release looks at the length.
      guard entry.type != HVMContextType.end else { continue }
      guard let layout = HVMRecords.chain.layout(entry.type) else {
        look.refuse("HVM_CONTEXT", "entry type \(entry.type) is known to no release")
        continue
      }
      let minor = Int(look.release.minor)
      guard let own = layout.byteCount(xenMinor: minor, patch: look.release.patch.map { Int($0) })
      else { continue }
      if look.release.patch == nil,
        let first = layout.backports.first(where: { $0.minor == minor }),
        let older = layout.byteCount(xenMinor: minor, patch: 0), entry.byteCount > older
      {
        look.warn(
          "HVM_CONTEXT.\(layout.name)",
          "\(entry.byteCount) bytes, which Xen takes from \(look.release).\(first.patch) on: "
            + "releases before it have \(older) and refuse it")
      }
      guard own != entry.byteCount else { continue }
      let place = "HVM_CONTEXT.\(layout.name)"
      let lengths = "\(entry.byteCount) bytes where Xen \(look.release) has \(own)"
      if entry.byteCount > own {
        look.refuse(place, lengths + ": longer entries are refused")
      } else if layout.mayBeShorter {
        look.note(place, lengths + ": it is filled up with zeros")
      } else {
        look.refuse(place, lengths)
      }
    }
  }

  private static func msrs(_ look: inout CompatLook) {
    let isPV = look.imageSummary.guest == .x86PV
    let subject = isPV ? "X86_PV_VCPU_MSRS" : "HVM_CONTEXT.CPU_MSR"
    if isPV, !look.image.msrs.isEmpty, ReleaseFacts.loadsPVMSRs.answer(for: look.release) == .no {
      return look.warn(
        subject,
        "the guest loses its MSRs, which Xen loads from \(ReleaseFacts.loadsPVMSRs.text) on")
    }
    for (index, since) in ReleaseFacts.msrs where look.image.msrs.contains(index) {
      switch since.answer(for: look.release) {
      case .yes: break
      case .no:
        look.refuse(
          subject, "MSR \(index.hex()), which Xen loads from \(since.text) on; older ones refuse it"
        )
      case .from(let first):
        look.warn(
          subject,
          "MSR \(index.hex()), which Xen loads from \(first) on; releases before it refuse it")
      }
    }
  }

  private static func params(_ look: inout CompatLook) {
    for (index, value) in look.image.params.sorted(by: { $0.key < $1.key }) {
      let refusal = ReleaseFacts.refusal(ofParam: index, value, by: look.release)
      guard let refusal else { continue }
      look.refuse("HVM_PARAMS", "\(HVMParams.names[index] ?? "index \(index)"): \(refusal)")
    }
  }

  /// What libxl makes of the configuration's keys and values, where releases differ.
  private static func configuration(_ look: inout CompatLook) {
    guard look.release.major == 4, look.imageSummary.headers[.xl] != nil,
      let config = look.imageSummary.config, !config.text.isEmpty
    else { return }
    for problem in ConfigurationCheck.problems(config.text, minor: Int(look.release.minor)) {
      switch problem.severity {
      case .error: look.refuse(problem.path, problem.text)
      case .warning: look.warn(problem.path, problem.text)
      case .note: look.note(problem.path, problem.text)
      }
    }
  }

  private static func checkpoints(_ look: inout CompatLook) {
    guard look.imageSummary.checkpointCount > 0 else { return }
    look.warn(
      "CHECKPOINT",
      "a checkpointed stream (Remus, COLO): only a receiver of such streams takes it")
  }

  /// What verify calls an error and this release refuses.
  private static func errors(_ look: inout CompatLook) {
    let refused = look.image.errors.compactMap { finding -> String? in
      switch finding.refusal(by: look.release) {
      case .yes: finding.description
      case .no: nil
      case .from(let first): "\(finding) (Xen refuses it from \(first) on)"
      }
    }
    for text in refused.prefix(CompatLook.findingLimit) { look.refuse("verify", text) }
    if refused.count > CompatLook.findingLimit {
      look.refuse("verify", "\(refused.count - CompatLook.findingLimit) more errors")
    }
  }

  private static func ending(_ look: inout CompatLook) {
    if look.imageSummary.ending == nil { look.refuse("END", "the image does not end as it should") }
  }
}

/// A check under way.
struct CompatLook {
  /// Findings of verify that are said one by one.
  static let findingLimit = 10

  let image: CompatSummary
  let release: XenRelease
  let host: HostDescription?
  let traits: ReleaseTraits
  private(set) var reasons: [CompatReason] = []

  init(image: CompatSummary, release: XenRelease, host: HostDescription?) {
    self.image = image
    self.release = release
    self.host = host
    traits = ReleaseTraits.of(release)
  }

  var imageSummary: ImageSummary { image.imageSummary }

  mutating func note(_ subject: String, _ text: String) { add(.note, subject, text) }
  mutating func warn(_ subject: String, _ text: String) { add(.warning, subject, text) }
  mutating func refuse(_ subject: String, _ text: String) { add(.error, subject, text) }

  private mutating func add(_ severity: Severity, _ subject: String, _ text: String) {
    reasons.append(CompatReason(severity: severity, subject: subject, text: text))
  }
}
