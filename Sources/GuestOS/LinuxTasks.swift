// Processes and threads of a Linux guest.

internal import SystemIO
internal import Bytes
public import Pages

/// A task: a process (its first thread), or one more thread of one.
public struct LinuxTask: Sendable, Equatable {
  /// Where its struct task_struct is.
  public let address: UInt64
  /// The thread's number, and that of the process that it belongs to.
  public var pid = 0
  public var processID = 0
  public var parentID = 0
  public var name = ""
  /// As ps(1) shows it: R, S, D, T, t, X, Z, P, I; F for one that is frozen for the suspend, where
  /// the kernel (before 6.7) does not say what it was before.
  public var state: Character = "?"
  /// The user that it acts as.
  public var uid: UInt32 = 0
  public var flags: UInt32 = 0
  /// Nanoseconds from the kernel's start to its own.
  public var startTime: UInt64 = 0
  /// Nanoseconds that it ran, for itself and in the kernel.
  public var userTime: UInt64 = 0
  public var systemTime: UInt64 = 0
  public var cpu: Int?
  /// Where its struct mm_struct is; 0 for threads of the kernel.
  public var mm: UInt64 = 0
  /// Pages in memory, and pages of its address space.
  public var residentPages: UInt64 = 0
  public var virtualPages: UInt64 = 0

  public var isKernelThread: Bool { flags & 0x20_0000 != 0 }
  public var isProcess: Bool { pid == processID }
}

/// The members that a task is read by, found once.
struct TaskFields {
  let tasks, pid, tgid, comm, state, exitState, flags, parent, cred, uid, start, user, system: Field
  let mm, group, stack: Field
  let cpu, signal, threadHead, threadNode, totalPages, resident, savedState, jobControl: Field?

  init(_ guest: LinuxGuest) throws {
    let task = "task_struct"
    tasks = try guest.field(task, "tasks")
    pid = try guest.field(task, "pid")
    tgid = try guest.field(task, "tgid")
    comm = try guest.field(task, "comm")
    state = try guest.firstField(task, "__state", "state")
    exitState = try guest.field(task, "exit_state")
    flags = try guest.field(task, "flags")
    parent = try guest.field(task, "real_parent")
    cred = try guest.field(task, "cred")
    uid = try guest.firstField("cred", "euid.val", "euid")
    // As /proc has it: with the time that the guest was suspended for. Before 5.5 it is real_start_time.
    start = try guest.firstField(task, "start_boottime", "real_start_time", "start_time")
    user = try guest.field(task, "utime")
    system = try guest.field(task, "stime")
    mm = try guest.field(task, "mm")
    group = try guest.field(task, "group_leader")
    stack = try guest.field(task, "stack")
    cpu = guest.optionalField(task, "thread_info.cpu") ?? guest.optionalField(task, "cpu")
    signal = guest.optionalField(task, "signal")
    threadHead = guest.optionalField("signal_struct", "thread_head")
    threadNode = guest.optionalField(task, "thread_node")
    totalPages = guest.optionalField("mm_struct", "total_vm")
    resident = guest.optionalField("mm_struct", "rss_stat")
    savedState = guest.optionalField(task, "saved_state")
    jobControl = guest.optionalField(task, "jobctl")
  }
}

extension LinuxGuest {
  /// The processes, in the kernel's order; first the one that idles (pid 0), as `swapper/0`.
  public func tasks() throws -> Listing<LinuxTask> {
    try memory.question {
      let fields = try TaskFields(self)
      return try read(processes(fields), fields)
    }
  }

  /// All threads of all processes.
  public func threads() throws -> Listing<LinuxTask> {
    try memory.question {
      let fields = try TaskFields(self)
      let leaders = try processes(fields)
      var all = Listing<UInt64>()
      all.problem = leaders.problem
      for leader in leaders.items {
        let group = threads(of: leader, fields)
        all.items += group.items
        all.problem = all.problem ?? group.problem
        guard all.items.count <= KernelMemory.listLimit else {
          all.problem = "there are more than \(KernelMemory.listLimit) threads"
          break
        }
      }
      return try read(all, fields)
    }
  }

