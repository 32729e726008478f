// Runs of pages that differ, for people.

internal import Bytes
internal import Format
internal import Pages

extension PageDifference {
  /// One line for people.
  package var description: String {
    let pages = first == last ? "page \(first.hex())" : "pages \(first.hex())..\(last.hex())"
    let count = "\(pageCount.grouped) page\(pageCount == 1 ? "" : "s")"
    switch kind {
    case .onlyInFirst: return "- \(pages): \(count)"
    case .onlyInSecond: return "+ \(pages): \(count)"
    case .contents: return "\(pages): \(count) with other contents"
    case .type:
      let names = types.map(\.name).joined(separator: " -> ")
      return "\(pages): \(names), \(count)"
    }
  }
}
