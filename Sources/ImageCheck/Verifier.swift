// Verifying an image: one walk over its headers, with all rules.

internal import Bytes
internal import Format
public import ImageEdit
public import Stream
public import SystemIO

/// Says whether an image is good: whether Xen restores it, to the guest that was saved.
///
/// Reads headers only; page contents are passed over. Memory is bounded whatever the image says: the
/// longest header (`StreamReader.Limit.header`, a few times), the p2m's pages (17 MiB, for guests of
/// 2 TiB), which pages came (16 MiB, for guests of 512 GiB) and as what (16 MiB), the summary (2 MiB)
/// and 1000 findings.
public struct Verifier {
  public struct Options: Sendable {
    /// Whether warnings make an image bad.
    public var isStrict: Bool
    /// Whether to look into the page tables and the start info of a PV guest: of a file only.
    public var readsPages: Bool
    public init(isStrict: Bool = false, readsPages: Bool = false) {
      self.isStrict = isStrict
      self.readsPages = readsPages
    }
  }

  private let source: Source
  private let options: Options
  private let edits: (@Sendable (StreamElement) -> StreamElement)?
  /// Sees every part after the rules have.
  private let observe: ((StreamElement) -> Void)?

  /// A verifier of what `source` holds from its position on; a pipe is read to its end.
  ///
  /// `observe` sees every part after the rules have: for those who need the facts of the same walk.
  public init(
    _ source: Source, options: Options = Options(), observe: ((StreamElement) -> Void)? = nil
  ) {
    self.source = source
    self.options = options
    self.observe = observe
    edits = nil
  }

  /// A verifier of an image as it will be with its edits.
  public init(_ document: ImageDocument, options: Options = Options()) throws {
    source = try document.source.duplicate()
    self.options = options
    observe = nil
    edits = document.editing
  }

  /// Walks over the whole image. What is wrong with it is in the report: only the system throws.
  public func run() throws -> VerifyReport {
    let source = source
    return try Progress.phase("checking", of: source.byteCount, done: { source.position }) {
      try walk()
    }
  }

  private func walk() throws -> VerifyReport {
    let inspection = VerificationContext()
    if let problem = try source.unfinishedEdit() { inspection.findUnfinishedEdit(problem) }
    let start = source.position
    try visitToEnd(StreamReader(source), inspection)
    // Where the stream cannot be read to its end, that is what is wrong with it.
    if options.readsPages, source.isFile, inspection.imageSummary.ending == .end,
      var check = PageTableCheck(inspection, source)
    {
      try check.run(from: start)
    }
    return VerifyReport(inspection, isStrict: options.isStrict)
  }

  /// As `run`, but only up to the first record of pages, and without the rules for a whole image.
  public func runFront() throws -> VerifyReport {
    let inspection = VerificationContext()
    var reader = StreamReader(source)
    try visit(&reader, inspection, toPages: true)
    return VerifyReport(inspection, isStrict: options.isStrict)
  }

  /// As `run`, but of the pages only the first record: an index knows the records after them. What rules miss of the
  /// pages is in the report as well; it says something only beside that of the image without edits.
  public func runAround(_ index: RecordIndex, tail: Int) throws -> VerifyReport {
    let inspection = VerificationContext()
    var reader = StreamReader(source)
    try visit(&reader, inspection, toPages: true)
    inspection.passOverPages()
    try visitToEnd(index.reader(at: tail, source), inspection)
    return VerifyReport(inspection, isStrict: options.isStrict)
  }

  private func visitToEnd(
    _ reader: StreamReader, _ inspection: VerificationContext
  ) throws {
    var reader = reader
    do {
      try visit(&reader, inspection, toPages: false)
      inspection.finish(reader.ending, at: source.position)
    } catch let error as StreamError {
      if case .system = error.kind { throw error }
      inspection.fail(error, at: source.position)
    }
  }

  /// Shows rules one part after another, to the end or past the header of the first PAGE_DATA.
  private func visit(
    _ reader: inout StreamReader, _ inspection: VerificationContext, toPages: Bool
  ) throws {
    while let read = try reader.next() {
      let part = edits?(read) ?? read
      defer { observe?(part) }
      switch part {
      case .header(let header): inspection.visit(header)
      case .record(let record):
        inspection.visit(record)
        if toPages, record.type == .pageData { return }
        try finish(record, &reader, inspection)
      case .trailing(let trailing): try finish(trailing, inspection)
      }
    }
  }

  /// Looks at the bytes after a record's header that rules care for, and at its padding.
  private func finish(
    _ record: Record, _ reader: inout StreamReader, _ inspection: VerificationContext
  ) throws {
    guard record.payloadByteCount > 0 else {
      inspection.visit(record, padding: record.padding, firstBytes: Array(record.body.dropFirst(8)))
      return
    }
    // Page contents always fill their record to a multiple of 8: a length that does not has been
    // reported.
    guard record.type != .pageData else { return }
    let padding = Int(reader.payloadAndPadding - record.payloadByteCount)
    let firstCount = Int(min(8, record.payloadByteCount))
    let buffer = PageAlignedBuffer(capacity: 16)
    try reader.loadPayload(firstCount, into: buffer)
    guard reader.ending == nil else { return }
    let firstBytes = Array(record.body.dropFirst(8)) + buffer.copy(0..<firstCount)
    try reader.skipPayload(record.payloadByteCount - UInt64(firstCount))
    guard reader.ending == nil else { return }
    try reader.loadPayload(padding, into: buffer)
    guard reader.ending == nil else { return }
    inspection.visit(record, padding: buffer.copy(0..<padding), firstBytes: firstBytes)
  }

  /// Counts what follows the image. What came in chunks is put together first.
  private func finish(
    _ trailing: TrailingBytes, _ inspection: VerificationContext
  ) throws {
    let first = try source.read(64)
    let rest = try source.skip(.max)
    inspection.visit(
      TrailingBytes(kind: trailing.kind, offset: trailing.offset, first: first),
      byteCount: UInt64(first.count) + rest)
  }
}

/// What verifying an image has found.
public struct VerifyReport: Sendable {
  /// In the order in which they were found: what is missing is found at the end. At most 1000, and
  /// at most 100 of one rule.
  public let findings: [Finding]
  /// How many each rule has found, those that were not kept too; in the order of `Rule.all`,
  /// without the rules that found nothing.
  public let counts: [(rule: Rule, count: Int)]
  public let imageSummary: ImageSummary
  public let isStrict: Bool

  init(_ inspection: VerificationContext, isStrict: Bool) {
    findings = inspection.findings
    counts = zip(inspection.book.rules, inspection.counts).filter { $0.1 > 0 }
      .map { (rule: $0.0, count: $0.1) }
    imageSummary = inspection.imageSummary
    self.isStrict = isStrict
  }

  /// How many findings of this severity there are, those that were not kept too.
  public func count(_ severity: Severity) -> Int {
    counts.reduce(0) { $0 + ($1.rule.severity == severity ? $1.count : 0) }
  }

  /// Whether the image is good, as strict as the verifier was asked to be.
  public var isGood: Bool { isGood(isStrict: isStrict) }

  /// Whether there is no error, and with `isStrict` no warning. Notes never make an image bad.
  public func isGood(isStrict: Bool) -> Bool {
    count(.error) == 0 && (!isStrict || count(.warning) == 0)
  }
}
