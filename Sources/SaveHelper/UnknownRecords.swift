// Records of a kind that nobody here knows, on their way through filters.

internal import Format
internal import ImageEdit
internal import Stream
internal import SystemIO

/// What becomes of a mandatory record of an unknown type. Pages may be in it: xenguest of XAPI's hosts may
/// compress them, in a form that is not published.
package enum UnknownRecords: Sendable {
  /// Filters see it as any other.
  case show
  /// The stream ends: what the filters are for might pass unseen.
  case refuse
  /// It is passed on, and no filter sees it.
  case pass

  /// The filter with this rule before it.
  func around(_ filter: any RewriteFilter) -> any RewriteFilter {
    switch self {
    case .show: filter
    case .refuse, .pass: UnknownRecordFilter(filter, self)
    }
  }
}

/// Keeps unknown records from a filter.
private final class UnknownRecordFilter: RewriteFilter {
  private let base: any RewriteFilter
  private let rule: UnknownRecords

  init(_ base: any RewriteFilter, _ rule: UnknownRecords) {
    self.base = base
    self.rule = rule
  }

  func begin() throws { try base.begin() }
  func finish() throws { try base.finish() }
  func header(_ header: inout Header) throws { try base.header(&header) }

  func record(_ record: EditableRecord) throws -> FilterResult {
    let type = record.record.type
    guard !type.isOptional, RecordSchemas.of(type) == nil else { return try base.record(record) }
    guard rule == .pass else {
      throw XensaveError(
        .unsupported,
        "record type \(type.name) is not known: compressed by xenguest?",
        record: record.record.place)
    }
    return .keep
  }
}
