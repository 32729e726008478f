// What an image of a store consists of.

internal import Bytes
internal import Hash
internal import JSON
internal import SystemIO
internal import Zstd

/// The object of an image: a head that lists read, and which bytes it consists of.
///
///     8 "XSIMAGE1" | u32 length | head, JSON | u64 plain length | u32 packed length | body | 32 SHA-256
///
/// The body is a zstd frame, or as it is where it has its plain length:
///
///     u32 packs | packs x (16 id, 32 SHA-256 of its index) | u32 pieces | pieces | literals
///
/// A piece is a byte (0 literal bytes, 1 zero pages, 2 pages of a pack) and numbers of 7 bits a byte, the
/// lowest first: a count, and for pages of a pack its number and the first page in it. Little-endian; the
/// SHA-256 is of all bytes before it.
struct Manifest: Sendable {
  static let magic = Array("XSIMAGE1".utf8)
  /// Most bytes up to the end of the head.
  static let headLimit = 1 << 16
  static let byteLimit = 1 << 30

  /// A pack that pages lie in.
  struct Pack: Sendable, Equatable {
    let id: PackID
    /// The SHA-256 of its index.
    let hash: [UInt8]
  }

  /// Bytes of the image that come from one place.
  struct Piece: Sendable {
    enum Kind: UInt8 { case literal, zeros, pages }
    var kind: Kind
    /// Bytes of literals, or pages.
    var count: Int
    var pack = 0
    var slot = 0

    var byteCount: UInt64 { UInt64(count) * (kind == .literal ? 1 : 4096) }
  }

  var head: StoredImage
  private(set) var packs: [Pack] = []
  private(set) var pieces: [Piece] = []
  private(set) var literals: [UInt8] = []
  private var packOrder = PackOrder()

  init(_ head: StoredImage) { self.head = head }

  // MARK: - Making one

  mutating func addLiteral(_ bytes: some Collection<UInt8>) throws {
    guard literals.count + bytes.count <= Manifest.byteLimit / 2 else {
      throw XensaveError(
        .limit, "\(head.name): more than \(Manifest.byteLimit / 2) bytes that are no pages")
    }
    literals += bytes
    add(Piece(kind: .literal, count: bytes.count))
  }

  mutating func addZeroPage() { add(Piece(kind: .zeros, count: 1)) }

  mutating func addPages(_ pack: Pack, slot: Int, count: Int = 1) {
    let position = packOrder.position(of: pack.id)
    if position == packs.count { packs.append(pack) }
    add(Piece(kind: .pages, count: count, pack: position, slot: slot))
  }

  /// Gives a pack the hash of its index, which is known when it is complete.
  mutating func complete(_ pack: Pack) {
    guard let position = packOrder[pack.id] else { return }
    packs[position] = pack
  }

  /// The same image with pages in other places: `place` says where one is now, or nil for one that stays.
  func moved(
    _ place: (PackID, _ slot: Int) throws -> (pack: Pack, slot: Int)?
  ) throws -> Manifest {
    var out = Manifest(head)
    var literal = 0
    for piece in pieces {
      switch piece.kind {
      case .literal:
        try out.addLiteral(literals[literal..<literal + piece.count])
        literal += piece.count
      case .zeros: out.add(piece)
      case .pages:
        let pack = packs[piece.pack]
        for slot in piece.slot..<piece.slot + piece.count {
          let now = try place(pack.id, slot) ?? (pack, slot)
          out.addPages(now.pack, slot: now.slot)
        }
      }
    }
    return out
  }

  private mutating func add(_ piece: Piece) {
    guard piece.count > 0 else { return }
    if let last = pieces.last, last.kind == piece.kind,
      piece.kind != .pages || last.pack == piece.pack && last.slot + last.count == piece.slot
    {
      pieces[pieces.count - 1].count += piece.count
    } else {
      pieces.append(piece)
    }
  }

  // MARK: - Bytes

  func encoded() throws -> [UInt8] {
    var body: [UInt8] = []
    body.append(integer: UInt32(packs.count), .little)
    for pack in packs { body += pack.id.bytes + pack.hash }
    body.append(integer: UInt32(pieces.count), .little)
    for piece in pieces {
      body.append(piece.kind.rawValue)
      Manifest.append(piece.count, to: &body)
      if piece.kind == .pages {
        Manifest.append(piece.pack, to: &body)
        Manifest.append(piece.slot, to: &body)
      }
    }
    body += literals
    guard body.count <= Manifest.byteLimit else {
      throw XensaveError(.limit, "\(head.name): its list of pages is too long")
    }
    let text = head.json
    var out = Manifest.magic
    out.append(integer: UInt32(text.count), .little)
    out += text
    out.append(integer: UInt64(body.count), .little)
    let packed = try Manifest.packed(body)
    out.append(integer: UInt32(packed.count), .little)
    out += packed
    return out + SHA256.hash(out)
  }

