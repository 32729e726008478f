// What a Linux kernel says of itself to those who look into its memory.

internal import Bytes
internal import Format

extension GuestMemory {
  private static let kernelNoteName = Array("VMCOREINFO\0\0".utf8)
  /// Its contents are at most a page. Linux: include/linux/crash_core.h, VMCOREINFO_BYTES.
  private static let kernelNoteLimit: UInt32 = 4096

  /// The contents of the note VMCOREINFO, which a Linux kernel keeps ready in its memory for the case
  /// that it crashes: its release, where it lies, and how its structures are laid out. crash needs it.
  /// Nil where there is none. It begins a page. Linux: kernel/crash_core.c, update_vmcoreinfo_note.
  public func kernelNote() throws -> [UInt8]? {
    let name = GuestMemory.kernelNoteName
    var found: [(address: UInt64, count: Int)] = []
    try image.forEachChunk { first, bytes, count in
      for page in 0..<count {
        let start = page * pageByteCount
        // The length of the name, with its zero; the contents' length; type 0.
        guard bytes.load(start, as: UInt32.self) == 11, bytes.load(start + 8, as: UInt32.self) == 0,
          name.indices.allSatisfy({ bytes.load(start + 12 + $0, as: UInt8.self) == name[$0] })
        else { continue }
        let length = bytes.load(start + 4, as: UInt32.self)
        guard length > 0, length <= GuestMemory.kernelNoteLimit, found.count < 16 else { continue }
        found.append(((first + UInt64(page)) << 12 + 24, Int(length)))
      }
    }
    for place in found {
      // A note that has been torn, or that another kernel left, is none.
      guard let contents = try? physical(place.address, place.count),
        contents.starts(with: Array("OSRELEASE=".utf8))
      else { continue }
      return contents
    }
    return nil
  }
}
