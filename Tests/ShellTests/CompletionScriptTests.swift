// Completion in shells: the scripts name what there is, and the shells themselves complete with them.

import Testing

@Suite struct CompletionScriptTests {
  @Test(arguments: ["bash", "zsh", "fish"])
  func completionsNameCommandsAndOptions(shell: String) {
    let text = Program.documents([shell]).text
    for word in ["verify", "dump", "dry-run", "in-place", "lua"] {
      #expect(text.contains(word), "\(shell): \(word)")
    }
    guard shell == "bash" else { return }
    // Bash is asked as it asks at a Tab.
    let ask = """
      source <(DocGenerator bash)
      ask() {
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMPREPLY=()
        COMP_POINT=${#COMP_LINE}
        _xensave-lua xensave-lua "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}"
      }
      ask xensave-lua ver
      ask xensave-lua --dr
      ask xensave-lua lua/examples/rena
      ask xensave-lua lua/examples/rename.lua Tests/Fixtures/pv-
      ask xensave-lua verify Tests/Fixtures/pv-
      ask xensave-lua run set
      """
    let outcome = Program.shell("bash -s", input: Array(ask.utf8))
    #expect(
      outcome.text == """
        verify
        --dry-run
        lua/examples/rename.lua
        Tests/Fixtures/pv-4m-1v-tiny.xlsave
        Tests/Fixtures/pv-4m-1v-tiny.xlsave
        set-version

        """, "\(outcome.text)\(outcome.errors)")
  }

  private static let isFishThere = Program.shell("command -v fish").exitCode == 0
  private static let isZshThere = Program.shell("command -v zsh").exitCode == 0

  /// Words with a unique completion, and what the last one becomes.
  private static let questions = [
    ("veri", "verify"), ("--dr", "--dry-run"), ("verify --js", "--json"),
    ("verify Tests/Fixtures/pv- --str", "--strict"), ("policy te", "test"),
    ("policy test --tra", "--trace"), ("policy test give", "give-up"), ("dump PV --al", "--all"),
    ("convert Tests/Fixtures/pv-", "Tests/Fixtures/pv-4m-1v-tiny.xlsave"),
    ("convert PV OUT --lay", "--layout"), ("wrap PV OUT --in libv", "libvirt"),
    ("--color alw", "always"), ("run set", "set-version"), ("store pu", "put"),
    ("lua/examples/rena", "lua/examples/rename.lua"),
    ("lua/examples/rename.lua Tests/Fixtures/pvh", "Tests/Fixtures/pvh-4m-1v-tiny.xlsave"),
  ]

  @Test(.enabled(if: isFishThere, "fish is not installed"))
  func fishCompletes() {
    for (words, answer) in Self.questions {
      let outcome = Program.shell(
        "fish --no-config -c 'DocGenerator fish | source; "
          + "complete -C \"xensave-lua \(words)\"'")
      let found = outcome.text.split(separator: "\n").map { $0.prefix { $0 != "\t" } }
      #expect(found == [answer[...]], "\(words): \(outcome.text)\(outcome.errors)")
      #expect(outcome.errors.isEmpty, "\(words): \(outcome.errors)")
    }
  }

  /// A zsh on a terminal gets the words and a Tab, and shows what its line is then.
  @Test(.enabled(if: isZshThere, "zsh is not installed"))
  func zshCompletes() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let script = #"""
      zmodload zsh/zpty
      DocGenerator zsh >\#(folder)/_xensave-lua
      zpty z "TERM=dumb zsh -f -i"
      zpty -w z "PS1= RPS1=; fpath=(\#(folder) \$fpath); autoload -Uz compinit; compinit -u -D"
      zpty -w z "show() { print -r -- \"<\$BUFFER>\"; BUFFER=; }; zle -N show; bindkey '^Xp' show"
      zpty -w z "print re''ady"
      zpty -r z out '*ready*'
      for words in "$@"; do
        zpty -w -n z "xensave-lua $words"$'\t\x18p'
        zpty -r z out '*<*>*'
        print -r -- "${${out##*<}%%>*}"
      done
      zpty -d z
      """#
    Program.write(Array(script.utf8), to: folder + "/ask.zsh")
    let words = Self.questions.map { "'\($0.0)'" }.joined(separator: " ")
    let outcome = Program.shell("timeout 60 zsh -f \(folder)/ask.zsh \(words)")
    let lines = outcome.text.split(separator: "\n").map(String.init)
    #expect(lines.count == Self.questions.count, "\(outcome.text)\(outcome.errors)")
    for ((words, answer), line) in zip(Self.questions, lines) {
      let before = words.split(separator: " ").dropLast().map { $0 + " " }.joined()
      #expect(line.hasPrefix("xensave-lua \(before)\(answer)"), "\(words): \(line)")
    }
  }
}
