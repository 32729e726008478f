// Rules: what a good image is, one value a rule. `Rules+*.swift` hold them.

public import Format
internal import Stream

/// One thing that a good image does, who says so, and how to see whether this one does it.
public struct Rule: Sendable {
  /// The name that findings carry: "page-data.count". Never changes its meaning.
  public let id: String
  public let severity: Severity
  /// The rule in one sentence.
  public let sentence: String
  /// Who says so: "Spec: ...", "Xen: file, function" (or libvirt, xenopsd, varstored) or
  /// "Rationale: ...".
  public let source: String
  /// The releases that refuse what breaks the rule: from here on. 0 where all that read the format do.
  public let since: ReleaseSince
  /// The first releases that take it again; nil where none does.
  public let until: ReleaseSince?
  let check: Check

  /// What a rule looks at. A check reports to the inspection that it is given; it sees the facts
  /// gathered before the part that it looks at.
  enum Check: Sendable {
    typealias OfHeader = @Sendable (VerificationContext, Header) -> Void
    typealias OfRecord = @Sendable (VerificationContext, Record) -> Void
    typealias OfPages = @Sendable (VerificationContext, Record, PageTableSummary) -> Void
    typealias OfContext = @Sendable (VerificationContext, Record, [ChainEntry]) -> Void
    typealias OfBytes = @Sendable (VerificationContext, Record, [UInt8]) -> Void
    typealias OfTrailing = @Sendable (VerificationContext, TrailingBytes) -> Void
    typealias OfImage = @Sendable (VerificationContext) -> Void

    case header(HeaderKind, OfHeader)
    /// Records of these types.
    case record([RecordType], OfRecord)
    /// Records of the types whose rows are like that.
    case rows(@Sendable (RecordSchema) -> Bool, OfRecord)
    /// All records of a layer.
    case layer(Layer, OfRecord)
    /// All records.
    case any(OfRecord)
    /// PAGE_DATA whose pfn table is complete.
    case pages(OfPages)
    /// HVM_CONTEXT and its entries.
    case context(OfContext)
    /// The padding after any record.
    case padding(OfBytes)
    /// The libxc record that ends a checkpoint or the stream: END or CHECKPOINT.
    case completion(OfRecord)
    case trailing(OfTrailing)
    /// The whole image, when the walk has come to its end.
    case image(OfImage)
    /// Nothing: the reader of the stream reports it when it cannot read on, or the verifier itself.
    case framing
  }

  init(
    _ id: String, _ severity: Severity, _ sentence: String, _ source: String,
    since: ReleaseSince = 0, until: ReleaseSince? = nil, _ check: Check
  ) {
    self.id = id
    self.severity = severity
    self.sentence = sentence
    self.source = source
    self.since = since
    self.until = until
    self.check = check
  }
}

extension Rule {
  /// All rules, in the order of the layers. To add one, add it to one of these lists.
  public static let all: [Rule] = [
    // One array of all: a chain of "+" would copy the first ones thirty times, at each start.
    unfinishedEdits, framing, xlHeader, configShape, config, configHVM, configDevices,
    libvirtHeader, xenopsd, libxlHeader, libxcHeaders, records, dispatch, staticData, order,
    cpuPolicy, completeness, pageData, pv, pvState, narrowPV, hvmContext, hvmState, hvmParams,
    tsc, libxl, emulator, emulatorXenstore, ending, pages,
  ].flatMap { $0 }

  /// The rule with this name.
  public static func named(_ id: String) -> Rule? { all.first { $0.id == id } }

  static let unfinishedEdit = "file.unfinished-edit"

  /// What is not in the image but beside it.
  static let unfinishedEdits: [Rule] = [
    Rule(
      unfinishedEdit, .error, "No edit of the file in place is unfinished.",
      "Rationale: such a file has bytes from before and after the edit", .framing)
  ]

