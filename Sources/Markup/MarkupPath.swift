// Where something is in a tree of text: `devices.interface[0].mac@address`, `vm_str.name`.

/// The steps from the root of a document to one of its places; none for the root itself.
public struct MarkupPath: Sendable, Equatable {
  /// One step of a path.
  public enum Step: Sendable, Equatable {
    /// Into what has this name: the first, unless an index follows.
    case name(String)
    /// To the place, from 0, among those of the name before it; of a list into this element.
    case index(Int)
    /// To the attribute of this name.
    case attribute(String)
  }

  /// The steps, outermost first.
  public var steps: [Step]

  /// A path of these steps.
  public init(_ steps: [Step]) { self.steps = steps }

  /// This path and one step more.
  public func appending(_ step: Step) -> MarkupPath { MarkupPath(steps + [step]) }

  /// This path and all steps of another.
  public func appending(_ path: MarkupPath) -> MarkupPath { MarkupPath(steps + path.steps) }
}

extension MarkupPath {
  /// Most steps of a path: documents are no deeper.
  static let limit = 256

  /// Reads the text form. The offset of an error counts bytes of `text`.
  ///
  ///      path    = [ step *( [ "." ] step ) ]
  ///      step    = name [ index ] / string / index / [ "." ] "@" ( name / string )
  ///      name    = 1*( letter / digit / "_" / "-" / ":" )
  ///      index   = "[" digits "]"
  ///      string  = "[" quote name of any characters, with \" and \\ quote "]"
  public init(parsing text: String) throws(MarkupError) {
    let bytes = Array(text.utf8)
    var position = 0
    var steps: [Step] = []
    func next() -> UInt8? { position < bytes.count ? bytes[position] : nil }
    func name() throws(MarkupError) -> String {
      let start = position
      while let byte = next(), MarkupPath.isPlain(byte) { position += 1 }
      guard position > start else {
        throw MarkupError("expected a name, got \(named(next()))", at: position)
      }
      return String(decoding: bytes[start..<position], as: UTF8.self)
    }
    func close() throws(MarkupError) {
      guard next() == UInt8(ascii: "]") else {
        throw MarkupError("expected ']', got \(named(next()))", at: position)
      }
      position += 1
    }
    while position < bytes.count {
      guard steps.count < MarkupPath.limit else {
        throw MarkupError("expected at most \(MarkupPath.limit) steps", at: position)
      }
      switch bytes[position] {
      case UInt8(ascii: "["):
        position += 1
        if next() == UInt8(ascii: "\"") {
          steps.append(.name(try MarkupPath.string(bytes, &position)))
        } else {
          let start = position
          while let byte = next(), (0x30...0x39).contains(byte) { position += 1 }
          guard let index = Int(String(decoding: bytes[start..<position], as: UTF8.self)) else {
            throw MarkupError(
              "expected an index or a quoted name, got \(named(next()))", at: position)
          }
          steps.append(.index(index))
        }
        try close()
      case UInt8(ascii: "@"):
        position += 1
        if next() == UInt8(ascii: "[") {
          position += 1
          guard next() == UInt8(ascii: "\"") else {
            throw MarkupError("expected a quoted name, got \(named(next()))", at: position)
          }
          steps.append(.attribute(try MarkupPath.string(bytes, &position)))
          try close()
        } else {
          steps.append(.attribute(try name()))
        }
      case UInt8(ascii: "."):
        guard !steps.isEmpty else { throw MarkupError("expected a name, got '.'", at: position) }
        position += 1
        if next() != UInt8(ascii: "@") { steps.append(.name(try name())) }
      default:
        guard steps.isEmpty else {
          throw MarkupError("expected '.', '[' or '@', got \(named(next()))", at: position)
        }
        steps.append(.name(try name()))
      }
    }
    self.steps = steps
  }

  private static func string(
    _ bytes: [UInt8], _ position: inout Int
  ) throws(MarkupError) -> String {
    position += 1
    var out: [UInt8] = []
    while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
      if bytes[position] == UInt8(ascii: "\\"), position + 1 < bytes.count { position += 1 }
      out.append(bytes[position])
      position += 1
    }
    guard position < bytes.count else {
      throw MarkupError("expected '\"', got the end", at: position)
    }
    position += 1
    return String(decoding: out, as: UTF8.self)
  }

  static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
      UInt8(ascii: ":"):
      true
    default: false
    }
  }
}

extension MarkupPath: CustomStringConvertible {
  /// The text form; `parsing` reads it back. The root is the empty text.
  public var description: String {
    var text = ""
    for step in steps {
      switch step {
      case .name(let name):
        text +=
          MarkupPath.isPlain(name) ? (text.isEmpty ? name : ".\(name)") : MarkupPath.quoted(name)
      case .index(let index): text += "[\(index)]"
      case .attribute(let name):
        text += "@" + (MarkupPath.isPlain(name) ? name : MarkupPath.quoted(name))
      }
    }
    return text
  }

  private static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy(isPlain)
  }

  private static func quoted(_ name: String) -> String {
    var escaped = ""
    for scalar in name.unicodeScalars {
      if scalar == "\"" || scalar == "\\" { escaped += "\\" }
      escaped.unicodeScalars.append(scalar)
    }
    return "[\"\(escaped)\"]"
  }
}
