// The functions of xs.cpuid about features that need each other, generations of processors, and what
// vCPUs have in use.

internal import Bytes
internal import Convert
internal import Format
internal import ImageCheck
internal import LuaRuntime
internal import Stream

/// The functions of xs.cpuid that levelling is made of.
func cpuidLevelFunctions() -> [LuaModuleFunction] {
  [
    LuaModuleFunction(
      "xs.cpuid", "words", "(): table[]",
      "The registers and MSRs with feature bits, in the order of Xen's featuresets (xen-cpuid, xe "
        + "host-cpu-info, xl info): tables with leaf, subleaf (nil where there are none) and "
        + "register, or with msr and shift (0 or 32).",
      example: "print(xs.cpuid.words()[6].leaf)  --> 7"
    ) { frame in
      frame.push(
        LuaValue.list(
          CPUIDFeatures.wordPlaces.map { word in
            switch word.place {
            case .cpuid(let leaf, let subleaf, let register):
              .table(
                [("leaf", .integer(Int64(leaf)))]
                  + (subleaf == CPUIDLeaf.noSubleaf
                    ? [] : [("subleaf", .integer(Int64(subleaf)))])
                  + [("register", .text(register.rawValue))])
            case .msr(let index):
              .table([
                ("msr", .integer(Int64(index))), ("shift", .integer(word.isHigh ? 32 : 0)),
              ])
            }
          }))
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "with_dependents", "(names: string[]): string[]",
      "Features with all that are nothing without one of them, as Xen takes them out of a policy.",
      example: "xs.cpuid.with_dependents { \"avx512bw\" }[2]  --> avx512_vbmi"
    ) { frame in
      let names = try namesArgument(frame, 1)
      var bits: [CPUIDFeatures.Bit] = []
      for name in names {
        bits.append(try CPUIDFeatures.require(name))
      }
      frame.push(names: CPUIDFeatures.withDependents(bits))
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "given", "(): string[]",
      "The features that Xen gives to guests whatever the processor has: they are no reason against a "
        + "host."
    ) { frame in
      frame.push(names: CPUIDFeatures.givenByXen.sorted { $0.name < $1.name })
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "states", "(): table[]",
      "The components of extended state that belong to a feature: tables with feature and mask, their "
        + "bits in XCR0."
    ) { frame in
      frame.push(
        LuaValue.list(
          CPUPolicy.components.map { feature, mask in
            .table([("feature", .text(feature)), ("mask", .unsigned(mask))])
          }))
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "levels", "(): string[]",
      "The names of the generations of processors that are known, older before newer ones of a family."
    ) { frame in
      frame.push(LuaValue.list(CPUIDFeatures.levels.map { .text($0.name) }))
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "level", "(name: string): table?",
      "What a generation of processors has, by its name or that of libvirt's model: name, vendor, "
        + "source, features, optional (those that microcode or settings decide) and partial "
        + "(whether it says nothing of what it does not list); nil for other names.",
      example: "#xs.cpuid.level(\"haswell\").features"
    ) { frame in
      guard let level = CPUIDFeatures.level(named: try frame.string(1)) else {
        frame.pushNil()
        return 1
      }
      func list(_ bits: some Sequence<CPUIDFeatures.Bit>) -> LuaValue {
        .list(bits.map(\.name).sorted().map { .text($0) })
      }
      frame.push(
        LuaValue.table(
          [("name", .text(level.name)), ("source", .text(level.source))]
            + (level.vendor.map { [("vendor", .text($0))] } ?? [])
            + [
              ("features", list(level.features)), ("optional", list(level.optional)),
              ("partial", .boolean(level.isPartial)),
            ]))
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "checks", "(xen: string): table",
      "What a release of Xen refuses of a policy: vendor (another than the host's), subleaf (leaf 7 "
        + "goes further than the host's), leaf (leaves 0 or 0x80000000 do).",
      example: "xs.cpuid.checks(\"4.17.4\").subleaf  --> true"
    ) { frame in
      let text = try frame.string(1)
      guard let release = XenRelease(text), release.isKnown else {
        throw LuaError("expected a release of Xen such as 4.17 or 4.18.3, got '\(text)'")
      }
      frame.push(
        LuaValue.table([
          ("vendor", .boolean(CPUPolicyRules.checksVendor.holds(for: release))),
          ("subleaf", .boolean(CPUPolicyRules.limitsSubleaf(release))),
          ("leaf", .boolean(CPUPolicyRules.limitsLeaves(release))),
        ]))
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "in_use", "(state: Record, policy: Record, msrs: Record?): table[]",
      "What vCPUs have turned on (control registers, extended state, MSRs) and a CPUID policy denies: "
        + "tables with vcpu, what (\"CR4.SMEP\") and features (one of them is needed). Xen refuses "
        + "such a state. `state` is HVM_CONTEXT, X86_PV_VCPU_XSAVE or X86_PV_VCPU_MSRS; others have "
        + "none. `msrs` is the policy of MSRs."
    ) { frame in
      let state = try frame.object(1, as: LuaRecord.self)
      let policy = try frame.object(2, as: LuaRecord.self)
      let msrs = frame.isMissing(3) ? nil : try frame.object(3, as: LuaRecord.self)
      try state.checkValid()
      try policy.checkValid()
      try msrs?.checkValid()
      let rules = CPUPolicy(cpuid: policy.record, msrs: msrs?.record)
      frame.push(
        LuaValue.list(
          X86StateInUse.denied(X86StateInUse.all(in: state.record), by: rules).map { use in
            .table([
              ("vcpu", .integer(Int64(use.vcpu))), ("what", .text(use.what)),
              ("features", .list(use.features.map { .text($0) })),
            ])
          }))
      return 1
    },
  ]
}

/// The strings of a list.
private func namesArgument(_ frame: LuaFrame, _ index: Int) throws -> [String] {
  guard case .list(let values) = try frame.value(index) else {
    if case .table(let fields) = try frame.value(index), fields.isEmpty { return [] }
    throw frame.argumentError(index, "expected a list of names")
  }
  var names: [String] = []
  for value in values {
    guard case .string(let bytes) = value else {
      throw frame.argumentError(index, "expected a list of names")
    }
    names.append(String(decoding: bytes, as: UTF8.self))
  }
  return names
}

extension LuaFrame {
  fileprivate func push(names bits: some Sequence<CPUIDFeatures.Bit>) {
    push(LuaValue.list(bits.map { .text($0.name) }))
  }
}
