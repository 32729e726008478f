// A whole Linux guest that does not exist: tasks, log, stacks, modules, mounts, files and devices.

/// The memory of a kernel, and what a reader should find in it.
public struct SyntheticLinux: Sendable {
  public struct Options: Sendable, CustomStringConvertible {
    public var order = KallsymsWriter.Order.modern
    public var hasAbsolutePerCPU = true
    public var types = SyntheticTypes.Options.new
    public var hasTypes = true
    /// The ring buffer of 5.10; else the buffer of before.
    public var hasRingLog = true
    /// Five levels of page tables.
    public var levels = 4
    /// Whether the vCPU's tables are those of user mode, as page-table isolation has them.
    public var isIsolated = false
    public init() {}

    public var description: String {
      "\(order), \(hasTypes ? "" : "no ")\(types.hasMapleTree ? "new" : "old") types, "
        + "\(levels) levels\(isIsolated ? ", isolated" : "")\(hasAbsolutePerCPU ? ", absolute" : "")"
    }

    /// As releases before 5.10 did all of it.
    public static var old: Options {
      var options = Options()
      options.order = .classic
      options.types = .old
      options.hasRingLog = false
      return options
    }
  }

  public internal(set) var memory: KernelMemoryBuilder
  public let layout: SyntheticTypes
  public let options: Options
  /// The root that the vCPU has.
  public private(set) var root: UInt64
  /// Addresses of what was made, by name: "init_task", "task 10", "file hosts" ...
  public internal(set) var places: [String: UInt64] = [:]
  private var symbols = KallsymsWriter()
  private var unwind: [(address: UInt64, spOffset: Int, spRegister: Int, kind: Int)] = []

  public static let banner = "Linux version 9.8.7-synthetic (builder@host) #1 SMP"
  public static let stackTop: UInt64 = 0x2000

  // MARK: - Putting things

  mutating func make(
    _ type: String, _ name: String = "", _ region: KernelMemoryBuilder.Region = .heap
  )
    -> UInt64
  {
    let address = memory.allocate(layout.size(type), region)
    if !name.isEmpty { places[name] = address }
    return address
  }

  public mutating func set(
    _ address: UInt64, _ type: String, _ member: String, _ value: UInt64, width: Int = 8
  ) {
    memory.put(address + layout.offset(type, member), value, width: width)
  }

  public mutating func put(_ address: UInt64, _ bytes: [UInt8]) { memory.put(address, bytes) }

  mutating func symbol(_ name: String, _ kind: Character, _ address: UInt64) {
    symbols.symbols.append((name, kind, address))
    places[name] = address
  }

  /// A variable of the kernel with a symbol.
  @discardableResult
  mutating func variable(_ name: String, _ count: Int) -> UInt64 {
    let address = memory.allocate(count, .data)
    symbol(name, "D", address)
    return address
  }

  /// Links the nodes at `places` into a list that begins and ends at `header`.
  mutating func link(_ head: UInt64, _ nodes: [UInt64]) {
    let ring = [head] + nodes
    for (index, node) in ring.enumerated() {
      memory.put(node, ring[(index + 1) % ring.count])
      memory.put(node + 8, ring[(index + ring.count - 1) % ring.count])
    }
  }

  // MARK: - The kernel

