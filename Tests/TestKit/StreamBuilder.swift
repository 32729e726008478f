// Images from plain bytes, right and wrong ones. Nothing here uses the code under test.

/// A stream as chunks with names, which tests change before they are put together.
public struct StreamBuilder: Sendable, CustomStringConvertible {
  public struct Chunk: Sendable {
    public let name: String
    public var bytes: [UInt8]
    /// Bytes of it that are no page contents: its header.
    public let headByteCount: Int

    public init(_ name: String, _ bytes: [UInt8], headByteCount: Int? = nil) {
      self.name = name
      self.bytes = bytes
      self.headByteCount = headByteCount ?? bytes.count
    }
  }

  public var chunks: [Chunk] = []

  public init() {}

  public var description: String { "\(chunks.first?.name ?? "nothing") and \(chunks.count) pieces" }

  /// The whole stream.
  public var bytes: [UInt8] { chunks.flatMap(\.bytes) }

  /// Bytes before the first chunk of this name.
  public func offset(of name: String) -> Int {
    chunks[..<index(name)].reduce(0) { $0 + $1.bytes.count }
  }

  /// The bytes of the first chunk of this name.
  public subscript(name: String) -> [UInt8] {
    get { chunks[index(name)].bytes }
    set { chunks[index(name)].bytes = newValue }
  }

  private func index(_ name: String) -> Int {
    guard let index = chunks.firstIndex(where: { $0.name == name }) else {
      fatalError("no piece called \(name)")
    }
    return index
  }
}

extension StreamBuilder {
  public mutating func add(_ name: String, _ bytes: [UInt8]) { chunks.append(Chunk(name, bytes)) }
  public mutating func add(_ chunk: Chunk) { chunks.append(chunk) }

  public mutating func remove(_ name: String) { chunks.remove(at: index(name)) }

  public mutating func insert(_ chunk: Chunk, before name: String) {
    chunks.insert(chunk, at: index(name))
  }

  public mutating func insert(_ chunk: Chunk, after name: String) {
    chunks.insert(chunk, at: index(name) + 1)
  }

  /// Moves the first chunk of this name to before another.
  public mutating func move(_ name: String, before other: String) {
    let chunk = chunks.remove(at: index(name))
    insert(chunk, before: other)
  }

  /// Puts a second copy of a chunk after it.
  public mutating func double(_ name: String) { insert(chunks[index(name)], after: name) }

  /// Overwrites bytes of a chunk; of a record, 0 is its type, 4 its length and 8 its body.
  public mutating func poke(_ name: String, _ offset: Int, _ bytes: [UInt8]) {
    let index = index(name)
    chunks[index].bytes.replaceSubrange(offset..<offset + bytes.count, with: bytes)
  }

  /// Puts another record in the place of a chunk.
  public mutating func replace(_ name: String, _ chunk: Chunk) { chunks[index(name)] = chunk }
}

extension StreamBuilder {
  /// A record: header, body, padding. `length` and `padding` can be wrong.
  public static func record(
    _ name: String, _ type: UInt32, _ body: [UInt8] = [], length: UInt32? = nil, padding: UInt8 = 0,
    headByteCount: Int? = nil
  ) -> Chunk {
    let fill = (8 - body.count % 8) % 8
    return Chunk(
      name,
      le32(type, length ?? UInt32(body.count)) + body + [UInt8](repeating: padding, count: fill),
      headByteCount: headByteCount)
  }

  /// PAGE_DATA with these entries; each whose type has contents gets a page. `count` can be wrong.
  public static func pages(_ entries: [UInt64], count: UInt32? = nil) -> Chunk {
    var body = le32(count ?? UInt32(entries.count), 0)
    for entry in entries { body += le64(entry) }
    let head = 8 + body.count
    for entry in entries where entry >> 60 < 0xD {
      body += [UInt8](repeating: UInt8(truncatingIfNeeded: entry), count: 4096)
    }
    return record("PAGE_DATA", 0x01, body, headByteCount: head)
  }

  /// An entry of HVM_CONTEXT. `length` can be wrong.
  public static func entry(
    _ type: UInt16, _ instance: UInt16, _ data: [UInt8], length: UInt32? = nil
  ) -> [UInt8] {
    le16(type, instance) + le32(length ?? UInt32(data.count)) + data
  }

  /// HVM_PARAMS with these pairs of number and value. `count` can be wrong.
  public static func params(_ pairs: [(UInt64, UInt64)], count: UInt32? = nil) -> Chunk {
    record(
      "HVM_PARAMS", 0x0A,
      le32(count ?? UInt32(pairs.count), 0) + pairs.flatMap { le64($0.0, $0.1) })
  }

  /// EMULATOR_XENSTORE_DATA with these strings, each with a NUL after it.
  public static func xenstore(_ strings: [String]) -> Chunk {
    record(
      "EMULATOR_XENSTORE_DATA", 2, le32(2, 0) + strings.flatMap { Array($0.utf8) + [0] })
  }
}
