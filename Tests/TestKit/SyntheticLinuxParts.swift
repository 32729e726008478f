// The log, the modules and the network of the guest that does not exist.

extension SyntheticLinux {
  // MARK: - The log

  /// What the log holds: sequence, nanoseconds, level, text.
  public static let log: [(sequence: UInt64, time: UInt64, level: Int, text: String)] = [
    (5, 1_000_000, 6, "first line that is still there"),
    (6, 2_000_000, 4, ""),
    (7, 3_000_000, 3, "a line at the end"),
    (8, 4_000_000, 6, "wraps to the start of the ring"),
    (9, 5_000_000, 1, "two\nlines"),
  ]

  mutating func addRingLog() {
    let bits: UInt64 = 3
    let sizeBits: UInt64 = 8
    let ring = make("printk_ringbuffer", "ring", .data)
    memory.put(variable("prb", 8), ring)
    let descs = memory.allocate(layout.size("prb_desc") << Int(bits), .data)
    let infos = memory.allocate(layout.size("printk_info") << Int(bits), .data)
    let data = memory.allocate(1 << Int(sizeBits), .data)
    places["prb_descs"] = descs
    places["prb_data"] = data
    set(ring, "printk_ringbuffer", "desc_ring.count_bits", bits, width: 4)
    set(ring, "printk_ringbuffer", "desc_ring.descs", descs)
    set(ring, "printk_ringbuffer", "desc_ring.infos", infos)
    set(ring, "printk_ringbuffer", "text_data_ring.size_bits", sizeBits, width: 4)
    set(ring, "printk_ringbuffer", "text_data_ring.data", data)
    // Identifiers continue past the number of descriptors; the last line is being written.
    let first: UInt64 = 0x1D
    set(ring, "printk_ringbuffer", "desc_ring.tail_id", first)
    set(ring, "printk_ringbuffer", "desc_ring.head_id", first + UInt64(Self.log.count))
    let size = UInt64(1) << sizeBits
    var position: UInt64 = size * 4 - 88
    for (index, line) in (Self.log + [(10, 6_000_000, 6, "not yet")]).enumerated() {
      let id = first + UInt64(index)
      let slot = id & (1 << bits - 1)
      let desc = descs + slot * UInt64(layout.size("prb_desc"))
      let info = infos + slot * UInt64(layout.size("printk_info"))
      // 0 reserved, 1 committed, 2 finalized.
      let state: UInt64 = index == Self.log.count ? 0 : index == Self.log.count - 1 ? 1 : 2
      set(desc, "prb_desc", "state_var", state << 62 | id)
      set(info, "printk_info", "seq", line.sequence)
      set(info, "printk_info", "ts_nsec", line.time)
      set(info, "printk_info", "text_len", UInt64(line.text.utf8.count), width: 2)
      memory.put(info + 18, 3, width: 1)
      memory.put(info + 19, UInt64(line.level) << 5, width: 1)
      guard !line.text.isEmpty else {
        // Lines without text have odd positions.
        set(desc, "prb_desc", "text_blk_lpos.begin", 1)
        set(desc, "prb_desc", "text_blk_lpos.next", 1)
        continue
      }
      let count = (8 + UInt64(line.text.utf8.count) + 7) & ~7
      var (begin, end) = (position, position + count)
      var place = begin & (size - 1)
      if begin / size != (end - 1) / size {
        // What would lie across the end begins at the start.
        end = (begin / size + 1) * size + count
        place = 0
      }
      set(desc, "prb_desc", "text_blk_lpos.begin", begin)
      set(desc, "prb_desc", "text_blk_lpos.next", end)
      memory.put(data + place, id)
      memory.put(data + place + 8, Array(line.text.utf8))
      begin = end
      position = begin
    }
  }

  mutating func addBufferLog() {
    let size = 4096
    let buffer = memory.allocate(size, .data)
    memory.put(variable("log_buf", 8), buffer)
    memory.put(variable("log_buf_len", 4), UInt64(size), width: 4)
    memory.put(variable("log_first_seq", 8), Self.log[0].sequence)
    var place = UInt64(size - 104)
    memory.put(variable("log_first_idx", 4), place, width: 4)
    for line in Self.log {
      let count = (16 + UInt64(line.text.utf8.count) + 3) & ~3
      if place + count + 16 > UInt64(size) {
        // A length of 0: the buffer continues at its start.
        memory.put(buffer + place, [UInt8](repeating: 0, count: 16))
        place = 0
      }
      memory.put(buffer + place, line.time)
      memory.put(buffer + place + 8, count, width: 2)
      memory.put(buffer + place + 10, UInt64(line.text.utf8.count), width: 2)
      memory.put(buffer + place + 14, 3, width: 1)
      memory.put(buffer + place + 15, UInt64(line.level) << 5, width: 1)
      memory.put(buffer + place + 16, Array(line.text.utf8))
      place += count
    }
    memory.put(variable("log_next_idx", 4), place, width: 4)
  }

  // MARK: - Modules

