// What a first walk over a legacy stream finds out for the second one.

internal import Stream
internal import SystemIO

/// Which checkpoint a stream that can be read twice has to be converted to, and how.
struct LegacyPlan {
  /// The last checkpoint whose tail is complete, from 0.
  private(set) var last: Int
  private(set) var hasDeviceModel = false
  private(set) var hasToolstack = false
  /// Whether pages up to that checkpoint come compressed.
  private(set) var usesCompression = false
  /// Why what follows that checkpoint is no checkpoint, where something follows.
  private(set) var cut: StreamError?

  /// The plan of a stream whose checkpoint `last` says that it is the last one.
  init(last: Int) { self.last = last }

  /// Walks over all headers from where `reader` is. The reader's source is then somewhere else.
  ///
  /// Bytes that end inside a checkpoint, or make no sense there, cost that checkpoint only, if one
  /// before it is complete: so does Xen's restorer when the primary host fails.
  init(scanning reader: LegacyReader) throws(StreamError) {
    var reader = reader
    var found = LegacyPlan(last: -1)
    var soFar = found
    var isWithDeviceModel = false
    do throws(StreamError) {
      while let item = try reader.next() {
        switch item.content {
        case .toolstack: soFar.hasToolstack = true
        case .deviceModel:
          soFar.hasDeviceModel = true
          isWithDeviceModel = true
        case .compressedPages: soFar.usesCompression = true
        case .endOfCheckpoint(let index):
          // Cut off between a tail and its device model.
          guard isWithDeviceModel || !found.hasDeviceModel else {
            throw StreamError(
              .truncated, path: reader.source.path, offset: item.offset, place: "device model",
              "the stream ends: expected its record, as in the checkpoint before")
          }
          isWithDeviceModel = false
          soFar.last = index
          found = soFar
        default: break
        }
      }
    } catch {
      switch error.kind {
      case .truncated where found.last >= 0, .malformed where found.last >= 0: found.cut = error
      default: throw error
      }
    }
    self = found
  }
}
