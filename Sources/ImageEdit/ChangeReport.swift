// What a rewrite did, or would do.

internal import Bytes
internal import Format
public import Stream

/// The outcome of a rewrite: counts, and the changes field by field (at most `detailLimit`).
public struct ChangeReport: Sendable {
  /// One change.
  public struct Change: Sendable {
    public enum Kind: String, Sendable { case changed, dropped, inserted, replaced }
    public let kind: Kind
    /// "record 17 (X86_TSC_INFO)" or "domain header".
    public let place: String
    /// Bytes from the start of the source, for what came from there.
    public let offset: UInt64
    /// The field's path in the image, as `set` and `dump` take it: "config.c_info.name",
    /// "X86_TSC_INFO.khz"; "" where the whole is meant.
    public let path: String
    public let before: String
    public let after: String
    /// The path as people know it: "hvm_params[12] (IDENT_PT)"; "" where that is the path.
    public var title = ""

    /// What the changed place is called.
    public var shownPath: String { path.isEmpty ? place : title.isEmpty ? path : title }

    public var description: String {
      switch kind {
      // Members of a configuration and elements of lists come and go.
      case .changed where !path.isEmpty && before.isEmpty: "+ \(shownPath): \(after)"
      case .changed where !path.isEmpty && after.isEmpty: "- \(shownPath): \(before)"
      case .changed: "\(shownPath): \(before) -> \(after)"
      case .dropped: "\(place): dropped (\(before))"
      case .inserted: "\(place): inserted (\(after))"
      case .replaced: "\(place): replaced by \(after)"
      }
    }
  }

  /// Details that are kept; the counts continue.
  public static let detailLimit = 1000

  /// The headers of the source, as they were read.
  public internal(set) var headersRead: [Header] = []
  public internal(set) var recordsRead = 0
  /// Whether the image ends before its file does, as on a volume, and what follows was left out.
  public internal(set) var isOnVolume = false
  /// Whether no more was looked at than what comes before the pages.
  public internal(set) var isOfFront = false
  public internal(set) var recordsWritten = 0
  public internal(set) var kept = 0
  public internal(set) var changed = 0
  public internal(set) var dropped = 0
  public internal(set) var inserted = 0
  public internal(set) var headersChanged = 0
  public internal(set) var bytesRead: UInt64 = 0
  public var bytesWritten: UInt64 = 0
  public internal(set) var changes: [Change] = []
  /// Changes beyond the limit, which are only counted.
  public internal(set) var changesLeftOut = 0

  public init() {}

  public var isIdentity: Bool { changed + dropped + inserted + headersChanged == 0 }

  mutating func note(_ change: Change) {
    if changes.count < ChangeReport.detailLimit {
      changes.append(change)
    } else {
      changesLeftOut += 1
    }
  }

  /// Notes every field that differs between a record as it was and as it is. `occurrence`: how many of
  /// its type come before it.
  mutating func note(_ before: Record, _ after: Record, occurrence: Int) {
    let count = changes.count + changesLeftOut
    if let text = DomainText.text(before), let changed = DomainText.text(after) {
      noteText(.xenops, before.place, before.offset, text, changed)
    } else {
      RecordDiff(one: before, other: after, occurrence: occurrence).run { difference in
        note(Change(difference, before.place, before.offset))
      }
    }
    guard changes.count + changesLeftOut == count, before.body != after.body else { return }
    note(
      Change(
        kind: .changed, place: before.place, offset: before.offset, path: "",
        before: "\(before.body.count) bytes", after: "\(after.body.count) bytes that no field has"
      ))
  }

  /// Notes every field that differs between two forms of a header. `ignoring`: fields that follow from
  /// others.
  mutating func noteFields(
    _ before: Header, _ after: Header, ignoring followers: Set<String> = []
  ) {
    let count = before.kind.byteCount
    let (one, other) = (Array(before.bytes.prefix(count)), Array(after.bytes.prefix(count)))
    guard one.count == other.count else { return }
    for slot in BodySchema(before.kind.fields, BodyContext(order: before.order)).slots(in: one)
    where !followers.contains(slot.field.name) {
      let range = slot.offset..<slot.offset + slot.byteCount
      guard one[range] != other[range] else { continue }
      note(
        Change(
          kind: .changed, place: before.kind.title, offset: before.offset,
          path: "\(before.kind.rawValue)_header.\(slot.path)",
          before: slot.field.text(of: slot.value(in: one)),
          after: slot.field.text(of: slot.value(in: other))))
    }
  }

  /// Notes every text that differs between two descriptions of the domain.
  mutating func noteText(
    _ kind: DomainText, _ place: String, _ offset: UInt64, _ before: [UInt8]?, _ after: [UInt8]?
  ) {
    kind.forEachDifference(before, after) { difference in
      note(
        Change(
          kind: .changed, place: place, offset: offset, path: difference.title,
          before: difference.shown(difference.before), after: difference.shown(difference.after)))
    }
  }

  /// The report for people: a line a change, then the counts.
  public var text: String {
    var lines = changes.map(\.description)
    if changesLeftOut > 0 { lines.append("... and \(changesLeftOut) more changes") }
    lines.append(summary)
    return lines.joined(separator: "\n")
  }

  /// The counts in one line.
  public var summary: String {
    var parts = ["\(recordsRead) records\(isOfFront ? " before the pages" : ""): \(kept) kept"]
    if changed > 0 { parts.append("\(changed) changed") }
    if dropped > 0 { parts.append("\(dropped) dropped") }
    if inserted > 0 { parts.append("\(inserted) inserted") }
    if headersChanged > 0 {
      parts.append("\(headersChanged) header\(headersChanged == 1 ? "" : "s") changed")
    }
    return parts.joined(separator: ", ")
      + "; \(bytesRead.grouped) bytes in, \(bytesWritten.grouped) out"
  }
}

extension ChangeReport.Change {
  init(_ difference: Difference, _ place: String, _ offset: UInt64) {
    self.init(
      kind: .changed, place: place, offset: offset, path: difference.path,
      before: difference.before,
      after: difference.after, title: difference.title)
  }
}
