// The device model's state: sections found, boundaries certain or guessed, and nothing that traps.

import Bytes
import Testing

import struct TestKit.Seed

@testable import Format

@Suite struct QEMUStateTests {
  static func head(_ version: UInt32 = 3) -> [UInt8] {
    var out: [UInt8] = [0x51, 0x45, 0x56, 0x4D]
    out.append(integer: version, .big)
    return out
  }

  static func section(
    _ id: UInt32, _ name: String, _ instance: UInt32 = 0, _ version: UInt32 = 1,
    data: [UInt8], hasFooter: Bool = false
  ) -> [UInt8] {
    var out: [UInt8] = [4]
    out.append(integer: id, .big)
    out.append(UInt8(name.utf8.count))
    out += name.utf8
    out.append(integer: instance, .big)
    out.append(integer: version, .big)
    out += data
    if hasFooter {
      out.append(0x7E)
      out.append(integer: id, .big)
    }
    return out
  }

  static let emulator: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0]

  @Test func sectionsAreFound() throws {
    let body =
      Self.emulator + Self.head()
      + Self.section(0, "timer", 0, 2, data: [4, 0, 0, 0, 9, 1, 0x41, 4, 4])
      + Self.section(3, "0000:00:01.1/ide", 1, 3, data: [])
      // Looks like a section, but its number is not above the last one's.
      + Self.section(4, "hpet", 0, 2, data: Self.section(2, "inner", data: [7, 7])) + [0]
    let state = try #require(QEMUState(body))
    #expect(state.version == 3)
    #expect(state.sections.map(\.id) == [0, 3, 4])
    #expect(state.sections.map(\.idstr) == ["timer", "0000:00:01.1/ide", "hpet"])
    #expect(state.sections.map(\.instance) == [0, 1, 0])
    #expect(state.sections.map(\.version) == [2, 3, 2])
    #expect(state.sections.map(\.data.count) == [9, 0, 14 + 5 + 2])
    #expect(state.sections.allSatisfy { !$0.isEndCertain })
    #expect(state.sections[0].range.lowerBound == 16)
    for (one, next) in zip(state.sections, state.sections.dropFirst()) {
      #expect(one.range.upperBound == next.range.lowerBound)
    }
    #expect(state.end == body.count - 1..<body.count)
  }

  @Test func footersMakeBoundariesCertain() throws {
    var configuration: [UInt8] = [7]
    configuration.append(integer: UInt32(5), .big)
    let body =
      Self.head() + configuration + Array("xenpv".utf8)
      + Self.section(1, "dma", data: [1, 2, 3], hasFooter: true)
      + Self.section(2, "fdc", data: [9]) + Self.section(5, "rtc", data: [8], hasFooter: true)
      + [0]
    let state = try #require(QEMUState(body, from: 0))
    #expect(state.sections.map(\.isEndCertain) == [true, false, true])
    #expect(state.sections.map(\.data.count) == [3, 1, 1])
    #expect(state.sections[0].range == 18..<18 + 17 + 3 + 5)
  }

  @Test func otherProgramsAreNotSplit() {
    #expect(QEMUState([], from: 0) == nil)
    #expect(QEMUState(Self.head(), from: 1) == nil)
    #expect(QEMUState(Self.head(), from: -1) == nil)
    #expect(QEMUState(Array("DeviceModelRecord0002".utf8), from: 0) == nil)
    let empty = QEMUState(Self.head() + [0, 1, 2], from: 0)
    #expect(empty?.sections.isEmpty == true && empty?.end == 8..<11)
  }

  @Test func cutAndChangedStreamsNeverTrap() {
    var random = Seed()
    var body = Self.emulator + Self.head()
    for id in 0..<12 {
      body += Self.section(
        UInt32(id), "device\(id)", data: random.bytes(Int.random(in: 0..<60, using: &random)),
        hasFooter: id % 3 == 0)
    }
    body.append(0)
    for count in 0...body.count { check([UInt8](body[..<count])) }
    for _ in 0..<2000 {
      var changed = body
      for _ in 0..<4 {
        changed[Int.random(in: 0..<body.count, using: &random)] =
          [0, 4, 0x7E, 0xFF].randomElement(
            using: &random) ?? 0
      }
      check(changed)
    }
  }

  private func check(_ body: [UInt8]) {
    guard let state = QEMUState(body) else { return }
    var offset = state.sections.first?.range.lowerBound ?? state.end.lowerBound
    for section in state.sections {
      if section.range.lowerBound != offset { Issue.record("\(section)") }
      if !(section.range.lowerBound...section.range.upperBound).contains(section.data.upperBound) {
        Issue.record("\(section)")
      }
      offset = section.range.upperBound
    }
    if state.end != offset..<body.count { Issue.record("end of \(body.count)") }
  }

  /// EMULATOR_CONTEXT by path: every byte is in a named place, and what is set lands there.
  @Test func sectionsAreReachableByPath() throws {
    var body =
      Self.emulator + Self.head()
      + Self.section(0, "timer", 0, 2, data: [1, 2, 3])
      + Self.section(3, "0000:00:01.1/ide", 1, 3, data: [9], hasFooter: true)
      + Self.section(4, "hpet", 0, 2, data: [7, 7]) + [0]
    let layout = BodySchema(.emulatorContext, body: body, BodyContext())
    var end = 0
    layout.walk(body) { leaf in
      #expect(leaf.offset == end, "\(leaf.path)")
      end = leaf.offset + leaf.byteCount
      if let found = layout.find(leaf.path, in: body) {
        #expect(found.offset == leaf.offset && found.order == leaf.order, "\(leaf.path)")
      } else {
        Issue.record("\(leaf.path) leads nowhere")
      }
    }
    #expect(end == body.count)
    func value(_ path: String) throws -> FieldValue {
      try layout.slot(path, in: body).value(in: body)
    }
    #expect(try value("emulator_ctx.version") == .unsigned(3))
    #expect(try value("emulator_ctx[\"timer\"].version_id") == .unsigned(2))
    #expect(try value("emulator_ctx[\"0000:00:01.1/ide#1\"].section_id") == .unsigned(3))
    #expect(try value("emulator_ctx[\"0000:00:01.1/ide#1\"].data") == .bytes([9]))
    #expect(try value("emulator_ctx[hpet].data") == .bytes([7, 7]))
    let guessed = try layout.slot("emulator_ctx[\"hpet\"]", in: body).field.isGuess
    let certain = try layout.slot("emulator_ctx[\"0000:00:01.1/ide#1\"]", in: body).field.isGuess
    #expect(guessed && !certain)
    #expect(throws: FormatError.self) { try layout.slot("emulator_ctx[\"hpte\"]", in: body) }
    let before = body
    let slot = try layout.slot("emulator_ctx[\"timer\"].version_id", in: body)
    try slot.set(.unsigned(0x0102_0304), in: &body)
    #expect(Array(body[slot.offset..<slot.offset + 4]) == [1, 2, 3, 4])
    #expect(zip(before, body).filter { $0 != $1 }.count == 4)
    // A blob of another program is one place.
    let other = Self.emulator + [1, 2, 3, 4, 5, 6, 7, 8, 9]
    #expect(
      try BodySchema(.emulatorContext, body: other, BodyContext()).slot("emulator_ctx", in: other)
        .isLeaf)
  }

  /// Any bytes after the magic: places tile, reading and writing back changes nothing.
  @Test(arguments: 0..<40) func anyBytesTile(_: Int) throws {
    var random = Seed()
    var body = Self.emulator + Self.head()
    for id in 0..<UInt32.random(in: 0...5, using: &random) {
      let data = random.bytes(Int.random(in: 0...40, using: &random))
      body += Self.section(
        id, "dev", UInt32.random(in: 0...1, using: &random), data: data,
        hasFooter: Bool.random(using: &random))
    }
    body += random.bytes(Int.random(in: 0...9, using: &random))
    let layout = BodySchema(.emulatorContext, body: body, BodyContext())
    var end = 0
    var copy = body
    try layout.walk(body) { leaf in
      #expect(leaf.offset == end, "\(leaf.path)")
      end = leaf.offset + leaf.byteCount
      try leaf.set(leaf.value(in: copy), in: &copy)
      #expect(copy == body, "\(leaf.path)")
    }
    #expect(end == body.count)
  }
}
