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
    /// The field's path; "" where the whole is meant.
    public let field: String
    public let before: String
    public let after: String
    /// The field as people know it; "" where that is its path.
    public var title = ""

    /// What the field is called.
    public var shownField: String { title.isEmpty ? field : title }

    public var description: String {
      switch kind {
      // Members of a configuration come and go.
      case .changed where !field.isEmpty && before.isEmpty: "\(place): + \(shownField): \(after)"
      case .changed where !field.isEmpty && after.isEmpty: "\(place): - \(shownField): \(before)"
      case .changed where !field.isEmpty: "\(place): \(shownField): \(before) -> \(after)"
      case .changed: "\(place): \(before) -> \(after)"
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

  /// Notes every field that differs between two bodies of the same rows.
  mutating func noteFields(
    _ place: String, _ offset: UInt64, _ layout: BodySchema, _ before: [UInt8], _ after: [UInt8]
  ) {
    if before.count != after.count {
      note(
        Change(
          kind: .changed, place: place, offset: offset, field: "",
          before: "\(before.count) bytes", after: "\(after.count) bytes"))
      return
    }
    layout.walk(after) { slot in
      let range = slot.offset..<slot.offset + slot.byteCount
      guard before[range] != after[range] else { return }
      note(
        Change(
          kind: .changed, place: place, offset: offset, field: slot.path,
          before: slot.field.text(of: slot.value(in: before)),
          after: slot.field.text(of: slot.value(in: after)),
          title: layout.paramTitle(of: slot, in: after) ?? ""))
    }
  }

  /// Notes every text that differs between two descriptions of the domain.
  mutating func noteText(
    _ kind: DomainText, _ place: String, _ offset: UInt64, _ before: [UInt8]?, _ after: [UInt8]?
  ) {
    kind.forEachDifference(before, after) { difference in
      note(
        Change(
          kind: .changed, place: place, offset: offset, field: difference.title,
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
