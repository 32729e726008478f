// What is read from guests that were made by hand, of all kinds.

import SystemIO
import Pages
import TestKit
import Testing

@testable import GuestOS

@Suite struct LinuxTests {
  @Test(arguments: SyntheticLinux.Options.kinds) func kernel(_ options: SyntheticLinux.Options)
    throws
  {
    let guest = options.guest
    let linux = try open(guest)
    #expect(linux.banner == SyntheticLinux.banner)
    #expect(linux.release == "9.8.7-synthetic")
    #expect(linux.cpus == [0, 1])
    #expect(linux.coreInfo?.release == "9.8.7-synthetic")
    #expect(linux.symbols.count > 700)
    for name in [
      "init_task", "func_0", "func_699", "linux_banner", String(repeating: "Q", count: 200),
    ] {
      #expect(try linux.symbol(name) == guest.places[name], "\(name)")
    }
    #expect(throws: XensaveError.self) { try linux.symbol("func_700") }
    let clock = try linux.clock()
    #expect(clock.wall == 1_700_000_000)
    #expect(clock.monotonic == 1_000_250_000_000 && clock.sinceBoot == 1_005_250_000_000)
  }

  @Test(arguments: SyntheticLinux.Options.kinds) func tasks(_ options: SyntheticLinux.Options)
    throws
  {
    let linux = try open(options.guest)
    let tasks = try linux.tasks()
    #expect(tasks.problem == nil)
    let expected = SyntheticLinux.tasks.filter { $0.pid == $0.process }
    #expect(tasks.items.map(\.pid) == expected.map(\.pid))
    let threads = try linux.threads()
    #expect(threads.problem == nil)
    #expect(threads.items.map(\.pid).sorted() == SyntheticLinux.tasks.map(\.pid).sorted())
    for row in SyntheticLinux.tasks {
      let task = try #require(threads.items.first { $0.pid == row.pid })
      #expect(task.name == String(row.name.prefix(15)))
      #expect(task.processID == row.process && task.parentID == row.parent)
      // Tasks are frozen in another way before 6.1; that one is asleep otherwise.
      #expect(task.state == row.letter, "\(row.name)")
      #expect(UInt64(task.uid) == row.uid)
      #expect(task.isKernelThread == (row.flags != 0))
      #expect(task.startTime == UInt64(row.pid) * 1_000_000_000)
      #expect(task.userTime == UInt64(row.pid) * 1000 && task.systemTime == UInt64(row.pid) * 2000)
      #expect(task.cpu == row.pid % 2)
      #expect(try linux.task(row.pid) == task)
    }
    #expect(throws: XensaveError.self) { try linux.task(99) }
    #expect(try linux.running(onCPU: 1).pid == 13)
    let hung = try linux.hung(seconds: 120)
    #expect(hung.items.map(\.task.pid) == [10])
    #expect(hung.items.first?.seconds == 130.000001)
    #expect(try linux.hung(seconds: 131).items.isEmpty)
  }

