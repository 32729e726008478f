import Bytes
import Format
import Pages
import Stream
import SystemIO
import Testing

/// Records of PV guests that name pages come after the pages: files are looked into before an edit,
/// pipes are not.
@Suite struct PageGuardTests {
  private func guards(_ records: [Record]) throws -> PageGuard {
    let guards = PageGuard(guest: .x86PV)
    for record in records { try guards.observe(record) }
    return guards
  }

  /// X86_PV_VCPU_BASIC of a 64-bit guest: vcpu_id, then the context.
  private func vcpu(_ number: UInt8, gdt: [UInt64], startInfo: UInt64) -> Record {
    var body = [UInt8](repeating: 0, count: 8 + 5168)
    body[0] = number
    func put(_ offset: Int, _ value: UInt64) {
      for byte in 0..<8 { body[8 + offset + byte] = UInt8(value >> UInt64(8 * byte) & 0xFF) }
    }
    put(616, startInfo)
    for (index, pfn) in gdt.enumerated() { put(4832 + 8 * index, pfn) }
    put(4960, UInt64(512 * gdt.count))
    return Record(
      .x86PVVCPUBasic, body: body, context: BodyContext(order: .little, guestWidth: 8))
  }

  private func problem(_ guards: PageGuard, _ pfn: UInt64, _ type: PageType = .notab) -> String? {
    guards.contentsProblem(PageEntry(type, pfn: pfn))
  }

  @Test func gdtAndStartInfoAreNeeded() throws {
    let guards = try guards([
      vcpu(0, gdt: [0x20, 0x21], startInfo: 5), vcpu(1, gdt: [0x22], startInfo: 9),
    ])
    #expect(problem(guards, 0x20) == "it holds the GDT of vCPU 0")
    #expect(problem(guards, 0x21) == "it holds the GDT of vCPU 0")
    #expect(problem(guards, 0x22) == "it holds the GDT of vCPU 1")
    #expect(problem(guards, 5) == "it is the start info page")
    // Only vCPU 0's edx names it.
    #expect(problem(guards, 9) == nil)
    #expect(problem(guards, 0x23) == nil)
    #expect(PageGuard(guest: .x86HVM).contentsProblem(PageEntry(.notab, pfn: 0x20)) == nil)
  }

  /// A GDT with more entries than Xen takes names nothing.
  @Test func senselessGDT() throws {
    var record = vcpu(0, gdt: [0x20], startInfo: 5)
    record.body[8 + 4960 + 2] = 1
    #expect(problem(try guards([record]), 0x20) == nil)
  }
}
