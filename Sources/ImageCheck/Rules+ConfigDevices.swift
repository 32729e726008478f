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
        func word(_ name: String) -> String { disk[name]?.stringValue?.lowercased() ?? "unknown" }
        let (format, backend) = (word("format"), word("backend"))
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
          disk["pdev_path"]?.stringValue == nil, disk["script"]?.stringValue == nil,
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
        switch backend {
        case "standalone" where format != "raw":
          look.reportConfig(
            "\(place).format", "expected raw of the backend standalone, got \(format)")
        case "tap": look.reportConfig("\(place).backend", "expected phy or qdisk, got tap")
        case "phy" where format != "raw":
          look.reportConfig("\(place).format", "expected raw of the backend phy, got \(format)")
        case "qdisk" where disk["script"]?.stringValue != nil:
          look.reportConfig("\(place).script", "expected none of the backend qdisk")
        default: break
        }
      }),
    Rule(
      "config.nic-type", .error, "Only an HVM guest has an emulated network card.",
      "Xen: tools/libs/light/libxl_nic.c, libxl__device_nic_setdefault",
      .devices("nics") { look, config, nic, place in
        guard config.type == "pv" || config.type == "pvh",
          nic["nictype"]?.stringValue?.lowercased() == "vif_ioemu"
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
        var kind = controller["type"]?.stringValue?.lowercased() ?? "auto"
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
        // Without a number libxl looks for a controller with a free port, and makes one.
        guard let controllerID = device["ctrl"]?.numberValue?.int64, controllerID >= 0 else {
          return
        }
        let controllers = config.root["usbctrls"]?.arrayValue ?? []
        let exists = controllers.enumerated().contains { index, controller in
          let own = controller["devid"]?.numberValue?.int64 ?? -1
          return (own < 0 ? Int64(index) : own) == controllerID
        }
        guard !exists else { return }
        look.reportConfig("\(place).ctrl", "expected one of usbctrls, got \(controllerID)")
      }),
    Rule(
      "config.passthrough", .error,
      "A guest with devices of the host is one that may have them; a PVH guest may not.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_config_setdefault; libxl_x86.c, "
        + "libxl__arch_passthrough_mode_setdefault; xl of 4.17", since: 13,
      .image { look in
        guard let config = look.readable else { return }
        let mode = config.root["c_info"]?["passthrough"]?.stringValue?.lowercased() ?? "default"
        let list = ["pcidevs", "dtdevs"].first { config.root[$0]?.arrayValue?.isEmpty == false }
        if mode == "disabled", let list {
          look.reportConfig("c_info.passthrough", "expected another value beside \(list)")
        } else if config.type == "pvh", mode != "disabled", mode != "default" || list != nil {
          look.reportConfig(
            list ?? "c_info.passthrough",
            "expected none of a PVH guest\(list == nil ? ", got \(mode)" : "")")
        }
      }),
    Rule(
      "config.available-vcpus", .error, "The list of vCPUs that are there has numbers below 1024.",
      "Xen: tools/libs/light/libxl_create.c, libxl__domain_build_info_setdefault; xl of 4.17",
      .image { look in
        let list = look.readable?.root["b_info"]?["avail_vcpus"]?.arrayValue ?? []
        let greatest = list.compactMap { $0.numberValue?.int64 }.max() ?? 0
        guard greatest >= 1024 else { return }
        look.reportConfig("b_info.avail_vcpus", "expected numbers below 1024, got \(greatest)")
      }),
  ]
}

/// The name of a disk as the guest sees it, read as libxl does.
private struct DiskName {
  /// What xenstore calls it.
  let deviceNumber: Int

  init?(_ text: String) {
    if let (disk, partition) = DiskName.parse(text, "xvd", disks: 1 << 20, partitions: 255)
      ?? DiskName.pair(text)
    {
      deviceNumber =
        disk <= 15 && partition <= 15
        ? 202 << 8 | disk << 4 | partition : 1 << 28 | disk << 8 | partition
    } else if let plain = DiskName.plain(text) {
      deviceNumber = plain
    } else if let (disk, partition) = DiskName.parse(text, "hd", disks: 4, partitions: 63) {
      deviceNumber = (disk < 2 ? 3 : 22) << 8 | (disk & 1) << 6 | partition
    } else if let (disk, partition) = DiskName.parse(text, "sd", disks: 16, partitions: 15) {
      deviceNumber = 8 << 8 | disk << 4 | partition
    } else {
      return nil
    }
  }

  /// "xvda", "sdb1": letters count as digits, "aa" follows "z". Without one libxl takes the disk before
  /// the first, -1.
  private static func parse(
    _ text: String, _ prefix: String, disks: Int, partitions: Int
  ) -> (disk: Int, partition: Int)? {
    guard text.hasPrefix(prefix) else { return nil }
    var rest = text.utf8.dropFirst(prefix.utf8.count)
    var disk = -1
    while let letter = rest.first, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter) {
      disk = (disk + 1) * 26 + Int(letter - UInt8(ascii: "a"))
      guard disk < disks else { return nil }
      rest = rest.dropFirst()
    }
    if rest.isEmpty { return (disk, 0) }
    guard rest.first != UInt8(ascii: "0"), let partition = Int(Substring(rest)),
      0...partitions ~= partition
    else { return nil }
    return (disk, partition)
  }

  /// "d5p1".
  private static func pair(_ text: String) -> (disk: Int, partition: Int)? {
    guard text.hasPrefix("d") else { return nil }
    let parts = text.dropFirst().split(separator: "p", omittingEmptySubsequences: false)
    guard parts.count == 2, let disk = Int(parts[0]), let partition = Int(parts[1]),
      0..<1 << 20 ~= disk, 0..<256 ~= partition
    else { return nil }
    return (disk, partition)
  }

  /// A number as C's strtoul reads it; no text is 0.
  private static func plain(_ text: String) -> Int? {
    let lower = text.lowercased()
    let value: Int? =
      if lower.isEmpty { 0 } else if lower.hasPrefix("0x") {
        Int(lower.dropFirst(2), radix: 16)
      } else { Int(lower, radix: lower.hasPrefix("0") ? 8 : 10) }
    return value.flatMap { 0...Int(Int32.max) ~= $0 ? $0 : nil }
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
