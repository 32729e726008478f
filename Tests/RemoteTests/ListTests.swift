// Prefixes and patterns of an object store, for each and in scripts.

import Testing

@testable import Remote
@testable import SystemIO

@Suite(.enabled(if: FakeStore.isPossible, "libcurl is not installed")) struct ListTests {
  private let keys = [
    "a/one.save", "a/two &<.save", "a/b/three.save", "a/four.txt", "a/", "other/five.save",
    "a/six+%.save",
  ]

  private func list(
    _ script: String, _ options: [String] = [], _ body: (StoreRun) throws -> Void
  ) throws {
    try FakeStore.inFolder { folder in
      let run = try FakeStore.run(
        folder, keys.flatMap { ["--put", "\($0)=\(FakeStore.image)"] } + options, script)
      try body(run)
    }
  }

  private func images(_ run: StoreRun) -> [String] {
    run.output.split(separator: "\n").compactMap { line in
      line.firstMatch(of: #/"image":"([^"]*)"/#).map { String($0.output.1) }
    }.sorted()
  }

  @Test func eachTakesAPrefix() throws {
    for options in [[], ["--fault", "LIST,1,all,plain"]] {
      try list("xensave-lua each -j 2 verify -q -- s3://images/a/", options) { run in
        #expect(run.exitCode == 0, "\(run.errors)")
        #expect(
          images(run) == [
            "s3://images/a/b/three.save", "s3://images/a/four.txt", "s3://images/a/one.save",
            "s3://images/a/six+%.save", "s3://images/a/two &<.save",
          ])
        #expect(run.count("LIST") == 3 && run.requests.allSatisfy(\.isSigned))
      }
    }
  }

  @Test func eachTakesAPattern() throws {
    try list("xensave-lua each verify -q -- 's3://images/a/*.save' s3://images/other/") { run in
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(
        images(run) == [
          "s3://images/a/one.save", "s3://images/a/six+%.save", "s3://images/a/two &<.save",
          "s3://images/other/five.save",
        ])
    }
    try list("echo 's3://images/*/three.save' | xensave-lua each --from - verify -q; echo $?") {
      run in
      #expect(run.errors.contains("the store has no such objects") && run.output == "2\n")
    }
  }

  @Test func scriptsTakeThem() throws {
    try list(
      """
      xensave-lua -e 'print(#xs.glob "s3://images/a/*.save", #xs.glob "s3://images", #xs.glob "s3://images/no/")
        print(xs.glob "s3://other/")'
      xensave-lua run shared-pages s3://images/a/one.save s3://images/a/ --json | grep '"images"'
      xensave-lua verify s3://images/a/
      """
    ) { run in
      #expect(run.output.hasPrefix("3\t6\t0\nnil\t"), "\(run.output)")
      #expect(run.output.contains("\"images\":5") || run.output.contains("\"images\": 5"))
      #expect(
        run.errors.contains("how the names of many images begin (xensave-lua each"), "\(run.errors)"
      )
    }
  }

  @Test(arguments: [
    ("LIST,1,1,500", 0, ""), ("LIST,2,1,503", 0, ""),
    ("LIST,1,1,words", 3, "not answer with a list"),
    ("LIST,1,all,endless", 3, "has no end"), ("LIST,1,all,expired", 3, "ExpiredToken"),
    ("LIST,2,1,cut-early", 0, ""),
  ]) func faults(fault: String, exitCode: Int32, words: String) throws {
    try list("xensave-lua each verify -q -- s3://images/a/", ["--fault", fault]) { run in
      #expect(run.exitCode == exitCode, "\(run.errors)")
      #expect(words.isEmpty || run.hasOneError && run.errors.contains(words), "\(run.errors)")
    }
  }

  @Test func patterns() {
    for (pattern, isOne) in [
      ("s3://b/k", false), ("s3://b/k/", true), ("s3://b", true), ("s3://b/*.save", true),
      ("/a/*", false), ("https://h/*", false), ("s3://b/[x]?", false),
    ] { #expect(RemoteFiles.isPattern(pattern) == isOne, "\(pattern)") }
    for (word, pattern, fits) in [
      ("one.save", "*.save", true), ("one.save", "one.*", true), ("one.save", "o*n*.s*e", true),
      ("one.save", "two*", false), ("ab", "ab*b", false), ("abb", "ab*b", true), ("", "*", true),
      ("a", "a", true), ("a", "b", false), ("aXbXc", "a*X*X*c", true), ("aXc", "a*X*X*c", false),
    ] { #expect(RemoteFiles.fits(word[...], pattern[...]) == fits, "\(word) \(pattern)") }
    #expect(
      RemoteURL.Prefix("s3://b")?.prefix == "" && RemoteURL.Prefix("s3://b/a/")?.prefix == "a/")
    #expect(RemoteURL.Prefix("https://b/a/") == nil && RemoteURL.Prefix("s3://") == nil)
    #expect(RemoteURL.unescaped("a%2Fb+c%zz%4") == "a/b c%zz%4")
  }
}
