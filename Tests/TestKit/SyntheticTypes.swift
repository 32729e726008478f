// The structures of a Linux kernel that does not exist.

/// Structures by name: their size, and each member's type and offset. Members whose name is "" are
/// anonymous.
public struct SyntheticTypes: Sendable {
  /// "u32", "ptr", "char[16]", "struct list_head", "bits:4" ...
  public typealias Member = (name: String, type: String, offset: Int)
  public private(set) var structures: [(name: String, size: Int, members: [Member])] = []

  /// What differs between releases.
  public struct Options: Sendable {
    /// Maple trees for address spaces (from 6.1); else a list of areas.
    public var hasMapleTree = true
    /// Modules with a range for each kind of memory (from 6.4).
    public var hasModuleMemory = true
    /// Mounts of a namespace in a tree (from 6.8).
    public var hasMountTree = true
    /// Unwind entries with three bits of type (from 6.4).
    public var hasWideUnwindTypes = true
    /// The numbers of registers in unwind entries of 7.x.
    public var hasNewUnwindNumbers = false
    /// Resident pages in per-CPU counters (from 6.2).
    public var hasCounters = true
    /// `__state` (from 5.14).
    public var hasNewState = true
    /// How block devices are described.
    public var blockLayer = BlockLayer.new
    public init() {}

    public enum BlockLayer: Sendable {
      /// A struct hd_struct each, as until 5.10.
      case old
      /// With flags that are members of their own, as in 6.1.
      case middle
      /// With one word of flags, and classes that do not point to what is theirs, as in 6.12.
      case new
    }

    public static let new = Options()
    public static var old: Options {
      var options = Options()
      options.hasMapleTree = false
      options.hasModuleMemory = false
      options.hasMountTree = false
      options.hasWideUnwindTypes = false
      options.hasCounters = false
      options.hasNewState = false
      options.blockLayer = .old
      return options
    }
  }

  public let options: Options

  private mutating func add(_ name: String, _ size: Int, _ members: Member...) {
    structures.append((name, size, members))
  }

