// Small images as Xen 4.5 and older saved them.

import TestKit

extension Seeds {
  static let legacy: [[UInt8]] = [
    legacyHVM(word: 8), legacyHVM(word: 4), legacyPV(word: 8), legacyPV(word: 4),
    Array("Xen saved domain, xl format\n \0 \r".utf8) + le32(0x0102_0304, 0, 0, 6, 2)
      + Array("{}".utf8) + legacyHVM(word: 8),
  ]

  private static func ulong(_ word: Int, _ value: UInt64) -> [UInt8] {
    word == 8 ? le64(value) : le32(UInt32(truncatingIfNeeded: value))
  }

  private static func batch(_ word: Int, _ entries: [UInt64]) -> [UInt8] {
    le32(UInt32(entries.count)) + entries.flatMap { ulong(word, $0) }
      + entries.filter { $0 >> 28 < 0xD }.flatMap { _ in zeros(4096) }
  }

  private static func legacyHVM(word: Int) -> [UInt8] {
    var out = ulong(word, 16)
    // TSC, pages without contents and one with, vCPUs, parameters, toolstack.
    out += le32(0xFFFF_FFF9, 1) + le64(0x1122) + le32(2_400_000, 4)
    out += batch(word, [0, 0xF000_0001, 0xE000_0002])
    out += le32(0xFFFF_FFFE, 1) + le64(1)
    for type in [-3, -4, -14, -17, -19, -20] as [Int32] {
      out += le32(UInt32(bitPattern: type), 0) + le64(5)
    }
    var toolstack = le32(1, 1) + le64(0x8000_0000, 0xF000_0000, 0x80_0000) + le32(9)
    toolstack += Array("vga.vram\0".utf8) + (word == 8 ? zeros(4) : [])
    out += le32(0xFFFF_FFEE, UInt32(toolstack.count)) + toolstack
    out += le32(0xFFFF_FFF7, 0) + le64(2, 3, 4) + le32(16) + zeros(16)
    out += Array("DeviceModelRecord0002".utf8) + le32(9) + Array("QEVM".utf8) + [0, 0, 0, 3, 0]
    return out
  }

  private static func legacyPV(word: Int) -> [UInt8] {
    let context = StreamBuilder.vcpu(width: 4)
    var out = ulong(word, 16) + ulong(word, .max)
    out += le32(UInt32(8 + context.count + 16)) + Array("vcpu".utf8) + le32(UInt32(context.count))
    out += context + Array("extv".utf8) + le32(0) + zeros(8) + ulong(word, 1)
    out += batch(word, [0xF000_0001, 0xE000_0003])
    out += le32(0xFFFF_FFFE, 1) + le64(1) + le32(0, 0)
    return out + context + zeros(128) + zeros(4096)
  }
}