  public init(_ options: Options = Options()) {
    self.options = options
    memory = KernelMemoryBuilder(levels: options.levels)
    layout = SyntheticTypes(options.types)
    root = memory.root
    symbols.order = options.order
    symbols.hasAbsolutePerCPU = options.hasAbsolutePerCPU
    // The read-only data is large enough to be looked at.
    _ = memory.allocate(68 << 10, .readOnly)
    let banner = memory.text(Self.banner + "\n", .readOnly)
    symbol("linux_banner", "R", banner)
    _ = memory.allocate(64, .text)
    addCode()
    addClock()
    addFiles()
    addTasks()
    addStacks()
    addModules()
    addNetwork()
    addBlockDevices()
    addTrees()
    if options.hasRingLog { addRingLog() } else { addBufferLog() }
    addCounters()
    addUnwindTables()
    if options.hasTypes {
      let btf = layout.btf()
      let start = memory.allocate(btf.count, .readOnly)
      memory.put(start, btf)
      symbol("__start_BTF", "R", start)
      symbol("__stop_BTF", "R", start + UInt64(btf.count))
    }
    let info = variable("vmcoreinfo_data", 8)
    let text = memory.allocate(4096, .heap, aligned: 4096)
    memory.put(info, text)
    memory.put(text, Array(coreInfo.utf8))
    symbol("_end", "B", memory.end(of: .data))
    for part in symbols.write(&memory) { places[part.key] = part.value }
    if options.isIsolated {
      // The user's tables are one page after the kernel's, and map none of the kernel.
      root = memory.root + 0x1000
    }
  }

  /// What VMCOREINFO says: a kernel without BTF has nothing else.
  private var coreInfo: String {
    var lines = ["OSRELEASE=9.8.7-synthetic", "PAGESIZE=4096"]
    for (name, member) in [
      ("printk_ringbuffer", "desc_ring"), ("printk_ringbuffer", "text_data_ring"),
      ("prb_desc_ring", "count_bits"), ("prb_desc_ring", "descs"), ("prb_desc_ring", "infos"),
      ("prb_desc_ring", "head_id"), ("prb_desc_ring", "tail_id"), ("prb_desc", "state_var"),
      ("prb_desc", "text_blk_lpos"), ("prb_data_blk_lpos", "begin"), ("prb_data_blk_lpos", "next"),
      ("printk_info", "seq"), ("printk_info", "ts_nsec"), ("printk_info", "text_len"),
      ("prb_data_ring", "size_bits"), ("prb_data_ring", "data"),
    ] { lines.append("OFFSET(\(name).\(member))=\(layout.offset(name, member))") }
    for name in ["prb_desc", "printk_info"] { lines.append("SIZE(\(name))=\(layout.size(name))") }
    lines += [
      "SIZE(printk_log)=16", "OFFSET(printk_log.ts_nsec)=0", "OFFSET(printk_log.len)=8",
      "OFFSET(printk_log.text_len)=10",
    ]
    return lines.joined(separator: "\n") + "\n"
  }

  /// Functions: fillers, so that there are names enough, and those that stacks are made of.
  private mutating func addCode() {
    let count = 700
    let start = memory.allocate(count * 32 + 0x1000, .text, aligned: 4096)
    symbol("_stext", "T", start)
    for index in 0..<count { symbol("func_\(index)", "t", start + UInt64(32 * index)) }
    // Longer than 127 bytes however it is compressed.
    symbol(String(repeating: "Q", count: 200), "t", start + UInt64(32 * count))
    for (index, name) in ["schedule", "do_wait", "sys_wait", "entry_syscall", "ret_from_fork"]
      .enumerated()
    { symbol(name, "T", start + UInt64(32 * count) + 256 + 64 * UInt64(index)) }
    symbol("_etext", "T", start + UInt64(32 * count) + 0x800)
  }

