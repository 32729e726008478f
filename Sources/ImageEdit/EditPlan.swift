// How edits reach the file of an image: over its bytes, also where what comes before the pages changes
// its length.

internal import Bytes
internal import Format
internal import Stream
public import SystemIO

/// How the edits of a document reach its file.
public enum EditPlan {
  /// Bytes over others, in order of their offsets, once a block of so many zeros is at the front of the
  /// file (0: none is needed). The offsets are those of the file with it.
  case inPlace([Patch], inserting: UInt64)
  /// Only another file can hold them: why.
  case newFile(String)
}

extension ImageDocument {
  /// The longest front that is written anew.
  private static let frontLimit: UInt64 = 64 << 20

  /// A part that an edit changes.
  private struct ChangedPart {
    let name: String
    /// The record's index; 0 for a header.
    let recordIndex: Int
    let start: UInt64
    let before: [UInt8]
    let after: [UInt8]
    var end: UInt64 { start + UInt64(before.count) }
    var isOtherLength: Bool { before.count != after.count }
  }

  /// Finds out how the edits reach the file. `unit` is in what a file can get longer at its front (0: it
  /// cannot), `room` how much of it is wanted after the configuration. Where lengths change, the room
  /// takes it up: the header has it afterwards as it will be written.
  public func plan(unit: UInt64, room wanted: Int = 0) throws -> EditPlan {
    let outer = index.headers.first.flatMap { header($0.kind) }
    let room = outer.flatMap { HeaderRoom.byteCount($0) }
    if wanted > 0, room == nil {
      return .newFile("it has no configuration that room could be left after")
    }
    var parts: [ChangedPart] = []
    switch try changedParts() {
    case .success(let found): parts = found
    case .failure(let reason): return .newFile(reason.text)
    }
    let others = parts.filter(\.isOtherLength)
    var end = others.last?.end ?? 0
    if let outer, let room, room < wanted {
      end = max(end, UInt64(index.headers[0].bytes.count))
      if !parts.contains(where: { $0.start == 0 }) {
        parts.insert(
          ChangedPart(
            name: outer.kind.title, recordIndex: 0, start: 0, before: index.headers[0].bytes,
            after: outer.bytes),
          at: 0)
      }
    }
    guard end > 0 else {
      return .inPlace(
        parts.flatMap { Patch.differences($0.before, $0.after, at: $0.start) }, inserting: 0)
    }
    if let pages = index.entries.firstIndex(where: { $0.type == .pageData }),
      let late = others.first(where: { $0.recordIndex > pages })
    {
      return .newFile("\(late.name) comes after the pages and gets another length")
    }
    guard end <= Self.frontLimit else {
      return .newFile("\(end) bytes before the pages are too many to be written over")
    }
    return try frontPlan(parts, end, outer, room, (unit, wanted))
  }

  /// The plan where the front up to `end` is written anew.
  private func frontPlan(
    _ parts: [ChangedPart], _ end: UInt64, _ outer: Header?, _ room: Int?,
    _ asked: (unit: UInt64, room: Int)
  ) throws -> EditPlan {
    let old: [UInt8]
    source.seek(0)
    old = try source.read(Int(end))
    guard old.count == Int(end) else {
      throw StreamError(
        .truncated, path: source.path, offset: UInt64(old.count),
        "the file became shorter while it was read")
    }
    var new: [UInt8] = []
    var place = 0
    for part in parts where part.start < end {
      new += old[place..<Int(part.start)]
      new += part.after
      place = Int(part.end)
    }
    new += old[place...]
    let growth = new.count - old.count
    let inserted: Int
    if let room, var header = outer {
      let missing = asked.room - (room - growth)
      let unit = Int(asked.unit)
      guard missing <= 0 || unit > 0 else {
        return .newFile(
          "its room of \(room) bytes is \(missing) too short, and its file system inserts no block")
      }
      inserted = missing <= 0 ? 0 : (missing + unit - 1) / unit * unit
      let before = header.bytes.count
      guard HeaderRoom.set(room - growth + inserted, in: &header) else {
        return .newFile("the room after the configuration would be too long")
      }
      new.replaceSubrange(..<before, with: header.bytes)
      setBytes(header.bytes, of: header.kind)
    } else {
      guard growth >= 0, growth == 0 || (asked.unit > 0 && growth % Int(asked.unit) == 0) else {
        return .newFile(
          "what comes before the pages gets \(abs(growth)) bytes \(growth < 0 ? "shorter" : "longer")"
            + ", and this kind of image has no room to take that up")
      }
      inserted = growth
    }
    guard new.count == old.count + inserted else {
      return .newFile("the front does not fit")
    }
    var patches: [Patch] = []
    let before = [UInt8](repeating: 0, count: inserted) + old
    if let first = new.indices.first(where: { new[$0] != before[$0] }),
      let last = new.indices.last(where: { new[$0] != before[$0] })
    {
      patches.append(
        Patch(
          offset: UInt64(first), before: Array(before[first...last]),
          after: Array(new[first...last])))
    }
    for part in parts where part.start >= end {
      patches += Patch.differences(part.before, part.after, at: part.start + UInt64(inserted))
    }
    return .inPlace(patches, inserting: UInt64(inserted))
  }

