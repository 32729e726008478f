// The table of one record type.

/// What a body's length must be.
public enum LengthRule: Sendable, Equatable {
  case exactly(Int)
  case atLeast(Int)
  /// `base` bytes and then whole elements of `step`, at least `elements` of them.
  case elements(base: Int, step: Int, atLeast: Int)

  /// Whether a body of `count` bytes follows the rule.
  public func allows(_ count: UInt64) -> Bool {
    switch self {
    case .exactly(let n): count == n
    case .atLeast(let n): count >= n
    case .elements(let base, let step, let least):
      count >= UInt64(base + least * step) && (count - UInt64(base)) % UInt64(step) == 0
    }
  }

  /// The rule in words, for "expected ...".
  public var description: String {
    switch self {
    case .exactly(let n): "\(n) bytes"
    case .atLeast(let n): "at least \(n) bytes"
    case .elements(0, let step, let least):
      least > 0 ? "a positive multiple of \(step) bytes" : "a multiple of \(step) bytes"
    case .elements(let base, let step, _): "\(base) bytes and a multiple of \(step)"
    }
  }
}

/// The guests in whose streams a record may stand.
public enum Guests: Sendable, Equatable {
  case any, pv, hvm

  public func include(_ guest: GuestType) -> Bool {
    switch self {
    case .any: true
    case .pv: guest == .x86PV
    case .hvm: guest == .x86HVM
    }
  }
}

/// A record type: number, name, who carries it and when, how long it is and its rows.
public struct RecordSchema: Sendable {
  /// When a stream has the record.
  public enum Phase: Sendable, Equatable {
    /// Once, before STATIC_DATA_END: what the domain is made with.
    case staticData
    /// Once, before the first pages.
    case startOfStream
    /// Among the pages: they themselves, and what frames the stream.
    case anywhere
    /// At the end of each checkpoint and of the stream: the state of a guest that stands still.
    case endOfCheckpoint

    /// Whether it is not sent again at each checkpoint.
    public var isOnce: Bool { self == .staticData || self == .startOfStream }
  }

  /// Rows that apply to some of the bodies; the first that fits is taken.
  public struct Form: Sendable {
    public enum Condition: Sendable, Equatable {
      case always
      case bodyByteCount(Int)
      /// X86_PV_INFO's guest_width: 4 or 8.
      case guestWidth(Int)
    }
    public let condition: Condition
    public let fields: [Field]
    public init(_ condition: Condition, _ fields: [Field]) {
      self.condition = condition
      self.fields = fields
    }
  }

  public let type: RecordType
  public let name: String
  /// One sentence: what the record says.
  public let doc: String
  public let guests: Guests
  /// The first stream version that has the record.
  public let since: Int
  public let phase: Phase
  /// Whether there is one for each vCPU, whose number its body begins with.
  public let perVCPU: Bool
  /// Whether it is a list whose elements say what they are about, and not by their place.
  public let isKeyed: Bool
  public let length: LengthRule
  /// Whether Xen 4.6 to 4.8 wrote it with nothing in it, which readers must ignore (Errata 1).
  public let mayBeEmpty: Bool
  public let forms: [Form]

  public init(
    _ type: RecordType, _ name: String, _ doc: String, guests: Guests = .any, since: Int = 2,
    phase: Phase = .anywhere, perVCPU: Bool = false, isKeyed: Bool = false, length: LengthRule,
    mayBeEmpty: Bool = false, forms: [Form]
  ) {
    self.type = type
    self.name = name
    self.doc = doc
    self.guests = guests
    self.since = since
    self.phase = phase
    self.perVCPU = perVCPU
    self.isKeyed = isKeyed
    self.length = length
    self.mayBeEmpty = mayBeEmpty
    self.forms = forms
  }

  public init(
    _ type: RecordType, _ name: String, _ doc: String, guests: Guests = .any, since: Int = 2,
    phase: Phase = .anywhere, perVCPU: Bool = false, isKeyed: Bool = false, length: LengthRule,
    mayBeEmpty: Bool = false, _ fields: [Field]
  ) {
    self.init(
      type, name, doc, guests: guests, since: since, phase: phase, perVCPU: perVCPU,
      isKeyed: isKeyed, length: length, mayBeEmpty: mayBeEmpty, forms: [Form(.always, fields)])
  }

  /// The rows for a body of `byteCount` bytes in a stream with this guest width (0: not known).
  public func fields(byteCount: Int, guestWidth: Int) -> [Field] {
    for form in forms {
      switch form.condition {
      case .always: return form.fields
      case .bodyByteCount(let n) where n == byteCount: return form.fields
      case .guestWidth(let n) where n == guestWidth: return form.fields
      default: continue
      }
    }
    return forms.last?.fields ?? []
  }
}

/// All record types of all layers, by number and by name.
public enum RecordSchemas {
  /// Every record type that is known, libxc's first. A new type is added to one of these tables.
  private static let tables: [RecordSchema] =
    LibxcRecords.all + LibxlRecords.all + DraftB.records + XenopsdRecords.all

  /// Rows that a test adds for as long as it runs: nothing else that knows records has to change.
  @TaskLocal package static var added: [RecordSchema] = []

  public static var all: [RecordSchema] { added.isEmpty ? tables : tables + added }

  private static let byType = Dictionary(uniqueKeysWithValues: tables.map { ($0.type, $0) })
  private static let byName = Dictionary(
    tables.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

  public static func of(_ type: RecordType) -> RecordSchema? {
    byType[type] ?? added.first { $0.type == type }
  }

  /// The layout called `name`. END stands in both layers: `layer` decides, libxc if nil.
  public static func named(_ name: String, layer: Layer? = nil) -> RecordSchema? {
    guard let layer else { return byName[name] ?? added.first { $0.name == name } }
    return all.first { $0.name == name && $0.type.layer == layer }
  }

  /// All names, in the order of the tables.
  public static var names: [String] { all.map(\.name) }
}
