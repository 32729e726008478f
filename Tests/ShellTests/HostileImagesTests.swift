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
    // A shell for each of two parts: verify, verify --strict of what is no error, and a
    // rewrite that must leave no file.
    let script = """
      cd \(folder)/images
      part() {
        local row=0 name rest text plain strict rewrite left
        mkdir ../$1
        while IFS=$'\\t' read -r name rest; do
          [ "$name" != name ] && [ $((row++ % 2)) = "$1" ] || continue
          text=$(xensave-lua verify "$name" 2>&1); plain=$?
          strict=$plain
          [ $plain != 0 ] || { xensave-lua verify --strict -q "$name" >/dev/null 2>&1; strict=$?; }
          xensave-lua -e 'return function() end' "$name" -o ../$1/out -q >/dev/null 2>&1; rewrite=$?
          left=none
          if [ -e ../$1/out ]; then cmp -s ../$1/out "$name" && left=same || left=other; fi
          rm -f ../$1/out
          [ -z "$(ls -A ../$1)" ] || left=litter
          printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' \
            "$name" $plain $strict $rewrite $left "${text//$'\\n'/ }"
        done <expected.tsv >../$1.tsv
      }
      part 0 & part 1 & wait
      cat ../0.tsv ../1.tsv
      """
    Program.write(Array(script.utf8), to: folder + "/images/run.sh")
    let outcome = Program.shell("bash \(folder)/images/run.sh")
    let lines = outcome.text.split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    #expect(lines.count == rows.count)
    let found = Dictionary(lines.map { ($0[0], $0) }, uniquingKeysWith: { first, _ in first })
    for row in rows {
      let columns = try #require(found[row.name], "nothing was said of it")
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
