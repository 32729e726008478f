// Stacks of a Linux guest, unwound by the kernel's own tables (ORC).

internal import Bytes
internal import Pages

/// One call that a stack holds.
public struct StackFrame: Sendable, Equatable {
  /// Where it continues: a return address, or where a vCPU was.
  public let address: UInt64
  /// The function; nil where its name is not known.
  public let location: LinuxGuest.Location?
}

/// A stack, the innermost call first.
public struct Stack: Sendable, Equatable {
  public var frames: [StackFrame] = []
  /// Why it may continue; nil where its end was reached.
  public var problem: String?

  public init() {}
}

/// How far a function's frame reaches at one address. Linux: arch/x86/include/asm/orc_types.h.
struct UnwindEntry {
  enum Kind { case undefined, end, call, registers, interrupt }
  /// ORC_REG_*: what an offset is relative to.
  enum Base {
    case undefined, previousSP, ax, dx, di, bp, sp, r10, r13, atBP, atSP

    /// By their numbers up to 6.x, and from 7.x on.
    static let classic: [Base] = [
      .undefined, .previousSP, .dx, .di, .bp, .sp, .r10, .r13, .atBP, .atSP, .ax,
    ]
    static let modern: [Base] = [
      .undefined, .ax, .dx, .sp, .bp, .di, .r10, .r13, .previousSP, .atSP, .atBP,
    ]
  }
  let kind: Kind
  let spRegister: Base
  let bpRegister: Base
  let spOffset: Int64
  let bpOffset: Int64
}

/// One pair of tables: addresses, and what holds from each on.
struct UnwindTable {
  let addresses: UInt64
  let entries: UInt64
  let count: Int
}

/// The tables of a kernel and how their entries are laid out.
struct UnwindTables {
  let kernel: UnwindTable
  let size: Int
  let spOffset, bpOffset, spRegister, bpRegister, kind: Field
  /// Before 6.4: 1 where the stack ends.
  let end: Field?
  private(set) var bases = UnwindEntry.Base.classic

  init?(_ guest: LinuxGuest) {
    guard let start = guest.symbols["__start_orc_unwind_ip"],
      let stop = guest.symbols["__stop_orc_unwind_ip"],
      let entries = guest.symbols["__start_orc_unwind"], stop > start, (stop - start) / 4 < 1 << 24,
      let size = try? guest.size("orc_entry"), size > 0,
      let spOffset = guest.optionalField("orc_entry", "sp_offset"),
      let bpOffset = guest.optionalField("orc_entry", "bp_offset"),
      let spRegister = guest.optionalField("orc_entry", "sp_reg"),
      let bpRegister = guest.optionalField("orc_entry", "bp_reg"),
      let kind = guest.optionalField("orc_entry", "type")
    else { return nil }
    kernel = UnwindTable(addresses: start, entries: entries, count: Int((stop - start) / 4))
    self.size = size
    self.spOffset = spOffset
    self.bpOffset = bpOffset
    self.spRegister = spRegister
    self.bpRegister = bpRegister
    self.kind = kind
    end = guest.optionalField("orc_entry", "end")
    // Where a function begins, its frame is found by the stack pointer: that tells the numbering.
    for name in ["schedule", "kthread", "do_exit", "panic"] {
      guard let address = guest.symbols[name],
        let place = try? self.place(address, kernel, guest.memory),
        let code = try? guest.memory.value(place, spRegister), code == 3 || code == 5
      else { continue }
      if code == 3 { bases = UnwindEntry.Base.modern }
      break
    }
  }

  /// Where the entry is that holds at `address`.
  private func place(
    _ address: UInt64, _ table: UnwindTable, _ memory: KernelMemory
  ) throws -> UInt64? {
    // Each address is relative to its own place.
    func start(_ index: Int) throws -> UInt64 {
      let place = table.addresses &+ UInt64(4 * index)
      return place &+ UInt64(bitPattern: Int64(try memory.load(place, as: Int32.self)))
    }
    let count = try (0..<table.count).partitioningIndex { try start($0) > address }
    return count > 0 ? table.entries &+ UInt64((count - 1) * size) : nil
  }

