// Files, mounts and paths of a Linux guest.

internal import Bytes
internal import Pages

/// A file that a process has open.
public struct LinuxFile: Sendable, Equatable {
  public let descriptor: Int
  /// A path, or "socket:[123]", "pipe:[123]", "anon_inode:[eventfd]".
  public let path: String
  public let position: UInt64
  /// As open(2) has them.
  public let flags: UInt32
  /// Where its struct file is.
  public let address: UInt64
}

/// A file system that is mounted.
public struct LinuxMount: Sendable, Equatable {
  public let device: String
  public let path: String
  public let type: String
  public let isReadOnly: Bool
  /// The number of its superblock's device.
  public let major: UInt32
  public let minor: UInt32
}

extension LinuxGuest {
  /// Most names of a path, and bytes of it.
  private static let pathDepth = 256
  private static let pathBytes = 4096

  /// The path of a `struct file`.
  func path(ofFile file: UInt64) throws -> String {
    let dentry = try value(file, "file", "f_path.dentry")
    let mount = try value(file, "file", "f_path.mnt")
    let type = try fileSystemType(ofDentry: dentry)
    switch type {
    case "sockfs", "pipefs":
      let inode = try value(dentry, "dentry", "d_inode")
      let inodeNumber = inode == 0 ? 0 : try value(inode, "inode", "i_ino")
      return "\(type == "sockfs" ? "socket" : "pipe"):[\(inodeNumber)]"
    case "anon_inodefs": return "anon_inode:\(try name(ofDentry: dentry))"
    default: return try path(dentry, mount)
    }
  }

  private func name(ofDentry dentry: UInt64) throws -> String {
    let place = try value(dentry, "dentry", "d_name.name")
    let length = min(255, Int(clamping: try value(dentry, "dentry", "d_name.len")))
    return String(decoding: try memory.string(place, limit: length), as: UTF8.self)
  }

  private func fileSystemType(ofDentry dentry: UInt64) throws -> String {
    let block = try value(dentry, "dentry", "d_sb")
    return try fileSystemType(ofSuperblock: block)
  }

  private func fileSystemType(ofSuperblock block: UInt64) throws -> String {
    let type = try value(block, "super_block", "s_type")
    return try memory.text(value(type, "file_system_type", "name"), limit: 64)
  }

  /// The path from the root of all mounts; `vfsmount` is a `struct vfsmount`, which lies inside of its
  /// `struct mount`. Linux: fs/d_path.c, prepend_path.
  func path(_ dentry: UInt64, _ vfsmount: UInt64) throws -> String {
    let inside = try field("mount", "mnt")
    let parent = try field("dentry", "d_parent")
    let root = try field("vfsmount", "mnt_root")
    let above = try field("mount", "mnt_parent")
    let point = try field("mount", "mnt_mountpoint")
    var dentry = dentry
    var mount = vfsmount &- inside.offset
    var names: [String] = []
    var count = 0
    let hash = try field("dentry", "d_hash.pprev")
    let isTop = try memory.value(dentry, parent) == dentry
    let isHashed = try memory.value(dentry, hash) != 0
    let isGone = !isTop && !isHashed
    // Shared memory without a file has a name, but no directory. Linux: fs/d_path.c, simple_dname.
    if isTop, try memory.value(vfsmount, root) != dentry {
      return "/\(try name(ofDentry: dentry)) (deleted)"
    }
    for _ in 0..<LinuxGuest.pathDepth {
      let up = try memory.value(dentry, parent)
      if try memory.value(mount &+ inside.offset, root) == dentry || up == dentry {
        let outer = try memory.value(mount, above)
        if outer == mount || outer == 0 {
          let text = "/" + names.reversed().joined(separator: "/")
          return isGone ? text + " (deleted)" : text
        }
        dentry = try memory.value(mount, point)
        mount = outer
        continue
      }
      let name = try name(ofDentry: dentry)
      count += name.utf8.count + 1
      guard count <= LinuxGuest.pathBytes else { break }
      names.append(name)
      dentry = up
    }
    throw invalid("the path of the directory entry at \(dentry.hex()) has no end")
  }

