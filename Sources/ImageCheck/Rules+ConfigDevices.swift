// Rules for the devices of a configuration: what libxl asks of each before it makes it.

internal import Bytes
internal import Format
internal import JSON
internal import Stream

extension Rule {
  private static let disk =
    "Xen: tools/libs/light/libxl_device.c, libxl__device_disk_set_backend; xl of 4.17"

  static let configDevices: [Rule] = [
    Rule(
      "config.disk-name", .error,
      "A disk's vdev is xvd, hd or sd with letters and perhaps a partition, dNpM or a number, and its own.",
      "Xen: tools/libs/light/libxl_device.c, libxl__device_disk_dev_number; xl of 4.17",
      .devices("disks") { look, _, disk, place in
        let name = disk["vdev"]?.stringValue
        guard let name, DiskName(name) != nil else {
          let got = name.map { "\"\(Array($0.utf8).printable)\"" } ?? "none"
          return look.reportConfig("\(place).vdev", "expected a device such as xvda, got \(got)")
        }
      }),
    Rule(
      "config.disk-twice", .error, "Two disks are no one device.",
      "Xen: tools/libs/light/libxl_disk.c, device_disk_add; xl of 4.17",
      .image { look in
        var seen: Set<Int> = []
        let disks = look.readable?.root["disks"]?.arrayValue ?? []
        for (index, disk) in disks.enumerated() {
          guard let text = disk["vdev"]?.stringValue, let name = DiskName(text) else { continue }
          if !seen.insert(name.deviceNumber).inserted {
            look.reportConfig(
              "disks[\(index)].vdev", "expected a device of its own, got \(text) again")
          }
        }
      }),
    Rule(
      "config.disk-format", .error,
      "An empty drive is a CD-ROM's and names no image; a backend takes the disk's format and script.",
      disk,
      .devices("disks") { look, config, disk, place in
        func word(_ name: String) -> String { disk[name]?.stringValue ?? "unknown" }
        let (format, backend) = (word("format"), word("backend"))
        let hasScript = disk["script"]?.stringValue != nil
        let isColo = config.isTrue(disk["colo_enable"])
        let isDrive = (disk["is_cdrom"]?.numberValue?.int64 ?? 0) != 0
        if format == "empty" {
          if !isDrive {
            return look.reportConfig("\(place).is_cdrom", "expected 1 of an empty drive, got 0")
          }
          if let path = disk["pdev_path"]?.stringValue, !path.isEmpty {
            return look.reportConfig("\(place).pdev_path", "expected none of an empty drive")
          }
        }
        let (transport, isVirtio) = (word("transport"), word("specification") == "virtio")
        if transport != "unknown", !isVirtio || transport != "mmio" {
          return look.reportConfig(
            "\(place).transport",
            "expected \(isVirtio ? "mmio" : "none without specification virtio"), got \(transport)")
        }
        if format != "empty", !["qdisk", "tap"].contains(backend),
          disk["pdev_path"]?.stringValue == nil, !hasScript,
          disk["backend_domid"]?.numberValue?.int64 ?? 0 == 0, !isDrive || config.type != "hvm"
        {
          return look.reportConfig("\(place).pdev_path", "expected a file or device, got none")
        }
        if isDrive, config.type == "hvm" {
          // libxl gives them to QEMU, whatever their format is.
          guard backend != "unknown", backend != "qdisk" else { return }
          return look.reportConfig("\(place).backend", "expected qdisk of a CD-ROM, got \(backend)")
        }
        if backend != "unknown", isVirtio != (backend == "standalone") {
          return look.reportConfig(
            "\(place).backend",
            "expected \(isVirtio ? "standalone" : "phy or qdisk"), got \(backend)")
        }
        // libxl takes the first backend that can, where none is named: a script is phy's.
        let chosen =
          backend != "unknown" ? backend : isVirtio ? "standalone" : hasScript ? "phy" : "unknown"
        switch chosen {
        case "tap":
          // Before, blktap2 may be there; afterwards blktap3 is.
          let isTaken = ["raw", "vhd"].contains(format)
          look.reportConfig(
            "\(place).backend", "expected phy or qdisk, got tap",
            since: isTaken && !hasScript ? 13 : 0, until: isTaken ? 19 : nil)
        case "phy" where format != "raw", "standalone" where format != "raw":
          look.reportConfig(
            "\(place).format", "expected raw of the backend \(chosen), got \(format)")
        case "qdisk" where hasScript, "standalone" where hasScript:
          look.reportConfig("\(place).script", "expected none of the backend \(chosen)")
        case "phy" where isColo, "standalone" where isColo:
          look.reportConfig("\(place).colo_enable", "expected False of the backend \(chosen)")
        default: break
        }
      }),
    Rule(
      "config.disk-readonly", .error, "An HVM guest's emulated disks can be written.",
      "Xen: tools/libs/light/libxl_dm.c, libxl__build_device_model_args_new", since: 8,
      .devices("disks") { look, config, disk, place in
        guard let hvm = HVMConfiguration(config), !hvm.isTraditional,
          disk["is_cdrom"]?.numberValue?.int64 ?? 0 == 0,
          // Without the key it is read-only, too.
          disk["readwrite"]?.numberValue?.int64 ?? 0 == 0,
          let text = disk["vdev"]?.stringValue, !text.hasPrefix("sd"),
          let index = DiskName(text)?.disk, index < (hvm.word("hdtype") == "ahci" ? 6 : 4),
          disk["pdev_path"]?.stringValue != nil, disk["backend_domname"]?.stringValue == nil,
          disk["backend_domid"]?.numberValue?.int64 ?? 0 == 0
        else { return }
        let format = disk["format"]?.stringValue ?? "unknown"
        // QEMU is given no other disks.
        let isEmulated =
          disk["backend"]?.stringValue == "qdisk"
          ? !["unknown", "empty"].contains(format)
          : format == "raw" && disk["script"]?.stringValue == nil
        guard isEmulated else { return }
        look.reportConfig("\(place).readwrite", "expected 1 of a disk that QEMU has, too, got 0")
      }),
    Rule(
      "config.device-twice", .error, "Two devices of a kind have no number in common.",
      "Xen: tools/libs/light/libxl_device.c, libxl__device_add_async; libxl_nic.c, "
        + "libxl__device_nic_set_devids",
      .image { look in
        guard let config = look.readable else { return }
        for list in ["nics", "vtpms", "usbctrls", "vdispls", "vsnds"] {
          var seen: Set<Int64> = []
          for (index, id) in config.deviceNumbers(list).enumerated() {
            if id < 0 {
              look.reportConfig("\(list)[\(index)].devid", "expected -1 or more, got \(id)")
            } else if !seen.insert(id).inserted {
              look.reportConfig(
                "\(list)[\(index)].devid", "expected a number of its own, got \(id) again")
            }
          }
        }
      }),
    Rule(
      "config.channel-twice", .error, "Two channels that QEMU serves have no number in common.",
      "Xen: tools/libs/light/libxl_dm.c, libxl__build_device_model_args_new; QEMU: chardev/char.c",
      .image { look in
        guard let config = look.readable, config.needsQEMU else { return }
        var seen: Set<Int64> = []
        for (index, channel) in config.list("channels").enumerated() {
          let stated = channel["devid"]?.numberValue?.int64 ?? -1
          let id = stated == -1 ? Int64(index) + 1 : stated
          guard !seen.insert(id).inserted else { continue }
          look.reportConfig(
            "channels[\(index)].devid", "expected a number of its own, got \(id) again")
        }
      }),
    Rule(
      "config.nic-type", .error, "Only an HVM guest has an emulated network card.",
      "Xen: tools/libs/light/libxl_nic.c, libxl__device_nic_setdefault",
      .devices("nics") { look, config, nic, place in
        guard config.type == "pv" || config.type == "pvh",
          nic["nictype"]?.stringValue == "vif_ioemu"
        else { return }
        look.reportConfig("\(place).nictype", "expected vif of a \(config.type ?? "") guest")
      }),
    Rule(
      "config.channel", .error,
      "A channel has a name and a connection: pty, or socket with a path.",
      "Xen: tools/libs/light/libxl_console.c, libxl__init_console_from_channel; xl of 4.17",
      .devices("channels") { look, _, channel, place in
        if channel["name"]?.stringValue == nil {
          look.reportConfig("\(place).name", "expected one, got none")
        } else if let socket = channel["connection.socket"], socket.objectValue != nil {
          guard socket["path"]?.stringValue == nil else { return }
          look.reportConfig("\(place).connection.socket.path", "expected one, got none")
        } else if channel["connection.pty"]?.objectValue == nil {
          look.reportConfig("\(place)", "expected connection.pty or connection.socket, got neither")
        }
      }),
    Rule(
      "config.usb-controller", .error,
      "A USB controller is of a version, and has as many ports, as its kind can have.",
      "Xen: tools/libs/light/libxl_usb.c, libxl__device_usbctrl_setdefault", since: 7,
      .devices("usbctrls") { look, config, controller, place in
        func integer(_ name: String) -> Int64? { controller[name]?.numberValue?.int64 }
        var kind = controller["type"]?.stringValue ?? "auto"
        if kind == "auto" { kind = config.type == "hvm" ? "devicemodel" : "qusb" }
        if kind == "devicemodel", config.type == "pv" || config.type == "pvh" {
          return look.reportConfig(
            "\(place).type",
            "expected pv or qusb of a guest without a device model, got devicemodel")
        }
        let version = integer("version") ?? 0
        let ports = integer("ports") ?? 0
        let limits: [Int64: ClosedRange<Int64>]
        switch kind {
        case "pv", "qusb": limits = [0: 0...31, 1: 0...31, 2: 0...31]
        case "devicemodel": limits = [0: 0...6, 1: 0...2, 2: 0...6, 3: 0...15]
        default: return
        }
        guard let range = limits[version] else {
          let most = limits.keys.max() ?? 0
          return look.reportConfig("\(place).version", "expected 1 to \(most), got \(version)")
        }
        // Those of versions 1 and 2 of QEMU's have a number of ports of their own.
        let isFixed = kind == "devicemodel" && version < 3
        guard isFixed ? ports != 0 && ports != range.upperBound : !range.contains(ports) else {
          return
        }
        look.reportConfig(
          "\(place).ports",
          "expected \(isFixed ? "" : "1 to ")\(range.upperBound), got \(ports)")
      }),
    Rule(
      "config.usb-device", .error, "A USB device is at a controller that there is.",
      "Xen: tools/libs/light/libxl_usb.c, libxl__device_usbdev_setdefault; xl of 4.17", since: 7,
      .devices("usbdevs") { look, config, device, place in
        let controllerID = device["ctrl"]?.numberValue?.int64 ?? -1
        // Without a number libxl looks for a controller with a free port, and makes one.
        guard controllerID != -1 else {
          let port = device["port"]?.numberValue?.int64 ?? 0
          guard port != 0 else { return }
          return look.reportConfig("\(place).port", "expected none without ctrl, got \(port)")
        }
        guard !config.deviceNumbers("usbctrls").contains(controllerID) else { return }
        look.reportConfig("\(place).ctrl", "expected one of usbctrls, got \(controllerID)")
      }),
    Rule(
      "config.passthrough", .error,
      "A guest with devices of the host is one that may have them; a PVH guest may not.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault; libxl_x86.c, "
        + "libxl__arch_passthrough_mode_setdefault; xl of 4.17", since: 13,
      .image { look in
        guard let config = look.readable else { return }
        let mode = config.root["c_info"]?["passthrough"]?.stringValue ?? "default"
        let list = ["pcidevs", "dtdevs"].first { !config.list($0).isEmpty }
        if list == "dtdevs" {
          look.reportConfig("dtdevs", "expected none: x86 has no device tree")
        } else if mode == "share_pt", config.type == "pv" || !config.usesHAP {
          look.reportConfig(
            "c_info.passthrough",
            "expected another value \(config.type == "pv" ? "of a PV guest" : "without hap")")
        } else if mode == "disabled", let list {
          look.reportConfig("c_info.passthrough", "expected another value beside \(list)")
        } else if config.type == "pvh", mode != "disabled", mode != "default" || list != nil {
          look.reportConfig(
            list ?? "c_info.passthrough",
            "expected none of a PVH guest\(list == nil ? ", got \(mode)" : "")")
        }
      }),
    Rule(
      "config.available-vcpus", .error,
      "The vCPUs that are there have numbers below 1024; QEMU wants no more of them than there can be.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_build_info_setdefault; QEMU: "
        + "hw/core/machine-smp.c; xl of 4.17",
      .image { look in
        guard let config = look.readable else { return }
        let list = config.buildInfo("avail_vcpus")?.arrayValue ?? []
        let greatest = list.compactMap { $0.numberValue?.int64 }.max() ?? 0
        if greatest >= 1024 {
          look.reportConfig("b_info.avail_vcpus", "expected numbers below 1024, got \(greatest)")
        } else if let most = config.vcpuCount, most > 1, list.count > most,
          HVMConfiguration(config)?.isTraditional == false
        {
          look.reportConfig(
            "b_info.avail_vcpus", "expected at most \(most) (b_info.max_vcpus), got \(list.count)")
        }
      }),
  ]
}

