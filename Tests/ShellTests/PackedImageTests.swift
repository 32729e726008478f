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

/// Files that gzip, xz and zstd have packed as they do: nobody put a seek table into them.
@Suite final class ForeignPackedTests {
  private let folder = Program.temporaryFolder(linking: samples)
  private let names = ["a.gz", "a.xz", "a.zst"]

  /// `plain`, a copy of the image, and the same packed: made once, linked into each test's folder.
  private static let samples = Program.samples(
    """
    cp \(pv) plain && xensave-lua convert plain --zstd 1 -o seek -q && python3 -c '
    import gzip, lzma, struct
    plain = open("plain", "rb").read()
    # In two parts each, as cat makes one file of two.
    half = len(plain) // 2
    def both(pack): return pack(plain[:half]) + pack(plain[half:])
    open("a.gz", "wb").write(both(lambda x: gzip.compress(x, 1)))
    open("a.xz", "wb").write(both(lambda x: lzma.compress(x, preset=0)))
    seek = open("seek", "rb").read()
    count = struct.unpack("<I", seek[-9:-5])[0]
    open("a.zst", "wb").write(seek[:-17 - 12 * count])
    '
    """)

  deinit { Program.remove(folder) }

  /// The outcome of a command on an image of the folder, and of the same with its name as that of the plain
  /// one.
  private func run(_ words: String, _ name: String) -> (outcome: Outcome, text: String) {
    let outcome = Program.shell(
      "cd \(folder) && xensave-lua \(words.replacing("IMAGE", with: name))")
    return (outcome, outcome.text.replacing(name, with: "plain"))
  }

  @Test func whateverReadsStreamsReadsThem() {
    Program.write(Array("return {}\n".utf8), to: folder + "/same.lua")
    for words in [
      "verify IMAGE", "info IMAGE --json", "dump IMAGE", "compat IMAGE --xen 4.17",
      "same.lua IMAGE --dry-run", "convert IMAGE --to libxl -o - -q", "wrap IMAGE -o - -q",
      "run rename IMAGE other -o - -q", "run strip IMAGE 0x13 -o - -q",
      "-e 'for r in img:records() do print(r.type, r.length) end' IMAGE",
      "-e 'print(xs.verify(\"IMAGE\").ok)'",
    ] {
      let plain = run(words, "plain")
      #expect(
        plain.outcome.exitCode == 0 && !plain.text.isEmpty, "\(words): \(plain.outcome.errors)")
      for name in names {
        let packed = run(words, name)
        #expect(packed.outcome.exitCode == 0, "\(words), \(name): \(packed.outcome.errors)")
        #expect(
          words.contains("-o -")
            ? packed.outcome.output == plain.outcome.output : packed.text == plain.text,
          "\(words), \(name)")
      }
    }
    for name in names {
      let piped = Program.shell(
        "cd \(folder) && cat \(name) | xensave-lua verify - && xensave-lua same.lua \(name) -o - -q | "
          + "cmp - plain && xensave-lua convert \(name) --zstd 2 -o anywhere -q && "
          + "xensave-lua diff plain anywhere")
      #expect(piped.exitCode == 0, "\(name): \(piped.errors)")
    }
  }

  @Test(arguments: [
    "dump IMAGE config.c_info.name", "diff plain IMAGE", "set IMAGE config.c_info.name=x -o out",
    "pages IMAGE --zero", "map IMAGE", "guest IMAGE ps", "compact IMAGE -o out",
    "export IMAGE --format raw -o out", "run summary IMAGE", "run registers IMAGE",
    "-e 'print(img.config.c_info.name)' IMAGE",
  ]) func whatNeedsAFileSaysHowToMakeOne(words: String) {
    for name in names {
      let (outcome, _) = run(words, name)
      #expect([1, 2].contains(outcome.exitCode) && outcome.output.isEmpty, "\(words), \(name)")
      #expect(
        outcome.errors.split(separator: "\n").count == 1
          && outcome.errors.contains("xensave-lua convert \(name) --zstd 3 -o NEW"),
        "\(words): \(outcome.errors)")
    }
    #expect(!Program.exists(folder + "/out"))
  }

  @Test func noneIsEditedInPlace() {
    for name in names {
      let (outcome, _) = run("set IMAGE config.c_info.name=x --in-place", name)
      #expect(
        outcome.exitCode == 2 && outcome.errors.contains("a file that is not compressed"),
        "\(outcome.errors)")
    }
  }

  /// What is cut, damaged, or followed by something else is one line, and memory has a bound.
  @Test func hostileFilesAreRefused() {
    for (name, packing) in zip(names, ["gzip", "xz", "zstd"]) {
      let whole = Program.read(folder + "/" + name)
      for (bytes, words) in [
        (Array(whole.prefix(whole.count / 2 + 1000)), ["it is cut"]),
        (Array(whole.prefix(whole.count / 8)), ["it is cut"]),
        (
          whole + [UInt8](repeating: 0x6D, count: 100),
          ["something else after its end", "nknown frame"]
        ),
      ] {
        Program.write(bytes, to: folder + "/bad")
        let outcome = Program.shell(
          Program.memoryLimit(1_500_000) + "xensave-lua verify \(folder)/bad")
        #expect(outcome.exitCode == 3 && outcome.output.isEmpty, "\(name): \(outcome.text)")
        #expect(
          outcome.errors.split(separator: "\n").count == 1
            && outcome.errors.contains("\(packing) data before byte")
            && words.contains { outcome.errors.contains($0) }, "\(name): \(outcome.errors)")
      }
      // Checksums stand at the end of gzip's data, and need not be in zstd's.
      var flipped = whole
      flipped[whole.count / 3] ^= 0x55
      Program.write(flipped, to: folder + "/bad")
      let outcome = Program.run([
        "convert", folder + "/bad", "--to", "libxl", "-o", folder + "/out",
      ])
      #expect(outcome.signal == 0 && (packing == "zstd" || [1, 3].contains(outcome.exitCode)))
      #expect(packing == "zstd" || !Program.exists(folder + "/out"))
      Program.remove(folder + "/out")
      Program.write(Array(whole.prefix(5)), to: folder + "/bad")
      #expect(Program.run(["verify", folder + "/bad"]).exitCode != 0)
    }
  }

  /// A GiB of zeros after an image's start: nobody keeps it.
  @Test func bombsTakeNoMemory() {
    let made = Program.shell(
      """
      cd \(folder) && python3 -c '
      import gzip, lzma
      head = open("plain", "rb").read(4096)
      with gzip.open("bomb.gz", "wb", 9) as f, lzma.open("bomb.xz", "wb", preset=0) as g:
        for out in f, g:
          out.write(head)
          for _ in range(256): out.write(bytes(1 << 20))
      '
      """)
    #expect(made.exitCode == 0, "\(made.errors)")
    for name in ["bomb.gz", "bomb.xz"] {
      let outcome = Program.shell(
        "cd \(folder); " + Program.memoryLimit(1_500_000)
          + "xensave-lua verify \(name); xensave-lua convert \(name) --to libxl -o out")
      #expect(outcome.signal == 0 && [1, 3].contains(outcome.exitCode), "\(outcome.errors)")
      #expect(!Program.exists(folder + "/out"))
    }
  }
}
