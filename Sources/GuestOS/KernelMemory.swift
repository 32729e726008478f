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

/// The memory of a guest as its kernel sees it.
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

  private func page(at address: UInt64) throws -> [UInt8] {
    let number = address >> 12
    readsLeft -= 1
    guard readsLeft > 0 else {
      throw XensaveError(
        .invalid, "\(path): the guest's structures lead to too much work to continue with them")
    }
    if let page = pages[number] { return page }
    let page: [UInt8]
    do {
      let physical = try paged.translate(space, address).physical
      page = try paged.page(physical >> 12)
    } catch {
      readsLeft -= KernelMemory.failureCost
      throw error
    }
    if pages.count >= KernelMemory.pageLimit { pages.removeAll(keepingCapacity: true) }
    pages[number] = page
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
      let chunk = min(count - out.count, 4096 - start)
      out += try page(at: address)[start..<start + chunk]
      address &+= UInt64(chunk)
    }
    return out
  }

  /// The bytes from `address` on; pages that cannot be read are zeros. For searches only.
  func readWhatIsThere(_ address: UInt64, _ count: Int) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(count)
    var address = address
    while out.count < count {
      let start = Int(address & 0xFFF)
      let chunk = min(count - out.count, 4096 - start)
      // Past the caches: what a search passes over is not wanted again.
      if let place = try? paged.translate(space, address).physical,
        let page = try? paged.source.contents(of: place >> 12), page.count == 4096
      {
        out += page[start..<start + chunk]
      } else {
        out += repeatElement(0, count: chunk)
      }
      address &+= UInt64(chunk)
    }
    return out
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

  /// Follows `next` from `first` on until it is null; as `list`.
  public func chain(
    _ first: UInt64, _ next: Field, limit: Int = KernelMemory.listLimit
  ) -> Listing<UInt64> {
    var out = Listing<UInt64>()
    var seen: Set<UInt64> = []
    var place = first
    while place != 0 {
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
