// A Linux guest, by what its kernel carries about itself: symbols, types and unwind tables.

internal import SystemIO
internal import Bytes
public import Pages

/// A Linux guest in a saved image, or in the memory of a paused domain.
///
/// Needs no file from outside: kallsyms names the kernel's variables, BTF its types. Kernels without
/// BTF tell only what VMCOREINFO describes: their release and their log.
public final class LinuxGuest {
  public let memory: KernelMemory
  public let symbols: SymbolTable
  public let vcpus: [VCPU]
  /// The kernel's own line: "Linux version 6.1.0-18-amd64 (...) #1 SMP ...".
  public let banner: String

  private var fields: [String: Field?] = [:]
  private var loadedTypes: Result<BTF, any Error>?
  private var loadedInfo: VMCoreInfo??
  var loadedModules: Listing<LinuxModule>?
  var moduleSymbols: [UInt64: SymbolTable] = [:]
  var unwinder: UnwindTables?
  /// Most CPUs that are looked at. Linux: CONFIG_NR_CPUS is at most 8192.
  static let cpuLimit = 8192

  /// Finds the kernel of a saved guest.
  public convenience init(_ guest: GuestMemory) throws {
    try self.init(guest.paged, guest.vcpus) { try guest.kernelNote() }
  }

  /// Finds the kernel. `note` gives the text of VMCOREINFO for kernels whose symbols are not where they
  /// are expected: it may take a search of all memory.
  public init(
    _ paged: PagedMemory, _ vcpus: [VCPU], note: () throws -> [UInt8]? = { nil }
  ) throws {
    let found = try KernelFinder(paged: paged, vcpus: vcpus).find(note)
    memory = found.memory
    symbols = found.symbols
    self.vcpus = vcpus
    banner =
      symbols["linux_banner"].flatMap { try? found.memory.text($0, limit: 512) }?
      .split(separator: "\n").first.map(String.init) ?? ""
    useKernelTables()
  }

  /// Takes the kernel's own page tables in place of a vCPU's: all that it maps is in them.
  private func useKernelTables() {
    guard let known = symbols["linux_banner"],
      let there = try? memory.paged.translate(memory.space, known),
      let table = symbols["init_top_pgt"] ?? symbols["init_level4_pgt"],
      let root = try? memory.paged.translate(memory.space, table).physical
    else { return }
    let space = AddressSpace(name: "the kernel", mode: memory.space.mode, cr3: root)
    guard let here = try? memory.paged.translate(space, known), here.physical == there.physical
    else { return }
    memory.space = space
    memory.forgetPages()
  }

  public var path: String { memory.path }

  /// The kernel's release as uname(1) says it: "6.1.0-18-amd64".
  public var release: String {
    let words = banner.split(separator: " ")
    if words.count > 2, words[0] == "Linux", words[1] == "version" { return String(words[2]) }
    return coreInfo?.release ?? ""
  }

  func invalid(_ problem: String) -> XensaveError { XensaveError(.invalid, "\(path): \(problem)") }
  func missing(_ problem: String) -> XensaveError { XensaveError(.notFound, "\(path): \(problem)") }

  // MARK: - Symbols and types

  /// The run-time address of a symbol of the kernel.
  public func symbol(_ name: String) throws -> UInt64 {
    guard let address = symbols[name] else { throw missing("the kernel has no symbol \(name)") }
    return address
  }

  /// VMCOREINFO, where the kernel has one.
  public var coreInfo: VMCoreInfo? {
    if let known = loadedInfo { return known }
    var info: VMCoreInfo?
    if let pointer = symbols["vmcoreinfo_data"], let address = try? memory.word(pointer),
      let text = try? memory.read(address, VMCoreInfo.byteLimit)
    {
      info = VMCoreInfo(text)
    }
    loadedInfo = .some(info)
    return info
  }

  /// The kernel's types. Throws for kernels without CONFIG_DEBUG_INFO_BTF.
  public var types: BTF {
    get throws {
      if loadedTypes == nil { loadedTypes = Result { try loadTypes() } }
      guard let loadedTypes else { throw missing("no types") }
      return try loadedTypes.get()
    }
  }

  private func loadTypes() throws -> BTF {
    guard let start = symbols["__start_BTF"], let stop = symbols["__stop_BTF"] else {
      throw missing(
        "the kernel carries no descriptions of its types (Linux \(release) without BTF): only its "
          + "symbols and its log can be told")
    }
    guard stop > start, stop - start <= 32 << 20 else {
      throw invalid("BTF: expected at most 32 MiB, got \((stop &- start).hex()) bytes")
    }
    do { return try BTF(try memory.read(start, Int(stop - start))) } catch {
      throw XensaveError(error).prefixed(path)
    }
  }

  /// Whether the kernel describes its types.
  public var hasTypes: Bool { (try? types) != nil }

  /// A member of a structure, by a path of names ("f_path.dentry"); nil where this kernel has none.
  /// Kernels without BTF know what VMCOREINFO says; then the member is `width` bytes.
  func optionalField(_ type: String, _ path: String, width: Int = 8) -> Field? {
    let key = "\(type).\(path)"
    if let known = fields[key] { return known }
    var found: Field?
    if let types = try? types {
      found = types.type("struct \(type)").flatMap { types.field($0, path) }
    } else if let offset = coreInfo?.offset(key) {
      found = Field(offset: offset, byteCount: width)
    }
    fields[key] = .some(found)
    return found
  }

