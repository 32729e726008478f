// Reading a kernel's memory by its own virtual addresses.

internal import SystemIO
public import Bytes
public import Pages

/// Items of something in the guest's memory, as many as could be read.
public struct Listing<Item> {
  public var items: [Item] = []
  /// Why there may be more than these; nil where the listing is complete.
  public var problem: String?

  public init() {}

  public func map<R>(_ transform: (Item) -> R) -> Listing<R> {
    var out = Listing<R>()
    out.items = items.map(transform)
    out.problem = problem
    return out
  }
}

extension Listing where Item == UInt64 {
  /// What `body` reads at each address. What it cannot is left out; the first is the problem: `name`, where
  /// it is, and why.
  func reading<R>(_ name: String, _ body: (UInt64) throws -> R) -> Listing<R> {
    var out = Listing<R>()
    out.problem = problem
    for address in items {
      do { out.items.append(try body(address)) } catch {
        out.problem = out.problem ?? "\(name) at \(address.hex()): \(error)"
      }
    }
    return out
  }
}

/// The memory of a guest as its kernel sees it, or whoever else uses an address space.
///
/// Nothing that is read is trusted: reads are limited in length, and what cannot be read is an error
/// that names the address.
public final class KernelMemory {
  public let paged: PagedMemory
  public internal(set) var space: AddressSpace
  /// Most bytes of one read.
  public static let readLimit = 64 << 20
  /// Most items of one list.
  public static let listLimit = 1 << 18

  /// Reads that the question may still make which is being answered: a guest that lies can make
  /// each of them long, but not all of them together.
  private var readsLeft = KernelMemory.questionLimit
  private var questionDepth = 0
  /// Reads of one question; some seconds. What cannot be read costs as much as many that can.
  static let questionLimit = 32 << 20
  private static let failureCost = 64

