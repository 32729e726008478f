// A set of pages of a domain, one bit each.

/// Bits 0 to `count` - 1. Xen's log-dirty bitmaps have the same form: words of 64 bits, lowest first.
public struct PageBitmap: Sendable, Equatable {
  /// Pages that the set is over.
  public let count: Int
  public private(set) var words: [UInt64]

  /// No page, or all of them.
  public init(count: Int, full: Bool = false) {
    self.count = count
    words = [UInt64](repeating: 0, count: (count + 63) / 64)
    if full { fill() }
  }

  public mutating func fill() {
    for index in words.indices { words[index] = .max }
    if count % 64 != 0, let last = words.indices.last { words[last] = (1 << (count % 64)) - 1 }
  }

  public mutating func clear() {
    for index in words.indices { words[index] = 0 }
  }

  public subscript(page: Int) -> Bool {
    @inlinable get {
      precondition(page >= 0 && page < count)
      return words[page >> 6] >> (page & 63) & 1 != 0
    }
    set {
      precondition(page >= 0 && page < count)
      if newValue {
        words[page >> 6] |= 1 << (page & 63)
      } else {
        words[page >> 6] &= ~(1 << (page & 63))
      }
    }
  }

  public mutating func formUnion(_ other: PageBitmap) {
    precondition(other.count == count)
    for index in words.indices { words[index] |= other.words[index] }
  }

  /// Takes away what is in `other`.
  public mutating func subtract(_ other: PageBitmap) {
    precondition(other.count == count)
    for index in words.indices { words[index] &= ~other.words[index] }
  }

  /// Makes it the same as `other`, without new memory.
  public mutating func assign(_ other: PageBitmap) {
    precondition(other.count == count)
    for index in words.indices { words[index] = other.words[index] }
  }

  /// Calls `body` with the words, to be filled by a hypervisor; bits after `count` are then dropped.
  @unsafe
  public mutating func withWords<R>(_ body: (UnsafeMutablePointer<UInt64>?) -> R) -> R {
    let result = unsafe words.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress) }
    if count % 64 != 0, let last = words.indices.last { words[last] &= (1 << (count % 64)) - 1 }
    return result
  }

  /// How many pages are in it.
  public var setCount: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

  /// Calls `body` with each page, ascending.
  @inline(__always)
  public func forEach<E: Error>(_ body: (Int) throws(E) -> Void) throws(E) {
    for index in words.indices {
      var word = words[index]
      while word != 0 {
        try body(index << 6 + word.trailingZeroBitCount)
        word &= word - 1
      }
    }
  }

  /// A hash of the words: tells whether two rounds dirtied the same pages. The same in all releases,
  /// for it stands in traces: FNV-1a's numbers, a word at a time, folded after each.
  public var digest: UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for word in words {
      hash = (hash ^ word) &* 0x100_0000_01B3
      hash ^= hash >> 32
    }
    return hash
  }
}
