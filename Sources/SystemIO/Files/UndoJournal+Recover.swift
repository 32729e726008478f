// Undoing an edit in place that was interrupted.

internal import Bytes
internal import CSystem
internal import Glibc

/// What `recover` found to do.
public enum Recovery: Sendable, Equatable {
  /// There was no journal, or none that had been followed by a write.
  case nothing
  /// Bytes were written back.
  case undone
  /// The journal was of another file; it is gone. A line that says so.
  case void(String)
}

extension FileEdit {
  /// Undoes an edit of the file at `path` that was interrupted. Refused while the edit continues.
  public static func recover(_ path: String) throws -> Recovery {
    let edit = try FileEdit(locking: path)
    let found = try UndoJournal.find(for: edit.descriptor.fileDescriptor, path)
    switch found {
    case .none: return .nothing
    case .void(let journal, let reason): return try journal.giveUp(path, reason)
    case .foreign(let journal, let reason), .unclear(let journal, let reason):
      throw XensaveError(.refused, "\(path): nothing undone: \(journal) \(reason)")
    case .unfinished(let journal): return try edit.undo(journal)
    }
  }

  private func undo(_ journal: UndoJournal) throws -> Recovery {
    // Its writer is gone with its locks; one that is at a file which had this name has them still.
    guard csystem_lock(journal.descriptor.fileDescriptor) == 0 else {
      guard errno == EWOULDBLOCK else {
        throw SystemError("flock", errno, journal.path)
      }
      throw FileEdit.busy(path)
    }
    let size = try descriptor.byteCount(path: path)
    let contents: UndoJournal.Contents
    switch try journal.read(for: path, size) {
    case .damaged: return try journal.giveUp(path, "is not whole")
    case .contents(let read): contents = read
    }
    if !contents.hasAfter { try checkTimes(journal) }
    let (view, state) = try lookAt(contents, journal, size)
    let isThisOne: Bool
    if let hash = contents.hash {
      let ranges = contents.operations.map { EditedRange(offset: $0.offset, count: $0.count) }
      isThisOne = try EditedRange.hash(around: ranges, in: view, contents.size) == hash
    } else {
      isThisOne = true
    }
    if !isThisOne {
      // Bytes of both kinds are of that edit, whatever else has become of the file.
      if state.isBefore, state.isAfter, state.stranger == nil {
        throw XensaveError(
          .refused,
          "\(path): nothing undone: half of the edit is there, but bytes around it have changed since "
            + "(\(journal.path))")
      }
      return try journal.giveUp(path, "is of another image that was in this file")
    }
    if let offset = state.stranger {
      throw XensaveError(
        .refused,
        "\(path): nothing undone: the byte at \(offset) is neither what it was before the edit nor "
          + "after it (\(journal.path))")
    }
    let hasBlock = contents.block != nil && view.stage != .before
    guard state.isAfter || hasBlock else {
      try journal.remove()
      return .nothing
    }
    try checkWritable()
    do throws(SystemError) {
      if state.isAfter {
        try writeBack(contents, journal, view)
        try descriptor.synchronize(path: path)
      }
      if let block = contents.block, hasBlock { try takeAway(block, view.stage, size) }
      _ = csystem_stamp(descriptor.fileDescriptor)
      try descriptor.synchronize(path: path)
      try journal.remove()
    } catch {
      throw XensaveError(
        error, "\(error.description); the edit is not undone yet", hint: FileEdit.remedy(path))
    }
    return .undone
  }

  /// Finds out where the bytes lie, and compares them.
  private func lookAt(
    _ contents: UndoJournal.Contents, _ journal: UndoJournal, _ size: UInt64
  ) throws -> (FileView, State) {
    guard let block = contents.block else {
      let view = FileView(descriptor.fileDescriptor, path, 0, .after)
      return (view, try compare(contents, journal, view))
    }
    let before = FileView(descriptor.fileDescriptor, path, block.count, .before)
    if size < contents.size {
      // Nothing was inserted yet, or it is taken away already: so nothing was written.
      var state = try compare(contents, journal, before)
      if state.isAfter, state.stranger == nil {
        state.stranger = contents.operations.first?.offset
      }
      return (before, state)
    }
    let after = FileView(descriptor.fileDescriptor, path, block.count, .after)
    let state = try compare(contents, journal, after)
    guard state.stranger != nil else { return (after, state) }
    // The front is the last that moves. An edit that could not be told from this is not begun.
    let place = try block.tear(in: descriptor.fileDescriptor, size - block.count, path)
    let isMoved = try compare(contents, journal, before).stranger != nil
    guard let place else {
      if isMoved { return (after, state) }
      throw XensaveError(
        .refused,
        "\(path): nothing undone: \(block.count) bytes were inserted only in a part of the file, and "
          + "where, cannot be told (\(journal.path))")
    }
    let torn = FileView(descriptor.fileDescriptor, path, block.count, .torn(at: place))
    let other = try compare(contents, journal, torn)
    return other.stranger == nil && !other.isAfter ? (torn, other) : (after, state)
  }

