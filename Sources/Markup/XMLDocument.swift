// XML as libvirt writes it, read into places and edited by splices.

/// An XML text: its elements, attributes and their text.
///
/// The subset that libvirt's documents are in: elements, attributes, text, the five entities and
/// numbers of characters, comments, CDATA, processing instructions. A document type is refused: what
/// it defines could change what everything else means. W3C: Extensible Markup Language 1.0.
public struct XMLDocument: MarkupDocument {
  struct Node {
    enum Kind { case element, attribute }
    let kind: Kind
    /// The bytes of the name.
    let name: Range<Int>
    /// From '<' to after the last '>' of an element; from the name to after the last quote of an
    /// attribute.
    var range: Range<Int>
    /// Between the tags, or between the quotes; nil for an element without an end tag: `<a/>`.
    var content: Range<Int>?
    /// The element around it; -1 for the root.
    let parent: Int
    /// The next element or attribute of the same parent; -1 for the last.
    var next = -1
    var firstElement = -1
    var lastElement = -1
    var firstAttribute = -1
    var lastAttribute = -1
    /// Where a new attribute goes: before the '>' or '/>' of the start tag.
    var tagEnd = 0
  }

  public private(set) var text: [UInt8]
  /// The elements and attributes, in the order of the text; the root comes first.
  private(set) var nodes: [Node]

  /// Reads a text of exactly one element, and what may stand around it.
  public init(_ text: [UInt8]) throws(MarkupError) {
    var scanner = XMLScanner(text)
    try scanner.run()
    self.text = text
    nodes = scanner.nodes
  }

  /// The name of the outermost element.
  public var rootName: String { name(of: 0) }

  func name(of node: Int) -> String { String(decoding: text[nodes[node].name], as: UTF8.self) }

  // MARK: - Finding

  /// Follows a path from the root element. The root's own name may stand first.
  func find(_ path: MarkupPath) -> Int? {
    if let found = find(path.steps[...], from: 0) { return found }
    guard case .name(rootName)? = path.steps.first else { return nil }
    return find(path.steps.dropFirst(), from: 0)
  }

  private func find(_ steps: ArraySlice<MarkupPath.Step>, from start: Int) -> Int? {
    var node = start
    var rest = steps
    while let step = rest.popFirst() {
      guard nodes[node].kind == .element else { return nil }
      var found: [Int]
      var place = 0
      switch step {
      case .attribute(let name): found = attributes(of: node).filter { has($0, name) }
      case .name(let name):
        found = elements(of: node).filter { has($0, name) }
        if case .index(let index)? = rest.first {
          place = index
          rest.removeFirst()
        }
      case .index(let index):
        found = elements(of: node)
        place = index
      }
      guard found.indices.contains(place) else { return nil }
      node = found[place]
    }
    return node
  }

  private func has(_ node: Int, _ name: String) -> Bool {
    text[nodes[node].name].elementsEqual(name.utf8)
  }

  private func elements(of node: Int) -> [Int] { chain(nodes[node].firstElement) }
  private func attributes(of node: Int) -> [Int] { chain(nodes[node].firstAttribute) }
  private func chain(_ first: Int) -> [Int] {
    var out: [Int] = []
    var node = first
    while node >= 0 {
      out.append(node)
      node = nodes[node].next
    }
    return out
  }

  public func value(at path: MarkupPath) -> MarkupValue? {
    guard let node = find(path) else { return nil }
    if nodes[node].firstElement >= 0 { return .tree(Array(text[nodes[node].range])) }
    return .text(String(decoding: plainText(of: node), as: UTF8.self))
  }

  /// The text of an attribute or of an element without others inside.
  private func plainText(of node: Int) -> [UInt8] {
    guard let content = nodes[node].content else { return [] }
    return XMLScanner.plainText(text, content, isAttribute: nodes[node].kind == .attribute)
  }

  public func children(of path: MarkupPath) -> [MarkupPath] {
    guard let node = find(path), nodes[node].kind == .element else { return [] }
    var out = attributes(of: node).map { path.appending(.attribute(name(of: $0))) }
    let inside = elements(of: node).map { name(of: $0) }
    var totals: [String: Int] = [:]
    for name in inside { totals[name, default: 0] += 1 }
    var seen: [String: Int] = [:]
    for name in inside {
      let place = seen[name, default: 0]
      seen[name] = place + 1
      let named = path.appending(.name(name))
      out.append(totals[name] == 1 ? named : named.appending(.index(place)))
    }
    return out
  }

  public func leaves(limit: Int) -> [(path: MarkupPath, text: String)] {
    // How many of a name an element has, and how many of them came already.
    var totals: [Key: Int] = [:]
    for node in nodes where node.kind == .element {
      totals[Key(parent: node.parent, name: Array(text[node.name])), default: 0] += 1
    }
    var seen: [Key: Int] = [:]
    var paths: [Int: MarkupPath] = [:]
    var out: [(path: MarkupPath, text: String)] = []
    for (index, node) in nodes.enumerated() where out.count < limit {
      let outer = paths[node.parent] ?? MarkupPath([])
      var path = outer
      if node.kind == .attribute {
        path = outer.appending(.attribute(name(of: index)))
      } else if index > 0 {
        let key = Key(parent: node.parent, name: Array(text[node.name]))
        let place = seen[key, default: 0]
        seen[key] = place + 1
        path = outer.appending(.name(name(of: index)))
        if totals[key] != 1 { path = path.appending(.index(place)) }
      }
      if node.firstElement >= 0 || node.firstAttribute >= 0 { paths[index] = path }
      guard node.firstElement < 0 else { continue }
      let said = String(decoding: plainText(of: index), as: UTF8.self)
      // An element that only has attributes says nothing itself.
      if said.isEmpty, node.firstAttribute >= 0 { continue }
      out.append((path, said))
    }
    return out
  }

