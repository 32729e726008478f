// Headers as Lua sees them, and the configuration in the xl header.

internal import Bytes
package import Format
internal import ImageEdit
package import JSON
package import LuaRuntime
package import Stream

/// A header in a script's hands.
package final class LuaHeader: FieldOwner {
  package private(set) var header: Header
  private var isValid = true
  /// Called when a script changes the header: an image notes what to write.
  var onChange: ((Header) throws -> Void)?
  private var parsedConfig: JSONDocument?

  package init(_ header: Header) { self.header = header }

  package var fieldBytes: [UInt8] { header.bytes }
  package var fieldLayout: BodySchema { header.layout }
  package var fieldTitle: String { "\(header.kind.rawValue)_header" }
  /// Rows of headers lie where they lie.
  package let fieldShape = 0

  func invalidate() { isValid = false }
  package func checkValid() throws {
    guard isValid else { throw LuaError("stale header: \(header.kind.title) has passed") }
  }

  package func setFieldBytes(_ bytes: [UInt8], keepsShape: Bool) throws {
    try checkValid()
    header.bytes = bytes
    parsedConfig = nil
    try onChange?(header)
  }

  /// The configuration as a document; nil where there is none, or none in JSON.
  package func config() throws -> JSONDocument? {
    if let parsedConfig { return parsedConfig }
    guard XLConfig.isJSON(header), let text = XLConfig.text(header) else { return nil }
    do {
      let document = try JSONDocument(text)
      parsedConfig = document
      return document
    } catch { throw LuaError("xl header: config: \(error)", code: "bad_config") }
  }

  /// More than any configuration has, and little enough for a sandbox.
  static let configLimit = 4 << 20

  func setConfig(_ document: JSONDocument) throws {
    try checkValid()
    guard document.text.count <= LuaHeader.configLimit else {
      throw LuaError(
        "config: expected at most \(LuaHeader.configLimit) bytes, got \(document.text.count)")
    }
    XLConfig.setText(document.text, in: &header)
    parsedConfig = document
    try onChange?(header)
  }

  func setXML(_ text: [UInt8]) throws {
    try checkValid()
    guard text.count <= LuaHeader.configLimit, !text.contains(0) else {
      throw LuaError(
        "xml: expected at most \(LuaHeader.configLimit) bytes without a NUL, got \(text.count)")
    }
    guard header.kind == .libvirt else {
      throw LuaError("xml: expected libvirt's header, got the \(header.kind.title)")
    }
    DomainText.setText(text, in: &header)
    try onChange?(header)
  }

  package static var table: LuaClass<LuaHeader> {
    var table = LuaClass<LuaHeader>(
      "Header",
      "A header. Besides the members below it has the fields of its kind by their names in the "
        + "specification; assigning to one writes it.",
      [
        .property("kind", "string", "\"xl\", \"libxl\", \"image\" or \"domain\".") {
          header, frame in frame.push(header.header.kind.rawValue)
        },
        .property("offset", "integer", "Bytes from the start of the image.", unit: "bytes") {
          header, frame in
          frame.push(header.header.offset)
        },
        .property(
          "config", "Config?",
          "The domain's configuration in the xl header, as a table that writes back. Nil for other "
            + "headers, and where the configuration is not JSON.",
          example: "h.config.c_info.name = \"web1\""
        ) { header, frame in
          if try header.config() == nil {
            frame.pushNil()
          } else {
            frame.push(object: LuaConfig(header, JSONPath([])))
          }
        },
        .property(
          "config_text", "string?", "The configuration's text, without its NUL.",
          get: { header, frame in
            if let text = XLConfig.text(header.header) { frame.push(text) } else { frame.pushNil() }
          },
          set: { header, frame in
            let text = try frame.bytes(3)
            guard header.header.kind == .xl else {
              throw LuaError(
                "config_text: expected the xl header, which has a configuration, got the "
                  + header.header.kind.title)
            }
            guard !text.contains(0) else {
              throw LuaError("config_text: expected no NUL in the configuration")
            }
            // What readers take: the length of the optional data has only 32 bits.
            guard text.count < StreamReader.Limit.head else {
              throw LuaError(
                "config_text: expected less than \(StreamReader.Limit.head) bytes, got "
                  + "\(text.count)")
            }
            try header.checkValid()
            XLConfig.setText(text, in: &header.header)
            header.parsedConfig = nil
            try header.onChange?(header.header)
          }),
        .property(
          "xml", "Tree?",
          "The domain's XML in libvirt's header, as a tree that writes back; nil for other headers.",
          example: "h.xml.name = \"web1\""
        ) { header, frame in
          if let tree = header.tree() { frame.push(object: tree) } else { frame.pushNil() }
        },
        .property(
          "xml_text", "string?", "The text of libvirt's XML, without its NUL.",
          get: { header, frame in
            if let text = DomainText.text(header.header) {
              frame.push(text)
            } else {
              frame.pushNil()
            }
          },
          set: { header, frame in try header.setXML(try frame.bytes(3)) }),
        .property("body", "View", "The header's bytes.") { header, frame in
          try frame.push(viewOf: header)
        },
      ])
    table.index = { header, frame in
      header.push(try header.slot(try frame.string(2)), frame)
      return 1
    }
    table.newIndex = { header, frame in
      try header.assign(try frame.string(2), frame, 3)
      return 0
    }
    table.toString = { "\($0.header.kind.title) at \($0.header.offset.hex())" }
    return table
  }
}