  public init(_ options: Options) {
    self.options = options
    add("list_head", 16, ("next", "ptr", 0), ("prev", "ptr", 8))
    add("hlist_bl_node", 16, ("next", "ptr", 0), ("pprev", "ptr", 8))
    add(
      "rb_node", 24, ("__rb_parent_color", "u64", 0), ("rb_left", "ptr", 8), ("rb_right", "ptr", 16)
    )
    add("rb_root", 8, ("rb_node", "ptr", 0))
    add("thread_info", 24, ("flags", "u64", 0), ("cpu", "u32", 16))
    add("thread_struct", 32, ("tls", "u64", 0), ("sp", "u64", 24))
    add("sched_info", 16, ("pcount", "u64", 0), ("last_arrival", "u64", 8))
    // The name and the credentials lie in a structure without a name, in a union without one.
    add("named:anonymous", 32, ("cred", "ptr", 0), ("comm", "char[16]", 8))
    add("union:anonymous_union", 32, ("", "struct named:anonymous", 0), ("raw", "u64", 0))
    add(
      "task_struct", 400, ("thread_info", "struct thread_info", 0),
      (options.hasNewState ? "__state" : "state", options.hasNewState ? "u32" : "u64", 24),
      ("stack", "ptr", 32), ("flags", "u32", 40), ("tasks", "struct list_head", 56),
      ("mm", "ptr", 72), ("exit_state", "s32", 80), ("pid", "s32", 84), ("tgid", "s32", 88),
      ("real_parent", "ptr", 96), ("group_leader", "ptr", 104),
      ("thread_node", "struct list_head", 112), ("utime", "u64", 128), ("stime", "u64", 136),
      ("start_time", "u64", 144), ("", "union anonymous_union", 160), ("files", "ptr", 200),
      ("nsproxy", "ptr", 208), ("signal", "ptr", 216), ("sched_info", "struct sched_info", 224),
      ("thread", "struct thread_struct", 256))
    add("kuid_t", 4, ("val", "u32", 0))
    add("cred", 48, ("usage", "u64", 0), ("euid", "struct kuid_t", 28))
    add("signal_struct", 48, ("thread_head", "struct list_head", 24))
    add(
      "percpu_counter", 40, ("lock", "u32", 0), ("count", "s64", 8),
      ("list", "struct list_head", 16),
      ("counters", "ptr", 32))
    add("mm_rss_stat", 32, ("count", "u64[4]", 0))
    add("maple_tree", 16, ("ma_lock", "u32", 0), ("ma_root", "ptr", 8))
    add(
      "mm_struct", 320, ("total_vm", "u64", 8), ("pgd", "ptr", 16),
      ("rss_stat", options.hasCounters ? "struct percpu_counter[4]" : "struct mm_rss_stat", 24),
      ("arg_start", "u64", 200), ("arg_end", "u64", 208), ("start_brk", "u64", 216),
      ("brk", "u64", 224), ("start_stack", "u64", 232), ("exe_file", "ptr", 240),
      options.hasMapleTree ? ("mm_mt", "struct maple_tree", 248) : ("mmap", "ptr", 248))
    add(
      "vm_area_struct", 96, ("vm_start", "u64", 8), ("vm_end", "u64", 16), ("vm_flags", "u64", 32),
      ("vm_pgoff", "u64", 40), ("vm_file", "ptr", 48), ("vm_ops", "ptr", 56),
      ("vm_private_data", "ptr", 64), ("vm_next", "ptr", 80))
    add("vm_special_mapping", 16, ("name", "ptr", 8))
    add(
      "maple_range_64", 256, ("parent", "ptr", 0), ("pivot", "u64[15]", 8), ("slot", "ptr[16]", 128)
    )
    add(
      "maple_arange_64", 256, ("parent", "ptr", 0), ("pivot", "u64[9]", 8), ("slot", "ptr[10]", 80))
    add("path", 16, ("mnt", "ptr", 0), ("dentry", "ptr", 8))
    add(
      "file", 80, ("f_path", "struct path", 16), ("f_inode", "ptr", 32), ("f_flags", "u32", 40),
      ("f_pos", "s64", 48), ("private_data", "ptr", 56))
    add("qstr", 16, ("hash", "u32", 0), ("len", "u32", 4), ("name", "ptr", 8))
    add(
      "dentry", 112, ("d_hash", "struct hlist_bl_node", 8), ("d_parent", "ptr", 24),
      ("d_name", "struct qstr", 32), ("d_inode", "ptr", 48), ("d_sb", "ptr", 104))
    add("vfsmount", 24, ("mnt_root", "ptr", 0), ("mnt_sb", "ptr", 8), ("mnt_flags", "u32", 16))
    add(
      "mount", 136, ("mnt_parent", "ptr", 16), ("mnt_mountpoint", "ptr", 24),
      ("mnt", "struct vfsmount", 32), ("mnt_devname", "ptr", 80),
      options.hasMountTree
        ? ("mnt_node", "struct rb_node", 96) : ("mnt_list", "struct list_head", 96))
    add(
      "mnt_namespace", 40,
      options.hasMountTree ? ("mounts", "struct rb_root", 16) : ("list", "struct list_head", 16))
    add("super_block", 112, ("s_dev", "u32", 16), ("s_type", "ptr", 40), ("s_flags", "u64", 80))
    add("file_system_type", 16, ("name", "ptr", 0))
    add("inode", 80, ("i_sb", "ptr", 40), ("i_ino", "u64", 64))
    add("fdtable", 40, ("max_fds", "u32", 0), ("fd", "ptr", 8), ("open_fds", "ptr", 24))
    add("files_struct", 48, ("fdt", "ptr", 32))
    add("nsproxy", 40, ("mnt_ns", "ptr", 24))
    add("module_memory", 24, ("base", "ptr", 0), ("size", "u32", 8))
    add("module_layout", 24, ("base", "ptr", 0), ("size", "u32", 8), ("text_size", "u32", 12))
    add("atomic_t", 4, ("counter", "s32", 0))
    add(
      "mod_arch_specific", 24, ("num_orcs", "u32", 0), ("orc_unwind_ip", "ptr", 8),
      ("orc_unwind", "ptr", 16))
    add(
      "module", 400, ("state", "u32", 0), ("list", "struct list_head", 8), ("name", "char[56]", 24),
      ("refcnt", "struct atomic_t", 100),
      options.hasModuleMemory
        ? ("mem", "struct module_memory[7]", 104) : ("core_layout", "struct module_layout", 104),
      ("kallsyms", "ptr", 280), ("arch", "struct mod_arch_specific", 288),
      ("source_list", "struct list_head", 320))
    add(
      "mod_kallsyms", 32, ("symtab", "ptr", 0), ("num_symtab", "u32", 8), ("strtab", "ptr", 16),
      ("typetab", "ptr", 24))
    add(
      "module_use", 48, ("source_list", "struct list_head", 0),
      ("target_list", "struct list_head", 16), ("source", "ptr", 32), ("target", "ptr", 40))
    add(
      "orc_entry", 6, ("sp_offset", "s16", 0), ("bp_offset", "s16", 2), ("sp_reg", "bits:4", 32),
      ("bp_reg", "bits:4", 36), ("type", options.hasWideUnwindTypes ? "bits:3" : "bits:2", 40),
      (options.hasWideUnwindTypes ? "signal" : "end", "bits:1", 43))
    add(
      "inactive_task_frame", 64, ("r15", "u64", 0), ("bx", "u64", 40), ("bp", "u64", 48),
      ("ret_addr", "u64", 56))
    add("prb_data_blk_lpos", 16, ("begin", "u64", 0), ("next", "u64", 8))
    add("prb_desc", 24, ("state_var", "u64", 0), ("text_blk_lpos", "struct prb_data_blk_lpos", 8))
    add(
      "printk_info", 32, ("seq", "u64", 0), ("ts_nsec", "u64", 8), ("text_len", "u16", 16),
      ("facility", "u8", 18), ("flags", "bits:5", 152), ("level", "bits:3", 157))
    add(
      "prb_desc_ring", 48, ("count_bits", "u32", 0), ("descs", "ptr", 8), ("infos", "ptr", 16),
      ("head_id", "u64", 24), ("tail_id", "u64", 32))
    add("prb_data_ring", 32, ("size_bits", "u32", 0), ("data", "ptr", 8))
    add(
      "printk_ringbuffer", 88, ("desc_ring", "struct prb_desc_ring", 0),
      ("text_data_ring", "struct prb_data_ring", 48))
    add("net", 48, ("dev_base_head", "struct list_head", 24))
    add(
      "net_device", 112, ("name", "char[16]", 0), ("dev_list", "struct list_head", 24),
      ("mtu", "u32", 40), ("flags", "u32", 44), ("ifindex", "s32", 48), ("addr_len", "u8", 52),
      ("dev_addr", "ptr", 56), ("state", "u64", 64), ("ip_ptr", "ptr", 72), ("ip6_ptr", "ptr", 80))
    add("in_device", 24, ("ifa_list", "ptr", 8))
    add(
      "in_ifaddr", 24, ("ifa_next", "ptr", 0), ("ifa_address", "u32", 8),
      ("ifa_prefixlen", "u8", 12))
    add("inet6_dev", 32, ("addr_list", "struct list_head", 8))
    add(
      "inet6_ifaddr", 48, ("addr", "char[16]", 0), ("prefix_len", "u32", 16),
      ("if_list", "struct list_head", 24))
    add("rq", 48, ("curr", "ptr", 8), ("clock", "u64", 32))
    add("tk_read_base", 32, ("shift", "u32", 8), ("xtime_nsec", "u64", 16))
    add("timespec64", 16, ("tv_sec", "s64", 0), ("tv_nsec", "s64", 8))
    add(
      "timekeeper", 120, ("tkr_mono", "struct tk_read_base", 0), ("xtime_sec", "u64", 48),
      ("ktime_sec", "u64", 56), ("wall_to_monotonic", "struct timespec64", 64),
      ("offs_real", "s64", 80), ("offs_boot", "s64", 88))
    addTrees()
    addBlockLayer()
  }

