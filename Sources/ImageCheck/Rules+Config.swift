// Rules for the domain's configuration in the xl header: what real xl makes of it.

internal import Bytes
internal import Format
internal import JSON
internal import Stream

extension Rule {
  /// libxl's generated parsers stop where they cannot convert a value, and xl continues with what they
  /// have read. Xen 4.20 was asked about samples of each rule.
  private static let parser =
    "Xen: tools/libs/light/gentypes.py, libxl_C_type_parse_json; xl of 4.20"
  private static let defaults =
    "Xen: tools/libs/light/libxl_create.c, libxl__domain_build_info_setdefault"

  private static let paging =
    "Xen: tools/libs/light/libxl_dom.c, libxl__domain_set_paging_mempool_size; xl of 4.17"

  static let config: [Rule] = [
    Rule(
      "config.value", .error,
      "Values that libxl reads before the domain's type are such as it can convert: xl refuses others.",
      parser, .header(.xl) { look, _ in look.reportConfig(.refused) }),
    Rule(
      "config.type", .error,
      "c_info.type is hvm, pv or pvh, and b_info has type.hvm, type.pv or type.pvh.", defaults,
      .header(.xl) { look, _ in
        guard let reading = look.configuration?.reading,
          !reading.problems.contains(where: { $0.kind == .refused })
        else { return }
        if !["hvm", "pv", "pvh"].contains(reading.createType) {
          look.reportConfig(
            "c_info.type", "expected hvm, pv or pvh, got \(reading.createType ?? "none")")
        }
        if !["hvm", "pv", "pvh"].contains(reading.buildType) {
          look.reportConfig(
            "b_info",
            "expected type.hvm, type.pv or type.pvh, got "
              + (reading.buildType.map { "type.\($0)" } ?? "none"))
        }
      }),
    Rule(
      "config.built-type", .error,
      "What c_info makes as an HVM or a PV domain, b_info builds as one, and what as PVH not as PV.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault (assertions); libxl_x86.c, "
        + "libxl__arch_domain_create; xl of 4.17",
      .header(.xl) { look, _ in
        guard let config = look.configuration, let other = config.reading.buildType,
          let one = config.reading.createType, one != other, other != "invalid"
        else { return }
        // Only a PV guest is built without a default for nested_hvm, which is then asked for.
        let isAsked =
          one == "pvh" && other == "pv"
          && config.buildInfo("nested_hvm")?.stringValue ?? "<default>" == "<default>"
        guard one == "hvm" || one == "pv" || isAsked else { return }
        look.reportConfig("b_info.type.\(other)", "expected type.\(one), as c_info.type says")
      }),
    Rule(
      "config.types-differ", .warning, "c_info and b_info say the same type.",
      "Xen: tools/libs/light/libxl_create.c (c_info's makes the domain, b_info's builds it)",
      .header(.xl) { look, _ in
        guard let reading = look.configuration?.reading, reading.createType == "pvh",
          let other = reading.buildType, other != "pvh", other != "invalid"
        else { return }
        look.reportConfig("b_info.type.\(other)", "expected type.pvh, as c_info.type says")
      }),
    Rule(
      "config.lost", .warning,
      "A value is such as libxl can convert: at another one it stops, and all after it is lost.",
      parser,
      .header(.xl) { look, _ in
        look.reportConfig(.lost, ": libxl stops there, and what follows is lost")
      }),
    Rule(
      "config.ignored", .warning,
      "A value is of the kind of JSON that libxl asks for: it takes another as if it were not there.",
      "Xen: tools/libs/light/libxl_json.c, libxl__json_map_get",
      .header(.xl) { look, _ in look.reportConfig(.ignored, ": libxl takes it as missing") }),
    Rule(
      "config.unknown", .warning, "A key is one that libxl reads: others have no effect.",
      "Xen: tools/libs/light/libxl_types.idl; xl of 4.20",
      .header(.xl) { look, _ in look.reportConfig(.unknown) }),
    Rule(
      "config.duplicate", .warning, "An object has a key once: libxl reads the first only.",
      "Xen: tools/libs/light/libxl_json.c, libxl__json_map_get",
      .header(.xl) { look, _ in look.reportConfig(.duplicate) }),
    Rule(
      "config.name", .warning, "The domain's name is not empty.",
      "Xen: xl of 4.20 (the domain runs without one)",
      .header(.xl) { look, _ in
        // Without the key there is no domain: config.own-name.
        guard look.configuration?.root["c_info"]?["name"]?.stringValue == "" else { return }
        look.reportConfig("c_info.name", "expected a name, got an empty one")
      }),
    Rule(
      "config.uuid", .warning, "The domain has a UUID.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_make (it gets that of zeros)",
      .header(.xl) { look, _ in
        guard let create = look.configuration?.root["c_info"], create["uuid"] == nil else { return }
        look.reportConfig("c_info.uuid", "expected a UUID, got none")
      }),
    Rule(
      "config.paging-memory", .error,
      "An HVM or PVH guest has more than 64 KiB for its page tables: they are counted by its vCPUs and memory.",
      "Xen: tools/libs/light/libxl_utils.c, libxl__get_required_paging_memory; xl of 4.17 and 4.20",
      .header(.xl) { look, _ in
        guard let config = look.configuration, config.isTranslated,
          let size = config.pagingKiB, size <= 64
        else { return }
        if config.root["b_info"]?["shadow_memkb"] != nil {
          look.reportConfig(
            "b_info.shadow_memkb", "expected more than 64, got \(size)", since: size > 0 ? 17 : 0)
        } else {
          look.reportConfig(
            "b_info.max_vcpus",
            "expected at least 1, got 0: \(size) KiB for the page tables are left",
            since: size > 0 ? 17 : 0)
        }
      }),
    Rule(
      "config.paging-pages", .error,
      "The memory for the page tables of an HVM or PVH guest is a number of pages of 4 KiB, of 32 bits.",
      paging,
      since: 17,
      .header(.xl) { look, _ in
        guard let config = look.configuration, config.isTranslated,
          let size = config.buildInfoValue("shadow_memkb"), size > 0,
          size % 4 != 0 || size >= 1 << 34
        else { return }
        look.reportConfig(
          "b_info.shadow_memkb", "expected a multiple of 4 below 17179869184, got \(size)")
      }),
    Rule(
      "config.vcpu-limit", .error,
      "A domain has no more vCPUs than Xen gives it: 128 where it is HVM or PVH, 8192 where it is PV.",
      "Xen: xen/common/domain.c, sanitise_domain_config; domain_max_vcpus of xen/arch/x86",
      .header(.xl) { look, _ in
        guard let config = look.configuration, let type = config.type,
          // libxl takes what is not in its int as if it were missing.
          let count = config.buildInfoValue("max_vcpus").flatMap({ Int32(exactly: $0) })
        else { return }
        let limit = type == "pv" ? 8192 : 128
        guard !(0...limit).contains(Int(count)) else { return }
        look.reportConfig("b_info.max_vcpus", "expected 1 to \(limit), got \(count)")
      }),
    Rule(
      "config.memory-order", .warning, "A domain may have as much memory as it is to have.",
      defaults,
      .header(.xl) { look, _ in
        guard let config = look.configuration, let most = config.buildInfoValue("max_memkb"),
          let target = config.buildInfoValue("target_memkb"), target > most
        else { return }
        look.reportConfig(
          "b_info.max_memkb", "expected at least target_memkb, \(target), got \(most)")
      }),
    Rule(
      "config.memory", .error, "The pages of a guest fit into the memory it is to have.",
      "Xen: tools/libs/light/libxl_dom.c, libxl__build_pre; xen/common/memory.c, populate_physmap",
      .image { look in
        guard let config = look.configuration, config.type == "pv" || config.isTranslated,
          look.imageSummary.roundCount > 0
        else { return }
        let needed =
          look.libxc.populated.count.map { UInt64($0) << 2 }
          ?? look.imageSummary.memoryByteCount >> 10
        guard needed > config.allowedKiB else { return }
        look.reportConfig(
          "b_info.target_memkb",
          "expected at least \(needed - 1024) for the pages of the stream, got "
            + "\(config.allowedKiB - 1024)")
      }),
    Rule(
      "config.emulator", .error, "Only an HVM guest has the state of a device model.",
      "Xen: tools/libs/light/libxl_stream_read.c, process_record", since: 10,
      .record([.emulatorContext, .emulatorXenstoreData]) { look, record in
        guard let type = look.configuration?.reading.buildType, type == "pv" || type == "pvh" else {
          return
        }
        look.report(
          record, "type", "expected none, as b_info.type.\(type) says, got \(record.type.name)")
      }),
  ]
}

extension VerificationContext {
  /// Reports what libxl's parser comes upon.
  fileprivate func reportConfig(_ kind: ConfigReading.Problem.Kind, _ suffix: String = "") {
    for problem in configuration?.reading.problems ?? [] where problem.kind == kind {
      reportConfig(problem.path, problem.text + suffix)
    }
  }
}
