// libvirt's XML and xenopsd's record as Lua reads and writes them.

internal import Format
internal import ImageEdit
package import LuaRuntime
internal import Markup
internal import Stream

/// A description of the domain in a header or record: its text, and where changed text goes.
package final class TreeSource {
  let kind: DomainText
  /// The text as it is now; nil where there is none.
  private let read: () throws -> [UInt8]?
  private let write: ([UInt8]) throws -> Void
  private var parsed: (any MarkupDocument)?

  init(
    _ kind: DomainText, read: @escaping () throws -> [UInt8]?,
    write: @escaping ([UInt8]) throws -> Void
  ) {
    self.kind = kind
    self.read = read
    self.write = write
  }

  /// The text of the document that was read last, for who counts memory.
  var byteCount: Int { parsed?.text.count ?? 0 }

  func document() throws -> any MarkupDocument {
    guard let text = try read() else { throw LuaError("\(kind.title) is gone") }
    if let parsed, parsed.text == text { return parsed }
    do {
      let document = try kind.document(text)
      parsed = document
      return document
    } catch { throw LuaError("\(kind.title): \(error)", code: "bad_config") }
  }

  func change(
    _ body: (inout any MarkupDocument) throws(MarkupError) -> Void
  ) throws {
    var document = try document()
    do { try body(&document) } catch { throw LuaError("\(kind.title): \(error.problem)") }
    try write(document.text)
    parsed = document
  }
}