  mutating func addModules() {
    let head = variable("modules", 16)
    let code = memory.allocate(0x400, .module)
    places["module code"] = code
    var nodes: [UInt64] = []
    for (index, name) in ["upper", "lower"].enumerated() {
      let module = make("module", "module \(name)")
      memory.put(module + layout.offset("module", "name"), Array(name.utf8))
      // Its own reference and, for the lower one, the upper's.
      set(module, "module", "refcnt.counter", UInt64(1 + index), width: 4)
      let start = code + UInt64(0x200 * index)
      if options.types.hasModuleMemory {
        let memoryAt = module + layout.offset("module", "mem")
        memory.put(memoryAt, start)
        memory.put(memoryAt + 8, 0x200, width: 4)
        memory.put(memoryAt + 24, 0xFFFF_FFFF_C020_0000)
        memory.put(memoryAt + 32, 0x1000, width: 4)
      } else {
        set(module, "module", "core_layout.base", start)
        set(module, "module", "core_layout.size", 0x1200, width: 4)
        set(module, "module", "core_layout.text_size", 0x200, width: 4)
      }
      let sources = module + layout.offset("module", "source_list")
      link(sources, [])
      if index == 1 {
        let use = make("module_use")
        set(use, "module_use", "source", places["module upper"] ?? 0)
        link(sources, [use])
      }
      let table = make("mod_kallsyms")
      let symbols = memory.allocate(24 * 3, .heap)
      let strings = memory.allocate(64, .heap)
      memory.put(strings, Array("\0\(name)_start\0\(name)_go\0".utf8))
      for (number, (place, offset)) in [(1, 0), (1 + name.utf8.count + 7, 0x80)].enumerated() {
        let entry = symbols + UInt64(24 * (number + 1))
        memory.put(entry, UInt64(place), width: 4)
        memory.put(entry + 6, 1, width: 2)
        memory.put(entry + 8, start + UInt64(offset))
      }
      set(table, "mod_kallsyms", "symtab", symbols)
      set(table, "mod_kallsyms", "num_symtab", 3, width: 4)
      set(table, "mod_kallsyms", "strtab", strings)
      let kinds = memory.allocate(3, .heap)
      memory.put(kinds, Array("?Tt".utf8))
      set(table, "mod_kallsyms", "typetab", kinds)
      set(module, "module", "kallsyms", table)
      nodes.append(module + layout.offset("module", "list"))
    }
    link(head, nodes)
  }

  // MARK: - Network and counters

  mutating func addNetwork() {
    let net = variable("init_net", layout.size("net"))
    var nodes: [UInt64] = []
    for (index, name) in ["lo", "enX0"].enumerated() {
      let device = make("net_device", "net \(name)")
      memory.put(device, Array(name.utf8))
      set(device, "net_device", "ifindex", UInt64(index + 1), width: 4)
      set(device, "net_device", "mtu", index == 0 ? 65536 : 1500, width: 4)
      set(device, "net_device", "flags", index == 0 ? 0x49 : 0x1003, width: 4)
      set(device, "net_device", "state", index == 0 ? 1 : 5)
      set(device, "net_device", "addr_len", 6, width: 1)
      let hardware = memory.allocate(6, .heap)
      memory.put(hardware, index == 0 ? [0, 0, 0, 0, 0, 0] : [0, 0x16, 0x3E, 1, 2, 3])
      set(device, "net_device", "dev_addr", hardware)
      nodes.append(device + layout.offset("net_device", "dev_list"))
      let four = make("in_device")
      let address = make("in_ifaddr")
      memory.put(
        address + layout.offset("in_ifaddr", "ifa_address"),
        index == 0 ? [127, 0, 0, 1] : [10, 0, 0, 5])
      set(address, "in_ifaddr", "ifa_prefixlen", index == 0 ? 8 : 24, width: 1)
      set(four, "in_device", "ifa_list", address)
      set(device, "net_device", "ip_ptr", four)
      let six = make("inet6_dev")
      let addresses = six + layout.offset("inet6_dev", "addr_list")
      link(addresses, [])
      if index == 1 {
        let entry = make("inet6_ifaddr")
        memory.put(entry, [0xFE, 0x80, 0, 0, 0, 0, 0, 0, 2, 0x16, 0x3E, 0xFF, 0xFE, 1, 2, 3])
        set(entry, "inet6_ifaddr", "prefix_len", 64, width: 4)
        link(addresses, [entry + layout.offset("inet6_ifaddr", "if_list")])
      }
      set(device, "net_device", "ip6_ptr", six)
    }
    link(net + layout.offset("net", "dev_base_head"), nodes)
  }

  mutating func addCounters() {
    memory.put(variable("_totalram_pages", 8), 25_000)
    let zones = variable("vm_zone_stat", 8 * 8)
    memory.put(zones, 10_000)
    memory.put(zones + 16, 77)
    let nodes = variable("vm_node_stat", 8 * 8)
    memory.put(nodes + 16, 600)
    memory.put(nodes + 32, 100)
    memory.put(nodes + 40, 400)
  }

  // MARK: - Block devices

