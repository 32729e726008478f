// Edits in place that are interrupted, that continue, or that only seem to have been: who says so, who
// refuses, and what recover may touch.

import Glibc
import SystemIO
import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"

@Suite struct UnfinishedEditTests {
  static let hasStrace = Program.shell("command -v strace").exitCode == 0
  private let edits = "vcpu[0].rip=0x1234 X86_TSC_INFO.khz=5"
  /// Where the two edits begin.
  private let rip = 4_209_459
  private let khz = 4_204_671

  private func inFolder(_ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    try body(folder)
  }

  /// An image whose edit was killed when the first of its ranges had been written. The first
  /// pwrite64 is that of the journal.
  private func interrupt(_ image: String) {
    _ = Program.shell("cp \(pv) \(image)")
    _ = Program.shell(
      "strace -f -qq -o \(image).trace -e trace=pwrite64 -e inject=pwrite64:signal=KILL:when=3 "
        + "xensave-lua set \(image) \(edits) --in-place --unchecked; rm \(image).trace")
    #expect(Program.read(image) != Program.read(pv))
  }

  // MARK: - Readers and other edits

  @Test(.enabled(if: hasStrace, "strace injects the kill"))
  func everyReaderSaysThatAnEditIsUnfinished() {
    inFolder { folder in
      let image = folder + "/image"
      interrupt(image)
      let half = Program.read(image)
      let readers = [
        "info \(image)", "info \(image) --json", "dump \(image) vcpu[0].rip", "dump \(image)",
        "compat \(image) --xen 4.17", "diff \(image) \(image)", "pages \(image)",
        "compact \(image) \(folder)/out", "export \(image) \(folder)/out --format raw",
        "convert \(image) \(folder)/out --to v2", "delta \(image) \(pv) \(folder)/out",
        "delta \(pv) \(image) \(folder)/out2", "apply \(image) \(folder)/out2 \(folder)/out3",
        "unwrap \(image) \(folder)/out", "set \(image) vcpu[0].rbx=1 --dry-run",
        "set \(image) vcpu[0].rbx=1 -o \(folder)/out", "-e 'print(#img)' \(image)",
        "-e 'return function() end' \(image) -o \(folder)/out",
        "-e 'assert(xs.open(arg[1]))' \(pv) \(image)",
        "-e 'assert(xs.rewrite(arg[1], nil, function() end))' \(pv) \(image)",
        "-e 'xs.diff(img, arg[1])' \(pv) \(image)",
        "-e 'xs.sim.domain { from = arg[1], guest = \"x86_pv\" }' \(pv) \(image)",
        "verify - <\(image)", "-e 'print(xs.verify(arg[1])[1])' \(pv) \(image)",
        "-e 'print(img:verify()[1])' \(image)", "run rename \(image) web1 --dry-run",
      ]
      for reader in readers {
        let outcome = Program.shell("xensave-lua \(reader)")
        let all = outcome.text + outcome.errors
        #expect(all.contains("an edit in place is not finished"), "\(reader): \(all.prefix(500))")
        #expect(
          outcome.errors.split(separator: "\n").filter { $0.contains("not finished") }.count <= 1,
          "\(reader): \(outcome.errors)")
      }
      let verify = Program.run(["verify", image])
      #expect(verify.exitCode == 1)
      #expect(verify.text.contains("[file.unfinished-edit]"), "\(verify.text)")
      #expect(verify.errors.isEmpty, "\(verify.errors)")
      for editor in [
        "set \(image) vcpu[0].rbx=1 --in-place", "set \(image) config.c_info.name=x --in-place",
        "set \(image) vcpu[0].rbx=1 --in-place --cache",
        "-e 'return function() end' \(image) --in-place",
        "-e 'img.vcpu[0].rax=1' \(image) --in-place",
        "run rename \(image) web1 --in-place", "run strip \(image) VERIFY --in-place",
      ] {
        let outcome = Program.shell("xensave-lua \(editor)")
        #expect(outcome.exitCode == 1, "\(editor): \(outcome.errors)")
        #expect(outcome.errors.contains("was interrupted"), "\(editor): \(outcome.errors)")
        #expect(outcome.errors.contains("recover"), "\(editor): \(outcome.errors)")
      }
      #expect(Program.read(image) == half)
      let recovered = Program.run(["recover", image])
      #expect(recovered.text.contains("the interrupted edit was undone"), "\(recovered.errors)")
      #expect(Program.read(image) == Program.read(pv))
      let quiet = Program.shell("rm -f \(folder)/out*; xensave-lua verify \(image)")
      #expect(quiet.exitCode == 0 && quiet.errors.isEmpty)
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// Whoever opens an image says so: `Source(image:)`. These open what is no image (SSHCommand a stream on
  /// its way, EachCommand a list), or (Verify, Module) leave it to the verifier.
  @Test func imagesAreOpenedAsImages() {
    let others: Set = [
      "IndexCache.swift", "PageSet.swift", "ImageFilesBinding.swift", "Module.swift",
      "OptionsBinding.swift", "PageFiles.swift", "Verify.swift", "SSHCommand.swift",
      "EachCommand.swift",
    ]
    let found = Program.shell(
      "cd Sources && grep -rlE 'Source\\((opening|contents):' CommandLine LuaAPI Pages Convert Legacy"
    )
    for path in found.text.split(separator: "\n") {
      let name = String(path.split(separator: "/").last ?? "")
      #expect(others.contains(name), "\(path): is it an image that it opens? Then Source(image:)")
    }
    #expect(found.text.contains("Verify.swift"))
  }

  /// By a symbolic link the journal is that of the file.
  @Test(.enabled(if: hasStrace, "strace injects the kill"))
  func aSymbolicLinkLeadsToTheJournal() {
    inFolder { folder in
      _ = Program.shell("mkdir \(folder)/there; ln -s there/image \(folder)/link")
      interrupt(folder + "/there/image")
      #expect(Program.run(["verify", folder + "/link", "-q"]).exitCode == 1)
      #expect(Program.run(["recover", folder + "/link"]).text.contains("was undone"))
      #expect(Program.read(folder + "/there/image") == Program.read(pv))
      #expect(Program.names(in: folder + "/there") == ["image"])
    }
  }

  // MARK: - Edits that continue

  /// While one edits, nobody else does: whichever way, and recover least of all.
  @Test func editsExcludeEachOther() throws {
    try inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image)")
      let edit = try FileEdit(image)
      for editor in [
        "recover \(image)", "set \(image) vcpu[0].rbx=1 --in-place",
        "set \(image) config.c_info.name=x --in-place",
        "-e 'return function() end' \(image) --in-place", "run rename \(image) web1 --in-place",
      ] {
        let outcome = Program.shell("timeout 20 xensave-lua \(editor)")
        #expect(outcome.exitCode == 3, "\(editor): \(outcome.errors)")
        #expect(
          outcome.errors.contains("another edit is under way"), "\(editor): \(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
      }
      #expect(Program.read(image) == Program.read(pv))
      #expect(Program.run(["verify", image, "-q"]).exitCode == 0)
      withExtendedLifetime(edit) {}
    }
  }

  /// A script's edit holds the image from the moment that it is opened, not only when it is written.
  @Test func aScriptThatEditsInPlaceHoldsTheImage() {
    inFolder { folder in
      let image = folder + "/image"
      let code =
        "print(select(3, os.execute(\"xensave-lua set \(image) vcpu[0].rbx=1 --in-place\")))"
      let outcome = Program.shell(
        "cp \(pv) \(image); xensave-lua -e '\(code) img.vcpu[0].rax = 7' \(image) --in-place -q; "
          + "xensave-lua dump \(image) vcpu[0].rax vcpu[0].rbx")
      #expect(outcome.text.hasPrefix("3\n"), "\(outcome.text) \(outcome.errors)")
      #expect(outcome.text.contains("rax: 0x7\n"), "\(outcome.text)")
      #expect(!outcome.text.contains("rbx: 0x1\n"), "\(outcome.text)")
    }
  }

  @Test(.enabled(if: hasStrace, "strace stops the edit"))
  func recoverRefusesWhileAStoppedEditMayGoOn() {
    inFolder { folder in
      let image = folder + "/image"
      let outcome = Program.shell(
        """
        cp \(pv) \(image); cd \(folder)
        strace -f -qq -o trace -e trace=pwrite64 -e inject=pwrite64:signal=STOP:when=3 \
          xensave-lua set \(image) \(edits) --in-place --unchecked -q & it=$!
        for i in $(seq 1 500); do grep -q 'stopped by SIGSTOP' trace 2>/dev/null && break; sleep 0.1; done
        xensave-lua recover \(image); echo $?
        xensave-lua set \(image) vcpu[0].rbx=1 --in-place; echo $?
        xensave-lua verify \(image) -q; echo $?
        kill -CONT $(sed -n 's/^\\([0-9]*\\) .*stopped by SIGSTOP.*/\\1/p' trace); wait $it; echo $?
        xensave-lua verify \(image) -q; echo $?; rm trace
        """)
      #expect(outcome.text == "3\n3\n1\n0\n0\n", "\(outcome.text) \(outcome.errors)")
      let bytes = Program.read(image)
      #expect(bytes[rip] == 0x34 && bytes[khz] == 5)
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// Another file that got the name while the image was being edited is not touched.
  @Test func aFileThatIsReplacedMeanwhileIsLeftAlone() throws {
    try inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image); echo new >\(folder)/new")
      let edit = try FileEdit(image)
      _ = Program.shell("mv \(folder)/new \(image)")
      #expect(throws: XensaveError.self) { try edit.checkPlace() }
      #expect(throws: XensaveError.self) {
        try edit.apply([Patch(offset: 0, before: [0x58], after: [1])])
      }
      #expect(Program.read(image) == Array("new\n".utf8))
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// So it is where the whole file was to be replaced: what came meanwhile stays.
  @Test func aScriptDoesNotReplaceAFileThatCameMeanwhile() {
    inFolder { folder in
      let image = folder + "/image"
      let code =
        "os.execute(\"echo new >\(folder)/new; mv \(folder)/new \(image)\") return function() end"
      let outcome = Program.shell(
        "cp \(pv) \(image); xensave-lua -e '\(code)' \(image) --in-place -q")
      #expect(outcome.exitCode == 3, "\(outcome.errors)")
      #expect(outcome.errors.contains("another file has taken its place"), "\(outcome.errors)")
      #expect(Program.read(image) == Array("new\n".utf8))
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  // MARK: - Whose journal it is

  @Test(
    .enabled(if: hasStrace, "strace injects the kill"),
    arguments: ["mv new image", "rm image && mv new image", "cat new >image"])
  func aNewImageOfThatNameMakesTheJournalVoid(how: String) {
    inFolder { folder in
      let image = folder + "/image"
      interrupt(image)
      // Of the same size, and with other registers and another clock, as a later save has.
      let made = Program.shell(
        "cd \(folder) && xensave-lua set \(pv) vcpu[0].rip=0x9999 vcpu[0].rsp=0x77 "
          + "X86_TSC_INFO.khz=77 X86_TSC_INFO.nsec=9 -o new -q --unchecked && cp new copy && \(how) && rm -f new"
      )
      #expect(made.exitCode == 0, "\(made.errors)")
      let outcome = Program.run(["recover", image])
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("removed"), "\(outcome.errors)")
      #expect(Program.read(image) == Program.read(folder + "/copy"))
      #expect(Program.names(in: folder) == ["copy", "image"])
    }
  }

  /// A journal of another file hinders neither readers nor edits, and an edit takes it away.
  @Test(.enabled(if: hasStrace, "strace injects the kill"))
  func aVoidJournalHindersNobody() {
    inFolder { folder in
      let image = folder + "/image"
      interrupt(image)
      let outcome = Program.shell(
        "cp \(pv) \(folder)/new && mv \(folder)/new \(image) && xensave-lua verify \(image) -q && "
          + "xensave-lua info \(image) >/dev/null && "
          + "xensave-lua set \(image) X86_TSC_INFO.khz=7 --in-place -q")
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("is of another file"), "\(outcome.errors)")
      #expect(Program.read(image)[khz] == 7)
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// What is neither of before nor of after the edit was written by somebody else.
  @Test(.enabled(if: hasStrace, "strace injects the kill"))
  func aRangeThatHoldsSomethingElseIsRefused() {
    inFolder { folder in
      let image = folder + "/image"
      interrupt(image)
      let journal = Program.read(folder + "/.image.undo")
      _ = Program.shell("printf '\\252' | dd of=\(image) bs=1 seek=\(rip) conv=notrunc status=none")
      let before = Program.read(image)
      let outcome = Program.run(["recover", image])
      #expect(outcome.exitCode == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("the byte at \(rip)"), "\(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
      #expect(Program.read(image) == before)
      #expect(Program.read(folder + "/.image.undo") == journal)
    }
  }

  // MARK: - Journals that are forged, cut or of another version

  /// A journal of version 0.1.0.
  private func oldJournal(
    _ patches: [(offset: UInt64, bytes: [UInt8])], size: Int? = nil, count: UInt64? = nil
  ) -> [UInt8] {
    func word(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(value >> (8 * $0) & 0xFF) } }
    var out = Array("XSUNDO1\n".utf8)
    out += word(UInt64(size ?? Program.read(pv).count)) + word(count ?? UInt64(patches.count))
    for patch in patches {
      out += word(patch.offset) + word(UInt64(patch.bytes.count)) + patch.bytes
    }
    return out + word(Self.sum(out))
  }

  private static func sum(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  @Test func anOldJournalIsFollowedWhereThatIsSafe() {
    inFolder { folder in
      let (image, journal) = (folder + "/image", folder + "/.image.undo")
      let original = Program.read(pv)
      let good = oldJournal([(UInt64(khz), Array(original[khz..<khz + 4]))])
      _ = Program.shell("cp \(pv) \(image)")
      Program.write(good, to: journal)
      chmod(journal, 0o600)
      _ = Program.shell("printf zzzz | dd of=\(image) bs=1 seek=\(khz) conv=notrunc status=none")
      #expect(Program.run(["verify", image, "-q"]).exitCode == 1)
      #expect(Program.run(["recover", image]).text.contains("was undone"))
      #expect(Program.read(image) == original)
      #expect(Program.names(in: folder) == ["image"])
      // Long after it: nobody can tell whose it is.
      Program.write(good, to: journal)
      let late = Program.shell(
        "chmod 600 \(journal); touch -d '1 hour' \(image); xensave-lua recover \(image)")
      #expect(late.exitCode == 1 && late.errors.contains("XSUNDO1"), "\(late.errors)")
      #expect(Program.read(image) == original)
    }
  }

  enum Answer { case ignored, refused }

  /// What lies beside an image is followed only where it is a regular file of somebody who may write
  /// the image, and whole and possible in every number. Nothing of it is waited for.
  @Test(arguments: [
    ("mkfifo .image.undo", Answer.refused), ("mkdir .image.undo", .refused),
    ("ln -s j .image.undo", .refused), ("ln -s nowhere .image.undo", .refused),
    ("mknod .image.undo c 1 3 2>/dev/null || mkfifo .image.undo", .refused),
    ("cp j .image.undo; chmod 660 .image.undo", .refused),
    ("cp beyond .image.undo; chmod 600 .image.undo", .refused),
    ("cp wrapping .image.undo; chmod 600 .image.undo", .refused),
    ("cp huge .image.undo; chmod 600 .image.undo", .ignored),
    ("cp many .image.undo; chmod 600 .image.undo", .ignored),
    ("cp other-size .image.undo; chmod 600 .image.undo", .ignored),
    ("truncate -s 200G .image.undo; chmod 600 .image.undo", .ignored),
    ("cp j .image.undo; truncate -s 200G .image.undo; chmod 600 .image.undo", .ignored),
    ("head -c 50 j >.image.undo; chmod 600 .image.undo", .ignored),
    (": >.image.undo; chmod 600 .image.undo", .ignored),
    ("printf 'XSUNDO2\\n' >.image.undo; chmod 600 .image.undo", .ignored),
    ("(printf 'XSUNDO9\\n'; head -c 99 j) >.image.undo; chmod 600 .image.undo", .refused),
    ("sed 's/z/y/' j >.image.undo; chmod 600 .image.undo", .ignored),
  ])
  func forgedJournals(make: String, answer: Answer) {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image)")
      let bytes = Array("zzzzzzzzzzzzzzzzzzzz".utf8)
      let end = UInt64(Program.read(pv).count)
      for (name, journal) in [
        ("j", oldJournal([(UInt64(khz), bytes)])), ("beyond", oldJournal([(end - 1, bytes)])),
        ("wrapping", oldJournal([(UInt64.max - 3, bytes)])),
        ("huge", oldJournal([(5, bytes)], count: .max)),
        ("many", oldJournal([(5, bytes)], count: 1 << 40)),
        ("other-size", oldJournal([(5, bytes)], size: 5)),
      ] { Program.write(journal, to: folder + "/" + name) }
      _ = Program.shell("cd \(folder) && (\(make)) && rm -f beyond wrapping huge many other-size")
      let verify = Program.shell("timeout 20 xensave-lua verify \(image) -q")
      #expect(verify.exitCode == 0 || verify.exitCode == 1, "\(make): \(verify.errors)")
      let outcome = Program.shell(
        Program.memoryLimit(4_000_000) + "timeout 20 xensave-lua recover \(image)")
      #expect(outcome.exitCode == (answer == .refused ? 1 : 0), "\(make): \(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count <= 1, "\(make): \(outcome.errors)")
      #expect(Program.read(image) == Program.read(pv), "\(make)")
      #expect(Program.names(in: folder).contains(".image.undo") == (answer == .refused), "\(make)")
      let edit = Program.shell(
        "timeout 20 xensave-lua set \(image) X86_TSC_INFO.khz=5 --in-place --unchecked -q")
      #expect(edit.exitCode == (answer == .refused ? 1 : 0), "\(make): \(edit.errors)")
    }
  }

  @Test(.enabled(if: getuid() == 0, "only root gives files away"))
  func anotherUsersJournalIsNotBelieved() {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image)")
      let journal = folder + "/.image.undo"
      Program.write(oldJournal([(UInt64(khz), Array("zzzz".utf8))]), to: journal)
      chmod(journal, 0o600)
      chown(journal, 12345, 12345)
      let outcome = Program.run(["recover", image])
      #expect(outcome.exitCode == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("belongs to another user (12345)"), "\(outcome.errors)")
      #expect(Program.read(image) == Program.read(pv))
      // Of no concern to readers, but they say what lies there.
      let verify = Program.run(["verify", image, "-q"])
      #expect(verify.exitCode == 0)
      #expect(Program.run(["info", image]).errors.contains("ignored"))
      // The owner of the image may write it anyhow: root follows.
      chown(image, 12345, 12345)
      #expect(Program.run(["recover", image]).text.contains("was undone"))
    }
  }

  // MARK: - Errors in the middle

  /// An edit in place of a copy of the image, in which strace makes a call fail: one line, and 3.
  private func editFails(at fault: String, _ image: String, in folder: String) -> Outcome {
    let call = fault.prefix { $0 != ":" }
    let outcome = Program.shell(
      "cp \(pv) \(image); strace -f -qq -o \(folder)/trace -e trace=\(call) -e inject=\(fault) "
        + "xensave-lua set \(image) \(edits) --in-place --unchecked -q; "
        + "code=$?; rm \(folder)/trace; exit $code")
    #expect(outcome.exitCode == 3, "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    return outcome
  }

  @Test(
    .enabled(if: hasStrace, "strace injects the faults"),
    arguments: [
      "pwrite64:error=EIO:when=2", "pwrite64:error=ENOSPC:when=3", "fsync:error=EIO:when=3",
      "unlink:error=EIO:when=1",
    ])
  func anErrorInTheMiddleSaysHowToRecover(fault: String) {
    inFolder { folder in
      let image = folder + "/image"
      let outcome = editFails(at: fault, image, in: folder)
      #expect(outcome.errors.contains("xensave-lua recover \(image)"), "\(outcome.errors)")
      let recovered = Program.run(["recover", image])
      #expect(recovered.exitCode == 0, "\(recovered.errors)")
      // The first write of all is that of the journal.
      #expect(recovered.text.contains("was undone") != fault.hasSuffix("EIO:when=2"))
      #expect(Program.read(image) == Program.read(pv))
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// Before anything is written to the image, a fault leaves nothing to be recovered.
  @Test(
    .enabled(if: hasStrace, "strace injects the faults"),
    arguments: [
      "pwrite64:error=ENOSPC:when=1", "fsync:error=EIO:when=1", "fsync:error=EIO:when=2",
      "linkat:error=EACCES:when=1", "flock:error=ENOLCK:when=1",
    ])
  func anErrorBeforeLeavesNothing(fault: String) {
    inFolder { folder in
      let image = folder + "/image"
      _ = editFails(at: fault, image, in: folder)
      #expect(Program.read(image) == Program.read(pv))
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// A device has no other file put in its place.
  @Test func onlyFilesAreReplaced() {
    inFolder { folder in
      let outcome = Program.shell(
        "mkfifo \(folder)/fifo; timeout 20 xensave-lua set \(folder)/fifo a=1 --in-place; echo $?; "
          + "timeout 20 xensave-lua recover \(folder)/fifo; echo $?; "
          + "timeout 20 xensave-lua recover \(folder); echo $?; "
          + "timeout 20 xensave-lua recover \(folder)/none; echo $?; "
          + "timeout 20 xensave-lua recover - <\(pv); echo $?")
      #expect(outcome.text == "2\n2\n2\n3\n2\n", "\(outcome.errors)")
    }
  }
}
