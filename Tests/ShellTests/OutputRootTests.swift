// Outputs to what only root can make: devices, a full file system, files of others.

import Glibc
import Testing

/// Why it cannot be tried here; nil where it can.
private func hindrance(_ attempt: String) -> String? {
  guard geteuid() == 0 else { return "only root can make it" }
  let outcome = Program.shell(
    "d=$(mktemp -d) && cd $d || exit 9; \(attempt); c=$?; rm -rf $d; exit $c")
  return outcome.exitCode == 0 ? nil : "it cannot be made here: \(outcome.errors)"
}

private let noNode = hindrance("mknod null c 1 3 && : >null")
private let noMount = hindrance("unshare --mount mount -t tmpfs none .")
private let noLoop = hindrance(
  "truncate -s 64K f && l=$(losetup --find --show f) && losetup --detach $l")
private let noUser = hindrance("touch a && chown 1000:1001 a")

@Suite struct OutputRootTests {
  @Test(
    .enabled(if: noNode == nil, "\(noNode ?? "")"), arguments: Writers.all)
  func devicesAreWrittenToAndStay(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      mknod place/null c 1 3; mknod place/full c 1 7; stat -c '%F %t %T %a %i' place/* >before
      run place/null; echo $code; cat said; run place/full; refused 0
      stat -c '%F %t %T %a %i' place/* | cmp - before; ls -A place
      """)
    #expect(outcome.text == "0\nfull\nnull\n", "\(outcome.text) \(outcome.errors)")
  }

  /// A file system with room for nothing: one line, and nothing is left, also of what was there.
  @Test(
    .enabled(if: noMount == nil, "\(noMount ?? "")"), arguments: Writers.all)
  func aFullFileSystem(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      cat >inside <<'END'
      mount -t tmpfs -o size=64k none place && echo before >place/out
      dd if=/dev/zero of=place/all bs=1k count=1000 2>/dev/null
      \(writer.command)
      code=$?
      cat place/out >&3; ls -A place >&3
      exit $code
      END
      export OUT=place/out; unshare --mount sh inside 2>said 3>rest; code=$?
      refused 0; cat rest
      """)
    #expect(outcome.text == "before\nall\nout\n", "\(outcome.text) \(outcome.errors)")
  }

  /// A block device is written to, read back, and keeps what is after the image; one that is too
  /// small is an error, and so is one that is in other hands.
  @Test(
    .enabled(if: noLoop == nil, "\(noLoop ?? "")"),
    arguments: Writers.all.filter { $0.isImage })
  func blockDevices(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      run place/file; size=$(stat -c %s place/file)
      head -c 8388608 /dev/zero | tr '\\0' '\\377' >disk; truncate -s 4096 small
      loop=$(losetup --find --show disk) && less=$(losetup --find --show small) || exit 1
      # Nodes of our own: /dev stays as it is.
      mknod place/loop b $(stat -c '0x%t 0x%T' $loop); mknod place/less b $(stat -c '0x%t 0x%T' $less)
      run place/loop; echo $code; cat said
      cmp -n $size place/loop place/file
      tail -c +$((size + 1)) place/loop | tr -d '\\377' | wc -c
      run place/less; refused
      stat -c %F place/loop place/less
      losetup --detach $loop; losetup --detach $less
      """)
    #expect(
      outcome.text == "0\n0\nblock special file\nblock special file\n",
      "\(outcome.text) \(outcome.errors)")
  }

  /// What is read from a device is not written to it, by whatever name.
  @Test(.enabled(if: noLoop == nil, "\(noLoop ?? "")"))
  func theDeviceItself() {
    let outcome = OutputTests.trying(
      Writer("", "xensave-lua set place/a config.c_info.name=x -o \"$OUT\" -q", uses: []),
      """
      cp in disk; truncate -s 8M disk; loop=$(losetup --find --show disk) || exit 1
      for name in a b; do mknod place/$name b $(stat -c '0x%t 0x%T' $loop); done
      run place/b; echo $code; losetup --detach $loop; cmp -n $(stat -c %s in) in disk
      """)
    #expect(outcome.text == "2\n", "\(outcome.text) \(outcome.errors)")
  }

  /// An edit that needs another length is refused on a device, and no line says that it was made.
  @Test(.enabled(if: noLoop == nil, "\(noLoop ?? "")"))
  func aDeviceIsNotWrittenAnew() {
    let outcome = OutputTests.trying(
      Writer(
        "", "xensave-lua set place/a config.c_info.name=a-much-longer-name-than-before --in-place",
        uses: []),
      """
      cp in disk; truncate -s 8M disk; loop=$(losetup --find --show disk) || exit 1
      mknod place/a b $(stat -c '0x%t 0x%T' $loop); run; echo $code; losetup --detach $loop
      grep -c 'written anew' said; grep -c 'a device cannot be replaced' said
      cmp -n $(stat -c %s in) in disk
      """)
    #expect(outcome.text == "2\n0\n1\n", "\(outcome.text) \(outcome.errors)")
  }

  /// An edit in place leaves a file whose it was, with its mode and attributes, however it is written:
  /// as a whole, or byte by byte.
  @Test(
    .enabled(if: noUser == nil, "\(noUser ?? "")"),
    arguments: ["config.c_info.name=a-longer-name", "vcpu[0].rip=0x1234"])
  func editsInPlaceKeepOwnerModeAndAttributes(edit: String) {
    let outcome = OutputTests.trying(
      Writer("", "xensave-lua set place/image \(edit) --in-place -q", uses: []),
      """
      cp in place/image; chown 1000:1001 place/image; chmod 2640 place/image
      python3 -c '
      import os, struct
      path = "place/image"
      os.setxattr(path, "user.note", b"kept")
      # An access list: the user 1002 may read.
      entries = [(1, 6, -1), (2, 4, 1002), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
      acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
      os.setxattr(path, "system.posix_acl_access", acl)'
      show() {
        stat -c '%a %u:%g' place/image
        python3 -c '
      import os
      for name in sorted(os.listxattr("place/image")):
          print(name, os.getxattr("place/image", name).hex())'
      }
      show >before; run; echo $code; cat said; show | cmp - before
      wc -l <before; cmp -s in place/image || echo edited; ls -A place
      """)
    #expect(outcome.text == "0\n3\nedited\nimage\n", "\(outcome.text) \(outcome.errors)")
  }

  /// Who cannot give it back its owner leaves it alone, where the file is written anew.
  @Test(.enabled(if: noUser == nil, "\(noUser ?? "")"))
  func anEditThatWouldTakeTheOwnerIsRefused() {
    let outcome = OutputTests.trying(
      Writer("", ":", uses: []),
      """
      chmod 755 .; chmod 777 place; cp in place/image; chown 1000:1001 place/image
      chmod 666 place/image; as="setpriv --reuid 65534 --regid 65534 --clear-groups"
      $as test -x "$(command -v xensave-lua)" || { echo 3; exit; }
      $as xensave-lua -e 'return function(rec) return true end' place/image --in-place -q 2>said
      echo $?; grep -q 'owner and group cannot be kept' said || cat said
      cmp in place/image; ls -A place >/dev/null; stat -c %u place/image | grep -vx 1000
      """)
    #expect(outcome.text == "3\n", "\(outcome.text) \(outcome.errors)")
  }

  /// In a folder like /tmp nothing of a stranger's is followed, and he gets no file of ours.
  @Test(.enabled(if: noUser == nil, "\(noUser ?? "")"))
  func strangersGetNothing() {
    let outcome = OutputTests.trying(
      Writers.all[0],
      """
      chmod 1777 place; echo 1 >victim; ln -s ../victim place/link; chown -h 1000:1000 place/link
      run place/link; refused; echo 1 | cmp - victim
      echo >place/out; chown 1000:1000 place/out; chmod 666 place/out
      run place/out; echo $code; stat -c '%a %u' place/out
      """)
    #expect(outcome.text == "0\n600 0\n", "\(outcome.text) \(outcome.errors)")
  }
}
