// Editing by path, in place, and comparing: set, recover, diff, and levelling.

import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite struct EditTests {
  private func inFolder(_ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    try body(folder)
  }

  @Test func anEditInPlaceWritesOnlyTheChangedBytes() {
    inFolder { folder in
      let image = folder + "/image"
      let outcome = Program.shell(
        "cp \(pv) \(image) && inode=$(stat -c %i \(image)) && "
          + "xensave-lua set \(image) vcpu[0].rip=0x1234 X86_TSC_INFO.khz=5 --in-place && "
          + "[ $inode = $(stat -c %i \(image)) ] && cmp -l \(pv) \(image) | wc -l")
      #expect(outcome.text == "6\n", "\(outcome.errors)")
      #expect(outcome.errors.contains("6 bytes changed in place"))
      // vcpu[0].rip: context at 4208803, user_regs at 520, rip at 128.
      let bytes = Program.read(image)
      #expect(Array(bytes[4_209_459..<4_209_467]) == [0x34, 0x12, 0, 0, 0, 0, 0, 0])
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  @Test(arguments: [
    ("vcpu[0].rpi=1", 2, "did you mean 'rsi'"),
    ("X86_TSC_INFO.khz=0x100000000", 2, "0..0xffffffff"),
    ("X86_TSC_INFO.khz=fast", 2, "expected a number"), ("HVM_PARAMS.count=1", 2, "no HVM_PARAMS"),
    ("X86_TSC_INFO.mode=1", 0, ""), ("nothing=1", 2, "no part 'nothing'"),
    ("X86_TSC_INFO=1", 2, "expected the path of one field"),
    ("X86_PV_INFO.guest_width=5", 1, "would not restore"),
  ])
  func wrongEditsChangeNothing(edit: String, exitCode: Int32, message: String) {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image)")
      let outcome = Program.run(["set", image, edit, "--in-place"])
      #expect(outcome.exitCode == exitCode, "\(outcome.errors)")
      #expect(outcome.errors.contains(message), "\(outcome.errors)")
      #expect((Program.read(image) == Program.read(pv)) == (exitCode != 0))
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  /// What is before the pages is edited without a look at what is after them.
  @Test(.enabled(if: hasStrace, "strace counts the reads"))
  func editsBeforeThePagesReadNothingAfterThem() {
    inFolder { folder in
      for (edit, isFront) in [
        ("cpuid[7,0].b=1", true), ("config.c_info.name=tpvi", true),
        ("domain_header.xen_minor=16", true), ("msr_policy[0xce]=0", true),
        ("X86_TSC_INFO.khz=5", false), ("vcpu[0].rax=5", false),
      ] {
        let image = folder + "/image"
        let outcome = Program.shell(
          "cp \(pvh) \(image) && strace -f -e trace=pread64,read -o \(folder)/trace "
            + "xensave-lua set \(image) '\(edit)' --in-place -q && "
            + "grep -c pread64 \(folder)/trace; xensave-lua diff \(pvh) \(image) | wc -l")
        let numbers = outcome.text.split(separator: "\n").compactMap { Int($0) }
        #expect(numbers.count == 2 && numbers[1] == 1, "\(edit): \(outcome.text) \(outcome.errors)")
        // The fixture has 1020 records of pages.
        #expect((numbers[0] < 100) == isFront, "\(edit): \(numbers[0]) reads")
      }
      let bad = Program.run(["set", folder + "/image", "cpuid[7,0].leaf=0x7", "--in-place", "-q"])
      #expect(bad.exitCode == 0, "\(bad.errors)")
    }
  }

  /// With an index beside the image, what lies after the pages is edited without a look at them.
  @Test(.enabled(if: hasStrace, "strace counts the reads"))
  func withAnIndexEditsReadNothingOfThePages() {
    inFolder { folder in
      let (image, plain) = (folder + "/image", folder + "/plain")
      let first = Program.shell(
        "cp \(pvh) \(image) && cp \(pvh) \(plain) && sleep 0.1 && "
          + "xensave-lua set \(image) X86_TSC_INFO.khz=7 --in-place --cache -q && "
          + "xensave-lua set \(plain) X86_TSC_INFO.khz=7 --in-place -q")
      #expect(first.exitCode == 0, "\(first.errors)")
      // One after the other: each edit makes the index fit again.
      for edit in [
        "X86_TSC_INFO.khz=5", "vcpu[0].rax=5", "config.c_info.name=tpvi",
        "HVM_CONTEXT.LAPIC[0].apic_base_msr=0xfee00901", "vcpu[0].rbx=9 X86_TSC_INFO.khz=6",
      ] {
        let outcome = Program.shell(
          "strace -f -e trace=pread64,read -o \(folder)/trace "
            + "xensave-lua set \(image) \(edit) --in-place -q && grep -c pread64 \(folder)/trace; "
            + "xensave-lua set \(plain) \(edit) --in-place -q; cmp \(image) \(plain) && echo same")
        let lines = outcome.text.split(separator: "\n")
        #expect(lines.last == "same", "\(edit): \(outcome.text) \(outcome.errors)")
        #expect(lines.first.flatMap { Int($0) } ?? .max < 100, "\(edit): \(outcome.text)")
      }
      // What is worse than before is refused as ever, what concerns pages looks at them.
      for (edit, exitCode) in [
        ("X86_TSC_INFO.mode=9", 1), ("HVM_CONTEXT.CPU[0].rflags=0", 0), ("record[9].count=3", 1),
        ("hvm_params.STORE_PFN=0xfeffb", 0), ("hvm_params.STORE_PFN=0xfeff0", 1),
      ] as [(String, Int32)] {
        let outcome = Program.shell(
          "xensave-lua set \(image) \(edit) --in-place -q; code=$?; "
            + "xensave-lua set \(plain) \(edit) --in-place -q; "
            + "cmp \(image) \(plain) && exit $code")
        #expect(outcome.exitCode == exitCode, "\(edit): \(outcome.errors)")
      }
      // Written by another: the index is not believed, and the edit right all the same.
      let other = Program.shell(
        "printf zz | tee \(image) \(plain) -a >/dev/null; for i in \(image) \(plain); do "
          + "xensave-lua set $i vcpu[0].rcx=4 --in-place -q --unchecked; done; "
          + "cmp \(image) \(plain)")
      #expect(other.exitCode == 0, "\(other.errors)")
    }
  }

  /// What an edit does not concern may be bad before and after it; what it concerns may not.
  @Test func badPagesDoNotHinderEditsOfOtherParts() {
    inFolder { folder in
      let image = folder + "/image"
      let first = Program.shell(
        "cp \(pvh) \(image) && xensave-lua set \(image) 'record[9].pfn[0]=0x10000000000001' "
          + "--in-place --unchecked -q && ! xensave-lua verify \(image) -q")
      #expect(first.exitCode == 0, "\(first.errors)")
      for (edit, exitCode) in [
        ("X86_TSC_INFO.khz=5", 0), ("vcpu[0].rax=4", 0), ("X86_TSC_INFO.mode=9", 1),
        ("record[10].pfn[0]=0x77", 1),
      ] as [(String, Int32)] {
        let before = Program.read(image)
        let outcome = Program.run(["set", image, edit, "--in-place"])
        #expect(outcome.exitCode == exitCode, "\(edit): \(outcome.errors)")
        #expect((Program.read(image) == before) == (exitCode != 0), "\(edit)")
      }
    }
  }

  static let hasStrace = Program.shell("command -v strace").exitCode == 0

  @Test(.enabled(if: hasStrace, "strace injects the kills"))
  func aKillAtAnyInstantIsRecoverable() {
    inFolder { folder in
      let image = folder + "/image"
      let before = Program.read(pv)
      // Every system call of the edit is a place to be killed at; strace ends the process there.
      for call in ["pwrite64", "fsync", "unlink", "openat", "write"] {
        for number in 1...6 {
          _ = Program.shell("cp \(pv) \(image)")
          _ = Program.shell(
            "strace -f -qq -o /dev/null -e trace=\(call) -e inject=\(call):signal=KILL:when=\(number) "
              + "xensave-lua set \(image) vcpu[0].rip=0x1234 X86_TSC_INFO.khz=5 --in-place "
              + "--unchecked")
          let recovered = Program.run(["recover", image])
          #expect(recovered.exitCode == 0, "\(recovered.errors)")
          let after = Program.read(image)
          // Either the edit was complete and its journal gone, or everything is as it was.
          #expect(
            after == before || (after[4_209_459] == 0x34 && after[4_204_671] == 5),
            "\(call) \(number)")
          #expect(Program.names(in: folder) == ["image"])
        }
      }
    }
  }

  @Test func aJournalThatIsNotWholeIsIgnored() {
    inFolder { folder in
      let image = folder + "/image"
      _ = Program.shell("cp \(pv) \(image); printf 'XSUNDO1\\nrubbish' >\(folder)/.image.undo")
      let outcome = Program.run(["recover", image])
      #expect(outcome.text.contains("nothing to undo"))
      #expect(Program.read(image) == Program.read(pv))
      #expect(Program.names(in: folder) == ["image"])
    }
  }

  @Test func diffAsFilterTurnsTheFirstIntoTheSecond() {
    inFolder { folder in
      let edits =
        "vcpu[0].rip=0x77 config.c_info.name=other hvm_params.STORE_PFN=5 cpuid[7,0].b=1 "
        + "domain_header.xen_minor=18"
      let outcome = Program.shell(
        "cd \(folder) && xensave-lua set \(pvh) \(edits) -o b -q && "
          + "xensave-lua diff \(pvh) b; xensave-lua diff \(pvh) b --as-filter >f.lua; "
          + "xensave-lua f.lua \(pvh) -o c -q && cmp b c && xensave-lua diff b c && echo same")
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      #expect(
        outcome.text == """
          domain_header.xen_minor: 17 -> 18
          config.c_info.name: "tpvh" -> "other"
          cpuid[0x7,0].b: 0x8801a9 -> 0x1
          HVM_CONTEXT.CPU[0].rip: 0x1000c9 -> 0x77
          hvm_params[1] (STORE_PFN): 0xfeffc -> 0x5
          same

          """)
    }
  }

  @Test(arguments: ["X86_MSR_POLICY", "X86_PV_VCPU_XSAVE", "X86_CPUID_POLICY"])
  func diffAsFilterBringsBackADroppedRecord(type: String) {
    inFolder { folder in
      let outcome = Program.shell(
        "cd \(folder) && xensave-lua run strip \(pv) \(type) -o a -q "
          + "&& xensave-lua diff a \(pv) --as-filter >f.lua; xensave-lua f.lua a -o b -q && cmp b \(pv)"
      )
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
    }
  }

  /// The fixture's last pages have contents: what is written there differs, and nothing else.
  @Test func diffFindsRunsOfPages() {
    inFolder { folder in
      let image = folder + "/image"
      // Pages 0x3fd to 0x3ff of the PV guest are the last of its 4 MiB; PAGE_DATA ends at 4208779.
      _ = Program.shell(
        "cp \(pv) \(image); for offset in 4200000 4196000; do "
          + "printf x | dd of=\(image) bs=1 seek=$offset conv=notrunc status=none; done")
      let text = Program.run(["diff", pv, image])
      #expect(text.exitCode == 1, "\(text.errors)")
      #expect(text.text.hasPrefix("pages 0x"), "\(text.text)")
      #expect(text.text.hasSuffix(": 2 pages with other contents\n"), "\(text.text)")
      let json = Program.run(["diff", "--json", pv, image])
      for member in ["\"kind\": \"pages\"", "\"how\": \"contents\"", "\"count\": 2"] {
        #expect(json.text.contains(member), "\(json.text)")
      }
      let none = Program.run(["diff", "--no-pages", pv, image])
      #expect(none.exitCode == 0 && none.text.isEmpty, "\(none.text)")
      let back = Program.shell(
        "cd \(folder) && xensave-lua diff \(pv) image --as-filter >f.lua; "
          + "xensave-lua f.lua \(pv) -o made -q && xensave-lua diff made image && cmp made image")
      #expect(back.exitCode == 0, "\(back.text) \(back.errors)")
      let code = """
        for d in xs.diff(img, arg[1], { pages = true }) do print(d.kind, d.how, d.count) end
        """
      let lua = Program.run(["-e", code, pv, image])
      #expect(lua.text == "pages\tcontents\t2\n", "\(lua.text) \(lua.errors)")
    }
  }

  @Test func diffInLuaGivesFieldsAndRecords() {
    let outcome = Program.shell(
      """
      f=$(mktemp -d); xensave-lua set \(pvh) vcpu[0].rip=0x77 config.c_info.name=other \
        -o $f/a -q && xensave-lua run strip $f/a X86_MSR_POLICY -o $f/b -q &&
      xensave-lua -e 'for d in xs.diff(img, arg[1], { context = 1 }) do
        print(d.kind, d.path, d.a, d.b, d.context[2]) end
        print(pcall(xs.diff, img, img, { page = true }))' \(pvh) $f/b; rm -r $f
      """)
    #expect(
      outcome.text == """
        field	config.c_info.name	tpvh	other	nil
        record	X86_MSR_POLICY	X86_MSR_POLICY	nil	record 3 (X86_MSR_POLICY)
        field	HVM_CONTEXT.CPU[0].rip	1048777	119	record 1026 (HVM_CONTEXT)
        false	diff has no option 'page' (did you mean 'pages'?)

        """, "\(outcome.errors)")
  }

  @Test func anEditOfTheImageObjectIsWritten() {
    inFolder { folder in
      let out = folder + "/out"
      let code = """
        img.hvm_params.VIRIDIAN = 1
        img.hvm_params.IDENT_PT = nil
        img.vcpu[0].rax = 0xFEDCBA9876543210
        img.config.b_info.max_vcpus = 2
        assert(img.vcpu[0].rax == 0xFEDCBA9876543210)
        """
      let written = Program.run(["-e", code, pvh, "-o", out])
      #expect(written.exitCode == 0, "\(written.errors)")
      let read = Program.run([
        "-e",
        "print(img.hvm_params.VIRIDIAN, img.hvm_params.IDENT_PT, #img.hvm_params, "
          + "xs.hex(img.vcpu[0].rax), img.config.b_info.max_vcpus, img.cpuid:has 'avx2')", out,
      ])
      #expect(read.text == "1\tnil\t8\t0xfedcba9876543210\t2\ttrue\n", "\(read.errors)")
    }
  }

  @Test func levellingMasksNamesAndRefusesWhatIsInUse() {
    let dry = Program.run(["run", "cpuid-level", pv, "--without=avx2", "--dry-run"])
    #expect(dry.text.contains("cpuid[0x7,0].b: 0x880129 -> 0x880109"), "\(dry.errors)")
    // Without AVX, the YMM state must go from leaf 0xD too.
    let avx = Program.run(["run", "cpuid-level", pv, "--without=avx", "--dry-run"])
    #expect(avx.text.contains("cpuid[0xd,0].a: 0x7 -> 0x3"), "\(avx.errors)")
    let check = Program.run(["run", "cpuid-level", pv, "--check", "--like=" + pv])
    #expect(check.text.isEmpty, "\(check.text) \(check.errors)")
    // A level by name, and the policies of another image as JSON.
    let named = Program.run(["run", "cpuid-level", pv, "--check", "--named=haswell"])
    #expect(check.exitCode == 0 && named.exitCode == 1)
    #expect(
      named.text.hasPrefix("missing: adx\nmissing: clflushopt\nmissing: mmxext\n"),
      "\(named.errors)")
    let json = Program.shell(
      "f=$(mktemp -d); xensave-lua dump \(pv) X86_CPUID_POLICY X86_MSR_POLICY --json >$f/level; "
        + "xensave-lua run cpuid-level \(pvh) --check --from=$f/level; "
        + "xensave-lua run cpuid-level \(pv) --check --from=$f/level && echo yes; rm -r $f")
    #expect(json.text.hasPrefix("missing: mtrr\n"), "\(json.errors)")
    #expect(json.text.hasSuffix("\nyes\n"), "\(json.text) \(json.errors)")
    // A guest that has turned YMM on keeps it: Xen would refuse the image.
    inFolder { folder in
      let used = Program.shell(
        "xensave-lua set \(pv) X86_PV_VCPU_XSAVE.xcr0_accum=7 -o \(folder)/used --unchecked -q && "
          + "xensave-lua run cpuid-level \(folder)/used --without=avx --dry-run")
      #expect(used.exitCode == 1)
      #expect(used.errors.contains("vCPU 0 has turned on XCR0.YMM"), "\(used.errors)")
    }
  }

  @Test(arguments: [
    ("vcpu[0].rip", "CPU[0].rip: 0x1000c9\n"),
    ("hvm_params.STORE_PFN", "hvm_params[1] (STORE_PFN): 0xfeffc\n"),
    ("hvm_params[12]", "hvm_params[12] (IDENT_PT): 0xfeffe000\n"),
    ("HVM_PARAMS.param[0].value", "param[0].value: 0xfeffc\n"),
    ("config.c_info.name", "config.c_info.name: \"tpvh\"\n"),
    ("HVM_CONTEXT.MTRR[0].msr_mtrr_cap", "MTRR[0].msr_mtrr_cap: 0x508 (vcnt=0x8, fix, wc)\n"),
    ("record[1025].khz", "khz: 2596097 kHz\n"),
    ("domain_header.xen_minor", "xen_minor: 17\n"),
    ("msr_policy[0xce]", "msr[0].value: 0x80000000\n"),
  ])
  func dumpPrintsAnyPath(path: String, text: String) {
    let outcome = Program.run(["dump", pvh, path])
    #expect(outcome.text == text, "\(outcome.errors)")
  }
}
