// The registers of a vCPU, from whichever record carries them.

public import Bytes
internal import Format
internal import Stream

/// How a vCPU turns virtual addresses into physical ones.
public enum PagingMode: String, Sendable, Equatable {
  /// Virtual addresses are physical ones.
  case none
  /// Two levels of 32-bit entries.
  case legacy = "32-bit"
  /// Three levels of 64-bit entries.
  case pae = "PAE"
  case fourLevel = "4-level"
  case fiveLevel = "5-level"
}

/// The state of a vCPU that reading its memory, and a debugger, need.
public struct VCPU: Sendable, Equatable {
  public let id: Int
  /// General registers and flags by their 64-bit names ("rax" ... "r15", "rip", "rflags").
  public internal(set) var registers: [String: UInt64] = [:]
  /// Selectors and bases of the segments ("cs", "fs_base", ...).
  public internal(set) var segments: [String: UInt64] = [:]
  public internal(set) var cr0: UInt64 = 0
  public internal(set) var cr2: UInt64 = 0
  /// The physical address of the top page table; of a PV guest made from a pfn.
  public internal(set) var cr3: UInt64 = 0
  public internal(set) var cr4: UInt64 = 0
  public internal(set) var efer: UInt64 = 0
  public internal(set) var mode = PagingMode.none
  /// Whether its general registers are of 32 bits.
  public internal(set) var is32Bit = false

  static let generalNames = [
    "rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip", "rflags",
  ]

  // MARK: - PV

  /// Places in struct cpu_user_regs of a 64-bit guest, at 520 of its context.
  static let places64: [(String, Int)] = [
    ("r15", 0), ("r14", 8), ("r13", 16), ("r12", 24), ("rbp", 32), ("rbx", 40), ("r11", 48),
    ("r10", 56), ("r9", 64), ("r8", 72), ("rax", 80), ("rcx", 88), ("rdx", 96), ("rsi", 104),
    ("rdi", 112), ("rip", 128), ("rflags", 144), ("rsp", 152),
  ]
  static let segments64: [(String, Int)] = [
    ("cs", 136), ("ss", 160), ("es", 168), ("ds", 176), ("fs", 184), ("gs", 192),
  ]
  /// The same of a 32-bit guest, at 516.
  private static let places32: [(String, Int)] = [
    ("rbx", 0), ("rcx", 4), ("rdx", 8), ("rsi", 12), ("rdi", 16), ("rbp", 20), ("rax", 24),
    ("rip", 32), ("rflags", 40), ("rsp", 44),
  ]
  private static let segments32: [(String, Int)] = [
    ("cs", 36), ("ss", 48), ("es", 52), ("ds", 56), ("fs", 60), ("gs", 64),
  ]

  /// A vCPU of X86_PV_VCPU_BASIC's body; nil where its context has no known length.
  /// Frames in it are pfns. Xen: tools/libs/guest/xg_sr_save_x86_pv.c, write_one_vcpu_basic.
  public init?(pvBasic body: [UInt8], _ order: ByteOrder) {
    guard body.count >= 8 else { return nil }
    id = Int(body.load(0, as: UInt32.self, order))
    switch body.count - 8 {
    case 5168:
      for (name, place) in VCPU.places64 {
        registers[name] = body.load(8 + 520 + place, as: UInt64.self)
      }
      for (name, place) in VCPU.segments64 {
        segments[name] = UInt64(body.load(8 + 520 + place, as: UInt16.self))
      }
      for (index, path) in [\VCPU.cr0, \VCPU.cr2, \VCPU.cr3, \VCPU.cr4].enumerated() {
        let slot = [0, 2, 3, 4][index]
        self[keyPath: path] = body.load(8 + 4984 + 8 * slot, as: UInt64.self)
      }
      segments["fs_base"] = body.load(8 + 5144, as: UInt64.self)
      let kernelGS = body.load(8 + 5152, as: UInt64.self)
      let userGS = body.load(8 + 5160, as: UInt64.self)
      // flags bit 2: VGCF_in_kernel.
      let isInKernel = body.load(8 + 512, as: UInt64.self) & 4 != 0
      segments["gs_base"] = isInKernel ? kernelGS : userGS
      cr3 &= ~0xFFF
      mode = .fourLevel
      efer = 0xD01
    case 2800:
      is32Bit = true
      for (name, place) in VCPU.places32 {
        registers[name] = UInt64(body.load(8 + 516 + place, as: UInt32.self))
      }
      for (name, place) in VCPU.segments32 {
        segments[name] = UInt64(body.load(8 + 516 + place, as: UInt16.self))
      }
      cr0 = UInt64(body.load(8 + 2716, as: UInt32.self))
      cr2 = UInt64(body.load(8 + 2716 + 8, as: UInt32.self))
      let folded = body.load(8 + 2716 + 12, as: UInt32.self)
      cr4 = UInt64(body.load(8 + 2716 + 16, as: UInt32.self))
      // The frame's upper bits are in the lower twelve. Xen: public/arch-x86/xen-x86_32.h,
      // xen_cr3_to_pfn.
      cr3 = UInt64(folded >> 12 | folded << 20) << 12
      mode = .pae
    default: return nil
    }
    for name in VCPU.generalNames where registers[name] == nil { registers[name] = 0 }
  }