  /// What holds at `address`.
  func entry(
    _ address: UInt64, _ table: UnwindTable, _ memory: KernelMemory
  ) throws -> UnwindEntry? {
    guard let place = try place(address, table, memory) else { return nil }
    func base(_ field: Field) throws -> UnwindEntry.Base {
      let code = try memory.value(place, field)
      return code < UInt64(bases.count) ? bases[Int(code)] : .undefined
    }
    let word = try memory.value(place, kind)
    let kinds: [UnwindEntry.Kind]
    if let end {
      // Up to 6.3: calls, registers, and what an interrupt left; an end is marked by a bit.
      kinds =
        try memory.value(place, end) != 0
        ? [.end, .end, .end, .end] : [.call, .registers, .interrupt, .undefined]
    } else {
      kinds = [.undefined, .end, .call, .registers, .interrupt]
    }
    return UnwindEntry(
      kind: word < UInt64(kinds.count) ? kinds[Int(word)] : .undefined,
      spRegister: try base(spRegister), bpRegister: try base(bpRegister),
      spOffset: try memory.signed(place, spOffset), bpOffset: try memory.signed(place, bpOffset))
  }
}

/// The registers that unwinding goes by.
private struct UnwindState {
  var ip: UInt64
  var sp: UInt64
  var bp: UInt64
  /// Whether `ip` is where the processor was, and not a return address.
  var isExact: Bool
  /// Other registers, where they are known.
  var others: [UnwindEntry.Base: UInt64] = [:]
}

extension LinuxGuest {
  /// Most calls of a stack that are shown.
  static let frameLimit = 256

  /// The stack of a task: of one that sleeps, from where it was put to sleep; of one that runs, from
  /// where its vCPU is.
  public func stack(of task: LinuxTask) throws -> Stack {
    try memory.question {
      for cpu in cpus {
        if let running = try? self.running(onCPU: cpu), running.address == task.address,
          vcpus.contains(where: { $0.id == cpu })
        {
          return try stack(ofVCPU: cpu)
        }
      }
      guard try value(task.address, "task_struct", "stack") != 0 else {
        var stack = Stack()
        stack.problem = "task \(task.pid) has ended, and its stack is gone"
        return stack
      }
      let frame = try value(task.address, "task_struct", "thread.sp")
      let size = try self.size("inactive_task_frame")
      let start = try value(frame, "inactive_task_frame", "ret_addr")
      // A task that never ran begins where a new one does, and not after a call.
      let isNew = ["ret_from_fork", "ret_from_fork_asm"].contains { symbols[$0] == start }
      return unwind(
        UnwindState(
          ip: start, sp: frame &+ UInt64(size), bp: try value(frame, "inactive_task_frame", "bp"),
          isExact: isNew))
    }
  }

  /// The stack of a vCPU that is in the kernel; empty, with a problem, for one in user mode.
  public func stack(ofVCPU id: Int) throws -> Stack {
    try memory.question {
      guard let vcpu = vcpus.first(where: { $0.id == id }) else {
        throw missing("there is no state of vCPU \(id)")
      }
      func register(_ name: String) -> UInt64 { vcpu.registers[name] ?? 0 }
      guard register("rip") >> 63 != 0 else {
        var stack = Stack()
        stack.problem = "vCPU \(id) is in user mode at \(register("rip").hex())"
        return stack
      }
      return unwind(
        UnwindState(
          ip: register("rip"), sp: register("rsp"), bp: register("rbp"), isExact: true,
          others: [
            .ax: register("rax"), .dx: register("rdx"), .di: register("rdi"),
            .r10: register("r10"), .r13: register("r13"),
          ]))
    }
  }

  private func unwind(_ start: UnwindState) -> Stack {
    var stack = Stack()
    var state = start
    let tables = unwinder ?? UnwindTables(self)
    unwinder = tables
    while true {
      stack.frames.append(
        StackFrame(
          address: state.ip,
          location: location(ofFrame: state.ip, isExact: state.isExact)))
      guard stack.frames.count < LinuxGuest.frameLimit else {
        stack.problem = "there are more than \(LinuxGuest.frameLimit) calls"
        return stack
      }
      do {
        let next: UnwindState?
        if let tables {
          next = try step(state, tables)
        } else {
          next = try stepByFramePointer(state)
        }
        guard let next else { return stack }
        // Stacks grow downwards; only what an interrupt left may lie on another one.
        guard next.sp > state.sp || next.isExact, next.ip != 0 else {
          stack.problem = next.ip == 0 ? nil : "the stack at \(state.sp.hex()) leads nowhere"
          return stack
        }
        // User mode: the kernel's stack ends here.
        guard next.ip >> 63 != 0 else { return stack }
        state = next
      } catch {
        stack.problem = "\(error)"
        return stack
      }
    }
  }

