// Text in lines.

extension StringProtocol {
  /// The text without blanks at its ends.
  public var trimmed: String {
    var text = self[...]
    while text.first == " " { text.removeFirst() }
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}

/// `text` in lines of at most `width` columns, each after `indent` blanks.
public func wrapped(_ text: String, indent: Int, width: Int) -> String {
  let margin = String(repeating: " ", count: indent)
  var out = ""
  for paragraph in text.split(separator: "\n", omittingEmptySubsequences: false) {
    var line = margin
    for word in paragraph.split(separator: " ") {
      if line.count > indent, line.count + 1 + word.count > width {
        out += line + "\n"
        line = margin
      }
      line += (line.count > indent ? " " : "") + word
    }
    out += line + "\n"
  }
  return out
}