  /// The task of this number.
  public func task(_ pid: Int) throws -> LinuxTask {
    try memory.question {
      let fields = try TaskFields(self)
      let leaders = try processes(fields)
      for leader in leaders.items {
        if Int64(pid) == (try? memory.signed(leader, fields.pid)) {
          return try task(at: leader, fields)
        }
      }
      for leader in leaders.items {
        for thread in threads(of: leader, fields).items
        where Int64(pid) == (try? memory.signed(thread, fields.pid)) {
          return try task(at: thread, fields)
        }
      }
      throw missing(
        "there is no task \(pid)" + (leaders.problem.map { " (\($0))" } ?? ""))
    }
  }

  private func processes(_ fields: TaskFields) throws -> Listing<UInt64> {
    let initial = try symbol("init_task")
    var list = memory.list(initial &+ fields.tasks.offset, fields.tasks.offset)
    list.items.insert(initial, at: 0)
    return list
  }

  /// The threads of the process whose first one is `leader`.
  private func threads(of leader: UInt64, _ fields: TaskFields) -> Listing<UInt64> {
    var alone = Listing<UInt64>()
    alone.items = [leader]
    guard let signal = fields.signal, let head = fields.threadHead, let node = fields.threadNode,
      let group = try? memory.value(leader, signal), group != 0
    else { return alone }
    let list = memory.list(group &+ head.offset, node.offset, limit: 1 << 16)
    return list.items.isEmpty ? alone : list
  }

  private func read(
    _ addresses: Listing<UInt64>, _ fields: TaskFields
  ) throws -> Listing<LinuxTask> {
    var out = Listing<LinuxTask>()
    out.problem = addresses.problem
    out.items.reserveCapacity(addresses.items.count)
    for address in addresses.items {
      do { out.items.append(try task(at: address, fields)) } catch {
        out.problem = out.problem ?? "task at \(address.hex()): \(error)"
      }
    }
    guard !out.items.isEmpty else { throw invalid(out.problem ?? "there are no tasks") }
    return out
  }

  /// The task whose struct task_struct is at `address`.
  public func task(at address: UInt64) throws -> LinuxTask {
    try task(at: address, TaskFields(self))
  }

  private func task(at address: UInt64, _ fields: TaskFields) throws -> LinuxTask {
    var task = LinuxTask(address: address)
    task.pid = Int(try memory.signed(address, fields.pid))
    task.processID = Int(try memory.signed(address, fields.tgid))
    let limit = min(64, max(1, fields.comm.byteCount))
    task.name = try memory.text(address &+ fields.comm.offset, limit: limit)
    task.flags = UInt32(truncatingIfNeeded: try memory.value(address, fields.flags))
    task.startTime = try memory.value(address, fields.start)
    task.userTime = try memory.value(address, fields.user)
    task.systemTime = try memory.value(address, fields.system)
    task.mm = try memory.value(address, fields.mm)
    task.state = LinuxTask.letter(
      state: try memory.value(address, fields.state),
      exit: try memory.value(address, fields.exitState), flags: task.flags,
      saved: fields.savedState.flatMap { try? memory.value(address, $0) } ?? 0,
      jobControl: fields.jobControl.flatMap { try? memory.value(address, $0) } ?? 0)
    // What other structures say may be missing: the task is still one.
    if let cpu = fields.cpu {
      task.cpu = (try? memory.value(address, cpu)).map { Int(clamping: $0) }
    }
    if let parent = try? memory.value(address, fields.parent), parent != 0 {
      task.parentID = (try? memory.signed(parent, fields.tgid)).map { Int($0) } ?? 0
    }
    if let cred = try? memory.value(address, fields.cred), cred != 0 {
      task.uid = UInt32(truncatingIfNeeded: (try? memory.value(cred, fields.uid)) ?? 0)
    }
    if task.mm != 0 {
      task.virtualPages = fields.totalPages.flatMap { try? memory.value(task.mm, $0) } ?? 0
      task.residentPages = residentPages(task.mm, fields)
    }
    return task
  }

