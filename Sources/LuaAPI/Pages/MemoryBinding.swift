// The guest's memory by physical and virtual addresses.

internal import Bytes
internal import LuaRuntime
internal import Pages
internal import Reports

extension LuaFrame {
  /// Pushes a view of what `read` gives for the address and the count that are the arguments of a
  /// method; nil and an error where the memory is not there.
  fileprivate func pushMemory(_ read: (UInt64, Int) throws -> [UInt8]) throws -> Int32 {
    let address = UInt64(bitPattern: try integer(2))
    let count = try integer(3, in: 1...Int64(GuestMemory.readLimit))
    let bytes: [UInt8]
    do { bytes = try read(address, count) } catch { return try fail(error) }
    push(viewOfCopy: bytes, address: address, reason: LuaImage.readOnly)
    return 1
  }

  /// Pushes a function that gives one of `items` after the other, as a loop of Lua calls it. `push`
  /// pushes what is given for an item, with its position from 0, and says how many values that are.
  func pushIterator<Item>(
    _ name: String, _ items: [Item], _ push: @escaping (Item, Int, LuaFrame) throws -> Int32
  ) {
    var next = 0
    self.push(function: name) { frame in
      guard next < items.count else {
        frame.pushNil()
        return 1
      }
      next += 1
      return try push(items[next - 1], next - 1, frame)
    }
  }
}

extension LuaImage {
  static var memoryMethods: [LuaMember<LuaImage>] {
    [
      .method(
        "physical", "(address: integer, count: integer): View?, Error?",
        "Bytes of the guest's memory by their physical address, at most 64 MiB. Nil and an error "
          + "where the image does not have them.",
        example: "print(img:physical(0x1000, 64):hexdump())"
      ) { image, frame in
        try frame.pushMemory { try image.memory().physical($0, $1) }
      }
    ]
  }
}

extension LuaVCPU {
  static var memoryMethods: [LuaMember<LuaVCPU>] {
    [
      .method(
        "virtual", "(address: integer, count: integer): View?, Error?",
        "Bytes of memory by the address that the vCPU uses: its page tables are walked (4-level, "
          + "5-level, PAE and 32-bit, with large pages). Nil and an error where nothing is mapped.",
        example: "print(img.vcpu[0]:virtual(img.vcpu[0].rip, 16):hexdump())"
      ) { vcpu, frame in
        try frame.pushMemory { try vcpu.memory().virtual(vcpu.id, $0, $1) }
      },
      .method(
        "translate", "(address: integer): table?, Error?",
        "Where a virtual address is: physical, page_size (bytes of the page that maps it), writable "
          + "and user. Nil and an error where nothing is mapped.",
        example: "print(xs.hex(img.vcpu[0]:translate(img.vcpu[0].rip).physical))"
      ) { vcpu, frame in
        let address = UInt64(bitPattern: try frame.integer(2))
        let found: GuestMemory.Translation
        do {
          let memory = try vcpu.memory()
          found = try memory.translate(memory.vcpu(vcpu.id), address)
        } catch { return try frame.fail(error) }
        frame.push(
          LuaValue.table([
            ("physical", .unsigned(found.physical)), ("page_size", .unsigned(found.pageByteCount)),
            ("writable", .boolean(found.isWritable)), ("user", .boolean(found.isUser)),
          ]))
        return 1
      },
      .method(
        "mappings", "(limit?: integer): fun(): table?",
        "Iterates over what the vCPU's page tables map, ascending: address, physical and count of "
          + "bytes; at most limit (65,536) of them.",
        example: "for m in img.vcpu[0]:mappings() do print(xs.hex(m.address), m.count) end"
      ) { vcpu, frame in
        let limit = frame.isMissing(2) ? 65536 : try frame.integer(2, in: 1...(1 << 20))
        let memory = try vcpu.memory()
        let all = memory.mappings(try memory.vcpu(vcpu.id), limit: limit).mappings
        frame.pushIterator("mappings", all) { mapping, _, frame in
          frame.push(
            LuaValue.table([
              ("address", .unsigned(mapping.virtual)), ("physical", .unsigned(mapping.physical)),
              ("count", .unsigned(mapping.byteCount)),
            ]))
          return 1
        }
        return 1
      },
      .method(
        "search", "(text: string, options?: table): table",
        "Where bytes stand in what the vCPU's page tables map: as img:search, with virtual addresses. "
          + "Options: encoding, limit, first and last (addresses between which to look). Its field "
          + "complete is false where the page tables map too much to look at all of it.",
        example: "print(#img.vcpu[0]:search(\"root:\"))"
      ) { vcpu, frame in
        let options = try SearchOptions(frame, 3, isVirtual: true)
        let pattern = try options.pattern(try frame.bytes(2))
        let memory = try vcpu.memory()
        let (found, isComplete) = try memory.search(
          memory.vcpu(vcpu.id), pattern, limit: options.limit, in: options.range)
        frame.push(found)
        frame.push(isComplete)
        frame.setField("complete")
        return 1
      },
    ]
  }
}
