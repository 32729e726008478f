// Edits of what comes before the pages, in place: within the room after the configuration, or with a
// block inserted at the front of the file. No page is moved, and a kill leaves old or new.

import Format
import Glibc
import ImageEdit
import Stream
import SystemIO
import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"
private let long = "a-name-that-is-much-longer-than-the-one-before"

@Suite struct FrontEditTests {
  static let hasStrace = Program.shell("command -v strace").exitCode == 0
  /// Whether blocks can be inserted in the folder of the tests (not in one in memory).
  static let inserts =
    Program.shell(
      "f=$(mktemp /tmp/xensave-test-XXXXXX); head -c 8192 /dev/zero >$f; "
        + "fallocate -i -o 0 -l 4096 $f 2>/dev/null; c=$?; rm $f; exit $c"
    ).exitCode == 0
  static let kills = inserts && hasStrace

  private func inFolder(_ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    try body(folder)
  }

  /// All but the outer header: what no edit of the configuration changes.
  private func stream(_ image: String, _ folder: String) -> [UInt8] {
    let outcome = Program.shell("xensave-lua unwrap \(image) \(folder)/stream -q")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    defer { unlink(folder + "/stream") }
    return Program.read(folder + "/stream")
  }

  private func edit(_ image: String, _ name: String, _ more: String = "") -> Outcome {
    Program.shell("xensave-lua set \(image) config.c_info.name=\(name) --in-place \(more)")
  }

  private func status(_ path: String) -> (inode: UInt64, size: Int) {
    var status = stat()
    _ = stat(path, &status)
    return (UInt64(status.st_ino), Int(status.st_size))
  }

  // MARK: - What is written

