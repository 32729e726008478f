// Tables have neither gaps nor overlaps, whatever the length of the body is.

import Testing

import struct TestKit.Seed

@testable import Format

@Suite struct TilingTests {
  /// Whether the leaves of `slots` follow each other from `start` to `end`.
  func expectTiled(
    _ layout: BodySchema, _ slots: [FieldLocation], _ start: Int, _ end: Int, _ body: [UInt8]
  ) {
    var offset = start
    for slot in slots {
      layout.walk(slot, body) { leaf in
        // Not #expect: this runs millions of times.
        if leaf.offset != offset { Issue.record("\(leaf.path) of \(body.count) bytes") }
        offset = leaf.offset + leaf.byteCount
      }
    }
    if offset != end { Issue.record("end of \(body.count) bytes") }
  }

  @Test(arguments: Table.all) func leavesTile(_ table: Table) {
    var random = Seed(1)
    let body = table.body(&random)
    let layout = table.layout()
    expectTiled(layout, layout.slots(in: body), 0, body.count, body)
    layout.walk(body) { leaf in
      if leaf.field.name == "excess" { Issue.record("\(leaf.path)") }
    }
  }

  /// Every length from nothing to some bytes more than the table has. What lies before the cut is
  /// as in the whole body, so at each level only the last place is looked into.
  @Test(arguments: Table.plain) func everyLengthTiles(_ table: Table) {
    var random = Seed(2)
    let longest = table.body(&random) + random.bytes(20)
    let layout = table.layout()
    for count in 0...longest.count {
      let body = [UInt8](longest[..<count])
      var slots = layout.slots(in: body)
      if slots.isEmpty, count > 0, !table.fields.isEmpty { Issue.record("no slots") }
      var start = 0
      while let last = slots.last {
        var offset = start
        for slot in slots {
          if slot.offset != offset { Issue.record("\(slot.path) of \(count) bytes") }
          offset += slot.byteCount
        }
        if offset != count { Issue.record("\(last.path): end of \(count) bytes") }
        _ = last.value(in: body)
        start = last.offset
        slots = last.byteCount == 0 ? [] : layout.children(of: last, in: body)
      }
    }
  }

  /// Names are unique where they stand, parts of integers lie inside them and beside each other.
  @Test(arguments: Table.all) func namesAreUnique(_ table: Table) {
    check(table.fields, table.name)
  }

  private func check(_ fields: [Field], _ place: String) {
    var names = fields.map(\.name)
    for field in fields where field.bitsAreMembers { names += field.bits.map(\.name) }
    #expect(Set(names).count == names.count, "\(place): \(names)")
    for field in fields { check(field, place + "." + field.name) }
  }

  private func check(_ field: Field, _ place: String) {
    switch field.kind {
    case .group(let fields): check(fields, place)
    case .array(let element, _): check(element, place + "[]")
    case .unsigned(let width):
      var taken: UInt64 = 0
      for bits in field.bits {
        #expect(bits.low + bits.width <= 8 * width, "\(place).\(bits.name)")
        #expect(taken & bits.mask == 0, "\(place).\(bits.name)")
        taken |= bits.mask
      }
      #expect(Set(field.bits.map(\.name)).count == field.bits.count, "\(place)")
    default: #expect(field.bits.isEmpty, "\(place)")
    }
  }

  /// Where an image's CPUID leaves put components: sane places, and all that is wrong.
  @Test(
    arguments: [
      [2: (576, 256), 9: (832, 8)], [2: (576, 256), 5: (832, 64), 6: (896, 512), 9: (2432, 8)],
      [2: (0, 256), 3: (576, 0), 5: (600, 7), 40: (604, 12)],
      [2: (575, 256), 9: (Int.max, Int.max), 18: (640, 1 << 30), 62: (1 << 20, 1 << 20)],
      [5: (576, 8), 3: (584, 96), 9: (680, 4)],
    ] as [[Int: (Int, Int)]]) func componentsTile(_ places: [Int: (Int, Int)])
  {
    var context = BodyContext()
    context.xstate = places.mapValues { X86XState.Component(offset: $0.0, byteCount: $0.1) }
    var random = Seed(3)
    let layout = BodySchema(X86XState.hvmFields, context)
    for count in stride(from: 0, to: 3000, by: 7) {
      let body = random.bytes(count)
      expectTiled(layout, layout.slots(in: body), 0, count, body)
    }
  }
}
