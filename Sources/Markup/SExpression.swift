// S-expressions as xenopsd writes them, read into places and edited by splices.

/// An S-expression: lists in parentheses and atoms.
///
/// OCaml's records are lists of pairs `((time ...)(word_size 64))`, its variants pairs of a name and a
/// value `(HVM (...))`: a path has the names, `vm_str.ty.HVM.hap`. The elements of other lists are
/// found by their place, from 0. An atom that holds an S-expression itself, as xenopsd's `vm_str` does,
/// is a tree to paths: `vm_str.name`. Sexplib: src/lexer.mll, src/pre_sexp.ml.
public struct SExpression: MarkupDocument {
  struct Node {
    enum Kind { case list, atom }
    let kind: Kind
    /// From the parenthesis or quote to after the last one.
    var range: Range<Int>
    /// The node after the last one inside.
    var end: Int
    var isQuoted: Bool { kind == .atom && hasQuotes }
    var hasQuotes = false
  }

  public private(set) var text: [UInt8]
  /// Lists and atoms in the order of the text; what is inside a list follows it.
  private(set) var nodes: [Node]
  private let nesting: Int

  /// Reads a text of exactly one list or atom.
  public init(_ text: [UInt8]) throws(MarkupError) { try self.init(text, nesting: 0) }

  private init(_ text: [UInt8], nesting: Int) throws(MarkupError) {
    var scanner = SExpressionScanner(text)
    try scanner.run()
    self.text = text
    self.nesting = nesting
    nodes = scanner.nodes
  }

  // MARK: - Nodes

  private func elements(of node: Int) -> [Int] {
    guard nodes[node].kind == .list else { return [] }
    var out: [Int] = []
    var next = node + 1
    while next < nodes[node].end {
      out.append(next)
      next = nodes[next].end
    }
    return out
  }

  /// What an atom says.
  private func atom(_ node: Int) -> [UInt8] { unescaped(node).bytes }

  /// The same, and for each of its bytes (and after the last) where it comes from.
  private func unescaped(_ node: Int) -> (bytes: [UInt8], origins: [Int]) {
    let range = nodes[node].range
    guard nodes[node].isQuoted else {
      return (Array(text[range]), Array(range.lowerBound...range.upperBound))
    }
    return SExpressionScanner.unescaped(text, range.lowerBound + 1..<range.upperBound - 1)
  }

  /// The S-expression in an atom; nil for plain atoms.
  private func inner(_ node: Int) -> SExpression? {
    guard nodes[node].isQuoted, nesting < MarkupLimit.nesting else { return nil }
    let bytes = atom(node)
    guard bytes.first == UInt8(ascii: "(") else { return nil }
    return try? SExpression(bytes, nesting: nesting + 1)
  }

  /// The name and value of a pair `(name value)`; nil for others.
  private func pair(_ node: Int) -> (name: Int, value: Int)? {
    let inside = elements(of: node)
    guard inside.count == 2, nodes[inside[0]].kind == .atom else { return nil }
    return (inside[0], inside[1])
  }

  /// What an atom says, as a step of a path; nil where it is no UTF-8 and no text would find it.
  private func name(of node: Int) -> String? {
    let name = String(decoding: atom(node), as: UTF8.self)
    return isAtom(node, name) ? name : nil
  }

  private func isAtom(_ node: Int, _ name: String) -> Bool { atom(node).elementsEqual(name.utf8) }

  /// The values of a name in a list: of its pairs, or of the list where it is a pair itself.
  private func values(of name: String, in list: Int) -> [Int] {
    let values = elements(of: list).compactMap { element -> Int? in
      guard let pair = pair(element), isAtom(pair.name, name) else { return nil }
      return pair.value
    }
    if values.isEmpty, let own = pair(list), isAtom(own.name, name) { return [own.value] }
    return values
  }