  private mutating func addClock() {
    let core = variable("tk_core", layout.size("timekeeper") + 8) + 8
    set(core, "timekeeper", "xtime_sec", 1_700_000_000)
    set(core, "timekeeper", "tkr_mono.shift", 10, width: 4)
    set(core, "timekeeper", "tkr_mono.xtime_nsec", 250_000_000 << 10)
    set(core, "timekeeper", "wall_to_monotonic.tv_sec", UInt64(bitPattern: -1_699_999_000))
    set(core, "timekeeper", "ktime_sec", 1000)
    set(core, "timekeeper", "offs_real", 1_699_999_000_000_000_000)
    set(core, "timekeeper", "offs_boot", 5_000_000_000)
    // A count of references, then the names.
    let names = variable("init_uts_ns", 400) + 4
    for (index, name) in ["Linux", "synthetic-host", "9.8.7-synthetic", "#1 SMP", "x86_64"]
      .enumerated()
    { memory.put(names + UInt64(65 * index), Array(name.utf8)) }
    let offsets = variable("__per_cpu_offset", 8 * 4)
    memory.put(variable("nr_cpu_ids", 4), 2, width: 4)
    memory.put(variable("__cpu_online_mask", 8), 3)
    // Each CPU has its area; a per-CPU variable's address is its place in it.
    for cpu in 0..<2 {
      let area = memory.allocate(4096, .heap, aligned: 4096)
      places["per_cpu \(cpu)"] = area
      memory.put(offsets + UInt64(8 * cpu), options.hasAbsolutePerCPU ? area : area &- perCPUBase)
    }
    symbols.symbols.append(("runqueues", "A", perCPUBase + 0x100))
  }

  /// Where per-CPU variables begin: 0 until 6.14, then among the kernel's other data.
  private var perCPUBase: UInt64 { options.hasAbsolutePerCPU ? 0 : 0xFFFF_FFFF_8380_0000 }

  // MARK: - Files

  /// A file system with its root.
  private mutating func fileSystem(_ type: String, _ device: UInt64, flags: UInt64 = 0) -> UInt64 {
    let kind = make("file_system_type")
    memory.put(kind, memory.text(type))
    let block = make("super_block")
    set(block, "super_block", "s_type", kind)
    set(block, "super_block", "s_dev", device, width: 4)
    set(block, "super_block", "s_flags", flags)
    return block
  }

  private mutating func dentry(_ name: String, in parent: UInt64?, _ block: UInt64, inode: UInt64)
    -> UInt64
  {
    let entry = make("dentry")
    set(entry, "dentry", "d_parent", parent ?? entry)
    set(entry, "dentry", "d_name.name", memory.text(name))
    set(entry, "dentry", "d_name.len", UInt64(name.utf8.count), width: 4)
    set(entry, "dentry", "d_sb", block)
    set(entry, "dentry", "d_hash.pprev", entry)
    let node = make("inode")
    set(node, "inode", "i_sb", block)
    set(node, "inode", "i_ino", inode)
    set(entry, "dentry", "d_inode", node)
    return entry
  }

  private mutating func mount(
    _ name: String, _ device: String, _ root: UInt64, _ block: UInt64, on point: UInt64?,
    of parent: UInt64?, flags: UInt64 = 0
  ) -> UInt64 {
    let mount = make("mount", "mount \(name)")
    set(mount, "mount", "mnt_parent", parent ?? mount)
    set(mount, "mount", "mnt_mountpoint", point ?? root)
    set(mount, "mount", "mnt.mnt_root", root)
    set(mount, "mount", "mnt.mnt_sb", block)
    set(mount, "mount", "mnt.mnt_flags", flags, width: 4)
    set(mount, "mount", "mnt_devname", memory.text(device))
    return mount
  }

  private mutating func file(_ name: String, _ entry: UInt64, on mount: UInt64) -> UInt64 {
    let file = make("file", "file \(name)")
    set(file, "file", "f_path.mnt", mount + layout.offset("mount", "mnt"))
    set(file, "file", "f_path.dentry", entry)
    let place = entry + layout.offset("dentry", "d_inode")
    set(file, "file", "f_inode", value(place))
    set(file, "file", "f_pos", 77)
    set(file, "file", "f_flags", 0x8002, width: 4)
    return file
  }

  /// The word at an address.
  public func value(_ address: UInt64) -> UInt64 {
    let place = memory.physical(address)
    guard let page = memory.pages[place >> 12] else { return 0 }
    return (0..<8).reduce(0) { $0 | UInt64(page[Int(place & 0xFFF) + $1]) << (8 * UInt64($1)) }
  }

