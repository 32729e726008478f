// A record whose payload is written in another shape than it was read, without being loaded.

public import Stream

/// Writes a record of a stream in its own way. `EditableRecord.streamer` takes it.
public protocol RecordStreamer: AnyObject {
  /// Whether what it writes differs from what was read: where it does not, it is not asked to write.
  var isChanging: Bool { get }
  /// One line for the report: what is written in place of what.
  var change: String { get }
  /// Writes the whole record with its header. `reader` stands after the record's header and need not
  /// be left at its end; `record` is the header with the changes made to it. Called once.
  func write(
    _ record: Record, from reader: inout StreamReader, to writer: inout StreamWriter
  ) throws
}
