// How far long work is: the lines, the bar, and what Ctrl-C leaves behind.

import SystemIO
import TestKit
import Testing

@testable import Reports

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite struct ProgressTests {
  private func text(
    _ done: UInt64, _ total: UInt64?, _ unit: String = "", rate: Double? = nil, title: String = ""
  ) -> ProgressText {
    ProgressText(
      state: ProgressState(.running, "writing", done: done, of: total, unit: unit), title: title,
      perSecond: rate)
  }

  @Test func plainLines() {
    #expect(
      text(300 << 20, 1200 << 20, rate: 100 * 1048576).plain
        == "writing: 25 %, 300 MiB of 1.2 GiB, 100 MiB/s, 0:09 left")
    #expect(
      text(5, 20, "pages", rate: 2, title: "mine").plain
        == "mine: 25 %, 5 of 20 pages, 2 pages/s, 0:08 left")
    #expect(text(999, nil).plain == "writing: 999 bytes")
    #expect(text(0, nil).plain == "writing")
    #expect(text(0, 4000 << 30, rate: 1_048_576).plain.hasSuffix("99:59:59 left"))
  }

  @Test func theBarFitsAnyTerminal() {
    let full = text(300 << 20, 1200 << 20, rate: 100 * 1048576)
    #expect(
      full.bar(columns: 120)
        == "writing  [==========>                             ]   25 %  300 MiB of 1.2 GiB  "
        + "100 MiB/s  0:09 left")
    for columns in 1...140 {
      let bar = full.bar(columns: columns)
      #expect(bar.count <= columns)
      #expect(bar.hasPrefix(String("writing".prefix(columns))))
      if columns >= 30 { #expect(bar.contains("25 %")) }
    }
  }

  @Test func theRateForgetsOldTimes() throws {
    var rate = ProgressRate()
    #expect(rate.perSecond == nil)
    var now: UInt64 = 5_000_000_000
    var done: UInt64 = 0
    for _ in 0..<100 {
      rate.add(done, now: now)
      now += 100_000_000
      done += 100
    }
    #expect(try abs(#require(rate.perSecond) - 1000) < 1)
    for _ in 0..<100 {
      rate.add(done, now: now)
      now += 100_000_000
      done += 500
    }
    #expect(try abs(#require(rate.perSecond) - 5000) < 1)
  }

  /// Every line is an object; each phase begins with nothing and ends with all.
  @Test(arguments: ["verify '\(pv)'", "pages '\(pv)' --duplicates", "diff '\(pv)' '\(pvh)'"])
  func jsonLinesArePhases(command: String) {
    let check = """
      import json, sys
      phase = None
      for line in sys.stdin:
          o = json.loads(line)
          assert o["unit"] in ("octets", "pages"), o
          assert o["done"] <= o["total"], o
          if o["state"] == "begin":
              assert phase is None and o["done"] == 0, o
              phase = o["phase"]
          assert o["phase"] == phase, o
          if o["state"] == "end":
              assert o["done"] >= o["total"] * 0.99, o
              phase = None
      assert phase is None and o, "no line"
      print("ok")
      """
    let outcome = Program.shell(
      "xensave-lua \(command) --progress json 2>&1 >/dev/null | python3 -c '\(check)'")
    #expect(outcome.text == "ok\n", "\(outcome.errors)")
  }

  @Test func stylesAndQuiet() {
    let folder = Program.temporaryFolder()
    let out = folder + "/out"
    #expect(Program.run(["compact", pv, out, "--quiet"]).output.isEmpty)
    #expect(Program.run(["compact", pv, out, "-q", "--json"]).text.contains("\"octets_written\""))
    // Not a terminal: nothing unless asked for.
    #expect(Program.run(["compact", pv, out]).errors == "")
    let plain = Program.run(["compact", pv, out, "-q", "--progress", "plain"])
    #expect(plain.errors.hasPrefix("xensave-lua: indexing: 0 %, 0 bytes of 4.0 MiB\n"))
    #expect(plain.errors.contains("xensave-lua: writing: 100 %, 4.0 MiB of 4.0 MiB"))
    #expect(Program.run(["compact", pv, out, "--progress", "none"]).errors == "")
    #expect(Program.run(["compact", pv, out, "--progress", "bra"]).exitCode == 2)
    let script = ["-e", "return {}", pv, "-o", out, "--quiet"]
    #expect(Program.run(script + ["--progress=plain"]).errors.contains("writing: 100 %"))
    let wrong = Program.run(script + ["--progress", "bra"])
    #expect(wrong.exitCode == 2)
    #expect(wrong.errors.contains("did you mean 'bar'?"))
    // What a script calls it, in its own loop and for the program's work.
    let code =
      "local xs = require 'xensave' local p <close> = xs.progress('counting', #img, 'records') "
      + "for rec in img:records() do p:add() end assert(p.done == #img) p:close() "
      + "assert(xs.rewrite(arg[1], arg[2], {}, { progress = xs.progress 'copying' }))"
    let own = Program.run(["-e", code, pv, pv, out, "--progress", "plain"])
    #expect(own.exitCode == 0, "\(own.errors)")
    #expect(own.errors.contains("counting: 100 %, 14 of 14 records"))
    #expect(own.errors.contains("copying: 100 %, 4.0 MiB of 4.0 MiB"))
    Program.remove(folder)
  }

  @Test func theBarComesAfterTwoSecondsAndGoes() {
    let folder = Program.temporaryFolder()
    let code =
      "local p = require('xensave').progress('counting', 9, 'steps') for i = 1, 9 do p:add() "
      + "os.execute 'sleep 0.3' end p:close() print 'finished' os.execute 'sleep 1'"
    let session = Session(["-e", code], home: folder)
    var first = ""
    let isShown = session.wait {
      if first.isEmpty, let line = $0.text.first(where: { $0.contains("counting") }) {
        first = line
      }
      return !first.isEmpty
    }
    #expect(isShown)
    // 2 s are at least seven steps; where the machine was slow, fewer.
    #expect(first.contains("of 9 steps"), "\(first)")
    #expect(!first.contains(" 1 of 9"), "\(first)")
    #expect(session.wait { $0.text.contains("finished") })
    #expect(!session.screen.text.contains { $0.contains("counting") })
    #expect(session.exitCode() == 0)
    Program.remove(folder)
  }
}