  private static func packed(_ body: [UInt8]) throws -> [UInt8] {
    let input = PageAlignedBuffer(capacity: body.count)
    // Safety: bytes have no padding.
    unsafe input.store(0, body.span.bytes)
    let output = PageAlignedBuffer(capacity: body.count)
    guard let count = try ZstdPacker().pack(input, body.count, level: 3, into: output, at: 0) else {
      return body
    }
    return output.copy(0..<count)
  }

  private static func append(_ value: Int, to bytes: inout [UInt8]) {
    var rest = UInt64(value)
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// - Throws: `invalid` where these bytes are no image of a store.
  init(_ bytes: [UInt8], path: String) throws {
    func refused(_ problem: String) -> XensaveError {
      XensaveError(.invalid, "\(path): no image of a store: \(problem)")
    }
    head = try StoredImage(bytes, path: path)
    let end = bytes.count - 32
    var place = 12 + Int(bytes.load(8, as: UInt32.self))
    guard end - place >= 12 else { throw refused("it is cut") }
    guard SHA256.hash(Array(bytes[..<end])) == Array(bytes[end...]) else {
      throw refused("its SHA-256 is another one")
    }
    let plain = bytes.load(place, as: UInt64.self)
    let packed = Int(bytes.load(place + 8, as: UInt32.self))
    place += 12
    guard end - place == packed, plain <= UInt64(Manifest.byteLimit), plain >= UInt64(packed) else {
      throw refused("\(packed) packed bytes of \(plain)")
    }
    let isPlain = plain == UInt64(packed)
    guard
      let body = isPlain
        ? Array(bytes[place..<end]) : try Manifest.unpacked(bytes[place..<end], Int(plain))
    else { throw refused("its body is no zstd frame of \(plain) bytes") }
    var reader = Reader(bytes: body)
    guard let packCount = reader.integer(48) else { throw refused("it is cut") }
    for _ in 0..<packCount {
      let (id, hash) = (reader.bytes(16), reader.bytes(32))
      packs.append(Pack(id: PackID(bytes: id), hash: hash))
    }
    guard let pieceCount = reader.integer(2) else { throw refused("it is cut") }
    for index in 0..<pieceCount {
      guard let kind = reader.byte.flatMap(Piece.Kind.init), let count = reader.varint, count > 0
      else {
        throw refused("piece \(index)")
      }
      var piece = Piece(kind: kind, count: count)
      if kind == .pages {
        guard let pack = reader.varint, packs.indices.contains(pack), let slot = reader.varint,
          slot + count <= PackIndex.pageLimit
        else { throw refused("piece \(index)") }
        (piece.pack, piece.slot) = (pack, slot)
      }
      pieces.append(piece)
    }
    literals = reader.rest
    var total: UInt64 = 0
    var literalCount = 0
    for piece in pieces {
      total = total.addingSaturated(piece.byteCount)
      if piece.kind == .literal { literalCount = literalCount.addingSaturated(piece.count) }
    }
    // Offsets are added up from here on.
    guard total == head.byteCount, total <= 1 << 60, literalCount == literals.count else {
      throw refused("its pieces have \(total) bytes, expected \(head.byteCount)")
    }
  }

  /// nil where it is no frame of so many bytes.
  private static func unpacked(_ bytes: ArraySlice<UInt8>, _ count: Int) throws -> [UInt8]? {
    let input = PageAlignedBuffer(capacity: bytes.count)
    // Safety: bytes have no padding.
    unsafe input.store(0, bytes.span.bytes)
    let output = PageAlignedBuffer(capacity: count)
    let unpacker = try ZstdUnpacker()
    guard (try? unpacker.unpack(input, 0..<bytes.count, into: output, count)) != nil else {
      return nil
    }
    return output.copy(0..<count)
  }

  /// Reads a body; everything is nil at its end.
  private struct Reader {
    let all: [UInt8]
    var place = 0
    init(bytes: [UInt8]) { all = bytes }

    /// A count of things that take at least `least` bytes each.
    mutating func integer(_ least: Int) -> Int? {
      guard all.count - place >= 4 else { return nil }
      let count = Int(all.load(place, as: UInt32.self))
      place += 4
      return count <= (all.count - place) / least ? count : nil
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
      defer { place += count }
      return Array(all[place..<place + count])
    }

    var byte: UInt8? {
      mutating get {
        guard place < all.count else { return nil }
        defer { place += 1 }
        return all[place]
      }
    }

    /// A number of at most 48 bits.
    var varint: Int? {
      mutating get {
        var value = 0
        for shift in stride(from: 0, to: 49, by: 7) {
          guard let byte else { return nil }
          value |= Int(byte & 0x7F) << shift
          if byte & 0x80 == 0 { return value }
        }
        return nil
      }
    }

    var rest: [UInt8] { Array(all[place...]) }
  }
}

/// The name of a pack: 16 random bytes.
struct PackID: Sendable, Hashable {
  let bytes: [UInt8]

