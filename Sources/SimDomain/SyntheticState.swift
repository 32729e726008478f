// Records of a guest that never existed: enough for every reader, and for every rule.

internal import Bytes
internal import Format

enum SyntheticState {
  /// What an HVM guest's records hold. The state of processors is that after a reset, as far as Xen asks for it; xenstore's ring
  /// and the console lie in the last pages that the domain has.
  static func hvm(_ configuration: SimDomain.Configuration) -> [SimDomain.StateKey: [UInt8]] {
    var states: [SimDomain.StateKey: [UInt8]] = [:]
    states[.init(type: .x86CPUIDPolicy, vcpu: nil)] = cpuidPolicy
    states[.init(type: .x86MSRPolicy, vcpu: nil)] = msrPolicy
    states[.init(type: .x86TSCInfo, vcpu: nil)] = tscInfo
    states[.init(type: .hvmContext, vcpu: nil)] = context(configuration.vcpuCount)
    let pages = (0..<configuration.frameCount).reversed().lazy
      .filter { page in !configuration.holes.contains { $0.contains(page) } }.prefix(2)
    states[.init(type: .hvmParams, vcpu: nil)] = params(Array(pages))
    return states
  }

  /// Leaves 0 (basic, up to 1) and 0x80000000.
  private static var cpuidPolicy: [UInt8] {
    var body: [UInt8] = []
    let leaves: [[UInt32]] = [
      [0, .max, 1, 0x756E_6547, 0x6C65_746E, 0x4965_6E69], [1, .max, 0, 0, 0, 0],
      [0x8000_0000, .max, 0x8000_0000, 0, 0, 0],
    ]
    for leaf in leaves { for word in leaf { body.append(integer: word) } }
    return body
  }

  /// MSR_INTEL_PLATFORM_INFO, zero.
  private static var msrPolicy: [UInt8] {
    var body: [UInt8] = []
    body.append(integer: UInt32(0xCE))
    body += [UInt8](repeating: 0, count: 12)
    return body
  }

  /// Mode default, 2 GHz.
  private static var tscInfo: [UInt8] {
    var body = [UInt8](repeating: 0, count: 24)
    body.store(4, UInt32(2_000_000))
    return body
  }

  private static func context(_ vcpuCount: Int) -> [UInt8] {
    var body: [UInt8] = []
    func entry(_ type: UInt16, _ instance: Int, _ bytes: [UInt8]) {
      body.append(integer: type)
      body.append(integer: UInt16(instance))
      body.append(integer: UInt32(bytes.count))
      body += bytes
    }
    var header = [UInt8](repeating: 0, count: 24)
    header.store(0, HVMRecords.magic)
    header.store(4, UInt32(1))
    header.store(8, UInt64.max)
    entry(1, 0, header)
    var cpu = [UInt8](repeating: 0, count: 1032)
    // CR0 with ET alone: Xen takes no vCPU without it.
    cpu.store(656, UInt64(0x10))
    for vcpu in 0..<vcpuCount { entry(2, vcpu, cpu) }
    entry(0, 0, [])
    return body
  }

  private static func params(_ pages: [Int]) -> [UInt8] {
    var entries: [(UInt64, UInt64)] = []
    for (index, page) in zip([UInt64(1), 17], pages) { entries.append((index, UInt64(page))) }
    entries += [(2, 1), (18, 2)]
    entries.sort { $0.0 < $1.0 }
    var body: [UInt8] = []
    body.append(integer: UInt64(entries.count))
    for (index, value) in entries {
      body.append(integer: index)
      body.append(integer: value)
    }
    return body
  }
}
