// Rules for what libxl and QEMU ask of an HVM guest's configuration before they make its device model.

internal import Bytes
internal import Format
internal import JSON
internal import Stream

extension Rule {
  private static let defaults =
    "Xen: tools/libs/light/libxl_create.c, libxl__domain_build_info_setdefault; xl of 4.17"
  private static let whole =
    "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault; xl of 4.17"
  private static let arguments =
    "Xen: tools/libs/light/libxl_dm.c, libxl__build_device_model_args_new; xl of 4.17"

  static let configHVM: [Rule] = [
    Rule(
      "config.device-model", .error,
      "The device model of an HVM guest is qemu_xen or qemu_xen_traditional, with a BIOS of its own.",
      defaults,
      .hvm(orPVH: true) { look, hvm in
        let model = hvm.model
        guard hvm.isOfQEMU else {
          return look.reportConfig(
            "b_info.device_model_version", "expected qemu_xen or qemu_xen_traditional, got \(model)"
          )
        }
        guard let bios = hvm.word("bios"), bios != "unknown",
          (bios == "rombios") != hvm.isTraditional
        else { return }
        look.reportConfig(
          "b_info.type.hvm.bios",
          "expected \(hvm.isTraditional ? "rombios" : "another") of \(model), got \(bios)")
      }),
    Rule(
      "config.direct-boot", .error,
      "An HVM guest with a command line or an initial RAM disk for its kernel has a kernel.",
      defaults,
      .hvm(orPVH: true) { look, hvm in
        guard hvm.build["kernel"]?.stringValue == nil,
          let name = ["ramdisk", "cmdline"].first(where: { hvm.build[$0]?.stringValue != nil })
        else { return }
        look.reportConfig("b_info.kernel", "expected one for \(name), got none")
      }),
    Rule(
      "config.video-memory", .error,
      "The memory of an HVM guest's display adapter is enough: 8 MiB, std 16 MiB, qxl 128 MiB.",
      defaults,
      .hvm(orPVH: true) { look, hvm in
        // cirrus is the default. The traditional device model asks for less, and has no qxl.
        let kind = hvm.fields["vga"]?["kind"]?.stringValue ?? "cirrus"
        if hvm.isTraditional, kind == "qxl" {
          return look.reportConfig(
            "b_info.type.hvm.vga.kind", "expected none of qemu_xen's, got qxl")
        }
        let least: UInt64
        switch (kind, hvm.isTraditional) {
        case ("none", _), ("cirrus", true), ("unknown", true): return
        case ("qxl", _): least = 128 << 10
        case ("std", false): least = 16 << 10
        default: least = 8 << 10
        }
        // -1 stands for the default, as for libxl's own "none".
        guard let size = hvm.build["video_memkb"]?.numberValue?.int64.map(UInt64.init(bitPattern:)),
          size < least
        else { return }
        look.reportConfig(
          "b_info.video_memkb",
          "expected at least \(least) for the display adapter \(kind), got \(size)")
      }),
    Rule(
      "config.usb", .error,
      "An HVM guest has USB by one list of devices, by one device, or by version 1 to 3.",
      arguments,
      .hvm { look, hvm in
        // Without SPICE libxl takes back only what is above 0.
        let stated = hvm.integer(["spice", "usbredirection"])
        let redirected = hvm.hasSpice ? stated : min(stated, 0)
        var version = hvm.integer(["usbversion"])
        if version == 0, redirected > 0 { version = 2 }
        let list = hvm.list("usbdevice_list")
        let device = hvm.fields["usbdevice"]?.stringValue
        let isOld = hvm.isSet("usb") || list != nil || device != nil
        if version != 0 || redirected != 0, isOld {
          return look.reportConfig(
            "b_info.type.hvm.usbversion", "expected none beside usb, usbdevice or usbdevice_list")
        }
        if device != nil, list != nil {
          return look.reportConfig(
            "b_info.type.hvm.usbdevice", "expected none beside usbdevice_list")
        }
        guard !hvm.isTraditional, version != 0 else { return }
        if !(1...3).contains(version) {
          look.reportConfig("b_info.type.hvm.usbversion", "expected 1 to 3, got \(version)")
        } else if !(0...4).contains(redirected) {
          look.reportConfig(
            "b_info.type.hvm.spice.usbredirection", "expected 1 to 4, got \(redirected)")
        }
      }),
    Rule(
      "config.serial", .error,
      "An HVM guest has its serial ports in one list, or is given one port.",
      arguments,
      .hvm { look, hvm in
        guard hvm.fields["serial"]?.stringValue != nil,
          hvm.list("serial_list") != nil
        else { return }
        look.reportConfig("b_info.type.hvm.serial", "expected none beside serial_list")
      }),
    Rule(
      "config.vnc", .error,
      "VNC listens at the port of a display from 0 to 59635, which listen names, or display.",
      arguments,
      .image { look in
        guard let config = look.configuration, !config.isRefused else { return }
        let hvm = HVMConfiguration(config)
        // Of the frame buffers of other guests QEMU is given the first.
        let place = hvm == nil ? "vfbs[0].vnc" : "b_info.type.hvm.vnc"
        guard hvm != nil || config.type == "pv" || config.type == "pvh",
          let vnc = hvm.map({ $0.fields["vnc"] }) ?? config.list("vfbs").first?["vnc"],
          config.isTrue(vnc["enable"], default: true)
        else { return }
        let display = vnc["display"]?.numberValue?.int64 ?? 0
        if let listen = vnc["listen"]?.stringValue, listen.contains(":") {
          guard display != 0 else { return }
          look.reportConfig(
            "\(place).display",
            "expected 0 beside listen \"\(Array(listen.utf8).printable)\", got \(display)")
        } else if hvm?.isTraditional != true, !(0...65535 - 5900).contains(display) {
          look.reportConfig("\(place).display", "expected 0 to 59635, got \(display)")
        }
      }),
    Rule(
      "config.spice", .error, "SPICE has a port, and a password or no ticketing.",
      "Xen: tools/libs/light/libxl_dm.c, dm_spice_options",
      .hvm { look, hvm in
        guard hvm.hasSpice, !hvm.isTraditional, let spice = hvm.fields["spice"] else { return }
        if hvm.integer(["spice", "port"]) == 0, hvm.integer(["spice", "tls_port"]) == 0 {
          look.reportConfig(
            "b_info.type.hvm.spice.port", "expected a port here or in tls_port, got none")
        } else if !hvm.isOn(spice["disable_ticketing"]),
          (spice["passwd"]?.stringValue ?? "").isEmpty
        {
          look.reportConfig(
            "b_info.type.hvm.spice.passwd", "expected a password, or disable_ticketing, got neither"
          )
        }
      }),
    Rule(
      "config.sound", .error, "The sound card is one that libxl knows.",
      "Xen: tools/libs/light/libxl_types_internal.idl, qemu_soundhw; xl of 4.17",
      since: ReleaseSince(17, [(15, 4), (16, 3)]),
      .hvm { look, hvm in
        let known = ["ac97", "adlib", "cs4231a", "es1370", "gus", "hda", "sb16"]
        guard !hvm.isTraditional, let card = hvm.word("soundhw"), !known.contains(card)
        else { return }
        look.reportConfig(
          "b_info.type.hvm.soundhw",
          "expected \(known.joined(separator: ", ")), got "
            + "\"\(Array(card.utf8).printable)\"")
      }),
    Rule(
      "config.graphics", .error,
      "A guest that is given the host's graphics card has a device of the host, or says of which kind it is.",
      "Xen: tools/libs/light/libxl_dm.c, libxl__detect_gfx_passthru_kind; xl of 4.17",
      .hvm { look, hvm in
        guard !hvm.isTraditional, hvm.isSet("gfx_passthru"),
          (hvm.word("gfx_passthru_kind") ?? "default") == "default", !hvm.hasDevices
        else { return }
        look.reportConfig(
          "b_info.type.hvm.gfx_passthru_kind", "expected igd, or a device in pcidevs, got none")
      }),
    Rule(
      "config.boot", .error,
      "The boot order is of 3 drives at most: a, b, c, d and n, each once.",
      "Rationale: QEMU ends at another one (softmmu/bootdevice.c, hw/i386/pc.c); xl of 4.17",
      .hvm { look, hvm in
        guard !hvm.isTraditional, let order = hvm.fields["boot"]?.stringValue else { return }
        // Options of QEMU's own may follow.
        let drives = order.utf8.prefix { $0 != UInt8(ascii: ",") }
        guard
          drives.count > 3 || Set(drives).count < drives.count
            || !drives.allSatisfy("abcdn".utf8.contains)
        else { return }
        look.reportConfig(
          "b_info.type.hvm.boot", "expected some of abcdn, got \"\(Array(drives).printable)\"")
      }),
    Rule(
      "config.mca-capabilities", .error, "Of the machine check's capabilities only bit 0 is known.",
      "Xen: xen/arch/x86/cpu/mcheck/vmce.c, vmce_enable_mca_cap", since: 10,
      .hvm { look, hvm in
        let value = hvm.integer(["mca_caps"])
        guard value != 0, value != 1 else { return }
        look.reportConfig("b_info.type.hvm.mca_caps", "expected 0 or 1, got \(value)")
      }),
    Rule(
      "config.altp2m", .error,
      "An HVM or PVH guest with several views of its memory has no nested virtualisation, and all of its memory.",
      whole,
      .image { look in
        guard let config = look.configuration, config.isTranslated, config.altp2m != 0 else {
          return
        }
        if config.isNested {
          look.reportConfig("b_info.altp2m", "expected none beside nested_hvm")
        } else if config.isPopulatedOnDemand {
          look.reportConfig(
            "b_info.altp2m", "expected none where target_memkb is less than max_memkb")
        }
      }),
    Rule(
      "config.on-demand", .error,
      "An HVM or PVH guest that gets memory on demand has no virtual NUMA nodes and no devices of the host.",
      whole,
      .image { look in
        guard let config = look.configuration, config.isPopulatedOnDemand else { return }
        if config.buildInfo("vnuma_nodes")?.arrayValue?.isEmpty == false {
          return look.reportConfig(
            "b_info.vnuma_nodes", "expected none where target_memkb is less than max_memkb")
        }
        let mode = config.root["c_info"]?["passthrough"]?.stringValue ?? "default"
        let hasDevices = !config.list("pcidevs").isEmpty
        guard mode == "default" ? hasDevices : mode != "disabled" else { return }
        look.reportConfig(
          hasDevices ? "pcidevs" : "c_info.passthrough",
          "expected none where target_memkb is less than max_memkb")
      }),
    Rule(
      "config.nested-shadow", .error,
      "A guest with nested virtualisation has page tables that the processor walks.",
      "Xen: xen/arch/x86/domain.c, arch_sanitise_domain_config", since: 16,
      .image { look in
        guard let config = look.configuration, config.isTranslated, config.isNested,
          !config.usesHAP
        else { return }
        look.reportConfig("c_info.hap", "expected True beside nested_hvm")
      }),
    Rule(
      "emulator-context.missing", .error,
      "The stream of an HVM guest has the state of its device model: QEMU starts from it.",
      "Xen: tools/libs/light/libxl_dm.c, libxl__spawn_local_dm; xl of 4.17",
      .image { look in
        guard look.configuration?.hvm != nil, look.configuration?.reading.buildType == "hvm",
          look.imageSummary.headers[.libxl] != nil, look.libxl.context != nil,
          !look.libxl.hasEmulatorContext, look.imageSummary.ending == .end
        else { return }
        look.report(
          offset: look.imageSummary.byteCount, place: "", "", "expected EMULATOR_CONTEXT, got none")
      }),
  ]
}

