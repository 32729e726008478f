// Interpreting rows over a body: finding places by path, and walking all of them.

public import Bytes

/// The rows of a record laid over one body.
public struct BodySchema: Sendable {
  public let fields: [Field]
  public let context: BodyContext

  public init(_ fields: [Field], _ context: BodyContext) {
    self.fields = fields
    self.context = context
  }

  /// The rows of `type` for `body`; an unknown type is one opaque field called "body".
  public init(_ type: RecordType, body: [UInt8], _ context: BodyContext) {
    let fields = RecordSchemas.of(type)?.fields(
      byteCount: body.count, guestWidth: context.guestWidth)
    self.init(fields ?? [.opaque("body")], context)
  }

  /// The places of the top level, in order. Fields after the end of a short body are left out.
  public func slots(in body: [UInt8]) -> [FieldLocation] {
    children(of: fields, at: 0, end: body.count, prefix: "", order: nil, body)
  }

  /// The first array of the top level of which its counter says another number of elements than the
  /// rest of the body holds: a loop over such a count ends late, or outside the body.
  public func wrongCount(in body: [UInt8]) -> (counter: String, said: UInt64, held: Int)? {
    let slots = slots(in: body)
    for slot in slots {
      guard case .array(let element, .field(let name)) = slot.field.kind,
        let stride = element.fixedByteCount, stride > 0,
        let counter = slots.first(where: { $0.field.name == name }),
        case .unsigned(let said) = counter.value(in: body)
      else { continue }
      let rest = body.count - slot.offset
      guard rest % stride == 0, said == UInt64(rest / stride) else {
        return (name, said, rest / stride)
      }
    }
    return nil
  }

  /// The places inside `slot`; none for a single value.
  public func children(of slot: FieldLocation, in body: [UInt8]) -> [FieldLocation] {
    let end = slot.offset + slot.byteCount
    let order = inherited(slot)
    switch slot.field.kind {
    case .group(let fields):
      return children(
        of: slot.field.rows?(context) ?? fields, at: slot.offset, end: end, prefix: slot.path + ".",
        order: order, body)
    case .array(let element, _):
      guard let stride = element.fixedByteCount, stride > 0 else { return [] }
      return (0..<slot.byteCount / stride).map { index in
        self.slot(element, index: index, stride: stride, of: slot)
      }
    case .chain(let chain):
      return entries(of: chain, in: body, slot.offset..<end).map { self.slot($0, of: chain) }
    case .keyValues:
      return keyValues(in: body, slot.offset..<end).map { pair in
        self.slot(
          Field(pair.key, .text(pair.range.count)), path: "\(slot.path)[\"\(pair.key)\"]",
          at: pair.range.lowerBound, count: pair.range.count, order: order)
      }
    case .qemu: return sections(of: slot, in: body)
    case .uefiVariables: return variables(of: slot, in: body)
    default: return []
    }
  }

  /// How many elements an array has; nil for what is none.
  public func elementCount(of slot: FieldLocation) -> Int? {
    guard case .array(let element, _) = slot.field.kind else { return nil }
    guard let stride = element.fixedByteCount, stride > 0 else { return 0 }
    return slot.byteCount / stride
  }

  /// Element `index` of an array, without the others; nil where there is none.
  public func element(_ index: Int, of slot: FieldLocation) -> FieldLocation? {
    guard case .array(let element, _) = slot.field.kind, let stride = element.fixedByteCount,
      let count = elementCount(of: slot), (0..<count).contains(index)
    else { return nil }
    return self.slot(element, index: index, stride: stride, of: slot)
  }

  /// The named parts of a single integer; none of other places.
  public func parts(of slot: FieldLocation) -> [FieldLocation] {
    guard slot.bits == nil, case .unsigned(let width) = slot.field.kind else { return [] }
    return slot.field.bits.filter { $0.low + $0.width <= 8 * width }.map { bits in
      var field = Field(bits.name, slot.field.kind).names(bits.names)
      field.isHex = bits.width > 8
      return FieldLocation(
        path: "\(slot.path).\(bits.name)", field: field, offset: slot.offset,
        byteCount: slot.byteCount, order: slot.order, bits: bits)
    }
  }

