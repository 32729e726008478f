// A rewrite on a file system that shares extents: what was not changed is not written again.

import Testing

/// An XFS in a file, mounted over a loop device.
private final class ReflinkDisk {
  let folder = Program.temporaryFolder()
  var mount: String { folder + "/there" }

  /// Mounts and says whether that was possible.
  func start() -> Bool {
    Program.shell(
      """
      PATH="$PATH:/usr/sbin:/sbin"
      mkdir '\(mount)' && truncate -s 400M '\(folder)/disk' &&
      mkfs.xfs -q -m reflink=1 '\(folder)/disk' && mount -o loop '\(folder)/disk' '\(mount)'
      """
    ).exitCode == 0
  }

  deinit {
    _ = Program.shell("umount '\(folder)/there'")
    Program.remove(folder)
  }

  /// Whether this machine can.
  static let isPossible: Bool = ReflinkDisk().start()
}

@Suite(
  .enabled(if: ReflinkDisk.isPossible, "no XFS can be mounted here (root, xfsprogs, loop devices)"))
struct ReflinkTests {
  /// An edit that lengthens the configuration shifts nothing: the pages stay where they are on the
  /// disk, and the header says how much was put after the configuration.
  @Test func pagesAreShared() throws {
    let disk = ReflinkDisk()
    let isMounted = disk.start()
    try #require(isMounted)
    let there = disk.mount
    let made = Program.shell(
      "scripts/make-image --guest hvm --layer xl --memory 64MiB '\(there)/in' && sync")
    #expect(made.exitCode == 0, "\(made.errors)")
    let free = "stat -f -c %a '\(there)'"  // blocks of 4096 bytes
    let result = Program.shell(
      """
      before=$(\(free))
      xensave-lua set '\(there)/in' config.c_info.name=a-name-that-is-longer-than-the-old-one \
        -o '\(there)/out' -q || exit 1
      sync; echo $((before - $(\(free))))
      xensave-lua verify -q '\(there)/out' || exit 2
      xensave-lua dump '\(there)/out' config.c_info.name
      size() { stat -c %s "$1"; }
      echo $((($(size '\(there)/out') - $(size '\(there)/in')) % 4096))
      # The same guest but for its name: what a rewrite elsewhere makes of both.
      for name in in out; do
        xensave-lua unwrap '\(there)/'$name '\(disk.folder)/'$name -q || exit 3
      done
      cmp '\(disk.folder)/in' '\(disk.folder)/out' || exit 4
      """)
    #expect(result.exitCode == 0, "\(result.errors)")
    let lines = String(decoding: result.output, as: UTF8.self).split(separator: "\n")
    try #require(lines.count == 3, "\(lines)")
    // Of 16,384 pages.
    #expect(try #require(Int(lines[0])) < 300, "blocks that the copy took")
    #expect(lines[1].contains("a-name-that-is-longer-than-the-old-one"))
    #expect(lines[2] == "0")
  }
}
