// Filters on pages with pipes for files: what cannot be looked up is found out later.

import Testing

@Suite struct PagePipeTests {
  let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
  let folder = Program.temporaryFolder()

  private func pipe(_ edit: String) -> Outcome {
    let script = "return { PAGE_DATA = function(b) \(edit) end }"
    return Program.shell(
      "cat \(pv) | xensave-lua -e '\(script)' - -o \(folder)/out")
  }

  /// The start info page (0x59 here, by edx of vCPU 0) is named after the pages.
  @Test func startInfoIsRefusedLate() {
    for edit in [
      "b:fill(xs.pages.pfn(0x59), 0)", "b:drop(xs.pages.pfn(0x59))",
      "for _, v in b:each(xs.pages.pfn(0x59)) do v:u8(0, 1) end",
    ] {
      let outcome = pipe(edit)
      #expect(outcome.exitCode == 1, "\(edit): \(outcome.errors)")
      #expect(
        outcome.errors.contains(
          "(X86_PV_VCPU_BASIC): it needs page 0x59, which was edited: it is the start info page"),
        "\(outcome.errors)")
      #expect(Program.names(in: folder).isEmpty)
    }
    Program.remove(folder)
  }

  /// Pages that are only looked at, or lie beside it, do not matter.
  @Test func otherPagesMayChange() {
    let outcome = pipe(
      "for pfn, v in b:each(xs.pages.type \"NOTAB\") do if pfn == 0x10 then v:u8(0, 1) end end")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    let bytes = Program.read(pv)
    let changed = Program.read(folder + "/out")
    #expect(bytes.count == changed.count)
    #expect(zip(bytes, changed).filter { $0 != $1 }.count == 1)
    Program.remove(folder)
  }

  /// The same edit of a file and of a pipe gives the same image.
  @Test func pipesAndFilesGiveTheSame() {
    let edit = """
      b:fill("contains \\"linux\\" and type = NOTAB", 0x2a)
      b:drop(xs.pages.pfn(0x3f0, 0x3ff) & xs.pages.zero)
      """
    let script = "return { PAGE_DATA = function(b) \(edit) end }"
    #expect(pipe(edit).exitCode == 0)
    let outcome = Program.shell("xensave-lua -e '\(script)' \(pv) -o \(folder)/file")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(Program.read(folder + "/out") == Program.read(folder + "/file"))
    Program.remove(folder)
  }
}
