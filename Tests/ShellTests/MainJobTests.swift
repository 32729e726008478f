// The main job: a script rewrites an image. The program is run as a user runs it.

import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite struct MainJobTests {
  @Test(arguments: [pv, pvh])
  func identityOverEveryKindOfDescriptor(image: String) {
    let keep = "-e 'return function() end'"
    let commands = [
      "xensave-lua \(keep) \(image) -o OUT --quiet",
      "xensave-lua \(keep) \(image) -o - --quiet >OUT",
      "xensave-lua \(keep) \(image) -o - --quiet | cat >OUT",
      "cat \(image) | xensave-lua \(keep) - -o OUT --quiet",
      "cat \(image) | xensave-lua \(keep) - -o - --quiet >OUT",
      "cat \(image) | xensave-lua \(keep) - -o - --quiet | cat >OUT",
      "xensave-lua \(keep) - -o - --quiet <\(image) >OUT",
    ]
    for command in commands {
      let folder = Program.temporaryFolder()
      defer { Program.remove(folder) }
      let out = folder + "/out"
      let outcome = Program.shell(command.replacing("OUT", with: out) + " && cmp \(image) \(out)")
      #expect(outcome.exitCode == 0, "\(command): \(outcome.errors)")
      #expect(Program.names(in: folder) == ["out"])
    }
  }

  @Test func identityThroughAPipeOfSingleBytes() {
    // dd writes one byte at a time; the first 70000 bytes cover every kind of header.
    let outcome = Program.shell(
      "(dd if=\(pv) bs=1 count=4400 status=none; dd if=\(pv) bs=1M iflag=skip_bytes skip=4400 "
        + "status=none) | xensave-lua -e 'return function() end' - -o - --quiet | cmp - \(pv)")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
  }

  @Test func renameChangesTheNameAndNothingElse() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let out = folder + "/out"
    let outcome = Program.run(["lua/examples/rename.lua", pv, "web-server-1", "-o", out])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    let before = Program.read(pv)
    let after = Program.read(out)
    // "tpv" became "web-server-1": 9 bytes more, and two lengths.
    #expect(after.count == before.count + 9)
    #expect(after[44] == 0xFC && before[44] == 0xF3)
    #expect(after[48] == 0xF8 && before[48] == 0xEF)
    let name = Array("\"web-server-1\"".utf8)
    let place = (0..<after.count - name.count).first {
      after[$0..<$0 + name.count].elementsEqual(name)
    }
    #expect(place != nil)
    #expect(after.suffix(before.count - 200).elementsEqual(before.suffix(before.count - 200)))
  }

  @Test func withoutAPlaceToWriteAFilterIsRefused() {
    let outcome = Program.run(["-e", "return function() end", pv])
    #expect(outcome.exitCode == 2)
    #expect(outcome.errors.contains("-o OUT"))
  }

  @Test func dryRunWritesNothingAndSaysWhatWouldChange() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      "cd \(folder) && xensave-lua run set-version \(pv) 4.18 --dry-run")
    #expect(outcome.exitCode == 0)
    #expect(outcome.text.contains("domain_header.xen_minor: 17 -> 18"))
    #expect(Program.names(in: folder).isEmpty)
  }

  @Test func aRejectedResultLeavesNothing() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.run([
      "-e", "return { X86_PV_INFO = function() return false end }", pv, "-o", folder + "/out",
    ])
    #expect(outcome.exitCode == 1)
    #expect(outcome.errors.contains("X86_PV_INFO"))
    #expect(Program.names(in: folder).isEmpty)
  }

  @Test func aFailingFilterLeavesNothingAndNamesScriptAndRecord() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.run([
      "-e", "return { X86_TSC_INFO = function(r)\n r.khz = nil + 1 end }", pv, "-o",
      folder + "/out",
    ])
    #expect(outcome.exitCode == 1)
    #expect(outcome.errors.contains("record 8 (X86_TSC_INFO)"))
    #expect(outcome.errors.contains("(command line):2:"))
    #expect(Program.names(in: folder).isEmpty)
  }

  @Test func inPlaceReplacesTheFileAndKeepsItsMode() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let image = folder + "/image"
    let outcome = Program.shell(
      "cp \(pv) \(image) && chmod 640 \(image) && xensave-lua lua/examples/rename.lua \(image) tpw "
        + "--in-place && stat -c %a \(image) && cmp \(image) \(pv) | cut -d' ' -f3-4")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(outcome.text.hasPrefix("640\n"))
    #expect(Program.names(in: folder) == ["image"])
  }

  @Test func outputOverTheImageItselfIsRefused() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      "cp \(pv) \(folder)/a && ln \(folder)/a \(folder)/b && "
        + "xensave-lua -e 'return function() end' \(folder)/a -o \(folder)/b; echo $?; "
        + "cmp \(folder)/a \(pv)")
    #expect(outcome.text == "2\n")
    #expect(outcome.errors.contains("is the image itself"))
  }

  @Test func aScriptFromStandardInputSeesImageAndArguments() {
    let outcome = Program.run(
      ["-", pv, "one", "two"], input: Array("print(img.guest, arg[0], arg[1], arg[2], ...)".utf8))
    #expect(outcome.text == "x86_pv\t-\tone\ttwo\tone\ttwo\n")
  }

  @Test func aSheBangLineIsPassedOver() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let script = folder + "/s.lua"
    Program.write(
      Array("#!/usr/bin/env xensave-lua\nprint(img.guest) error 'x'\n".utf8), to: script)
    let outcome = Program.shell("chmod +x \(script) && \(script) \(pvh)")
    #expect(outcome.text == "x86_hvm\n")
    #expect(outcome.errors.contains("s.lua:2: x"))
  }

  @Test func anImageInTheScriptsPlaceIsAdvisedAbout() {
    let outcome = Program.run([pv])
    #expect(outcome.exitCode == 2)
    #expect(outcome.errors.contains("xensave-lua info"))
  }

  @Test func returnedRecordsReplaceInsertAndSplit() {
    let code = """
      local xs = require "xensave"
      return function(r)
        if r.type == "X86_TSC_INFO" then
          local new = xs.record("X86_TSC_INFO", { mode = "never_emulate", khz = 5, nsec = 7 })
          return r, new
        end
      end
      """
    let outcome = Program.run(["-e", code, pv, "--dry-run"])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(outcome.text.contains("inserted (X86_TSC_INFO, 24 bytes)"))
    #expect(outcome.text.contains("14 records: 14 kept, 1 inserted"))
  }

  @Test func aForgottenRecordIsWarnedAbout() {
    let outcome = Program.run([
      "-e", "return { END = function() xs.record('VERIFY') end }", pv, "--dry-run",
    ])
    #expect(outcome.errors.contains("was made but not returned"))
  }

  @Test(arguments: [
    ("img:first 'HVM_PARMS'", "did you mean 'HVM_PARAMS'"),
    ("img:first('X86_TSC_INFO').kzh", "did you mean 'khz'"),
    ("img.gest", "did you mean 'guest'"),
    ("return { PAGE_DATE = print }", "did you mean 'PAGE_DATA'"),
    ("undeclared = 1; print(undeclred)", "undeclared global 'undeclred'"),
    ("local r for x in img:records() do r = r or x end print(r.khz)", "stale record"),
    ("xs.open {}", "bad argument #1 to 'open' (expected a string, got table)"),
    ("img:first('X86_TSC_INFO').khz = 1.5", "expected an integer, got 1.5"),
    ("img:first('X86_TSC_INFO').khz = -1", "expected a value in 0..0xffffffff"),
  ])
  func mistakesAreExplained(code: String, message: String) {
    let text =
      code.hasPrefix("img.") || code.hasPrefix("img:first('X86_TSC_INFO').kzh")
        || code.hasPrefix("img:first 'H") ? "print(\(code))" : code
    let words = code.contains("xs.open") ? "assert(\(text))" : text
    let outcome = Program.run(["-e", words, pv, "--dry-run"])
    #expect(outcome.exitCode == 1)
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
  }

  @Test func worldlyErrorsAreReturned() {
    let outcome = Program.run([
      "-e",
      """
      local img, err = xs.open "/nonexistent"
      print(img, err.code, err.errno, tostring(err))
      local img, err = xs.open "lua/examples/rename.lua"
      print(img, err.code)
      """,
    ])
    #expect(
      outcome.text
        == "nil\tenoent\t2\t/nonexistent: open: No such file or directory\nnil\tbad_stream\n",
      "\(outcome.errors)")
  }
}
