// What the system does to us: full disks, signals, gone readers, calls that the kernel refuses.

import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"
private let keep = "-e 'return function() end'"

@Suite struct FaultTests {
  static let hasStrace = Program.shell("command -v strace").exitCode == 0

  private func inFolder(_ body: (String) -> Void) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    body(folder)
  }

  /// `isByHand`: the kernel copies between no files, so that their bytes go through `write`.
  private func injecting(
    _ call: String, _ fault: String, isByHand: Bool = false, _ command: String
  ) -> String {
    let refused = isByHand ? " -e inject=copy_file_range:error=EXDEV" : ""
    return "strace -f -qq -o /dev/null -e trace=\(call)\(isByHand ? ",copy_file_range" : "")"
      + " -e inject=\(call):\(fault)\(refused) \(command)"
  }

  @Test(
    .enabled(if: hasStrace, "strace injects the faults"),
    arguments: [
      ("write", "error=ENOSPC:when=1"), ("write", "error=ENOSPC:when=3"),
      ("write", "error=EIO:when=2"), ("copy_file_range", "error=ENOSPC:when=1"),
      ("copy_file_range", "error=EDQUOT:when=1"), ("copy_file_range", "error=EIO:when=1"),
      ("fsync", "error=EIO:when=1"), ("linkat", "error=EACCES:when=1"),
      ("pread64", "error=EIO:when=5"),
    ])
  func aFailingCallGivesOneLineExitThreeAndNoFile(call: String, fault: String) {
    inFolder { folder in
      let outcome = Program.shell(
        injecting(
          call, fault, isByHand: call == "write", "xensave-lua \(keep) \(pv) -o \(folder)/out -q"))
      #expect(outcome.exitCode == 3, "\(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
      #expect(Program.names(in: folder).isEmpty)
    }
  }

  @Test(
    .enabled(if: hasStrace, "strace injects the faults"),
    arguments: [
      ("pread64", "error=EINTR:when=12+3", "\(pv)"), ("write", "error=EINTR:when=1+2", "\(pv)"),
      ("copy_file_range", "error=EINTR:when=1+2", "\(pv)"),
      ("copy_file_range", "error=EXDEV:when=1+", "\(pv)"),
      ("copy_file_range", "error=EINVAL:when=2", "\(pv)"),
      ("copy_file_range", "retval=0:when=1", "\(pv)"),
      ("splice", "error=EINVAL:when=1+", "- <\(pv)"),
      ("splice", "error=EINTR:when=1+2", "- <\(pv)"),
      ("splice", "error=ENOSYS:when=2", "- <\(pv)"), ("read", "error=EINTR:when=40+3", "- <\(pv)"),
    ])
  func anInterruptedOrRefusedCallChangesNothing(call: String, fault: String, input: String) {
    inFolder { folder in
      let command =
        input.hasPrefix("-")
        ? "cat \(pv) | " + injecting(call, fault, "xensave-lua \(keep) - -o - -q")
          + " | cat >\(folder)/out"
        : injecting(
          call, fault, isByHand: call == "write", "xensave-lua \(keep) \(input) -o \(folder)/out -q"
        )
      let outcome = Program.shell(command + "; cmp \(folder)/out \(pv)")
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
    }
  }

  /// An edit whose way is chosen by what is read does not take another way where a read fails.
  @Test(.enabled(if: hasStrace, "strace injects the faults"))
  func eachReadThatFailsLeavesOldOrNew() {
    inFolder { folder in
      let rename = "xensave-lua run rename image web1 --in-place -q"
      let outcome = Program.shell(
        """
        cd \(folder); cp \(pv) image; \(rename); mv image new
        number=0 missing=0
        while [ $missing -lt 3 ]; do
          number=$((number + 1)); cp \(pv) image
          strace -f -qq -o trace -e trace=pread64 -e inject=pread64:error=EIO:when=$number \(rename) 2>said
          code=$?
          grep -q INJECTED trace || missing=$((missing + 1))
          # The loader's own reads.
          [ $code = 127 ] && continue
          case $code in
            0) cmp -s image new || echo "read $number: 0, but neither old nor new" ;;
            3) cmp -s image \(pv) && [ $(wc -l <said) = 1 ] || echo "read $number: $(cat said)" ;;
            *) echo "read $number: exit code $code: $(cat said)" ;;
          esac
        done
        [ $number -gt 20 ] || echo "only $number reads"
        """)
      #expect(outcome.exitCode == 0 && outcome.text.isEmpty, "\(outcome.text) \(outcome.errors)")
    }
  }

  /// A name that becomes a few bytes longer moves all pages by as many: they are read ahead on a
  /// second thread. What goes through a pipe is the same, and what fails there fails here.
  @Test(.enabled(if: hasStrace, "strace injects the faults"))
  func whatMovesByAFewBytesIsCopiedAhead() {
    inFolder { folder in
      let rename = "xensave-lua set \(pvh) config.c_info.name=tpvh-longer"
      let good = Program.shell(
        "strace -f -qq -e trace=clone3,clone -o \(folder)/trace \(rename) -o \(folder)/a -q && "
          + "grep -c clone \(folder)/trace && rm \(folder)/trace && "
          + "\(rename) -o - -q | cat >\(folder)/b && cmp \(folder)/a \(folder)/b && "
          + "rm \(folder)/a \(folder)/b")
      #expect(good.exitCode == 0 && good.text == "1\n", "\(good.text) \(good.errors)")
      for (call, fault) in [("write", "error=ENOSPC:when=9"), ("write", "error=EIO:when=20")] {
        let outcome = Program.shell(injecting(call, fault, "\(rename) -o \(folder)/out -q"))
        #expect(outcome.exitCode == 3, "\(call) \(fault): \(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
        #expect(Program.names(in: folder).isEmpty, "\(call) \(fault)")
      }
    }
  }

  /// Also where a file is replaced, which takes two steps: whatever the process is killed at (or the
  /// child that takes them), the file is the old or the new one, and nothing lies beside it.
  @Test(
    .enabled(if: hasStrace, "strace injects the faults"),
    arguments: [
      "openat", "copy_file_range", "write", "fsync", "clone", "linkat", "rename", "wait4", "close",
    ])
  func aKillLeavesNothing(call: String) {
    inFolder { folder in
      let rename = "xensave-lua set \(pvh) config.c_info.name=other"
      let outcome = Program.shell(
        """
        \(rename) -o \(folder)/new -q; cp \(pv) \(folder)/old; cd \(folder)
        for when in 1 2 3; do
          cp old out
          strace -f -qq -o /dev/null -e trace=\(call) -e inject=\(call):signal=KILL:when=$when \
            \(rename) -o out -q
          cmp -s out old || cmp -s out new || echo "$when: neither"
          ls -A | grep -vx 'old\\|new\\|out'
        done
        """)
      #expect(outcome.text == "", "\(outcome.text)")
    }
  }

  /// The words of the command line are not read from /proc: a chroot may have none. (Sanitizers read them.)
  @Test(.enabled(if: hasStrace && !Program.isSanitized, "strace writes the calls down"))
  func theCommandLineNeedsNoProc() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      "cd \(folder); strace -f -qq -o calls -e trace=openat,open xensave-lua --version >version; "
        + "grep -c . version; grep cmdline calls")
    #expect(outcome.text == "1\n", "\(outcome.text) \(outcome.errors)")
  }

  /// The process is killed while its child puts the file in its place: the child continues.
  @Test(.enabled(if: hasStrace, "strace makes the rename slow"))
  func aKillWhileTheFileIsReplaced() {
    inFolder { folder in
      let outcome = Program.shell(
        """
        cd \(folder); cp \(pv) out
        strace -f -qq -o trace -e trace=rename -e inject=rename:delay_enter=300000 \
          xensave-lua set \(pvh) config.c_info.name=other -o out -q & tracer=$!
        while [ -d /proc/$tracer ] && ! ls -A | grep -q xensave; do sleep 0.02; done
        kill -KILL $(cat /proc/$tracer/task/$tracer/children) 2>/dev/null
        wait; rm -f trace; ls -A; xensave-lua dump out config.c_info.name
        """)
      #expect(outcome.text == "out\nconfig.c_info.name: \"other\"\n", "\(outcome.text)")
    }
  }

  /// What cannot be done to the folder names it.
  @Test(.enabled(if: hasStrace, "strace injects the faults"))
  func aFolderThatCannotBeSynchronizedIsNamed() {
    inFolder { folder in
      for (place, name) in [("out", "."), ("\(folder)/out", "\(folder)/")] {
        let outcome = Program.shell(
          "cd \(folder); "
            + injecting("fsync", "error=EIO:when=2", "xensave-lua \(keep) \(pv) -o \(place) -q"))
        #expect(outcome.exitCode == 3)
        #expect(outcome.errors.contains(": \(name): fsync: "), "\(outcome.errors)")
      }
    }
  }

  @Test func aReaderThatIsGoneEndsUsQuietly() {
    let outcome = Program.shell(
      "(xensave-lua \(keep) \(pvh) -o - -q; echo $? >&2) | head -c 1000 >/dev/null")
    #expect(outcome.errors == "141\n")
  }

  @Test(arguments: ["INT", "TERM"])
  func aSignalLeavesTheOriginalAndNoOutput(signal: String) {
    inFolder { folder in
      // The filter has the signal sent while it loops, in the middle of the image.
      let code =
        "return { X86_TSC_INFO = function() os.execute(\"(sleep 0.2; kill -\(signal) $PPID) &\") "
        + "while true do end end }"
      let outcome = Program.shell(
        "cp \(pv) \(folder)/in; timeout 20 xensave-lua -e '\(code)' \(folder)/in --in-place -q; "
          + "echo $?; cmp \(folder)/in \(pv)")
      #expect(outcome.text == (signal == "INT" ? "130\n" : "143\n"), "\(outcome.errors)")
      #expect(Program.names(in: folder) == ["in"])
    }
  }

  /// Wherever an error of the system comes from, it is told as one and not as a fault of the program.
  @Test(
    .enabled(if: hasStrace, "strace injects the faults"),
    arguments: [
      "set in vcpu[0].rip=5 --in-place -q", "run rename in web1 -o out -q",
      "compact in out --unchecked -q",
    ])
  func anErrorOfTheSystemIsNoFaultOfTheProgram(words: String) {
    inFolder { folder in
      for number in 1...6 {
        let outcome = Program.shell(
          "cd \(folder); cp \(pv) in; "
            + injecting("fcntl", "error=EMFILE:when=\(number)", "xensave-lua \(words)"))
        // 1 where it was raised in a script.
        #expect([0, 1, 3].contains(outcome.exitCode), "\(number): \(outcome.errors)")
      }
    }
  }

  @Test func aFileSizeLimitIsAnErrorLikeAFullDisk() {
    inFolder { folder in
      let outcome = Program.shell(
        "ulimit -f 1000; xensave-lua \(keep) \(pv) -o \(folder)/out -q")
      #expect(outcome.exitCode == 3, "\(outcome.errors)")
      #expect(outcome.errors.contains("File too large"))
      #expect(Program.names(in: folder).isEmpty)
    }
  }

  @Test func aFileThatShrinksWhileItIsReadIsNoticed() {
    inFolder { folder in
      let code =
        "return { X86_TSC_INFO = function() os.execute(\"truncate -s -1000 \(folder)/in\") end }"
      let outcome = Program.shell(
        "cp \(pv) \(folder)/in; xensave-lua -e '\(code)' \(folder)/in -o \(folder)/out -q")
      #expect(outcome.exitCode == 1, "\(outcome.errors)")
      #expect(Program.names(in: folder) == ["in"])
    }
  }

  @Test func closedStandardDescriptorsAreNotMistakenForImages() {
    inFolder { folder in
      let outcome = Program.shell(
        "xensave-lua \(keep) \(pv) -o \(folder)/out <&- >&- 2>&-; cmp \(folder)/out \(pv)")
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
    }
  }

  @Test(.enabled(if: hasStrace, "strace makes the reads slow"))
  func headsThatTakeLongAreAskedForInAdvance() {
    inFolder { folder in
      let outcome = Program.shell(
        "scripts/make-image --guest hvm --layer xl --memory 64MiB \(folder)/in && "
          + "strace -f -qq -o \(folder)/trace -e trace=pread64,fadvise64 "
          + "-e inject=pread64:delay_exit=3000 xensave-lua verify -q \(folder)/in; echo $?; "
          // Offsets that were asked for, and of those, how many were read.
          + "sed -n 's/.*fadvise64([0-9]*, \\([0-9]*\\), .*WILLNEED.*/\\1/p' \(folder)/trace "
          + ">\(folder)/asked; wc -l <\(folder)/asked; "
          + "sed -n 's/.* 8208, \\([0-9]*\\)) = .*/\\1/p' \(folder)/trace "
          + "| grep -cxFf - \(folder)/asked")
      // 64 MiB are 16 records of pages; two of them tell how far apart they are.
      #expect(outcome.text == "0\n13\n13\n", "\(outcome.text) \(outcome.errors)")
    }
  }

  /// Whoever waits for the disk at the end waits less: a new file is on its way to it from the first
  /// 8 MiB on. A file that the shell opened is nobody's to wait for, and what fails on the way is for
  /// fsync to tell.
  @Test(.enabled(if: hasStrace, "strace counts and injects"))
  func aNewFileIsOnItsWayToTheDiskWhileItIsWritten() {
    inFolder { folder in
      let trace = "strace -f -qq -o \(folder)/trace -e trace=sync_file_range,fsync,linkat"
      let rewrite = "xensave-lua \(keep) \(folder)/in -q -o"
      let outcome = Program.shell(
        "scripts/make-image --guest hvm --layer xl --memory 64MiB \(folder)/in && "
          + "\(trace) \(rewrite) \(folder)/out; echo $?; cmp \(folder)/in \(folder)/out; "
          // Each range begins where the one before ended, and none comes after fsync.
          + "sed -n 's/^[0-9]* *sync_file_range([0-9]*, \\([0-9]*\\), \\([0-9]*\\), .*/\\1 \\2/p;"
          + " s/.*fsync.*/fsync/p' \(folder)/trace "
          + "| awk '/fsync/ { exit } $1 != end || $2 < 8388608 { bad = 1 } { end = $1 + $2 } "
          + "END { print bad + 0, (end > 50000000) }'; "
          + "\(trace) \(rewrite) - >\(folder)/out; echo $?; grep -c sync_file_range \(folder)/trace; "
          + "\(trace) -e inject=sync_file_range:error=EIO \(rewrite) \(folder)/out; echo $?; "
          + "cmp \(folder)/in \(folder)/out")
      #expect(outcome.text == "0\n0 1\n0\n0\n0\n", "\(outcome.text) \(outcome.errors)")
    }
  }
}