  /// The place with this path. Unknown names suggest the nearest one.
  public func slot(_ path: String, in body: [UInt8]) throws(FormatError) -> FieldLocation {
    var steps = try FieldPath(path).steps[...]
    guard case .name(let first)? = steps.popFirst() else {
      throw FormatError(.unknownName, field: path, "expected a field name")
    }
    return try slot(steps, from: try member(first, of: nil, in: body, full: path), in: body, path)
  }

  /// The place with this path inside another one.
  public func slot(
    _ path: String, inside outer: FieldLocation, in body: [UInt8]
  ) throws(FormatError) -> FieldLocation {
    try slot(try FieldPath(path).steps[...], from: outer, in: body, path)
  }

  private func slot(
    _ steps: ArraySlice<FieldPath.Step>, from outer: FieldLocation, in body: [UInt8], _ path: String
  ) throws(FormatError) -> FieldLocation {
    var (steps, slot) = (steps, outer)
    while let step = steps.popFirst() {
      switch step {
      case .name(let name):
        // An array or chain entry without an index means its first one.
        slot = try member(name, of: slot, in: body, full: path)
      case .index(let index): slot = try element(index, of: slot, in: body)
      }
    }
    return slot
  }

  /// Whether there is such a place, as a value or nil.
  public func find(_ path: String, in body: [UInt8]) -> FieldLocation? {
    try? slot(path, in: body)
  }

  /// Calls `visit` for every single value, in the order of the body.
  public func walk<E: Error>(
    _ body: [UInt8], _ visit: (FieldLocation) throws(E) -> Void
  ) throws(E) {
    for slot in slots(in: body) { try walk(slot, body, visit) }
  }

  /// Calls `visit` for every single value inside `slot`.
  public func walk<E: Error>(
    _ slot: FieldLocation, _ body: [UInt8], _ visit: (FieldLocation) throws(E) -> Void
  ) throws(E) {
    if slot.isLeaf { return try visit(slot) }
    for child in children(of: slot, in: body) { try walk(child, body, visit) }
  }

  /// The value of a place, with everything inside it.
  public func value(of slot: FieldLocation, in body: [UInt8]) -> FieldValue {
    switch slot.field.kind {
    case .group:
      return .group(
        children(of: slot, in: body).map { ($0.field.name, value(of: $0, in: body)) })
    case .array: return .list(children(of: slot, in: body).map { value(of: $0, in: body) })
    case .chain:
      return .group(children(of: slot, in: body).map { ($0.path, value(of: $0, in: body)) })
    case .keyValues, .qemu, .uefiVariables:
      return .group(
        children(of: slot, in: body).map { ($0.field.name, value(of: $0, in: body)) })
    default: return slot.value(in: body)
    }
  }

  // MARK: - Steps

  private func member(
    _ name: String, of parent: FieldLocation?, in body: [UInt8], full: String
  ) throws(FormatError) -> FieldLocation {
    let candidates: [FieldLocation]
    var names: [String] = []
    if let parent {
      if case .array = parent.field.kind {
        return try keyed(name, of: parent, in: body)
      }
      candidates = parent.isLeaf ? parts(of: parent) : children(of: parent, in: body)
    } else {
      candidates = slots(in: body)
    }
    if let found = candidates.first(where: { $0.field.name == name }) { return found }
    for candidate in candidates where candidate.field.bitsAreMembers {
      if let found = parts(of: candidate).first(where: { $0.field.name == name }) { return found }
      names += candidate.field.bits.map(\.name)
    }
    for candidate in candidates {
      // A chain's entries are named as if they stood beside it: HVM_CONTEXT.CPU, not .entry.CPU.
      if case .chain(let chain) = candidate.field.kind {
        if let found = entry(of: chain, candidate, in: body, name) { return found }
        guard chain.type(name) == nil else {
          throw FormatError(.absent, field: full, "has no \(name) entry")
        }
        names += chain.names()
      }
    }
    names += candidates.map(\.field.name)
    throw FormatError(
      .unknownName, field: full, "no field '\(name)'" + didYouMean(name, among: names))
  }

