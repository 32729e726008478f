// A JSON text that can be edited without touching the bytes of anything else.

/// A JSON text and the values in it. Reading never changes it, an edit replaces the bytes of
/// the edited value only; new members and elements take the layout of their neighbours.
///
/// An edit checks the new text again, in time linear in its length. After an error the document
/// is what it was before.
public struct JSONDocument: Sendable {
  var syntax: JSONSyntax
  let options: JSONOptions
  /// How this text is laid out. Kept over edits, so that undoing one gives the old bytes.
  public let style: JSONStyle

  /// Reads a text of exactly one value.
  public init(_ text: [UInt8], options: JSONOptions = JSONOptions()) throws(JSONError) {
    syntax = try JSONSyntax(text, options: options)
    self.options = options
    style = syntax.style
  }

  /// Reads a text of exactly one value.
  public init(_ text: String, options: JSONOptions = JSONOptions()) throws(JSONError) {
    try self.init(Array(text.utf8), options: options)
  }

  /// The text, byte by byte as it was read but for what was edited.
  public var text: [UInt8] { syntax.text }

  /// The whole value.
  public var root: JSONValue { syntax.value(at: 0) }

  /// The value at this path; nil if there is none.
  public subscript(path: JSONPath) -> JSONValue? {
    switch syntax.find(path) {
    case .value(let index): syntax.value(at: index)
    case .missing: nil
    }
  }

  /// The bytes of `text` that hold the value at this path; nil if there is none.
  public func range(of path: JSONPath) -> Range<Int>? {
    switch syntax.find(path) {
    case .value(let index): syntax.entries[index].range
    case .missing: nil
    }
  }
}

extension JSONSyntax {
  enum Place {
    /// The entry of the value.
    case value(Int)
    /// No value. `innermost` is the last entry found on the way, `keyCount` the number of keys
    /// that led there.
    case missing(innermost: Int, keyCount: Int)
  }

  /// Follows a path. Of members with the same name it takes the first.
  func find(_ path: JSONPath) -> Place {
    var index = 0
    for (keyCount, key) in path.keys.enumerated() {
      guard let child = child(of: index, key) else {
        return .missing(innermost: index, keyCount: keyCount)
      }
      index = child
    }
    return .value(index)
  }

  private func child(of parent: Int, _ key: JSONKey) -> Int? {
    switch (entries[parent].kind, key) {
    case (.object, .name(let name)):
      return children(of: parent).first { sameBytes(self.name(of: $0), name) }
    case (.array, .index(let index)):
      let children = children(of: parent)
      return children.indices.contains(index) ? children[index] : nil
    default:
      return nil
    }
  }
}
