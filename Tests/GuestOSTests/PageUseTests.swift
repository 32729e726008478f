// What struct page says of a page, in kernels of several ages.

import Testing

@testable import GuestOS

@Suite struct PageUseTests {
  /// Flags at 0, mapping at 24, compound_head at 8, type at 48, count at 52: as in Linux 6.1.
  private func fields(slabFlag: UInt64? = 1 << 9) -> PageFields {
    PageFields(
      flags: 0, count: 52, type: 48, mapping: 24, compound: 8, byteCount: 64, slabFlag: slabFlag)
  }

  private func structure(
    flags: UInt64 = 0, compound: UInt64 = 0, mapping: UInt64 = 0, type: UInt32 = .max,
    count: UInt32 = 1
  ) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 64)
    func put(_ value: UInt64, _ offset: Int, _ width: Int) {
      for byte in 0..<width {
        out[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
      }
    }
    put(flags, 0, 8)
    put(compound, 8, 8)
    put(mapping, 24, 8)
    put(UInt64(type), 48, 4)
    put(UInt64(count), 52, 4)
    return out
  }

  @Test func kernelsBefore6_12() {
    let fields = fields()
    let heap: UInt64 = 0xFFFF_8880_0123_4000
    for (bytes, use) in [
      (structure(count: 0), PageUse.free), (structure(type: 0xFFFF_FF7F, count: 0), .free),
      (structure(flags: 1 << 9, mapping: heap), .slab),
      (structure(type: 0xFFFF_FDFF), .pageTable), (structure(mapping: heap | 1), .process),
      (structure(mapping: heap | 3), .process), (structure(mapping: heap), .pageCache),
      (structure(mapping: heap | 2), .kernel), (structure(), .kernel),
      (structure(mapping: heap, type: 3), .pageCache),
    ] {
      #expect(fields.use(bytes, at: 0) == use)
    }
  }

  @Test func newerKernelsHaveNumbers() {
    var fields = fields(slabFlag: nil)
    fields.slabType = 0xF5
    fields.tableType = 0xF2
    #expect(fields.use(structure(type: 0xF500_0000, count: 0), at: 0) == .slab)
    #expect(fields.use(structure(type: 0xF200_0000), at: 0) == .pageTable)
    #expect(fields.use(structure(type: 0xF000_0000, count: 0), at: 0) == .free)
    #expect(fields.use(structure(), at: 0) == .kernel)
  }

  @Test func tailsNameTheirHead() {
    #expect(
      fields().head(structure(compound: 0xFFFF_EA00_0000_0041), at: 0) == 0xFFFF_EA00_0000_0040)
    #expect(fields().head(structure(compound: 0xFFFF_EA00_0000_0040), at: 0) == nil)
  }
}
