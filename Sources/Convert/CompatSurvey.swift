// The facts of an image that its compatibility depends on, from one pass over its heads.

internal import Bytes
internal import Format
public import Image
public import Stream
public import SystemIO

/// What one pass has found: the survey, and what only compatibility asks for. Bounded like it.
public struct CompatSurvey: Sendable {
  /// Lengths of the entries of one type of HVM_CONTEXT.
  struct Entry: Sendable, Equatable {
    let type: UInt16
    let byteCount: Int
  }

  public private(set) var survey = Survey()
  /// What the image is, where it is a legacy one that only old releases read directly.
  public internal(set) var legacy: String?
  /// The longest body of libxc's.
  private(set) var longest: (place: String, byteCount: UInt64)?
  /// The kinds of entries of HVM_CONTEXT, at most 256.
  private(set) var entries: [Entry] = []
  /// The greatest index in HVM_PARAMS.
  private(set) var greatestParam: UInt64?
  /// emulator_id of each EMULATOR_CONTEXT.
  private(set) var emulators: Set<UInt32> = []

  /// What a survey alone knows.
  public init(_ survey: Survey = Survey()) { self.survey = survey }

  /// Walks over the whole image.
  public init(_ source: Source) throws(StreamError) {
    var reader = StreamReader(source)
    do throws(StreamError) {
      while let part = try reader.next() { add(part) }
      survey.finish(reader.ending, at: source.position)
    } catch {
      guard error.kind == .unsupported, error.problem.contains("legacy libxc stream") else {
        throw error
      }
      legacy = "a legacy libxc stream"
    }
  }

  /// Adds one part, in the order of the stream.
  public mutating func add(_ part: Part) {
    survey.add(part)
    guard case .record(let record) = part else { return }
    let order = record.context.order
    if record.type.layer == .libxc, record.length > longest?.byteCount ?? 0 {
      longest = (record.place, record.length)
    }
    switch record.type {
    case .hvmContext:
      for entry in Format.entries(of: HVMRecords.chain, in: record.body, 0..<record.body.count) {
        let kind = Entry(type: entry.type, byteCount: entry.byteCount)
        if entries.count < 256, !entries.contains(kind) { entries.append(kind) }
      }
    case .hvmParams:
      for offset in stride(from: 8, to: record.body.count - 15, by: 16) {
        greatestParam = max(
          greatestParam ?? 0, record.body.load(offset, as: UInt64.self, order))
      }
    case .emulatorContext:
      if record.body.count >= 4, emulators.count < 16 {
        emulators.insert(record.body.load(0, as: UInt32.self, order))
      }
    case .qemuTrad: emulators.insert(1)
    case .qemuXen: emulators.insert(2)
    default: break
    }
  }
}