  private func element(
    _ index: FieldPath.Index, of slot: FieldLocation, in body: [UInt8]
  ) throws(FormatError) -> FieldLocation {
    switch index {
    case .name(let name): return try keyed(name, of: slot, in: body)
    case .position(let position):
      if case .array(let element, _) = slot.field.kind {
        let stride = element.fixedByteCount ?? 0
        let count = stride > 0 ? slot.byteCount / stride : 0
        guard position >= 0, position < count else {
          throw FormatError(
            .outOfRange, field: slot.path,
            count == 0
              ? "has no elements, got index \(position)"
              : "expected an index in 0..\(count - 1), got \(position)")
        }
        return self.slot(element, index: position, stride: stride, of: slot)
      }
      // NAME[2] of a chain: the entry of that instance.
      for candidate in slots(in: body) {
        guard case .chain = candidate.field.kind else { continue }
        if let instance = UInt16(exactly: position), case .chain(let chain) = candidate.field.kind,
          let found = entry(of: chain, candidate, in: body, slot.field.name, instance)
        {
          return found
        }
        throw FormatError(.outOfRange, field: "\(slot.field.name)[\(position)]", "no such entry")
      }
      throw FormatError(.invalid, field: slot.path, "not an array")
    }
  }

  /// The element of an array whose key field has this name or number.
  private func keyed(
    _ name: String, of slot: FieldLocation, in body: [UInt8]
  ) throws(FormatError) -> FieldLocation {
    switch slot.field.kind {
    case .keyValues, .qemu, .uefiVariables:
      let all = children(of: slot, in: body)
      if let found = all.first(where: { $0.field.name == name }) { return found }
      throw FormatError(
        .unknownName, field: slot.path,
        "no key '\(name)'" + didYouMean(name, among: all.map(\.field.name)))
    default: break
    }
    guard let key = slot.field.key, case .array(let element, _) = slot.field.kind,
      case .group(let fields) = element.kind,
      let keyField = fields.first(where: { $0.name == key })
    else {
      throw FormatError(.invalid, field: slot.path, "elements have no names")
    }
    for child in children(of: slot, in: body) {
      guard let place = children(of: child, in: body).first(where: { $0.field.name == key }),
        case .unsigned(let value) = place.value(in: body)
      else { continue }
      if keyField.names[value] == name || String(value) == name
        || value.hex() == name
      {
        return child
      }
    }
    throw FormatError(
      .unknownName, field: slot.path,
      "no element '\(name)'" + didYouMean(name, among: Array(keyField.names.values)))
  }

  // MARK: - Places

  /// The first entry of this name, and of this instance where one is given. The other entries are
  /// passed over without making places of them.
  private func entry(
    of chain: Chain, _ slot: FieldLocation, in body: [UInt8], _ name: String,
    _ instance: UInt16? = nil
  ) -> FieldLocation? {
    var type = chain.type(name)
    if type == nil, name.hasPrefix("TYPE_") {
      type = UInt16(name.dropFirst(5)).flatMap { chain.layout($0) == nil ? $0 : nil }
    }
    guard let type else { return nil }
    var found: ChainEntry?
    forEachEntry(in: body, slot.offset..<slot.offset + slot.byteCount) { entry in
      guard entry.type == type, entry.instance == instance ?? entry.instance else { return true }
      found = entry
      return false
    }
    return found.map { self.slot($0, of: chain) }
  }

