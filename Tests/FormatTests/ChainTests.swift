// HVM_CONTEXT's chain and xenstore's keys: cut, changed and unknown entries.

import Bytes
import Testing

import struct TestKit.Seed

@testable import Format

@Suite struct ChainTests {
  /// One entry of each type in its newest length, and one that no table knows.
  static func everything(_ random: inout Seed) throws -> [UInt8] {
    let entries = HVMRecords.all.filter { $0.type != 0 }.map { entry in
      (
        entry.type, UInt16(0),
        random.bytes(Field.fixedByteCount(of: entry.fields) ?? 8 + 16 * 40)
      )
    }
    return try chain(entries + [(77, 3, random.bytes(9))])
  }

  func read(_ body: [UInt8], _ type: RecordType) {
    let layout = BodySchema(type, body: body, BodyContext())
    var end = 0
    layout.walk(body) { leaf in
      if leaf.offset < end || leaf.offset + leaf.byteCount > body.count {
        Issue.record("\(leaf.path) of \(body.count)")
      }
      end = leaf.offset + leaf.byteCount
      _ = leaf.value(in: body)
    }
    for slot in layout.slots(in: body) { _ = layout.value(of: slot, in: body) }
  }

  @Test func everyTypeIsReadByName() throws {
    var random = Seed()
    let body = try Self.everything(&random)
    let layout = BodySchema(.hvmContext, body: body, BodyContext(order: .big))
    for entry in HVMRecords.all {
      let slot = try layout.slot("\(entry.name)[0]", in: body)
      #expect(slot.order == .little)
      #expect(try layout.slot(entry.name, in: body).offset == slot.offset)
      for child in layout.children(of: slot, in: body) {
        let found = try layout.slot(child.path, in: body)
        #expect(found.offset == child.offset && found.order == .little, "\(child.path)")
      }
    }
    let unknown = try layout.slot("TYPE_77[3].data", in: body)
    #expect(unknown.byteCount == 9)
    let error = #expect(throws: FormatError.self) { try layout.slot("LAPIK[0]", in: body) }
    #expect(error?.problem == "no field 'LAPIK' (did you mean 'LAPIC'?)")
    #expect(throws: FormatError.self) { try layout.slot("LAPIC[1]", in: body) }
  }

  @Test func everyLengthIsRead() throws {
    var random = Seed()
    let body = try Self.everything(&random)
    for count in stride(from: 0, through: body.count, by: 5) {
      read([UInt8](body[..<count]), .hvmContext)
    }
    for count in body.count - 40...body.count { read([UInt8](body[..<count]), .hvmContext) }
  }

  @Test func changedChainsAreRead() throws {
    var random = Seed()
    let body = try Self.everything(&random)
    for _ in 0..<300 {
      var changed = body
      for _ in 0..<20 {
        changed[Int.random(in: 0..<body.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      // The headers too: types, instances and lengths that cannot be.
      changed.store(8 * Int.random(in: 0..<60, using: &random), random.next())
      read(changed, .hvmContext)
    }
    for _ in 0..<300 { read(random.bytes(Int.random(in: 0..<200, using: &random)), .hvmContext) }
  }

  @Test(arguments: [UInt32.max, 0x8000_0000, 1000]) func lengthsThatClaimTooMuch(_ claimed: UInt32)
  {
    var body: [UInt8] = [18, 0, 0, 0]
    body.append(integer: claimed)
    body += [UInt8](repeating: 1, count: 28)
    let found = entries(of: HVMRecords.chain, in: body, 0..<body.count)
    #expect(found.map(\.byteCount) == [28] && found.map(\.claimed) == [claimed])
    let layout = BodySchema(.hvmContext, body: body, BodyContext())
    #expect(layout.find("VMCE_VCPU[0].mci_ctl2_bank1", in: body) != nil)
    #expect(layout.find("VMCE_VCPU[0].mcg_ext_ctl", in: body)?.byteCount == 4)
  }

  /// Entries of older releases: the fields that they lack are not there.
  @Test(arguments: [
    ("CPU", 1024, "error_code", "flags"), ("CPU", 1016, "error_code", "msr_tsc_aux"),
    ("LAPIC", 24, "tdt_msr", "pending_esr"), ("RTC", 16, "cmos_index", "rtc_offset"),
    ("VIRIDIAN_DOMAIN", 16, "guest_os_id", "time_ref_count"),
    ("VIRIDIAN_DOMAIN", 24, "time_ref_count", "reference_tsc"),
    ("VIRIDIAN_VCPU", 8, "vp_assist_msr", "apic_assist_pending"),
    ("VIRIDIAN_VCPU", 16, "apic_assist_pending", "simp_msr"),
    ("VMCE_VCPU", 24, "mci_ctl2_bank1", "mcg_ext_ctl"),
  ]) func olderLengths(_ name: String, _ count: Int, _ last: String, _ missing: String) throws {
    let number = try #require(HVMRecords.chain.type(name))
    let body = try chain([(number, 0, [UInt8](repeating: 7, count: count))])
    let layout = BodySchema(.hvmContext, body: body, BodyContext())
    #expect(layout.find("\(name)[0].\(last)", in: body) != nil)
    #expect(layout.find("\(name)[0].\(missing)", in: body) == nil)
    #expect(layout.find("\(name)[0].excess", in: body) == nil)
  }

  /// A group that a body cuts short keeps its fields: ext_vcpucontext of 56 bytes (Xen 4.4 to 4.9).
  @Test func cutGroupsKeepTheirFields() throws {
    let body = [UInt8](repeating: 0, count: 8 + 56)
    let layout = BodySchema(.x86PVVCPUExtended, body: body, BodyContext())
    #expect(layout.find("vmce.mci_ctl2_bank1", in: body)?.offset == 8 + 48)
    #expect(layout.find("vmce.mcg_ext_ctl", in: body) == nil)
    let long = [UInt8](repeating: 0, count: 8 + 128)
    #expect(layout.find("_rest", in: long)?.byteCount == 64)
  }

  @Test func keysAreRead() throws {
    let text = "physmap/f0000000/start_addr\0f1000000\0physmap/f0000000/size\0\u{E9}\0odd\0"
    let body = [2, 0, 0, 0, 0, 0, 0, 0] + Array(text.utf8)
    let layout = BodySchema(.emulatorXenstoreData, body: body, BodyContext())
    let size = try layout.slot("data[\"physmap/f0000000/size\"]", in: body)
    #expect(size.value(in: body) == .text("\u{E9}"))
    for count in 0...body.count { read([UInt8](body[..<count]), .emulatorXenstoreData) }
    var random = Seed()
    for _ in 0..<500 {
      var changed = body
      changed[Int.random(in: 8..<body.count, using: &random)] = UInt8.random(
        in: 0...255, using: &random)
      let layout = BodySchema(.emulatorXenstoreData, body: changed, BodyContext())
      var copy = changed
      try layout.walk(changed) { leaf in try leaf.set(leaf.value(in: changed), in: &copy) }
      #expect(copy == changed)
    }
  }
}