  /// Answers a question with a limited number of reads. A question inside of one has no limit of its
  /// own.
  public func question<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    if questionDepth == 0 { readsLeft = KernelMemory.questionLimit }
    questionDepth += 1
    defer { questionDepth -= 1 }
    return try body()
  }

  /// Pages by virtual page number: most reads are short, and near to one another.
  private var pages: [UInt64: [UInt8]] = [:]
  private static let pageLimit = 2048

  public init(_ paged: PagedMemory, _ space: AddressSpace) {
    self.paged = paged
    self.space = space
  }

  /// The name of what is read, for messages.
  public var path: String { paged.source.path }

  func forgetPages() { pages.removeAll() }

  private func count(_ pages: Int) throws {
    readsLeft -= pages
    guard readsLeft > 0 else {
      throw XensaveError(
        .invalid, "\(path): the guest's structures lead to too much work to continue with them")
    }
  }

  private func page(at address: UInt64) throws -> [UInt8] {
    let pageNumber = address >> 12
    try count(1)
    if let page = pages[pageNumber] { return page }
    let page: [UInt8]
    do {
      let physical = try paged.translate(space, address).physical
      page = try paged.page(physical >> 12)
    } catch {
      readsLeft -= KernelMemory.failureCost
      throw error
    }
    if pages.count >= KernelMemory.pageLimit { pages.removeAll(keepingCapacity: true) }
    pages[pageNumber] = page
    return page
  }

  /// `count` bytes from `address` on.
  public func read(_ address: UInt64, _ count: Int) throws -> [UInt8] {
    guard count >= 0, count <= KernelMemory.readLimit else {
      throw XensaveError(
        .invalid,
        "\(path): address \(address.hex()): expected at most \(KernelMemory.readLimit) bytes to "
          + "read, got \(count)")
    }
    var out: [UInt8] = []
    out.reserveCapacity(count)
    var address = address
    while out.count < count {
      let start = Int(address & 0xFFF)
      // What is long is read once: past the caches, and many pages in one go.
      if count - out.count >= 16 * 4096, let pages = pages(address, count - out.count) {
        let chunk = min(count - out.count, pages.count - start)
        try self.count(chunk >> 12)
        out += pages[start..<start + chunk]
        address &+= UInt64(chunk)
        continue
      }
      let chunk = min(count - out.count, 4096 - start)
      out += try page(at: address)[start..<start + chunk]
      address &+= UInt64(chunk)
    }
    return out
  }

  /// The bytes from `address` on; pages that cannot be read are zeros. For searches only.
  func readWhatIsThere(_ address: UInt64, _ count: Int) -> [UInt8] {
    var absentByteCount: UInt64 = 0
    return readWhatIsThere(address, count, &absentByteCount)
  }

  /// The same; counts the bytes that cannot be read.
  func readWhatIsThere(
    _ address: UInt64, _ count: Int, _ absentByteCount: inout UInt64
  ) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(count)
    var address = address
    while out.count < count {
      let start = Int(address & 0xFFF)
      // Past the caches: what a search passes over is not wanted again.
      if let pages = pages(address, count - out.count) {
        let chunk = min(count - out.count, pages.count - start)
        out += pages[start..<start + chunk]
        address &+= UInt64(chunk)
      } else {
        let chunk = min(count - out.count, 4096 - start)
        out += repeatElement(0, count: chunk)
        absentByteCount += UInt64(chunk)
        address &+= UInt64(chunk)
      }
    }
    return out
  }

  /// The page at `address` and those after it that lie after it in the guest's memory too, as many as
  /// `count` bytes need and can be read in one go; nil where it cannot be read.
  private func pages(_ address: UInt64, _ count: Int) -> [UInt8]? {
    let start = Int(address & 0xFFF)
    let wanted = min((count + start + 4095) / 4096, Self.togetherLimit)
    guard let place = try? paged.translate(space, address).physical,
      let pages = paged.source.contents(of: place >> 12, count: together(address, place, wanted)),
      pages.count >= 4096
    else { return nil }
    return pages
  }

  /// Pages that are read in one go: memory of more than 128 KiB comes from the system anew each time, and
  /// costs more than the read.
  private static let togetherLimit = 16

  /// How many pages from `address` on, which is at `place`, lie one after the other in the guest's
  /// memory too; at most `limit`.
  private func together(_ address: UInt64, _ place: UInt64, _ limit: Int) -> Int {
    var count = 1
    while count < limit,
      let next = try? paged.translate(space, address &+ UInt64(4096 * count)).physical,
      next == place &+ UInt64(4096 * count)
    { count += 1 }
    return count
  }

  /// The integer at `address`.
  public func load<T: LoadableInteger>(
    _ address: UInt64, as type: T.Type
  ) throws -> T {
    let start = Int(address & 0xFFF)
    if start + MemoryLayout<T>.size <= 4096 {
      return try page(at: address).load(start, as: type)
    }
    return try read(address, MemoryLayout<T>.size).load(0, as: type)
  }

  public func word(_ address: UInt64) throws -> UInt64 {
    try load(address, as: UInt64.self)
  }

  /// The bytes up to the first zero, or `limit` of them.
  public func string(_ address: UInt64, limit: Int = 4096) throws -> [UInt8] {
    var out: [UInt8] = []
    var address = address
    while out.count < limit {
      let start = Int(address & 0xFFF)
      let page: [UInt8]
      do { page = try self.page(at: address) } catch {
        if out.isEmpty { throw error }
        return out
      }
      let chunk = page[start..<min(4096, start + limit - out.count)]
      if let end = chunk.firstIndex(of: 0) { return out + chunk[..<end] }
      out += chunk
      address &+= UInt64(chunk.count)
    }
    return out
  }

  public func text(_ address: UInt64, limit: Int = 4096) throws -> String {
    String(decoding: try string(address, limit: limit), as: UTF8.self)
  }

  /// The value of a member of the structure at `address`; bit fields and integers of up to 8 bytes.
  public func value(_ address: UInt64, _ field: Field) throws -> UInt64 {
    let place = address &+ field.offset
    guard field.bitCount == 0 else {
      let bytes = try read(place, min(8, Int(field.bitShift + field.bitCount + 7) / 8))
      let all = bytes.unsigned(at: 0, width: bytes.count)
      let mask = field.bitCount >= 64 ? UInt64.max : 1 << field.bitCount - 1
      return all >> field.bitShift & mask
    }
    switch field.byteCount {
    case 1: return UInt64(try load(place, as: UInt8.self))
    case 2: return UInt64(try load(place, as: UInt16.self))
    case 4: return UInt64(try load(place, as: UInt32.self))
    default: return try word(place)
    }
  }

  /// The same of a signed member.
  public func signed(_ address: UInt64, _ field: Field) throws -> Int64 {
    let value = try value(address, field)
    let bits = field.bitCount > 0 ? Int(field.bitCount) : 8 * field.byteCount
    guard bits > 0, bits < 64 else { return Int64(bitPattern: value) }
    return Int64(bitPattern: value << UInt64(64 - bits)) >> Int64(64 - bits)
  }

  /// The members of a `struct list_head` that begins at `head`: addresses of their structures, in
  /// which the list's node lies at `offset`. Ends at a loop, at what cannot be read, and at `limit`.
  public func list(
    _ head: UInt64, _ offset: UInt64, limit: Int = KernelMemory.listLimit
  ) -> Listing<UInt64> {
    var out = Listing<UInt64>()
    var seen: Set<UInt64> = [head]
    var place = head
    while true {
      do { place = try word(place) } catch {
        out.problem = "the list at \(head.hex()) ends early: \(error)"
        return out
      }
      if place == head { return out }
      guard seen.insert(place).inserted else {
        out.problem = "the list at \(head.hex()) leads back to \(place.hex())"
        return out
      }
      guard out.items.count < limit else {
        out.problem = "the list at \(head.hex()) has more than \(limit) members"
        return out
      }
      out.items.append(place &- offset)
    }
  }

  /// The nodes of a red-black tree in their order, as addresses of their structures, in which the node
  /// lies at `offset`; `top` is the first node, `left` and `right` where a node has its children. Ends as
  /// `list` does.
  public func tree(
    _ top: UInt64, _ left: Field, _ right: Field, _ offset: UInt64,
    limit: Int = KernelMemory.listLimit
  ) -> Listing<UInt64> {
    var out = Listing<UInt64>()
    var seen: Set<UInt64> = []
    var path: [UInt64] = []
    var node = top
    do {
      while node != 0 || !path.isEmpty {
        while node != 0 {
          guard seen.insert(node).inserted, seen.count <= limit else {
            out.problem = "the tree from \(top.hex()) on has no end"
            return out
          }
          path.append(node)
          node = try value(node, left)
        }
        let here = path.removeLast()
        out.items.append(here &- offset)
        node = try value(here, right)
      }
    } catch { out.problem = "the tree from \(top.hex()) on ends early: \(error)" }
    return out
  }

  /// Follows `next` from `first` on until it is null, or odd where that ends a list; as `list`.
  public func chain(
    _ first: UInt64, _ next: Field, limit: Int = KernelMemory.listLimit, endsAtOdd: Bool = false
  ) -> Listing<UInt64> {
    var out = Listing<UInt64>()
    var seen: Set<UInt64> = []
    var place = first
    while place != 0, !endsAtOdd || place & 1 == 0 {
      guard seen.insert(place).inserted, out.items.count < limit else {
        out.problem = "the chain from \(first.hex()) has no end"
        return out
      }
      out.items.append(place)
      do { place = try value(place, next) } catch {
        out.problem = "the chain from \(first.hex()) ends early: \(error)"
        return out
      }
    }
    return out
  }
}

/// Where a member lies in its structure.
public struct Field: Sendable, Equatable {
  public var offset: UInt64
  /// Bytes of the member.
  public var byteCount: Int
  /// Of bit fields: the first bit, from `offset` on, and how many; 0 for whole bytes.
  public var bitShift: UInt64 = 0
  public var bitCount: UInt64 = 0

  public init(offset: UInt64, byteCount: Int) {
    self.offset = offset
    self.byteCount = byteCount
  }
}
