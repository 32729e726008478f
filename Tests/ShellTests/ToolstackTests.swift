// Images of libvirt and xenopsd: names, paths, edits, renaming and conversion, as the program does it.

import TestKit
import Testing

@Suite struct ToolstackTests {
  /// A folder with `v`, a file of virsh save, and `x`, a suspend image of XAPI.
  private func inFolder(_ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    Program.write(StreamBuilder.virsh().bytes, to: folder + "/v")
    Program.write(StreamBuilder.suspendImage().bytes, to: folder + "/x")
    try body(folder)
  }

  @Test func infoKnowsTheDomain() {
    inFolder { folder in
      for (file, facts) in [
        ("v", ["\"web\"", "(hvm)", "vCPUs       1", "configured: 256"]),
        ("x", ["\"web\"", "(hvm)", "2 variables, Secure Boot on", "1 state of swtpm"]),
      ] {
        let info = Program.run(["info", "\(folder)/\(file)"])
        for fact in facts { #expect(info.text.contains(fact), "\(file): \(info.text)") }
        let json = Program.run(["info", "--json", "\(folder)/\(file)"]).text
        #expect(json.contains("\"name\": \"web\""))
        #expect(json.contains("\"uuid\": \"c4bf5566-ae09-448b-a079-4fd1ea2a4fc8\""))
        let verify = Program.run(["verify", "\(folder)/\(file)"])
        #expect(verify.exitCode == 0, "\(verify.text)")
      }
    }
  }

  @Test(arguments: [
    ("v", "xml.name", "xml.name: web\n"), ("v", "libvirt_header.xml.name", "xml.name: web\n"),
    ("v", "xml.domain.name", "xml.domain.name: web\n"), ("v", "xml@type", "xml@type: xen\n"),
    ("v", "xml.devices.disk[1].source@file", "xml.devices.disk[1].source@file: /old/b\n"),
    ("x", "xenops.vm_str.name", "xenops.vm_str.name: web\n"),
    ("x", "Xenops.vm_str.ty.HVM.hap", "xenops.vm_str.ty.HVM.hap: true\n"),
    ("x", "xenops.vm_str.ty", "xenops.vm_str.ty:\n  (HVM((hap true)))\n"),
    ("x", "Varstored.variables[\"SecureBoot\"].data", "variables[\"SecureBoot\"].data: 1 (on)\n"),
    ("x", "Swtpm.data", "data: \"AAAA BBBB\"\n"),
  ]) func dumpByPath(file: String, path: String, text: String) {
    inFolder { folder in
      let outcome = Program.run(["dump", "\(folder)/\(file)", path, "--color", "never"])
      #expect(outcome.text == text, "\(outcome.errors)")
    }
  }

  @Test func dumpPrintsText() {
    inFolder { folder in
      let header = Program.run(["dump", folder + "/v", "libvirt_header"]).text
      #expect(
        header.contains("  xml:\n    <domain type='xen'>\n      <name>web</name>\n"), "\(header)")
      let json = Program.run(["dump", folder + "/v", "libvirt_header", "--json"]).text
      #expect(json.contains("\"xml\": \"<domain type='xen'>\\n"), "\(json)")
      let tree = Program.run(["dump", folder + "/v", "xml.devices", "--json"]).text
      #expect(tree.contains("\"disk[0].target@dev\": \"xvda\""), "\(tree)")
      let record = Program.run(["dump", folder + "/x", "Xenops"]).text
      #expect(record.contains("((time 20261128T12:00:00Z)"), "\(record)")
      for (file, hint) in [("v", "xml.name"), ("x", "xenops.vm_str.name")] {
        let missing = Program.run(["dump", "\(folder)/\(file)", "config.c_info.name"])
        #expect(missing.exitCode == 1 && missing.errors.contains(hint), "\(missing.errors)")
      }
      let nowhere = Program.run(["dump", folder + "/v", "xml.nothing"])
      #expect(nowhere.exitCode == 1 && nowhere.errors.contains("no xml.nothing"))
    }
  }