  /// What C's macros iterate over, and what is in it.
  private mutating func addTrees() {
    add("hlist_head", 8, ("first", "ptr", 0))
    add("hlist_node", 16, ("next", "ptr", 0), ("pprev", "ptr", 8))
    add("hlist_nulls_head", 8, ("first", "ptr", 0))
    add("hlist_nulls_node", 16, ("next", "ptr", 0), ("pprev", "ptr", 8))
    add("rb_root_cached", 16, ("rb_root", "struct rb_root", 0), ("rb_leftmost", "ptr", 8))
    add("xarray", 16, ("xa_lock", "u32", 0), ("xa_flags", "u32", 4), ("xa_head", "ptr", 8))
    add("xa_node", 576, ("shift", "u8", 0), ("offset", "u8", 1), ("slots", "ptr[64]", 48))
    add("idr", 24, ("idr_rt", "struct xarray", 0), ("idr_base", "u32", 16))
    add(
      "item", 80, ("id", "u32", 4), ("node", "struct rb_node", 8),
      ("links", "struct hlist_node[2]", 40))
  }

  private mutating func addBlockLayer() {
    let hasPointer = options.blockLayer != .new
    add("kobject", 64, ("name", "ptr", 8), ("entry", "struct list_head", 16))
    add("kset", 104, ("list", "struct list_head", 8), ("kobj", "struct kobject", 32))
    add("klist", 40, ("k_lock", "u32", 0), ("k_list", "struct list_head", 16))
    add("klist_node", 40, ("n_klist", "ptr", 0), ("n_node", "struct list_head", 16))
    add("device_private", 88, ("knode_class", "struct klist_node", 24), ("device", "ptr", 72))
    add(
      "device", 160, ("kobj", "struct kobject", 16), ("parent", "ptr", 96),
      ("init_name", "ptr", 104),
      ("type", "ptr", 112), ("devt", "u32", 124))
    add(
      "subsys_private", 200, ("subsys", "struct kset", 16),
      ("klist_devices", "struct klist", 128), ("class", "ptr", 176))
    add("class", 64, ("name", "ptr", 0), hasPointer ? ("p", "ptr", 48) : ("ns_type", "ptr", 48))
    add("gendisk", 64, ("major", "s32", 0), ("state", "u64", 40))
    switch options.blockLayer {
    case .old:
      add(
        "hd_struct", 240, ("start_sect", "u64", 0), ("nr_sects", "u64", 16),
        ("__dev", "struct device", 40), ("policy", "s32", 208))
    case .middle:
      add(
        "block_device", 240, ("bd_nr_sectors", "u64", 8), ("bd_read_only", "u8", 20),
        ("bd_disk", "ptr", 24), ("bd_device", "struct device", 48))
    case .new:
      add(
        "block_device", 240, ("bd_nr_sectors", "u64", 8), ("__bd_flags", "struct atomic_t", 20),
        ("bd_disk", "ptr", 24), ("bd_device", "struct device", 48))
    }
  }

