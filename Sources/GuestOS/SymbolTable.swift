// The names of a kernel's functions and variables.

internal import Bytes

/// Symbols by name and by address.
public struct SymbolTable: Sendable {
  /// Addresses, in the order of the kernel's table.
  let addresses: [UInt64]
  /// All names, one after the other, each after its type letter.
  let names: [UInt8]
  /// Where each entry begins in `names`; one more for the end.
  let starts: [UInt32]
  /// Numbers of symbols, ascending by address.
  private let order: [UInt32]
  /// The last symbol of each hash, counted from 1, and the one before it with the same.
  private var heads: [UInt32]
  private var previous: [UInt32]
  private let mask: UInt32

  public var count: Int { addresses.count }

  /// `names` has for each symbol its type letter and its name, without separators; `starts` where each
  /// begins, and the end of the last one: ascending, inside `names`.
  init(addresses: [UInt64], names: [UInt8], starts: [UInt32]) {
    precondition(starts.count == addresses.count + 1 && Int(starts.last ?? 0) <= names.count)
    self.addresses = addresses
    self.names = names
    self.starts = starts
    var order = (0..<UInt32(addresses.count)).map { $0 }
    if !addresses.indices.dropFirst().allSatisfy({ addresses[$0 - 1] <= addresses[$0] }) {
      order.sort {
        let (a, b) = (addresses[Int($0)], addresses[Int($1)])
        return a != b ? a < b : $0 < $1
      }
    }
    self.order = order
    var size = 16
    while size < 2 * addresses.count { size *= 2 }
    mask = UInt32(size - 1)
    var heads = [UInt32](repeating: 0, count: size)
    var previous = [UInt32](repeating: 0, count: addresses.count)
    // From the last to the first: a name that is there twice means its first symbol.
    for index in stride(from: addresses.count - 1, through: 0, by: -1) {
      var hash = SymbolTable.seed
      for place in Int(starts[index]) + 1..<max(Int(starts[index]) + 1, Int(starts[index + 1])) {
        hash = SymbolTable.mix(hash, names[place])
      }
      let bucket = Int((hash ^ hash >> 15) & mask)
      previous[index] = heads[bucket]
      heads[bucket] = UInt32(index + 1)
    }
    self.heads = heads
    self.previous = previous
  }

  static let seed: UInt32 = 0x811C_9DC5
  @inline(__always) static func mix(_ hash: UInt32, _ byte: UInt8) -> UInt32 {
    (hash ^ UInt32(byte)) &* 0x0100_0193
  }

  public func name(_ index: Int) -> String {
    String(decoding: nameBytes(index), as: UTF8.self)
  }

  private func nameBytes(_ index: Int) -> ArraySlice<UInt8> {
    let start = min(Int(starts[index]) + 1, names.count)
    return names[start..<max(start, Int(starts[index + 1]))]
  }

  /// The letter of a symbol's kind, as nm(1) has them.
  public func kind(_ index: Int) -> Character {
    starts[index] < starts[index + 1]
      ? Character(Unicode.Scalar(names[Int(starts[index])])) : "?"
  }

  public func address(_ index: Int) -> UInt64 { addresses[index] }

  /// The addresses of all symbols of this name, in the order of the kernel's table.
  public func indices(of name: String) -> [Int] {
    let text = Array(name.utf8)
    let hash = text.reduce(SymbolTable.seed, SymbolTable.mix)
    var out: [Int] = []
    var next = heads[Int((hash ^ hash >> 15) & mask)]
    while next != 0 {
      let index = Int(next - 1)
      let start = Int(starts[index]) + 1
      if Int(starts[index + 1]) - start == text.count,
        text.indices.allSatisfy({ names[start + $0] == text[$0] })
      {
        out.append(index)
      }
      next = previous[index]
    }
    return out
  }

  /// The address of the first symbol of this name.
  public subscript(name: String) -> UInt64? { indices(of: name).first.map { addresses[$0] } }

  /// The last symbol that is not after `address`, and the address of the next one that is.
  public func symbol(at address: UInt64) -> (index: Int, end: UInt64?)? {
    let low = order.partitioningIndex { addresses[Int($0)] > address }
    guard low > 0 else { return nil }
    let end = low < order.count ? addresses[Int(order[low])] : nil
    // Of several names of one address: a function's before a label's, else the first.
    var place = low - 1
    let here = addresses[Int(order[place])]
    while place > 0, addresses[Int(order[place - 1])] == here { place -= 1 }
    return (Int(order[place]), end)
  }

  /// The greatest address of a symbol.
  var lastAddress: UInt64? { order.last.map { addresses[Int($0)] } }

  /// Names that begin with `prefix`, sorted, at most `limit`.
  public func names(withPrefix prefix: String, limit: Int) -> [String] {
    let bytes = Array(prefix.utf8)
    var out: Set<String> = []
    for index in 0..<count where nameBytes(index).starts(with: bytes) {
      if out.count >= limit { break }
      out.insert(name(index))
    }
    return out.sorted()
  }
}
