// Finds out how a JSON text is laid out, as a whole and at one place.

extension JSONSyntax {
  /// The style that the text shows: its first indented line, first member, first empty array or
  /// object. What it does not show is as libxl writes it.
  var style: JSONStyle {
    var style = JSONStyle.compact
    let containers = entries.indices.filter { entries[$0].isContainer }
    let breaks = containers.lazy.flatMap { parent in
      children(of: parent).prefix(1).map { (parent: parent, leading: leading(of: $0)) }
    }
    if let (parent, leading) = breaks.first(where: { margin($0.leading) != nil }) {
      let inner = margin(leading) ?? []
      let outer = lineMargin(at: entries[parent].start)
      style = .libxl
      style.indent = String(decoding: inner.dropFirst(outer.count), as: UTF8.self)
      if leading.contains(ASCII.carriageReturn) { style.lineEnd = "\r\n" }
      if let empty = containers.first(where: { children(of: $0).isEmpty }) {
        let hasBreak = margin(text[entries[empty].range]) != nil
        style.emptyContainers = hasBreak ? .blankLine : .closed
      }
    }
    if let member = entries.first(where: { $0.name != nil }), let name = member.name {
      let separator = text[name.upperBound..<member.range.lowerBound]
      style.nameSeparator = String(decoding: separator, as: UTF8.self)
    }
    return style
  }

  /// The white space before a member or element.
  func leading(of index: Int) -> ArraySlice<UInt8> {
    let end = entries[index].start
    var start = end
    while start > 0, ASCII.isWhiteSpace(text[start - 1]) {
      start -= 1
    }
    return text[start..<end]
  }

  /// What stands between the last line end and the end of a text; nil if it is one line.
  func margin(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    text.lastIndex(of: ASCII.lineFeed).map { text[($0 + 1)...] }
  }

  /// The white space that the line of `offset` starts with.
  func lineMargin(at offset: Int) -> ArraySlice<UInt8> {
    let line = margin(text[..<offset]) ?? text[..<offset]
    return line.prefix { $0 == ASCII.space || $0 == ASCII.tab }
  }
}
