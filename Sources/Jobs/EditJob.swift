// Writing the edits of a document without moving its pages: into its own file, or into one that shares
// its extents.

internal import Format
internal import ImageCheck
package import ImageEdit
internal import Pages
internal import Stream
package import SystemIO

/// How `set` and scripts write what they changed, where a filter sees no record.
package struct EditJob {
  package let document: ImageDocument
  package var isUnchecked = false
  /// Bytes of room to be left after the configuration, at least.
  package var room = 0
  package static let roomLimit = 1 << 20

  package init(document: ImageDocument, isUnchecked: Bool = false, room: Int = 0) {
    self.document = document
    self.isUnchecked = isUnchecked
    self.room = room
  }

  /// What was written.
  package struct Written {
    package let report: ChangeReport
    /// Bytes that were written over others.
    package let byteCount: Int
    /// Bytes of the block at the front.
    package let inserted: UInt64
  }

  package enum Outcome {
    case written(Written)
    /// Only a rewrite can do it: why.
    case newFile(String)
  }

  /// Changes the file itself. The index beside it is made to fit again where `keepsIndex`.
  package func inPlace(_ edit: FileEdit, keepsIndex: Bool = false) throws -> Outcome {
    let (patches, inserted): ([Patch], UInt64)
    switch try plan(edit.frontUnit) {
    case .newFile(let reason):
      // Before anybody says that it is written anew.
      guard edit.isRegular else {
        throw XensaveError(
          .usage,
          "\(edit.path): \(reason), and a device cannot be replaced (write a new image with -o FILE, "
            + "and that to the device)")
      }
      return .newFile(reason)
    case .inPlace(let found, let count): (patches, inserted) = (found, count)
    }
    if !isUnchecked { try check() }
    if case .cannotInsert(let reason) = try edit.apply(patches, inserting: inserted) {
      return .newFile("no block can be inserted at its front: \(reason)")
    }
    if keepsIndex, !document.movesRecords {
      // An index that cannot be written is one that does not fit: the next edit walks.
      try? IndexCache(of: edit.path).renew(for: document.source, movedBy: inserted)
    }
    return .written(try written(patches, inserted))
  }

  /// Writes a new file; nil where it cannot share extents, and nothing is there then.
  package func clone(to path: String) throws -> Written? {
    let source = document.source
    let unit = source.cloneUnit
    guard unit > 0, !OutputFile.isSame(path, as: [source.identity]),
      case .inPlace(let patches, let inserted) = try plan(unit)
    else { return nil }
    let output = try OutputFile(path, .memory, .replacing)
    guard try output.clone(source, at: inserted) else { return nil }
    if !isUnchecked { try check() }
    try output.overwrite(patches)
    try output.commit()
    return try written(patches, inserted)
  }

  /// Writes the edits to `destination`: without moving pages where that can be done, else by a rewrite of
  /// `source`, which is the document's file. `notice` gets a line where a file is replaced that was to be
  /// edited in place.
  package func write(
    _ source: Source, to destination: Destination, notice: (String) -> Void = { _ in }
  ) throws -> ChangeReport {
    switch destination {
    case .file(let path):
      if let written = try clone(to: path) { return written.report }
    case .inPlace:
      guard let edit = source.edit else { break }
      switch try inPlace(edit) {
      case .written(let written): return written.report
      case .newFile(let reason): notice("\(source.path): written anew: \(reason)")
      }
    case .standardOutput, .none: break
    }
    return try RewriteJob(destination: destination, isUnchecked: isUnchecked)
      .run(source, document.edits)
  }

  /// Makes the room a part of the edits, for a rewrite.
  package func leaveRoom() throws {
    guard room > 0, let kind = document.index.headers.first?.kind,
      var header = document.header(kind)
    else { return }
    let there = HeaderRoom.byteCount(header)
    guard there ?? 0 < room else { return }
    guard there != nil, HeaderRoom.set(room, in: &header) else {
      throw XensaveError(
        .refused,
        "\(document.source.path): it has no configuration that room could be left after (--pad)")
    }
    document.setBytes(header.bytes, of: kind)
  }

  private func plan(_ unit: UInt64) throws -> EditPlan {
    try document.plan(unit: unit, room: room)
  }

  private func written(
    _ patches: [Patch], _ inserted: UInt64
  ) throws -> Written {
    var report = try document.changes()
    let count = patches.reduce(0) { $0 + $1.after.count }
    report.bytesWritten = UInt64(count)
    return Written(report: report, byteCount: count, inserted: inserted)
  }

  /// Verifies the image as it will be. Edits that have nothing to do with the pages are checked
  /// without them, and refused for what they make worse; else the whole image has to be good.
  package func check() throws {
    let index = document.index
    let tail: Int? =
      switch index.coverage {
      case .front: nil
      case .around(let tail): tail
      case .all: document.areEditsApartFromPages ? index.firstAfterPages : nil
      }
    func report(_ verifier: Verifier) throws -> VerifyReport {
      if index.coverage == .front { return try verifier.runFront() }
      if let tail { return try verifier.runAround(index, tail: tail) }
      return try verifier.run()
    }
    let expected = RewriteJob.expectedRules(index.headers)
    var errors = try report(Verifier(document)).findings.filter {
      $0.severity == .error && !expected.contains($0.ruleID)
    }
    if !errors.isEmpty, index.coverage == .front || tail != nil {
      let before = try report(Verifier(document.source.duplicate())).findings
      let known = Set(before.map(\.description))
      errors.removeAll { known.contains($0.description) }
    }
    guard let first = errors.first else { return }
    throw XensaveError(
      .rejected,
      "\(document.source.path): not changed: the result would not restore: \(first.description); "
        + "--unchecked changes it all the same")
  }
}