  /// Only the bytes of what was set differ, and lengths that count them.
  @Test(arguments: [
    ("v", "xml.name=web", "xml.name=a&b", "a&amp;b", 4),
    ("x", "xenops.vm_str.name=web", "xenops.vm_str.name=a b", #"name\"a b\""#, 8),
  ]) func setByPath(file: String, same: String, edit: String, written: String, length: Int) {
    inFolder { folder in
      let image = "\(folder)/\(file)"
      let before = Program.read(image)
      #expect(Program.run(["set", image, same, "-o", folder + "/same"]).exitCode == 0)
      #expect(Program.read(folder + "/same") == before)
      let set = Program.run(["set", image, edit, "-o", folder + "/new"])
      #expect(set.exitCode == 0, "\(set.errors)")
      let after = Program.read(folder + "/new")
      let path = String(edit.prefix { $0 != "=" })
      let value = String(edit.drop { $0 != "=" }.dropFirst())
      #expect(Program.run(["dump", folder + "/new", path]).text.contains(value))
      let tail = zip(before.reversed(), after.reversed()).prefix { $0 == $1 }.count
      #expect(tail > before.count - 700)
      let dry = Program.run(["set", image, edit, "--dry-run"]).text
      #expect(dry.hasPrefix("\(path): \"web\" -> \"\(value)\"\n"), "\(dry)")
      // The same again in place: as short as before, it is a patch.
      let place = Program.run(["set", image, path + "=wob", "--in-place"])
      #expect(place.exitCode == 0 && place.errors.contains("1 bytes changed in place"))
    }
  }

  @Test func badEditsChangeNothing() {
    inFolder { folder in
      for (file, edit, message) in [
        ("v", "xml.devices=1", "has elements inside"), ("v", "xml.disk[3].a=1", "there is no"),
        ("v", "xml=<domain>", "the text ends before the end tag"), ("v", "xml=<other/>", "domain"),
        ("v", "xenops.time=1", "has no Xenops record"), ("x", "xenops.xs_subtree=1", "is a list"),
        ("x", "xenops=(", "ends inside a list"), ("x", "xml.name=1", "has no libvirt header"),
      ] {
        let image = "\(folder)/\(file)"
        let before = Program.read(image)
        let outcome = Program.run(["set", image, edit, "--in-place"])
        #expect(
          outcome.exitCode != 0 && outcome.errors.contains(message), "\(edit): \(outcome.errors)")
        #expect(Program.read(image) == before)
      }
    }
  }

