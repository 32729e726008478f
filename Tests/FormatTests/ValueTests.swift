// Reading and writing values: what is read can be written back, and an edit touches its place only.

import Bytes
import Testing

import func TestKit.le32
import func TestKit.le64
import struct TestKit.Seed

@testable import Format

@Suite struct ValueTests {
  /// All single values of `body` and all parts of integers.
  func places(_ layout: BodySchema, _ body: [UInt8]) -> [FieldLocation] {
    var places: [FieldLocation] = []
    layout.walk(body) { leaf in
      places.append(leaf)
      places += layout.parts(of: leaf)
    }
    return places
  }

  /// What the bits of a value mean can depend on a field before it.
  @Test func bitsOfAParameter() throws {
    let body = le32(2, 0) + le64(9, 0x83, 1, 0x83)
    let layout = BodySchema(.hvmParams, body: body, BodyContext())
    func text(_ path: String) throws -> String {
      let slot = try layout.slot(path, in: body)
      return slot.field.text(of: slot.value(in: body))
    }
    #expect(try text("param[0].value") == "0x83 (base_freq, no_freq, synic)")
    #expect(try text("param[0].value.synic") == "1")
    #expect(try text("param[1].value") == "0x83")
    #expect(layout.find("param[1].value.synic", in: body) == nil)
  }

  @Test(arguments: Table.all) func writingWhatWasReadChangesNothing(_ table: Table) throws {
    var random = Seed()
    let layout = table.layout()
    let before = table.body(&random)
    var body = before
    for place in places(layout, before) {
      try place.set(place.value(in: body), in: &body)
      if body != before {
        Issue.record("\(place.path)")
        body = before
      }
    }
  }

  @Test(arguments: Table.all) func pathsLeadBack(_ table: Table) throws {
    var random = Seed()
    let layout = table.layout()
    let body = table.body(&random)
    for place in places(layout, body) {
      // Arrays of several hundred elements are alike.
      if place.path.contains("["), Int.random(in: 0..<4, using: &random) != 0 { continue }
      let found = try layout.slot(place.path, in: body)
      if found.offset != place.offset || found.byteCount != place.byteCount
        || found.bits != place.bits || found.order != place.order || found.path != place.path
      {
        Issue.record("\(place.path)")
      }
    }
  }

  @Test(arguments: Table.all) func editsTouchTheirPlaceOnly(_ table: Table) throws {
    var random = Seed()
    let body = table.body(&random)
    try edit(table.layout(), body, times: 200, &random)
  }

  /// All entries of what Xen wrote, one after the other.
  @Test(arguments: ["hvm-context", "pvh-context"]) func editsInAChainTouchTheirPlaceOnly(
    _ file: String
  ) throws {
    var random = Seed()
    let body = try Fixture.read("records/\(file).bin")
    let layout = BodySchema(.hvmContext, body: body, BodyContext())
    #expect(places(layout, body).count > 300)
    let edited = try edit(layout, body, times: 2000, &random)
    // No edit has moved a thing, and each is found by its path.
    #expect(places(layout, edited).map(\.path) == places(layout, body).map(\.path))
    for place in places(layout, edited) where Int.random(in: 0..<8, using: &random) == 0 {
      let found = try layout.slot(place.path, in: edited)
      #expect(found.value(in: edited) == place.value(in: edited), "\(place.path)")
    }
  }

  @discardableResult
  private func edit(
    _ layout: BodySchema, _ original: [UInt8], times: Int, _ random: inout Seed
  ) throws -> [UInt8] {
    var body = original
    let places = places(layout, body)
    for _ in 0..<times {
      guard let place = places.randomElement(using: &random) else { break }
      let before = body
      let value = try #require(randomValue(for: place, &random))
      try place.set(value, in: &body)
      #expect(place.value(in: body) == value, "\(place.path)")
      let end = place.offset + place.byteCount
      let isOutsideKept =
        body.count == before.count && body[..<place.offset] == before[..<place.offset]
        && body[end...] == before[end...]
      #expect(isOutsideKept, "\(place.path)")
      guard let bits = place.bits else { continue }
      let width = place.byteCount
      let changed =
        body.unsigned(at: place.offset, width: width, place.order)
        ^ before.unsigned(at: place.offset, width: width, place.order)
      #expect(changed & ~bits.mask == 0, "\(place.path)")
    }
    return body
  }

