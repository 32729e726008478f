// Rules for what the configuration needs before xl makes a domain at all.

internal import Bytes
internal import Format
internal import JSON
internal import Stream

/// Whether QEMU takes a text after -name: a value, and options that it knows; two commas are one in a value.
private func isNameOption(_ text: String) -> Bool {
  let known = ["guest", "process", "debug-threads"]
  var options: [[UInt8]] = [[]]
  var bytes = text.utf8.makeIterator()
  while let byte = bytes.next() {
    guard byte == UInt8(ascii: ",") else {
      options[options.count - 1].append(byte)
      continue
    }
    guard let after = bytes.next() else { break }
    if after != UInt8(ascii: ",") { options.append([]) }
    options[options.count - 1].append(after)
  }
  return options.enumerated().allSatisfy { index, option in
    let key = option.prefix { $0 != UInt8(ascii: "=") }
    // The first may be a value without its key.
    return index == 0 && key.count == option.count
      || known.contains(String(decoding: key, as: UTF8.self))
  }
}

extension Rule {
  private static let grantTable = "Xen: xen/common/grant_table.c, grant_table_init; xl of 4.17"

  static let configShape: [Rule] = [
    Rule(
      "config.sched", .error,
      "Weight and cap are in the ranges of the schedulers: 1 to 65535, and 0 to 100 for each vCPU.",
      "Xen: tools/libs/light/libxl_sched.c, sched_credit2_domain_set; xl of 4.17",
      .image { look in
        // Whatever scheduler the configuration names, a restore takes the host's.
        guard let config = look.configuration, let sched = config.root["b_info"]?["sched_params"]
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
      "A guest may have the event channels of xenstore and console, an HVM guest those of its device model, too.",
      "Xen: tools/libs/light/libxl_dom.c, libxl__build_pre; xen/common/ioreq.c; xl of 4.17",
      .image { look in
        // 0 stands for libxl's default. A device model has one for each vCPU and one more.
        guard let config = look.configuration, let count = config.buildInfoValue("event_channels"),
          case let least = 2 + (config.type == "hvm" ? Int64(config.vcpuCount ?? 1) + 1 : 0),
          (1..<least).contains(count)
        else { return }
        look.reportConfig("b_info.event_channels", "expected at least \(least), got \(count)")
      }),
    Rule(
      "config.tsc-mode", .error, "The TSC is in no mode that Xen has given up.",
      "Xen: tools/libs/light/libxl_x86.c, libxl__arch_domain_create; xl of 4.17", since: 12,
      .image { look in
        guard look.configuration?.buildInfo("tsc_mode")?.stringValue == "native_paravirt"
        else { return }
        look.reportConfig(
          "b_info.tsc_mode", "expected default, always_emulate or native, got native_paravirt")
      }),
    Rule(
      "config.affinity", .error,
      "Each list of processors is of a vCPU that there is; one of vcpu_hard_affinity has a processor.",
      "Xen: tools/xl/xl_vcpu.c, apply_global_affinity_masks; tools/libs/light/libxl_dom.c, "
        + "libxl__build_pre; xl of 4.17", since: 12,
      .image { look in
        for name in ["vcpu_hard_affinity", "vcpu_soft_affinity"] {
          let maps = look.configuration?.buildInfo(name)?.arrayValue ?? []
          if let count = look.configuration?.vcpuCount, maps.count > count {
            look.reportConfig(
              "b_info.\(name)", "expected at most \(count) (b_info.max_vcpus), got \(maps.count)")
          }
          // A soft one that has none is only without effect.
          guard name == "vcpu_hard_affinity",
            let index = maps.firstIndex(where: { $0.arrayValue?.isEmpty == true })
          else { continue }
          look.reportConfig("b_info.\(name)[\(index)]", "expected a processor, got none")
        }
      }),
    Rule(
      "config.cpumap", .error,
      "A configuration that has cpumap has vcpu_hard_affinity, too.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_build_info_setdefault; xl of 4.17",
      .image { look in
        // libxl copies cpumap into a vcpu_hard_affinity that its garbage collector owns, and xl
        // uses and frees it once more afterwards: xl dies by what it finds there. With more than
        // eight processors, or fewer than the map has, it dies by an assertion before that.
        guard let config = look.configuration, !config.isRefused,
          config.buildInfo("cpumap")?.arrayValue?.isEmpty == false,
          config.buildInfo("vcpu_hard_affinity")?.arrayValue?.isEmpty ?? true
        else { return }
        look.reportConfig(
          "b_info.cpumap", "expected vcpu_hard_affinity beside it, got none: xl frees it twice")
      }),
    Rule(
      "config.ioports", .error,
      "Ports that a guest is given are some of the 65,536 that there are.",
      "Xen: xen/common/domctl.c, ioport_permission; xl of 4.17",
      .image { look in
        let ranges = look.configuration?.buildInfo("ioports")?.arrayValue ?? []
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
      "config.iomem", .error,
      "Memory of the host's that a guest is given is a page at least, below 2^52 bytes.",
      "Xen: xen/common/domctl.c, XEN_DOMCTL_iomem_permission and memory_mapping",
      .image { look in
        let ranges = look.configuration?.buildInfo("iomem")?.arrayValue ?? []
        for (index, range) in ranges.enumerated() {
          // Others are none of libxl's integers.
          guard let start = UInt64(exactly: range["start"]?.numberValue?.int64 ?? 0),
            let count = UInt64(exactly: range["number"]?.numberValue?.int64 ?? 0),
            count == 0 || start + count > 1 << 40
          else { continue }
          look.reportConfig(
            "b_info.iomem[\(index)]",
            "expected 1 or more pages below 0x10000000000, got \(count) from \(start.hex()) on")
        }
      }),
    Rule(
      "config.irqs", .error, "An interrupt of the host's that a guest is given is below 2^31.",
      "Xen: tools/libs/light/libxl_create.c, domcreate_launch_dm",
      .image { look in
        let list = look.configuration?.buildInfo("irqs")?.arrayValue ?? []
        for (index, irq) in list.enumerated() {
          guard let irq = irq.numberValue?.int64, irq >= 1 << 31 else { continue }
          look.reportConfig("b_info.irqs[\(index)]", "expected less than 2147483648, got \(irq)")
        }
      }),
    Rule(
      "config.vnuma", .error,
      "A PV guest has no virtual NUMA nodes; those of others have vCPUs that there are.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault; libxl_dom.c, "
        + "set_vnuma_affinity; xl of 4.17",
      .image { look in
        guard let config = look.configuration,
          let nodes = config.buildInfo("vnuma_nodes")?.arrayValue, !nodes.isEmpty
        else { return }
        if config.type == "pv" {
          return look.reportConfig(
            "b_info.vnuma_nodes", "expected none of a PV guest, got \(nodes.count)")
        }
        // Where the vCPUs are to run is said by vcpu_soft_affinity then.
        guard let count = config.vcpuCount,
          config.buildInfo("vcpu_soft_affinity")?.arrayValue?.isEmpty ?? true
        else { return }
        for (index, node) in nodes.enumerated() {
          let vcpus = node["vcpus"]?.arrayValue ?? []
          guard let vcpu = vcpus.compactMap({ $0.numberValue?.int64 }).max(), vcpu >= count else {
            continue
          }
          look.reportConfig(
            "b_info.vnuma_nodes[\(index)].vcpus", "expected less than \(count), got \(vcpu)")
        }
      }),
    Rule(
      "config.deprecated", .error,
      "A setting stands in b_info or, as it did before, in type.hvm or type.pv, not in both.",
      "Xen: tools/libs/light/gentypes.py, libxl_C_type_copy_deprecated", since: 12,
      .image { look in
        guard let config = look.configuration, let type = config.reading.buildType,
          let build = config.root["b_info"], let own = build["type.\(type)"]
        else { return }
        let names =
          switch type {
          case "hvm": ["timer_mode", "apic", "nested_hvm"]
          case "pv": ["kernel", "bootloader", "bootloader_args", "cmdline", "ramdisk"]
          default: [String]()
          }
        func isSet(_ value: JSONValue?) -> Bool {
          switch value {
          case .string(let text)?: !["<default>", "unknown"].contains(text)
          case .array(let elements)?: !elements.isEmpty
          default: false
          }
        }
        for name in names where isSet(build[name]) && isSet(own[name]) {
          look.reportConfig(
            "b_info.type.\(type).\(name)", "expected none beside b_info.\(name)")
        }
      }),
    Rule(
      "config.stub-domain", .error,
      "A PV or PVH guest that needs QEMU has it in dom0: libxl has no domain for it.",
      "Xen: tools/libs/light/libxl_dm.c, libxl__spawn_local_dm (it aborts); xl of 4.17",
      .image { look in
        guard let config = look.configuration, config.type == "pv" || config.type == "pvh",
          config.needsQEMU, config.isTrue(config.buildInfo("device_model_stubdomain"))
        else { return }
        look.reportConfig(
          "b_info.device_model_stubdomain", "expected False of a \(config.type ?? "") guest")
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
      "c_info.name is there, is not that of dom0, and is as long as xenstore can hold.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_make; xl of 4.17",
      .image { look in
        guard case .object? = look.configuration?.root["c_info"] else { return }
        let name = look.configuration?.root["c_info"]?["name"]
        guard let text = name?.stringValue else {
          return look.reportConfig(
            "c_info.name", "expected a name, got \(name?.text().printable ?? "none")")
        }
        if text == "Domain-0" {
          look.reportConfig("c_info.name", "expected a name that is free, got \"Domain-0\"")
        } else if text.utf8.count > 4050 {
          // With "/vm/UUID/name" before it, it is more than a message of xenstore's takes.
          look.reportConfig("c_info.name", "expected at most 4050 bytes, got \(text.utf8.count)")
        }
      }),
    Rule(
      "config.file-name", .error,
      "The name of a guest that needs QEMU can be that of its log, and a value of QEMU's -name.",
      "Xen: tools/libs/light/libxl_dm.c, libxl__spawn_local_dm; QEMU: softmmu/vl.c, parse_name",
      .image { look in
        guard let config = look.configuration, !config.isRefused, config.needsQEMU,
          let name = config.root["c_info"]?["name"]?.stringValue
        else { return }
        if name.utf8.contains(UInt8(ascii: "/")) {
          look.reportConfig(
            "c_info.name", "expected no \"/\", got \"\(Array(name.utf8).printable)\"")
        } else if name.utf8.count > 243 {
          look.reportConfig("c_info.name", "expected at most 243 bytes, got \(name.utf8.count)")
        } else if !isNameOption(name) {
          look.reportConfig(
            "c_info.name",
            "expected none of QEMU's options, got \"\(Array(name.utf8).printable)\"")
        }
      }),
  ]
}