/// A place in libvirt's XML or in xenopsd's record. Every access finds its place anew.
package final class LuaTree {
  let source: TreeSource
  let path: MarkupPath

  init(_ source: TreeSource, _ path: MarkupPath = MarkupPath([])) {
    self.source = source
    self.path = path
  }

  /// The text, or the source of what has others inside.
  package func text() throws -> String {
    switch try source.document().value(at: path) {
    case .text(let text): text
    case .tree(let text): String(decoding: text, as: UTF8.self)
    case nil: throw LuaError("\(source.kind.title(path)) is gone")
    }
  }

  /// The names of what is inside, for completion.
  package func names() -> [String] {
    guard let children = try? source.document().children(of: path) else { return [] }
    return children.compactMap { child in
      switch child.steps.dropFirst(path.steps.count).first {
      case .name(let name)?: name
      case .attribute(let name)?: "@\(name)"
      default: nil
      }
    }
  }

  /// The part under a name or number, if it has others inside.
  package func child(_ name: String?, _ position: Int?) throws -> LuaTree? {
    let place =
      try name.map { name in try self.place(name) }
      ?? self.place(position ?? 1)
    guard case .tree? = try source.document().value(at: place) else { return nil }
    return LuaTree(source, place)
  }

  /// A name may be a whole path: "devices.disk[0].source@file".
  private func place(_ name: String) throws -> MarkupPath {
    let plain = path.appending(.name(name))
    if try source.document().value(at: plain) != nil { return plain }
    do { return path.appending(try MarkupPath(parsing: name)) } catch {
      throw LuaError("\(source.kind.title): '\(name)': \(error.problem)")
    }
  }

  /// A number, from 1: of an element of XML the one of its name, of a list its element.
  private func place(_ position: Int) -> MarkupPath { path.appending(.index(position - 1)) }

  private func key(_ frame: LuaFrame) throws -> MarkupPath {
    if frame.type(2) == .number { return place(try frame.integer(2, in: 1...1_000_000)) }
    return try place(try frame.string(2))
  }

  private func push(_ place: MarkupPath, _ frame: LuaFrame) throws {
    switch try source.document().value(at: place) {
    case .text(let text): frame.push(text)
    case .tree: frame.push(object: LuaTree(source, place))
    case nil: frame.pushNil()
    }
  }

  package static var table: LuaClass<LuaTree> {
    var table = LuaClass<LuaTree>(
      "Tree",
      "A part of libvirt's XML or of xenopsd's Xenops record. Parts by name give their text, or a tree "
        + "where others are inside; a name may be a path as `dump` has it, with the attribute after "
        + "\"@\" and places from 0: tree[\"devices.disk[0].source@file\"]. Assigning writes the text "
        + "back with everything else as it was; nil removes.",
      [
        .method(
          "text", "(): string", "The text of the part; of one with others inside, its source."
        ) { tree, frame in
          frame.push(try tree.text())
          return 1
        },
        .method(
          "each", "(): fun(): string|integer, string|Tree",
          "Iterates over what is inside: names (attributes with \"@\") or numbers from 1, and texts or "
            + "trees, in the order of the text.",
          example: "for name, value in img.xml:each() do print(name, value) end"
        ) { tree, frame in
          let places = try tree.source.document().children(of: tree.path)
          frame.pushIterator("each", places) { place, position, frame in
            switch place.steps.dropFirst(tree.path.steps.count).first {
            case .name(let name)?: frame.push(name)
            case .attribute(let name)?: frame.push("@\(name)")
            case .index(let index)?: frame.push(index + 1)
            case nil: frame.push(position + 1)
            }
            try tree.push(place, frame)
            return 2
          }
          return 1
        },
        .method(
          "values", "(): table<string, string>",
          "All texts inside by their paths, of attributes too.",
          example: "for path, text in xs.sorted(img.xml:values()) do print(path, text) end"
        ) { tree, frame in
          let count = tree.path.steps.count
          let inside = try tree.source.document().leaves(limit: 10_000).filter {
            $0.path.steps.starts(with: tree.path.steps)
          }
          frame.push(
            LuaValue.table(
              inside.map { leaf in
                (
                  name: MarkupPath(Array(leaf.path.steps.dropFirst(count))).description,
                  value: .text(leaf.text)
                )
              }))
          return 1
        },
        .method(
          "all", "(name: string): fun(): integer, Tree",
          "Iterates over the parts of one name, as trees: numbers from 1, and the parts.",
          example: "for _, disk in img.xml.devices:all \"disk\" do print(disk[\"target@dev\"]) end"
        ) { tree, frame in
          let name = try frame.string(2)
          var next = 0
          frame.push(function: "all") { frame in
            let place = tree.path.appending(.name(name)).appending(.index(next))
            guard try tree.source.document().value(at: place) != nil else {
              frame.pushNil()
              return 1
            }
            next += 1
            frame.push(next)
            frame.push(object: LuaTree(tree.source, place))
            return 2
          }
          return 1
        },
      ])
    table.index = { tree, frame in
      try tree.push(try tree.key(frame), frame)
      return 1
    }
    table.newIndex = { tree, frame in
      let place = try tree.key(frame)
      if frame.isMissing(3) {
        guard try tree.source.document().value(at: place) != nil else { return 0 }
        try tree.source.change { document throws(MarkupError) in try document.remove(place) }
        return 0
      }
      let text: String
      switch frame.type(3) {
      case .string: text = try frame.string(3)
      case .number: text = frame.text(3)
      case .boolean: text = frame.boolean(3) ? "true" : "false"
      default:
        throw LuaError(
          "\(tree.source.kind.title(place)): expected text or nil, got \(frame.typeName(3))")
      }
      try tree.source.change { document throws(MarkupError) in try document.set(place, to: text) }
      return 0
    }
    table.length = { tree, frame in
      frame.push(try tree.source.document().children(of: tree.path).count)
      return 1
    }
    table.weight = { $0.source.byteCount }
    table.toString = { (try? $0.text()) ?? $0.source.kind.title($0.path) }
    return table
  }
}

extension LuaHeader {
  /// libvirt's XML; nil for other headers.
  package func tree() -> LuaTree? {
    guard DomainText.text(header) != nil else { return nil }
    return LuaTree(
      TreeSource(.xml) {
        DomainText.text(self.header)
      } write: {
        text in
        try self.setXML(text)
      })
  }
}

extension LuaRecord {
  /// What a Xenops record says; nil for other records.
  package func tree() throws -> LuaTree? {
    guard record.type == .xenops else { return nil }
    return LuaTree(
      TreeSource(.xenops) {
        guard let text = DomainText.text(self.record) else {
          throw LuaError("\(self.record.place): longer than what is read into memory")
        }
        return text
      } write: { text in
        try self.setFieldBytes(text, keepsShape: false)
      })
  }
}
