// One command over many images.

import Glibc
import JSON
import SystemIO
import TestKit
import Testing

@testable import Jobs

@Suite struct EachTests {
  private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
  private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    try body(folder)
  }

  /// The lines of a run by image.
  private func rows(_ outcome: Outcome) throws -> [String: JSONValue] {
    var rows: [String: JSONValue] = [:]
    for line in outcome.text.split(separator: "\n") {
      let value = try JSONValue(parsing: String(line))
      let image = try #require(value["image"]?.stringValue)
      #expect(rows[image] == nil, "\(image) comes twice")
      rows[image] = value
    }
    return rows
  }

  @Test func aLineForEachImage() throws {
    try inFolder { folder in
      Program.write(Array(Program.read(pv).prefix(100_000)), to: folder + "/cut")
      let outcome = Program.run(
        ["each", "-j", "3", "verify", "--json", "--", pv, pvh, folder + "/cut", folder + "/none"])
      #expect(outcome.exitCode == 1)
      let rows = try rows(outcome)
      #expect(rows.count == 4)
      for image in [pv, pvh] {
        #expect(rows[image]?["exit"]?.numberValue?.int64 == 0)
        #expect(rows[image]?["result"]?["good"]?.boolValue == true)
        #expect(rows[image]?["errors"] == nil)
      }
      #expect(rows[folder + "/cut"]?["result"]?["errors"]?.numberValue?.int64 == 1)
      #expect(rows[folder + "/none"]?["exit"]?.numberValue?.int64 == 3)
      #expect(rows[folder + "/none"]?["errors"]?.stringValue?.contains("No such file") == true)
      #expect(outcome.errors.hasPrefix("xensave-lua: 4 images, 2 failed: "), "\(outcome.errors)")
      #expect(outcome.errors.contains("\(folder)/cut (1)"), "\(outcome.errors)")
    }
  }

  @Test func theImageStandsWhereItIsAskedFor() throws {
    #expect(ImageRuns.words(["verify", "--json"], for: "a/b") == ["verify", "a/b", "--json"])
    #expect(
      ImageRuns.words(["run", "rename", "new"], for: "a/b") == ["run", "rename", "a/b", "new"])
    #expect(
      ImageRuns.words(["convert", "{}", "-o", "out/{/}"], for: "a/b")
        == ["convert", "a/b", "-o", "out/b"])
    #expect(ImageRuns.words(["x.lua", "1"], for: "a{/}") == ["x.lua", "a{/}", "1"])
    try inFolder { folder in
      let outcome = Program.run(
        ["each", "run", "rename", "{}", "new", "-o", folder + "/{/}", "--", pv, pvh])
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
      for image in [pv, pvh] {
        let name = try #require(image.split(separator: "/").last)
        #expect(Program.run(["info", "\(folder)/\(name)"]).text.contains("new"))
      }
      Program.write(
        Array("print(img.guest, arg[1])".utf8), to: folder + "/guest.lua")
      let script = try rows(Program.run(["each", folder + "/guest.lua", "x", "--", pv, pvh]))
      #expect(script[pv]?["output"]?.stringValue == "x86_pv\tx\n")
      #expect(script[pvh]?["output"]?.stringValue == "x86_hvm\tx\n")
    }
  }

  /// What is done is left out; a line that was cut off, and one that is of something else, is nothing.
  @Test func whatIsDoneIsLeftOut() throws {
    try inFolder { folder in
      let done = folder + "/done"
      let names = (1...5).map { "\(folder)/image\($0)" }
      for name in names { Program.write(Program.read(pv), to: name) }
      let words = ["each", "--done", done, "info", "--json", "--"]
      let first = Program.run(words + names[..<2])
      let firstCount = try rows(first).count
      #expect(firstCount == 2)
      let text = Program.read(done)
      Program.write(
        text
          + Array(
            "{\"image\":\"\(names[2])\",\"exit\":143}\nnothing\n{\"image\":\"\(names[3])".utf8),
        to: done)
      let second = Program.run(words + names)
      #expect(second.exitCode == 0, "\(second.errors)")
      let secondImages = try Set(rows(second).keys)
      #expect(secondImages == Set(names[2...]))
      #expect(second.errors.contains("3 images, 0 failed, 2 done before"), "\(second.errors)")
      let third = Program.run(words + names)
      #expect(third.exitCode == 0 && third.text.isEmpty, "\(third.errors)")
      // What a system call or a signal ended is run again, what was found is not.
      let bad = ["each", "--done", done, "verify", "-q", "--", folder + "/none", folder + "/empty"]
      Program.write([], to: folder + "/empty")
      let badCount = try rows(Program.run(bad)).count
      #expect(badCount == 2)
      let badImages = try Array(rows(Program.run(bad)).keys)
      #expect(badImages == [folder + "/none"])
      for (make, problem) in [("mkfifo", "Invalid argument"), ("ln -s /nowhere", "symbolic links")]
      {
        let other = folder + "/other"
        _ = Program.shell("\(make) '\(other)'")
        let refused = Program.run(["each", "--done", other, "info", "--", pv])
        #expect(refused.exitCode == 3 && refused.errors.contains(problem), "\(refused.errors)")
        unlink(other)
      }
    }
  }

  @Test func partsHaveEachImageOnce() throws {
    let names = (0..<23).map { "image\($0)" }
    for count in [1, 2, 7, 23, 40] {
      let parts = try (1...count).map { try #require(Shard("\($0)/\(count)")).items(names) }
      #expect(parts.flatMap { $0 }.sorted() == names.sorted())
      let sizes = parts.map(\.count)
      #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
    }
    for text in ["0/2", "3/2", "1/0", "1", "a/b", "1/2/3", "-1/2", ""] {
      #expect(Shard(text) == nil, "\(text)")
    }
    // As the tasks of a job array of Slurm: --array=10-14:2.
    var seen: [String] = []
    for id in [10, 12, 14] {
      let outcome = Program.shell(
        "export SLURM_ARRAY_TASK_ID=\(id) SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=2 "
          + "SLURM_ARRAY_TASK_COUNT=3; xensave-lua each -q -j 1 -e 'return' -- a b c d e; :")
      seen += try rows(outcome).keys
    }
    #expect(seen.sorted() == ["a", "b", "c", "d", "e"])
  }

  @Test func listsAndMistakes() throws {
    try inFolder { folder in
      let list = Program.run(
        ["each", "--from", "-", "info", "--json"], input: Array("\(pv)\n\(pvh)\n".utf8))
      let listCount = try rows(list).count
      #expect(listCount == 2)
      for (words, problem) in [
        (["each", "verify", pv], "expected -- and the images"),
        (["each", "--", pv], "expected a command"),
        (["each", "nosuch", "--", pv], "no command and no script 'nosuch'"),
        (["each", "--shard", "3/2", "info", "--", pv], "--shard: expected I/N"),
        (["each", "-j", "0", "info", "--", pv], "--jobs: expected 1 to 4096"),
        (["each", "each", "--", pv], "not of itself"),
      ] {
        let outcome = Program.run(words)
        #expect(outcome.exitCode == 2 && outcome.text.isEmpty, "\(words)")
        #expect(outcome.errors.contains(problem), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
      }
      #expect(Program.run(["each", "info", "--"]).exitCode == 0)
      // Much output is cut, and said to be.
      let much = Program.run(["each", "-e", "print(('x'):rep(3000000))", "--", pv]).text
      #expect(much.hasSuffix("\",\"cut\":true}\n"))
      #expect(much.utf8.count { $0 == UInt8(ascii: "x") } > 1 << 20 && much.utf8.count < 1_049_000)
    }
  }

  /// A request to stop ends what runs; the next run takes the rest.
  @Test func aStoppedRunGoesOn() throws {
    try inFolder { folder in
      let done = folder + "/done"
      let names = (1...6).map { "\(folder)/image\($0)" }
      for name in names { Program.write(Program.read(pv), to: name) }
      let images = names.joined(separator: " ")
      Program.write(
        Array(
          """
          local name = img.path:match("image(%d)")
          if tonumber(name) > 2 and not io.open("\(folder)/go") then
            io.open("\(folder)/reached", "w"):close()
            while true do end
          end
          """.utf8), to: folder + "/wait.lua")
      // A file, so that pgrep does not find the shell.
      Program.write(
        Array(
          """
          xensave-lua each -j 2 --done \(done) \(folder)/wait.lua -- \(images) & id=$!
          while ! [ -e \(folder)/reached ]; do sleep 0.05; done
          while [ $(wc -l <\(done)) -lt 2 ]; do sleep 0.05; done
          kill -TERM $id; wait $id; echo $?
          pgrep -f \(folder)/wait.lua
          """.utf8), to: folder + "/script")
      let stopped = Program.shell("sh \(folder)/script")
      #expect(stopped.text.split(separator: "\n").last == "143", "\(stopped.text)\(stopped.errors)")
      Program.write([], to: folder + "/go")
      let rest = Program.run(["each", "--done", done, folder + "/wait.lua", "--"] + names)
      #expect(rest.exitCode == 0, "\(rest.errors)")
      let restImages = try Set(rows(rest).keys)
      #expect(restImages == Set(names[2...]))
    }
  }

  /// How far the tasks of a job are, by the files that each has written.
  @Test func statusOfAJob() throws {
    try inFolder { folder in
      let names = (1...7).map { "\(folder)/image\($0)" }
      for name in names.dropLast() { Program.write(Program.read(pv), to: name) }
      Program.write(Array(names.joined(separator: "\n").utf8), to: folder + "/list")
      Program.write(Array(Program.read(pv).prefix(100_000)), to: names[2])
      for task in 1...2 {
        let run = Program.shell(
          "SLURM_ARRAY_TASK_ID=\(task) SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 "
            + "xensave-lua each --from \(folder)/list --done \(folder)/done.\(task) verify -q")
        #expect([0, 1].contains(run.exitCode), "\(run.errors)")
      }
      let status = ["each", "--status", "--from", folder + "/list"]
      let files = [folder + "/done.1", folder + "/done.2"]
      // Of task 1 image 7 is not there (3: it may pass), of task 3 nothing has run.
      let text = Program.run(status + files)
      #expect(text.exitCode == 1, "\(text.errors)")
      let rows = text.text.split(separator: "\n")
      #expect(rows.count == 3 && rows[0].contains("/done.1  2 done"), "\(text.text)")
      #expect(
        rows[0].contains("1 failed, written ") && rows[1].contains("0 failed"), "\(text.text)")
      #expect(rows[2].hasPrefix("all ") && rows[2].contains("4 of 7 (57 %) done"), "\(text.text)")
      let json = try JSONValue(parsing: Program.run(status + ["--json"] + files).text)
      #expect(json["done"]?.numberValue?.int64 == 4 && json["total"]?.numberValue?.int64 == 7)
      #expect(json["failed"]?.arrayValue?.compactMap(\.stringValue) == [names[6]])
      #expect(json["complete"]?.boolValue == false)
      let without = Program.run(["each", "--status", files[1]])
      #expect(without.exitCode == 0 && without.text.contains("2 done"), "\(without.text)")
      // What was cut, and what is no line of such a file, does not count.
      Program.write(
        Array("{\"image\":\"a\",\"exit\":0}\nnonsense\n{\"image\":\"b\",\"ex".utf8),
        to: folder + "/odd")
      #expect(Program.run(["each", "--status", folder + "/odd"]).text.contains("1 done"))
      for words in [
        ["each", "--status"], ["each", "--status", "--done", "x", "y"],
        ["each", "--json", "info", "--", pv],
      ] { #expect(Program.run(words).exitCode == 2, "\(words)") }
      #expect(Program.run(["each", "--status", folder + "/none"]).exitCode == 3)
    }
  }
}