  @Test(arguments: SyntheticLinux.Options.kinds) func process(_ options: SyntheticLinux.Options)
    throws
  {
    let guest = options.guest
    let linux = try open(guest)
    let task = try linux.task(10)
    #expect(try linux.arguments(of: task) == ["hangs", "-v", "a b"])
    #expect(try linux.executable(of: task) == "/bin/sh")
    #expect(task.virtualPages == 300)
    #expect(task.residentPages == (options.types.hasCounters ? 20 + 30 + 4 + 4 : 54))
    #expect(try linux.read(of: task, 0x7FF8, 5) == Array("hangs".utf8))
    #expect(throws: XensaveError.self) { try linux.read(of: task, 0x9000, 1) }
    let maps = try linux.maps(of: task)
    #expect(maps.problem == nil)
    #expect(
      maps.items.map { "\($0.range.lowerBound)-\($0.range.upperBound) \($0.rights) \($0.name)" }
        == [
          "\(0x7000)-\(0x8000) r-xp /bin/sh", "\(0x9000)-\(0xA000) rw-p [heap]",
          "\(0xC000)-\(0xD000) r--s ", "\(0xF000)-\(0x1_0000) rw-p [stack]",
          "\(0x2_0000)-\(0x2_1000) r-xp [vdso]",
        ])
    #expect(maps.items[0].inode == 13 && maps.items[0].major == 8 && maps.items[0].minor == 1)
    #expect(maps.items[0].offset == 0x2000)
    let files = try linux.files(of: task)
    #expect(files.problem == nil)
    #expect(files.items.map(\.descriptor) == [0, 3, 63])
    #expect(files.items.map(\.path) == ["/bin/sh", "/var/gone (deleted)", "pipe:[4321]"])
    #expect(files.items[0].position == 77 && files.items[0].flags == 0x8002)
    // A thread of the kernel has nothing of all this.
    let kernel = try linux.task(2)
    #expect(try linux.arguments(of: kernel).isEmpty && linux.executable(of: kernel) == nil)
    #expect(try linux.maps(of: kernel).items.isEmpty && linux.files(of: kernel).items.isEmpty)
  }

  /// Each page of a process is found at its address, once, and the kernel's at none.
  @Test(arguments: SyntheticLinux.Options.kinds) func owners(_ options: SyntheticLinux.Options)
    throws
  {
    let guest = options.guest
    let linux = try open(guest)
    let task = try linux.task(10)
    let space = try linux.space(of: task)
    let page = try linux.memory.paged.translate(space, 0x7FF8).physical >> 12
    let kernel = guest.memory.physical(guest.places["init_task"] ?? 0) >> 12
    let owners = try linux.owners(of: PageSet([page, kernel]))
    #expect(owners.problem == nil)
    #expect(owners.items == [PageOwner(pfn: page, task: task, address: 0x7000)])
    // All pages there are: no more than the tables map, each where a walk finds it.
    let all = try linux.owners(of: PageSet(0..<PageSet.limit)).items
    #expect(all.contains(PageOwner(pfn: page, task: task, address: 0x7000)))
    for owner in all {
      let found = try linux.memory.paged.translate(space, owner.address)
      #expect(found.physical >> 12 == owner.pfn && found.isUser)
    }
  }

  @Test(arguments: SyntheticLinux.Options.kinds) func log(_ options: SyntheticLinux.Options) throws
  {
    let log = try open(options.guest).log()
    #expect(log.problem == nil)
    #expect(log.items.map(\.sequence) == SyntheticLinux.log.map(\.sequence))
    #expect(log.items.map(\.text) == SyntheticLinux.log.map(\.text))
    #expect(log.items.map(\.time) == SyntheticLinux.log.map(\.time))
    #expect(log.items.map(\.level) == SyntheticLinux.log.map(\.level))
    #expect(log.items.allSatisfy { $0.facility == 3 })
  }

  /// Kernels without BTF tell their release and their log, and say what they do not tell.
  @Test(arguments: [true, false]) func withoutTypes(hasRingLog: Bool) throws {
    var options = SyntheticLinux.Options()
    options.hasTypes = false
    options.hasRingLog = hasRingLog
    let linux = try open(options.guest)
    #expect(!linux.hasTypes)
    #expect(try linux.log().items.map(\.text) == SyntheticLinux.log.map(\.text))
    let error = #expect(throws: XensaveError.self) { try linux.tasks() }
    #expect(
      error?.description.contains("9.8.7-synthetic without BTF") == true,
      "\(String(describing: error))")
  }

  @Test(arguments: SyntheticLinux.Options.kinds) func stacks(_ options: SyntheticLinux.Options)
    throws
  {
    let guest = options.guest
    let linux = try open(guest)
    let stack = try linux.stack(of: linux.task(10))
    #expect(stack.problem == nil)
    #expect(
      stack.frames.map { $0.location?.description ?? "?" } == [
        "schedule+0x11/0x40", "do_wait+0x11/0x40", "sys_wait+0x11/0x40", "entry_syscall+0x11/0x40",
      ])
    let new = try linux.stack(of: linux.task(2))
    #expect(new.problem == nil && new.frames.map { $0.location?.symbol } == ["ret_from_fork"])
    // Where a module is, its symbols are told.
    let code = try #require(guest.places["module code"])
    #expect(linux.location(of: code + 0x84)?.description == "upper_go+0x4/0x180 [upper]")
    #expect(linux.location(of: code + 0x3FF)?.description == "lower_go+0x17f/0x180 [lower]")
    #expect(linux.location(of: 0x1000) == nil && linux.location(of: .max) == nil)
  }

  @Test(arguments: SyntheticLinux.Options.kinds) func blockDevices(
    _ options: SyntheticLinux.Options
  ) throws {
    let devices = try open(options.guest).blockDevices()
    #expect(devices.problem == nil)
    #expect(
      devices.items == [
        LinuxBlockDevice(
          name: "xvda", major: 202, minor: 0, byteCount: 2 << 30, isReadOnly: false, disk: nil),
        LinuxBlockDevice(
          name: "xvda1", major: 202, minor: 1, byteCount: 1 << 30, isReadOnly: true, disk: "xvda"),
        LinuxBlockDevice(
          name: "xvdb", major: 202, minor: 16, byteCount: 5 << 20, isReadOnly: true, disk: nil),
      ])
  }

  /// What a short look tells, of kernels with and without symbols and types.
  @Test(arguments: SyntheticLinux.Options.kinds) func glance(_ options: SyntheticLinux.Options)
    throws
  {
    var guest = options.guest
    func look() throws -> KernelGlance? {
      KernelGlance(
        PagedMemory(PageTable(guest.memory.pages)),
        [try vcpu(root: guest.root, levels: guest.options.levels)])
    }
    let glance = try #require(try look())
    #expect(glance.release == "9.8.7-synthetic" && glance.hostName == "synthetic-host")
    #expect(glance.uptime == 1005)
    // A clock whose times do not fit each other is none.
    let clock = try #require(guest.places["tk_core"]) + 8
    guest.put(clock + guest.layout.offset("timekeeper", "offs_real"), [1])
    #expect(try look()?.uptime == nil && look()?.release == "9.8.7-synthetic")
    // Names of another system.
    guest.put(try #require(guest.places["init_uts_ns"]) + 4, Array("Minix".utf8))
    #expect(try look() == nil)
    #expect(KernelGlance(PagedMemory(PageTable([:])), [try vcpu(root: guest.root)]) == nil)
    #expect(KernelGlance(PagedMemory(PageTable(guest.memory.pages)), []) == nil)
  }

  @Test(arguments: SyntheticLinux.Options.kinds) func rest(_ options: SyntheticLinux.Options) throws
  {
    let linux = try open(options.guest)
    let modules = try linux.modules()
    #expect(modules.problem == nil)
    #expect(modules.items.map(\.name) == ["upper", "lower"])
    #expect(modules.items.map(\.byteCount) == [0x1200, 0x1200])
    #expect(modules.items.map(\.userCount) == [0, 1])
    #expect(modules.items.map(\.users) == [[], ["upper"]])
    let mounts = try linux.mounts()
    #expect(mounts.problem == nil)
    #expect(mounts.items.map(\.path) == ["/", "/var"])
    #expect(mounts.items.map(\.device) == ["/dev/xvda1", "/dev/xvdb1"])
    #expect(mounts.items.map(\.type) == ["ext4", "xfs"])
    #expect(mounts.items.map(\.isReadOnly) == [false, true])
    #expect(mounts.items.map(\.minor) == [1, 17])
    let devices = try linux.netDevices()
    #expect(devices.problem == nil)
    #expect(devices.items.map(\.name) == ["lo", "enX0"])
    #expect(devices.items.map(\.hardwareAddress) == ["00:00:00:00:00:00", "00:16:3e:01:02:03"])
    #expect(
      devices.items.map(\.addresses) == [
        ["127.0.0.1/8"], ["10.0.0.5/24", "fe80::216:3eff:fe01:203/64"],
      ])
    #expect(
      devices.items.map(\.isUp) == [true, true] && devices.items.map(\.isRunning) == [true, false])
    let use = Dictionary(
      uniqueKeysWithValues: try linux.memoryUse().map { ($0.name, $0.bytes / 4096) })
    #expect(
      use == [
        "MemTotal": 25_000, "MemFree": 10_000, "Cached": 500, "SwapCached": 100, "AnonPages": 400,
        "PageTables": 77,
      ])
  }

  @Test func addressesAsText() {
    for (bytes, text) in [
      ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "::1"),
      ([UInt8](repeating: 0, count: 16), "::"),
      ([0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], "2001:db8:0:0:1::"),
      ([0x20, 1, 0xD, 0xB8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], "2001:db8:0:1:1:1:1:1"),
      ([0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3], "1:0:0:2::3"),
    ] as [([UInt8], String)] { #expect(NetworkText.ipv6(bytes) == text) }
  }
}
