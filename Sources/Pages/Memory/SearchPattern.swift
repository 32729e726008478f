// What a search of memory looks for.

internal import SystemIO
internal import Bytes
internal import Format
internal import Glibc

/// Bytes, or a regular expression over bytes.
public struct SearchPattern: Sendable {
  fileprivate enum Kind: Sendable {
    case bytes(Needle)
    case expression(RegularExpression)
  }
  fileprivate let kind: Kind

  /// 1 to 4096 bytes, exactly. Occurrences that overlap all count.
  public init(bytes: [UInt8]) throws {
    guard let needle = Needle(bytes) else {
      throw XensaveError(
        .usage, "expected 1 to \(pageByteCount) bytes to search for, got \(bytes.count)")
    }
    kind = .bytes(needle)
  }

  /// A POSIX extended regular expression (regex(7)) over bytes, as the C locale reads it: each byte
  /// is a character, `.` is any but NUL and a line's end, `^` and `$` stand for a line's. Of matches
  /// that overlap the first one counts, as long as it can be; none is empty. A match that is longer
  /// than 4096 bytes may be found in parts.
  public init(expression: [UInt8]) throws {
    kind = .expression(try RegularExpression(expression))
  }

  /// Bytes before the end of a chunk of memory in which a match may begin that the chunk cuts off.
  fileprivate var overlap: Int {
    switch kind {
    case .bytes(let needle): needle.pattern.count - 1
    case .expression: pageByteCount - 1
    }
  }
}

/// Looks through memory chunk by chunk, ascending, and finds what goes from one into the next.
struct MemorySearch {
  private let pattern: SearchPattern
  private let limit: Int
  private(set) var result = SearchResult()
  /// Room for a chunk, after what is kept of the one before.
  private let buffer = PageAlignedBuffer(capacity: pageByteCount + PageImage.chunkByteCount)
  /// Bytes that are kept of the chunk before, and the address after them.
  private var carried = 0
  private var end: UInt64 = 0
  /// How many of them were searched: one, which says whether a line begins after it.
  private var searched = 0

  /// Keeps at most `limit` addresses.
  init(_ pattern: SearchPattern, limit: Int) {
    self.pattern = pattern
    self.limit = limit
  }

  /// Looks at the pages from `pfn` on, `count` of them and at most a chunk, which `run` of `image`
  /// holds. `address` is that of their first byte in what is searched.
  mutating func look(
    _ image: PageImage, _ run: PageExtent, _ pfn: UInt64, count: Int, at address: UInt64
  ) throws {
    if address != end { finish() }
    let bytes = count * pageByteCount
    try image.read(run.offset(of: pfn), bytes, into: buffer, at: carried)
    let length = carried + bytes
    end = address &+ UInt64(bytes)
    let resume = search(length, isLast: false)
    searched = resume > 0 ? 1 : 0
    buffer.moveToStart(resume - searched..<length)
    carried = length - resume + searched
  }

  /// Looks at what is left: no further chunk continues where the last one ended.
  mutating func finish() {
    if carried > 0 { _ = search(carried, isLast: true) }
    (carried, searched) = (0, 0)
  }

  /// Searches the buffer's first `length` bytes, which end at `end`. Returns from where on the next
  /// chunk needs them.
  private mutating func search(_ length: Int, isLast: Bool) -> Int {
    let first = end &- UInt64(length)
    // What begins after this is left for the next chunk, unless there is none.
    let sure = isLast ? length : max(0, length - pattern.overlap)
    var position = searched
    buffer.withBytes(0..<length) { bytes in
      while position < sure {
        let found: Range<Int>?
        switch pattern.kind {
        case .bytes(let needle):
          found = needle.first(in: bytes, position..<length).map { $0..<$0 + 1 }
        case .expression(let expression):
          found = expression.first(in: bytes, position..<length)
        }
        guard let found, found.lowerBound < sure else { break }
        result.count += 1
        if result.addresses.count < limit {
          result.addresses.append(first &+ UInt64(found.lowerBound))
        }
        position = found.upperBound
      }
    }
    return max(position, sure)
  }
}

/// A compiled regular expression of the C library.
@safe
private final class RegularExpression: @unchecked Sendable {
  // Safe to send: not changed once it is compiled; regexec locks it by itself.
  private let compiled: UnsafeMutablePointer<regex_t>