  /// Where a path leads: a node, and the steps that continue inside the S-expression in its atom.
  private func find(_ path: MarkupPath) -> (node: Int, rest: [MarkupPath.Step])? {
    var node = 0
    var steps = path.steps[...]
    while let first = steps.first {
      guard nodes[node].kind == .list else { return (node, Array(steps)) }
      steps.removeFirst()
      switch first {
      case .attribute: return nil
      case .index(let index):
        let all = elements(of: node)
        guard all.indices.contains(index) else { return nil }
        node = all[index]
      case .name(let name):
        let found = values(of: name, in: node)
        // An index counts pairs of the same name; where there is only one, it goes into its value.
        var place = 0
        if found.count > 1, case .index(let index)? = steps.first {
          place = index
          steps.removeFirst()
        }
        guard found.indices.contains(place) else { return nil }
        node = found[place]
      }
    }
    return (node, [])
  }

  // MARK: - Reading

  public func value(at path: MarkupPath) -> MarkupValue? {
    guard let (node, rest) = find(path) else { return nil }
    if !rest.isEmpty { return inner(node)?.value(at: MarkupPath(rest)) }
    if nodes[node].kind == .list { return .tree(Array(text[nodes[node].range])) }
    if let inner = inner(node) { return .tree(inner.text) }
    return .text(String(decoding: atom(node), as: UTF8.self))
  }

  /// Whether there is a list at the path, and no atom.
  public func isList(at path: MarkupPath) -> Bool {
    guard let (node, rest) = find(path), rest.isEmpty else { return false }
    return nodes[node].kind == .list
  }

  /// Whether there is a list at the path whose elements are all lists of two atoms.
  public func isListOfPairs(at path: MarkupPath) -> Bool {
    guard isList(at: path), let (list, _) = find(path) else { return false }
    return elements(of: list).allSatisfy { element in
      guard let pair = pair(element) else { return false }
      return nodes[pair.value].kind == .atom
    }
  }

  public func children(of path: MarkupPath) -> [MarkupPath] {
    guard let (node, rest) = find(path) else { return [] }
    if nodes[node].kind == .atom {
      guard let inner = inner(node) else { return [] }
      let outer = MarkupPath(Array(path.steps.dropLast(rest.count)))
      return inner.children(of: MarkupPath(rest)).map { outer.appending($0) }
    }
    return steps(inside: node).map { path.appending($0.step) }
  }

  /// The steps to what is inside a list: names where all are pairs of different names, or it is a pair
  /// with a list; else places.
  private func steps(inside list: Int) -> [(step: MarkupPath.Step, node: Int)] {
    let inside = elements(of: list)
    let pairs = inside.compactMap { pair($0) }
    if !inside.isEmpty, pairs.count == inside.count {
      let names = pairs.compactMap { name(of: $0.name) }
      if Set(names).count == pairs.count {
        return zip(names, pairs).map { (.name($0.0), $0.1.value) }
      }
    }
    // `(a (a x))` is a pair, too, but its name leads into the pair inside.
    if let own = pair(list), nodes[own.value].kind == .list, let name = name(of: own.name),
      values(of: name, in: list) == [own.value]
    {
      return [(.name(name), own.value)]
    }
    return inside.enumerated().map { (.index($0.offset), $0.element) }
  }

  public func leaves(limit: Int) -> [(path: MarkupPath, text: String)] {
    var out: [(path: MarkupPath, text: String)] = []
    var waiting: [(path: MarkupPath, node: Int)] = [(MarkupPath([]), 0)]
    while let (path, node) = waiting.popLast(), out.count < limit {
      if nodes[node].kind == .list {
        waiting += steps(inside: node).reversed().map { (path.appending($0.step), $0.node) }
      } else if let inner = inner(node) {
        out += inner.leaves(limit: limit - out.count).map { (path.appending($0.path), $0.text) }
      } else {
        out.append((path, String(decoding: atom(node), as: UTF8.self)))
      }
    }
    return out
  }