  /// Takes the block away, wherever it is.
  private func takeAway(
    _ block: FrontBlock, _ stage: FrontStage, _ size: UInt64
  ) throws(SystemError) {
    var place: UInt64 = 0
    if case .torn(let at) = stage { place = at }
    // A block at the end is none, but a file that is too long.
    if place + block.count >= size {
      guard ftruncate(descriptor.fileDescriptor, off_t(clamping: size - block.count)) == 0 else {
        throw SystemError("ftruncate", errno, path)
      }
      return
    }
    while csystem_collapse(descriptor.fileDescriptor, place, block.count) != 0 {
      guard errno == EINTR else { throw SystemError("fallocate", errno, path) }
      try Interrupt.check(path)
    }
  }

  /// Which bytes the ranges hold.
  private struct State {
    var isBefore = false
    var isAfter = false
    /// The offset of the first byte that is neither.
    var stranger: UInt64?
  }

  private static let chunk: UInt64 = 64 << 10

  /// Compares byte by byte: a write that a fault of the machine tears leaves both in one range.
  private func compare(
    _ contents: UndoJournal.Contents, _ journal: UndoJournal, _ view: FileView
  ) throws -> State {
    var state = State()
    try forEachChunk(contents, journal, view) {
      (offset, there, before, after) throws(SystemError) in
      try Interrupt.check(path)
      for index in there.indices where before[index] != after?[index] {
        if there[index] == before[index] {
          state.isBefore = true
        } else if after == nil || there[index] == after?[index] {
          state.isAfter = true
        } else if state.stranger == nil {
          state.stranger = offset + UInt64(index)
        }
      }
    }
    return state
  }

  private func writeBack(
    _ contents: UndoJournal.Contents, _ journal: UndoJournal, _ view: FileView
  ) throws(SystemError) {
    // What is right already stays untouched: a full disk or a shared block cannot hinder it.
    try forEachChunk(contents, journal, view) {
      (offset, there, before, _) throws(SystemError) in
      guard there != before else { return }
      try writeFully(before, descriptor.fileDescriptor, offset, path)
    }
  }

  private func forEachChunk(
    _ contents: UndoJournal.Contents, _ journal: UndoJournal, _ view: FileView,
    _ body: (UInt64, [UInt8], [UInt8], [UInt8]?) throws(SystemError) -> Void
  ) throws(SystemError) {
    for operation in contents.operations {
      var done: UInt64 = 0
      while done < operation.count {
        let count = Int(min(FileEdit.chunk, operation.count - done))
        let offset = operation.offset + done
        let there = try view.read(offset, count)
        let fileDescriptor = journal.descriptor.fileDescriptor
        let before = try readFully(fileDescriptor, operation.place + done, count, journal.path)
        let after =
          contents.hasAfter
          ? try readFully(
            fileDescriptor, operation.place + operation.count + done, count, journal.path)
          : nil
        guard there.count == count, before.count == count, (after?.count ?? count) == count else {
          throw SystemError("read", EIO, path)
        }
        try body(offset, there, before, after)
        done += UInt64(count)
      }
    }
  }

  /// A journal of version 0.1.0 does not say what the bytes became, nor of which file it is. The
  /// edit that it belongs to wrote at once after it.
  private func checkTimes(_ journal: UndoJournal) throws {
    var (file, beside) = (stat(), stat())
    guard unsafe fstat(descriptor.fileDescriptor, &file) == 0 else {
      throw SystemError("fstat", errno, path)
    }
    guard unsafe fstat(journal.descriptor.fileDescriptor, &beside) == 0 else {
      throw SystemError("fstat", errno, journal.path)
    }
    let (written, begun) = (nanoseconds(file.st_mtim), nanoseconds(beside.st_mtim))
    guard written <= begun &+ 600_000_000_000 else {
      throw XensaveError(
        .refused,
        "\(path): nothing undone: the file was written long after \(journal.path), which is of an "
          + "older version (XSUNDO1) and cannot say whether it belongs to it")
    }
  }
}

extension UndoJournal {
  struct Operation {
    let offset: UInt64
    let count: UInt64
    /// Where the bytes before lie in the journal; those after are after them.
    let place: UInt64
  }

  struct Contents {
    var operations: [Operation] = []
    /// The block that the edit inserts; nil for none.
    var block: FrontBlock?
    /// Bytes of the file after the edit.
    var size: UInt64 = 0
    /// Hash of the bytes around; nil where the journal does not say it.
    var hash: UInt64?
    var hasAfter = true
  }

  enum Reading {
    case damaged
    case contents(Contents)
  }

  /// Says that the journal is of no use here, and takes it away.
  func giveUp(_ file: String, _ reason: String) throws -> Recovery {
    try removeVoid(of: file)
    return reason == "is not whole" ? .nothing : .void("\(path) \(reason): removed")
  }

