// run triage and run compare-guests, over an image of a kernel that was made by hand.

import JSON
import TestKit
import Testing

@Suite final class GuestReportTests {
  private var guest = GuestCommandTests.guest
  private let folder = Program.temporaryFolder()

  deinit { Program.remove(folder) }

  private func write(_ name: String) -> String {
    let path = folder + "/" + name
    Program.write(guest.image, to: path)
    return path
  }

  private func rename(_ task: String, to name: [UInt8]) throws {
    let place = try #require(guest.places[task])
    guest.put(place + guest.layout.offset("task_struct", "comm"), name + [0])
  }

  @Test func triage() throws {
    // A name does not steer the terminal.
    try rename("task 10", to: Array("a\u{1B}[2Jb".utf8))
    let image = write("guest")
    let outcome = Program.run(["run", "triage", image])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(
      outcome.text == """
        kernel 9.8.7-synthetic, 2 CPUs, up 1005.2 s, 7 processes
        memory 97.7 MiB, free 39.1 MiB
        no panic

        errors in the log: 2
          [    0.003000] a line at the end
          [    0.005000] two?lines

        tasks that hang: 1
          10 a?[2Jb for 130.0 s
            schedule
            do_wait
            sys_wait
            entry_syscall

        largest processes
             0.2 MiB      10 a?[2Jb

        disks
          xvda         2048.0 MiB rw
          xvda1        1024.0 MiB ro
          xvdb            5.0 MiB ro

        mounted read-only
          /dev/xvdb1 (xfs) on /var

        """)
    let json = Program.run(["run", "triage", image, "--json", "--seconds", "131"])
    let facts = try JSONValue(parsing: json.text)
    #expect(facts["problems"] == .array([]) && facts["hung"] == .array([]), "\(json.text)")
    #expect(facts["alarms"]?.arrayValue?.count == 2)
    #expect(facts["tasks"]?.numberValue?.int64 == 7)
  }

  /// What cannot be read of one part is said in its place.
  @Test func partsThatCannotBeRead() throws {
    let task = try #require(guest.places["task 14"])
    guest.put(task + guest.layout.offset("task_struct", "tasks"), [8, 0, 0, 0, 0, 0, 0, 0])
    let outcome = Program.run(["run", "triage", write("guest")])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(outcome.text.contains("\nnot all was read: tasks: "), "\(outcome.text)")
    #expect(outcome.text.contains("  /dev/xvdb1 (xfs) on /var\n"))
    let other = Program.run(["run", "triage", Program.fixtures + "pv-4m-1v-tiny.xlsave"])
    #expect(other.exitCode == 1 && other.errors.contains("no kernel was found"), "\(other.errors)")
    #expect(other.errors.split(separator: "\n").count == 1 && other.text.isEmpty)
  }

  @Test func guestsAreCompared() throws {
    let before = write("before")
    let same = Program.run(["run", "compare-guests", before, before])
    #expect(same.exitCode == 0 && same.output.isEmpty && same.errors.isEmpty, "\(same.text)")
    try rename("task 14", to: Array("thawed\n".utf8))
    let outcome = Program.run(["run", "compare-guests", before, write("after")])
    #expect(outcome.exitCode == 1 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(
      outcome.text == """
        - process: 14 frozen (uid 7, started at 14.00 s)
        + process: 14 thawed? (uid 7, started at 14.00 s)

        """)
    for (words, text) in [
      ([before], "[]\n"),
      (
        [folder + "/after"],
        #"[{"change":"gone","kind":"process","text":"14 frozen (uid 7, started at 14.00 s)"},"#
          + #"{"change":"new","kind":"process","text":"14 thawed\n (uid 7, started at 14.00 s)"}]"#
          + "\n"
      ),
    ] {
      #expect(Program.run(["run", "compare-guests", before] + words + ["--json"]).text == text)
    }
    #expect(Program.run(["run", "compare-guests", before]).exitCode == 2)
    for words in [["triage"], ["compare-guests", before]] {
      let none = Program.run(["run"] + words + ["--domain=nobody"])
      #expect(none.exitCode == 1 && none.errors.contains("no domain 'nobody'"), "\(none.errors)")
    }
    #expect(Program.run(["run", "triage", before, "--domain=nobody"]).exitCode == 2)
  }

  /// The same of a domain that stands still: what was given before is nothing once it has run.
  @Test func domains() {
    let found = Program.run([
      "-e",
      """
      local dom <close> = assert(xs.sim { from = img.path, pages = 40000, name = "web1" })
      print(pcall(function() return dom.linux end))
      local other = require "xensave.linux".paused "web1"
      local linux = dom.linux
      local facts = require "xensave.reports.triage".facts(other)
      print(facts.kernel, facts.tasks, #facts.disks, linux:task(10).mm.brk ~= nil)
      print(#require "xensave.reports.compare-guests".differences(img, dom))
      local item = xs.struct "u32 x; u32 id"
      print(item(dom, 0x2000).id, xs.struct("u64 a")(linux, linux.symbol.tk_core + 56).a)
      local task = linux:task(10).struct
      other:close()
      assert(not dom:info().paused)
      dom:run(1)
      for _, f in ipairs { function() return assert(linux:tasks()) end, function() return task.pid end } do
        print((tostring(select(2, pcall(f))):gsub("^.-:%d+: ", "")))
      end
      """, write("guest"),
    ])
    #expect(found.exitCode == 0, "\(found.errors)")
    #expect(
      found.text == """
        false\t(command line):2: domain 1 is running: pause it first (dom:pause())
        9.8.7-synthetic\t7\t3\ttrue
        0
        0\t1700000000
        the domain has run since this was read from it (pause it and ask again)
        the domain has run since this was read from it (pause it and ask again)

        """, "\(found.text)")
  }
}
