// Guests whose memory lies.

import SystemIO
import Pages
import TestKit
import Testing

@testable import GuestOS

@Suite struct HostileTests {
  /// Asks for everything; whatever is thrown is an answer.
  static func askAll(_ linux: LinuxGuest) {
    _ = try? linux.clock()
    _ = try? linux.log()
    _ = try? linux.modules()
    _ = try? linux.mounts()
    _ = try? linux.netDevices()
    _ = try? linux.blockDevices()
    _ = try? linux.memoryUse()
    _ = try? linux.hung(seconds: 0)
    _ = try? linux.sockets()
    for cpu in linux.cpus.prefix(4) { _ = try? linux.stack(ofVCPU: cpu) }
    for task in (try? linux.threads())?.items.prefix(40) ?? [] {
      _ = try? linux.arguments(of: task)
      _ = try? linux.executable(of: task)
      _ = try? linux.files(of: task)
      _ = try? linux.maps(of: task)
      _ = try? linux.stack(of: task)
    }
  }

  @Test func listsThatDoNotEnd() throws {
    var guest = SyntheticLinux()
    let node = guest.layout.offset("task_struct", "tasks")
    let last = try #require(guest.places["task 14"])
    let middle = try #require(guest.places["task 10"])
    // The last task leads back to one in the middle: the head is never reached.
    guest.put(last + node, word(middle + node))
    var tasks = try open(guest).tasks()
    #expect(tasks.items.map(\.pid) == [0, 1, 2, 10, 12, 13, 14])
    #expect(tasks.problem?.contains("leads back") == true)
    // One that points nowhere.
    guest.put(middle + node, word(0x1234_5678))
    tasks = try open(guest).tasks()
    #expect(tasks.items.map(\.pid) == [0, 1, 2, 10] && tasks.items.count < 6)
    #expect(tasks.problem?.contains("0x12345678") == true)
    // A task that is its own parent, in a group that is its own.
    HostileTests.askAll(try open(guest))
  }

  @Test func pathsThatDoNotEnd() throws {
    var guest = SyntheticLinux()
    let file = try #require(guest.places["file sh"])
    let entry = guest.value(file + guest.layout.offset("file", "f_path.dentry"))
    let bin = guest.value(entry + guest.layout.offset("dentry", "d_parent"))
    guest.put(bin + guest.layout.offset("dentry", "d_parent"), word(entry))
    let linux = try open(guest)
    let error = #expect(throws: XensaveError.self) { try linux.executable(of: linux.task(10)) }
    #expect(error?.description.contains("has no end") == true)
    HostileTests.askAll(linux)
  }

  @Test func treesThatDoNotEnd() throws {
    var guest = SyntheticLinux()
    let node = try #require(guest.places["maple node"])
    // Each slot leads back to the node itself.
    for index in 0..<10 as Range<UInt64> {
      guest.put(node + 80 + 8 * index, word(node | 3 << 3 | 4))
      if index < 9 { guest.put(node + 8 + 8 * index, word(0x1_0000 * (index + 1))) }
    }
    let top = try #require(guest.places["mount /"])
    let inner = try #require(guest.places["mount /var"])
    let place = guest.layout.offset("mount", "mnt_node")
    guest.put(top + place + 16, word(inner + place))
    let linux = try open(guest)
    let maps = try linux.maps(of: linux.task(10))
    #expect(maps.problem?.contains("has no end") == true)
    #expect(try linux.mounts().problem?.contains("has no end") == true)
  }

