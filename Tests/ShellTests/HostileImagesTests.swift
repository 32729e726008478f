// The corpus of malformed and suspicious images, built by a script that shares nothing with us.

import Testing

@Suite struct HostileImagesTests {
  /// One image of the corpus and what the program made of it.
  struct Row {
    let name: String
    let verdict: String
    let message: String
  }

  static let hasPython = Program.shell("command -v python3").exitCode == 0

  @Test(.enabled(if: hasPython, "the corpus is built by a Python script"))
  func everyImageIsJudgedAndNothingIsLeft() throws {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let built = Program.shell("scripts/hostile-images --verifier none \(folder)/images")
    try #require(built.exitCode == 0, "\(built.errors)")
    let rows = String(
      decoding: Program.read(folder + "/images/expected.tsv"), as: UTF8.self
    ).split(separator: "\n").dropFirst().map { line in
      let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
      return Row(
        name: String(columns[0]), verdict: String(columns[1]), message: String(columns[2]))
    }
    #expect(rows.count > 800)
    // One shell for all: verify, verify --strict, and a rewrite that must leave nothing behind.
    let script = """
      cd \(folder)/images
      while IFS=$'\\t' read -r name rest; do
        [ "$name" = name ] && continue
        text=$(xensave-lua verify "$name" 2>&1 | tr '\\n' ' '); plain=${PIPESTATUS[0]}
        xensave-lua verify "$name" >/dev/null 2>&1; plain=$?
        xensave-lua verify --strict -q "$name" >/dev/null 2>&1; strict=$?
        xensave-lua -e 'return function() end' "$name" -o ../out -q >/dev/null 2>&1; rewrite=$?
        left=none
        if [ -e ../out ]; then cmp -s ../out "$name" && left=same || left=other; fi
        rm -f ../out
        [ -z "$(ls -A .. | grep -v images)" ] || left=litter
        printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$name" $plain $strict $rewrite $left "$text"
      done <expected.tsv
      """
    Program.write(Array(script.utf8), to: folder + "/run.sh")
    let outcome = Program.shell(
      "mv \(folder)/run.sh \(folder)/images/ && bash \(folder)/images/run.sh")
    let lines = outcome.text.split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    #expect(lines.count == rows.count)
    for (row, columns) in zip(rows, lines) {
      let (plain, strict, rewrite, left) = (columns[1], columns[2], columns[3], columns[4])
      let got =
        strict == "0" ? "good" : plain == "0" ? "warn" : plain == "1" ? "bad" : "exit \(plain)"
      #expect(got == row.verdict, "\(row.name): \(columns[5])")
      #expect(columns[5].contains(row.message), "\(row.name): \(columns[5])")
      // A bad image is refused with 1 and leaves no output; a good one comes out as it was, without what
      // followed its end.
      let whole = row.message == "after END" ? "other" : "same"
      #expect(rewrite == (got == "bad" ? "1" : "0"), "\(row.name): rewrite gave \(rewrite)")
      #expect(left == (got == "bad" ? "none" : whole), "\(row.name): \(left)")
    }
  }
}