  /// A shorter configuration leaves room, and one that fits into it takes it: the file keeps its length.
  @Test func whatFitsIsWrittenOver() {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image)")
      let before = status(image)
      for name in ["t", "tp", "tpv"] {
        let outcome = edit(image, name)
        #expect(outcome.exitCode == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("changed in place\n"), "\(outcome.errors)")
        #expect(status(image) == before)
        let verify = Program.run(["verify", image])
        #expect(verify.text == "\(image): good, 14 records\n", "\(verify.text)")
        let dump = Program.run(["dump", image, "config.c_info.name"])
        #expect(dump.text == "config.c_info.name: \"\(name)\"\n")
      }
      #expect(Program.read(image) == Program.read(pv))
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// A longer one gets a block, by whatever command; other names of the file see it, and nobody else
  /// has its mode and attributes.
  @Test(
    .enabled(if: inserts, "no block can be inserted here"),
    arguments: [
      "set image config.c_info.name=\(long) --in-place -q",
      "run rename image \(long) --in-place -q",
      "-e 'img.config.c_info.name = \"\(long)\"' image --in-place -q",
      "-e 'return { xl_header = function(h) h.config.c_info.name = \"\(long)\" end }' image --in-place -q",
      "-e 'img.config.c_info.name = \"x\" return { header = function(h) if h.config then "
        + "h.config.c_info.name = \"\(long)\" end end }' image --in-place -q",
    ])
  func aLongerOneGetsABlock(command: String) {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell(
        "cp \(pv) \(image); chmod 640 \(image); ln \(image) \(folder)/other; "
          + "setfattr -n user.note -v kept \(image) 2>/dev/null")
      let before = status(image)
      let outcome = Program.shell("cd \(folder); xensave-lua \(command)")
      #expect(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
      let after = status(folder + "/other")
      #expect(after == (before.inode, before.size + 4096))
      let verify = Program.run(["verify", image])
      #expect(verify.text == "\(image): good, 14 records\n", "\(verify.text)")
      let dump = Program.run(["dump", image, "config.c_info.name"])
      #expect(dump.text == "config.c_info.name: \"\(long)\"\n")
      #expect(stream(image, folder) == stream(pv, folder))
      #expect(Program.shell("stat -c %a \(image)").text == "640\n")
      #expect(Program.names(in: folder) == ["image", "other"])
      // What follows fits, in both directions.
      for name in [long + long, "x", "tpv"] {
        #expect(edit(image, name, "-q").exitCode == 0)
        #expect(status(image) == after)
      }
      #expect(stream(image, folder) == stream(pv, folder))
    }
  }

  /// Room can be left on purpose, in place and in a new file.
  @Test func padLeavesRoom() throws {
    try inFolder { folder in
      for way in ["--in-place", "-o \(folder)/out"] {
        let image = folder + (way == "--in-place" ? "/image" : "/out")
        let outcome = Program.shell(
          "cp \(pv) \(folder)/image; xensave-lua set \(folder)/image config.c_info.name=tp \(way) "
            + "--pad 10000 -q")
        #expect(outcome.exitCode == 0, "\(outcome.errors)")
        #expect(Program.run(["verify", image]).text.contains("good, 14 records"))
        let source = try Source(opening: image)
        let header = try ImageDocument(source, frontOnly: true).header(.xl)
        #expect(header.flatMap { HeaderRoom.byteCount($0) } ?? 0 >= 10000)
        let size = status(image).size
        #expect(edit(image, String(repeating: "n", count: 9000), "--unchecked -q").exitCode == 0)
        #expect(status(image).size == size)
        #expect(stream(image, folder) == stream(pv, folder))
      }
      let none = Program.shell(
        "xensave-lua unwrap \(pv) \(folder)/bare -q; xensave-lua set \(folder)/bare "
          + "X86_TSC_INFO.khz=5 --pad 10 -o \(folder)/no -q")
      #expect(none.exitCode == 1 && none.errors.contains("no configuration that room"), "\(none)")
      for wrong in ["-1", "2000000"] {
        let outcome = Program.shell("xensave-lua set \(pv) a=1 --dry-run --pad=\(wrong)")
        #expect(outcome.exitCode == 2 && outcome.errors.contains("--pad"), "\(outcome.errors)")
      }
    }
  }

  /// Where no block can be inserted, the file is replaced, and a line says why.
  @Test(.enabled(if: access("/dev/shm", W_OK) == 0, "there is no file system in memory"))
  func elsewhereTheFileIsReplaced() {
    inFolder { folder in
      let image = "/dev/shm/xensave-test-\(getpid())"
      defer { unlink(image) }
      for command in [
        "set \(image) config.c_info.name=\(long) --in-place",
        "run rename \(image) \(long) --in-place",
      ] {
        _ = Program.shell("cp \(pv) \(image)")
        let outcome = Program.shell("xensave-lua \(command)")
        #expect(outcome.exitCode == 0, "\(outcome.errors)")
        let lines = outcome.errors.split(separator: "\n").filter { $0.contains("written anew") }
        #expect(lines.count == 1, "\(outcome.errors)")
        #expect(outcome.errors.contains("inserts no block"), "\(outcome.errors)")
        #expect(Program.run(["verify", image]).text.contains("good, 14 records"))
        #expect(stream(image, folder) == stream(pv, folder))
      }
      // What fits needs no block anywhere.
      let before = status(image)
      #expect(edit(image, "x", "-q").exitCode == 0)
      #expect(status(image) == before)
    }
  }

  /// An index beside the image fits afterwards, wherever its records lie now.
  @Test(.enabled(if: inserts, "no block can be inserted here"))
  func theIndexFitsAfterwards() {
    inFolder { folder in
      let outcome = Program.shell(
        """
        cd \(folder); cp \(pv) image; sleep 0.1; xensave-lua pages image --cache >before || exit 1
        xensave-lua set image config.c_info.name=\(long) X86_TSC_INFO.khz=5 --in-place -q || exit 2
        xensave-lua pages image --cache >after || exit 3
        cp image fresh; xensave-lua pages fresh >new || exit 4
        sed -n '2,$p' after >one; sed -n '2,$p' new | cmp - one || exit 5
        strace -f -qq -e trace=pread64 xensave-lua set image X86_TSC_INFO.khz=6 --in-place -q 2>reads
        xensave-lua dump image X86_TSC_INFO.khz
        """)
      #expect(outcome.exitCode == 0, "\(outcome.exitCode) \(outcome.errors)")
      #expect(outcome.text == "khz: 6 kHz\n")
      #expect(!outcome.errors.contains("ignored"), "\(outcome.errors)")
    }
  }

  /// Records that get longer before the pages: the room after the configuration takes that up. Those
  /// after the pages, and images without room, are written anew.
  @Test(.enabled(if: inserts, "no block can be inserted here"))
  func recordsBeforeThePagesMayGrow() throws {
    try inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pvh) \(image)")
      let source = try Source(editing: image)
      let edit = try #require(source.edit)
      let whole = try ImageDocument(source.duplicate())
      let number = try #require(whole.indexes(of: .x86CPUIDPolicy).first)
      let body = try whole.record(number).body
      let entry = Array(body.suffix(24))
      let size = Program.read(image).count
      for round in 1...3 {
        let document = try ImageDocument(source.duplicate(), frontOnly: round == 2)
        let longer = try document.record(number).body + entry
        try document.setBody(longer, ofRecord: number)
        guard case .inPlace(let patches, let inserted) = try document.plan(unit: edit.frontUnit)
        else {
          Issue.record("not in place")
          return
        }
        #expect(inserted == (round == 1 ? 4096 : 0))
        #expect(document.movesRecords)
        #expect(try edit.apply(patches, inserting: inserted) == .done)
        let now = try ImageDocument(Source(opening: image))
        #expect(try now.record(number).body == body + (0..<round).flatMap { _ in entry })
        #expect(now.index.entries.count == whole.index.entries.count)
        #expect(Program.read(image).count == size + 4096)
      }
      let last = try ImageDocument(Source(opening: image))
      let tail = try #require(last.indexes(of: .hvmContext).first)
      try last.setBody(last.record(tail).body + [0, 0, 0, 0, 0, 0, 0, 0], ofRecord: tail)
      guard case .newFile(let reason) = try last.plan(unit: 4096) else {
        Issue.record("in place")
        return
      }
      #expect(reason.contains("after the pages"))
      // No header that could have room.
      _ = Program.shell("xensave-lua unwrap \(pvh) \(folder)/bare -q")
      let bare = try ImageDocument(Source(opening: folder + "/bare"))
      let policy = try #require(bare.indexes(of: .x86CPUIDPolicy).first)
      try bare.setBody(bare.record(policy).body + entry, ofRecord: policy)
      guard case .newFile(let why) = try bare.plan(unit: 4096) else {
        Issue.record("in place")
        return
      }
      #expect(why.contains("24 bytes longer"), "\(why)")
    }
  }

  /// libvirt's XML has room after its NUL.
  @Test(.enabled(if: inserts, "no block can be inserted here"))
  func libvirtsXMLMayGrow() throws {
    try inFolder { folder in
      let image = folder + "/image"
      let xml = "<domain type='xen'><name>one</name></domain>"
      let made = Program.shell(
        "cd \(folder); printf '%s' \"\(xml)\" >xml; xensave-lua unwrap \(pv) bare -q && "
          + "xensave-lua wrap bare image --in libvirt --config xml -q; cp bare before; rm xml")
      #expect(made.exitCode == 0, "\(made.errors)")
      let size = Program.read(image).count
      for (name, grown) in [("one-that-is-longer", 4096), ("two", 4096), ("a", 4096)] {
        let source = try Source(editing: image)
        let edit = try #require(source.edit)
        let document = try ImageDocument(source.duplicate(), frontOnly: true)
        var header = try #require(document.header(.libvirt))
        let room = try #require(HeaderRoom.byteCount(header))
        let text = xml.replacing("one", with: name)
        header.bytes = Array(header.bytes.prefix(64)) + Array(text.utf8) + [0]
        #expect(HeaderRoom.set(room, in: &header))
        document.setBytes(header.bytes, of: .libvirt)
        guard case .inPlace(let patches, let inserted) = try document.plan(unit: edit.frontUnit)
        else {
          Issue.record("not in place")
          return
        }
        #expect(try edit.apply(patches, inserting: inserted) == .done)
        let bytes = Program.read(image)
        #expect(bytes.count == size + grown)
        #expect(bytes[64...].starts(with: Array(text.utf8) + [0]))
        let verify = Program.run(["verify", image])
        #expect(verify.text == "\(image): good, 14 records\n", "\(verify.text)")
        let back = Program.shell("cd \(folder); xensave-lua unwrap image bare -q; cmp bare before")
        #expect(back.exitCode == 0, "\(back.text)")
      }
    }
  }

  // MARK: - Faults

  /// A file system that refuses after all: another file takes its place where that helps, and else
  /// nothing is changed.
  @Test(
    .enabled(if: kills, "strace has to inject faults, and blocks to be inserted"),
    arguments: [
      ("EOPNOTSUPP", 0), ("EINVAL", 0), ("EPERM", 0), ("ENOSPC", 3), ("EIO", 3), ("EFBIG", 3),
      ("EDQUOT", 3),
    ])
  func aRefusedBlock(error: String, exitCode: Int32) {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image)")
      let before = status(image)
      let outcome = Program.shell(
        "strace -f -qq -o \(folder)/trace -e trace=fallocate -e inject=fallocate:error=\(error) "
          + "xensave-lua set \(image) config.c_info.name=\(long) --in-place; "
          + "code=$?; rm \(folder)/trace; exit $code")
      #expect(outcome.exitCode == exitCode, "\(outcome.errors)")
      #expect(Program.names(in: folder) == ["image"])
      if exitCode == 0 {
        #expect(outcome.errors.contains("written anew"), "\(outcome.errors)")
        #expect(status(image).inode != before.inode)
        #expect(Program.run(["verify", image, "-q"]).exitCode == 0)
        #expect(stream(image, folder) == stream(pv, folder))
      } else {
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
        #expect(Program.read(image) == Program.read(pv))
      }
    }
  }

  /// A kill at each system call that writes: what is left is old or new, `recover` makes it old where
  /// the edit is not finished, and may itself be killed anywhere.
  @Test(
    .enabled(if: kills, "strace has to inject kills, and blocks to be inserted"),
    arguments: [
      "pwrite64:when=1", "fsync:when=1", "linkat:when=1", "fsync:when=2", "fallocate:when=1",
      "fsync:when=3", "pwrite64:when=2", "utimensat:when=1", "fsync:when=4", "unlink:when=1",
      "fsync:when=5",
    ])
  func killsLeaveOldOrNew(place: String) {
    inFolder { folder in
      let image = folder + "/image"
      func run(_ words: String, _ place: String) {
        let call = place.prefix { $0 != ":" }
        _ = Program.shell(
          "strace -f -qq -o \(folder)/trace -e trace=\(call) -e "
            + "inject=\(call):signal=KILL:\(place.dropFirst(call.count + 1)) xensave-lua \(words); "
            + "rm \(folder)/trace")
      }
      func interrupt() {
        _ = Program.shell("rm -f \(folder)/.image.undo; cp --remove-destination \(pv) \(image)")
        run("set \(image) config.c_info.name=\(long) --in-place -q", place)
      }
      interrupt()
      let half = Program.read(image)
      let isUnfinished = Program.exists(folder + "/.image.undo")
      if half != Program.read(pv) {
        #expect(half.count == Program.read(pv).count + 4096)
        #expect(isUnfinished || Program.run(["verify", image, "-q"]).exitCode == 0)
      }
      if isUnfinished {
        let verify = Program.run(["verify", image])
        #expect(verify.text.contains("[file.unfinished-edit]"), "\(verify.text)")
        #expect(edit(image, "x").errors.contains("was interrupted"))
        #expect(Program.read(image) == half)
      }
      let recovered = Program.run(["recover", image])
      #expect(recovered.exitCode == 0, "\(recovered.errors)")
      #expect(
        recovered.text.contains("was undone") == (isUnfinished && half != Program.read(pv)),
        "\(recovered.text)")
      #expect(
        (Program.read(image) == Program.read(pv)) == (isUnfinished || half == Program.read(pv)))
      #expect(Program.names(in: folder) == ["image"])
      guard isUnfinished, half != Program.read(pv) else { return }
      for place in [
        "pwrite64:when=1", "fsync:when=1", "fallocate:when=1", "utimensat:when=1", "fsync:when=2",
        "unlink:when=1", "fsync:when=3",
      ] {
        interrupt()
        run("recover \(image)", place)
        let again = Program.run(["recover", image])
        #expect(again.exitCode == 0, "\(place): \(again.errors)")
        #expect(Program.read(image) == Program.read(pv), "\(place)")
        #expect(Program.names(in: folder) == ["image"], "\(place)")
      }
    }
  }

  /// A power cut may tear the insertion: from some extent on the file has moved, and before it not. So
  /// may one tear the removal of the block.
  @Test(
    .enabled(if: kills, "strace has to inject kills, and blocks to be inserted"),
    arguments: [0, 4096, 8192, 1 << 20, 2 << 20, 4_210_688, -1], [false, true])
  func aTornInsertionIsPutBack(place: Int, isSparse: Bool) {
    inFolder { folder in
      let image = folder + "/image"
      let punch =
        "fallocate -p -o 1044480 -l 65536 \(image); fallocate -p -o 2097152 -l 4096 \(image)"
      let first = Program.shell(
        "cp --sparse=never \(pv) \(image); \(isSparse ? punch : "sync \(image)"); "
          + "cp --sparse=always \(image) \(folder)/old")
      #expect(first.exitCode == 0, "\(first.errors)")
      let old = Program.read(image)
      let change =
        place < 0
        ? "truncate -s +4096 \(image)" : "fallocate -i -o \(place) -l 4096 \(image)"
      let outcome = Program.shell(
        "strace -f -qq -o \(folder)/trace -e trace=fallocate "
          + "-e inject=fallocate:error=EIO:signal=KILL xensave-lua set \(image) "
          + "config.c_info.name=\(long) --in-place -q --unchecked; rm \(folder)/trace; \(change)")
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      #expect(Program.exists(folder + "/.image.undo"))
      #expect(Program.run(["verify", image, "-q"]).exitCode == 1)
      let recovered = Program.run(["recover", image])
      #expect(recovered.exitCode == 0, "\(recovered.errors)")
      #expect(recovered.text.contains("was undone"), "\(recovered.text)")
      #expect(Program.read(image) == old)
      #expect(Program.names(in: folder) == ["image", "old"])
    }
  }

  /// What is somebody else's stays: bytes that are neither, a file that only has the length.
  @Test(
    .enabled(if: kills, "strace has to inject kills, and blocks to be inserted"),
    arguments: [
      "printf '\\252' | dd of=image bs=1 seek=20 conv=notrunc status=none",
      "printf '\\252' | dd of=image bs=1 seek=4140 conv=notrunc status=none",
    ])
  func strangersBytesAreRefused(change: String) {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell(
        "cd \(folder); cp \(pv) image; strace -f -qq -o trace -e trace=pwrite64 "
          + "-e inject=pwrite64:signal=KILL:when=2 xensave-lua set image "
          + "config.c_info.name=\(long) --in-place -q; rm trace; \(change)")
      let before = Program.read(image)
      let outcome = Program.run(["recover", image])
      #expect(outcome.exitCode == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("is neither"), "\(outcome.errors)")
      #expect(Program.read(image) == before)
      #expect(Program.exists(folder + "/.image.undo"))
    }
  }

  /// A journal whose block cannot be right is refused, and nothing is written.
  @Test(
    .enabled(if: kills, "strace has to inject kills, and blocks to be inserted"),
    arguments: [
      (72, UInt64(0)), (72, UInt64.max), (72, 40), (80, 4096), (88, 0), (88, UInt64.max),
      (88, 8192),
      (96, 0), (96, UInt64.max), (96, 5), (104, UInt64.max), (104, 1 << 40), (112, 0),
      (112, UInt64.max), (64, 3), (16, 1),
    ])
  func forgedBlocks(place: Int, word: UInt64) {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell(
        "cp \(pv) \(image); strace -f -qq -o \(folder)/trace -e trace=pwrite64 "
          + "-e inject=pwrite64:signal=KILL:when=2 xensave-lua set \(image) "
          + "config.c_info.name=\(long) --in-place -q; rm \(folder)/trace")
      let before = Program.read(image)
      var journal = Program.read(folder + "/.image.undo")
      for index in 0..<8 { journal[place + index] = UInt8(word >> (8 * index) & 0xFF) }
      let sum = journal.dropLast(8).reduce(UInt64(0xCBF2_9CE4_8422_2325)) {
        ($0 ^ UInt64($1)) &* 0x100_0000_01B3
      }
      for index in 0..<8 {
        journal[journal.count - 8 + index] = UInt8(sum >> (8 * index) & 0xFF)
      }
      Program.write(journal, to: folder + "/.image.undo")
      let outcome = Program.shell(
        Program.memoryLimit(4_000_000) + "timeout 20 xensave-lua recover \(image)")
      // Where data lay matters to an insertion that was torn only.
      if place >= 96, outcome.exitCode == 0 {
        #expect(Program.read(image) == Program.read(pv), "\(outcome.text)")
        return
      }
      #expect(outcome.exitCode == 1, "\(outcome.text) \(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
      #expect(Program.read(image) == before)
    }
  }
}