  /// What the reader of the stream reports. Their names are "stream." and `StreamError.code`.
  static let framing: [Rule] = [
    Rule(
      "stream.truncated", .error, "A stream has every byte that its headers and lengths promise.",
      "Spec: libxc-migration-stream, Records", .framing),
    Rule(
      "stream.bad_stream", .error, "A stream begins with a header that says what it is.",
      "Spec: libxc-migration-stream, Image Header; libxl-migration-stream, Header", .framing),
    Rule(
      "stream.unsupported", .error, "A stream is in a version that restorers read.",
      "Xen: tools/libs/guest/xg_sr_restore.c, read_headers", .framing),
    Rule(
      "stream.limit", .error, "Lengths stay within what restorers take.",
      "Xen: tools/libs/guest/xg_sr_stream_format.h, REC_LENGTH_MAX", .framing),
  ]
}

/// The rules by what they look at. Each is known by its number in `Rule.all`.
struct RuleRegistry: Sendable {
  private static let shared = RuleRegistry(Rule.all)

  /// The rules over all types that are known now.
  static var current: RuleRegistry { RecordSchemas.added.isEmpty ? shared : RuleRegistry(Rule.all) }

  let rules: [Rule]
  private(set) var headers: [(kind: HeaderKind, rule: Int, check: Rule.Check.OfHeader)] = []
  private(set) var pages: [(Int, Rule.Check.OfPages)] = []
  private(set) var context: [(Int, Rule.Check.OfContext)] = []
  private(set) var padding: [(Int, Rule.Check.OfBytes)] = []
  private(set) var completion: [(Int, Rule.Check.OfRecord)] = []
  private(set) var trailing: [(Int, Rule.Check.OfTrailing)] = []
  private(set) var image: [(Int, Rule.Check.OfImage)] = []
  /// What is in a vCPU's state, of which Xen looks at the last; sizes it looks at as they come.
  let ofStates: [Int]
  private var byType: [RecordType: [(Int, Rule.Check.OfRecord)]] = [:]
  /// Those for all records of a layer: few enough to be searched.
  private var ofLayers: [(layer: Layer, rule: Int, check: Rule.Check.OfRecord)] = []

  init(_ rules: [Rule]) {
    self.rules = rules
    ofStates = rules.indices.filter {
      rules[$0].id.hasPrefix("vcpu-") && !rules[$0].id.hasSuffix(".size")
    }
    // Types with rules of their own have them after the ones for all records of their layer.
    for (index, rule) in rules.enumerated() {
      switch rule.check {
      case .header(let kind, let check): headers.append((kind, index, check))
      case .layer(let layer, let check): ofLayers.append((layer, index, check))
      case .any(let check):
        ofLayers.append((.libxc, index, check))
        ofLayers.append((.libxl, index, check))
      case .pages(let check): pages.append((index, check))
      case .context(let check): context.append((index, check))
      case .padding(let check): padding.append((index, check))
      case .completion(let check): completion.append((index, check))
      case .trailing(let check): trailing.append((index, check))
      case .image(let check): image.append((index, check))
      case .record, .rows, .framing: break
      }
    }
    for (index, rule) in rules.enumerated() {
      let (types, check): ([RecordType], Rule.Check.OfRecord)
      switch rule.check {
      case .record(let listed, let of): (types, check) = (listed, of)
      case .rows(let isMeant, let of):
        (types, check) = (RecordSchemas.all.filter(isMeant).map(\.type), of)
      default: continue
      }
      for type in types {
        let before = byType[type] ?? ofLayer(type.layer)
        byType[type] = before + [(index, check)]
      }
    }
  }

  /// The rules for records of `type`.
  func records(_ type: RecordType) -> [(Int, Rule.Check.OfRecord)] {
    byType[type] ?? ofLayer(type.layer)
  }

  private func ofLayer(_ layer: Layer) -> [(Int, Rule.Check.OfRecord)] {
    ofLayers.compactMap { $0.layer == layer ? ($0.rule, $0.check) : nil }
  }
}

extension RecordSchema {
  /// Whether it is a vCPU's state in streams that Xen writes. Draft B's VCPU_CONTEXT has other rules.
  var isVCPUStateOfXen: Bool { perVCPU && type != .vcpuContext }
}
