// Targets over what a guest's kernel says of itself: its structures, its types, and expressions; and
// declared types.

import Bytes
import SystemIO
import GuestOS
import Pages
import TestKit

let guestTargets: [FuzzTarget] = [
  FuzzTarget("guest", limit: 512, seeds: { GuestSeeds.changes }, guest),
  FuzzTarget(
    "btf", limit: 16384,
    seeds: { [SyntheticTypes(.new).btf(), SyntheticTypes(.old).btf()] }, btf),
  FuzzTarget(
    "kernel-expression", limit: 256,
    seeds: {
      [
        "init_task.comm", "((struct list_head *)0xffff888001000000)->next[3]",
        "per_cpu(runqueues, 0).curr->pid + 1", "sizeof(struct mm_struct)", "*&init_task.tasks",
        "container_of(modules, struct module, list).name[2]",
      ].map { Array($0.utf8) }
    }, expression),
  FuzzTarget(
    "declaration", limit: 2048,
    seeds: {
      [
        "u32 magic; u64 next; char name[16]",
        "struct a { u8 x; struct a *next[2][3]; }; union { be16 p; struct a q; }; u32 r : 3, s : 9;",
        "enum e : u8 { A, B = -2 }; enum e x; unsigned long long y; double z; u8 rest[];",
      ].map { Array($0.utf8) }
    }, declaration),
]

/// Pages that are only in memory.
private final class GuestPages: PageSource {
  let path = "guest"
  var pages: [UInt64: [UInt8]]
  init(_ pages: [UInt64: [UInt8]]) { self.pages = pages }

  func contents(of pfn: UInt64) throws -> [UInt8] {
    guard let page = pages[pfn] else { throw XensaveError(.notFound, "there is no page \(pfn)") }
    return page
  }
}

private enum GuestSeeds {
  /// Kernels of several releases.
  static let kernels: [(guest: SyntheticLinux, frames: [UInt64])] = {
    var placeRelative = SyntheticLinux.Options()
    placeRelative.order = .placeRelative
    placeRelative.hasAbsolutePerCPU = false
    return [SyntheticLinux.Options(), .old, placeRelative].map { options in
      let guest = SyntheticLinux(options)
      return (guest, guest.memory.pages.keys.sorted())
    }
  }()

  /// A kernel is opened anew for each input, which costs as much as many answers: a part of the questions
  /// at a time.
  static let questions: [@Sendable (LinuxGuest) throws -> Void] = [
    { linux in
      _ = try? linux.clock()
      _ = try? linux.log()
      _ = try? linux.modules()
      _ = try? linux.memoryUse()
      _ = try? linux.hung(seconds: 0)
    },
    { linux in
      _ = try? linux.mounts()
      _ = try? linux.netDevices()
      _ = try? linux.blockDevices()
      _ = try? linux.sockets()
    },
    { linux in
      _ = try? linux.stack(ofVCPU: 0)
      for task in (try? linux.threads())?.items.prefix(16) ?? [] {
        _ = try? linux.arguments(of: task)
        _ = try? linux.executable(of: task)
        _ = try? linux.maps(of: task)
        if let type = try? linux.type("struct mm_struct"),
          let tree = try? linux.member(TypedValue(.memory(task.mm), type), "mm_mt")
        {
          _ = try? linux.mapleTree(tree)
        }
      }
    },
    { linux in
      for task in (try? linux.threads())?.items.prefix(16) ?? [] {
        if let stack = try? linux.stack(of: task) {
          try demand(stack.frames.count <= 256, "a stack of \(stack.frames.count) calls")
        }
      }
      if let value = try? linux.variable("init_task") {
        try demand(
          linux.text(of: value, depth: 3).utf8.count < 1 << 22, "a value as long as a book")
      }
    },
  ]

