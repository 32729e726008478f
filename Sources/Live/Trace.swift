// What a live save did, round by round: text that can be kept and replayed.

internal import Bytes
public import Format

/// The record of a save.
///
///     xensave-trace 1
///     domain guest=x86_hvm frames=1024 pages=1000
///     round kind=live number=0 dirty=1024 digest=0x... sent=1000 octets=4104336 begin=0 end=34201
///     suspend begin=34201 end=35201
///     round kind=final number=1 dirty=12 digest=0x... sent=12 octets=49264 begin=35201 end=35600
///     end outcome=complete time=35700
///
/// A round may say `again=`: pages that were dirty before this round and before the one before it. Times
/// are nanoseconds since the save began. The outcome is "complete", or the code of the error
/// that ended the save ("aborted" where the policy gave up). Where Xen's own library did the work, it
/// does not tell digests and bytes, nor how many pages the final round had: digests and bytes are
/// 0 then, and there is no final round. Readers pass over keys and lines that they do not
/// know; a change of meaning gets a new version.
public struct Trace: Sendable, Equatable, CustomStringConvertible {
  public static let version = 1

  public enum Kind: String, Sendable {
    /// While the guest runs.
    case live
    /// The last round of a live save; the guest stands still.
    case final
    /// The only round of a save that is not live.
    case stopped = "standing"
    /// A round of a checkpointed save after its first checkpoint.
    case checkpoint
    /// Pages for the restorer to compare.
    case verify
  }

  public struct Round: Sendable, Equatable {
    public var kind: Kind
    public var index: Int
    /// Pages that were dirty when it began (all pages, for the first one).
    public var dirtyCount: Int
    /// `PageBitmap.digest` of them.
    public var digest: UInt64
    /// Pages that were sent with their contents.
    public var sentCount: Int
    public var bytes: UInt64
    public var begin: UInt64
    public var end: UInt64
    /// Pages that were dirty before this round and before the one before it; nil where nobody counted.
    public var againCount: Int?

    public init(
      kind: Kind, index: Int, dirtyCount: Int, digest: UInt64, sentCount: Int, bytes: UInt64,
      begin: UInt64, end: UInt64, againCount: Int? = nil
    ) {
      self.againCount = againCount
      self.kind = kind
      self.index = index
      self.dirtyCount = dirtyCount
      self.digest = digest
      self.sentCount = sentCount
      self.bytes = bytes
      self.begin = begin
      self.end = end
    }
  }

  public struct Span: Sendable, Equatable {
    public var begin: UInt64
    public var end: UInt64

    public init(begin: UInt64, end: UInt64) {
      self.begin = begin
      self.end = end
    }
  }

  public var guest: GuestType
  public var frameCount: Int
  /// Pages that the domain had.
  public var pageCount: Int
  public var rounds: [Round] = []
  /// From asking the guest to stand still to its doing so; one a checkpoint.
  public var suspends: [Span] = []
  public var end: UInt64 = 0
  public var outcome = ""

  public init(guest: GuestType = .x86HVM, frameCount: Int = 0, pageCount: Int = 0) {
    self.guest = guest
    self.frameCount = frameCount
    self.pageCount = pageCount
  }

  /// Nanoseconds for which the guest stood still, as far as a plain save knows.
  public var downtime: UInt64 { suspends.last.map { end > $0.end ? end - $0.end : 0 } ?? 0 }

  public var description: String {
    var text = "xensave-trace \(Trace.version)\n"
    text += "domain guest=\(guest.name) frames=\(frameCount) pages=\(pageCount)\n"
    for round in rounds {
      text += "round kind=\(round.kind.rawValue) number=\(round.index) dirty=\(round.dirtyCount)"
      text += " digest=\(round.digest.hex(16)) sent=\(round.sentCount) octets=\(round.bytes)"
      if let again = round.againCount { text += " again=\(again)" }
      text += " begin=\(round.begin) end=\(round.end)\n"
    }
    for span in suspends { text += "suspend begin=\(span.begin) end=\(span.end)\n" }
    return text + "end outcome=\(outcome.isEmpty ? "none" : outcome) time=\(end)\n"
  }

