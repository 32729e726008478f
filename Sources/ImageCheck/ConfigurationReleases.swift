// What single releases refuse of a configuration whose keys and values they know.

internal import JSON

extension ConfigurationCheck {
  /// What Xen 4.`minor` refuses of a configuration that it reads like this. A replacement is what
  /// the guest has had: releases that took the configuration gave it no more.
  static func refusals(_ reading: ConfigReading, minor: Int) -> [Problem] {
    guard let type = reading.createType, let info = reading.root["b_info"] else { return [] }
    var problems: [Problem] = []
    func refuse(
      _ member: String, of parent: String = "b_info", _ text: String, _ new: JSONValue? = nil
    ) {
      problems.append(
        Problem(
          severity: .error, path: "config.\(parent).\(member)", text: text,
          removable: new.map { _ in JSONPath([.name(parent), .name(member)]) }, replacement: new))
    }

    // Xen: xen/arch/x86/domain.c, arch_sanitise_domain_config.
    let mode = info["altp2m"]?.stringValue ?? "disabled"
    let hasLegacyMode = info["type.hvm"]?["altp2m"]?.stringValue == "True"
    let hasViews = mode != "disabled" || (type == "hvm" && hasLegacyMode)
    if minor >= 19, hasViews {
      if type == "pv" {
        refuse("altp2m", "expected disabled of a PV guest, got \(mode)", "disabled")
      } else if reading.root["c_info"]?["hap"]?.stringValue == "False" {
        refuse("hap", of: "c_info", "expected True beside altp2m, got False")
      }
    }
    if minor >= 21 {
      // 0xffffffff stands for libxl's default: 10 of an HVM guest with altp2m, and 0 of others.
      let stated = info["altp2m_count"]?.numberValue?.int64 ?? 0xFFFF_FFFF
      let isDefault = stated == 0xFFFF_FFFF
      if type == "pv" || !hasViews {
        if stated != 0, !isDefault {
          refuse("altp2m_count", "expected 0 without altp2m, got \(stated)", 0)
        }
      } else if isDefault, type == "pvh" {
        refuse("altp2m_count", "expected 1 to 512 beside altp2m, got none", 10)
      } else if !isDefault, !(1...512).contains(stated) {
        refuse("altp2m_count", "expected 1 to 512 beside altp2m, got \(stated)")
      }
    }

    // Xen: tools/libs/light/libxl_x86.c, libxl__arch_domain_prepare_config; libxl_create.c,
    // libxl__domain_make.
    if minor >= 21, info["trap_unmapped_accesses"]?.stringValue == "True" {
      refuse("trap_unmapped_accesses", "expected False on x86, got True", "False")
    }
    if minor >= 20, let colors = info["llc_colors"]?.arrayValue, !colors.isEmpty {
      refuse("llc_colors", "expected none on x86, got \(colors.count)", [])
    }
    return problems
  }
}
