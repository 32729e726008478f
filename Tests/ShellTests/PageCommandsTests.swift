// The commands that look at pages and make files of them.

import Testing

@Suite struct PageCommandsTests {
  let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
  let folder = Program.temporaryFolder()

  @Test func pages() {
    let listed = Program.run(["pages", pv, "--where", "has_data and not zero and pfn in 0..0x1f"])
    #expect(listed.exitCode == 0)
    #expect(listed.text.contains("selected: 15 pages\n0x10\n0x12..0x1f\n"))
    let json = Program.run([
      "pages", pv, "--zero", "--duplicates", "--find", "no such text", "--json",
    ])
    #expect(json.exitCode == 0)
    #expect(json.text.contains("\"zero\": 546"))
    #expect(json.text.contains("\"find_utf16\""))
    let wrong = Program.run(["pages", pv, "--where", "zero an pfn = 1"])
    #expect(wrong.exitCode == 2)
    #expect(wrong.errors.contains("column 6"))
    #expect(Program.run(["pages", "-"], input: Program.read(pv)).exitCode == 0)
    #expect(Program.shell("cat '\(pv)' | xensave-lua pages -").exitCode == 2)
    #expect(Program.run(["pages", "/nonexistent"]).exitCode == 3)
    Program.remove(folder)
  }

  @Test func compactDeltaApply() {
    let (small, delta, back) = (folder + "/small", folder + "/delta", folder + "/back")
    #expect(Program.run(["compact", pv, small, "--aligned"]).exitCode == 0)
    #expect(Program.run(["verify", small]).exitCode == 0)
    #expect(Program.run(["delta", pv, small, delta]).text.contains("changed pages 0"))
    #expect(Program.run(["apply", pv, delta, back]).exitCode == 0)
    #expect(Program.read(back) == Program.read(small))
    // The wrong base: one line, and no file.
    let wrong = Program.run(["apply", small, delta, folder + "/none"])
    #expect(wrong.exitCode == 1)
    #expect(wrong.errors.split(separator: "\n").count == 1)
    #expect(Program.names(in: folder).sorted() == ["back", "delta", "small"])
    #expect(Program.run(["compact", small, small]).exitCode == 2)
    Program.remove(folder)
  }

  @Test func theCacheIsKeptOnlyWhenAsked() {
    let image = folder + "/image"
    let words = ["pages", image, "--where", "not zero"]
    Program.write(Program.read(pv), to: image)
    let plain = Program.run(words)
    #expect(Program.names(in: folder) == ["image"])
    _ = Program.shell("sleep 0.1")
    for _ in 0..<2 {
      let cached = Program.run(words + ["--cache"])
      #expect(cached.output == plain.output)
      #expect(cached.errors == "")
      #expect(Program.names(in: folder).sorted() == [".image.index", "image"])
    }
    Program.write([1, 2, 3], to: folder + "/.image.index")
    let damaged = Program.run(words + ["--cache"])
    #expect(damaged.exitCode == 0)
    #expect(damaged.output == plain.output)
    #expect(damaged.errors.hasPrefix("xensave-lua: note: \(folder)/.image.index: ignored: "))
    #expect(damaged.errors.split(separator: "\n").count == 1)
    Program.remove(folder)
  }

  @Test func export() {
    let raw = folder + "/raw"
    #expect(Program.run(["export", pv, raw, "--format", "raw"]).exitCode == 0)
    #expect(Program.read(raw).count == 4 << 20)
    #expect(Program.run(["export", pv, "-", "--format", "raw"]).output == Program.read(raw))
    let wrong = Program.run(["export", pv, raw, "--format", "lima"])
    #expect(wrong.exitCode == 2)
    #expect(wrong.errors.contains("did you mean 'lime'?"))
    Program.remove(folder)
  }
}