  init(bytes: [UInt8]) { self.bytes = bytes }

  static func random() -> PackID {
    var random = SystemRandomNumberGenerator()
    return PackID(bytes: (0..<16).map { _ in random.next() })
  }

  /// 32 hexadecimal digits.
  var text: String { bytes.hexDigits }

  init?(_ text: String) {
    let letters = Array(text.utf8)
    guard letters.count == 32 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: 32, by: 2) {
      guard let byte = UInt8(String(decoding: letters[index...index + 1], as: UTF8.self), radix: 16)
      else { return nil }
      bytes.append(byte)
    }
    self.bytes = bytes
    guard self.text == text else { return nil }
  }
}

/// Positions for packs, from 0 on in the order in which they are asked for.
struct PackOrder: Sendable {
  private var positions: [PackID: Int] = [:]

  /// The position of a pack; the next one where it has none.
  mutating func position(of id: PackID) -> Int {
    if let position = positions[id] { return position }
    positions[id] = positions.count
    return positions.count - 1
  }

  subscript(_ id: PackID) -> Int? { positions[id] }
}

/// What a store says of an image without reading its pages.
public struct StoredImage: Sendable, Equatable {
  public internal(set) var name: String
  /// The length of the image.
  public let byteCount: UInt64
  /// When it was put there, in seconds since 1970.
  public let time: UInt64
  /// The domain's name, at most 200 letters of it, and the Xen that saved it; "" where the image does not
  /// say.
  public let domain: String
  public let xen: String
  /// Pages of it that were new to the store, without pieces of long records.
  public internal(set) var newPageCount: UInt64

  /// Bytes of these pages.
  public var newByteCount: UInt64 { newPageCount.multipliedSaturated(by: 4096) }

  var json: [UInt8] {
    let object: JSONObject = [
      "name": .string(name), "bytes": .number(JSONNumber(byteCount)),
      "time": .number(JSONNumber(time)), "domain": .string(domain), "xen": .string(xen),
      "new_pages": .number(JSONNumber(newPageCount)),
    ]
    return JSONValue.object(object).text()
  }

  init(
    name: String, byteCount: UInt64, time: UInt64, domain: String, xen: String,
    newPageCount: UInt64 = 0
  ) {
    (self.name, self.byteCount, self.time) = (name, byteCount, time)
    (self.domain, self.xen, self.newPageCount) = (
      String(String.UnicodeScalarView(domain.unicodeScalars.prefix(200))), xen, newPageCount
    )
  }

  /// The head of a manifest whose first bytes are `bytes`.
  init(_ bytes: [UInt8], path: String) throws {
    func refused(_ problem: String) -> XensaveError {
      XensaveError(.invalid, "\(path): no image of a store: \(problem)")
    }
    func integer(_ object: JSONObject, _ key: String) -> UInt64? {
      guard case .number(let value) = object[key] else { return nil }
      return value.uint64
    }
    guard bytes.count >= 12, bytes.starts(with: Manifest.magic) else {
      throw refused("it does not begin with XSIMAGE1")
    }
    let count = Int(bytes.load(8, as: UInt32.self))
    guard 12 + count <= min(bytes.count, Manifest.headLimit) else { throw refused("it is cut") }
    guard let object = try? JSONDocument(Array(bytes[12..<12 + count])).root.objectValue,
      let name = object["name"]?.stringValue,
      let byteCount = integer(object, "bytes"), let time = integer(object, "time")
    else { throw refused("its head") }
    self.init(
      name: name, byteCount: byteCount, time: time, domain: object["domain"]?.stringValue ?? "",
      xen: object["xen"]?.stringValue ?? "", newPageCount: integer(object, "new_pages") ?? 0)
  }
}
