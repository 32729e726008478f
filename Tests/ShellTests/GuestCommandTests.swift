// xensave-lua guest, over an image of a kernel that was made by hand.

import GuestOS
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

@testable import Jobs
@testable import Reports

@Suite struct GuestCommandTests {
  static let guest = SyntheticLinux()
  let folder = Program.temporaryFolder()

  private func image(_ guest: SyntheticLinux = Self.guest) -> String {
    let path = folder + "/guest"
    Program.write(guest.image, to: path)
    return path
  }

  /// What is printed, to the letter.
  @Test func texts() throws {
    let image = image()
    for (words, text) in [
      (
        "ps",
        """
        PID  PPID   UID  STATE  CPU  START  TIME  RSS_KIB  VSZ_KIB  NAME       COMMAND
          0     0     0  R        0    0.0   0.0        0        0  swapper/0  [swapper/0]
          1     0     0  S        1    1.0   0.0        0        0  init       [init]
          2     0     0  I        0    2.0   0.0        0        0  kthreadd   [kthreadd]
         10     1  1000  D        0   10.0   0.0      232     1200  hangs      hangs -v a b
         12    10     7  Z        0   12.0   0.0        0        0  dead       [dead]
         13     1     7  t        1   13.0   0.0        0        0  traced     [traced]
         14     1     7  F        0   14.0   0.0        0        0  frozen     [frozen]

        """
      ),
      (
        "dmesg",
        """
        [    0.001000] first line that is still there
        [    0.002000] \("")
        [    0.003000] a line at the end
        [    0.004000] wraps to the start of the ring
        [    0.005000] two
        [    0.005000] lines

        """
      ),
      (
        "mounts",
        """
        DEVICE      TYPE  ACCESS  NUMBER  PATH
        /dev/xvda1  ext4  rw      8:1     /
        /dev/xvdb1  xfs   ro      8:17    /var

        """
      ),
      (
        "blockdevs",
        """
        NAME   NUMBER        SIZE  ACCESS  DISK
        xvda   202:0   2147483648  rw      \("")
        xvda1  202:1   1073741824  ro      xvda
        xvdb   202:16     5242880  ro      \("")

        """
      ),
      (
        "net",
        """
        INDEX  NAME  STATE         MTU  HARDWARE           ADDRESSES
            1  lo    up          65536  00:00:00:00:00:00  127.0.0.1/8
            2  enX0  no carrier   1500  00:16:3e:01:02:03  10.0.0.5/24 fe80::216:3eff:fe01:203/64

        """
      ),
      (
        "files 10",
        """
        FD  POSITION  FLAGS   PATH
         0        77  0x8002  /bin/sh
         3        77  0x8002  /var/gone (deleted)
        63        77  0x8002  pipe:[4321]

        """
      ),
      (
        "maps 10",
        """
        00007000-00008000 r-xp 00002000 08:01 13                                 /bin/sh
        00009000-0000a000 rw-p 00000000 00:00 0                                  [heap]
        0000c000-0000d000 r--s 00000000 00:00 0 \("")
        0000f000-00010000 rw-p 00000000 00:00 0                                  [stack]
        00020000-00021000 r-xp 00000000 00:00 0                                  [vdso]

        """
      ),
      ("hung 131", "no task hangs for 131.0 s\n"),
      ("print init_task.comm", "(char [16])\"swapper/0\"\n"),
    ] {
      let (question, argument) = (words.prefix { $0 != " " }, words.drop { $0 != " " }.dropFirst())
      let found = Program.run(
        ["guest", image, String(question)] + (argument.isEmpty ? [] : [String(argument)]))
      #expect(found.exitCode == 0 && found.errors == "", "\(words): \(found.errors)")
      #expect(found.text == text, "\(words)")
    }
    let stack = Program.run(["guest", image, "stack", "10"]).text
    #expect(stack.hasPrefix("10 hangs (D)\n  0xffffffff"))
    #expect(stack.split(separator: "\n").count == 5)
    #expect(Program.run(["guest", image, "stack"]).text.contains("func_5+0x4/0x20"))
    #expect(Program.run(["guest", image, "hung"]).text.hasPrefix("10 hangs for 130.0 s\n"))
    #expect(Program.run(["guest", image]).text.contains("uptime     1005.3 s\n"))
    #expect(Program.run(["guest", image, "ps", "--threads"]).text.contains("second thread"))
    let address = try #require(Self.guest.places["func_5"])
    #expect(
      Program.run(["guest", image, "sym", "func_5"]).text.contains(
        "0x" + String(address, radix: 16)))
    #expect(
      Program.run(["guest", image, "sym", "0x" + String(address + 7, radix: 16)]).text.contains(
        "func_5+0x7/0x20"))
    Program.remove(folder)
  }

  @Test func json() {
    let image = image()
    for word in GuestCommandTests.words {
      let found = Program.run(
        ["guest", image] + word.split(separator: " ").map(String.init) + ["--json"])
      #expect(found.exitCode == 0, "\(word): \(found.errors)")
      let checked = Program.shell(
        "python3 -c 'import json, sys; json.load(sys.stdin)'", input: found.output)
      #expect(checked.exitCode == 0, "\(word): \(checked.errors)")
    }
    let tasks = Program.run(["guest", image, "ps", "--json"]).text
    #expect(tasks.contains("\"pid\": 10,") && tasks.contains("\"a b\""))
    Program.remove(folder)
  }

  private static let words = [
    "", "ps", "dmesg", "stack", "stack all", "hung 1", "modules", "mounts", "blockdevs", "net",
    "sockets", "files 10", "maps 10", "mem", "sym func_1", "print init_task",
  ]

  /// The same from Lua: img.linux, tasks, and values of the kernel's types.
  @Test func lua() throws {
    let script = folder + "/ask.lua"
    Program.write(Array(GuestCommandTests.script.utf8), to: script)
    let found = Program.run([script, image()])
    #expect(found.exitCode == 0, "\(found.errors)")
    #expect(found.text.replacing(folder + "/", with: "") == GuestCommandTests.answers)
    let tiny = Program.fixtures + "pv-4m-1v-tiny.xlsave"
    let none = Program.run(["-e", "print(img.linux)", tiny])
    #expect(none.exitCode == 1 && none.errors.contains("no kernel was found"))
    Program.remove(folder)
  }

  private static let script = """
    local linux = img.linux
    print(linux, linux.uptime, #linux.cpus, #linux:tasks(), #linux:threads())
    local task = linux:task(10)
    print(task, task.state, task.ppid, task.uid, task.exe, table.concat(task.cmdline, "|"))
    print(task.rss, task.struct.comm, task.struct.sched_info.last_arrival, task.is_kernel)
    print(#task:stack(), task:stack()[1].symbol, #task:maps(), task:files()[2].path)
    print(task:read(0x7ff8, 5), linux:task(99))
    print(linux.symbol.init_task.comm, linux.symbol.nothing, math.type(linux.symbol.func_1))
    print(linux:eval "init_task.comm[1]", linux:location(linux.symbol.func_1 + 3))
    print(linux:cast("struct task_struct", task.address).pid, linux:eval "sizeof(struct file)")
    local list = linux.symbol.init_task.tasks:list_("struct task_struct", "tasks")
    print(#list, list[1].comm, list[2].type_, list[1] == list[1], list[1] == list[2])
    print(linux:dmesg()[1].text, linux:modules()[2].by[1], linux:mounts()[2].path)
    print(linux:netdevs()[2].addresses[1], linux:meminfo().MemFree, #linux:hung(1), #linux:hung(1000))
    print(pcall(function() return task.struct.pif end))
    """

  private static let answers = """
    Linux 9.8.7-synthetic\t1005.25\t2\t7\t8
    task 10 (hangs)\tD\t1\t1000\t/bin/sh\thangs|-v|a b
    237568\thangs\t100000000000\tfalse
    4\tschedule\t5\t/var/gone (deleted)
    hangs\tnil\tguest: there is no task 99
    swapper/0\tnil\tinteger
    119\tfunc_1+0x3/0x20
    10\t80
    6\tinit\tstruct task_struct\ttrue\tfalse
    first line that is still there\tupper\t/var
    10.0.0.5/24\t40960000\t1\t0
    false\task.lua:15: struct task_struct has no member pif (did you mean pid?)

    """

  /// A domain is paused for as long as somebody looks, and continues however that ends.
  @Test func domain() throws {
    var configuration = SimDomain.Configuration(frameCount: 40_000)
    configuration.name = "web1"
    let domain = try SimDomain(restoring: Source(opening: image()), configuration)
    let backends = Backends()
    backends.simulated.add(domain)
    var warnings: [String] = []
    func look(_ body: (GuestReports) throws -> Void) throws {
      try withPausedDomain("web1", backends, warn: { warnings.append($0) }) { memory, vcpus in
        #expect(domain.isPaused)
        try body(GuestReports(try LinuxGuest(memory, vcpus)))
      }
    }
    try look { reports in
      let (tasks, devices) = (try reports.tasks(threads: false), try reports.blockDevices())
      #expect(tasks.rows.count == 7 && devices.rows.count == 3)
    }
    #expect(!domain.isPaused && domain.openLeaseCount == 0)
    #expect(throws: XensaveError.self) { try look { _ = try $0.files("77") } }
    #expect(!domain.isPaused)
    // One that cannot be read, and one that cannot be let go on.
    domain.faults.arm(.hook(.map), at: 1, times: .max, errno: 5)
    #expect(throws: XensaveError.self) { try look { _ in } }
    domain.faults.disarm()
    domain.faults.arm(.hook(.unpause), at: 1, times: 1, errno: 5)
    try look { _ in }
    #expect(warnings.count == 1 && warnings[0].hasPrefix("domain web1: unpausing: "))
    // One that was paused before stays so.
    try look { _ in }
    #expect(domain.isPaused)
    #expect(throws: XensaveError.self) {
      try withPausedDomain("web2", backends, warn: { _ in }) { _, _ in }
    }
    Program.remove(folder)
  }

  /// One line says what is wrong; names in a guest do not steer the terminal.
  @Test func errors() throws {
    let image = image()
    for (words, code, problem) in [
      (["nothing"], 2, "expected one of ps"), (["files"], 2, "expected PID"),
      (["ps", "1"], 2, "unexpected"),
      (["files", "x"], 2, "expected the number of a task"),
      (["files", "77"], 1, "there is no task 77"),
      (["sym", "none"], 1, "no symbol none"), (["print", "init_task.pif"], 2, "did you mean pid?"),
      (["hung", "x"], 2, "expected seconds"), (["dmesg", "--threads"], 2, "--threads is for ps"),
      (["ps", "1", "--domain", "web1"], 2, "unexpected \"1\""),
    ] as [([String], Int32, String)] {
      let found = Program.run(["guest", image] + words)
      #expect(found.exitCode == code, "\(words): \(found.exitCode)")
      #expect(found.errors.contains(problem) && found.output.isEmpty, "\(words): \(found.errors)")
      #expect(found.errors.split(separator: "\n").count == 1, "\(found.errors)")
    }
    for (words, code, problem) in [
      ([], 2, "expected an image, or --domain NAME"),
      (["ps", "--domain", "web1", "--cache"], 2, "--cache is for images"),
      (["sym", "--domain", "web1"], 2, "sym: expected NAME"),
      (["ps", "--domain", "web1"], 1, "there is no domain 'web1'"),
      (["--domain", "web1"], 1, "there is no domain 'web1'"),
    ] as [([String], Int32, String)] {
      let found = Program.run(["guest"] + words)
      #expect(found.exitCode == code && found.output.isEmpty, "\(words): \(found.exitCode)")
      #expect(found.errors.contains(problem), "\(words): \(found.errors)")
    }
    let other = Program.run(["guest", Program.fixtures + "pv-4m-1v-tiny.xlsave"])
    #expect(other.exitCode == 1 && other.errors.contains("no kernel was found"))
    var guest = Self.guest
    let task = try #require(guest.places["task 13"])
    let place = task + guest.layout.offset("task_struct", "comm")
    guest.put(place, Array("a\u{1B}[2J\nb".utf8) + [0])
    guest.put(
      try #require(guest.places["task 14"]) + guest.layout.offset("task_struct", "tasks"),
      [8, 0, 0, 0, 0, 0, 0, 0])
    let steered = Program.run(["guest", self.image(guest), "ps"])
    #expect(steered.exitCode == 0 && steered.text.contains("a\\x1b[2J\\nb"))
    #expect(steered.errors.hasPrefix("xensave-lua: note: there may be more: "))
    Program.remove(folder)
  }
}
