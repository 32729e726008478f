// convert, wrap, unwrap and compat as commands, and their counterparts in Lua.

import Testing

@Suite struct ConvertCommandsTests {
  let image = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

  @Test func throughFilesAndBack() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let draft = Program.run(["convert", image, folder + "/b", "--to", "draft-b"])
    #expect(draft.exitCode == 0 && draft.errors.isEmpty, "\(draft.errors)")
    #expect(Program.run(["convert", folder + "/b", folder + "/3", "--to", "v3"]).exitCode == 0)
    #expect(Program.read(folder + "/3") == Program.read(image))
    #expect(
      Program.run(["convert", image, folder + "/be", "--order", "big", "-q"]).output.isEmpty)
    #expect(
      Program.run(["convert", folder + "/be", folder + "/le", "--order", "little"]).exitCode == 0)
    #expect(Program.read(folder + "/le") == Program.read(image))
  }

  @Test func throughPipes() {
    let outcome = Program.shell(
      "cat '\(image)' | xensave-lua convert - - --to draft-b -q"
        + " | xensave-lua convert - - --to v3 -q | cmp - '\(image)'")
    #expect(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
  }

  @Test func refusalsLeaveNothingBehind() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let refused = Program.run(["convert", image, folder + "/2", "--to", "v2"])
    #expect(refused.exitCode == 1 && refused.errors.contains("X86_CPUID_POLICY"))
    #expect(refused.errors.split(separator: "\n").count == 1)
    #expect(Program.names(in: folder).isEmpty)
    let lossy = Program.run(["convert", image, folder + "/2", "--to", "v2", "--lossy"])
    #expect(lossy.exitCode == 0 && lossy.text.contains("record 2 (X86_CPUID_POLICY): left out"))
    #expect(Program.run(["verify", "-q", folder + "/2"]).exitCode == 0)
  }

  @Test func wrapAndUnwrap() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    for layer in ["libxl", "libxc"] {
      let unwrapped = Program.run([
        "unwrap", image, folder + "/u", "--layer", layer, "--config", folder + "/c",
      ])
      #expect(unwrapped.exitCode == 0, "\(unwrapped.errors)")
      #expect(
        Program.run(["wrap", folder + "/u", folder + "/w", "--config", folder + "/c"]).exitCode == 0
      )
      #expect(Program.read(folder + "/w") == Program.read(image))
    }
    let bare = Program.run(["wrap", folder + "/u", folder + "/v", "--in", "libvirt"])
    #expect(bare.exitCode == 1 && bare.errors.contains("XML"))
  }

  @Test func usage() {
    let nowhere = "/nonexistent/out"
    #expect(Program.run(["convert", image, nowhere]).exitCode == 2)
    let unknown = Program.run(["convert", image, nowhere, "--to", "draft-c"])
    #expect(unknown.exitCode == 2 && unknown.errors.contains("did you mean 'draft-b'"))
    #expect(Program.run(["convert", image, nowhere, "--order", "middle"]).exitCode == 2)
    #expect(Program.run(["compat", image, "--xen", "four"]).exitCode == 2)
    #expect(Program.run(["convert", image, image, "--to", "v3"]).exitCode == 2)
    #expect(Program.run(["convert", "/nonexistent", nowhere, "--to", "v3"]).exitCode == 3)
  }

  @Test func compat() {
    let good = Program.run(["compat", image, "--xen", "4.17"])
    #expect(good.exitCode == 0 && good.text.hasSuffix("Xen 4.17: yes\n"))
    let bad = Program.run(["compat", image, "--xen", "4.13", "--json"])
    #expect(bad.exitCode == 1)
    #expect(bad.text.contains("\"compatible\": false"))
    #expect(bad.text.contains("\"subject\": \"version\""))
  }

  @Test func lua() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let script = """
      local done = assert(img:convert(arg[1] .. "/b", { version = 1, layer = "libxc" }))
      assert(done.losses == 0 and done.records_out > 10 and done.config:find "c_info")
      local draft <close> = assert(require "xensave".open(arg[1] .. "/b"))
      assert(draft.version == 1 and draft.layer == "libxc" and draft.guest == "x86_hvm")
      assert(draft:convert(arg[1] .. "/3", { version = 3, layer = "xl", config = done.config }))
      local no, problem = img:convert(arg[1] .. "/2", { version = 2 })
      assert(no == nil and tostring(problem):find "X86_CPUID_POLICY")
      assert(problem.code == "refused")
      assert(#assert(img:convert(arg[1] .. "/2", { version = 2, lossy = true })).notes == 2)
      assert(not pcall(img.convert, img, "x", { versoin = 2 }))
      assert(not pcall(img.convert, img, "x", { version = 4 }))
      assert(not pcall(img.convert, img, "x", { layer = "tar" }))
      assert(not pcall(img.convert, img, "x", { order = 1 }))
      local ok, reasons = img:compat("4.17")
      assert(ok and reasons[1].subject == "version")
      ok, reasons = img:compat("4.13")
      assert(not ok and reasons[1].severity == "error")
      """
    let outcome = Program.run(["-e", script, image, folder])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(Program.read(folder + "/3") == Program.read(image))
  }

  /// Filters see draft B and big-endian images as they see others: what is kept stays, what is changed
  /// and made is right in the form that it has there.
  @Test(arguments: ["--to draft-b", "--order big"])
  func filtersOverOtherForms(form: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let back = form.hasPrefix("--to") ? "--to v3" : "--order little"
    let outcome = Program.shell(
      """
      cd \(folder) && i=\(image) && xensave-lua convert $i form \(form) -q &&
      xensave-lua -e 'return { record = function() end }' form -o kept -q && cmp form kept &&
      cat form | xensave-lua -e 'return { record = function() end }' - -o - -q | cmp - form &&
      xensave-lua -e 'return {
        X86_TSC_INFO = function(r) r.khz = 77; return r, xs.record("HVM_PARAMS", {
          param = { { index = "STORE_PFN", value = 5 } } }) end,
        HVM_PARAMS = function(r) return r:copy() end,
        PAGE_DATA = function(r) if r.index == 7 then r:payload() end end }' form -o changed -q &&
      xensave-lua convert changed back \(back) -q --unchecked && xensave-lua diff $i back;
      xensave-lua dump back HVM_PARAMS[0].param[0].value X86_TSC_INFO.khz;
      xensave-lua set form X86_TSC_INFO.khz=78 --in-place -q &&
      xensave-lua convert form back \(back) -q && xensave-lua dump back X86_TSC_INFO.khz
      """)
    #expect(outcome.text.contains("X86_TSC_INFO.khz: 2596097 kHz -> 77 kHz\n"), "\(outcome.errors)")
    #expect(
      outcome.text.hasSuffix("param[0].value: 0x5\nkhz: 77 kHz\nkhz: 78 kHz\n"), "\(outcome.text)")
    #expect(outcome.errors.isEmpty, "\(outcome.errors)")
  }

  @Test(arguments: [64, 32]) func legacyImagesInLua(width: Int) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
    let outcome = Program.shell(
      """
      scripts/legacy-image --width \(width) \(pv) \(folder)/old 2>/dev/null && cd \(folder) &&
      xensave-lua convert old command --to v3 -q && xensave-lua -e '
        local old <close> = assert(xs.open("old", { layer = "legacy", width = "auto" }))
        print(old.layer, old.guest)
        assert(old:convert("direct", { version = 3, guest = old.guest }))
        print(#old, old.layer, old.config.c_info.name, xs.hex(old.vcpu[0].rip))
        assert(old:convert("draft", { version = 1, xen = "4.17" }))
        assert(xs.rewrite(old, "filtered", { X86_TSC_INFO = function(r) r.khz = 9 end }))
        print(pcall(old.convert, old, "never", { version = 3, guest = "x86_hvm" }))
        print(xs.open("direct", { layer = "legacy" }))
        print(pcall(xs.open, "old", { layer = "legacy", width = 16 }))
        print(pcall(xs.open, "old", { layers = "legacy" }))' && cmp command direct &&
      xensave-lua convert draft v3 --to v3 -q && xensave-lua diff direct filtered; ls
      """)
    #expect(
      outcome.text == """
        legacy	x86_pv
        12	xl	tpv	\(Self.rip)
        false	guest: the image is of x86_pv, got x86_hvm
        nil	direct: this is no legacy image
        false	width: expected 32, 64 or "auto", got 16
        false	open has no option 'layers' (did you mean 'layer'?)
        X86_TSC_INFO.khz: 2596097 kHz -> 9 kHz
        command
        direct
        draft
        filtered
        old
        v3

        """, "\(outcome.errors)")
  }

  /// rip of the PV fixture's vCPU.
  private static let rip = "0x10455"

  // MARK: - For a release

  /// What compat lists is what convert does; the result is what that release restores.
  @Test func forRelease() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let before = Program.run(["compat", image, "--xen", "4.13"])
    #expect(before.exitCode == 1 && before.text.contains("convert IMAGE --for-xen 4.13"))
    let done = Program.run(["convert", image, "--for-xen", "4.13", "-o", folder + "/old"])
    #expect(done.exitCode == 0 && done.errors.isEmpty, "\(done.errors)")
    let changes = done.text.split(separator: "\n").dropLast()
    #expect(changes.count == 4, "\(changes)")
    for change in changes { #expect(before.text.contains(change), "\(change)") }
    #expect(Program.run(["compat", folder + "/old", "--xen", "4.13"]).exitCode == 0)
    #expect(Program.run(["verify", "-q", folder + "/old"]).exitCode == 0)
    let json = Program.run([
      "convert", image, "--for-xen", "4.13", "-o", folder + "/again", "--json",
    ])
    #expect(json.text.contains("\"action\": \"dropped\""))
    let plan = Program.run(["compat", image, "--xen", "4.13", "--json"])
    #expect(plan.text.contains("\"convertible\": true"))
    // What is right already stays as it is, and goes through pipes.
    let same = Program.shell(
      "xensave-lua convert - --for-xen 4.17 -o - -q <'\(image)' | cmp - '\(image)'")
    #expect(same.exitCode == 0 && same.errors.isEmpty, "\(same.errors)")
  }

  @Test func forReleaseUsage() {
    let out = ["-o", "/nonexistent/out"]
    for words in [
      ["--for-xen", "4.5"], ["--for-xen", "4.99"], ["--for-xen", "new"],
      ["--for-xen", "4.17", "--order", "big"], ["--for-xen", "4.17", "--to", "v2"],
      ["--for-host", "/dev/null"],
    ] {
      let outcome = Program.run(["convert", image] + words + out)
      #expect(outcome.exitCode == 2, "\(words) \(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1)
    }
    #expect(Program.run(["compat", image]).exitCode == 2)
    let both = Program.run(["compat", "-", "--for-host", "-"])
    #expect(both.exitCode == 2 && both.errors.contains("the image is standard input"))
  }

  /// What host prints is what --for-host reads, from a file and from a pipe.
  @Test func hosts() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let host = Program.shell("xensave-lua host >'\(folder)/host.json'")
    #expect(host.exitCode == 0 && host.errors.isEmpty, "\(host.errors)")
    let text = String(decoding: Program.read(folder + "/host.json"), as: UTF8.self)
    #expect(text.contains("\"format\": \"xensave-host-1\"") && text.contains("\"fpu\""))
    let piped = Program.shell(
      "xensave-lua compat '\(image)' --xen 4.17 --for-host - <'\(folder)/host.json'")
    let read = Program.run([
      "compat", image, "--xen", "4.17", "--for-host", folder + "/host.json",
    ])
    #expect(piped.exitCode == read.exitCode && piped.output == read.output)
    // A host with nothing: all that the guest has is taken from it, and its memory is too little.
    Program.write(
      Array(
        """
        {"format": "xensave-host-1", "origin": "xen", "xen": "4.17.7", "memory_bytes": 4096,
         "hvm": {"leaves": [{"leaf": "0x0", "a": 1}], "msrs": []}}
        """.utf8), to: folder + "/small.json")
    let small = Program.run(["compat", image, "--for-host", folder + "/small.json"])
    #expect(small.exitCode == 1 && small.text.contains("Xen 4.17.7: no"), "\(small.text)")
    #expect(small.text.contains("the host 0 MiB in all"))
  }

  /// The vCPUs of a PV guest in draft B are those that it had before.
  @Test func draftBHasVCPUs() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
    #expect(
      Program.run(["convert", pv, "-o", folder + "/b", "--to", "draft-b", "-q"]).exitCode == 0)
    _ = Program.shell("cp \(pv) \(folder)/pv")
    for words in [
      ["run", "registers", "IMG"], ["dump", "IMG", "vcpu[0].rip"],
      [
        "-e", "print(#img.vcpu, img.vcpu[0].rip, img.vcpu[0]:virtual(img.vcpu[0].rip, 8):bytes())",
        "IMG",
      ],
      ["export", "IMG", "--format", "elf-core", "-o", "-"], ["pages", "IMG", "--zero"],
      ["run", "pages", "IMG"], ["run", "holds", "IMG", "--hex=7f454c46"],
    ] {
      let outcomes = [folder + "/pv", folder + "/b"].map { path in
        Program.run(words.map { $0 == "IMG" ? path : $0 })
      }
      #expect(outcomes[0].exitCode == 0 && !outcomes[0].output.isEmpty, "\(words)")
      let text = outcomes[0].text.replacing(folder + "/pv", with: folder + "/b")
      #expect(
        outcomes[0].output == outcomes[1].output || text == outcomes[1].text,
        "\(words): \(outcomes[1].errors)")
    }
    #expect(
      !Program.run(["diff", folder + "/pv", folder + "/b"]).text.contains("other contents"))
  }

  /// A legacy image's configuration has no place in the inner layers: it is said.
  @Test func legacyConfigurationsAreNotDroppedWithoutAWord() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
    _ = Program.shell("scripts/legacy-image \(pv) \(folder)/old 2>/dev/null")
    for (format, isSaid) in [("libxl", true), ("libxc", true), ("v3", false)] {
      let outcome = Program.run(["convert", folder + "/old", "--to", format, "-o", folder + "/new"])
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      #expect(
        outcome.errors.contains("xl header: left out with its") == isSaid, "\(outcome.errors)")
    }
  }
}
