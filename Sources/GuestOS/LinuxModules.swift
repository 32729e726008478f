// Modules of a Linux kernel.

internal import Bytes
internal import Pages

/// A module that is loaded.
public struct LinuxModule: Sendable, Equatable {
  /// Where its struct module is.
  public let address: UInt64
  public let name: String
  /// "Live", "Loading" or "Unloading", as /proc/modules has them.
  public let state: String
  /// Bytes that it takes.
  public let byteCount: UInt64
  /// What uses it: modules by name, and how many users in all.
  public let users: [String]
  public let userCount: Int64
  /// Its code.
  public let text: Range<UInt64>
}

extension LinuxGuest {
  /// The loaded modules, the last one that was loaded first.
  public func modules() throws -> Listing<LinuxModule> {
    try memory.question {
      if let loadedModules { return loadedModules }
      let node = try field("module", "list")
      let list = memory.list(try symbol("modules"), node.offset, limit: 1 << 14)
      var out = Listing<LinuxModule>()
      out.problem = list.problem
      for address in list.items {
        do { out.items.append(try module(at: address)) } catch {
          out.problem = out.problem ?? "\(error)"
        }
      }
      loadedModules = out
      return out
    }
  }

  private func module(at address: UInt64) throws -> LinuxModule {
    let name = try field("module", "name")
    let state = try value(address, "module", "state")
    var size: UInt64 = 0
    var text: Range<UInt64> = 0..<0
    if let parts = optionalField("module", "mem") {
      // From 6.4 on: a range for each kind of memory, text first.
      let one = try self.size("module_memory")
      let start = try field("module_memory", "base")
      let count = try field("module_memory", "size")
      for index in 0..<min(16, parts.byteCount / max(1, one)) {
        let part = address &+ parts.offset &+ UInt64(index * one)
        let bytes = try memory.value(part, count)
        size = size.addingSaturated(bytes)
        if index == 0 { text = LinuxGuest.range(try memory.value(part, start), bytes) }
      }
    } else {
      let start = try value(address, "module", "core_layout.base")
      text = LinuxGuest.range(start, try value(address, "module", "core_layout.text_size"))
      size = try value(address, "module", "core_layout.size")
      if let initial = optionalField("module", "init_layout.size") {
        size = size.addingSaturated(try memory.value(address, initial))
      }
    }
    // One reference is the module's own. Linux: kernel/module/main.c, MODULE_REF_BASE.
    let references = optionalField("module", "refcnt.counter") ?? optionalField("module", "refcnt")
    let count = try references.map { (f) in try memory.signed(address, f) } ?? 1
    let states = ["Live", "Loading", "Unloading", "Unformed"]
    return LinuxModule(
      address: address, name: try memory.text(address &+ name.offset, limit: 64),
      state: states[Int(min(state, 3))], byteCount: size,
      users: users(of: address), userCount: max(0, count.addingSaturated(-1)), text: text)
  }

  static func range(_ start: UInt64, _ count: UInt64) -> Range<UInt64> {
    let (end, overflow) = start.addingReportingOverflow(count)
    return start..<(overflow ? start : end)
  }

  /// Names of the modules that use one.
  private func users(of module: UInt64) -> [String] {
    guard let head = optionalField("module", "source_list"),
      let node = optionalField("module_use", "source_list"),
      let source = optionalField("module_use", "source"),
      let name = optionalField("module", "name")
    else { return [] }
    return memory.list(module &+ head.offset, node.offset, limit: 1024).items.compactMap {
      guard let user = try? memory.value($0, source) else { return nil }
      return try? memory.text(user &+ name.offset, limit: 64)
    }
  }

  /// The module whose code an address is in.
  func module(containing address: UInt64) -> LinuxModule? {
    (try? modules())?.items.first { $0.text.contains(address) }
  }

