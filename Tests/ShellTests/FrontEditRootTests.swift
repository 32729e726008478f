// Blocks at the front of files, on file systems with other blocks than that of the tests' folder.

import Glibc
import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"

/// A file system in a file, mounted over a loop device.
private final class Disk {
  let folder = Program.temporaryFolder()
  var mount: String { folder + "/there" }
  private var isMounted = false

  /// Makes and mounts it; says whether that was possible.
  func start(_ make: String) -> Bool {
    isMounted =
      Program.shell(
        """
        PATH="$PATH:/usr/sbin:/sbin"
        mkdir '\(mount)' && truncate -s 400M '\(folder)/disk' &&
        \(make) '\(folder)/disk' && mount -o loop '\(folder)/disk' '\(mount)'
        """
      ).exitCode == 0
    return isMounted
  }

  deinit {
    if isMounted { _ = Program.shell("umount '\(folder)/there'") }
    Program.remove(folder)
  }

  static func isPossible(_ make: String) -> Bool { geteuid() == 0 && Disk().start(make) }
  static let isExt4Possible = isPossible("mkfs.ext4 -q")
}

@Suite(.enabled(if: Disk.isExt4Possible, "no file system can be mounted here (root, loop devices)"))
struct FrontEditRootTests {
  /// Where blocks can be inserted, in whatever size, that is done; elsewhere the file is written anew.
  /// The image is the same.
  @Test(arguments: [
    ("mkfs.ext4 -q -b 1024", true), ("mkfs.ext4 -q -b 4096", true), ("mkfs.xfs -q -f", true),
    ("mkfs.xfs -q -f -b size=1024", true), ("mkfs.xfs -q -f -m reflink=0", true),
    ("mkfs.ext4 -q -O ^extents,^64bit", false), ("mkfs.ext4 -q -O bigalloc -C 65536", false),
  ])
  func anyFileSystem(make: String, inserts: Bool) {
    let disk = Disk()
    // Some tools are not installed everywhere.
    guard disk.start(make) else { return }
    let outcome = Program.shell(
      """
      cd '\(disk.mount)'; cp \(pv) image; ln image other; inode=$(stat -c %i image)
      xensave-lua set image config.c_info.name=a-name-that-is-much-longer-than-before --in-place
      [ $inode = $(stat -c %i image) ] && echo kept
      xensave-lua verify image; xensave-lua dump image config.c_info.name
      xensave-lua set image config.c_info.name=fits X86_TSC_INFO.khz=5 --in-place -q
      xensave-lua run rename image longer-$(head -c 5000 /dev/zero | tr '\\0' n) --in-place -q --unchecked
      xensave-lua run rename image tpv --in-place -q
      xensave-lua set image X86_TSC_INFO.khz=$(xensave-lua dump \(pv) X86_TSC_INFO.khz | cut -d' ' -f2) \
        --in-place -q
      xensave-lua unwrap image one -q; xensave-lua unwrap \(pv) two -q; cmp one two
      rm one two; ls -A; sync
      """)
    #expect(outcome.exitCode == 0, "\(make): \(outcome.errors)")
    #expect(
      outcome.text == (inserts ? "kept\n" : "")
        + """
        image: good, 14 records
        config.c_info.name: "a-name-that-is-much-longer-than-before"
        image
        lost+found
        other

        """.replacing("lost+found\n", with: make.contains("xfs") ? "" : "lost+found\n"),
      "\(make): \(outcome.text) \(outcome.errors)")
    #expect(outcome.errors.contains("written anew") == !inserts, "\(make): \(outcome.errors)")
  }

  /// A file system that is full has a line for that, and the image is as it was.
  @Test func aFullFileSystem() {
    let disk = Disk()
    guard disk.start("mkfs.ext4 -q") else { return }
    let outcome = Program.shell(
      """
      cd '\(disk.mount)'; cp \(pv) image; cp image before
      dd if=/dev/zero of=all bs=64k 2>/dev/null; dd if=/dev/zero of=rest bs=1k 2>/dev/null
      xensave-lua set image config.c_info.name=a-name-that-is-much-longer-than-before --in-place -q 2>said
      code=$?; cmp image before || echo changed; ls -A .image* 2>/dev/null; exit $code
      """)
    #expect(outcome.exitCode == 3, "\(outcome.text) \(outcome.errors)")
    #expect(outcome.text.isEmpty, "\(outcome.text)")
  }
}
