// One verification under way: facts so far, the rule that is looking, what was found.

internal import SystemIO
internal import Bytes
internal import Format
internal import Stream

/// Runs the rules over parts as they come, and collects what they report.
///
/// A rule sees the facts of what came before its part; they are brought up to date after it.
final class VerificationContext {
  private(set) var imageSummary = ImageSummary()
  private(set) var libxc = LibxcState()
  private(set) var libxl = LibxlState()
  /// The configuration, once it has been read; nil where there is none in JSON.
  private(set) var configuration: DomainConfiguration?
  private(set) var findings: [Finding] = []
  /// Findings of each rule, kept or not, by the rule's number in the book.
  private(set) var counts: [Int]
  /// The table of the record that is looked at; nil for an unknown type.
  private(set) var layout: RecordSchema?
  let book = RuleRegistry.current
  private var current = 0
  /// What the rules for HVM_CONTEXT's entries have said of the last one: counts before and after them, and
  /// where it begins.
  private var context: (before: [Int], after: [Int], offset: UInt64)?
  /// Where the last state of each kind of each vCPU is in this checkpoint.
  private var vcpuStates: [VCPUState: Range<UInt64>] = [:]

  /// Findings that are kept, of all rules and of one rule.
  static let findingLimit = 1000
  static let findingLimitOfRule = 100

  init() { counts = [Int](repeating: 0, count: book.rules.count) }

  // MARK: - Parts

  func visit(_ header: Header) {
    if header.kind == .xl, configuration == nil { configuration = DomainConfiguration(header) }
    for (kind, rule, check) in book.headers where kind == header.kind {
      current = rule
      check(self, header)
    }
    imageSummary.add(header)
    switch header.kind {
    case .image:
      libxc = LibxcState()
      libxc.version = Int(header.bytes.load(12, as: UInt32.self, header.order))
    case .domain:
      libxc.guest = GuestType(rawValue: header.bytes.load(0, as: UInt32.self, header.order))
    case .draftDomain:
      let type = header.bytes.load(2, as: UInt16.self, header.order)
      libxc.guest = GuestType(rawValue: UInt32(type))
    case .xl, .libxl, .libvirt, .xenopsd: break
    }
  }

  func visit(_ record: Record) {
    let contents = RecordContents(record)
    layout = RecordSchemas.of(record.type)
    if layout?.isVCPUStateOfXen == true { replaceState(record) }
    if record.type == .x86CPUIDPolicy { replacePolicy("cpuid-policy.") }
    if record.type == .x86MSRPolicy { replacePolicy("msr-policy.") }
    for (rule, check) in book.records(record.type) {
      current = rule
      check(self, record)
    }
    if let pages = contents.pages {
      for (rule, check) in book.pages {
        current = rule
        check(self, record, pages)
      }
    }
    if record.type == .hvmContext { visitContext(record, contents) }
    imageSummary.add(record, contents)
    if record.type.layer == .libxl {
      libxl.add(record)
      return
    }
    guard record.type.layer != .xenopsd else { return }
    if layout != nil { libxc.add(record, contents) } else { libxc.addUnknown(record) }
    guard record.type == .end || record.type == .checkpoint else { return }
    for (rule, check) in book.completion {
      current = rule
      check(self, record)
    }
    libxc.beginCheckpoint(after: record)
    vcpuStates = [:]
    if record.type == .checkpoint { libxl.isInCheckpoint = true }
  }

  /// Xen reads the last HVM_CONTEXT of a checkpoint: what was said of one before it no longer counts.
  private func visitContext(_ record: Record, _ contents: RecordContents) {
    if libxc.checkpoint.first[.hvmContext] != nil, let context {
      for index in context.before.indices {
        counts[index] -= context.after[index] - context.before[index]
      }
      let rules = Set(book.context.map { book.rules[$0.0].id })
      findings.removeAll { $0.offset >= context.offset && rules.contains($0.ruleID) }
    }
    let before = counts
    for (rule, check) in book.context {
      current = rule
      check(self, record, contents.entries)
    }
    context = (before, counts, record.offset)
  }

  /// Xen takes the last policy of each kind: what its rules have said of one before it no longer counts.
  private func replacePolicy(_ rules: String) {
    guard !libxc.hasTakenPolicies else { return }
    findings.removeAll { $0.ruleID.hasPrefix(rules) }
    for (index, rule) in book.rules.enumerated() where rule.id.hasPrefix(rules) {
      counts[index] = 0
    }
  }

