// Images that zstd has packed in frames: every command reads them as they are, none edits them in place.

import TestKit
import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"

@Suite struct PackedImageTests {
  /// Calls `body` with a folder that has `plain`, a copy of the image, and `packed`.
  private func withPacked(_ image: String, _ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let made = Program.shell(
      "cp \(image) \(folder)/plain && xensave-lua convert \(folder)/plain --zstd 3 -o \(folder)/packed -q"
    )
    #expect(made.exitCode == 0 && made.text.isEmpty, "\(made.errors)")
    try body(folder)
  }

  @Test func everyCommandReadsIt() {
    withPacked(pv) { folder in
      let (plain, packed) = (Program.read(folder + "/plain"), Program.read(folder + "/packed"))
      #expect(packed.count < plain.count / 2)
      for words in [
        "verify IMAGE --pages", "info IMAGE --json", "dump IMAGE", "compat IMAGE --xen 4.17",
        "pages IMAGE --zero", "pages IMAGE --duplicates", "run summary IMAGE", "map IMAGE --json",
        "export IMAGE --format raw -o -", "rewrite.lua IMAGE --dry-run",
        "set IMAGE config.c_info.name=x -o -",
        "-e 'print(#img.config.c_info.name, xs.verify(img.path).ok)' IMAGE",
      ] {
        Program.write(Array("return {}\n".utf8), to: folder + "/rewrite.lua")
        let outcomes = ["plain", "packed"].map { name in
          Program.shell(
            "cd \(folder) && xensave-lua \(words.replacing("IMAGE", with: name)) | sed 's/packed/plain/g'"
          )
        }
        #expect(outcomes[0].output == outcomes[1].output && !outcomes[0].output.isEmpty, "\(words)")
        #expect(
          outcomes[0].errors == outcomes[1].errors.replacing("packed", with: "plain"), "\(words)")
      }
      let differences = Program.run(["diff", folder + "/plain", folder + "/packed"])
      #expect(differences.exitCode == 0 && differences.text.isEmpty)
      #expect(Program.read(folder + "/packed") == packed)
    }
  }

  @Test func nothingIsEditedInPlace() {
    withPacked(pv) { folder in
      let packed = Program.read(folder + "/packed")
      for words in ["set packed config.c_info.name=x --in-place", "run rename packed x --in-place"]
      {
        let outcome = Program.shell("cd \(folder) && xensave-lua \(words)")
        #expect(outcome.exitCode == 2, "\(words): \(outcome.errors)")
        #expect(
          outcome.errors.contains("an edit in place needs a file that is not compressed"),
          "\(outcome.errors)")
      }
      #expect(Program.read(folder + "/packed") == packed)
      #expect(Program.run(["recover", folder + "/packed"]).exitCode == 2)
      let cached = Program.run(["pages", folder + "/packed", "--zero", "--cache"])
      #expect(cached.exitCode == 0 && cached.errors.contains("is not kept"), "\(cached.errors)")
    }
  }

  /// A conversion and packing in one step; what is not good is not written.
  @Test func conversionsArePacked() {
    withPacked(pv) { folder in
      let one = Program.shell(
        "cd \(folder) && xensave-lua convert plain --to v2 --lossy --zstd 1 -o two.zst -q && "
          + "xensave-lua convert packed --to v2 --lossy -o two -q && xensave-lua diff two two.zst && "
          + "xensave-lua convert plain --zstd 19 -o - | cat >three.zst && xensave-lua diff plain three.zst"
      )
      #expect(one.exitCode == 0 && one.text.isEmpty, "\(one.text)\(one.errors)")
      let bad = Program.shell(
        "cd \(folder) && head -c 100000 plain >cut && xensave-lua convert cut --zstd 3 -o four.zst")
      #expect(bad.exitCode == 1 && bad.errors.contains("not written"), "\(bad.errors)")
      #expect(Program.shell("ls \(folder)").text == "cut\npacked\nplain\nthree.zst\ntwo\ntwo.zst\n")
      for level in ["0", "20", "-3"] {
        let outcome = Program.run(["convert", pv, "--zstd=\(level)", "-o", folder + "/x"])
        #expect(outcome.exitCode == 2 && outcome.errors.contains("expected a level of 1 to 19"))
      }
    }
  }

  /// A frame that is damaged is an error of whoever reads it, and no other frame's.
  @Test func damageIsSaid() {
    withPacked(pv) { folder in
      var bytes = Program.read(folder + "/packed")
      bytes[bytes.count / 2] ^= 0x40
      Program.write(bytes, to: folder + "/damaged")
      let pages = Program.run(["pages", folder + "/damaged", "--zero"])
      #expect(pages.exitCode != 0, "\(pages.text)")
      #expect((pages.text + pages.errors).contains("zstd frame"), "\(pages.text)\(pages.errors)")
      #expect(Program.run(["info", folder + "/damaged"]).exitCode == 0)
    }
  }
}