  /// The same; throws where there is no such member.
  public func field(
    _ type: String, _ path: String, width: Int = 8
  ) throws -> Field {
    if let field = optionalField(type, path, width: width) { return field }
    _ = try types
    throw missing("Linux \(release): struct \(type) has no member \(path)")
  }

  /// The first of these members that this kernel has.
  func firstField(_ type: String, _ paths: String...) throws -> Field {
    for path in paths { if let field = optionalField(type, path) { return field } }
    return try field(type, paths[0])
  }

  /// Bytes of a structure.
  public func size(_ type: String) throws -> Int {
    if let types = try? types {
      if let size = types.type("struct \(type)").flatMap({ types.size($0) }) { return size }
    } else if let size = coreInfo?.size(type) {
      return size
    }
    throw missing("Linux \(release): there is no struct \(type)")
  }

  /// The value of a member by its structure's and its own name.
  func value(_ address: UInt64, _ type: String, _ path: String) throws -> UInt64 {
    try memory.value(address, field(type, path))
  }

  // MARK: - CPUs

  /// Numbers of the CPUs that are online.
  public var cpus: [Int] {
    let count = cpuCount
    guard let mask = symbols["__cpu_online_mask"],
      let bits = try? memory.read(mask, (count + 63) / 64 * 8)
    else { return Array(0..<count) }
    return (0..<count).filter { bits[$0 / 8] >> UInt8($0 % 8) & 1 != 0 }
  }

  /// CPUs that there may be.
  private var cpuCount: Int {
    guard let place = symbols["nr_cpu_ids"], let count = try? memory.load(place, as: UInt32.self),
      count > 0
    else { return max(1, vcpus.count) }
    return min(Int(count), LinuxGuest.cpuLimit)
  }

  /// Where a CPU's copy of a per-CPU variable is.
  public func perCPU(_ variable: UInt64, _ cpu: Int) throws -> UInt64 {
    guard cpu >= 0, cpu < LinuxGuest.cpuLimit else {
      throw XensaveError(.usage, "expected a CPU below \(LinuxGuest.cpuLimit), got \(cpu)")
    }
    return try memory.word(symbol("__per_cpu_offset") + 8 * UInt64(cpu)) &+ variable
  }

  // MARK: - Time

  /// What the kernel's clock says.
  public struct Clock: Sendable, Equatable {
    /// Seconds since 1970.
    public let wall: Int64
    /// Nanoseconds since the start, without and with the time that it was suspended.
    public let monotonic: UInt64
    public let sinceBoot: UInt64
  }

  public func clock() throws -> Clock {
    // Before 6.13 an anonymous structure: a sequence count of 4 bytes, then the timekeeper. From 6.17
    // on there is a whole array of them.
    let name = symbols["timekeeper_data"] != nil ? "timekeeper_data" : "tk_core"
    let core = try symbol(name)
    let keeper = core &+ (optionalField("tk_data", "timekeeper")?.offset ?? 8)
    let seconds = try value(keeper, "timekeeper", "xtime_sec")
    let shift = try value(keeper, "timekeeper", "tkr_mono.shift")
    let parts = try value(keeper, "timekeeper", "tkr_mono.xtime_nsec")
    let toMono = try memory.signed(keeper, field("timekeeper", "wall_to_monotonic.tv_sec"))
    let toMonoNano = try memory.signed(keeper, field("timekeeper", "wall_to_monotonic.tv_nsec"))
    let offset = try memory.signed(keeper, field("timekeeper", "offs_boot"))
    let nanoseconds = Int64(clamping: shift < 64 ? parts >> shift : 0)
    let sum = Int64(clamping: seconds).addingSaturated(toMono)
    guard sum >= 0, sum < 1 << 32, nanoseconds < 1 << 40, toMonoNano.magnitude < 1 << 40,
      offset >= 0
    else { throw invalid("the kernel's clock makes no sense") }
    let monotonic = UInt64(max(0, sum * 1_000_000_000 + nanoseconds + toMonoNano))
    return Clock(
      wall: Int64(clamping: seconds), monotonic: monotonic,
      sinceBoot: monotonic.addingSaturated(UInt64(offset)))
  }
}

extension BTF {
  /// A member by a path of names ("f_path.dentry", "pid_links[0]"), as a place to read from.
  public func field(_ type: ID, _ path: String) -> Field? {
    var type = type
    var field = Field(offset: 0, byteCount: 0)
    for step in path.split(separator: ".") {
      let words = step.split(separator: "[", omittingEmptySubsequences: false)
      guard field.bitCount == 0, let name = words.first, let member = member(type, String(name))
      else { return nil }
      field.offset = field.offset.addingSaturated(member.bitOffset / 8)
      type = member.type
      if member.bitCount > 0 {
        field.bitShift = member.bitOffset % 8
        field.bitCount = member.bitCount
        guard words.count == 1, field.bitShift + field.bitCount <= 64 else { return nil }
      } else if member.bitOffset % 8 != 0 {
        return nil
      }
      for word in words.dropFirst() {
        guard word.hasSuffix("]"), let index = UInt64(word.dropLast()),
          let count = elementCount(type), index < UInt64(count), let element = target(type),
          let size = size(element)
        else { return nil }
        field.offset = field.offset.addingSaturated(index.multipliedSaturated(by: UInt64(size)))
        type = element
      }
    }
    field.byteCount = size(type) ?? 0
    return field
  }
}
