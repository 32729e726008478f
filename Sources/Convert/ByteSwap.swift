// Turning the byte order of headers and bodies by the tables that describe them.

internal import Bytes
internal import Format
internal import Stream

/// Turns around the integers of `body` that are in the stream's byte order. Guest state, blobs and
/// texts stay as they are, and so do integers that the body ends inside of. Its own inverse, with
/// `context` in the other order.
func swapped(_ body: [UInt8], _ fields: [Field], _ context: BodyContext) -> [UInt8] {
  var out = body
  let layout = BodySchema(fields, context)
  for slot in layout.slots(in: body) { swap(slot, layout, body, &out) }
  return out
}

private func swap(
  _ slot: FieldLocation, _ layout: BodySchema, _ body: [UInt8], _ out: inout [UInt8]
) {
  guard slot.field.ownOrder == nil else { return }
  switch slot.field.kind {
  case .unsigned(let width), .signed(let width): reverse(&out, slot.offset, width)
  case .array(let element, _):
    if case .unsigned(let width) = element.kind {
      for offset in stride(from: slot.offset, to: slot.offset + slot.byteCount, by: width) {
        reverse(&out, offset, width)
      }
    } else {
      for child in layout.children(of: slot, in: body) { swap(child, layout, body, &out) }
    }
  case .group: for child in layout.children(of: slot, in: body) { swap(child, layout, body, &out) }
  // Chains are Xen's own; the rest has no order.
  case .chain, .keyValues, .qemu, .uefiVariables, .reserved, .bytes, .opaque, .text: break
  }
}

private func reverse(_ bytes: inout [UInt8], _ offset: Int, _ width: Int) {
  var low = offset
  var high = offset + width - 1
  while low < high {
    bytes.swapAt(low, high)
    low += 1
    high -= 1
  }
}

extension Record {
  /// Whether the tables describe every integer of its body: it is of a known type and length, and
  /// its counts leave nothing over.
  var hasKnownFields: Bool {
    if length == 0 { return true }
    guard let layout = RecordSchemas.of(type),
      layout.length.allows(length) || layout.mayBeEmpty && length == 8
    else { return false }
    return !self.layout.slots(in: body).contains { $0.field.name == "excess" }
  }

  /// The part of its body in memory in `order`.
  func body(in order: ByteOrder) -> [UInt8] {
    guard order != context.order, let layout = RecordSchemas.of(type) else { return body }
    let fields = layout.fields(byteCount: body.count, guestWidth: context.guestWidth)
    return swapped(body, fields, context)
  }
}

extension Header {
  /// Its bytes with the fields in `order`.
  func bytes(in order: ByteOrder) -> [UInt8] {
    order == self.order ? bytes : swapped(bytes, kind.fields, BodyContext(order: self.order))
  }
}
