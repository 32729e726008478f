// Edits of a document: which bytes go, which come.

extension JSONDocument {
  /// Replaces the value at `path`, or adds the last name of `path` to an object that lacks it.
  /// Setting a value to itself changes no byte.
  public mutating func set(_ path: JSONPath, to value: JSONValue) throws(JSONError) {
    switch syntax.find(path) {
    case .value(let index):
      guard syntax.value(at: index) != value else { return }
      let entry = syntax.entries[index]
      let isBroken =
        index == 0 || syntax.margin(syntax.leading(of: index)) != nil
      let new = render(value, lines: isBroken, margin: syntax.lineMargin(at: entry.start))
      try splice(entry.range, new)
    case .missing(let parent, let keyCount):
      guard keyCount == path.keys.count - 1, case .name = path.keys[keyCount] else {
        throw error(.noValue(path), at: parent)
      }
      try insert(value, at: path)
    }
  }

  /// Adds a value. If `path` ends in a name, its object must lack it and gets it as the last
  /// member; if it ends in an index, the value goes before the element of that index, or after
  /// the last one.
  public mutating func insert(_ value: JSONValue, at path: JSONPath) throws(JSONError) {
    guard let key = path.keys.last, let parentPath = path.parent else {
      throw error(.rootIsFixed, at: 0)
    }
    let parent = try entry(at: parentPath)
    let children = syntax.children(of: parent)
    let position: Int
    var name: [UInt8] = []
    switch (syntax.entries[parent].kind, key) {
    case (.object, .name(let text)):
      if case .value(let index) = syntax.find(path) { throw error(.memberExists(path), at: index) }
      position = children.count
      name = JSONValue.string(text).text()
    case (.array, .index(let index)) where (0...children.count).contains(index):
      position = index
    default:
      throw error(.noValue(path), at: parent)
    }

    guard !children.isEmpty else { return try fill(parent, name, value) }
    let neighbour = children[min(max(position, 1), children.count - 1)]
    let leading = syntax.leading(of: neighbour)
    let margin = syntax.margin(leading)
    let new =
      nameAndSeparator(name, like: neighbour)
      + render(value, lines: margin != nil, margin: margin ?? [])
    if position < children.count {
      let start = syntax.entries[children[position]].start
      try splice(start..<start, new + [ASCII.comma] + leading)
    } else {
      let end = syntax.entries[neighbour].range.upperBound
      try splice(end..<end, [ASCII.comma] + leading + new)
    }
  }

  /// Removes the member or element at `path` with one comma and the white space before it.
  public mutating func remove(_ path: JSONPath) throws(JSONError) {
    guard let parentPath = path.parent else { throw error(.rootIsFixed, at: 0) }
    let index = try entry(at: path)
    let parent = try entry(at: parentPath)
    let entry = syntax.entries[index]
    let children = syntax.children(of: parent)
    let position = children.firstIndex(of: index) ?? 0
    if position + 1 < children.count {
      try splice(entry.start..<syntax.entries[children[position + 1]].start, [])
    } else if position > 0 {
      let start = syntax.entries[children[position - 1]].range.upperBound
      try splice(start..<entry.range.upperBound, [])
    } else {
      let container = syntax.entries[parent]
      let empty: JSONValue = container.kind == .array ? .array([]) : .object([:])
      let isBroken = syntax.margin(syntax.leading(of: index)) != nil
      let margin = syntax.lineMargin(at: container.start)
      try splice(container.range, render(empty, lines: isBroken, margin: margin))
    }
  }

  /// Gives an empty array or object its first content.
  private mutating func fill(
    _ parent: Int, _ name: [UInt8], _ value: JSONValue
  ) throws(JSONError) {
    let entry = syntax.entries[parent]
    var new = name
    if !name.isEmpty { new += style.nameSeparator.utf8 }
    if let indent = style.indent {
      let outer = String(decoding: syntax.lineMargin(at: entry.start), as: UTF8.self)
      new = Array((style.lineEnd + outer + indent).utf8) + new
      new += render(value, lines: true, margin: (outer + indent).utf8)
      new += (style.lineEnd + outer).utf8
    } else {
      new += render(value, lines: false, margin: [])
    }
    try splice(entry.range.lowerBound + 1..<entry.range.upperBound - 1, new)
  }

  /// A member's name, if it has one, and what stands after the names around it.
  private func nameAndSeparator(_ name: [UInt8], like neighbour: Int) -> [UInt8] {
    guard let other = syntax.entries[neighbour].name else { return name }
    return name + text[other.upperBound..<syntax.entries[neighbour].range.lowerBound]
  }

  private func render(
    _ value: JSONValue, lines: Bool, margin: some Collection<UInt8>
  ) -> [UInt8] {
    var style = style
    if !lines { style.indent = nil }
    var writer = JSONWriter(style: style, margin: String(decoding: margin, as: UTF8.self))
    writer.value(value)
    return writer.take()
  }

  private mutating func splice(_ range: Range<Int>, _ new: [UInt8]) throws(JSONError) {
    var text = text
    text.replaceSubrange(range, with: new)
    syntax = try JSONSyntax(text, options: options)
  }

  private func entry(at path: JSONPath) throws(JSONError) -> Int {
    switch syntax.find(path) {
    case .value(let index): return index
    case .missing(let innermost, _): throw error(.noValue(path), at: innermost)
    }
  }

  private func error(_ kind: JSONError.Kind, at index: Int) -> JSONError {
    JSONError(kind, at: syntax.entries[index].range.lowerBound, in: text)
  }
}