/// What libxl reads of an HVM guest's configuration for its device model.
struct HVMConfiguration {
  let build: JSONValue
  /// b_info's type.hvm.
  let fields: JSONValue
  private let config: DomainConfiguration

  /// nil where c_info and b_info are not both of an HVM guest; with `orPVH` c_info may also make a PVH guest.
  init?(_ config: DomainConfiguration, orPVH: Bool = false) {
    guard config.reading.buildType == "hvm", !config.isRefused,
      config.type == "hvm" || orPVH && config.type == "pvh", let build = config.root["b_info"],
      let fields = build["type.hvm"]
    else { return nil }
    (self.build, self.fields, self.config) = (build, fields, config)
  }

  /// device_model_version, or libxl's default.
  var model: String {
    let stated = build["device_model_version"]?.stringValue ?? "unknown"
    guard stated == "unknown" else { return stated }
    return isOn(build["device_model_stubdomain"]) ? "qemu_xen_traditional" : "qemu_xen"
  }
  var isTraditional: Bool { model == "qemu_xen_traditional" }
  var isOfQEMU: Bool { isTraditional || model == "qemu_xen" }
  /// Whether the guest is given PCI devices of the host.
  var hasDevices: Bool { config.root["pcidevs"]?.arrayValue?.isEmpty == false }
  var hasSpice: Bool { isOn(fields["spice"]?["enable"]) }

  func isOn(_ value: JSONValue?, default unset: Bool = false) -> Bool {
    config.isTrue(value, default: unset)
  }
  /// A list of type.hvm: libxl takes an empty one as none.
  func list(_ name: String) -> [JSONValue]? {
    fields[name]?.arrayValue.flatMap { $0.isEmpty ? nil : $0 }
  }
  func isSet(_ name: String) -> Bool { isOn(fields[name]) }

  /// A word of type.hvm, in lower case, as libxl compares it.
  func word(_ name: String) -> String? { fields[name]?.stringValue?.lowercased() }

  /// A number of type.hvm; 0 where there is none.
  func integer(_ path: [String]) -> Int64 {
    var value: JSONValue? = fields
    for name in path { value = value?[name] }
    return value?.numberValue?.int64 ?? 0
  }
}

extension Rule.Check {
  /// Looks at the configuration of an HVM guest, at the end of the image.
  fileprivate static func hvm(
    orPVH: Bool = false,
    _ check: @escaping @Sendable (VerificationContext, HVMConfiguration) -> Void
  ) -> Rule.Check {
    .image { look in
      guard let config = look.configuration, let hvm = HVMConfiguration(config, orPVH: orPVH)
      else { return }
      check(look, hvm)
    }
  }
}
