// The tools of the checks: the watch over tests that stand still, and the look at what is left behind.

import Testing

@Suite(.enabled(if: Program.shell("command -v python3").exitCode == 0)) struct GateTests {
  private func inFolder(_ script: String) -> Outcome {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    return Program.shell("folder=\(folder)\n\(script)")
  }

  /// A bundle that says what Swift Testing says, and then sleeps with a program of its own.
  private static let bundle = """
    cat >$folder/bundle <<'END'
    #!/bin/bash
    while [ "$1" != --event-stream-output-path ]; do shift; done
    say() { echo "{\\"kind\\":\\"event\\",\\"payload\\":{\\"kind\\":\\"$1\\",\\"testID\\":\\"$2\\"}}" >>"$3"; }
    say testStarted Suite "$2"; say testStarted Suite/waiting "$2"
    say testCaseStarted Suite/quick "$2"; say testCaseEnded Suite/quick "$2"
    echo '{"kind":"test","payload":{"id":"x"}}' >>"$2"; echo 'no JSON' >>"$2"
    say testCaseStarted Suite/slow "$2"
    WAIT
    exit 7
    END
    chmod +x $folder/bundle

    """

  @Test func aTestThatStandsStillIsEndedWithItsName() {
    let outcome = inFolder(
      GateTests.bundle.replacing("WAIT", with: "sleep 1234 & echo $! >$FOLDER/id; wait")
        + """
        export FOLDER=$folder
        scripts/watch-tests --limit 0.3 $folder/bundle; echo $?
        # The program that it had started is gone too, as soon as the kernel comes to it.
        isGone() { ! kill -0 $(cat $folder/id) 2>/dev/null || grep -q '^State:.*Z' /proc/$(cat $folder/id)/status; }
        for try in $(seq 100); do isGone && break; sleep 0.1; done
        isGone; echo $?
        """)
    #expect(outcome.text == "124\n0\n")
    #expect(outcome.errors.contains("stands still: Suite/slow\n"), "\(outcome.errors)")
    #expect(!outcome.errors.contains("Suite/quick") && !outcome.errors.contains("Suite/waiting"))
    #expect(outcome.errors.contains("sleep 1234"), "\(outcome.errors)")
  }

  /// Of a test without arguments nothing is told between its beginning and its end.
  @Test func aTestWithoutCasesIsEndedOnceNothingIsToldForLong() {
    let outcome = inFolder(
      GateTests.bundle.replacing(
        "WAIT",
        with: "say testCaseEnded Suite/slow \"$2\"; say testEnded Suite/waiting \"$2\"; "
          + "say testStarted Suite/alone \"$2\"; sleep 1234")
        + "scripts/watch-tests --limit 0.3 $folder/bundle; echo $?")
    #expect(outcome.text == "124\n")
    #expect(outcome.errors.contains("stands still: Suite/alone\n"), "\(outcome.errors)")
    #expect(!outcome.errors.contains("Suite/waiting"), "\(outcome.errors)")
  }

  @Test func othersEndAsTheyWould() {
    let outcome = inFolder(
      GateTests.bundle.replacing("WAIT", with: "say testCaseEnded Suite/slow \"$2\"")
        + "scripts/watch-tests $folder/bundle; echo $?; scripts/watch-tests; echo $?")
    #expect(outcome.text == "7\n1\n", "\(outcome.errors)")
  }

  /// A program under the watch gets pipes as small as an ordinary user may get them.
  @Test func pipesAreSmallUnderTheWatch() {
    let outcome = inFolder(
      """
      cat >$folder/bundle <<'END'
      #!/usr/bin/python3
      import fcntl, os
      print(fcntl.fcntl(os.pipe()[1], 1032) <= 8192 or os.geteuid() == 0)  # F_GETPIPE_SZ
      END
      chmod +x $folder/bundle
      # Other tests give pipes back at any time.
      for turn in 1 2 3 4 5; do scripts/watch-tests $folder/bundle; done
      """)
    #expect(outcome.text.contains("True\n"), "\(outcome.text) \(outcome.errors)")
  }

  /// What is new, gone or changed is named; what is as it was is not.
  @Test func whatIsLeftIsNamed() {
    let outcome = inFolder(
      """
      export HOME=$folder/home XENSAVE_FOOTPRINT_IGNORE='(?!'$folder'/).*'
      mkdir $HOME; cd $HOME; echo a >xensave-a; echo b >xensave-b; echo c >xensave-c; mkdir d .cache
      \(Program.checkout)/scripts/footprint save $folder/before
      \(Program.checkout)/scripts/footprint compare $folder/before; echo $?
      rm xensave-a; chmod 600 xensave-b; echo x >d/xensave-new; echo x >.cache/x
      \(Program.checkout)/scripts/footprint compare $folder/before; echo $?
      """)
    #expect(outcome.text == "0\n1\n", "\(outcome.errors)")
    let lines = outcome.errors.split(separator: "\n").map { $0.prefix { $0 != "(" } }
    #expect(lines.count == 3, "\(outcome.errors)")
    for (line, text) in zip(lines, ["new:     ", "gone:    ", "changed: "]) {
      #expect(line.contains("footprint: " + text), "\(outcome.errors)")
    }
  }

  /// No test makes a pipe larger, and none names a node outside its own folder as its output.
  @Test func noTestNeedsALargePipe() {
    let outcome = Program.shell(
      "grep -rnE '1031, *(1 *<<|[0-9]{5})|F_SETPIPE_SZ, *[0-9]{5}' Tests --include=*.swift "
        + "--include=*.lua --exclude=GateTests.swift; "
        + "grep -rnE '(-o|--svg|--to|--config) /dev/|(save|checkpoint|migrate)\\(\"/(dev|tmp)|"
        + "open\\(\"/[^\"]*\", *\"[wa]' Tests lua scripts --include=*.swift --include=*.lua "
        + "--exclude=GateTests.swift | grep -v 'strace.* -o /dev/null'")
    #expect(outcome.text == "")
  }
}