  private struct Key: Hashable {
    let parent: Int
    let name: [UInt8]
  }

  // MARK: - Editing

  public mutating func set(_ path: MarkupPath, to new: String) throws(MarkupError) {
    guard let node = find(path) else { return try add(path, new) }
    guard nodes[node].firstElement < 0 else {
      throw MarkupError(
        "\(path.steps.isEmpty ? rootName : path.description) has elements inside: only text can be set",
        at: nodes[node].range.lowerBound)
    }
    guard !plainText(of: node).elementsEqual(new.utf8) else { return }
    if let content = nodes[node].content {
      let mark = nodes[node].kind == .attribute ? text[content.upperBound] : nil
      try splice(content, try XMLDocument.escaped(new, quote: mark))
    } else {
      try open(node, try XMLDocument.escaped(new, quote: nil))
    }
  }

  /// Adds an attribute or element that is not there yet, as the last one of its parent.
  private mutating func add(_ path: MarkupPath, _ new: String) throws(MarkupError) {
    var outer = path.steps
    var place: Int?
    if case .index(let index)? = outer.last {
      place = index
      outer.removeLast()
    }
    guard let last = outer.popLast(), let parent = find(MarkupPath(outer)),
      nodes[parent].kind == .element
    else { throw MarkupError("there is no \(path)", at: 0) }
    switch last {
    case .attribute(let name):
      guard place == nil else { throw MarkupError("there is no \(path)", at: 0) }
      try check(name)
      let mark =
        attributes(of: parent).first.flatMap { nodes[$0].content }
        .map { text[$0.upperBound] } ?? UInt8(ascii: "'")
      let end = nodes[parent].tagEnd
      let bytes =
        Array(" \(name)=".utf8) + [mark] + (try XMLDocument.escaped(new, quote: mark)) + [mark]
      try splice(end..<end, bytes)
    case .name(let name):
      let same = elements(of: parent).filter { has($0, name) }.count
      guard place ?? same == same else { throw MarkupError("there is no \(path)", at: 0) }
      try check(name)
      let content = try XMLDocument.escaped(new, quote: nil)
      let element =
        content.isEmpty
        ? Array("<\(name)/>".utf8) : Array("<\(name)>".utf8) + content + Array("</\(name)>".utf8)
      if let neighbour = elements(of: parent).last {
        // The layout of the neighbour: what white space stands before it.
        let start = nodes[neighbour].range.lowerBound
        let space = text[..<start].suffix { XMLScanner.isSpace($0) }
        let end = nodes[neighbour].range.upperBound
        try splice(end..<end, Array(space) + element)
      } else if let content = nodes[parent].content {
        guard text[content].allSatisfy(XMLScanner.isSpace) else {
          throw MarkupError("there is text around \(path)", at: content.lowerBound)
        }
        try splice(content.lowerBound..<content.lowerBound, element)
      } else {
        try open(parent, element)
      }
    case .index: throw MarkupError("there is no \(path)", at: 0)
    }
  }

  /// Gives an element without an end tag its first content.
  private mutating func open(_ node: Int, _ content: [UInt8]) throws(MarkupError) {
    let end = nodes[node].range.upperBound
    let name = Array(text[nodes[node].name])
    try splice(
      nodes[node].tagEnd..<end,
      [UInt8(ascii: ">")] + content + Array("</".utf8) + name + [UInt8(ascii: ">")])
  }

  public mutating func remove(_ path: MarkupPath) throws(MarkupError) {
    guard let node = find(path) else { throw MarkupError("there is no \(path)", at: 0) }
    guard node != 0 else { throw MarkupError("the outermost element cannot be removed", at: 0) }
    let range = nodes[node].range
    // With the white space before it, which belongs to its line.
    let space = text[..<range.lowerBound].suffix { XMLScanner.isSpace($0) }.count
    try splice(range.lowerBound - space..<range.upperBound, [])
  }

  private mutating func splice(_ range: Range<Int>, _ new: [UInt8]) throws(MarkupError) {
    var changed = text
    changed.replaceSubrange(range, with: new)
    self = try XMLDocument(changed)
  }

  private func check(_ name: String) throws(MarkupError) {
    guard let first = name.utf8.first, XMLScanner.isNameStart(first),
      name.utf8.allSatisfy(XMLScanner.isNameByte)
    else { throw MarkupError("\(quoted(name.utf8)) is no name of XML", at: 0) }
  }

  /// Text as it stands between tags, or between quotes.
  private static func escaped(_ text: String, quote: UInt8?) throws(MarkupError) -> [UInt8] {
    var out: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "&"): out += Array("&amp;".utf8)
      case UInt8(ascii: "<"): out += Array("&lt;".utf8)
      case UInt8(ascii: ">"): out += Array("&gt;".utf8)
      case UInt8(ascii: "\""): out += quote == byte ? Array("&quot;".utf8) : [byte]
      case UInt8(ascii: "'"): out += quote == byte ? Array("&apos;".utf8) : [byte]
      case 0x0D: out += Array("&#13;".utf8)
      // Attributes have their line ends and tabs turned into spaces by whoever reads them.
      case 0x0A, 0x09: out += quote == nil ? [byte] : Array("&#\(byte);".utf8)
      case 0..<0x20:
        throw MarkupError("XML has no place for the control character \(named(byte))", at: 0)
      default: out.append(byte)
      }
    }
    return out
  }
}

extension RandomAccessCollection {
  /// The longest end of which all elements are such.
  fileprivate func suffix(while isSuch: (Element) -> Bool) -> SubSequence {
    var start = endIndex
    while start > startIndex, isSuch(self[index(before: start)]) { start = index(before: start) }
    return self[start...]
  }
}