  private func randomValue(for place: FieldLocation, _ random: inout Seed) -> FieldValue? {
    if let bits = place.bits {
      return .unsigned(UInt64.random(in: 0...bits.greatest, using: &random))
    }
    switch place.field.kind {
    case .unsigned(let width):
      return .unsigned(random.next() >> UInt64(64 - 8 * width))
    case .signed(let width):
      return .signed(Int64(bitPattern: random.next()) >> Int64(64 - 8 * width))
    case .text(let count):
      return .text(String(repeating: "x", count: Int.random(in: 0...count, using: &random)))
    default: return .bytes(random.bytes(place.byteCount))
    }
  }

  // MARK: - Ranges

  struct Bad: Sendable, CustomTestStringConvertible {
    let table: Table
    let path: String
    let value: FieldValue
    let message: String
    var testDescription: String { "\(path) = \(value)" }
  }

  static func bad(_ name: String, _ path: String, _ value: FieldValue, _ message: String) -> Bad {
    let entry = HVMRecords.all.first { $0.name == name }
    let fields = entry?.fields ?? X86PVState.context64
    return Bad(
      table: Table(
        name: name, fields: fields, byteCount: Field.fixedByteCount(of: fields) ?? 600),
      path: path, value: value, message: message)
  }

  static let bads: [Bad] = [
    bad("IOAPIC", "redirtbl[3].mask", .unsigned(2), "expected a value in 0..0x1 (1 bit), got 0x2"),
    bad(
      "IOAPIC", "redirtbl[3].delivery_mode", .unsigned(8),
      "expected a value in 0..0x7 (3 bits), got 0x8"),
    bad(
      "IOAPIC", "redirtbl[3].vector", .signed(-1), "expected a value in 0..0xff (8 bits), got -1"),
    bad("IOAPIC", "redirtbl[3].vector", .bytes([1]), "expected a number of 8 bits"),
    bad(
      "IOAPIC", "redirtbl[3].delivery_mode", .text("nmj"),
      #"expected a number or a name of one, got "nmj" (did you mean 'nmi'?)"#),
    bad(
      "IOAPIC", "redirtbl[3].vector", .text("\u{1B}x"),
      #"expected a number or a name of one, got "\x1bx""#),
    bad("IOAPIC", "redirtbl[3].mask", .list([]), "expected u64"),
    bad("IOAPIC", "redirtbl[48]", .unsigned(0), "expected an index in 0..47, got 48"),
    bad("IOAPIC", "redirtbl[-1]", .unsigned(0), "expected an index in 0..47, got -1"),
    bad(
      "IOAPIC", "redirtbl[3].msk", .unsigned(0), "no field 'msk' (did you mean 'mask'?)"),
    bad("IOAPIC", "redirtbl[3].mask.x", .unsigned(0), "no field 'x'"),
    bad("IOAPIC", "redirtbl[3].mask[0]", .unsigned(0), "not an array"),
    bad("PIC", "irr", .unsigned(256), "expected a value in 0..0xff (u8), got 0x100"),
    bad("PIC", "is_mastr", .unsigned(0), "no field 'is_mastr' (did you mean 'is_master'?)"),
    bad("CPU", "pad0", .unsigned(1), "expected 4 bytes of zero"),
    bad("CPU", "cs_sel", .signed(-1), "expected a value in 0..0xffffffff (u32), got -1"),
    bad("PV", "flags.offline", .unsigned(1), "no field 'offline' (did you mean 'online'?)"),
  ]

  @Test(arguments: bads) func refused(_ bad: Bad) {
    var body = [UInt8](repeating: 0xA5, count: bad.table.byteCount)
    let before = body
    let error = #expect(throws: FormatError.self) {
      try bad.table.layout().slot(bad.path, in: body).set(bad.value, in: &body)
    }
    #expect(error?.problem == bad.message)
    #expect(body == before)
  }

  // MARK: - Parts of integers

  @Test func partsAreReadAndWritten() throws {
    let layout = BodySchema(HVMRecords.ioapic.fields, BodyContext())
    var body = [UInt8](repeating: 0, count: 400)
    let place = 16 + 8 * 3
    try layout.slot("redirtbl[3].mask", in: body).set(.unsigned(1), in: &body)
    try layout.slot("redirtbl[3].vector", in: body).set(.signed(0x31), in: &body)
    try layout.slot("redirtbl[3].dest_id", in: body).set(.unsigned(0xFE), in: &body)
    try layout.slot("redirtbl[3].delivery_mode", in: body).set(.text("extint"), in: &body)
    #expect([UInt8](body[place..<place + 8]) == [0x31, 0x07, 0x01, 0, 0, 0, 0, 0xFE])
    let mode = try layout.slot("redirtbl[3].delivery_mode", in: body)
    #expect(mode.value(in: body) == .unsigned(7))
    #expect(mode.field.text(of: mode.value(in: body)) == "7 (extint)")
    #expect(mode.bits == Field.Bits("delivery_mode", 8, width: 3, names: X86Bits.deliveryModes))
    #expect(layout.children(of: mode, in: body).isEmpty && mode.isLeaf)
    let whole = try layout.slot("redirtbl[3]", in: body)
    #expect(whole.bits == nil && whole.value(in: body) == .unsigned(0xFE00_0000_0001_0731))
    #expect(layout.parts(of: whole).map(\.field.name).first == "vector")
    #expect(layout.parts(of: mode).isEmpty)
  }

  @Test func membersOfUnnamedStructuresAreFoundBesideTheirInteger() throws {
    let layout = BodySchema(HVMRecords.pic.fields, BodyContext())
    var body = [UInt8](repeating: 0, count: 8)
    try layout.slot("is_master", in: body).set(.unsigned(1), in: &body)
    try layout.slot("mode.poll", in: body).set(.unsigned(1), in: &body)
    try layout.slot("priority_add", in: body).set(.unsigned(0xF), in: &body)
    #expect(body == [0, 0, 0, 0, 0xF0, 0x42, 0, 0])
    #expect(try layout.slot("is_master", in: body).path == "mode.is_master")

    let context = try chain([(2, 0, [UInt8](repeating: 0, count: 1032))])
    let cpu = BodySchema(.hvmContext, body: context, BodyContext())
    let slot = try cpu.slot("CPU[0].pending_type", in: context)
    #expect(slot.path == "CPU[0].pending_event.pending_type" && slot.offset == 8 + 1016)
    // Parts of named integers are not beside them.
    #expect(cpu.find("CPU[0].pe", in: context) == nil)
    #expect(cpu.find("CPU[0].cr0.pe", in: context) != nil)
  }

  @Test func guestFlagsOfBothWidths() throws {
    for (fields, count, width) in [
      (X86PVState.context64, 5168, 8), (X86PVState.context32, 2800, 4),
    ] {
      let layout = BodySchema(fields, BodyContext(order: .big))
      var body = [UInt8](repeating: 0, count: count)
      let online = try layout.slot("flags.online", in: body)
      #expect(online.offset == 512 && online.byteCount == width)
      try online.set(.unsigned(1), in: &body)
      #expect(body[512] == 0x20)
    }
  }

  // MARK: - Other values

  @Test func textThatIsNoneIsGivenAsBytes() throws {
    let layout = BodySchema(X86PVState.startInfo64, BodyContext())
    var body = [UInt8](repeating: 0, count: 1168)
    let magic = try layout.slot("magic", in: body)
    try magic.set(.text("xen-3.0-x86_64"), in: &body)
    #expect(magic.value(in: body) == .text("xen-3.0-x86_64"))
    body[20] = 1
    #expect(magic.value(in: body) == .bytes([UInt8](body[..<32])))
    body[20] = 0
    body[3] = 0xFF
    #expect(magic.value(in: body) == .bytes([UInt8](body[..<32])))
  }

  @Test func reservedBytesCanBeCleared() throws {
    let layout = BodySchema(HVMRecords.cpu.fields, BodyContext())
    var body = [UInt8](repeating: 0xFF, count: 1032)
    try layout.slot("pad0", in: body).set(.unsigned(0), in: &body)
    #expect([UInt8](body[1028...]) == [0, 0, 0, 0] && body[1027] == 0xFF)
  }

  @Test func elementsAreFoundByKey() throws {
    var entry: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0]
    for (index, value) in [(0x48, 5), (0xC001_1027, 6)] as [(UInt32, UInt64)] {
      entry.append(integer: index)
      entry.append(integer: UInt32(0))
      entry.append(integer: value)
    }
    let body = try chain([(20, 1, entry)])
    let layout = BodySchema(.hvmContext, body: body, BodyContext())
    for path in [
      "CPU_MSR[1].msr[MSR_SPEC_CTRL].val", "CPU_MSR.msr[0].val", "CPU_MSR[1].msr.72.val",
    ] {
      #expect(try layout.slot(path, in: body).value(in: body) == .unsigned(5), "\(path)")
    }
    let mask = try layout.slot("CPU_MSR[1].msr[MSR_AMD64_DR0_ADDRESS_MASK].val", in: body)
    #expect(mask.offset == 8 + 8 + 16 + 8)
  }
}

/// An HVM_CONTEXT body of entries (type, instance, data) and END.
func chain(_ entries: [(UInt16, UInt16, [UInt8])]) throws -> [UInt8] {
  var body: [UInt8] = []
  for (type, instance, data) in entries + [(0, 0, [])] {
    body.append(integer: type)
    body.append(integer: instance)
    body.append(integer: UInt32(data.count))
    body += data
  }
  return body
}
