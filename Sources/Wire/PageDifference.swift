// A page as its difference to an older one.

internal import Bytes
internal import SystemIO

/// The words in which two pages differ.
///
/// Pairs of counts of words of 8 bytes: how many are as they were, how many follow that are not, and these
/// as exclusive or of old and new, which leaves zeros where a byte of a word is the same. The last pair
/// ends where the page does; where that is after its first count, it has no second one.
enum PageDifference {
  private static let wordCount = WireFormat.pageByteCount / 8

  /// Writes the difference of the page at `offset` of `new` to the page `old` into `out` at `start`.
  /// Returns its length; 0 where the pages are the same, nil where it would be above the limit. `out` has
  /// room for twice the limit.
  static func write(
    of new: RawSpan, at offset: Int, to old: RawSpan, into out: PageAlignedBuffer, at start: Int
  ) -> Int? {
    precondition(offset >= 0 && new.byteCount - offset >= WireFormat.pageByteCount)
    precondition(old.byteCount >= WireFormat.pageByteCount)
    // Safety: the preconditions hold both pages inside their spans.
    return unsafe new.withUnsafeBytes { new in
      unsafe old.withUnsafeBytes { old in
        let words = unsafe PageWords(
          new: new.baseAddress.unsafelyUnwrapped + offset, old: old.baseAddress.unsafelyUnwrapped)
        return write(words, into: out, at: start)
      }
    }
  }

  private static func write(_ words: PageWords, into out: PageAlignedBuffer, at start: Int) -> Int?
  {
    var position = start
    let limit = start + WireFormat.differenceLimit
    var word = 0
    while word < wordCount {
      let first = word
      while word < wordCount, words.change(word) == 0 { word += 1 }
      if first == 0, word == wordCount { return 0 }
      store(word - first, into: out, &position)
      guard word < wordCount else { break }
      var end = word + 1
      while end < wordCount, words.change(end) != 0 { end += 1 }
      guard position + 2 + 8 * (end - word) <= limit else { return nil }
      store(end - word, into: out, &position)
      while word < end {
        out.store(position, words.change(word))
        position += 8
        word += 1
      }
    }
    return position - start
  }

  /// Writes a count of up to 512 as an integer of 7 bits a byte.
  private static func store(_ count: Int, into out: PageAlignedBuffer, _ position: inout Int) {
    if count < 0x80 {
      out.store(position, UInt8(count))
      position += 1
    } else {
      out.store(position, UInt16(count & 0x7F | 0x80 | (count >> 7) << 8))
      position += 2
    }
  }

  /// Applies the difference that `reader` stands at to the page at `offset` of `page`.
  static func apply(
    _ bytes: RawSpan, _ reader: inout VarintReader, to page: PageAlignedBuffer, at offset: Int
  ) throws {
    var word = 0
    while word < wordCount {
      let same = try reader.next(bytes)
      guard same <= UInt64(wordCount - word) else { throw problem }
      word += Int(same)
      guard word < wordCount else { return }
      let changed = try reader.next(bytes)
      guard changed > 0, changed <= UInt64(wordCount - word),
        reader.end - reader.position >= 8 * Int(changed)
      else { throw problem }
      for _ in 0..<Int(changed) {
        let place = offset + 8 * word
        let old = page.withBytes(place..<place + 8) { $0.load(0, as: UInt64.self) }
        page.store(place, old ^ bytes.load(reader.position, as: UInt64.self))
        reader.skip(8)
        word += 1
      }
    }
  }

  private static var problem: XensaveError {
    XensaveError(.malformed, "wire: the difference of a page makes no sense")
  }
}

/// Two pages that are compared word by word.
@safe
private struct PageWords {
  let new: UnsafeRawPointer
  let old: UnsafeRawPointer

  init(new: UnsafeRawPointer, old: UnsafeRawPointer) {
    unsafe self.new = new
    unsafe self.old = old
  }

  /// Exclusive or of a word of both, 0 to 511.
  @inline(__always)
  func change(_ word: Int) -> UInt64 {
    // Safety: whoever makes this value has pages at both addresses.
    unsafe new.loadUnaligned(fromByteOffset: 8 &* word, as: UInt64.self)
      ^ old.loadUnaligned(fromByteOffset: 8 &* word, as: UInt64.self)
  }
}