  // MARK: - Editing

  public mutating func set(_ path: MarkupPath, to new: String) throws(MarkupError) {
    guard let (node, rest) = find(path) else { return try add(path, new) }
    if !rest.isEmpty {
      return try edit(inside: node, path) { inner throws(MarkupError) in
        try inner.set(MarkupPath(rest), to: new)
      }
    }
    guard nodes[node].kind == .atom else {
      throw MarkupError(
        "\(path.steps.isEmpty ? "the outermost list" : path.description) is a list: only text can be set",
        at: nodes[node].range.lowerBound)
    }
    guard !atom(node).elementsEqual(new.utf8) else { return }
    let before = self
    try splice(
      nodes[node].range, SExpressionScanner.written(new, quotes: nodes[node].isQuoted))
    switch value(at: path) {
    case .text(let text)? where text == new: return
    case .tree(let text)? where text.elementsEqual(new.utf8): return
    default:
      // A name that becomes that of the list around it: (a (b x)) as (a (a x)).
      self = before
      throw MarkupError(
        "\(path) cannot have this text: the path would lead elsewhere",
        at: nodes[node].range.lowerBound)
    }
  }

  /// Adds a pair to a record that lacks it.
  private mutating func add(_ path: MarkupPath, _ new: String) throws(MarkupError) {
    guard case .name(let name)? = path.steps.last,
      let (node, rest) = find(MarkupPath(path.steps.dropLast())), nodes[node].kind == .list,
      rest.isEmpty
    else { throw MarkupError("there is no \(path)", at: 0) }
    guard elements(of: node).allSatisfy({ pair($0) != nil }) else {
      throw MarkupError("there is no \(path), and its parent is no record", at: 0)
    }
    let end = nodes[node].range.upperBound - 1
    let written =
      SExpressionScanner.written(name, quotes: false) + [0x20]
      + SExpressionScanner.written(new, quotes: false)
    try splice(end..<end, [UInt8(ascii: "(")] + written + [UInt8(ascii: ")")])
  }

  public mutating func remove(_ path: MarkupPath) throws(MarkupError) {
    guard let (node, rest) = find(path), node != 0 || !rest.isEmpty else {
      throw MarkupError(
        path.steps.isEmpty ? "the outermost list cannot be removed" : "there is no \(path)", at: 0)
    }
    if !rest.isEmpty {
      return try edit(inside: node, path) { inner throws(MarkupError) in
        try inner.remove(MarkupPath(rest))
      }
    }
    // Of a pair the name goes, too.
    var place = node
    if let parent = nodes.indices.last(where: { $0 < node && nodes[$0].end > node }), parent != 0,
      let pair = pair(parent), pair.value == node, case .name? = path.steps.last
    {
      place = parent
    }
    try splice(nodes[place].range, [])
  }

  /// Edits the S-expression in an atom. Only the bytes that differ are written anew.
  private mutating func edit(
    inside node: Int, _ path: MarkupPath,
    _ change: (inout SExpression) throws(MarkupError) -> Void
  ) throws(MarkupError) {
    guard var inner = inner(node) else { throw MarkupError("there is no \(path)", at: 0) }
    let (before, origins) = unescaped(node)
    try change(&inner)
    let after = inner.text
    guard before != after else { return }
    let head = zip(before, after).prefix { $0 == $1 }.count
    let most = min(before.count, after.count) - head
    let tail = zip(before.reversed(), after.reversed()).prefix(most).prefix { $0 == $1 }.count
    let new = SExpressionScanner.escaped(after[head..<after.count - tail])
    try splice(origins[head]..<origins[before.count - tail], new)
  }

  private mutating func splice(_ range: Range<Int>, _ new: [UInt8]) throws(MarkupError) {
    var changed = text
    changed.replaceSubrange(range, with: new)
    self = try SExpression(changed, nesting: nesting)
  }
}
