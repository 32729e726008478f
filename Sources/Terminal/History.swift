// The history of submitted blocks.

/// Blocks submitted before, oldest first, each at most once; kept in a file if a path is given.
///
/// Several processes may use the same file: each appends its own blocks under a lock. Problems with
/// the file never lose the history in memory and never throw; they are told in `error`.
public struct History: Sendable {
  /// The blocks, oldest first, at most `limit`, no two with the same bytes.
  public private(set) var entries: [String] = []
  /// The number of blocks kept, in memory and in the file; 1 or more.
  public let limit: Int
  /// The last problem with the file; nil as long as there was none.
  public private(set) var error: TerminalError?

  private var file: HistoryFile?
  /// The file's path; nil for a history in memory only.
  public var path: String? { file?.path }

  /// A history in memory only, for at most `limit` blocks.
  public init(limit: Int = 2000) {
    self.limit = max(1, limit)
  }

  /// A history kept in the file at `path`. Missing directories and the file itself are made when
  /// the first block is added, for the owner only.
  public init(path: String, limit: Int = 2000) {
    self.init(limit: limit)
    var file = HistoryFile(path: path, limit: self.limit)
    do throws(TerminalError) {
      entries = try file.load()
    } catch {
      self.error = error
    }
    self.file = file
  }

  /// Adds a submitted block at the end; an equal earlier one is dropped. Blocks of blanks only are
  /// not kept.
  public mutating func add(_ block: String) {
    let block = block.withUnixLineBreaks
    guard block.contains(where: { !$0.isWhitespace }) else { return }
    if let last = entries.last, last.utf8.elementsEqual(block.utf8) { return }
    entries.removeAll { $0.utf8.elementsEqual(block.utf8) }
    entries.append(block)
    if entries.count > limit { entries.removeFirst(entries.count - limit) }
    do throws(TerminalError) {
      try file?.append(block)
    } catch {
      self.error = error
    }
  }

  /// `blocks` with only the last of equal ones, and of those the last `limit`.
  static func distinct(_ blocks: [String], limit: Int) -> [String] {
    var seen: Set<[UInt8]> = []
    var kept: [String] = []
    for block in blocks.reversed() where seen.insert(Array(block.utf8)).inserted {
      kept.append(block)
      if kept.count == limit { break }
    }
    return kept.reversed()
  }
}