  private mutating func addFiles() {
    let ext = fileSystem("ext4", 8 << 20 | 1)
    let root = dentry("/", in: nil, ext, inode: 2)
    let var_ = dentry("var", in: root, ext, inode: 11)
    let bin = dentry("bin", in: root, ext, inode: 12)
    let sh = dentry("sh", in: bin, ext, inode: 13)
    let data = fileSystem("xfs", 8 << 20 | 17, flags: 1)
    let dataRoot = dentry("/", in: nil, data, inode: 1)
    let gone = dentry("gone", in: dataRoot, data, inode: 5)
    set(gone, "dentry", "d_hash.pprev", 0)
    let top = mount("/", "/dev/xvda1", root, ext, on: nil, of: nil)
    let inner = mount("/var", "/dev/xvdb1", dataRoot, data, on: var_, of: top, flags: 0x20)
    let pipes = fileSystem("pipefs", 14)
    let pipe = dentry("", in: nil, pipes, inode: 4321)
    let pipeMount = mount("pipe:", "pipefs", pipe, pipes, on: nil, of: nil)
    places["file sh"] = file("sh", sh, on: top)
    _ = file("gone", gone, on: inner)
    _ = file("pipe", pipe, on: pipeMount)
    let namespace = make("mnt_namespace", "mnt_namespace")
    if options.types.hasMountTree {
      let node = layout.offset("mount", "mnt_node")
      set(namespace, "mnt_namespace", "mounts", inner + node)
      set(inner, "mount", "mnt_node.rb_left", top + node)
    } else {
      let node = layout.offset("mount", "mnt_list")
      link(namespace + layout.offset("mnt_namespace", "list"), [top + node, inner + node])
    }
    let proxy = make("nsproxy", "nsproxy")
    set(proxy, "nsproxy", "mnt_ns", namespace)
  }

  // MARK: - Tasks

  /// One row of what tasks there are.
  public struct Task: Sendable {
    public let pid, process, parent: Int
    public let name: String
    public let state: UInt64
    public let exit: UInt64
    public let flags: UInt64
    public let uid: UInt64
    /// As ps(1) shows it.
    public let letter: Character
  }

  public static let tasks: [Task] = [
    Task(
      pid: 0, process: 0, parent: 0, name: "swapper/0", state: 0, exit: 0, flags: 0x20_0000, uid: 0,
      letter: "R"),
    Task(
      pid: 1, process: 1, parent: 0, name: "init", state: 1, exit: 0, flags: 0, uid: 0, letter: "S"),
    Task(
      pid: 2, process: 2, parent: 0, name: "kthreadd", state: 0x402, exit: 0, flags: 0x20_0000,
      uid: 0, letter: "I"),
    Task(
      pid: 10, process: 10, parent: 1, name: "hangs", state: 2, exit: 0, flags: 0, uid: 1000,
      letter: "D"),
    Task(
      pid: 11, process: 10, parent: 1, name: "second thread", state: 4, exit: 0, flags: 0,
      uid: 1000, letter: "T"),
    Task(
      pid: 12, process: 12, parent: 10, name: "dead", state: 0x80, exit: 0x20, flags: 0, uid: 7,
      letter: "Z"),
    Task(
      pid: 13, process: 13, parent: 1, name: "traced", state: 8, exit: 0, flags: 0, uid: 7,
      letter: "t"),
    Task(
      pid: 14, process: 14, parent: 1, name: "frozen", state: 0x8000, exit: 0, flags: 0, uid: 7,
      letter: "F"),
  ]