  @Test func aCloneHasItsClocksSetForward() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    Program.write(
      Array(
        StreamBuilder.config().replacing("\"max_memkb\"", with: "\"max_vcpus\":2,\"max_memkb\"")
          .utf8), to: folder + "/config")
    let wrapped = Program.run([
      "wrap", Program.fixtures + "pairs/hvm.xlsave", "-o", folder + "/in", "--in", "xl", "--config",
      folder + "/config", "-q", "--unchecked",
    ])
    #expect(wrapped.exitCode == 0, "\(wrapped.errors)")
    let outcome = Program.run([
      "run", "clone", folder + "/in", "web2", "--forward=60", "-o", folder + "/out", "-q",
      "--unchecked",
    ])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    for (path, forward) in [
      ("X86_TSC_INFO.nsec", 60_000_000_000), ("HVM_CONTEXT.RTC[0].rtc_offset", 60),
    ] {
      let values = ["/in", "/out"].map { name in
        Program.run(["dump", folder + name, path]).text.split(separator: " ").compactMap { Int($0) }
          .first
      }
      #expect(values[0] != nil && values[1] == values[0].map { $0 + forward }, "\(path): \(values)")
    }
  }

  /// What verify calls an error is refused before anything is written, in place as into a new file; a
  /// warning is not.
  @Test(arguments: [
    ("config.c_info.uuid=nonsense", "config.value"),
    ("config.b_info.target_memkb=4", "config.memory"),
    ("config.b_info.max_vcpus=0", "config.paging-memory"),
    ("config.c_info.ssidref=-1", "config.value"),
    ("config.c_info.type=pv", "config.built-type"),
    ("config.b_info[\"type.pvh\"]=[]", "config.type"), ("config.on_crash=explode", ""),
    ("config.no_such_key=1", ""),
  ]) func setRefusesWhatVerifyCallsAnError(edit: String, rule: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let image = folder + "/image"
    let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"
    _ = Program.shell("cp \(pvh) \(image)")
    for destination in [["-o", folder + "/out"], ["--in-place"]] {
      let outcome = Program.run(["set", image, edit] + destination)
      #expect(outcome.exitCode == (rule.isEmpty ? 0 : 1), "\(edit): \(outcome.errors)")
      if !rule.isEmpty {
        #expect(outcome.errors.contains("[\(rule)]"), "\(outcome.errors)")
        #expect(Program.read(image) == Program.read(pvh))
        #expect(Program.names(in: folder) == ["image"])
      }
    }
    let unchecked = Program.run(["set", pvh, edit, "--unchecked", "-o", folder + "/unchecked"])
    #expect(unchecked.exitCode == 0, "\(unchecked.errors)")
    let verify = Program.run(["verify", folder + "/unchecked"])
    #expect(verify.exitCode == (rule.isEmpty ? 0 : 1), "\(verify.text)")
    #expect(verify.text.contains(rule.isEmpty ? "warning" : "[\(rule)]"), "\(verify.text)")
  }

  @Test(arguments: ["v", "x"]) func rename(file: String) {
    inFolder { folder in
      let image = "\(folder)/\(file)"
      let uuid = "11111111-2222-4333-8444-555555555555"
      for (words, name) in [
        (["lua/examples/rename.lua", image, "web1"], "web1"),
        (["run", "rename", image, "web2", "--uuid=\(uuid)"], "web2"),
      ] {
        let outcome = Program.run(words + ["-o", folder + "/out"])
        #expect(outcome.exitCode == 0, "\(outcome.errors)")
        let info = Program.run(["info", "--json", folder + "/out"]).text
        #expect(info.contains("\"name\": \"\(name)\""))
        #expect(info.contains(uuid) == (name == "web2"))
        #expect(Program.run(["verify", "-q", folder + "/out"]).exitCode == 0)
        let diff = Program.run(["diff", image, folder + "/out"]).text
        #expect(diff.contains("name: \"web\" -> \"\(name)\""), "\(diff)")
        #expect(diff.split(separator: "\n").count <= 3, "\(diff)")
      }
      // From a pipe as from a file.
      let piped = Program.shell(
        "cat \(image) | xensave-lua run rename - web3 -o - -q | xensave-lua info - | head -1")
      #expect(piped.text.contains("\"web3\""), "\(piped.errors)")
    }
  }

  @Test func retarget() {
    inFolder { folder in
      let outcome = Program.run([
        "run", "retarget", folder + "/v", "--disk=xvda:/dev/new/a", "--disk=xvdb:/new/b",
        "--bridge=br0:br7", "--mac=0:00:16:3e:00:00:09", "-o", folder + "/out",
      ])
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      let xml = Program.run(["dump", folder + "/out", "xml"]).text
      for part in [
        "<source dev='/dev/new/a'/><target dev='xvda'/>", "<source file='/new/b'/>", "bridge='br7'",
        "address='00:16:3e:00:00:09'",
      ] {
        #expect(xml.contains(part), "\(xml)")
      }
      #expect(
        Program.run(["run", "retarget", folder + "/v", "--disk=xvdb:/z", "-o", folder + "/z"])
          .exitCode == 0)
      #expect(
        Program.run(["dump", folder + "/z", "xml.devices.disk[1].source@file"]).text.contains("/z"))
      for (file, option, message) in [
        ("v", "--disk=xvdz:/a", "no disk 'xvdz'"), ("v", "--mac=3:a", "no network card 3"),
        ("x", "--disk=xvda:/a", "they are XAPI's"),
      ] {
        let refused = Program.run([
          "run", "retarget", "\(folder)/\(file)", option, "-o", folder + "/no",
        ])
        #expect(refused.exitCode == 1 && refused.errors.contains(message), "\(refused.errors)")
        #expect(!Program.names(in: folder).contains("no"))
      }
    }
  }

  /// The file of a VDI stays as long as it is where the image fits, and is whole sectors where it does
  /// not: attached as a disk it would end before the image does. What follows the image is zeros then.
  @Test func aDiskKeepsItsLength() {
    inFolder { folder in
      let name = String(repeating: "n", count: 600)
      for (room, isSame) in [("1M", true), ("0", false)] {
        for words in [
          "set disk xenops.vm_str.name=\(name)", "run rename disk \(name)",
          "-e 'return { Xenops = function(r) r.xenops.vm_str.name = \"\(name)\" end }' disk",
        ] {
          let outcome = Program.shell(
            """
            cd \(folder) && cp x disk && printf z >>disk && truncate -s %512 disk &&
              truncate -s +\(room) disk && stat -c %s disk &&
              xensave-lua \(words) --in-place -q && stat -c %s disk &&
              xensave-lua verify disk -q && xensave-lua info disk | head -1
            """)
          let lines = outcome.text.split(separator: "\n")
          let sizes = lines.prefix(2).compactMap { Int($0) }
          guard outcome.exitCode == 0, sizes.count == 2 else {
            Issue.record("\(words): \(outcome.text) \(outcome.errors)")
            continue
          }
          #expect(lines.last?.contains(name) == true)
          #expect(sizes[1] % 512 == 0 && (sizes[0] == sizes[1]) == isSame, "\(words): \(sizes)")
        }
      }
    }
  }

  /// On the disk of a VDI everything is as on the image itself.
  @Test func aDiskIsReadAsItsImage() {
    inFolder { folder in
      for more in [
        "truncate -s +4M disk", "cat x >>disk", "head -c 9999 /dev/zero | tr '\\0' z >>disk",
      ] {
        let outcome = Program.shell(
          """
          cd \(folder) && cp x disk && \(more) && xensave-lua verify disk -q && xensave-lua diff x disk &&
            xensave-lua convert x --to libxl --lossy --unchecked -q -o one &&
            xensave-lua convert disk --to libxl --lossy --unchecked -q -o two && cmp one two &&
            xensave-lua compact x -q -o one && xensave-lua compact disk -q -o two && cmp one two &&
            xensave-lua pages x | tail -n +2 >one && xensave-lua pages disk | tail -n +2 >two &&
            [ -s one ] && cmp one two &&
            cat disk | xensave-lua verify - -q
          """)
        #expect(outcome.exitCode == 0, "\(more): \(outcome.text) \(outcome.errors)")
      }
      // A suspend that did not finish: what was never written is zeros.
      let cut = Program.shell(
        "cd \(folder) && head -c -16 x >disk && truncate -s +1G disk && xensave-lua info disk")
      #expect(cut.exitCode == 1 && cut.errors.contains("got zeros"), "\(cut.errors)")
    }
  }

  /// The index beside an image is believed the second time, whatever is around the libxc stream.
  @Test(arguments: ["xenopsd", "libxl", "libxc", "draft-b"])
  func theIndexFits(format: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      """
      cd \(folder) && xensave-lua convert \(Program.fixtures)pvh-4m-1v-tiny.xlsave -o i --to \(format) \
        --unchecked -q && cp i j && sleep 0.1 && xensave-lua pages i --cache >one &&
        xensave-lua pages i --cache >two && cmp one two && ls .i.index &&
        xensave-lua set i X86_TSC_INFO.khz=5 --in-place --cache -q --unchecked &&
        xensave-lua set j X86_TSC_INFO.khz=5 --in-place -q --unchecked && cmp i j
      """)
    #expect(outcome.exitCode == 0 && outcome.text == ".i.index\n", "\(outcome.text)")
    #expect(outcome.errors == "", "\(outcome.errors)")
  }

  /// A disk in a format of its own, or in an export, is named, with what makes a raw one of it.
  @Test(arguments: [
    ("QFI\\373\\0\\0\\0\\3", "a qcow2 disk image"), ("conectix\\0\\0\\0\\2", "a VHD disk image"),
    ("<<< QEMU VM Virtual Disk Image >>>", "a VDI disk image"),
    ("ova.xml\\0\\0\\0\\0\\0", "an XVA"),
  ]) func disksThatAreNotRaw(bytes: String, name: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      "cd \(folder) && printf '\(bytes)' >disk && truncate -s 1M disk && xensave-lua info disk")
    #expect(outcome.exitCode == 1 && outcome.errors.contains(name), "\(outcome.errors)")
    #expect(outcome.errors.contains("raw") && outcome.errors.split(separator: "\n").count == 1)
  }

  /// A script that finds nothing of what it is for says so, on every container.
  @Test func scriptsThatDoNothingSaySo() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"
    for format in ["libxl", "libxc", "draft-b"] {
      let made = Program.run([
        "convert", pvh, "\(folder)/\(format)", "--to", format, "-q",
      ])
      #expect(made.exitCode == 0, "\(made.errors)")
    }
    for (format, script) in [
      ("libxl", "lua/examples/rename.lua"), ("libxc", "lua/examples/rename.lua"),
      ("libxl", "lua/xensave/filters/rename.lua"),
      ("libxc", "lua/xensave/filters/retarget.lua"),
      ("draft-b", "lua/xensave/filters/set-version.lua"),
    ] {
      let words =
        script.hasSuffix("retarget.lua")
        ? ["--disk=xvda:/a"] : script.hasSuffix("version.lua") ? ["4.17"] : ["a"]
      let outcome = Program.run(
        [script, "\(folder)/\(format)"] + words + ["-o", folder + "/out", "--unchecked"])
      #expect(outcome.exitCode == 1, "\(format) \(script): \(outcome.errors)")
      #expect(outcome.errors.contains("the image"), "\(outcome.errors)")
      #expect(!Program.names(in: folder).contains("out"))
    }
    // Of records it depends on the guest: a word, and the image as it is.
    let filter = "return { X86_PV_INFO = function() end }"
    let outcome = Program.run(["-e", filter, pvh, "-o", folder + "/same"])
    #expect(outcome.exitCode == 0 && outcome.errors.contains("X86_PV_INFO"), "\(outcome.errors)")
    #expect(Program.read(folder + "/same") == Program.read(pvh))
  }

  @Test func lua() {
    inFolder { folder in
      for (file, code, text) in [
        (
          "v", "print(img.xml.name, img.xml['@type'], img.xml.os['type@machine'])",
          "web\txen\txenfv\n"
        ),
        (
          "v", "for i, d in img.xml.devices:all 'disk' do print(i, d['target@dev']) end",
          "1\txvda\n2\txvdb\n"
        ),
        (
          "v", "for k, v in img.xml.devices.interface:each() do print(k, v) end",
          "@type\tbridge\nmac\t\nsource\t\n"
        ),
        (
          "v", "for k, v in img.xml.devices:each() do print(k, #v) end",
          "disk\t4\ndisk\t4\ninterface\t3\n"
        ),
        ("v", "print(#img.xml.devices.disk[2], img.xml.nothing, img.config)", "4\tnil\tnil\n"),
        ("v", "print(img.xml.devices:values()['disk[1].source@file'])", "/old/b\n"),
        ("v", "print(#img.libvirt_header.xml_text == img.libvirt_header.xml_len - 1)", "true\n"),
        (
          "x", "print(img.xenops.vm_str.name, img.xenops.vm_str.ty.HVM.hap, img.xml)",
          "web\ttrue\tnil\n"
        ),
        (
          "x", "local v = img:first 'Varstored'.variables; print(v.SecureBoot.data, v.count)",
          "1\t2\n"
        ),
        (
          "x", "for v in (img:first 'Varstored'):each() do print(v.path) end",
          "variables[\"SecureBoot\"]\nvariables[\"Boot0000\"]\n"
        ),
      ] {
        let outcome = Program.run(["-e", code, "\(folder)/\(file)"])
        #expect(outcome.text == text, "\(code): \(outcome.errors)")
      }
      for (file, code, path, text) in [
        ("v", "img.xml.title = 'A <b>'", "xml.title", "A <b>"),
        ("v", "img.xml.devices['disk[0]'] = nil", "xml.devices.disk.target@dev", "xvdb"),
        ("v", "img.xml['memory@unit'] = 'MiB'", "xml.memory@unit", "MiB"),
        ("v", "img.libvirt_header.xml_text = '<domain><name>n</name></domain>'", "xml.name", "n"),
        ("x", "img.xenops.vm_str.vcpu_max = 4", "xenops.vm_str.vcpu_max", "4"),
        ("x", "img.xenops.time = nil; img.xenops.time = 'now'", "xenops.time", "now"),
      ] {
        let outcome = Program.run(["-e", code, "\(folder)/\(file)", "-o", folder + "/out"])
        #expect(outcome.exitCode == 0, "\(code): \(outcome.errors)")
        let dump = Program.run(["dump", folder + "/out", path])
        #expect(dump.text == "\(path): \(text)\n", "\(code): \(dump.errors)")
      }
      for (code, message) in [
        ("img.xml.devices = 1", "has elements inside"), ("img.xml.name = {}", "expected text"),
        ("img.libvirt_header.xml_text = '\\0'", "without a NUL"),
      ] {
        let outcome = Program.run(["-e", code, folder + "/v"])
        #expect(outcome.exitCode == 1 && outcome.errors.contains(message), "\(outcome.errors)")
      }
    }
  }

  /// What a difference says can be put on again.
  @Test(arguments: ["v", "x"]) func diffAsFilter(file: String) {
    inFolder { folder in
      let image = "\(folder)/\(file)"
      let path = file == "v" ? "xml" : "xenops.vm_str"
      #expect(
        Program.run(["set", image, "\(path).name=b", "\(path).more=c", "-o", folder + "/b"])
          .exitCode == 0)
      #expect(
        Program.shell("xensave-lua diff \(image) \(folder)/b --as-filter > \(folder)/f.lua")
          .exitCode == 1)
      let outcome = Program.run([folder + "/f.lua", image, "-o", folder + "/again"])
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      #expect(Program.read(folder + "/again") == Program.read(folder + "/b"))
      let compare = Program.run(["run", "compare", image, folder + "/b"])
      #expect(compare.exitCode == 1 && compare.text.contains("name: "), "\(compare.text)")
    }
  }

  @Test func convertToXLSaysWhatIsLost() {
    inFolder { folder in
      for file in ["v", "x"] {
        let words = ["convert", "\(folder)/\(file)", folder + "/xl", "--to", "xl"]
        let refused = Program.run(words)
        #expect(refused.exitCode == 1, "\(refused.text)")
        #expect(refused.errors.contains("xl's header has no place for"), "\(refused.errors)")
        #expect(!Program.names(in: folder).contains("xl"))
      }
      let lossy = Program.run(["convert", folder + "/v", folder + "/xl", "--to", "xl", "--lossy"])
      #expect(
        lossy.exitCode == 0 && lossy.text.contains("`xl restore` has to be given one"),
        "\(lossy.errors)")
      #expect(lossy.text.contains("1 losses"))
      let compat = Program.run(["compat", folder + "/xl", "--xen", "4.17"])
      #expect(compat.text.contains("no configuration"), "\(compat.text)")
      // With one of xl's own nothing is lost that is not said.
      Program.write(
        Array(StreamBuilder.config().utf8), to: folder + "/c")
      let wrapped = Program.run([
        "wrap", folder + "/v", folder + "/w", "--in", "xl", "--config", folder + "/c",
      ])
      #expect(wrapped.exitCode == 0, "\(wrapped.errors)")
    }
  }
}