  mutating func addBlockDevices() {
    let blockClass = variable("block_class", layout.size("class"))
    let partition = variable("part_type", 8)
    let whole = variable("disk_type", 8)
    let sets = variable("class_kset", 8)
    let subsystem = make("subsys_private", "block subsystem")
    set(subsystem, "subsys_private", "class", blockClass)
    if options.types.blockLayer == .new {
      let other = make("subsys_private")
      let kset = make("kset")
      memory.put(sets, kset)
      let entry = layout.offset("subsys_private", "subsys.kobj.entry")
      link(kset + layout.offset("kset", "list"), [other + entry, subsystem + entry])
    } else {
      set(blockClass, "class", "p", subsystem)
    }
    var nodes: [UInt64] = []
    var disk: (device: UInt64, gendisk: UInt64) = (0, 0)
    for (name, minor, bytes, isReadOnly, isPartition) in [
      ("xvda", 0, 2 << 30, false, false), ("xvda1", 1, 1 << 30, true, true),
      ("xvdb", 16, 5 << 20, true, false), ("gone", 32, 0, false, false),
    ] as [(String, UInt64, UInt64, Bool, Bool)] {
      let owner = options.types.blockLayer == .old ? "hd_struct" : "block_device"
      let block = make(owner, "block \(name)")
      if !isPartition { disk.gendisk = make("gendisk", "gendisk \(name)") }
      let device =
        block + layout.offset(owner, owner == "hd_struct" ? "__dev" : "bd_device")
      if owner == "hd_struct" {
        set(block, owner, "nr_sects", bytes / 512)
        set(block, owner, "policy", isReadOnly ? 1 : 0, width: 4)
      } else {
        set(block, owner, "bd_nr_sectors", bytes / 512)
        set(block, owner, "bd_disk", disk.gendisk)
        if options.types.blockLayer == .middle {
          set(block, owner, "bd_read_only", isReadOnly ? 1 : 0, width: 1)
        } else {
          // The number of the partition, and flags after it.
          let flags = (isPartition ? 1 : 0) | (isReadOnly && isPartition ? UInt64(0x100) : 0x200)
          set(block, owner, "__bd_flags.counter", flags, width: 4)
          if isReadOnly, !isPartition { set(disk.gendisk, "gendisk", "state", 2) }
        }
      }
      set(device, "device", name == "xvdb" ? "init_name" : "kobj.name", memory.text(name))
      set(device, "device", "devt", 202 << 20 | minor, width: 4)
      set(device, "device", "type", isPartition ? partition : whole)
      if isPartition { set(device, "device", "parent", disk.device) } else { disk.device = device }
      let holder = make("device_private", "device_private \(name)")
      set(holder, "device_private", "device", device)
      // The lowest bit: it is being removed.
      set(holder, "device_private", "knode_class.n_klist", name == "gone" ? 1 : 0x10)
      nodes.append(holder + layout.offset("device_private", "knode_class.n_node"))
    }
    link(subsystem + layout.offset("subsys_private", "klist_devices.k_list"), nodes)
  }

  // MARK: - Lists and trees

  mutating func addTrees() {
    let items = (0..<5).map { index -> UInt64 in
      let item = make("item", "item \(index)")
      set(item, "item", "id", UInt64(index), width: 4)
      return item
    }
    // A list of three, whose second node is used; the other ends with a mark.
    let link = layout.offset("item", "links") + UInt64(layout.size("hlist_node"))
    for (name, end) in [("hlist_head", UInt64(0)), ("hlist_nulls_head", 0x21)] {
      let head = make(name, name)
      memory.put(head, items[0] + link)
      memory.put(items[0] + link, items[2] + link)
      memory.put(items[2] + link, items[1] + link)
      // Both lists share their nodes: the mark ends the first as well.
      memory.put(items[1] + link, end)
    }
    // 3 is above 1 and 4; 1 above 0 and 2.
    let node = layout.offset("item", "node")
    for (top, left, right) in [(3, 1, 4), (1, 0, 2)] {
      set(items[top], "item", "node.rb_left", items[left] + node)
      set(items[top], "item", "node.rb_right", items[right] + node)
    }
    let root = make("rb_root_cached", "rb_root_cached")
    set(root, "rb_root_cached", "rb_root.rb_node", items[3] + node)
    // Indices 0 and 5 in a leaf, 128 to 191 above it, and a number at 64.
    let array = make("idr", "idr")
    let (top, leaf, second) = (make("xa_node", "xa_node"), make("xa_node"), make("xa_node"))
    set(array, "idr", "idr_base", 1, width: 4)
    set(array, "idr", "idr_rt.xa_head", top + 2)
    memory.put(top, 6, width: 1)
    let slots = layout.offset("xa_node", "slots")
    memory.put(top + slots, leaf + 2)
    memory.put(top + slots + 8, second + 2)
    memory.put(top + slots + 16, items[2])
    memory.put(leaf + slots, items[0])
    memory.put(leaf + slots + 40, items[1])
    // The entry at 5 is at 6 and 7, too.
    memory.put(leaf + slots + 48, 5 << 2 | 2)
    memory.put(leaf + slots + 56, 5 << 2 | 2)
    memory.put(second + slots, 77 << 1 | 1)
  }
}