  private mutating func addTasks() {
    let type = "task_struct"
    var made: [Int: UInt64] = [:]
    for task in Self.tasks {
      let address: UInt64
      if task.pid == 0 {
        address = variable("init_task", layout.size(type))
      } else {
        address = make(type, "task \(task.pid)")
      }
      made[task.pid] = address
      set(address, type, "pid", UInt64(task.pid), width: 4)
      set(address, type, "tgid", UInt64(task.process), width: 4)
      memory.put(address + layout.offset(type, "comm"), Array(task.name.utf8.prefix(15)))
      set(
        address, type, options.types.hasNewState ? "__state" : "state", task.state,
        width: options.types.hasNewState ? 4 : 8)
      set(address, type, "exit_state", task.exit, width: 4)
      set(address, type, "flags", task.flags, width: 4)
      set(address, type, "start_time", UInt64(task.pid) * 1_000_000_000)
      set(address, type, "utime", UInt64(task.pid) * 1000)
      set(address, type, "stime", UInt64(task.pid) * 2000)
      set(address, type, "thread_info.cpu", UInt64(task.pid % 2), width: 4)
      let cred = make("cred")
      set(cred, "cred", "euid.val", task.uid, width: 4)
      set(address, type, "cred", cred)
      set(address, type, "nsproxy", places["nsproxy"] ?? 0)
      set(address, type, "sched_info.last_arrival", 100_000_000_000)
    }
    let node = layout.offset(type, "tasks")
    let leaders = Self.tasks.filter { $0.pid == $0.process }.compactMap { made[$0.pid] }
    link(leaders[0] + node, leaders.dropFirst().map { $0 + node })
    for task in Self.tasks {
      guard let address = made[task.pid] else { continue }
      set(address, type, "real_parent", made[task.parent] ?? 0)
      set(address, type, "group_leader", made[task.process] ?? 0)
      guard task.pid == task.process else { continue }
      let signal = make("signal_struct")
      let group = Self.tasks.filter { $0.process == task.process }.compactMap { made[$0.pid] }
      link(
        signal + layout.offset("signal_struct", "thread_head"),
        group.map { $0 + layout.offset(type, "thread_node") })
      for thread in group { set(thread, type, "signal", signal) }
    }
    for cpu in 0..<2 {
      let queue = (places["per_cpu \(cpu)"] ?? 0) + 0x100
      set(queue, "rq", "curr", cpu == 0 ? made[0] ?? 0 : made[13] ?? 0)
      set(queue, "rq", "clock", 230_000_000_000 + UInt64(cpu) * 1000)
    }
    if let task = made[10] { addProcess(task) }
  }

  /// The address space and the files of task 10.
  private mutating func addProcess(_ task: UInt64) {
    let mm = make("mm_struct", "mm")
    set(task, "task_struct", "mm", mm)
    // Tables of its own: the arguments lie at 0x7000, across the end of a page.
    let top = memory.frame()
    for page in 0..<2 as Range<UInt64> {
      let frame = memory.frame()
      memory.map(0x7000 + page << 12, to: frame, flags: 7, root: top << 12)
      places["user \(page)"] = frame
      // The kernel reads them where all memory is mapped.
      let direct = memory.allocate(4096, .heap, aligned: 4096)
      memory.map(direct, to: frame, flags: 3)
    }
    let table = memory.allocate(4096, .heap, aligned: 4096)
    memory.map(table, to: top, flags: 3)
    set(mm, "mm_struct", "pgd", table)
    putUser(0x7FF8, Array("hangs\0-v\0a b\0".utf8))
    set(mm, "mm_struct", "arg_start", 0x7FF8)
    set(mm, "mm_struct", "arg_end", 0x7FF8 + 13)
    set(mm, "mm_struct", "total_vm", 300)
    set(mm, "mm_struct", "start_brk", 0x9000)
    set(mm, "mm_struct", "brk", 0xA000)
    set(mm, "mm_struct", "start_stack", 0xF800)
    set(mm, "mm_struct", "exe_file", places["file sh"] ?? 0)
    let stat = mm + layout.offset("mm_struct", "rss_stat")
    for (index, count) in [20, 30, 1000, 4].enumerated() {
      if options.types.hasCounters {
        let counter = stat + UInt64(40 * index)
        set(counter, "percpu_counter", "count", UInt64(count))
        let perCPU = perCPUBase + 0x200 + UInt64(4 * index)
        set(counter, "percpu_counter", "counters", perCPU)
        for cpu in 0..<2 {
          // One more on each CPU, one less on the second for the first counter.
          memory.put(
            (places["per_cpu \(cpu)"] ?? 0) + 0x200 + UInt64(4 * index),
            UInt64(bitPattern: Int64(cpu == 1 && index == 0 ? -1 : 1)), width: 4)
        }
      } else {
        memory.put(stat + UInt64(8 * index), UInt64(count))
      }
    }
    addAreas(mm)
    let files = make("files_struct", "files")
    let fds = make("fdtable", "fdtable")
    let slots = memory.allocate(8 * 64, .heap)
    let open = memory.allocate(8, .heap)
    for (descriptor, name) in [(0, "sh"), (3, "gone"), (63, "pipe")] {
      memory.put(slots + UInt64(8 * descriptor), places["file \(name)"] ?? 0)
    }
    memory.put(open, 1 << 0 | 1 << 3 | 1 << 63)
    set(fds, "fdtable", "max_fds", 64, width: 4)
    set(fds, "fdtable", "fd", slots)
    set(fds, "fdtable", "open_fds", open)
    set(files, "files_struct", "fdt", fds)
    set(task, "task_struct", "files", files)
  }