  // MARK: - Open files

  /// The files that a process has open.
  public func files(of task: LinuxTask) throws -> Listing<LinuxFile> {
    try memory.question {
      var out = Listing<LinuxFile>()
      let files = try value(task.address, "task_struct", "files")
      guard files != 0 else { return out }
      let table = try value(files, "files_struct", "fdt")
      let count = min(1 << 20, Int(clamping: try value(table, "fdtable", "max_fds")))
      let open = try value(table, "fdtable", "open_fds")
      let slots = try value(table, "fdtable", "fd")
      var base = 0
      while base < count {
        let bits = try memory.word(open &+ UInt64(base / 8))
        for bit in 0..<min(64, count - base) where bits >> UInt64(bit) & 1 != 0 {
          let descriptor = base + bit
          guard out.items.count < 1 << 16 else {
            out.problem = "there are more than \(1 << 16) files"
            return out
          }
          do {
            let file = try memory.word(slots &+ UInt64(8 * descriptor))
            if file == 0 { continue }
            out.items.append(
              LinuxFile(
                descriptor: descriptor, path: try path(ofFile: file),
                position: try value(file, "file", "f_pos"),
                flags: UInt32(truncatingIfNeeded: try value(file, "file", "f_flags")), address: file
              ))
          } catch {
            out.problem = out.problem ?? "descriptor \(descriptor): \(error)"
          }
        }
        base += 64
      }
      return out
    }
  }

  // MARK: - Mounts

  /// What is mounted for a process; without one, for the first process.
  public func mounts(of task: LinuxTask? = nil) throws -> Listing<LinuxMount> {
    try memory.question {
      let first: LinuxTask
      if let task { first = task } else { first = try self.task(1) }
      let proxy = try value(first.address, "task_struct", "nsproxy")
      guard proxy != 0 else { return Listing() }
      let space = try value(proxy, "nsproxy", "mnt_ns")
      let list: Listing<UInt64>
      if let head = optionalField("mnt_namespace", "list"),
        let node = optionalField("mount", "mnt_list")
      {
        list = memory.list(space &+ head.offset, node.offset, limit: 1 << 16)
      } else {
        // From 6.8 on they are in a tree.
        let tree = try field("mnt_namespace", "mounts")
        let node = try firstField("mount", "mnt_node")
        list = memory.tree(
          try value(space &+ tree.offset, "rb_root", "rb_node"), try field("rb_node", "rb_left"),
          try field("rb_node", "rb_right"), node.offset, limit: 1 << 16)
      }
      let inside = try field("mount", "mnt")
      var out = Listing<LinuxMount>()
      out.problem = list.problem
      for mount in list.items {
        do {
          let block = try value(mount, "mount", "mnt.mnt_sb")
          let root = try value(mount, "mount", "mnt.mnt_root")
          let name = try value(mount, "mount", "mnt_devname")
          let device = try value(block, "super_block", "s_dev")
          // MNT_READONLY of the mount, SB_RDONLY of the file system.
          let mountFlags = try value(mount, "mount", "mnt.mnt_flags")
          let blockFlags = try value(block, "super_block", "s_flags")
          let isReadOnly = mountFlags & 0x40 != 0 || blockFlags & 1 != 0
          out.items.append(
            LinuxMount(
              device: name == 0 ? "none" : try memory.text(name, limit: 4096),
              path: try path(root, mount &+ inside.offset),
              type: try fileSystemType(ofSuperblock: block), isReadOnly: isReadOnly,
              major: UInt32(truncatingIfNeeded: device >> 20),
              minor: UInt32(truncatingIfNeeded: device & 0xF_FFFF)))
        } catch { out.problem = out.problem ?? "mount at \(mount.hex()): \(error)" }
      }
      return out
    }
  }
}