  /// The symbols of a module. Linux: include/linux/module.h, struct mod_kallsyms.
  func symbols(of module: LinuxModule) throws -> SymbolTable {
    if let known = moduleSymbols[module.address] { return known }
    let table = try value(module.address, "module", "kallsyms")
    let entries = try value(table, "mod_kallsyms", "symtab")
    let strings = try value(table, "mod_kallsyms", "strtab")
    let count = try memory.value(table, field("mod_kallsyms", "num_symtab"))
    let kinds = try optionalField("mod_kallsyms", "typetab").map { (f) in
      try memory.value(table, f)
    }
    guard count <= 1 << 18 else {
      throw invalid("module \(module.name): expected at most \(1 << 18) symbols, got \(count)")
    }
    let size = 24
    let bytes = try memory.read(entries, Int(count) * size)
    let letters = kinds.flatMap { try? memory.read($0, Int(count)) }
    var addresses: [UInt64] = []
    var names: [UInt8] = []
    var starts: [UInt32] = []
    for index in 0..<Int(count) {
      // Elf64_Sym: name, info, other, section, value, size.
      let name = bytes.load(index * size, as: UInt32.self)
      let section = bytes.load(index * size + 6, as: UInt16.self)
      guard name != 0, section != 0, names.count < 32 << 20,
        let text = try? memory.string(strings &+ UInt64(name), limit: 512), !text.isEmpty
      else { continue }
      addresses.append(bytes.load(index * size + 8, as: UInt64.self))
      starts.append(UInt32(names.count))
      names.append(letters?[index] ?? 0x3F)
      names += text
    }
    starts.append(UInt32(names.count))
    let symbols = SymbolTable(addresses: addresses, names: names, starts: starts)
    moduleSymbols[module.address] = symbols
    return symbols
  }

  /// The types of a module, on top of the kernel's; nil where it has none.
  public func types(ofModule name: String) throws -> BTF? {
    guard let head = symbols["btf_modules"] else { return nil }
    let node = try field("btf_module", "list")
    let label = try field("btf", "name")
    for item in memory.list(head, node.offset, limit: 1 << 14).items {
      let btf = try value(item, "btf_module", "btf")
      guard try memory.text(btf &+ label.offset, limit: 64) == name else { continue }
      let count = try value(btf, "btf", "data_size")
      guard count <= 32 << 20 else {
        throw invalid("BTF of module \(name): expected at most 32 MiB, got \(count) bytes")
      }
      let bytes = try memory.read(value(btf, "btf", "data"), Int(count))
      return try BTF(bytes, base: types)
    }
    return nil
  }

  // MARK: - Names of addresses

  /// What an address is in.
  public struct Location: Sendable, Equatable {
    public let symbol: String
    public let offset: UInt64
    /// Bytes to the next symbol; nil where there is none.
    public let byteCount: UInt64?
    /// The module that it is of; nil for the kernel itself.
    public let module: String?

    public var description: String {
      var text = symbol
      if offset > 0 || byteCount != nil { text += "+\(offset.hex())" }
      if let byteCount { text += "/\(byteCount.hex())" }
      if let module { text += " [\(module)]" }
      return text
    }
  }

  /// The symbol that `address` is in; nil outside of all code and data that has symbols.
  public func location(of address: UInt64) -> Location? {
    if let module = module(containing: address) {
      guard let symbols = try? symbols(of: module) else { return nil }
      guard let found = symbols.symbol(at: address),
        module.text.contains(symbols.address(found.index))
      else { return nil }
      let end = min(found.end ?? module.text.upperBound, module.text.upperBound)
      let start = symbols.address(found.index)
      return Location(
        symbol: symbols.name(found.index), offset: address - start, byteCount: end - start,
        module: module.name)
    }
    guard address >= 0xFFFF_FFFF_8000_0000, let found = symbols.symbol(at: address),
      let last = symbols["_end"] ?? symbols.lastAddress, address <= last
    else { return nil }
    let start = symbols.address(found.index)
    guard start >= 0xFFFF_FFFF_8000_0000 else { return nil }
    return Location(
      symbol: symbols.name(found.index), offset: address - start,
      byteCount: found.end.map { $0 - start }, module: nil)
  }
}
