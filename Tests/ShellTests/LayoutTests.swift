// What compaction and the aligned layout make, read by programs that share nothing with ours.

import Testing

@Suite struct LayoutTests {
  static let verifyStream: String? = {
    let found = Program.shell("scripts/fetch-verify-stream")
    let path = found.text.split(separator: "\n").first.map(String.init)
    return found.exitCode == 0 ? path : nil
  }()

  /// Images of scripts/make-image, live rounds too: the same memory, aligned, its zeros holes.
  @Test(
    arguments: ["--guest hvm", "--guest pv", "--guest hvm --live-rounds 3"],
    ["compact in out --aligned", "convert in out --layout aligned"])
  func alignedImages(options: String, command: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      """
      set -e
      scripts/make-image \(options) --memory 32MiB --zero 0.3 \(folder)/in
      last=$PWD/scripts/last-pages; cd \(folder)
      xensave-lua \(command) -q
      xensave-lua verify --strict -q out
      $last in >a; $last out >b; cmp a b
      # Contents that do not begin at a multiple of 4096: those of at most one record of 509 entries.
      echo unaligned $(($($last --offsets out | grep -c ' 0x[0-9a-f]*$' || true) - \
      $($last --offsets out | grep -c ' 0x[0-9a-f]*000$')))
      zeros=$(grep -c $(head -c 4096 /dev/zero | b2sum -l 96 | cut -d' ' -f1) b)
      echo zeros $zeros pages $(wc -l <b)
      echo size $(stat -c %s out) disk $(($(stat -c %b out) * 512))
      """)
    #expect(outcome.exitCode == 0, "\(outcome.text) \(outcome.errors)")
    let words = outcome.text.split { " \n".contains($0) }.map(String.init)
    func number(_ name: String) -> Int {
      words.firstIndex(of: name).flatMap { Int(words[$0 + 1]) } ?? -1
    }
    #expect(number("zeros") > number("pages") / 5)
    #expect((0..<510).contains(number("unaligned")), "\(outcome.text)")
    // 1 % for headers, and the zeros among those that are not aligned.
    let most = number("size") - 4096 * (number("zeros") - number("unaligned"))
    #expect(number("disk") <= most + number("size") / 100 + 65536, "\(outcome.text)")
  }

  @Test(.enabled(if: verifyStream != nil, "Xen's verify-stream-v2 cannot be had"))
  func xenTakesTheAlignedLayout() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    for name in ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"] {
      let outcome = Program.shell(
        """
        xensave-lua compact \(Program.fixtures)\(name) \(folder)/out --aligned -q
        \(LayoutTests.verifyStream ?? "false") -f xl -q -i \(folder)/out
        """)
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
    }
  }

  @Test func layoutsThatAreNotThere() {
    let image = Program.fixtures + "pv-4m-1v-tiny.xlsave"
    for words in [["--layout", "dense"], ["--layout", "aligned", "--to", "v2"]] {
      let outcome = Program.run(["convert", image, "/nonexistent/out"] + words)
      #expect(outcome.exitCode == 2, "\(outcome.errors)")
    }
  }

  /// pfns up to 2^52 - 1: one line that names it, and nothing is written, within little memory.
  @Test(arguments: [
    "pages bad", "pages bad --cache", "compact bad out", "export bad out --format raw",
    "export bad out --format elf-core", "delta bad good out", "delta good bad out",
  ])
  func theGreatestPFN(command: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      """
      (cd scripts && python3 -B -c '
      import sys, xenwire as wire
      from hostile.base import hvm, libxl, xl
      good = hvm()
      bad = good.record("PAGE_DATA", wire.page_data(wire.page_entries([1, (1 << 52) - 1]), bytes(8192)))
      for name, inner in ("good", good), ("bad", bad):
          open(sys.argv[1] + "/" + name, "wb").write(bytes(xl(libxl(inner))))
      ' \(folder)) || exit 9
      cd \(folder); sleep 0.1; \(Program.memoryLimit(400_000))
      xensave-lua \(command)
      code=$?
      rm good bad; ls -A; exit $code
      """)
    #expect(outcome.exitCode == 1, "\(outcome.errors)")
    #expect(outcome.errors.contains("got 0xfffffffffffff\n"), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    #expect(outcome.text == "")
  }
}