  private struct Reason: Error { let text: String }

  /// The edited parts in their order, with as much of each as an edit can change.
  private func changedParts() throws -> Result<[ChangedPart], Reason> {
    var out: [ChangedPart] = []
    for (kind, bytes) in editedHeaders {
      guard let before = index.header(kind) else { continue }
      out.append(
        ChangedPart(
          name: kind.title, recordIndex: 0, start: before.offset, before: before.bytes, after: bytes
        ))
    }
    for (recordIndex, body) in editedBodies {
      let before = try originalRecord(recordIndex)
      guard !before.framing.hasChecksum else {
        return .failure(Reason(text: "records of draft B have checksums"))
      }
      guard before.body.count != body.count else {
        out.append(
          ChangedPart(
            name: before.place, recordIndex: recordIndex, start: before.bodyOffset,
            before: before.body,
            after: body))
        continue
      }
      var after = before
      after.body = body
      after.padding = []
      // Of what is not in memory the padding is not either.
      guard before.payloadByteCount == 0 || (body.count - before.body.count) % 8 == 0 else {
        return .failure(Reason(text: "\(before.place) gets other padding"))
      }
      out.append(
        ChangedPart(
          name: before.place, recordIndex: recordIndex, start: before.offset,
          before: before.headBytes,
          after: after.headBytes))
    }
    return .success(out.sorted { $0.start < $1.start })
  }

  /// What the edits change, field by field.
  public func changes() throws -> ChangeReport {
    var report = ChangeReport()
    report.headersRead = index.headers
    report.isOfFront = index.coverage != .all
    for kind in HeaderKind.allCases {
      guard let bytes = editedHeaders[kind], let before = index.header(kind), bytes != before.bytes
      else { continue }
      var after = before
      after.bytes = bytes
      report.headersChanged += 1
      XLConfig.noteChange(in: &report, before, after)
    }
    for (recordIndex, body) in editedBodies.sorted(by: { $0.key < $1.key }) {
      let before = try originalRecord(recordIndex)
      var after = before
      after.body = body
      let occurrence = indexes(of: before.type).firstIndex(of: recordIndex) ?? 0
      report.note(before, after, occurrence: occurrence)
    }
    report.changed = editedBodies.count
    report.recordsRead = index.entries.count
    report.recordsWritten = report.recordsRead
    report.kept = report.recordsRead - report.changed
    report.bytesRead = source.bytesRead
    return report
  }

  /// Whether a record gets another length, so that those after it up to the pages may lie elsewhere.
  public var movesRecords: Bool {
    editedBodies.contains { recordIndex, body in
      (try? originalRecord(recordIndex).body.count) != body.count
    }
  }

  /// Whether the edits have nothing to do with the pages: they can be checked without them.
  public var areEditsApartFromPages: Bool {
    editedHeaders.allSatisfy { kind, bytes in
      kind == .xl || kind == .libvirt
        // The saver's release is for people only.
        || (kind == .domain && bytes.prefix(8) == index.header(kind)?.bytes.prefix(8))
    }
      && editedBodies.keys.allSatisfy { isApartFromPages(.record($0, nil)) }
  }
}