  /// For each kernel and part of the questions one change that does nothing, and some that link lists to
  /// themselves.
  static let changes: [[UInt8]] = (0..<kernels.count * questions.count).flatMap {
    kind -> [[UInt8]] in
    let (guest, frames) = kernels[kind % kernels.count]
    func change(_ place: String, _ offset: UInt64, _ value: UInt64) -> [UInt8] {
      guard let address = guest.places[place] else { preconditionFailure("no \(place)") }
      let physical = guest.memory.physical(address + offset)
      let frame = frames.firstIndex(of: physical >> 12) ?? 0
      return [UInt8(frame & 0xFF), UInt8(frame >> 8)]
        + [UInt8(truncatingIfNeeded: physical), UInt8(physical >> 8 & 0xF)]
        + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    let node = guest.layout.offset("task_struct", "tasks")
    let task = guest.places["task 10"] ?? 0
    return [
      [UInt8(kind)] + change("init_task", 0, 0),
      [UInt8(kind)] + change("task 14", node, task + node),
      [UInt8(kind)] + change("task 10", guest.layout.offset("task_struct", "real_parent"), task)
        + change("mm", guest.layout.offset("mm_struct", "arg_end"), .max),
      [UInt8(kind)] + change("fdtable", 0, .max),
    ]
  }
}

/// A kernel with words of its memory changed: which kernel, and which questions it is asked; then which
/// page, where, and to what.
private func guest(_ input: [UInt8]) throws {
  guard let first = input.first else { return }
  let (kernel, frames) = GuestSeeds.kernels[Int(first) % GuestSeeds.kernels.count]
  let source = GuestPages(kernel.memory.pages)
  var place = 1
  while place + 12 <= input.count {
    let frame = frames[(Int(input[place]) | Int(input[place + 1]) << 8) % frames.count]
    let offset = (Int(input[place + 2]) | Int(input[place + 3]) << 8) & 0xFFF
    for byte in 0..<min(8, 4096 - offset) {
      source.pages[frame]?[offset + byte] = input[place + 4 + byte]
    }
    place += 12
  }
  var context = [UInt8](repeating: 0, count: 1032)
  context.put(656, 0x8000_0001)
  context.put(672, kernel.root)
  context.put(680, 0x20)
  context.put(992, 0x500)
  guard let vcpu = VCPU(hvm: context, instance: 0) else { return }
  _ = KernelGlance(PagedMemory(source), [vcpu])
  guard let linux = try? LinuxGuest(PagedMemory(source), [vcpu]) else { return }
  try demand(linux.symbols.count > 0, "a kernel without symbols was opened")
  try GuestSeeds.questions[Int(first) / GuestSeeds.kernels.count % GuestSeeds.questions.count](
    linux)
}

/// Types: whatever is read answers all questions.
private func btf(_ input: [UInt8]) throws {
  guard let btf = try? BTF(input) else { return }
  for id in 0...min(btf.endID, 512) {
    _ = btf.size(id)
    _ = btf.description(id)
    _ = btf.members(id).count
    _ = btf.enumerators(id)
    _ = btf.target(id)
    _ = btf.isSigned(id)
    _ = btf.field(id, "comm")
  }
  for name in ["struct task_struct", "u32", "enum zone_stat_item"] {
    if let id = btf.type(name) {
      try demand(id > 0 && id < btf.endID, "\(name) is type \(id) of \(btf.endID)")
    }
  }
}

nonisolated(unsafe) private let expressionGuest: LinuxGuest? = {
  let kernel = GuestSeeds.kernels[0].guest
  var context = [UInt8](repeating: 0, count: 1032)
  context.put(656, 0x8000_0001)
  context.put(672, kernel.root)
  context.put(680, 0x20)
  context.put(992, 0x500)
  return VCPU(hvm: context, instance: 0).flatMap {
    try? LinuxGuest(PagedMemory(GuestPages(kernel.memory.pages)), [$0])
  }
}()

private func expression(_ input: [UInt8]) throws {
  guard let linux = expressionGuest else { throw Violation("the guest cannot be opened") }
  guard let value = try? linux.evaluate(input.text) else { return }
  let text = linux.text(of: value)
  try demand(!text.isEmpty && text.utf8.count < 1 << 22, "a value of \(text.utf8.count) bytes")
  // What has an address is found there again.
  if let pointer = try? linux.pointer(to: value), let again = try? linux.dereference(pointer) {
    try demand(again.address == value.address, "\(input.text): another address")
  }
}

/// Any text is a type with a size, or an error; and any bytes are a value of it.
private func declaration(_ input: [UInt8]) throws {
  var options = DeclarationOptions()
  options.isPacked = input.count % 2 == 1
  options.order = input.count % 3 == 1 ? .big : .little
  options.pointerByteCount = input.count % 5 == 1 ? 4 : 8
  guard let type = try? DeclaredType(input.text, options) else { return }
  try demand(type.byteCount <= 1 << 28, "a type of \(type.byteCount) bytes")
  try demand(!type.layout.isEmpty, "a type without a layout")
  let bytes = PagedMemory(ByteMemory(input, path: "bytes"))
  let memory = DeclaredMemory(type.types, KernelMemory(bytes, .physical))
  let text = memory.text(of: TypedValue(.memory(0), type.type), depth: 3)
  try demand(text.utf8.count < 1 << 22, "a value of \(text.utf8.count) bytes")
}
