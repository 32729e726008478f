// Expressions over a kernel's variables, and values as text.

import SystemIO
import Pages
import TestKit
import Testing

@testable import GuestOS

@Suite struct ExpressionTests {
  let guest = SyntheticLinux()

  @Test func values() throws {
    let linux = try open(guest)
    let task = try #require(guest.places["task 10"])
    let initial = try #require(guest.places["init_task"])
    let tasks = guest.layout.offset("task_struct", "tasks")
    for (text, value) in [
      ("init_task.comm", "\"swapper/0\""),
      ("((struct task_struct *)\(task))->comm", "\"hangs\""),
      ("((struct task_struct*)\(task))->pid + 1", "11"),
      ("(*(struct task_struct *)\(task)).__state", "2"),
      ("((struct cred *)((struct task_struct *)\(task))->cred)->euid.val", "1000"),
      ("sizeof(struct task_struct)", "400"), ("sizeof(struct list_head *)", "8"), ("0x10", "16"),
      ("container_of(init_task.tasks, struct task_struct, tasks).pid", "0"),
      ("init_task.tasks.prev", "0x"),
      ("(void *)0x1234", "0x1234"),
      ("init_task.comm[0]", "115"), ("init_task.comm[7]", "47"),
      ("((struct orc_entry *)__start_orc_unwind)[0].sp_reg", "5"),
    ] {
      let found = try linux.evaluate(text)
      #expect(linux.text(of: found).hasPrefix(value), "\(text): \(linux.text(of: found))")
    }
    #expect(try linux.integer(linux.evaluate("&init_task")) == initial)
    #expect(try linux.integer(linux.evaluate("&init_task.tasks")) == initial + tasks)
    #expect(try linux.integer(linux.evaluate("&init_task + 1")) == initial + 400)
    #expect(try linux.description(of: linux.evaluate("&init_task").type) == "struct task_struct *")
    let text = try linux.text(of: linux.evaluate("init_task"))
    #expect(text.contains(".comm = \"swapper/0\"") && text.contains(".tasks = {"))
  }

  @Test func errors() throws {
    let linux = try open(guest)
    for (text, problem) in [
      ("", "column 1: expected a name"), ("init_task.", "column 11: expected a name"),
      ("init_task.pif", "has no member pif (did you mean pid?)"), ("nothing", "no symbol nothing"),
      ("init_task.pid.x", "has no members"), ("*init_task.pid", "is no pointer"),
      ("init_task.pid[1]", "has no elements"), ("(struct nothing *)1", "no type struct nothing"),
      ("1 ?", "column 3"), ("0xzz", "column 1: expected a number"), ("(1", "expected \")\""),
      ("init_task 1", "expected the end"), ("init_task.tasks + 1 +", "no number"),
      (String(repeating: "(", count: 500), "nested"),
      (String(repeating: "*", count: 500), "nested"),
      ("per_cpu(runqueues)", "expected \",\""), ("f(1)", "per_cpu, container_of or sizeof"),
    ] {
      let error = #expect(throws: XensaveError.self) {
        let value = try linux.evaluate(text)
        _ = try linux.integer(value)
      }
      #expect(error?.description.contains(problem) == true, "\(text): \(error?.description ?? "")")
    }
    // Where a pointer leads nowhere, the text says so.
    let value = try linux.evaluate("((struct task_struct *)0x10)->pid")
    #expect(linux.text(of: value).contains("0x"))
  }
}
