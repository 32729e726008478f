// Images in a store of others: what is shipped for BorgBackup, with a stand-in for it.

import TestKit
import Testing

@Suite final class StoreTests {
  private let folder = Program.temporaryFolder()

  /// Keeps archives as files of a folder, and refuses what borg refuses.
  private static let borg = """
    #!/bin/sh
    command=$1; shift
    case $command in
      create)
        for word; do case $word in *::*) place=$word;; ./*) file=$word;; esac; done
        out=${place%%::*}/${place#*::}
        [ ! -e "$out" ] || { echo "Archive ${place#*::} already exists" >&2; exit 2; }
        cp "$file" "$out";;
      extract)
        out=${2%%::*}/${2#*::}
        [ -e "$out" ] || { echo "Archive ${2#*::} does not exist" >&2; exit 2; }
        cat "$out"; [ ! -e "$out.fails" ] || exit 2;;
      list) ls "$3";;
      prune) echo "$@" >>"$3/pruned";;
      compact) echo compact >>"$1/pruned";;
      *) exit 9;;
    esac
    """

  init() {
    Program.write(Array(Self.borg.utf8), to: folder + "/borg")
    _ = Program.shell("chmod +x \(folder)/borg && mkdir \(folder)/repository \(folder)/images")
  }

  deinit { Program.remove(folder) }

  private func store(_ words: String) -> Outcome {
    Program.shell(
      "cd \(folder) && PATH=\(folder):$PATH bash \(Program.checkout)/lua/stores/borg-images \(words)"
    )
  }

  @Test func imagesComeOutAsTheyWentIn() {
    for name in ["pv", "pvh"] {
      Program.write(
        Program.read(Program.fixtures + "\(name)-4m-1v-tiny.xlsave"),
        to: folder + "/images/\(name) a.xlsave")
    }
    #expect(store("put repository 'images/pv a.xlsave' 'images/pvh a.xlsave'").exitCode == 0)
    #expect(store("ls repository").text.contains("pv a.xlsave\npvh a.xlsave\n"))
    #expect(store("get repository 'pvh a.xlsave' out.xlsave").exitCode == 0)
    #expect(
      Program.read(folder + "/out.xlsave")
        == Program.read(Program.fixtures + "pvh-4m-1v-tiny.xlsave"))
    // A name that is taken is the store's to refuse.
    #expect(store("put repository 'images/pv a.xlsave'").exitCode == 2)
    #expect(store("gc repository 30").exitCode == 0)
    #expect(
      String(decoding: Program.read(folder + "/repository/pruned"), as: UTF8.self)
        .contains("--keep-within 30d"))
  }

  /// Nothing bad goes in, and nothing that is not whole comes out under its name.
  @Test func whatIsBadIsRefused() {
    Program.write(Array("nonsense".utf8), to: folder + "/images/bad")
    Program.write(
      Program.read(Program.fixtures + "pv-4m-1v-tiny.xlsave"), to: folder + "/images/good")
    let put = store("put repository images/bad images/good")
    #expect(put.exitCode == 1, "\(put.text)")
    #expect(store("ls repository").text.contains("good\n"))
    #expect(!store("ls repository").text.contains("bad"))

    #expect(store("get repository nothing out").exitCode != 0)
    Program.write(
      Array(Program.read(folder + "/repository/good").dropLast(100)),
      to: folder + "/repository/cut")
    #expect(store("get repository cut out").exitCode == 1)
    // borg itself fails after the last byte: it has found a damaged chunk.
    _ = Program.shell("cd \(folder)/repository && cp good late && touch late.fails")
    #expect(store("get repository late late.out").exitCode != 0)
    #expect(Program.shell("ls \(folder)").text == "borg\nimages\nrepository\n")
  }

  @Test(arguments: [
    "", "put repository", "get repository a", "gc repository soon", "mend repository",
  ])
  func wrongUse(words: String) {
    let outcome = store(words)
    #expect(outcome.exitCode == 2)
    #expect(outcome.errors.contains("usage: borg-images put REPOSITORY IMAGE..."))
  }
}