  /// Bytes of a structure.
  public func size(_ name: String) -> Int {
    guard let found = structures.first(where: { $0.name == name }) else {
      preconditionFailure("no structure \(name)")
    }
    return found.size
  }

  /// The offset of a member, by a path: "mnt.mnt_root".
  public func offset(_ name: String, _ path: String) -> UInt64 {
    var (name, total) = (name, 0)
    for step in path.split(separator: ".") {
      guard let found = member(name, String(step)) else {
        preconditionFailure("\(name) has no \(step)")
      }
      total += found.offset
      name = found.type.replacing("struct ", with: "")
    }
    return UInt64(total)
  }

  private func member(_ name: String, _ step: String) -> (type: String, offset: Int)? {
    let key = ["anonymous_union": "union:anonymous_union"][name] ?? name
    guard let members = structures.first(where: { $0.name == key })?.members else { return nil }
    if let found = members.first(where: { $0.name == step }) { return (found.type, found.offset) }
    for outer in members where outer.name.isEmpty {
      let inner = outer.type.replacing("struct ", with: "").replacing("union ", with: "")
      if let found = member(inner, step) { return (found.type, outer.offset + found.offset) }
    }
    return nil
  }

  /// The same as BTF.
  public func btf() -> [UInt8] {
    var writer = BTFWriter()
    var known: [String: UInt32] = [:]
    for (name, size, signed) in [
      ("u8", 1, false), ("u16", 2, false), ("u32", 4, false), ("u64", 8, false), ("s16", 2, true),
      ("s32", 4, true), ("s64", 8, true), ("char", 1, false),
    ] { known[name] = writer.integer(name, UInt32(size), signed: signed) }
    known["ptr"] = writer.pointer()
    func type(_ text: String) -> UInt32 {
      if let id = known[text] { return id }
      if text.hasPrefix("bits:") { return known["u32"] ?? 0 }
      if let bracket = text.firstIndex(of: "["),
        let count = UInt32(text[bracket...].dropFirst().dropLast())
      {
        let id = writer.array(type(String(text[..<bracket])), count)
        known[text] = id
        return id
      }
      let name = text.replacing("struct ", with: "").replacing("union ", with: "")
      guard let id = known["struct " + name] else { preconditionFailure("unknown type \(text)") }
      return id
    }
    for (name, size, members) in structures {
      let isUnion = name.hasPrefix("union:")
      let isAnonymous = name.hasPrefix("named:") || isUnion
      var rows: [(name: String, type: UInt32, offset: UInt32, bits: UInt32)] = []
      let hasBits = members.contains { $0.type.hasPrefix("bits:") }
      for member in members {
        let bits = member.type.hasPrefix("bits:") ? UInt32(member.type.dropFirst(5)) ?? 0 : 0
        rows.append(
          (
            member.name, type(member.type),
            UInt32(
              bits > 0 || (hasBits && member.offset >= size) ? member.offset : 8 * member.offset),
            bits
          ))
      }
      let id = writer.structure(
        isAnonymous ? "" : name, UInt32(size), rows, kind: isUnion ? 5 : 4)
      known["struct " + (isUnion ? "anonymous_union" : name)] = id
    }
    _ = writer.enumeration(
      "zone_stat_item", [("NR_FREE_PAGES", 0), ("NR_ZONE_INACTIVE_ANON", 1), ("NR_PAGETABLE", 2)])
    _ = writer.enumeration(
      "node_stat_item", [("NR_FILE_PAGES", 2), ("NR_SWAPCACHE", 4), ("NR_ANON_MAPPED", 5)])
    return writer.bytes
  }
}