  init(_ text: [UInt8]) throws {
    // The C library's expressions end at a NUL.
    guard !text.isEmpty, text.count <= pageByteCount, !text.contains(0) else {
      throw XensaveError(
        .usage,
        "expected a regular expression of 1 to \(pageByteCount) bytes without NUL, got "
          + "\(text.count) bytes")
    }
    // Each repetition of a repetition copies what it is of: 30 in a row are gigabytes. And what may be left
    // out is looked at together with all else that may be: that grows with the square.
    let size = RegularExpression.size(text)
    guard size.all <= RegularExpression.sizeLimit, size.optional <= RegularExpression.optionalLimit
    else {
      throw XensaveError(
        .usage,
        "regular expression '\(text.printable)': its repetitions are too many (at most "
          + "\(RegularExpression.sizeLimit) characters when they are written out, and "
          + "\(RegularExpression.optionalLimit) of those that may be left out)")
    }
    let made = UnsafeMutablePointer<regex_t>.allocate(capacity: 1)
    let code = unsafe regcomp(
      made, (text + [0]).map { CChar(bitPattern: $0) }, REG_EXTENDED | REG_NEWLINE)
    guard code == 0 else {
      var message = [CChar](repeating: 0, count: 256)
      _ = unsafe regerror(code, made, &message, message.count)
      unsafe made.deallocate()
      let bytes = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw XensaveError(
        .usage,
        "regular expression '\(String(decoding: text, as: UTF8.self))': "
          + String(decoding: bytes, as: UTF8.self))
    }
    unsafe compiled = made
  }

  private static let sizeLimit = 1 << 14
  private static let optionalLimit = 1 << 9

  /// About how many characters an expression has when its repetitions are written out, as regcomp
  /// does; it stops counting far above the limit.
  private static func size(_ text: [UInt8]) -> (all: Int, optional: Int) {
    /// Characters as they are written out, and those of them that may be left out.
    struct Extent {
      var all = 0
      var optional = 0

      mutating func add(_ other: Extent) {
        all = min(all + other.all, 1 << 30)
        optional = min(optional + other.optional, 1 << 30)
      }
    }
    // For each open group what is in it, and how much of that the next repetition is of.
    var groups = [(whole: Extent(), last: Extent())]
    func add(_ extent: Extent) {
      groups[groups.count - 1].whole.add(extent)
      groups[groups.count - 1].last = extent
    }
    func repeatLast(_ times: Int, isOptional: Bool) {
      let top = groups.count - 1
      var last = groups[top].last
      groups[top].whole.all -= min(last.all, groups[top].whole.all)
      groups[top].whole.optional -= min(last.optional, groups[top].whole.optional)
      last.all = min(last.all * times, 1 << 30)
      last.optional = isOptional ? last.all : min(last.optional * times, 1 << 30)
      add(last)
    }
    var position = 0
    while position < text.count {
      let byte = text[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\\"):
        position += 1
        add(Extent(all: 1))
      case UInt8(ascii: "["):
        // "]" at the beginning is one of the set.
        if position < text.count, text[position] == UInt8(ascii: "^") { position += 1 }
        position += 1
        while position < text.count, text[position] != UInt8(ascii: "]") { position += 1 }
        position += 1
        add(Extent(all: 1))
      case UInt8(ascii: "("): groups.append((Extent(), Extent()))
      case UInt8(ascii: ")") where groups.count > 1: add(groups.removeLast().whole)
      case UInt8(ascii: "+"): repeatLast(2, isOptional: false)
      case UInt8(ascii: "*"): repeatLast(2, isOptional: true)
      case UInt8(ascii: "?"): repeatLast(1, isOptional: true)
      // An alternative may be empty.
      case UInt8(ascii: "|"): add(Extent(all: 1, optional: 1))
      case UInt8(ascii: "{"):
        let end = text[position...].firstIndex(of: UInt8(ascii: "}")) ?? text.count
        let counts = text[position..<end].split(
          separator: UInt8(ascii: ","), omittingEmptySubsequences: false
        ).map { Int(String(decoding: $0, as: UTF8.self)) }
        let times = counts.compactMap { $0 }.max() ?? 2
        repeatLast(
          min(max(times, 2), 1 << 20), isOptional: counts.count > 1 || counts.first == 0)
        position = end + 1
      default: add(Extent(all: 1))
      }
    }
    var whole = Extent()
    for group in groups { whole.add(group.whole) }
    return (whole.all, whole.optional)
  }

  deinit {
    unsafe regfree(compiled)
    unsafe compiled.deallocate()
  }

  /// The first match in `range` that is not empty.
  func first(in bytes: RawSpan, _ range: Range<Int>) -> Range<Int>? {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.byteCount)
    var start = range.lowerBound
    return unsafe bytes.withUnsafeBytes { raw in
      let text = unsafe raw.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self)
      while start < range.upperBound {
        // What is before the range tells whether a line begins there; the buffer's own start and end
        // are those of a line only by chance.
        var flags: Int32 = 1 << 2 | REG_NOTEOL  // REG_STARTEND
        if unsafe start == 0 || raw[start - 1] != 10 { flags |= REG_NOTBOL }
        var match = regmatch_t(
          rm_so: regoff_t(start), rm_eo: regoff_t(range.upperBound))
        // Safety: with REG_STARTEND only the bytes of the match given are read.
        guard unsafe regexec(compiled, text, 1, &match, flags) == 0 else { return nil }
        let found = Int(match.rm_so)..<Int(match.rm_eo)
        if !found.isEmpty { return found }
        start = found.lowerBound + 1
      }
      return nil
    }
  }
}
