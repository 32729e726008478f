// Bytes of a record as Lua reads and writes them.

package import Bytes
package import LuaRuntime
internal import Reports

/// A range of a record's bytes. Offsets count from 0, as in the specification.
package final class LuaView {
  package let owner: any FieldOwner
  package let range: Range<Int>
  package let order: ByteOrder

  package init(_ owner: any FieldOwner, _ range: Range<Int>, _ order: ByteOrder = .little) {
    self.owner = owner
    self.range = range
    self.order = order
  }

  private func check() throws {
    try owner.checkValid()
    guard range.upperBound <= owner.fieldBytes.count else {
      throw LuaError("stale view: the body has become shorter")
    }
  }

  /// The bytes `offset ..< offset + count` of the view, in the owner's terms.
  private func place(_ offset: Int64, _ count: Int64) throws -> Range<Int> {
    try check()
    guard offset >= 0, count >= 0, offset <= Int64(range.count),
      count <= Int64(range.count) - offset
    else {
      throw LuaError(
        "bytes \(offset)..\(offset &+ count) are outside this view of \(range.count) bytes")
    }
    let start = range.lowerBound + Int(offset)
    return start..<start + Int(count)
  }

  /// Bytes from `offset` to the end; none where that lies outside, which `place` refuses.
  private func rest(_ offset: Int64) -> Int64 {
    (0...Int64(range.count)).contains(offset) ? Int64(range.count) - offset : 0
  }

  /// A copy of the view's bytes.
  package func bytes() throws -> [UInt8] {
    Array(owner.fieldBytes[try place(0, Int64(range.count))])
  }

  private static func integer(_ width: Int, isSigned: Bool) -> LuaMember<LuaView> {
    let name = (isSigned ? "i" : "u") + "\(8 * width)"
    return .method(
      name, "(offset: integer, value?: integer): integer",
      "The \(isSigned ? "signed" : "unsigned") integer of \(width) byte\(width > 1 ? "s" : "") at "
        + "an offset; with a value, writes it."
    ) { view, frame in
      let place = try view.place(try frame.integer(2), Int64(width))
      var bytes = view.owner.fieldBytes
      if !frame.isMissing(3) {
        let value = try frame.integer(3)
        let bits = Int64(8 * width)
        guard width == 8 || (value >= -(1 << (bits - 1)) && value < 1 << bits) else {
          throw LuaError("expected a value of \(bits) bits, got \(value)")
        }
        bytes.set(
          unsigned: UInt64(bitPattern: value), at: place.lowerBound, width: width, view.order)
        try view.owner.setFieldBytes(bytes)
      }
      let value = bytes.unsigned(at: place.lowerBound, width: width, view.order)
      let shift = UInt64(64 - 8 * width)
      if isSigned {
        frame.push(Int64(bitPattern: value << shift) >> Int64(shift))
      } else {
        frame.push(value)
      }
      return 1
    }
  }

  package static var table: LuaClass<LuaView> {
    var members = [1, 2, 4, 8].flatMap {
      [integer($0, isSigned: false), integer($0, isSigned: true)]
    }
    members += [
      .method("be", "(): View", "The same bytes, read as big-endian integers.") { view, frame in
        frame.push(object: LuaView(view.owner, view.range, .big))
        return 1
      },
      .method("le", "(): View", "The same bytes, read as little-endian integers.") {
        view, frame in
        frame.push(object: LuaView(view.owner, view.range, .little))
        return 1
      },
      .method("sub", "(offset: integer, count?: integer): View", "A part of the view.") {
        view, frame in
        let offset = try frame.integer(2)
        let count = frame.isMissing(3) ? view.rest(offset) : try frame.integer(3)
        frame.push(object: LuaView(view.owner, try view.place(offset, count), view.order))
        return 1
      },
      .method(
        "bytes", "(offset?: integer, count?: integer): string",
        "The bytes as a string: the one call that copies."
      ) { view, frame in
        let offset = frame.isMissing(2) ? 0 : try frame.integer(2)
        let count = frame.isMissing(3) ? view.rest(offset) : try frame.integer(3)
        frame.push([UInt8](view.owner.fieldBytes[try view.place(offset, count)]))
        return 1
      },
      .method(
        "put", "(offset: integer, bytes: string)", "Writes the bytes of a string at an offset."
      ) { view, frame in
        let given = try frame.bytes(3)
        let place = try view.place(try frame.integer(2), Int64(given.count))
        var bytes = view.owner.fieldBytes
        bytes.replaceSubrange(place, with: given)
        try view.owner.setFieldBytes(bytes)
        return 0
      },
      .method("fill", "(byte: integer)", "Sets every byte of the view.") {
        view, frame in
        let byte = UInt8(try frame.integer(2, in: 0...255))
        let place = try view.place(0, Int64(view.range.count))
        var bytes = view.owner.fieldBytes
        for index in place { bytes[index] = byte }
        try view.owner.setFieldBytes(bytes)
        return 0
      },
      .method("equal", "(other: View|string): boolean", "Whether the bytes are the same.") {
        view, frame in
        let mine = view.owner.fieldBytes[try view.place(0, Int64(view.range.count))]
        if let other: LuaView = frame.objectIfAny(2) {
          frame.push(mine == other.owner.fieldBytes[try other.place(0, Int64(other.range.count))])
        } else {
          frame.push(Array(mine) == (try frame.bytes(2)))
        }
        return 1
      },
      .method("iszero", "(): boolean", "Whether every byte is zero.") {
        view, frame in
        let place = try view.place(0, Int64(view.range.count))
        frame.push(view.owner.fieldBytes[place].allSatisfy { $0 == 0 })
        return 1
      },
      .method(
        "find", "(bytes: string, from?: integer): integer?",
        "The offset of the first occurrence of a string, or nil."
      ) { view, frame in
        let wanted = try frame.bytes(2)
        let from = frame.isMissing(3) ? 0 : try frame.integer(3)
        let place = try view.place(from, view.rest(from))
        let bytes = view.owner.fieldBytes
        var found: Int?
        if wanted.count <= place.count {
          found = (place.lowerBound...place.upperBound - wanted.count).first {
            bytes[$0..<$0 + wanted.count].elementsEqual(wanted)
          }
        }
        if let found { frame.push(found - view.range.lowerBound) } else { frame.pushNil() }
        return 1
      },
      .method("hexdump", "(): string", "Lines of hexadecimal bytes and text.") {
        view, frame in
        frame.push(
          hexdump(Array(view.owner.fieldBytes[try view.place(0, Int64(view.range.count))])))
        return 1
      },
    ]
    var table = LuaClass<LuaView>(
      "View", "Bytes of a record, without a copy. Offsets count from 0.", members)
    table.length = { view, frame in
      frame.push(view.range.count)
      return 1
    }
    table.toString = { "view of \($0.range.count) bytes" }
    return table
  }
}
