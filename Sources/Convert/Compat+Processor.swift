// Whether a release restores an image: what CPUID, MSRs and the device model have to do with it.

internal import Bytes
internal import Format
internal import ImageCheck
internal import JSON
internal import Stream

extension Compat {
  // MARK: - Policies

  static func policies(_ look: inout CompatLook) {
    guard look.traits.version >= 3 else { return }
    for type in [RecordType.x86CPUIDPolicy, .x86MSRPolicy] where look.imageSummary.count(type) == 0
    {
      look.warn(
        type.name,
        "not in the image: the toolstack makes a new one from the host and the "
          + "configuration, which may differ from what the guest has seen")
    }
  }

  /// What the policies of old releases have no room for: they refuse it.
  static func bounds(_ look: inout CompatLook) {
    guard look.traits.version >= 3 else { return }
    if let policy = look.image.cpuidPolicy {
      let extent = CPUPolicy.extent(of: policy)
      if extent.subleaf > 1 {
        look.need(
          CPUPolicyRules.hasSubleaf2, "X86_CPUID_POLICY", "leaf 7, subleaf \(extent.subleaf)")
      }
      if extent.extended > 0x8000_001C {
        look.need(
          CPUPolicyRules.hasLeaf21, "X86_CPUID_POLICY", "leaf \(extent.extended.hex())")
      }
    }
    if let value = look.policy().msr(0x10A) {
      let isWide = value >> 32 != 0
      look.need(
        isWide ? CPUPolicyRules.hasWideArchCapabilities : CPUPolicyRules.hasArchCapabilities,
        "X86_MSR_POLICY", "MSR 0x10a" + (isWide ? " with bits above 31 (\(value.hex()))" : ""))
    }
  }

  /// What the host's processor must be or have. Without its description the image alone cannot tell.
  static func host(_ look: inout CompatLook) {
    guard look.traits.version >= 3, look.image.cpuidPolicy != nil else { return }
    let policy = look.policy()
    let there = look.hostPolicy
    if let vendor = policy.vendor {
      let checks = CPUPolicyRules.checksVendor.holds(for: look.release)
      if let own = there?.vendor, own != vendor {
        let text = "the image is of a \(vendor), and the host's processor is a \(own)"
        if checks {
          look.refuse("X86_CPUID_POLICY", text + ": it is refused")
        } else {
          look.warn("X86_CPUID_POLICY", text)
        }
      } else if there == nil, checks {
        look.note(
          "X86_CPUID_POLICY", "the host's processor has to be a \(vendor): others are refused")
      }
    }
    if let subleaf = policy.leaf(7, 0)?.a, subleaf > 0 {
      look.limit(
        CPUPolicyRules.freesSubleaf,
        isChecked: CPUPolicyRules.checksSubleaf.holds(for: look.release),
        "leaf 7 goes to \(subleaf)", "it ends",
        isBeyond: there.map { subleaf > $0.leaf(7, 0)?.a ?? .max })
    }
    let tops: [UInt32] = [0, 0x8000_0000].filter { policy.leaf($0) != nil }
    let leaves = tops.compactMap { policy.leaf($0)?.a.hex() }
    guard !leaves.isEmpty else { return }
    look.limit(
      CPUPolicyRules.freesLeaves, isChecked: true,
      "leaves go to \(leaves.joined(separator: " and "))", "they end",
      isBeyond: there.map { host in
        tops.contains { policy.leaf($0)?.a ?? 0 > host.leaf($0)?.a ?? .max }
      })
  }

  /// Features that the release does not know: it takes them from the guest without a word, and
  /// refuses the state of vCPUs that have turned them on. Where there is no policy, or the release
  /// reads none, it is not known what else the guest lacks.
  static func features(_ look: inout CompatLook) {
    let hasPolicy = look.traits.version >= 3 && look.image.cpuidPolicy != nil
    let host = hasPolicy ? look.host : nil
    let unknown = CPUPolicyRules.denied(
      by: look.release, on: host, isHVM: look.imageSummary.guest == .x86HVM)
    let owner = "Xen \(look.release)" + (host == nil ? "" : " on that host")
    let policy = hasPolicy ? look.policy() : CPUPolicy(leaves: [])
    let lost = CPUIDFeatures.withDependents(unknown)
      .filter { policy.has($0.name) == true && !CPUIDFeatures.givenByXen.contains($0) }
    if !lost.isEmpty {
      look.warn(
        "X86_CPUID_POLICY",
        "the guest loses \(lost.map(\.name).joined(separator: ", ")): \(owner) gives no "
          + "guest such features, and says nothing of it")
    }
    let left =
      hasPolicy ? look.policy(denying: unknown) : CPUPolicy(leaves: [], denying: unknown)
    // What the image's own policy denies is verify's to say.
    let wrong = Set(X86StateInUse.denied(look.image.inUse, by: policy))
    let refused = X86StateInUse.denied(look.image.inUse, by: left).filter { !wrong.contains($0) }
    for use in refused.prefix(CompatLook.findingLimit) {
      look.refuse(
        "vCPU \(use.vcpu)",
        "\(use.what) is turned on, and \(owner) gives no guest "
          + use.features.joined(separator: " or "))
    }
    if refused.count > CompatLook.findingLimit {
      look.refuse("vCPUs", "\(refused.count - CompatLook.findingLimit) more like it")
    }
  }