extension DomainConfiguration {
  /// The numbers that libxl gives the devices of a list: those that are stated, and others where it is -1, which is
  /// also the default.
  fileprivate func deviceNumbers(_ list: String) -> [Int64] {
    var next: Int64 = 0
    return self.list(list).map { device in
      let stated = device["devid"]?.numberValue?.int64 ?? -1
      if list == "nics" {
        // libxl means to count on from the greatest, but its comparison is never true.
        guard stated < 0 else { return stated }
        defer { next += 1 }
        return next
      }
      let id = stated == -1 ? next : stated
      next = max(next, id + 1)
      return id
    }
  }
}

/// The name of a disk as the guest sees it, read as libxl does.
private struct DiskName {
  /// What xenstore calls it.
  let deviceNumber: Int
  /// The number of the disk among those of its kind; nil where a plain number stands for the device.
  let disk: Int?

  init?(_ text: String) {
    let bytes = Array(text.utf8)
    if let (disk, partition) = DiskName.pair(bytes)
      ?? DiskName.parse(bytes, "xvd", disks: 1 << 20, partitions: 255)
    {
      self.disk = disk
      deviceNumber =
        disk <= 15 && partition <= 15
        ? 202 << 8 | disk << 4 | partition : 1 << 28 | disk << 8 | partition
    } else if let plain = DiskName.integer(bytes[...]), plain.rest.isEmpty,
      0...Int(Int32.max) ~= plain.value
    {
      disk = nil
      deviceNumber = plain.value
    } else if let (disk, partition) = DiskName.parse(bytes, "hd", disks: 4, partitions: 63) {
      self.disk = disk
      deviceNumber = (disk < 2 ? 3 : 22) << 8 | (disk & 1) << 6 | partition
    } else if let (disk, partition) = DiskName.parse(bytes, "sd", disks: 16, partitions: 15) {
      self.disk = disk
      deviceNumber = 8 << 8 | disk << 4 | partition
    } else {
      return nil
    }
    // libxl's own sign for what is no device.
    if deviceNumber == -1 { return nil }
  }