  /// Xen loads the last state of each kind that came for a vCPU: what was said of one before it no longer
  /// counts.
  private func replaceState(_ record: Record) {
    guard record.length > 8, let vcpu = record.vcpuID, vcpu < ImageSummary.vcpuLimit
    else { return }
    let end = record.bodyOffset &+ UInt64(record.length)
    let state = VCPUState(type: record.type, vcpu: vcpu)
    let before = vcpuStates.updateValue(record.offset..<max(end, record.offset), forKey: state)
    guard let before else { return }
    findings.removeAll { finding in
      guard before.contains(finding.offset),
        let rule = book.ofStates.first(where: { book.rules[$0].id == finding.ruleID })
      else { return false }
      counts[rule] -= 1
      return true
    }
  }

  private struct VCPUState: Hashable {
    let type: RecordType
    let vcpu: UInt32
  }

  /// From now on nothing is known of which pages came.
  func passOverPages() { libxc.passOverPages() }

  /// The padding after `record`, and the first bytes of what it holds for an emulator.
  func visit(_ record: Record, padding: [UInt8], firstBytes: [UInt8]) {
    for (rule, check) in book.padding {
      current = rule
      check(self, record, padding)
    }
    if record.type == .emulatorContext, record.length >= 8 { libxl.note(record, firstBytes) }
  }

  func visit(_ trailing: TrailingBytes, byteCount: UInt64) {
    imageSummary.add(trailing, byteCount: byteCount)
    for (rule, check) in book.trailing {
      current = rule
      check(self, trailing)
    }
  }

  /// The walk has come to the end of the image, which is at `position`.
  func finish(_ ending: StreamReader.EndReason?, at position: UInt64) {
    imageSummary.finish(ending, at: position)
    for (rule, check) in book.image {
      current = rule
      check(self)
    }
  }

  /// The reader could not continue from `position`.
  func fail(_ error: StreamError, at position: UInt64) {
    imageSummary.finish(nil, at: position)
    let word = error.xensaveError.word
    guard let rule = book.rules.firstIndex(where: { $0.id == "stream." + word }) else {
      preconditionFailure("no rule for \(word)")
    }
    current = rule
    report(offset: error.offset, place: error.place, "", error.problem)
  }

  /// An edit of the file in place is not finished.
  func findUnfinishedEdit(_ problem: String) {
    guard let rule = book.rules.firstIndex(where: { $0.id == Rule.unfinishedEdit }) else { return }
    current = rule
    report(offset: 0, place: "", "", problem)
  }

  /// What the verifier itself finds.
  func report(rule id: String, offset: UInt64, place: String, _ field: String, _ problem: String) {
    guard let rule = book.rules.firstIndex(where: { $0.id == id }) else { return }
    current = rule
    report(offset: offset, place: place, field, problem)
  }

  // MARK: - Reporting

  /// Findings of the rule that is looking: 0 for one that has not found anything yet.
  var count: Int { counts[current] }

  /// Reports a field of a header; `offset` is the field's place in the header.
  func report(
    _ header: Header, _ field: String, at offset: Int, _ problem: @autoclosure () -> String
  ) {
    report(
      offset: header.offset + UInt64(offset), place: header.kind.title, field, problem())
  }

  /// Reports a key of the configuration; the finding points at the configuration's first byte.
  func reportConfig(
    _ path: String, _ problem: @autoclosure () -> String, since: ReleaseSince? = nil,
    until: ReleaseSince? = nil
  ) {
    report(
      offset: configuration?.offset ?? 0, place: HeaderKind.xl.title, "config.\(path)", problem(),
      since: since, until: until)
  }

  /// Reports a field of a record; `offset` is the field's place in the body: -8 is the record's
  /// type, -4 its length.
  func report(
    _ record: Record, _ field: String = "", at offset: Int = -8,
    _ problem: @autoclosure () -> String, since: ReleaseSince? = nil
  ) {
    report(
      offset: record.bodyOffset &+ UInt64(bitPattern: Int64(offset)), place: record.place, field,
      problem(), since: since)
  }

  /// Reports a field of a vCPU's context; `offset` is the field's place in the record's body.
  func report(
    _ context: PVContext, _ field: String, at offset: Int, _ problem: @autoclosure () -> String
  ) {
    report(
      offset: context.bodyOffset + UInt64(offset), place: context.record.name, field, problem())
  }

  /// Reports a place. `since` and `until` are the releases that refuse it, where those of the rule are
  /// others.
  func report(
    offset: UInt64, place: @autoclosure () -> String, _ field: String,
    _ problem: @autoclosure () -> String, since: ReleaseSince? = nil, until: ReleaseSince? = nil
  ) {
    counts[current] += 1
    // Each rule's first finding always has room.
    let room = VerificationContext.findingLimit - (counts[current] == 1 ? 0 : book.rules.count)
    guard counts[current] <= VerificationContext.findingLimitOfRule, findings.count < room else {
      return
    }
    let rule = book.rules[current]
    findings.append(
      Finding(
        ruleID: rule.id, severity: rule.severity, offset: offset, place: place(), field: field,
        problem: problem(), since: since ?? rule.since, until: until ?? rule.until))
  }
}
