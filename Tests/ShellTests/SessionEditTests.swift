// Changes that are made in a session or by a script: none is lost without a word.

import TestKit
import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite(.serialized) struct SessionEditTests {
  private func inFolder(_ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    try body(folder)
  }

  private static let question = "leave without saving? [y/N]"

  @Test func theEndOfASessionAsksForUnsavedChanges() {
    withSession(["-i", "image"], files: ["image": pvh]) { session, home in
      expect(session, "img.vcpu[0].rip = 5", [])
      session.type(".quit\r")
      #expect(session.ends(with: [Self.question]), "\(session.screen.text)")
      let text = session.screen.text
      #expect(text.contains("image has changes that were not saved:"), "\(text)")
      #expect(text.contains("HVM_CONTEXT.CPU[0].rip: 0x1000c9 -> 0x5"), "\(text)")
      session.type("\r")
      #expect(session.ends(with: [Self.question, ">"]), "\(session.screen.text)")
      expect(session, "img.vcpu[0].rip", ["0x5"])
      session.type("assert(img:save \"out\")\r")
      #expect(session.isReady())
      session.type(".quit\r")
      #expect(session.exitCode() == 0)
      #expect(Program.read(home + "/image") == Program.read(pvh))
      let diff = Program.run(["diff", pvh, home + "/out"])
      #expect(diff.text == "HVM_CONTEXT.CPU[0].rip: 0x1000c9 -> 0x5\n", "\(diff.errors)")
    }
  }

  @Test(arguments: ["\u{4}", "quit\r", "os.exit(0)\r"]) func whoSaysYesLeaves(way: String) {
    withSession(["-i", "image"], columns: 40, files: ["image": pvh]) { session, home in
      expect(session, "img.vcpu[0].rip = 5", [])
      session.type(way)
      #expect(session.ends(with: [Self.question]), "\(session.screen.text)")
      // Ctrl-C is no answer.
      session.type("\u{3}")
      #expect(session.ends(with: [Self.question + " ^C", ">"]), "\(session.screen.text)")
      session.type(way)
      #expect(session.ends(with: [Self.question]), "\(session.screen.text)")
      session.type("y\r")
      #expect(session.exitCode() == 0)
      #expect(Program.read(home + "/image") == Program.read(pvh))
    }
  }

  @Test func aSecondEndOfInputLeavesWithAWord() {
    withSession(["-i", "image"], files: ["image": pvh]) { session, _ in
      expect(session, "img.vcpu[0].rip = 5", [])
      session.type("\u{4}")
      #expect(session.ends(with: [Self.question]), "\(session.screen.text)")
      session.type("\u{4}")
      #expect(session.exitCode() == 0)
      #expect(
        session.screen.text.contains { $0.contains("its changes were not saved") },
        "\(session.screen.text)")
    }
  }

  @Test func changesGoIntoTheImageItself() {
    withSession(["-i", "image"], files: ["image": pvh]) { session, home in
      expect(session, "img.config.on_crash = \"destroy\"", [])
      expect(session, "tsc = img:first \"X86_TSC_INFO\"", [])
      expect(session, "tsc.khz = 77", [])
      expect(
        session, "img:changes()",
        [
          "config.on_crash: \"preserve\" -> \"destroy\"",
          "X86_TSC_INFO.khz: 2596097 kHz -> 77 kHz",
        ])
      session.type("ok = assert(img:save { in_place = true })\r")
      #expect(session.isReady())
      expect(session, "img:changes()", ["no changes"])
      // An object from before continues as part of the image.
      expect(session, "tsc.khz", ["77 kHz"])
      expect(session, "tsc.khz = 78", [])
      session.type("ok = assert(img:save { in_place = true })\r")
      #expect(session.isReady())
      session.type("exit\r")
      #expect(session.exitCode() == 0)
      let diff = Program.run(["diff", pvh, home + "/image"])
      #expect(
        diff.text == """
          config.on_crash: "preserve" -> "destroy"
          X86_TSC_INFO.khz: 2596097 kHz -> 78 kHz

          """, "\(diff.errors)")
      #expect(Program.names(in: home).filter { $0.hasPrefix(".image") } == [])
    }
  }

  @Test func theSameCodeWorksAfterE() {
    inFolder { folder in
      let code = "img.vcpu[0].rip = 5 img.hvm_params.STORE_PFN = 6 assert(img:save(arg[1]))"
      let one = Program.run(["-e", code, pvh, folder + "/one"])
      #expect(one.exitCode == 0 && one.errors.isEmpty, "\(one.errors)")
      let set = Program.run([
        "set", pvh, "vcpu[0].rip=5", "hvm_params.STORE_PFN=6", "-o", folder + "/two", "-q",
      ])
      #expect(set.exitCode == 0, "\(set.errors)")
      #expect(Program.read(folder + "/one") == Program.read(folder + "/two"))
      let rewritten = Program.run([
        "-e",
        "img.vcpu[0].rip = 5 assert(xs.rewrite(img, arg[1], { HVM_PARAMS = function(rec) "
          + "rec.param.STORE_PFN.value = 6 end }))", pvh, folder + "/three",
      ])
      #expect(rewritten.exitCode == 0 && rewritten.errors.isEmpty, "\(rewritten.errors)")
      #expect(Program.read(folder + "/one") == Program.read(folder + "/three"))
      let alone = Program.run([
        "-e", "img.vcpu[0].rip = 5 img.hvm_params.STORE_PFN = 6 assert(xs.rewrite(img, arg[1]))",
        pvh, folder + "/four",
      ])
      #expect(alone.exitCode == 0, "\(alone.errors)")
      #expect(Program.read(folder + "/one") == Program.read(folder + "/four"))
    }
  }

  @Test func withoutATerminalAWordIsSaidAndTheCodeSaysIt() {
    let session = Program.run(["-i", pvh], input: Array("img.vcpu[0].rip = 5\n".utf8))
    #expect(session.exitCode == 1)
    #expect(session.errors.contains("\(pvh): its changes were not saved"), "\(session.errors)")
    let saved = Program.run(["-i", pvh], input: Array("img:changes()\n".utf8))
    #expect(saved.exitCode == 0 && saved.errors.isEmpty, "\(saved.errors)")
    // Of a script that opens its image itself.
    let script = Program.run([
      "-e", "local i = assert(xs.open(arg[1])) i.vcpu[0].rip = 5", pv, pvh,
    ])
    #expect(script.exitCode == 0, "\(script.errors)")
    #expect(script.errors.contains("warning: \(pvh): its changes were not saved"))
    // os.exit does not end the process before it is reported.
    let left = Program.run(["-e", "img.vcpu[0].rip = 5 print 'done' os.exit(7)", pvh])
    #expect(left.exitCode == 7 && left.text == "done\n", "\(left.errors)")
    #expect(left.errors.contains("\(pvh): its changes were not saved"), "\(left.errors)")
    let code = Program.run(["-e", "os.exit(false)", pvh])
    #expect(code.exitCode == 1 && code.errors.isEmpty, "\(code.errors)")
    let closed = Program.run([
      "-e", "do local i <close> = assert(xs.open(arg[1])) i.vcpu[0].rip = 5 end print 'later'", pv,
      pvh,
    ])
    #expect(closed.errors.contains("its changes were not saved"), "\(closed.errors)")
    // Who fails has another message.
    let failed = Program.run(["-e", "img.vcpu[0].rip = 5 error 'no'", pvh])
    #expect(failed.exitCode == 1 && !failed.errors.contains("not saved"), "\(failed.errors)")
  }

  @Test func changesOfRecordsOfAPassAreTheImages() {
    inFolder { folder in
      let code = """
        for rec in img:records "X86_TSC_INFO" do rec.khz = 5 end
        print(img:first("X86_TSC_INFO").khz)
        for rec in img:records "X86_TSC_INFO" do print(rec.khz) end
        img:first("X86_TSC_INFO").mode = 9
        print(img:verify().ok, xs.verify(img).ok, img:save(arg[1]))
        """
      let outcome = Program.run(["-e", code, pv, folder + "/out"])
      #expect(
        outcome.text.hasPrefix("5\n5\nfalse\tfalse\tnil\t"), "\(outcome.text)\(outcome.errors)")
      #expect(outcome.text.contains("would not restore"), "\(outcome.text)")
      #expect(Program.names(in: folder) == [])
      let pipe = Program.shell(
        "cat \(pv) | xensave-lua -e 'for rec in img:records \"X86_TSC_INFO\" do rec.khz = 5 end' -")
      #expect(
        pipe.exitCode == 1 && pipe.errors.contains("a pipe is only read here"), "\(pipe.errors)")
    }
  }

  @Test(arguments: [
    "img:convert('out', { version = 3 })", "img:compact 'out'", "img:export('out', 'raw')",
    "img:compat '4.17'",
  ])
  func whatReadsTheFileRefusesAnImageWithChanges(call: String) {
    let outcome = Program.run([
      "-e", "img.vcpu[0].rax = 5 print(pcall(function() \(call) end))", pvh,
    ])
    #expect(outcome.text.contains("reads the file, which has not the changes"), "\(outcome.text)")
  }

  @Test func whatCannotBeWrittenIsSaid() {
    let code = """
      img.vcpu[0].rax = 5
      print(img:save "/nowhere/at/all")
      print(pcall(img.save, img, arg[1]))
      print(pcall(img.save, img, {}))
      print(pcall(img.save, img, { inplace = true }))
      print(pcall(img.save, img, "-"))
      """
    let outcome = Program.run(["-e", code, pvh, pvh, "--dry-run"])
    let lines = outcome.text.split(separator: "\n").map(String.init)
    #expect(lines.first?.hasPrefix("nil\t/nowhere/at/all: ") == true, "\(outcome.text)")
    for (line, problem) in zip(
      lines.dropFirst(),
      [
        "this is the image itself", "expected a path, or { in_place = true }",
        "(did you mean 'in_place'?)", "expected a file",
      ])
    {
      #expect(line.contains(problem), "\(line)")
    }
  }

  /// One line a changed key, by paths that `set` takes.
  @Test func reportsGoByPath() {
    inFolder { folder in
      let code = """
        img.config.c_info.name = "other"
        img.config.nics = { { mac = "00:16:3e:00:00:01" } }
        img.hvm_params.IDENT_PT = nil
        img.hvm_params.VIRIDIAN = 1
        img.cpuid:set("avx2", false)
        img:first("X86_MSR_POLICY").msr[1].value = 5
        img.vcpu[0].rip = 5
        img.domain_header.xen_minor = 18
        """
      let outcome = Program.run(["-e", code, pvh, "--dry-run"])
      #expect(
        outcome.text.split(separator: "\n").dropLast().map(String.init) == [
          "config.c_info.name: \"tpvh\" -> \"other\"",
          "+ config.nics: [{\"mac\":\"00:16:3e:00:00:01\"}]",
          "domain_header.xen_minor: 17 -> 18",
          "cpuid[0x7,0].b: 0x8801a9 -> 0x880189",
          "msr_policy[0xce] (MSR_INTEL_PLATFORM_INFO): 0x80000000 -> 0x5",
          "HVM_CONTEXT.CPU[0].rip: 0x1000c9 -> 0x5",
          "- hvm_params[12] (IDENT_PT): 0xfeffe000",
          "+ hvm_params[9] (VIRIDIAN): 0x1 (base_freq)",
        ], "\(outcome.text)\(outcome.errors)")
      // The same as diff prints of the result.
      let written = Program.run(["-e", code, pvh, "-o", folder + "/out", "-q", "--unchecked"])
      #expect(written.exitCode == 0, "\(written.errors)")
      let diff = Program.run(["diff", pvh, folder + "/out"])
      #expect(
        Set(diff.text.split(separator: "\n"))
          == Set(outcome.text.split(separator: "\n").dropLast()),
        "\(diff.text)")
      // What is said there can be said to set.
      let edits = diff.text.split(separator: "\n").compactMap { line -> String? in
        guard let arrow = line.firstRange(of: " -> "), let colon = line.firstRange(of: ": ") else {
          return nil
        }
        let path = line[..<colon.lowerBound].prefix { $0 != " " }
        return "\(path)=\(line[arrow.upperBound...].filter { $0 != "\"" })"
      }
      #expect(edits.count == 5)
      let set = Program.run(["set", pvh] + edits + ["-o", folder + "/set", "-q", "--unchecked"])
      #expect(set.exitCode == 0, "\(set.errors)")
      let rest = Program.run(["diff", folder + "/set", folder + "/out"])
      #expect(rest.text.split(separator: "\n").count == 3, "\(rest.text)")
    }
  }

  @Test func diffAsFilterAssignsByPath() {
    inFolder { folder in
      let outcome = Program.shell(
        "cd \(folder) && xensave-lua set \(pvh) config.c_info.name=other "
          + "config.b_info.max_vcpus=2 hvm_params.STORE_PFN=5 cpuid[7,0].b=1 X86_TSC_INFO.khz=5 "
          + "-o b -q --unchecked && xensave-lua diff \(pvh) b --as-filter >f.lua; "
          + "xensave-lua f.lua \(pvh) -o c -q --unchecked && cmp b c && cat f.lua")
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      for line in [
        "    h.config.c_info.name = \"other\"  -- was \"tpvh\"",
        "    h.config.b_info.max_vcpus = 2  -- was 1",
        "    rec:set(\"param[\\\"STORE_PFN\\\"].value\", 0x5)  -- 0xfeffc -> 0x5",
        "    rec:find { leaf = 0x7, subleaf = 0 }.b = 0x1  -- 0x8801a9 -> 0x1",
        "    rec:set(\"khz\", 0x5)  -- 2596097 kHz -> 5 kHz",
      ] {
        #expect(outcome.text.contains(line + "\n"), "\(outcome.text)")
      }
      #expect(!outcome.text.contains("config_text"))
    }
  }
}
