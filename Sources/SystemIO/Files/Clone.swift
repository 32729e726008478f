// New files that share the extents of another one.

internal import CSystem
internal import Glibc

extension Source {
  /// In which unit bytes of this file can begin at another offset of a file that shares its extents; 0
  /// where its file system shares none.
  public var cloneUnit: UInt64 { descriptor.kind == .file ? csystem_clone_unit(fileDescriptor) : 0 }
}

extension OutputFile {
  /// Makes all of `source` a part of the file, after `offset` zeros, without copying it. False, and
  /// nothing is written, where that cannot be done: another file system, no reflinks, no file.
  public func clone(_ source: Source, at offset: UInt64) throws(SystemError) -> Bool {
    guard !isBlockDevice, !isStream, sink.kind == .file, !source.isRemote,
      let size = source.byteCount
    else {
      return false
    }
    while csystem_clone_to(source.fileDescriptor, sink.fileDescriptor, offset) != 0 {
      switch errno {
      case EINTR: try Interrupt.check(path)
      case ENOSPC, EDQUOT, EIO, EFBIG: throw SystemError("ioctl", errno, path)
      default: return false
      }
    }
    guard try sink.descriptor.byteCount(path: path) == size + offset else {
      throw SystemError("the source changed its length: ioctl", EIO, path)
    }
    return true
  }

  /// Writes the bytes of `patches` over those that are there.
  public func overwrite(_ patches: [Patch]) throws(SystemError) {
    for patch in patches { try writeFully(patch.after, sink.fileDescriptor, patch.offset, path) }
  }
}