@Suite struct InterruptTests {
  private static let hasStrace = Program.shell("command -v strace").exitCode == 0

  /// Every long command, stopped at several of its system calls: there is all of the output or
  /// nothing, and the exit code says which.
  @Test(
    .enabled(if: hasStrace, "strace sends the signals"),
    arguments: [
      "-e 'return {}' $a -o out -q", "-e 'return function(rec) return true end' b --in-place -q",
      "set $a config.c_info.name=longer-name -o out -q",
      "convert $a out --to libxl -q", "wrap raw out -q", "unwrap $a out --layer libxc --lossy -q",
      "compact $a out -q", "compact $a out --aligned -q", "delta $a b out -q",
      "apply $a delta out -q",
      "export $a out --format raw -q", "export $a out --format lime -q",
      "export $a out --format elf-core -q", "export $a out --format xen-core -q",
      "pages $a --where 'contains \"zz\"' --duplicates --find zz >/dev/null",
      "verify $a -q", "diff $a b >/dev/null",
    ])
  func ctrlCLeavesNothingBehind(command: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let script = """
      cd \(folder); a='\(pv)'
      xensave-lua compact $a b -q; xensave-lua delta $a b delta -q
      xensave-lua unwrap $a raw --layer libxc --lossy -q
      mkdir x; mv b delta raw x; cp x/* .
      (\(command)) 2>/dev/null; mkdir good; test ! -e out || mv out good; cp b good
      stopped=0
      for call in pread64 write linkat,rename fsync; do
        for when in 1 2 3 7 20 60; do
          rm -f out b; cp x/b .
          (strace -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=INT:when=$when \\
            xensave-lua \(command)) 2>errors
          code=$?
          case $code in
          130) stopped=$((stopped + 1))
            test ! -e out || echo "$call $when: an output was left"
            # One line; after it a script's may say where it stood. (Nothing where the signal came
            # from the loader's calls, before main.)
            test ! -s errors || head -1 errors | grep -q '^xensave-lua: .*interrupted$' || cat errors
            grep -vE '^xensave-lua: |^stack traceback|^  |^while at' errors
            cmp x/b b ;;
          0 | 1) for file in good/*; do cmp $file $(basename $file); done ;;
          *) echo "$call $when: exit code $code: $(cat errors)" ;;
          esac
          rm errors
          ls -A | grep -vxE 'x|good|out|b|delta|raw' && echo "$call $when: litter"
        done
      done
      test $stopped -ge 2 || echo "stopped only $stopped times"
      """
    let outcome = Program.shell(script)
    #expect(outcome.text == "", "\(outcome.text) \(outcome.errors)")
  }
}
