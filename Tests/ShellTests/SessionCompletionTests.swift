// What Tab offers in a session: every name that there is.

import TestKit
import Testing

@testable import REPL

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite(.serialized) struct SessionCompletionTests {
  /// Keys on a new line, and what the line is then.
  private func check(
    _ session: Session, _ keys: String, _ typed: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    session.type(keys)
    #expect(
      session.wait { $0.text.last == "> " + typed }, "\(session.screen.text)",
      sourceLocation: sourceLocation)
    session.type("\u{3}")
    #expect(session.isReady(), sourceLocation: sourceLocation)
  }

  @Test(arguments: [pv, pvh]) func namesOfTheImage(image: String) {
    withSession(["-i", image]) { session, _ in
      // Nothing was looked at before.
      check(session, "img.config.c_info.na\t", "img.config.c_info.name")
      check(session, "img.vcpu[\t", "img.vcpu[0]")
      check(session, "img.vcpu[0].rfl\t", "img.vcpu[0].rflags")
      check(session, "img.vcpu[0]:virt\t", "img.vcpu[0]:virtual")
      check(session, "img.cpuid:has \"avx512_vn\t", "img.cpuid:has \"avx512_vnni")
      check(session, "xs.cpuid.level \"hasw\t", "xs.cpuid.level \"haswell")
    }
  }

  @Test func parametersAndElements() {
    withSession(["-i", pvh]) { session, _ in
      check(session, "img.hvm_params.STORE_P\t", "img.hvm_params.STORE_PFN")
      check(session, "img.hvm_params.VIRID\t", "img.hvm_params.VIRIDIAN")
      expect(session, "t = { {} }", [])
      check(session, "t[\t", "t[1]")
      expect(session, "msrs = img:first \"X86_MSR_POLICY\"", [])
      check(session, "msrs.msr[\"MSR_INTEL_PL\t", "msrs.msr[\"MSR_INTEL_PLATFORM_INFO")
    }
  }

  @Test func optionsAndTheirValues() {
    withSession(["-i", pvh]) { session, _ in
      check(session, "img:export(\"f\", \"elf\t", "img:export(\"f\", \"elf-core")
      check(session, "xs.synth { vcp\t", "xs.synth { vcpus")
      check(session, "img:save { in_p\t", "img:save { in_place")
      check(session, "xs.synth { vcpus = 2, lay\t", "xs.synth { vcpus = 2, layer")
      check(session, "xs.open(\"a\", { layer = \"leg\t", "xs.open(\"a\", { layer = \"legacy")
    }
  }

  /// Members of the kernel's types, of declared ones, and its variables.
  @Test func typesOfAKernel() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    Program.write(GuestCommandTests.guest.image, to: folder + "/guest")
    withSession(["-i", folder + "/guest"]) { session, _ in
      expect(session, "task = img.linux:task(10)", [])
      check(session, "task.mm.arg_s\t", "task.mm.arg_start")
      check(session, "task.struct.thread_info.fl\t", "task.struct.thread_info.flags")
      check(session, "task.struct:conta\t", "task.struct:container_of_")
      check(session, "img.linux.symbol.init_ta\t", "img.linux.symbol.init_task")
      check(
        session, "img.linux.symbol.init_task.real_p\t", "img.linux.symbol.init_task.real_parent")
      check(session, "img.linux:blockd\t", "img.linux:blockdevs")
      expect(session, "v = xs.struct(\"struct n { u8 id; }; struct n *many[4]\")(img, 0)", [])
      check(session, "v.man\t", "v.many")
      check(session, "v.many[0].i\t", "v.many[0].id")
    }
  }

  @Test func namesThatAreBeingMade() {
    withSession { session, _ in
      check(session, "local s = \"x\" s:upp\t", "local s = \"x\" s:upper")
      session.type("local s = (\"x\"):rep(2)\r")
      #expect(session.isReady())
      check(session, "s:upp\t", "s:upper")
    }
  }

  @Test func optionNamesOfTexts() {
    #expect(
      Completer.optionNames("Does it. Options: depth, width, items.") == [
        "depth", "width", "items",
      ])
    #expect(
      Completer.optionNames("With { in_place = true } or so. The option unchecked = true leaves.")
        == ["in_place", "unchecked"])
    #expect(
      Completer.optionNames("Options: guest (\"a\" or \"b\"), pages (how many, or which), name.")
        == ["guest", "pages", "name"])
    #expect(Completer.optionNames("Nothing to choose.") == [])
  }
}
