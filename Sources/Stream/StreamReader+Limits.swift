// What a reader takes at most, and how streams end.

internal import Bytes

extension StreamReader {
  public enum EndReason: Sendable, Equatable {
    /// By the END record of the outermost layer.
    case end
    /// A checkpointed stream whose bytes ended between two records.
    case checkpoint
    /// A checkpointed stream that was cut inside a record: the last complete checkpoint counts.
    case cutCheckpoint
    /// In the state of a virtual GPU, whose end only its emulator knows (xenopsd's Demu).
    case opaque
  }

  /// Limits, in bytes.
  public enum Limit {
    /// Longest libxc body. Xen: REC_LENGTH_MAX (128 MiB since 4.10; 8 MiB before).
    public static let libxcBody: UInt64 = 128 << 20
    /// Longest libxl body that is passed on; libxl itself states none.
    public static let libxlBody: UInt64 = 1 << 30
    /// Longest header that is read into memory: the p2m frames of a PV guest of 4 TiB.
    public static let head = 16 << 20
    /// Longest pfn table of one PAGE_DATA: 131,071 entries. Xen's savers batch 1,024, and no more
    /// than 32,704 with contents fit into a record.
    public static let pageTable = 1 << 20
    /// Bytes of a file of no known format that are searched for the beginning of an image.
    static let search = 4096
    /// Blobs up to this length are read into memory, longer ones stay in the source.
    public static let blob = 1 << 20
  }
}

/// The checksum of a record under way. Draft B, Records, checksum.
struct RecordChecksum {
  /// Options bit 0 of the record's header.
  let isValid: Bool
  var crc = CRC32()
}
