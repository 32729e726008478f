// The block devices of a Linux guest.

internal import Bytes
internal import Pages

/// A disk or a partition.
public struct LinuxBlockDevice: Sendable, Equatable {
  public let name: String
  public let major: UInt32
  public let minor: UInt32
  public let byteCount: UInt64
  public let isReadOnly: Bool
  /// The disk that it is a partition of; nil for a disk.
  public let disk: String?
}

extension LinuxGuest {
  private static let blockLimit = 1 << 16
  private static let blockNameLimit = 64

  /// The disks and partitions, in the order in which the kernel found them.
  ///
  /// Linux: block/genhd.c, block_class; up to 5.10 a device belongs to a struct hd_struct, after that to
  /// a struct block_device.
  public func blockDevices() throws -> Listing<LinuxBlockDevice> {
    try memory.question {
      try devices(ofClass: symbol("block_class")).reading("device", blockDevice)
    }
  }

  /// The struct devices of a struct class.
  private func devices(ofClass place: UInt64) throws -> Listing<UInt64> {
    let subsystem = try subsystem(ofClass: place)
    let list = try field("subsys_private", "klist_devices.k_list")
    // Before 5.1 the node was the device's own.
    let isPrivate = optionalField("device_private", "knode_class.n_node") != nil
    let owner = isPrivate ? "device_private" : "device"
    let node = try field(owner, "knode_class.n_node")
    let mark = try field(owner, "knode_class.n_klist")
    var found = memory.list(subsystem &+ list.offset, node.offset, limit: LinuxGuest.blockLimit)
    // A device that is being removed stays in the list until nobody looks at it.
    found.items.removeAll { ((try? memory.value($0, mark)) ?? 0) & 1 != 0 }
    guard isPrivate else { return found }
    let device = try field("device_private", "device")
    return found.reading("device") { try memory.value($0, device) }
  }

  /// Up to 6.3 a class points to its struct subsys_private; after that those are in a list of their own.
  private func subsystem(ofClass place: UInt64) throws -> UInt64 {
    if let pointer = optionalField("class", "p") { return try memory.value(place, pointer) }
    let set = try memory.word(symbol("class_kset"))
    let all = memory.list(
      set &+ (try field("kset", "list")).offset,
      try field("subsys_private", "subsys.kobj.entry").offset, limit: LinuxGuest.blockLimit)
    let owner = try field("subsys_private", "class")
    for item in all.items where try memory.value(item, owner) == place { return item }
    throw invalid(all.problem ?? "the class of block devices has no list of them")
  }

  private func name(ofDevice device: UInt64) throws -> String {
    let name = try value(device, "device", "kobj.name")
    return try memory.text(
      name != 0 ? name : value(device, "device", "init_name"), limit: LinuxGuest.blockNameLimit)
  }

  private func blockDevice(_ device: UInt64) throws -> LinuxBlockDevice {
    let deviceNumber = UInt32(truncatingIfNeeded: try value(device, "device", "devt"))
    let isPartition = try value(device, "device", "type") == symbols["part_type"]
    let parent = try value(device, "device", "parent")
    let (sectors, isReadOnly) = try extent(ofDevice: device)
    return LinuxBlockDevice(
      name: try name(ofDevice: device), major: deviceNumber >> 20, minor: deviceNumber & 0xF_FFFF,
      byteCount: sectors.multipliedSaturated(by: 512), isReadOnly: isReadOnly,
      disk: isPartition && parent != 0 ? try name(ofDevice: parent) : nil)
  }

  /// Sectors of 512 bytes, and whether nobody may write.
  private func extent(ofDevice device: UInt64) throws -> (sectors: UInt64, isReadOnly: Bool) {
    if let inside = optionalField("hd_struct", "__dev") {
      let part = device &- inside.offset
      return (
        try value(part, "hd_struct", "nr_sects"), try value(part, "hd_struct", "policy") != 0
      )
    }
    let block = device &- (try field("block_device", "bd_device")).offset
    let sectors: UInt64
    if let count = optionalField("block_device", "bd_nr_sectors") {
      sectors = try memory.value(block, count)
    } else {
      // 5.11 to 5.15.
      let inode = try value(block, "block_device", "bd_inode")
      sectors = try value(inode, "inode", "i_size") / 512
    }
    var isReadOnly = false
    if let flag = optionalField("block_device", "bd_read_only") {
      isReadOnly = try memory.value(block, flag) != 0
    } else if let flags = optionalField("block_device", "__bd_flags.counter") {
      // From 6.10 on; BD_READ_ONLY.
      isReadOnly = try memory.value(block, flags) & 0x100 != 0
    }
    if let state = optionalField("gendisk", "state") {
      // GD_READ_ONLY, of the whole disk.
      let disk = try value(block, "block_device", "bd_disk")
      if disk != 0 { isReadOnly = try memory.value(disk, state) & 2 != 0 || isReadOnly }
    }
    return (sectors, isReadOnly)
  }
}