  /// Reads the headers of all operations. Whatever the journal says, no more is kept of it than
  /// `operationLimit` of them, and no place beyond the end of the file or of the journal.
  func read(for file: String, _ size: UInt64) throws -> Reading {
    let head = try bytes(0, UndoJournal.headCount)
    if head.starts(with: UndoJournal.oldMagic) { return try readOld(head, file, size) }
    let count = head.load(16, as: UInt64.self)
    guard head.count == UndoJournal.headCount, byteCount >= UInt64(UndoJournal.headCount + 8),
      count <= UInt64(UndoJournal.operationLimit)
    else { throw impossible(file, "its header") }
    var contents = Contents()
    contents.hash = head.load(56, as: UInt64.self)
    contents.size = size
    var place = UInt64(UndoJournal.headCount)
    let end = byteCount - 8
    if let block = try readBlock(file, end) {
      let (before, after) = (head.load(24, as: UInt64.self), head.load(32, as: UInt64.self))
      guard count > 1, after >= before, after - before == block.count else {
        throw impossible(file, "its block")
      }
      contents.block = block
      contents.size = after
      place += UInt64(8 * block.operation.count)
    }
    let size = contents.size
    var last: UInt64 = 0
    let first: UInt64 = contents.block == nil ? 0 : 1
    for index in first..<max(first, count) {
      let words = try bytes(place, UndoJournal.operationHeadCount)
      guard words.count == UndoJournal.operationHeadCount, place <= end else {
        throw impossible(file, "operation \(index)")
      }
      guard words.load(0, as: UInt64.self) == UInt64(UndoJournal.overwriting) else {
        throw XensaveError(
          .refused,
          "\(file): nothing undone: \(path): operation \(index) is of kind "
            + "\(words.load(0, as: UInt32.self)), which this version does not know")
      }
      let (whole, offset, length) = (
        words.load(8, as: UInt64.self), words.load(16, as: UInt64.self),
        words.load(24, as: UInt64.self)
      )
      guard length > 0, offset >= last, offset <= size, length <= size - offset,
        length <= (end - place) / 2, whole == UInt64(UndoJournal.operationHeadCount) + 2 * length,
        whole <= end - place
      else { throw impossible(file, "operation \(index)") }
      contents.operations.append(
        Operation(
          offset: offset, count: length, place: place + UInt64(UndoJournal.operationHeadCount)))
      last = offset + length
      place += whole
    }
    guard place == end else { throw impossible(file, "its length") }
    return try isSummed() ? .contents(contents) : .damaged
  }

  /// The first operation, where it inserts a block.
  private func readBlock(_ file: String, _ end: UInt64) throws -> FrontBlock? {
    let place = UInt64(UndoJournal.headCount)
    let head = try bytes(place, UndoJournal.operationHeadCount)
    guard head.count == UndoJournal.operationHeadCount,
      head.load(0, as: UInt64.self) == UInt64(UndoJournal.inserting)
    else { return nil }
    let (whole, offset, count) = (
      head.load(8, as: UInt64.self), head.load(16, as: UInt64.self), head.load(24, as: UInt64.self)
    )
    let headCount = UInt64(UndoJournal.operationHeadCount)
    let most = headCount + 8 + 16 * UInt64(FrontBlock.dataLimit)
    guard offset == 0, whole > headCount, whole <= most, whole <= end - place,
      let block = FrontBlock(
        count: count, try bytes(place + headCount, Int(whole - headCount)))
    else { throw impossible(file, "operation 0") }
    return block
  }

  private func impossible(_ file: String, _ what: String) -> XensaveError {
    XensaveError(.refused, "\(file): nothing undone: \(path): \(what) cannot be right")
  }

  private func readOld(
    _ head: [UInt8], _ file: String, _ size: UInt64
  ) throws -> Reading {
    guard byteCount >= 32 else { return .damaged }
    // Structure first: its length bounds how long a forged one can keep us.
    var contents = Contents()
    contents.hasAfter = false
    contents.size = size
    let count = head.load(16, as: UInt64.self)
    var place: UInt64 = 24
    let end = byteCount - 8
    guard count <= UInt64(UndoJournal.operationLimit) else { return .damaged }
    for index in 0..<count {
      let words = try bytes(place, 16)
      guard words.count == 16, end >= place, end - place >= 16 else { return .damaged }
      let (offset, length) = (words.load(0, as: UInt64.self), words.load(8, as: UInt64.self))
      place += 16
      guard length <= end - place else { return .damaged }
      guard offset <= size, length <= size - offset else {
        throw impossible(file, "patch \(index)")
      }
      contents.operations.append(Operation(offset: offset, count: length, place: place))
      place += length
    }
    guard place == end else { return .damaged }
    return try isSummed() ? .contents(contents) : .damaged
  }

  private func isSummed() throws -> Bool {
    var sum = FNV()
    var place: UInt64 = 0
    let end = byteCount - 8
    while place < end {
      try Interrupt.check(path)
      let chunk = try bytes(place, Int(min(64 << 10, end - place)))
      guard !chunk.isEmpty else { return false }
      sum.add(chunk)
      place += UInt64(chunk.count)
    }
    let stored = try bytes(end, 8)
    return stored.count == 8 && stored.load(0, as: UInt64.self) == sum.value
  }

  private func bytes(_ offset: UInt64, _ count: Int) throws -> [UInt8] {
    try readFully(descriptor.fileDescriptor, offset, count, path)
  }
}
