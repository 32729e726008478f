// The other reports over a Linux guest: modules, mounts, network, files, memory, symbols.

internal import SystemIO
internal import Bytes
internal import GuestOS
internal import Pages
internal import Terminal

extension GuestReports {
  package func modules() throws -> GuestSection {
    GuestSection("modules", try linux.modules()) { module in
      [
        GuestCell("name", .text(module.name)),
        GuestCell("size", .number(Int64(clamping: module.byteCount))),
        GuestCell("used", .number(module.userCount)), GuestCell("state", .text(module.state)),
        GuestCell("address", .hex(module.text.lowerBound)), GuestCell("by", .list(module.users)),
      ]
    }
  }

  package func mounts() throws -> GuestSection {
    GuestSection("mounts", try linux.mounts()) { mount in
      [
        GuestCell("device", .text(mount.device)), GuestCell("type", .text(mount.type)),
        GuestCell("access", .text(mount.isReadOnly ? "ro" : "rw")),
        GuestCell("number", .text("\(mount.major):\(mount.minor)")),
        GuestCell("path", .text(mount.path)),
      ]
    }
  }

  package func blockDevices() throws -> GuestSection {
    GuestSection("blockdevs", try linux.blockDevices()) { device in
      [
        GuestCell("name", .text(device.name)),
        GuestCell("number", .text("\(device.major):\(device.minor)")),
        GuestCell("size", .number(Int64(clamping: device.byteCount))),
        GuestCell("access", .text(device.isReadOnly ? "ro" : "rw")),
        GuestCell("disk", device.disk.map { .text($0) } ?? .none),
      ]
    }
  }

  package func netDevices() throws -> GuestSection {
    GuestSection("net", try linux.netDevices()) { device in
      [
        GuestCell("index", .number(Int64(device.index))), GuestCell("name", .text(device.name)),
        GuestCell("state", .text(device.isRunning ? "up" : device.isUp ? "no carrier" : "down")),
        GuestCell("mtu", .number(Int64(clamping: device.mtu))),
        GuestCell("hardware", .text(device.hardwareAddress)),
        GuestCell("addresses", .list(device.addresses)),
      ]
    }
  }

  package func sockets() throws -> GuestSection {
    GuestSection("sockets", try linux.sockets()) { socket in
      [
        GuestCell("protocol", .text(socket.protocolName)), GuestCell("state", .text(socket.state)),
        GuestCell("local", .text(socket.local)), GuestCell("remote", .text(socket.remote)),
        GuestCell("pid", .number(Int64(socket.pid))),
        GuestCell("fd", .number(Int64(socket.descriptor))),
        GuestCell("name", .text(socket.process)),
      ]
    }
  }

  package func files(_ pid: String) throws -> GuestSection {
    let task = try linux.task(try GuestReports.taskID(pid))
    return GuestSection("files", try linux.files(of: task)) { file in
      [
        GuestCell("fd", .number(Int64(file.descriptor))),
        GuestCell("position", .number(Int64(clamping: file.position))),
        GuestCell("flags", .hex(UInt64(file.flags))), GuestCell("path", .text(file.path)),
      ]
    }
  }

  /// As /proc/PID/maps has them.
  package func maps(_ pid: String) throws -> GuestSection {
    let task = try linux.task(try GuestReports.taskID(pid))
    let maps = try linux.maps(of: task)
    var section = GuestSection("maps", maps) { map in
      [
        GuestCell("start", .hex(map.range.lowerBound)),
        GuestCell("end", .hex(map.range.upperBound)),
        GuestCell("rights", .text(map.rights)), GuestCell("offset", .hex(map.offset)),
        GuestCell("device", .text("\(map.major):\(map.minor)")),
        GuestCell("inode", .number(Int64(clamping: map.inode))), GuestCell("name", .text(map.name)),
      ]
    }
    func hex(_ value: UInt64, _ digits: Int) -> String { String(value.hex(digits).dropFirst(2)) }
    section.text = maps.items.map { map in
      let line =
        "\(hex(map.range.lowerBound, 8))-\(hex(map.range.upperBound, 8)) \(map.rights) "
        + "\(hex(map.offset, 8)) \(hex(UInt64(map.major), 2)):\(hex(UInt64(map.minor), 2)) \(map.inode)"
      let gap = String(repeating: " ", count: max(1, 73 - line.count))
      return line + (map.name.isEmpty ? " " : gap + escapeForDisplay(map.name)) + "\n"
    }.joined()
    return section
  }

  package func memory() throws -> GuestSection {
    let use = try linux.memoryUse()
    var section = GuestSection(
      "memory",
      rows: use.map {
        [GuestCell("name", .text($0.name)), GuestCell("bytes", .number(Int64(clamping: $0.bytes)))]
      })
    section.text = use.map { name, bytes in
      let count = "\(bytes / 1024)"
      return name + ":" + String(repeating: " ", count: max(1, 23 - name.count - count.count))
        + count
        + " kB\n"
    }.joined()
    return section
  }

  /// All symbols of a name, or the one that an address is in.
  package func symbol(_ name: String) throws -> GuestSection {
    if name.hasPrefix("0x"), let address = UInt64(name.dropFirst(2), radix: 16) {
      guard let location = linux.location(of: address) else {
        throw XensaveError(.notFound, "\(linux.path): nothing with a name is at \(address.hex())")
      }
      return GuestSection(
        "symbols",
        rows: [
          [
            GuestCell("address", .hex(address)), GuestCell("name", .text(location.symbol)),
            GuestCell("offset", .number(Int64(clamping: location.offset))),
            GuestCell("module", location.module.map { .text($0) } ?? .none),
          ]
        ], text: "\(address.hex()) \(escapeForDisplay(location.description))\n")
    }
    let found = linux.symbols.indices(of: name)
    guard !found.isEmpty else {
      throw XensaveError(.notFound, "\(linux.path): the kernel has no symbol \(name)")
    }
    return GuestSection(
      "symbols",
      rows: found.map { index in
        [
          GuestCell("address", .hex(linux.symbols.address(index))),
          GuestCell("kind", .text(String(linux.symbols.kind(index)))),
          GuestCell("name", .text(name)),
        ]
      })
  }

  /// The value of an expression of C.
  package func value(_ expression: String) throws -> GuestSection {
    let value = try linux.evaluate(expression)
    let type = linux.description(of: value.type)
    let text = linux.text(of: value)
    return GuestSection(
      "value",
      rows: [
        [
          GuestCell("type", .text(type)),
          GuestCell("address", value.address.map { .hex($0) } ?? .none),
          GuestCell("text", .text(text)),
        ]
      ],
      // Lines of a structure stay lines.
      text: "(\(escapeForDisplay(type)))"
        + text.split(separator: "\n").map { escapeForDisplay(String($0)) }.joined(separator: "\n")
        + "\n")
  }
}
