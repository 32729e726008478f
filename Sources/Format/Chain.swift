// Chains: entries that each say their own type and length, as in HVM_CONTEXT.

internal import Bytes

/// The entries of a chain: a header of fixed fields, then as many bytes as the header says.
public struct Chain: Sendable {
  /// The layout of an entry of this type number, if it is known.
  public let layout: @Sendable (UInt16) -> EntrySchema?
  /// The type number of an entry name.
  public let type: @Sendable (String) -> UInt16?
  /// All names, for suggestions and completion.
  public let names: @Sendable () -> [String]

  public init(
    layout: @escaping @Sendable (UInt16) -> EntrySchema?,
    type: @escaping @Sendable (String) -> UInt16?,
    names: @escaping @Sendable () -> [String]
  ) {
    self.layout = layout
    self.type = type
    self.names = names
  }
}

/// The table of one type of chain entry. Entries shorter than the table come from older releases:
/// the fields that they lack are zero to a reader.
public struct EntrySchema: Sendable {
  /// A length and the first release that wrote it.
  public struct Length: Sendable, Equatable {
    /// The y of Xen 4.y; 0 also for all that came before 4.4.
    public let sinceMinor: Int
    public let byteCount: Int
  }

  /// A field that point releases of older branches got, too.
  public struct Backport: Sendable, Equatable {
    /// The y of Xen 4.y.
    public let minor: Int
    /// The first point release of that branch with the field.
    public let patch: Int

    public init(_ minor: Int, _ patch: Int) {
      self.minor = minor
      self.patch = patch
    }
  }

  public let type: UInt16
  public let name: String
  /// The rows of the newest length.
  public let fields: [Field]
  /// Rows of lengths that are not just a shorter `fields`.
  public let forms: [Int: [Field]]
  /// The lengths of releases, oldest first; empty where the length varies.
  public let history: [Length]
  /// Branches in the last step of `history` whose first point releases did not have it yet.
  public let backports: [Backport]
  /// Whether Xen takes entries shorter than its own and fills them up with zeros.
  public let mayBeShorter: Bool
  public let doc: String

  /// `lengths`: the bytes that releases from 4.`key` on write. `forms`: rows by the entry's length,
  /// where they differ.
  public init(
    _ type: UInt16, _ name: String, lengths: KeyValuePairs<Int, Int> = [:],
    backports: [Backport] = [], mayBeShorter: Bool = false, _ doc: String, _ fields: [Field],
    forms: [Int: [Field]] = [:]
  ) {
    self.type = type
    self.name = name
    self.fields = fields
    self.forms = forms
    self.history = lengths.map { Length(sinceMinor: $0.key, byteCount: $0.value) }
    self.backports = backports
    self.mayBeShorter = mayBeShorter
    self.doc = doc
  }

  /// All lengths that releases have written, ascending; empty where the length varies.
  public var lengths: [Int] { (history.map(\.byteCount) + forms.keys).sorted() }

  /// The rows of an entry of `byteCount` bytes.
  public func fields(byteCount: Int) -> [Field] { forms[byteCount] ?? fields }

  /// The bytes that Xen 4.`minor`.`patch` writes, or the newest point release of 4.`minor` without
  /// `patch`; nil where the length varies.
  public func byteCount(xenMinor minor: Int, patch: Int? = nil) -> Int? {
    guard let newest = history.lastIndex(where: { $0.sinceMinor <= minor }) else { return nil }
    if newest > 0, let patch, let backport = backports.first(where: { $0.minor == minor }),
      patch < backport.patch
    {
      return history[newest - 1].byteCount
    }
    return history[newest].byteCount
  }
}

/// An entry of a chain: its header's numbers and where its data lies.
public struct ChainEntry: Sendable, Equatable {
  public let type: UInt16
  public let instance: UInt16
  /// Bytes from the start of the body to the data, after the header of 8 bytes.
  public let offset: Int
  /// Bytes of data that are there; `claimed` is what the header says.
  public let byteCount: Int
  public let claimed: UInt32
}

/// The entries of an HVM_CONTEXT body, to END or to where it breaks off.
/// Xen: xen/include/public/hvm/save.h, struct hvm_save_descriptor.
public func entries(of chain: Chain, in body: [UInt8], _ range: Range<Int>) -> [ChainEntry] {
  var out: [ChainEntry] = []
  forEachEntry(in: body, range) { entry in
    out.append(entry)
    return true
  }
  return out
}

/// Calls `visit` for each entry, until it returns false.
func forEachEntry(in body: [UInt8], _ range: Range<Int>, _ visit: (ChainEntry) -> Bool) {
  var offset = range.lowerBound
  while range.upperBound - offset >= 8 {
    let claimed: UInt32 = body.load(offset + 4, as: UInt32.self)
    let there = min(UInt64(claimed), UInt64(range.upperBound - offset - 8))
    let entry = ChainEntry(
      type: body.load(offset, as: UInt16.self), instance: body.load(offset + 2, as: UInt16.self),
      offset: offset + 8, byteCount: Int(there), claimed: claimed)
    guard visit(entry) else { return }
    offset += 8 + Int(there)
    if entry.type == 0 || UInt64(claimed) > there { break }
  }
}
