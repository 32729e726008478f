/// How long scripts of a configuration may keep their caller waiting, in milliseconds of the processor.
public struct ScriptDeadlines: Sendable {
  /// A filter, for one record.
  public let record: UInt64
  /// A file, to say whom it speaks for.
  public let configuration: UInt64

  public static let standard = ScriptDeadlines(record: 10_000, configuration: 5_000)

  public init(record: UInt64, configuration: UInt64) {
    self.record = record
    self.configuration = configuration
  }
}
