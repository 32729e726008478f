// What can be written as JSON without further ado.

extension JSONValue: JSONWritable {
  /// Writes this value. Recurses as deep as it nests.
  public func write(to writer: inout JSONWriter) {
    switch self {
    case .null: writer.null()
    case .bool(let value): value.write(to: &writer)
    case .number(let value): value.write(to: &writer)
    case .string(let value): writer.string(value)
    case .array(let elements): elements.write(to: &writer)
    case .object(let object): object.write(to: &writer)
    }
  }
}

extension JSONObject: JSONWritable {
  /// Writes the members in order.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    for member in members {
      writer.member(member.name, member.value)
    }
    writer.endObject()
  }
}

extension JSONNumber: JSONWritable {
  /// Writes the literal.
  public func write(to writer: inout JSONWriter) { writer.scalar(literal) }
}

extension Bool: JSONWritable {
  /// Writes `true` or `false`.
  public func write(to writer: inout JSONWriter) { writer.scalar(self ? "true" : "false") }
}

extension String: JSONWritable {
  /// Writes a string, escaped.
  public func write(to writer: inout JSONWriter) { writer.string(self) }
}

extension Double: JSONWritable {
  /// Writes the shortest number that reads back the same; `null` for infinity and NaN.
  public func write(to writer: inout JSONWriter) {
    JSONNumber(self).write(to: &writer)
  }
}

extension Optional: JSONWritable where Wrapped: JSONWritable {
  /// Writes the value, or `null`.
  public func write(to writer: inout JSONWriter) {
    if let self { self.write(to: &writer) } else { writer.null() }
  }
}

extension Array: JSONWritable where Element: JSONWritable {
  /// Writes the elements in order.
  public func write(to writer: inout JSONWriter) {
    writer.beginArray()
    for element in self {
      writer.value(element)
    }
    writer.endArray()
  }
}

extension JSONWritable where Self: FixedWidthInteger {
  /// Writes the decimal number.
  public func write(to writer: inout JSONWriter) { writer.scalar(String(self)) }
}

extension Int: JSONWritable {}
extension Int32: JSONWritable {}
extension Int64: JSONWritable {}
extension UInt8: JSONWritable {}
extension UInt16: JSONWritable {}
extension UInt32: JSONWritable {}
extension UInt64: JSONWritable {}