  /// Xen: xen/arch/x86/Kconfig, PV32.
  static func width(_ look: inout CompatLook) {
    guard look.imageSummary.guest == .x86PV, look.imageSummary.context.guestWidth == 4 else {
      return
    }
    if look.release >= XenRelease(4, 16) {
      look.warn(
        "X86_PV_INFO",
        "a 32-bit PV guest: Xen \(look.release) refuses it unless it was built with CONFIG_PV32, "
          + "which is off by default; such guests have no security support")
    } else if look.release >= XenRelease(4, 14) {
      look.note(
        "X86_PV_INFO",
        "a 32-bit PV guest: Xen \(look.release) needs CONFIG_PV32, which is on by default")
    }
  }

  /// Whether the guest fits into the host.
  static func memory(_ look: inout CompatLook) {
    let byteCount = look.imageSummary.memoryByteCount
    guard byteCount > 0, let host = look.host else { return }
    if let total = host.byteCount, byteCount > total {
      look.refuse(
        "memory", "the guest has \(byteCount >> 20) MiB, and the host \(total >> 20) MiB in all")
    } else if let free = host.freeByteCount, byteCount > free {
      look.warn(
        "memory",
        "the guest has \(byteCount >> 20) MiB, and the host has \(free >> 20) MiB free now")
    }
  }

  // MARK: - Viridian and the device model

  /// Xen: xen/include/public/hvm/params.h; since 4.22 CONFIG_VIRIDIAN may be off.
  static func viridian(_ look: inout CompatLook) {
    let value = look.image.viridian
    guard value != 0 else { return }
    var names: [String] = []
    for (bit, row) in HVMParams.viridian.enumerated() where value >> UInt64(bit) & 1 != 0 {
      names.append(row.name)
      let since = XenRelease(4, UInt32(row.since))
      guard look.release < since else { continue }
      look.refuse(
        "HVM_PARAMS", "VIRIDIAN has \(row.name) (bit \(bit)), which Xen knows from \(since) on")
    }
    let unknown = value & ~((1 << UInt64(HVMParams.viridian.count)) - 1)
    if unknown != 0 {
      look.refuse("HVM_PARAMS", "VIRIDIAN has bits \(unknown.hex()), which no release knows")
    }
    look.note(
      "HVM_PARAMS",
      "VIRIDIAN: \(names.joined(separator: ", "))"
        + (look.release >= XenRelease(4, 22)
          ? " (Xen \(look.release) must be built with CONFIG_VIRIDIAN)" : ""))
  }

  /// What libxl starts is in the configuration; the stream's emulator_id no restore looks at.
  /// Xen: tools/libs/light/libxl_create.c, libxl_stream_read.c.
  static func deviceModel(_ look: inout CompatLook) {
    let root = look.imageSummary.config.flatMap { try? JSONDocument($0.text).root }
    let isHVM = (root?["c_info"]?["type"]?.stringValue ?? "hvm") == "hvm"
    let stated = root?["b_info"]?["device_model_version"]?.stringValue
    let isWithout = ReleaseFacts.dropsTraditional(look.release)
    if stated == "qemu_xen_traditional", isHVM {
      if isWithout {
        look.refuse(
          "xl header",
          "b_info.device_model_version is qemu_xen_traditional, which Xen 4.21 dropped: xl aborts")
      } else {
        look.note("xl header", "qemu-traditional has to be installed")
      }
    }
    for id in look.image.emulators.sorted() {
      switch id {
      case 1 where isWithout && stated != "qemu_xen_traditional":
        look.warn(
          "EMULATOR_CONTEXT",
          "the stream says qemu-traditional, which Xen 4.21 dropped: restores do not look at that, "
            + "but QEMU does not read its state")
      case 1: break
      case 2:
        look.note(
          "EMULATOR_CONTEXT",
          "QEMU's own format: the QEMU of the target has to be as new as the saver's"
            + (look.host?.deviceModel.map { "; the host has \($0)" } ?? ""))
      default: look.warn("EMULATOR_CONTEXT", "it does not say which device model wrote it")
      }
    }
  }
}

extension CompatLook {
  /// The image's CPU policies, without these features.
  func policy(denying: [CPUIDFeatures.Bit] = []) -> CPUPolicy {
    let none = Record(.x86CPUIDPolicy, body: [], context: BodyContext())
    return CPUPolicy(cpuid: image.cpuidPolicy ?? none, msrs: image.msrPolicy, denying: denying)
  }

  /// What the host gives to such a guest.
  var hostPolicy: CPUPolicy? {
    host?.policy(isHVM: imageSummary.guest == .x86HVM).map {
      CPUPolicy(leaves: $0.leaves, msrs: $0.msrs)
    }
  }

  /// Says what a release makes of a policy whose leaves go further than those of the host, until it is
  /// freed of that check. `isBeyond`: whether they do; nil where nobody knows the host.
  mutating func limit(
    _ freed: ReleaseSince, isChecked: Bool, _ text: String, _ ends: String, isBeyond: Bool?
  ) {
    let subject = "X86_CPUID_POLICY"
    if isBeyond == false { return }
    if isChecked, !freed.holds(for: release) {
      if isBeyond == true {
        refuse(
          subject, "\(text), and on the host \(ends) before: it is refused, until Xen \(freed.text)"
        )
      } else {
        note(
          subject, "\(text): a host on which \(ends) before is refused, until Xen " + freed.text)
      }
    } else if case .from(let first) = freed.answer(for: release) {
      note(
        subject,
        "\(text): before Xen \(first), a host on which \(ends) before is refused")
    }
  }

  /// Refuses what a release has no room for, or warns where only the first ones of a branch do.
  mutating func need(_ since: ReleaseSince, _ subject: String, _ what: String) {
    switch since.answer(for: release) {
    case .yes: break
    case .no: refuse(subject, "\(what): Xen takes it from \(since.text) on; \(release) refuses it")
    case .from(let first):
      warn(subject, "\(what): Xen takes it from \(first) on; releases before it refuse it")
    }
  }
}