  /// The function of a frame: a return address may be that of the next function already, where the
  /// call was the last thing that a function did.
  private func location(ofFrame address: UInt64, isExact: Bool) -> Location? {
    guard !isExact, let before = location(of: address &- 1) else { return location(of: address) }
    return Location(
      symbol: before.symbol, offset: before.offset &+ 1, byteCount: before.byteCount,
      module: before.module)
  }

  private func unwindTable(for address: UInt64, _ tables: UnwindTables) -> UnwindTable? {
    guard let module = module(containing: address) else { return tables.kernel }
    guard let count = try? value(module.address, "module", "arch.num_orcs"), count < 1 << 24,
      let addresses = try? value(module.address, "module", "arch.orc_unwind_ip"),
      let entries = try? value(module.address, "module", "arch.orc_unwind")
    else { return nil }
    return UnwindTable(
      addresses: addresses, entries: entries,
      count: Int(count & 0xFFFF_FFFF))
  }

  /// The frame that called this one; nil at the end of the stack.
  /// Linux: arch/x86/kernel/unwind_orc.c, unwind_next_frame.
  private func step(
    _ state: UnwindState, _ tables: UnwindTables
  ) throws -> UnwindState? {
    let address = state.isExact ? state.ip : state.ip &- 1
    guard let table = unwindTable(for: address, tables),
      let entry = try tables.entry(address, table, memory)
    else { throw missing("no unwind entry for \(address.hex())") }
    if entry.kind == .end { return nil }
    let offset = UInt64(bitPattern: entry.spOffset)
    let sp: UInt64
    switch entry.spRegister {
    case .ax, .dx, .di, .r10, .r13:
      guard let value = state.others[entry.spRegister] else {
        throw missing("\(address.hex()): its frame is found by a register that is not known")
      }
      sp = value &+ offset
    case .bp: sp = state.bp &+ offset
    case .sp: sp = state.sp &+ offset
    case .atBP: sp = try memory.word(state.bp &+ offset)
    case .atSP: sp = try memory.word(state.sp) &+ offset
    case .undefined, .previousSP:
      throw missing("\(address.hex()): the kernel does not say where its frame is")
    }
    var next = UnwindState(ip: 0, sp: sp, bp: state.bp, isExact: false)
    switch entry.kind {
    case .call: next.ip = try memory.word(sp &- 8)
    case .registers:
      // struct pt_regs: r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax, ip cs flags sp ss.
      let words = try memory.read(sp, 21 * 8)
      func word(_ index: Int) -> UInt64 { words.load(8 * index, as: UInt64.self) }
      next.ip = word(17) & 3 == 0 ? word(16) : 0
      next.sp = word(19)
      next.bp = word(4)
      next.isExact = true
      next.others = [.ax: word(10), .dx: word(12), .di: word(14), .r10: word(7), .r13: word(2)]
      return next.ip == 0 ? nil : next
    case .interrupt:
      let words = try memory.read(sp, 5 * 8)
      next.ip = words.load(8, as: UInt64.self) & 3 == 0 ? words.load(0, as: UInt64.self) : 0
      next.sp = words.load(24, as: UInt64.self)
      next.isExact = true
      if next.ip == 0 { return nil }
    case .undefined, .end:
      throw missing("\(address.hex()): the kernel does not say how its frame ends")
    }
    switch entry.bpRegister {
    case .previousSP: next.bp = try memory.word(sp &+ UInt64(bitPattern: entry.bpOffset))
    case .bp: next.bp = try memory.word(state.bp &+ UInt64(bitPattern: entry.bpOffset))
    default: break
    }
    return next
  }

  /// Kernels without ORC keep frame pointers.
  private func stepByFramePointer(_ state: UnwindState) throws -> UnwindState? {
    guard state.bp >> 63 != 0, state.bp >= state.sp else { return nil }
    return UnwindState(
      ip: try memory.word(state.bp &+ 8), sp: state.bp &+ 16, bp: try memory.word(state.bp),
      isExact: false)
  }
}