  /// Pages in memory: files', anonymous ones, and shared memory. Linux: include/linux/mm_types.h.
  private func residentPages(_ mm: UInt64, _ fields: TaskFields) -> UInt64 {
    guard let stat = fields.resident else { return 0 }
    var sum: Int64 = 0
    // NR_MMUPAGES are MM_FILEPAGES 0, MM_ANONPAGES 1, MM_SWAPENTS 2, MM_SHMEMPAGES 3.
    if let count = optionalField("percpu_counter", "count"), stat.byteCount > 32,
      let size = try? size("percpu_counter")
    {
      let cpus = self.cpus
      for index in [0, 1, 3] {
        let counter = mm &+ stat.offset &+ UInt64(index * size)
        sum &+= (try? memory.signed(counter, count)) ?? 0
        guard let field = optionalField("percpu_counter", "counters"),
          let copies = try? memory.value(counter, field)
        else { continue }
        for cpu in cpus {
          guard let place = try? perCPU(copies, cpu),
            let part = try? memory.load(place, as: Int32.self)
          else { continue }
          sum &+= Int64(part)
        }
      }
    } else {
      for index in [0, 1, 3] {
        let word = try? memory.word(mm &+ stat.offset &+ UInt64(8 * index))
        sum &+= Int64(bitPattern: word ?? 0)
      }
    }
    return UInt64(max(0, sum))
  }

  // MARK: - Names and arguments

  /// The name of a task as /proc has it: of threads of the kernel the whole one (from 5.17 on), and
  /// with what a worker works on.
  public func title(of task: LinuxTask) -> String {
    guard task.isKernelThread else { return task.name }
    // Before 5.17 the pointer stands where other tasks have one of their own.
    guard
      let place = optionalField("task_struct", "worker_private")
        ?? optionalField("task_struct", "set_child_tid"),
      let thread = try? memory.value(task.address, place), thread != 0
    else { return task.name }
    // PF_WQ_WORKER. Linux: kernel/workqueue.c, wq_worker_comm.
    if task.flags & 0x20 != 0 { return workerTitle(of: task, thread) }
    guard let name = try? value(thread, "kthread", "full_name"), name != 0,
      let text = try? memory.text(name, limit: 64), !text.isEmpty
    else { return task.name }
    return text
  }

  /// The name of a worker of the kernel's queues, whose `struct kthread` is at `thread`.
  private func workerTitle(of task: LinuxTask, _ thread: UInt64) -> String {
    guard let worker = try? value(thread, "kthread", "data") else { return task.name }
    // A rescuer has a pool only while it helps one. From 6.10 on it has the name of its queue.
    if task.name.hasPrefix("kworker/R-"), let queue = try? value(worker, "worker", "rescue_wq"),
      queue != 0, let place = optionalField("workqueue_struct", "name"),
      let name = try? memory.text(queue &+ place.offset, limit: 32), !name.isEmpty
    {
      return "kworker/R-" + name
    }
    guard let pool = try? value(worker, "worker", "pool"), pool != 0,
      let description = optionalField("worker", "desc"),
      let now = try? value(worker, "worker", "current_work"),
      let text = try? memory.text(worker &+ description.offset, limit: 32), !text.isEmpty
    else { return task.name }
    return task.name + (now == 0 ? "-" : "+") + text
  }

  /// The arguments that a process was started with, or has put in their place since; empty for
  /// threads of the kernel.
  public func arguments(of task: LinuxTask) throws -> [String] {
    try memory.question {
      guard task.mm != 0 else { return [] }
      let start = try value(task.mm, "mm_struct", "arg_start")
      let end = try value(task.mm, "mm_struct", "arg_end")
      guard end > start else { return [] }
      var bytes = try read(of: task, start, Int(min(end - start, 128 << 10)))
      if bytes.last == 0 { bytes.removeLast() }
      return bytes.split(separator: 0, omittingEmptySubsequences: false).map {
        String(decoding: $0, as: UTF8.self)
      }
    }
  }