  // MARK: - HVM

  /// A vCPU of HVM_CONTEXT's CPU entry, which older releases wrote shorter.
  public init?(hvm data: [UInt8], instance: Int) {
    guard data.count >= 688 else { return nil }
    id = instance
    let order = [
      "rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", "r8", "r9", "r10", "r11", "r12",
      "r13", "r14", "r15", "rip", "rflags",
    ]
    func word(_ offset: Int) -> UInt64 {
      data.count - offset >= 8 ? data.load(offset, as: UInt64.self) : 0
    }
    for (index, name) in order.enumerated() { registers[name] = word(512 + 8 * index) }
    cr0 = word(656)
    cr2 = word(664)
    cr3 = word(672)
    cr4 = word(680)
    for (index, name) in ["cs", "ds", "es", "fs", "gs", "ss"].enumerated() {
      segments[name] = UInt64(
        data.count >= 740 + 4 * index ? data.load(736 + 4 * index, as: UInt32.self) : 0)
      segments[name + "_base"] = word(808 + 8 * index)
    }
    efer = word(992)
    let isLong = efer & 0x400 != 0
    if cr0 & 0x8000_0000 == 0 {
      mode = .none
    } else if isLong {
      mode = cr4 & 0x1000 != 0 ? .fiveLevel : .fourLevel
    } else {
      mode = cr4 & 0x20 != 0 ? .pae : .legacy
    }
    // Access rights of CS, bit 9 of the packed form: 64-bit code.
    let rights = data.count >= 892 ? data.load(888, as: UInt32.self) : 0
    is32Bit = !isLong || rights & 0x200 == 0
  }
}

extension VCPU {
  /// The vCPUs of HVM_CONTEXT's body, in its order.
  public static func all(inHVMContext body: [UInt8]) -> [VCPU] {
    Format.entries(of: HVMRecords.chain, in: body, 0..<body.count).filter { $0.type == 2 }
      .compactMap { entry in
        let data = Array(body[entry.offset..<entry.offset + entry.byteCount])
        return VCPU(hvm: data, instance: Int(entry.instance))
      }
  }
}

extension PageImage {
  /// The vCPUs whose state counts, by their ids.
  public func vcpus() throws -> [VCPU] {
    var out: [Int: VCPU] = [:]
    for spot in index.records {
      switch spot.type {
      case let type where type.hasPVRegisters:
        let body = try index.body(of: spot, source)
        if let vcpu = VCPU(pvBasic: body, index.context.order) { out[vcpu.id] = vcpu }
      case .hvmContext:
        for vcpu in VCPU.all(inHVMContext: try index.body(of: spot, source)) {
          out[vcpu.id] = vcpu
        }
      default: break
      }
    }
    return out.values.sorted { $0.id < $1.id }
  }
}