  private mutating func putUser(_ address: UInt64, _ bytes: [UInt8]) {
    for (index, byte) in bytes.enumerated() {
      let place = address + UInt64(index)
      memory.setByte((places["user \(place >> 12 - 7)"] ?? 0) << 12 | place & 0xFFF, byte)
    }
  }

  private mutating func addAreas(_ mm: UInt64) {
    let vdso = variable("special_mapping_vmops", 8)
    var areas: [UInt64] = []
    func area(_ start: UInt64, _ end: UInt64, _ flags: UInt64, _ file: UInt64 = 0) -> UInt64 {
      let area = make("vm_area_struct")
      set(area, "vm_area_struct", "vm_start", start)
      set(area, "vm_area_struct", "vm_end", end)
      set(area, "vm_area_struct", "vm_flags", flags)
      set(area, "vm_area_struct", "vm_file", file)
      set(area, "vm_area_struct", "vm_pgoff", file == 0 ? 0 : 2)
      areas.append(area)
      return area
    }
    _ = area(0x7000, 0x8000, 5, places["file sh"] ?? 0)
    _ = area(0x9000, 0xA000, 3)
    _ = area(0xC000, 0xD000, 0x81)
    _ = area(0xF000, 0x1_0000, 3)
    let special = area(0x2_0000, 0x2_1000, 5)
    let mapping = make("vm_special_mapping")
    set(mapping, "vm_special_mapping", "name", memory.text("[vdso]"))
    set(special, "vm_area_struct", "vm_ops", vdso)
    set(special, "vm_area_struct", "vm_private_data", mapping)
    guard options.types.hasMapleTree else {
      set(mm, "mm_struct", "mmap", areas[0])
      for index in areas.indices.dropLast() {
        set(areas[index], "vm_area_struct", "vm_next", areas[index + 1])
      }
      return
    }
    // A node with two leaves: the pivots are the last addresses of their slots.
    func leaf(_ slots: [(last: UInt64, area: UInt64)]) -> UInt64 {
      let node = memory.allocate(256, .heap, aligned: 256)
      for (index, slot) in slots.enumerated() {
        memory.put(node + 8 + UInt64(8 * index), slot.last)
        memory.put(node + 128 + UInt64(8 * index), slot.area)
      }
      return node | 1 << 3 | 4
    }
    let first = leaf([
      (0x6FFF, 0), (0x7FFF, areas[0]), (0x8FFF, 0), (0x9FFF, areas[1]), (0xBFFF, 0),
    ])
    let second = leaf([
      (0xCFFF, areas[2]), (0xEFFF, 0), (0xFFFF, areas[3]), (0x1_FFFF, 0), (0x2_0FFF, areas[4]),
      (.max, 0),
    ])
    let node = memory.allocate(256, .heap, aligned: 256)
    memory.put(node + 8, 0xBFFF)
    memory.put(node + 80, first)
    memory.put(node + 88, second)
    memory.put(node + 16, .max)
    places["maple node"] = node
    set(mm, "mm_struct", "mm_mt.ma_root", node | 3 << 3 | 2)
  }