  /// "xvda", "sdb1": letters count as digits, "aa" follows "z". Without one libxl takes the disk before
  /// the first, -1.
  private static func parse(
    _ text: [UInt8], _ prefix: String, disks: Int, partitions: Int
  ) -> (disk: Int, partition: Int)? {
    guard text.starts(with: prefix.utf8) else { return nil }
    var rest = text.dropFirst(prefix.utf8.count)
    var disk = -1
    while let letter = rest.first, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter) {
      disk = (disk + 1) * 26 + Int(letter - UInt8(ascii: "a"))
      guard disk < disks else { return nil }
      rest = rest.dropFirst()
    }
    if rest.isEmpty { return (disk, 0) }
    // strtoul takes a sign, and the result is compared as a signed one.
    guard rest.first != UInt8(ascii: "0"), let partition = integer(rest, base: 10),
      partition.rest.isEmpty, partition.value <= partitions
    else { return nil }
    return (disk, partition.value)
  }

  /// "d5p1", as sscanf's "d%ip%i" reads it.
  private static func pair(_ text: [UInt8]) -> (disk: Int, partition: Int)? {
    guard text.first == UInt8(ascii: "d"),
      let disk = integer(text.dropFirst()), disk.hasDigits,
      disk.rest.first == UInt8(ascii: "p"),
      let partition = integer(disk.rest.dropFirst()), partition.hasDigits, partition.rest.isEmpty,
      disk.value < 1 << 20, partition.value < 256
    else { return nil }
    return (disk.value, partition.value)
  }

  /// An integer as C reads it: white space, a sign, and with base 0 a prefix that says the base. Without
  /// digits it is 0, and all text is left. nil where it is far too large.
  private static func integer(
    _ text: ArraySlice<UInt8>, base: Int = 0
  ) -> (value: Int, hasDigits: Bool, rest: ArraySlice<UInt8>)? {
    var rest = text.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }
    let isNegative = rest.first == UInt8(ascii: "-")
    if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    func digit(_ byte: UInt8) -> Int? { Character(Unicode.Scalar(byte)).hexDigitValue }
    var base = base
    if base == 0 {
      base = 10
      if rest.first == UInt8(ascii: "0") {
        base = 8
        let after = rest.dropFirst()
        if after.first.map({ $0 | 0x20 }) == UInt8(ascii: "x"),
          after.dropFirst().first.flatMap(digit) != nil
        {
          base = 16
          rest = after.dropFirst()
        }
      }
    }
    let digits = rest.prefix { digit($0).map { $0 < base } ?? false }
    guard !digits.isEmpty else { return (0, false, text) }
    var value = 0
    for byte in digits {
      value = value * base + (digit(byte) ?? 0)
      guard value <= 1 << 40 else { return nil }
    }
    return (isNegative ? -value : value, true, rest.dropFirst(digits.count))
  }
}

extension Rule.Check {
  /// Looks at each device of one of the configuration's lists.
  fileprivate static func devices(
    _ list: String,
    _ check:
      @escaping @Sendable (
        VerificationContext, DomainConfiguration, _ device: JSONValue, _ place: String
      ) -> Void
  ) -> Rule.Check {
    .image { look in
      guard let config = look.readable else { return }
      for (index, device) in (config.root[list]?.arrayValue ?? []).enumerated()
      where device.objectValue != nil {
        check(look, config, device, "\(list)[\(index)]")
      }
    }
  }
}

extension VerificationContext {
  /// The configuration, where libxl does not refuse it for what it cannot read.
  fileprivate var readable: DomainConfiguration? {
    configuration.flatMap { $0.isRefused ? nil : $0 }
  }
}