  private func slot(_ entry: ChainEntry, of chain: Chain) -> FieldLocation {
    let layout = chain.layout(entry.type)
    let name = layout?.name ?? "TYPE_\(entry.type)"
    let fields = layout.map { $0.fields(byteCount: entry.byteCount) }
    let field = Field(name, .group(fields ?? [.opaque("data")]))
    return slot(
      field, path: "\(name)[\(entry.instance)]", at: entry.offset, count: entry.byteCount,
      order: .little)
  }

  private func slot(_ element: Field, index: Int, stride: Int, of array: FieldLocation)
    -> FieldLocation
  {
    slot(
      element, path: "\(array.path)[\(index)]", at: array.offset + index * stride,
      count: stride, order: inherited(array))
  }

  func slot(
    _ field: Field, path: String, at offset: Int, count: Int, order: ByteOrder?
  ) -> FieldLocation {
    FieldLocation(
      path: path, field: field, offset: offset, byteCount: count,
      order: field.ownOrder ?? order ?? context.order)
  }

  /// The byte order that what is inside `slot` takes over from it; nil for the stream's.
  private func inherited(_ slot: FieldLocation) -> ByteOrder? {
    slot.field.ownOrder ?? (slot.order != context.order ? slot.order : nil)
  }

  private func children(
    of fields: [Field], at start: Int, end: Int, prefix: String, order: ByteOrder?,
    _ body: [UInt8]
  ) -> [FieldLocation] {
    var out: [FieldLocation] = []
    out.reserveCapacity(fields.count)
    var offset = start
    for field in fields {
      guard offset < end || field.fixedByteCount == 0 else { break }
      var count = byteCount(of: field, at: offset, end: end, siblings: out, body)
      let isCut = count > end - offset
      var there = field
      if case .qemu = field.kind, !QEMUState.exists(body, at: offset) {
        there = .opaque(field.name)
      }
      if case .uefiVariables = field.kind, !UEFIVariables.exists(body, at: offset) {
        there = .opaque(field.name)
      }
      if isCut {
        // A body that ends inside a field: a group or array keeps what is whole of it, a single
        // value becomes the bytes that are there.
        count = end - offset
        switch field.kind {
        case .group: break
        case .array(let element, _): count -= count % max(element.fixedByteCount ?? 1, 1)
        default: there = .bytes(field.name, count)
        }
      }
      if let (name, bits) = there.bitsBySibling,
        let sibling = out.first(where: { $0.field.name == name }),
        case .unsigned(let value) = sibling.value(in: body)
      {
        there.bits = bits(value)
      }
      out.append(slot(there, path: prefix + field.name, at: offset, count: count, order: order))
      offset += count
      if isCut { break }
    }
    if offset < end, !fields.isEmpty {
      out.append(
        slot(
          .bytes("excess", end - offset), path: prefix + "excess", at: offset,
          count: end - offset, order: order))
    }
    return out
  }

  private func byteCount(
    of field: Field, at offset: Int, end: Int, siblings: [FieldLocation], _ body: [UInt8]
  ) -> Int {
    if let fixed = field.fixedByteCount { return fixed }
    guard case .array(let element, let count) = field.kind,
      let stride = element.fixedByteCount, stride > 0
    else { return end - offset }
    let fits = (end - offset) / stride
    guard case .field(let name) = count,
      let counter = siblings.first(where: { $0.field.name == name }),
      case .unsigned(let wanted) = counter.value(in: body)
    else { return fits * stride }
    return Int(min(wanted, UInt64(fits))) * stride
  }
}

/// The pairs of NUL-terminated keys and values; a value's range leaves its NUL out.
func keyValues(in body: [UInt8], _ range: Range<Int>) -> [(key: String, range: Range<Int>)] {
  var out: [(key: String, range: Range<Int>)] = []
  var strings: [Range<Int>] = []
  var start = range.lowerBound
  for index in range where body[index] == 0 {
    strings.append(start..<index)
    start = index + 1
  }
  for pair in stride(from: 0, to: strings.count - 1, by: 2) {
    out.append(
      (String(decoding: body[strings[pair]], as: UTF8.self), strings[pair + 1]))
  }
  return out
}