  /// Reads the text of a trace.
  public init(parsing text: String) throws {
    self.init()
    var hasEnd = false
    var lineNumber = 0
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      lineNumber += 1
      let words = line.split(separator: " ")
      guard let first = words.first, !first.hasPrefix("#") else { continue }
      if lineNumber == 1 {
        guard first == "xensave-trace", words.count == 2 else {
          throw FormatError(.invalid, "line 1: expected \"xensave-trace \(Trace.version)\"")
        }
        guard words[1] == "\(Trace.version)" else {
          throw FormatError(
            .invalid, "line 1: expected version \(Trace.version), got \(words[1].utf8.printable)")
        }
        continue
      }
      let row = Row(lineNumber, words.dropFirst())
      switch first {
      case "domain":
        guest = try row.text("guest") == GuestType.x86PV.name ? .x86PV : .x86HVM
        frameCount = try row.count("frames")
        pageCount = try row.count("pages")
      case "round":
        guard let kind = Kind(rawValue: try row.text("kind")) else {
          throw FormatError(.invalid, field: "kind", "line \(lineNumber): no such kind of round")
        }
        let span = try row.span()
        if let last = rounds.last, span.begin < last.begin {
          throw FormatError(
            .outOfRange, field: "begin",
            "line \(lineNumber): expected at least \(last.begin), got \(span.begin)")
        }
        rounds.append(
          Round(
            kind: kind, index: try row.count("number"), dirtyCount: try row.count("dirty"),
            digest: try row.integer("digest"), sentCount: try row.count("sent"),
            bytes: try row.amount("octets"), begin: span.begin, end: span.end,
            againCount: row.has("again") ? try row.count("again") : nil))
      case "suspend":
        suspends.append(try row.span())
      case "end":
        outcome = try row.text("outcome")
        end = try row.amount("time")
        hasEnd = true
      default: break
      }
    }
    guard hasEnd else { throw FormatError(.truncated, "line \(lineNumber): the trace has no end") }
  }

  /// The keys of one line.
  private struct Row {
    let line: Int
    let values: [Substring: Substring]

    init(_ line: Int, _ words: ArraySlice<Substring>) {
      self.line = line
      var values: [Substring: Substring] = [:]
      for word in words {
        guard let equals = word.firstIndex(of: "=") else { continue }
        values[word[..<equals]] = word[word.index(after: equals)...]
      }
      self.values = values
    }

    func has(_ key: String) -> Bool { values[key[...]] != nil }

    func text(_ key: String) throws -> String {
      guard let value = values[key[...]] else {
        throw FormatError(.invalid, field: key, "line \(line): it is missing")
      }
      return String(value)
    }

    func integer<T: FixedWidthInteger>(_ key: String) throws -> T {
      let text = try text(key)
      let value =
        text.hasPrefix("0x") ? T(text.dropFirst(2), radix: 16) : T(text)
      guard let value, value >= 0 else {
        throw FormatError(.invalid, field: key, "line \(line): expected a number")
      }
      return value
    }

    /// A number of pages or rounds: no domain has more than 2^40 pages.
    func count(_ key: String) throws -> Int {
      let value: Int = try integer(key)
      guard value <= 1 << 40 else {
        throw FormatError(
          .outOfRange, field: key, "line \(line): expected at most 2^40, got \(value)")
      }
      return value
    }

    /// A time or a number of bytes: below 2^62, so that what is made of a few of them fits.
    func amount(_ key: String) throws -> UInt64 {
      let value: UInt64 = try integer(key)
      guard value < 1 << 62 else {
        throw FormatError(
          .outOfRange, field: key, "line \(line): expected less than 2^62, got \(value)")
      }
      return value
    }

    /// From `begin` to `end`.
    func span() throws -> Span {
      let (begin, end) = (try amount("begin"), try amount("end"))
      guard begin <= end else {
        throw FormatError(
          .outOfRange, field: "end", "line \(line): expected at least \(begin), got \(end)")
      }
      return Span(begin: begin, end: end)
    }
  }
}
