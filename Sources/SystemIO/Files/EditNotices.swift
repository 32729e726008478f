// Telling whoever reads an image that an edit of it is not finished.

internal import Synchronization

/// What is said of images that are opened to be read.
public enum EditNotices {
  private static let listener = Mutex<(@Sendable (String) -> Void)?>(nil)

  /// From now on `listener` gets a line for each image that is opened beside an unfinished edit.
  public static func watch(_ listener: @escaping @Sendable (String) -> Void) {
    self.listener.withLock { $0 = listener }
  }

  static func post(_ line: String) { listener.withLock { $0 }?(line) }
}

extension Source {
  /// Opens the image at `path` for reading; "-" is standard input. A compressed file is read as what it
  /// holds. Whoever listens is told where an edit of it is not finished.
  public convenience init(image path: String) throws(SystemError) {
    try self.init(contents: path)
    guard isFile, !isRemote else { return }
    switch try UndoJournal.find(for: fileDescriptor, self.path) {
    case .none, .void: break
    case .foreign(let journal, let reason):
      EditNotices.post("\(self.path): \(journal) \(reason): ignored")
    case .unclear, .unfinished:
      if let problem = try unfinishedEdit() { EditNotices.post("\(self.path): \(problem)") }
    }
  }

  /// Opens the image at `path` to edit it in place: nobody else does, as long as this or a duplicate
  /// is there.
  public convenience init(editing path: String) throws {
    let edit = try FileEdit(path)
    if let note = edit.note { EditNotices.post(note) }
    try self.init(edit.descriptor.duplicate(path: path), path: path)
    self.edit = edit
  }

  /// What is wrong where an edit of the file is not finished; nil where none is known of.
  public func unfinishedEdit() throws(SystemError) -> String? {
    guard isFile, !isRemote, edit == nil else { return nil }
    switch try UndoJournal.find(for: fileDescriptor, path) {
    case .none, .void, .foreign: return nil
    case .unclear(let journal, let reason):
      return "an edit in place may be unfinished: \(journal) \(reason)"
    case .unfinished(let journal):
      return "an edit in place is not finished (\(journal.path)): where none is under way, "
        + FileEdit.remedy(path)
    }
  }
}
