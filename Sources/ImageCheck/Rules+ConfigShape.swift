// Rules for what the configuration needs before xl makes a domain at all.

internal import Bytes
internal import Format
internal import JSON
internal import Stream

extension Rule {
  private static let grantTable = "Xen: xen/common/grant_table.c, grant_table_init; xl of 4.17"

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
          look.reportConfig(
            "b_info.sched_params.\(name)",
            "expected \(range.lowerBound) to \(range.upperBound), got \(value)")
        }
      }),
    Rule(
      "config.shadow", .error,
      "An HVM or PVH guest has max_memkb, or shadow_memkb: one is counted from the other.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault; xl of 4.17",
      .image { look in
        guard let config = look.configuration, config.isTranslated,
          case .object? = config.root["b_info"],
          config.root["b_info"]?["max_memkb"]?.numberValue == nil,
          config.root["b_info"]?["shadow_memkb"]?.numberValue == nil
        else { return }
        look.reportConfig("b_info.max_memkb", "expected the memory of the guest in KiB, got none")
      }),
    Rule(
      "config.grant-frames", .error, "The grant table has a frame at least.",
      grantTable, since: 10,
      .image { look in
        guard look.configuration?.buildInfoValue("max_grant_frames") == 0 else { return }
        look.reportConfig("b_info.max_grant_frames", "expected at least 1, got 0")
      }),
    Rule(
      "config.grant-version", .error, "The grant table is of version 1 or 2.", grantTable,
      since: 16,
      .image { look in
        // -1 stands for the host's own.
        guard let version = look.configuration?.buildInfoValue("max_grant_version"),
          ![-1, 1, 2].contains(version)
        else { return }
        look.reportConfig("b_info.max_grant_version", "expected 1 or 2, got \(version)")
      }),
    Rule(
      "config.event-channels", .error,
      "A guest may have the two event channels that xl makes, for xenstore and the console.",
      "Xen: tools/libs/light/libxl_dom.c, libxl__build_pre; xl of 4.17",
      .image { look in
        // 0 stands for libxl's default.
        guard look.configuration?.buildInfoValue("event_channels") == 1 else { return }
        look.reportConfig("b_info.event_channels", "expected at least 2, got 1")
      }),
    Rule(
      "config.tsc-mode", .error, "The TSC is in no mode that Xen has given up.",
      "Xen: tools/libs/light/libxl_x86.c, libxl__arch_domain_create; xl of 4.17", since: 12,
      .image { look in
        guard look.configuration?.root["b_info"]?["tsc_mode"]?.stringValue == "native_paravirt"
        else { return }
        look.reportConfig(
          "b_info.tsc_mode", "expected default, always_emulate or native, got native_paravirt")
      }),
    Rule(
      "config.affinity", .error,
      "Each list of processors is of a vCPU that there is, and has one.",
      "Xen: tools/xl/xl_vcpu.c, apply_global_affinity_masks; tools/libs/light/libxl_dom.c, "
        + "libxl__build_pre; xl of 4.17", since: 12,
      .image { look in
        for name in ["vcpu_hard_affinity", "vcpu_soft_affinity"] {
          let maps = look.configuration?.root["b_info"]?[name]?.arrayValue ?? []
          if let count = look.configuration?.vcpuCount, maps.count > count {
            look.reportConfig(
              "b_info.\(name)", "expected at most \(count) (b_info.max_vcpus), got \(maps.count)")
          }
          guard let index = maps.firstIndex(where: { $0.arrayValue?.isEmpty == true }) else {
            continue
          }
          look.reportConfig("b_info.\(name)[\(index)]", "expected a processor, got none")
        }
      }),
    Rule(
      "config.ioports", .error,
      "Ports that a guest is given are some of the 65,536 that there are.",
      "Xen: xen/common/domctl.c, ioport_permission; xl of 4.17",
      .image { look in
        let ranges = look.configuration?.root["b_info"]?["ioports"]?.arrayValue ?? []
        for (index, range) in ranges.enumerated() {
          let first = range["first"]?.numberValue?.int64 ?? 0
          let count = range["number"]?.numberValue?.int64 ?? 0
          // Others are none of libxl's integers.
          guard (0...Int64(UInt32.max)).contains(first), (0...Int64(UInt32.max)).contains(count),
            count == 0 || first + count > 65536
          else { continue }
          look.reportConfig(
            "b_info.ioports[\(index)]",
            "expected 1 or more ports up to 0xffff, got \(count) from \(UInt64(first).hex()) on")
        }
      }),
    Rule(
      "config.vnuma", .error, "A PV guest has no virtual NUMA nodes.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault; xl of 4.17",
      .image { look in
        guard let config = look.configuration, config.type == "pv",
          let nodes = config.root["b_info"]?["vnuma_nodes"]?.arrayValue, !nodes.isEmpty
        else { return }
        look.reportConfig("b_info.vnuma_nodes", "expected none of a PV guest, got \(nodes.count)")
      }),
    Rule(
      "config.vmtrace", .error,
      "The buffer for processor traces of an HVM or PVH guest has 4 KiB to 64 MiB, a power of two.",
      "Xen: xen/arch/x86/domain.c, arch_sanitise_domain_config", since: 15,
      .image { look in
        guard let config = look.configuration,
          let size = config.buildInfoValue("vmtrace_buf_kb").flatMap({ Int32(exactly: $0) })
        else { return }
        // libxl takes what is negative, or too large for 32 bits of bytes, for what is left of it.
        let bytes = (UInt32(bitPattern: size) << 10 &+ 4095) & ~4095
        guard bytes != 0,
          config.type == "pv" || bytes > 64 << 20 || bytes.nonzeroBitCount != 1
        else { return }
        look.reportConfig(
          "b_info.vmtrace_buf_kb",
          config.type == "pv"
            ? "expected 0 of a PV guest, got \(size)"
            : "expected a power of two of 4 to 65536, got \(size)")
      }),
    Rule(
      "config.own-name", .error,
      "c_info.name is there, and is not that of dom0: xl makes no domain without a name of its own.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_make; xl of 4.17",
      .image { look in
        guard case .object? = look.configuration?.root["c_info"] else { return }
        let name = look.configuration?.root["c_info"]?["name"]
        guard let text = name?.stringValue else {
          return look.reportConfig(
            "c_info.name", "expected a name, got \(name?.text().printable ?? "none")")
        }
        guard text == "Domain-0" else { return }
        look.reportConfig("c_info.name", "expected a name that is free, got \"Domain-0\"")
      }),
  ]
}