/// A place in the configuration: an object or an array of it. Every access finds its place anew.
package final class LuaConfig {
  package let header: LuaHeader
  package let path: JSONPath

  package init(_ header: LuaHeader, _ path: JSONPath) {
    self.header = header
    self.path = path
  }

  /// The part as JSON text.
  package func text() throws -> String {
    String(decoding: (try document()[path] ?? .null).text(.libxl), as: UTF8.self)
  }

  /// The names of an object's members, and how many elements an array has; neither for others.
  package func members() throws -> (names: [String], count: Int) {
    let all = try children()
    let names = all.compactMap { if case .name(let name) = $0.key { name } else { nil } }
    return (names, all.count)
  }

  /// The part under a name or number (from 1), if that is an object or array too.
  package func child(_ key: JSONKey) throws -> LuaConfig? {
    let place = path.appending(key)
    switch try document()[place] {
    case .object, .array: return LuaConfig(header, place)
    default: return nil
    }
  }

  private func document() throws -> JSONDocument {
    guard let document = try header.config() else { throw LuaError("there is no configuration") }
    return document
  }

  /// The path of a member; elements of arrays count from 1 in Lua.
  private func key(_ frame: LuaFrame, _ index: Int) throws -> JSONPath {
    if frame.type(index) == .number {
      return path.appending(.index(try frame.integer(index, in: 1...1_000_000) - 1))
    }
    return path.appending(.name(try frame.string(index)))
  }

  private func push(_ value: JSONValue?, _ path: JSONPath, _ frame: LuaFrame) {
    switch value {
    case .object, .array: frame.push(object: LuaConfig(header, path))
    case .string(let text): frame.push(text)
    case .bool(let flag): frame.push(flag)
    case .number(let value):
      if let integer = value.int64 {
        frame.push(integer)
      } else if let unsigned = value.uint64 {
        frame.push(unsigned)
      } else {
        frame.push(value.double ?? .nan)
      }
    case .null, nil: frame.pushNil()
    }
  }

  private func children() throws -> [(key: JSONKey, value: JSONValue)] {
    switch try document()[path] {
    case .object(let object): object.members.map { (.name($0.name), $0.value) }
    case .array(let items): items.enumerated().map { (.index($0.offset), $0.element) }
    default: []
    }
  }

  private func change(
    _ body: (inout JSONDocument) throws(JSONError) -> Void
  ) throws {
    var document = try document()
    do { try body(&document) } catch { throw LuaError("config: \(error)") }
    try header.setConfig(document)
  }

  package static var table: LuaClass<LuaConfig> {
    var table = LuaClass<LuaConfig>(
      "Config",
      "A part of the domain's configuration. Members by name, elements from 1; assigning writes "
        + "the configuration back with everything else as it was; nil removes.",
      [
        .method(
          "json", "(): string", "The part as JSON text."
        ) { config, frame in
          frame.push(try config.text())
          return 1
        },
        .method(
          "each", "(): fun(): string|integer, any",
          "Iterates over names (or numbers from 1) and values, in the order of the text.",
          example: "for name, value in h.config.c_info:each() do print(name, value) end"
        ) { config, frame in
          frame.pushIterator("each", try config.children()) { item, _, frame in
            switch item.key {
            case .name(let name): frame.push(name)
            case .index(let index): frame.push(index + 1)
            }
            config.push(item.value, config.path.appending(item.key), frame)
            return 2
          }
          return 1
        },
      ])
    table.index = { config, frame in
      let path = try config.key(frame, 2)
      config.push(try config.document()[path], path, frame)
      return 1
    }
    table.newIndex = { config, frame in
      let path = try config.key(frame, 2)
      if frame.isMissing(3) {
        try config.change { document throws(JSONError) in
          if document[path] != nil { try document.remove(path) }
        }
        return 0
      }
      let value: JSONValue
      if let other: LuaConfig = frame.objectIfAny(3) {
        value = try other.document()[other.path] ?? .null
      } else {
        guard let plain = try frame.value(3) else {
          throw LuaError("config: expected a plain value, got \(frame.typeName(3))")
        }
        value = try jsonValue(plain)
      }
      try config.change { document throws(JSONError) in
        if document[path] == nil, case .index? = path.keys.last {
          try document.insert(value, at: path)
        } else {
          try document.set(path, to: value)
        }
      }
      return 0
    }
    table.length = { config, frame in
      frame.push(try config.children().count)
      return 1
    }
    table.toString = { config in config.path.keys.isEmpty ? "config" : "config.\(config.path)" }
    return table
  }
}