  /// The file that a process runs; nil for threads of the kernel.
  public func executable(of task: LinuxTask) throws -> String? {
    try memory.question {
      guard task.mm != 0 else { return nil }
      let file = try value(task.mm, "mm_struct", "exe_file")
      return file == 0 ? nil : try path(ofFile: file)
    }
  }

  /// The address space of a process.
  public func space(of task: LinuxTask) throws -> AddressSpace {
    guard task.mm != 0 else {
      throw missing("task \(task.pid) (\(task.name)) is a thread of the kernel: it has no memory")
    }
    let table = try value(task.mm, "mm_struct", "pgd")
    let root = try memory.paged.translate(memory.space, table).physical
    return AddressSpace(name: "task \(task.pid)", mode: memory.space.mode, cr3: root)
  }

  /// `count` bytes of a process's own memory.
  public func read(
    of task: LinuxTask, _ address: UInt64, _ count: Int
  ) throws -> [UInt8] {
    guard count >= 0, count <= KernelMemory.readLimit else {
      throw XensaveError(
        .usage, "expected at most \(KernelMemory.readLimit) bytes to read, got \(count)")
    }
    return try memory.paged.read(space(of: task), address, count)
  }

  // MARK: - Tasks that hang

  /// Tasks that wait without being interruptible for `seconds` and more, the longest first: since
  /// when they last ran, by the scheduler's clock.
  public func hung(
    seconds: Double
  ) throws -> Listing<(task: LinuxTask, seconds: Double)> {
    try memory.question {
      let threads = try self.threads()
      let ran = try firstField("task_struct", "sched_info.last_arrival", "se.exec_start")
      var out = Listing<(task: LinuxTask, seconds: Double)>()
      out.problem = threads.problem
      guard let now = schedulerClock() else { throw missing("the scheduler's clock was not found") }
      for task in threads.items where task.state == "D" {
        guard let last = try? memory.value(task.address, ran) else { continue }
        let waited = now > last ? Double(now - last) / 1e9 : 0
        if waited >= seconds { out.items.append((task, waited)) }
      }
      out.items.sort { $0.seconds > $1.seconds }
      return out
    }
  }

  /// Nanoseconds: the latest of the CPUs' run queues.
  private func schedulerClock() -> UInt64? {
    guard let queues = symbols["runqueues"], let clock = optionalField("rq", "clock") else {
      return nil
    }
    return cpus.compactMap { cpu in
      (try? perCPU(queues, cpu)).flatMap { try? memory.value($0, clock) }
    }.max()
  }

  /// The task that a CPU runs.
  public func running(onCPU cpu: Int) throws -> LinuxTask {
    let queue = try perCPU(symbol("runqueues"), cpu)
    return try task(at: try value(queue, "rq", "curr"))
  }
}

extension LinuxTask {
  /// The letter of a task's state. `saved` is the state before it was frozen, which kernels keep from 6.7
  /// on, `jobControl` its `jobctl`, both 0 where there is none. Linux: include/linux/sched.h,
  /// __task_state_index.
  static func letter(
    state: UInt64, exit: UInt64, flags: UInt32, saved: UInt64, jobControl: UInt64
  ) -> Character {
    // TASK_FROZEN from 6.1 on; before, PF_FROZEN of one that waits.
    if state & 0x8000 != 0 || (flags & 0x1_0000 != 0 && state & 2 != 0) {
      // What had stopped then still has: JOBCTL_TRACED and JOBCTL_STOPPED.
      if jobControl & 1 << 27 != 0 { return "t" }
      if jobControl & 1 << 26 != 0 { return "T" }
      guard state & 0x8000 != 0, saved & 0x7F != 0 else { return "F" }
      return letter(state: saved & ~0x8000, exit: exit, flags: flags, saved: 0, jobControl: 0)
    }
    // TASK_IDLE: waits without being interruptible, and nobody minds.
    if state & 0x402 == 0x402 { return "I" }
    let report = (state | exit) & 0x7F
    if report == 0 { return state & 0x1000 != 0 ? "D" : "R" }
    let letters = Array("SDTtXZP")
    return letters[63 - report.leadingZeroBitCount]
  }
}
