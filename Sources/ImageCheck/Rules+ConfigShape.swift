// Rules for what the configuration needs before xl makes a domain at all.

internal import Bytes
internal import Format
internal import JSON
internal import Stream

extension Rule {
  static let configShape: [Rule] = [
    Rule(
      "config.sched", .error,
      "Weight and cap are in the ranges of the schedulers: 1 to 65535, and 0 to 100 for each vCPU.",
      "Xen: tools/libs/light/libxl_sched.c, sched_credit2_domain_set; xl of 4.17",
      .image { look in
        guard let config = look.configuration, let sched = config.root["b_info"]?["sched_params"],
          // Other schedulers have no use for either.
          ["credit", "credit2"].contains(sched["sched"]?.stringValue ?? "credit2")
        else { return }
        let cap = 100 * Int64(config.vcpuCount ?? 128)
        for (name, range) in [("weight", 1...65535), ("cap", 0...cap)] {
          // -1 stands for the value that there is.
          guard let value = sched[name]?.numberValue?.int64, value != -1, !range.contains(value)
          else { continue }
          look.reportShape(
            "b_info.sched_params.\(name)",
            "expected \(range.lowerBound) to \(range.upperBound), got \(value)")
        }
      }),
    Rule(
      "config.shadow", .error,
      "An HVM or PVH guest has max_memkb, or shadow_memkb: one is counted from the other.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault; xl of 4.17",
      .image { look in
        guard let config = look.configuration, config.type == "hvm" || config.type == "pvh",
          case .object? = config.root["b_info"],
          config.root["b_info"]?["max_memkb"]?.numberValue == nil,
          config.root["b_info"]?["shadow_memkb"]?.numberValue == nil
        else { return }
        look.reportShape("b_info.max_memkb", "expected the memory of the guest in KiB, got none")
      }),
    Rule(
      "config.own-name", .error,
      "c_info.name is there, and is not that of dom0: xl makes no domain without a name of its own.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_make; xl of 4.17",
      .image { look in
        guard case .object? = look.configuration?.root["c_info"] else { return }
        let name = look.configuration?.root["c_info"]?["name"]
        guard let text = name?.stringValue else {
          return look.reportShape(
            "c_info.name", "expected a name, got \(name?.text().printable ?? "none")")
        }
        guard text == "Domain-0" else { return }
        look.reportShape("c_info.name", "expected a name that is free, got \"Domain-0\"")
      }),
  ]
}

extension VerificationContext {
  fileprivate func reportShape(_ path: String, _ problem: String) {
    report(
      offset: survey.config?.offset ?? 0, place: HeaderKind.xl.title, "config.\(path)", problem)
  }
}
