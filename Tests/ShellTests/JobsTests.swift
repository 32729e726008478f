// Passes over pages on several threads: the same results in the same order, whatever their number.

import Testing

@Suite struct JobsTests {
  static let hasStrace = Program.shell("command -v strace taskset").exitCode == 0

  /// A folder with an image of 40 MiB, and another one in which some of its pages differ.
  private func withImages(_ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let made = Program.shell(
      """
      scripts/make-image --guest hvm --layer xl --memory 40MiB --zero 0.3 --duplicate 0.2 \
        '\(folder)/image' && cd '\(folder)' &&
      xensave-lua -e 'return { PAGE_DATA = function(r) r:fill("sample(1/64) and has_data", 7) end }' \
        image -o other -q --unchecked
      """)
    #expect(made.exitCode == 0, "\(made.errors)")
    try body(folder)
  }

  @Test func anyNumberOfThreadsFindsTheSame() {
    withImages { folder in
      let commands = [
        "pages image --zero --json", "pages image --duplicates --json",
        "pages image --where 'hash = 0 or u64[3] & 7 = 5 and not zero' --json",
        "pages image --where 'contains \"ab\"'", "diff image other --json", "diff other image",
        "diff image image", "-e 'print(#img:select(\"zero\"), #img:select(\"u64[0] = 0\"))' image",
      ]
      for command in commands {
        var texts: Set<String> = []
        for jobs in command.hasPrefix("-e")
          ? [""] : ["", "--jobs 1", "--jobs 2", "--jobs 3", "--jobs 17"]
        {
          let outcome = Program.shell("cd '\(folder)'; xensave-lua \(command) \(jobs)")
          #expect(outcome.exitCode == 0 || command.hasPrefix("diff"), "\(outcome.errors)")
          #expect(!outcome.text.isEmpty || command == "diff image image", "\(command)")
          texts.insert(outcome.text)
        }
        #expect(texts.count == 1, "\(command): \(texts.map { $0.prefix(300) })")
      }
      // What is left out of a selector is what another one finds.
      let counts = Program.shell(
        "cd '\(folder)'; for w in 'zero' 'has_data and not zero' has_data; do "
          + "xensave-lua pages image --where \"$w\" --json --jobs 3 | grep -m1 -A1 where | tail -1 | "
          + "tr -dc 0-9; echo; done")
      let numbers = counts.text.split(separator: "\n").compactMap { Int($0) }
      #expect(numbers.count == 3 && numbers[0] + numbers[1] == numbers[2], "\(counts.text)")
    }
  }

  /// As many threads as the process may use cores; none where there is one, but that which reads ahead.
  @Test(.enabled(if: hasStrace, "strace counts the threads"))
  func threadsAreAsManyAsCores() {
    withImages { folder in
      func threads(_ before: String, _ words: String) -> Int? {
        let outcome = Program.shell(
          "cd '\(folder)'; \(before) strace -f -qq -o trace -e trace=clone,clone3 "
            + "xensave-lua pages image --zero \(words) >/dev/null && grep -c 'CLONE_THREAD' trace")
        return Int(outcome.text.split(separator: "\n").first ?? "")
      }
      let cores = Program.shell("nproc").text.split(separator: "\n").first.flatMap { Int($0) } ?? 1
      #expect(threads("taskset -c $(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')", "") == 1)
      #expect(threads("", "--jobs 5") == 5)
      if let found = threads("", ""), cores > 1 { #expect(found >= 1 && found <= cores) }
      #expect(threads("", "--jobs 1") == 1)
    }
  }

  @Test func wrongNumbers() {
    for jobs in ["0", "-1", "257", "x"] {
      let outcome = Program.shell(
        "xensave-lua pages Tests/Fixtures/pv-4m-1v-tiny.xlsave --zero --jobs=\(jobs)")
      #expect(outcome.exitCode == 2, "\(jobs): \(outcome.errors)")
      #expect(outcome.errors.contains("jobs"), "\(outcome.errors)")
    }
  }

  /// What fails on one thread is one line, and none of them continues.
  @Test(.enabled(if: hasStrace, "strace injects the fault"))
  func anErrorOnAThreadIsOneLine() {
    withImages { folder in
      for command in ["pages image --zero", "pages image --where 'hash = 0'", "diff image other"] {
        let outcome = Program.shell(
          """
          cd '\(folder)'; strace -f -qq -o trace -e trace=pread64 -e inject=pread64:error=EIO:when=60+ \
            timeout 60 xensave-lua \(command) --jobs 3 >/dev/null
          """)
        #expect(outcome.exitCode == 3, "\(command): \(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(command): \(outcome.errors)")
      }
    }
  }
}
