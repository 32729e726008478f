// Bytes to be written over others, and folders to the disk.

internal import Glibc

/// Bytes to be written over others of the same number.
public struct Patch: Sendable, Equatable {
  /// Bytes from the start of the file.
  public let offset: UInt64
  public let before: [UInt8]
  public let after: [UInt8]

  public init(offset: UInt64, before: [UInt8], after: [UInt8]) {
    precondition(before.count == after.count)
    self.offset = offset
    self.before = before
    self.after = after
  }

  /// The runs of bytes in which two versions of a part at `offset` differ.
  public static func differences(
    _ before: [UInt8], _ after: [UInt8], at offset: UInt64
  ) -> [Patch] {
    precondition(before.count == after.count)
    var out: [Patch] = []
    var position = 0
    while position < before.count {
      guard before[position] != after[position] else {
        position += 1
        continue
      }
      var end = position + 1
      while end < before.count, before[end] != after[end] { end += 1 }
      out.append(
        Patch(
          offset: offset + UInt64(position), before: Array(before[position..<end]),
          after: Array(after[position..<end])))
      position = end
    }
    return out
  }
}

/// Writes the folder of `path` to the disk, so that names in it last.
func synchronizeFolder(of path: String) throws(SystemError) {
  let given = splitPath(path).folder
  // Messages name it, also where the path has none.
  let folder = given.isEmpty ? "." : given
  let fileDescriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard fileDescriptor >= 0 else { throw SystemError("open", errno, folder) }
  defer { _ = close(fileDescriptor) }
  // Some file systems cannot sync a folder (EINVAL); the names in it stand all the same.
  if try Waiting.synchronize(fileDescriptor, folder) != 0, errno != EINVAL {
    throw SystemError("fsync", errno, folder)
  }
}
