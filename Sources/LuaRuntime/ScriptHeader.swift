// What a script says of itself.

/// The comment that a script begins with: its manual.
public struct ScriptHeader {
  public let text: String

  /// The first comment of a script's text, after "#!".
  public init(_ script: String) {
    var lines: [Substring] = []
    for line in script.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("#!"), lines.isEmpty { continue }
      guard line.hasPrefix("--") else { break }
      var rest = line.dropFirst(2)
      if rest.first == " " { rest.removeFirst() }
      lines.append(rest)
    }
    text = lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
  }

  /// The first line, for lists.
  public var summary: String { String(text.prefix { $0 != "\n" }) }
}