  // MARK: - Stacks

  /// What holds at a function of the kernel, for unwinding.
  private mutating func frame(_ name: String, _ size: Int, kind: Int = 2, register: Int = 5) {
    unwind.append((places[name] ?? 0, size, register, kind))
  }

  private mutating func addStacks() {
    // schedule() saved 24 bytes, do_wait() 40, sys_wait() none; entry_syscall ends the stack.
    frame("schedule", 24 + 8)
    frame("do_wait", 40 + 8)
    frame("sys_wait", 8)
    frame("entry_syscall", 0, kind: 1, register: 0)
    frame("ret_from_fork", 0, kind: 1, register: 0)
    unwind.append((places["_etext"] ?? 0, 0, 0, 0))
    for (pid, calls) in [
      (10, ["schedule", "do_wait", "sys_wait", "entry_syscall"]), (2, ["ret_from_fork"]),
    ] {
      guard let task = places["task \(pid)"] else { continue }
      let stack = memory.allocate(0x2000, .heap, aligned: 0x2000)
      set(task, "task_struct", "stack", stack)
      let frame = stack + 0x1800
      set(task, "task_struct", "thread.sp", frame)
      let sizes = ["schedule": 24, "do_wait": 40, "sys_wait": 0]
      // Return addresses are somewhere inside of their functions; a new task's is its very start.
      let first = (places[calls[0]] ?? 0) + (calls.count > 1 ? 0x11 : 0)
      set(frame, "inactive_task_frame", "ret_addr", first)
      var sp = frame + UInt64(layout.size("inactive_task_frame"))
      for (call, caller) in zip(calls, calls.dropFirst()) {
        sp += UInt64(sizes[call] ?? 0)
        memory.put(sp, (places[caller] ?? 0) + 0x11)
        sp += 8
      }
    }
  }

  private mutating func addUnwindTables() {
    let rows = unwind.sorted { $0.address < $1.address }
    let addresses = memory.allocate(4 * rows.count, .readOnly)
    let entries = memory.allocate(6 * rows.count, .readOnly)
    for (index, row) in rows.enumerated() {
      let place = addresses + UInt64(4 * index)
      memory.put(place, row.address &- place, width: 4)
      let entry = entries + UInt64(6 * index)
      memory.put(entry, UInt64(row.spOffset), width: 2)
      // The stack pointer is 5, and from 7.x on 3.
      let isNew = options.types.hasNewUnwindNumbers && row.spRegister == 5
      memory.put(entry + 4, UInt64(isNew ? 3 : row.spRegister), width: 1)
      // Kinds as from 6.4 on: 0 undefined, 1 end, 2 call. Before: 0 a call, and a bit for the end.
      let word =
        options.types.hasWideUnwindTypes
        ? UInt64(row.kind) : (row.kind == 1 ? 1 << 3 : row.kind == 0 ? 3 : 0)
      memory.put(entry + 5, word, width: 1)
    }
    symbol("__start_orc_unwind_ip", "R", addresses)
    symbol("__stop_orc_unwind_ip", "R", addresses + UInt64(4 * rows.count))
    symbol("__start_orc_unwind", "R", entries)
    symbol("__stop_orc_unwind", "R", entries + UInt64(6 * rows.count))
  }
}