  /// Iteration over what leads back to itself ends, and says why.
  @Test func arraysAndTreesThatDoNotEnd() throws {
    var guest = SyntheticLinux()
    let node = try #require(guest.places["xa_node"])
    let slots = guest.layout.offset("xa_node", "slots")
    guest.put(node + slots + 24, word(node + 2))
    let item = guest.layout.offset("item", "links") + 16
    let (first, second) = (
      try #require(guest.places["item 0"]), try #require(guest.places["item 1"])
    )
    guest.put(second + item, word(first + item))
    guest.put(second + guest.layout.offset("item", "node.rb_right"), word(0x1234_5678))
    let linux = try open(guest)
    func value(_ name: String) throws -> TypedValue {
      TypedValue(.memory(try #require(guest.places[name])), try linux.type("struct \(name)"))
    }
    let array = try linux.indexedArray(value("idr"))
    #expect(array.items.count == 4 && array.problem?.contains("leads back") == true)
    let type = try linux.type("struct item")
    let list = try linux.hashList(value("hlist_head"), type, "links[1]")
    #expect(list.items.count == 3 && list.problem?.contains("has no end") == true)
    let tree = try linux.redBlackTree(value("rb_root_cached"), type, "node")
    #expect(tree.items.count == 2 && tree.problem?.contains("ends early") == true)
  }

  /// A list of devices without an end, and one whose devices are nowhere.
  @Test func blockDevicesThatLie() throws {
    var guest = SyntheticLinux()
    let node = guest.layout.offset("device_private", "knode_class.n_node")
    let (first, last) = (
      try #require(guest.places["device_private xvda"]),
      try #require(guest.places["device_private gone"])
    )
    guest.put(last + node, word(first + node))
    var devices = try open(guest).blockDevices()
    #expect(devices.items.count == 3 && devices.problem?.contains("leads back") == true)
    guest.put(first + guest.layout.offset("device_private", "device"), word(0x1234))
    let block = try #require(guest.places["block xvdb"])
    guest.put(block + guest.layout.offset("block_device", "bd_nr_sectors"), word(.max))
    devices = try open(guest).blockDevices()
    #expect(devices.items.map(\.name) == ["xvda1", "xvdb"] && devices.problem != nil)
    #expect(devices.items[1].byteCount == .max)
    HostileTests.askAll(try open(guest))
  }

  @Test func logsThatLie() throws {
    for (member, value) in [
      ("desc_ring.count_bits", UInt64(63)), ("desc_ring.count_bits", 255),
      ("text_data_ring.size_bits", 0), ("text_data_ring.size_bits", 64),
    ] {
      var guest = SyntheticLinux()
      guest.set(try #require(guest.places["ring"]), "printk_ringbuffer", member, value, width: 4)
      let linux = try open(guest)
      #expect(throws: XensaveError.self) { try linux.log() }
    }
    // Positions that lie outside of the ring: the line is left out, the others are there.
    var guest = SyntheticLinux()
    let descs = try #require(guest.places["prb_descs"])
    for slot in 0..<8 as Range<UInt64> where slot != 0x1D & 7 {
      guest.put(descs + 24 * slot + 16, word(.max - 1))
    }
    let log = try open(guest).log()
    #expect(log.items.first?.text == SyntheticLinux.log.first?.text)
    #expect(log.items.count < SyntheticLinux.log.count || log.problem != nil)
  }

  @Test func stacksThatLoop() throws {
    var guest = SyntheticLinux()
    let task = try #require(guest.places["task 10"])
    let frame = guest.value(task + guest.layout.offset("task_struct", "thread.sp"))
    // The caller of do_wait is do_wait, for ever: the stack grows, so it ends at the limit of what
    // is mapped.
    let size = UInt64(guest.layout.size("inactive_task_frame"))
    let wait = try #require(guest.places["do_wait"])
    guest.put(frame + size + 24 + 8 + 40, word(wait + 0x11))
    let stack = try open(guest).stack(of: open(guest).task(10))
    #expect(stack.frames.count >= 3 && stack.frames.count <= LinuxGuest.frameLimit)
  }

  /// No kernel: one line says so.
  @Test func noKernel() throws {
    let guest = SyntheticLinux()
    let pages = PageTable(guest.memory.pages)
    let none = #expect(throws: XensaveError.self) {
      try LinuxGuest(PagedMemory(pages), [vcpu(root: 0x10_0000)])
    }
    #expect(none?.description.contains("no kernel was found") == true)
    let legacy = #expect(throws: XensaveError.self) { try LinuxGuest(PagedMemory(pages), []) }
    #expect(legacy?.description.contains("no vCPU is in 64-bit mode") == true)
    // The tables are there, the symbols are not.
    let index = try #require(guest.places["kallsyms_token_index"])
    pages.pages[guest.memory.physical(index) >> 12] = nil
    let lacking = #expect(throws: XensaveError.self) {
      try LinuxGuest(PagedMemory(pages), [vcpu(root: guest.root)])
    }
    #expect(lacking?.description.contains("no Linux kernel was found") == true)
  }

  /// Memory that is damaged anywhere: every question has an answer or an error, in bounded time.
  @Test func damage() throws {
    let guest = SyntheticLinux()
    let frames = guest.memory.pages.keys.sorted()
    var seed: UInt64 = 42
    for _ in 0..<60 {
      let table = PageTable(guest.memory.pages)
      for _ in 0..<24 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let frame = frames[Int(seed >> 40) % frames.count]
        let offset = Int(seed >> 20) & 0xFF8
        for byte in 0..<8 where seed >> 12 & 1 == 0 || byte < 4 {
          table.pages[frame]?[offset + byte] = UInt8(truncatingIfNeeded: seed >> UInt64(byte * 7))
        }
      }
      guard let linux = try? LinuxGuest(PagedMemory(table), [vcpu(root: guest.root)]) else {
        continue
      }
      HostileTests.askAll(linux)
    }
  }

  private func word(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
  }
}
