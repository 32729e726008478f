// What a guest's kernel says of itself, as text and as JSON.

internal import SystemIO
internal import Bytes
package import GuestOS
package import JSON
internal import Pages
internal import Terminal

/// A member of a row: a name for programs, and what it is.
package struct GuestCell {
  package enum Value {
    case text(String)
    case number(Int64)
    case hex(UInt64)
    case flag(Bool)
    case list([String])
    case seconds(Double)
    case rows([[GuestCell]])
    case none
  }

  package let key: String
  package let value: Value

  package init(_ key: String, _ value: Value) {
    self.key = key
    self.value = value
  }

  /// As people read it; what steers a terminal is written out.
  var text: String {
    switch value {
    case .text(let text): escapeForDisplay(text)
    case .number(let value): "\(value)"
    case .hex(let value): value.hex()
    case .flag(let flag): flag ? "yes" : "no"
    case .list(let items): items.map { escapeForDisplay($0) }.joined(separator: " ")
    case .seconds(let seconds): GuestCell.decimal(seconds, places: 1)
    case .rows, .none: ""
    }
  }

  var isNumber: Bool {
    switch value {
    case .number, .seconds: true
    default: false
    }
  }

  /// Digits with so many places after the point.
  static func decimal(_ value: Double, places: Int) -> String {
    let factor = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000][places]
    let whole = UInt64(saturating: (value * Double(factor)).rounded())
    let rest = String(whole % UInt64(factor))
    let zeros = String(repeating: "0", count: places - rest.count)
    return "\(whole / UInt64(factor))" + (places > 0 ? ".\(zeros)\(rest)" : "")
  }

  package func write(to writer: inout JSONWriter) {
    writer.key(key)
    switch value {
    case .text(let text): writer.value(text)
    case .number(let value): writer.value(value)
    case .hex(let value): writer.hex(value)
    case .flag(let flag): writer.value(flag)
    case .seconds(let seconds): writer.value(seconds)
    case .list(let items):
      writer.beginArray()
      for item in items { writer.value(item) }
      writer.endArray()
    case .rows(let rows):
      writer.beginArray()
      for row in rows {
        writer.beginObject()
        for cell in row { cell.write(to: &writer) }
        writer.endObject()
      }
      writer.endArray()
    case .none: writer.null()
    }
  }
}

/// A part of a report: rows, and why there may be more of them.
package struct GuestSection {
  package let key: String
  package var rows: [[GuestCell]] = []
  package var problem: String?
  /// The text of all rows; nil for a table.
  package var text: String?

  init<Item>(_ key: String, _ listing: Listing<Item>, _ row: (Item) -> [GuestCell]) {
    self.key = key
    rows = listing.items.map(row)
    problem = listing.problem
  }

  init(_ key: String, rows: [[GuestCell]] = [], text: String? = nil) {
    self.key = key
    self.rows = rows
    self.text = text
  }

  /// Rows under their names, numbers to the right.
  package var lines: String {
    if let text { return text }
    guard let first = rows.first else { return "" }
    let titles = first.map { $0.key.uppercased() }
    let texts = rows.map { row in row.map(\.text) }
    let widths = titles.indices.map { column in
      max(titles[column].count, texts.map { $0[column].count }.max() ?? 0)
    }
    func line(_ cells: [String], _ isRight: (Int) -> Bool) -> String {
      var out = ""
      for (column, cell) in cells.enumerated() {
        let space = String(repeating: " ", count: widths[column] - cell.count)
        let isLast = column == cells.count - 1
        out += isRight(column) ? space + cell : isLast ? cell : cell + space
        if !isLast { out += "  " }
      }
      return out + "\n"
    }
    let isRight = { (column: Int) in first[column].isNumber }
    return line(titles, isRight) + texts.map { line($0, isRight) }.joined()
  }
}

/// The reports over a Linux guest.
package struct GuestReports {
  let linux: LinuxGuest

  package init(_ linux: LinuxGuest) { self.linux = linux }

  // MARK: - Kernel and tasks

  /// The first screen: which kernel, for how long, how many tasks, how much memory.
  package func summary() -> [GuestSection] {
    var cells = [
      GuestCell("kernel", .text(linux.release)), GuestCell("banner", .text(linux.banner)),
      GuestCell("cpus", .number(Int64(linux.cpus.count))),
    ]
    if let clock = try? linux.clock() {
      cells.append(GuestCell("uptime", .seconds(Double(clock.sinceBoot) / 1e9)))
      cells.append(GuestCell("time", .number(clock.wall)))
    }
    var problem: String?
    if let tasks = try? linux.threads() {
      problem = tasks.problem
      cells.append(
        GuestCell("processes", .number(Int64(tasks.items.count { $0.isProcess && $0.mm != 0 }))))
      cells.append(GuestCell("threads", .number(Int64(tasks.items.count))))
      for (key, letter) in [("running", "R"), ("blocked", "D"), ("zombies", "Z")] {
        let count = tasks.items.count { $0.state == Character(letter) && $0.pid != 0 }
        cells.append(GuestCell(key, .number(Int64(count))))
      }
    }
    for (name, bytes) in (try? linux.memoryUse()) ?? []
    where ["MemTotal", "MemFree"].contains(name) {
      let key = name == "MemTotal" ? "memory" : "free"
      cells.append(GuestCell(key, .number(Int64(clamping: bytes))))
    }
    let lines = cells.map { cell in
      let text =
        ["memory", "free"].contains(cell.key)
        ? (UInt64(cell.text) ?? 0).byteCount : cell.key == "uptime" ? cell.text + " s" : cell.text
      return cell.key + String(repeating: " ", count: max(1, 11 - cell.key.count)) + text + "\n"
    }
    var out = GuestSection("linux", rows: [cells], text: lines.joined())
    out.problem = problem
    return [out]
  }

  package func tasks(threads: Bool) throws -> GuestSection {
    let tasks = try threads ? linux.threads() : linux.tasks()
    return GuestSection("tasks", tasks) { task in
      let arguments = (try? linux.arguments(of: task)) ?? []
      var cells = [
        GuestCell("pid", .number(Int64(task.pid))),
        GuestCell("ppid", .number(Int64(task.parentID))),
        GuestCell("uid", .number(Int64(task.uid))), GuestCell("state", .text(String(task.state))),
        GuestCell("cpu", task.cpu.map { .number(Int64($0)) } ?? .none),
        GuestCell("start", .seconds(Double(task.startTime) / 1e9)),
        GuestCell("time", .seconds(Double(task.userTime.addingSaturated(task.systemTime)) / 1e9)),
        GuestCell(
          "rss_kib", .number(Int64(clamping: task.residentPages.multipliedSaturated(by: 4)))),
        GuestCell(
          "vsz_kib", .number(Int64(clamping: task.virtualPages.multipliedSaturated(by: 4)))),
        GuestCell("name", .text(task.name)),
      ]
      if threads { cells.insert(GuestCell("process", .number(Int64(task.processID))), at: 1) }
      cells.append(
        GuestCell(
          "command",
          arguments.isEmpty
            ? .text(task.mm == 0 ? "[\(linux.title(of: task))]" : task.name) : .list(arguments))
      )
      return cells
    }
  }

  package func log() throws -> GuestSection {
    let log = try linux.log()
    var section = GuestSection("log", log) { line in
      [
        GuestCell("sequence", .number(Int64(clamping: line.sequence))),
        GuestCell("time", .seconds(Double(line.time) / 1e9)),
        GuestCell("level", .number(Int64(line.level))),
        GuestCell("facility", .number(Int64(line.facility))), GuestCell("text", .text(line.text)),
      ]
    }
    var text = ""
    for line in log.items {
      let seconds = String(line.time / 1_000_000_000)
      let micros = String(line.time / 1000 % 1_000_000)
      let start =
        "[" + String(repeating: " ", count: max(0, 5 - seconds.count)) + seconds + "."
        + String(repeating: "0", count: 6 - micros.count) + micros + "] "
      for part in line.text.split(separator: "\n", omittingEmptySubsequences: false) {
        // Tabs are part of the log's own layout.
        let words = part.split(separator: "\t", omittingEmptySubsequences: false)
        text += start + words.map { escapeForDisplay(String($0)) }.joined(separator: "\t") + "\n"
      }
    }
    section.text = text
    return section
  }

  // MARK: - Stacks

  package static func frames(_ stack: Stack) -> [[GuestCell]] {
    stack.frames.map { frame in
      [
        GuestCell("address", .hex(frame.address)),
        GuestCell("symbol", frame.location.map { .text($0.symbol) } ?? .none),
        GuestCell("offset", frame.location.map { .number(Int64(clamping: $0.offset)) } ?? .none),
        GuestCell("module", frame.location?.module.map { .text($0) } ?? .none),
      ]
    }
  }

  private func text(_ title: String, _ stack: Stack) -> String {
    var out = escapeForDisplay(title) + "\n"
    for frame in stack.frames {
      out += "  \(frame.address.hex(16)) \(escapeForDisplay(frame.location?.description ?? "?"))\n"
    }
    if let problem = stack.problem { out += "  (\(escapeForDisplay(problem)))\n" }
    return out
  }

  /// The stacks of the vCPUs; of a task; or, for "all", of all threads.
  package func stacks(_ which: String?) throws -> GuestSection {
    var section = GuestSection("stacks", text: "")
    guard let which else {
      for vcpu in linux.vcpus {
        let stack = try linux.stack(ofVCPU: vcpu.id)
        let task = try? linux.running(onCPU: vcpu.id)
        let name = task.map { "\($0.pid) \($0.name)" } ?? "unknown task"
        add(
          &section, [GuestCell("vcpu", .number(Int64(vcpu.id)))], task, stack,
          "vCPU \(vcpu.id): \(name)")
      }
      return section
    }
    var tasks = Listing<LinuxTask>()
    if which == "all" {
      tasks = try linux.threads()
    } else {
      tasks.items = [try linux.task(try GuestReports.taskID(which))]
    }
    section.problem = tasks.problem
    for task in tasks.items {
      var stack = Stack()
      do { stack = try linux.stack(of: task) } catch {
        stack.problem = "\(error)"
      }
      add(&section, [], task, stack, "\(task.pid) \(task.name) (\(task.state))")
    }
    return section
  }

  private func add(
    _ section: inout GuestSection, _ cells: [GuestCell], _ task: LinuxTask?, _ stack: Stack,
    _ title: String
  ) {
    section.rows.append(
      cells + [
        GuestCell("pid", task.map { .number(Int64($0.pid)) } ?? .none),
        GuestCell("name", task.map { .text($0.name) } ?? .none),
        GuestCell("state", task.map { .text(String($0.state)) } ?? .none),
        GuestCell("frames", .rows(GuestReports.frames(stack))),
        GuestCell("problem", stack.problem.map { .text($0) } ?? .none),
      ])
    section.text = (section.text ?? "") + text(title, stack)
  }

  /// Tasks that wait without being interruptible, with their stacks.
  package func hung(_ seconds: String?) throws -> GuestSection {
    let limit = seconds.map { Double($0) ?? -1 } ?? 120
    guard limit >= 0 else {
      throw XensaveError(.usage, "expected seconds, got \(seconds ?? "")")
    }
    let found = try linux.hung(seconds: limit)
    var section = GuestSection("hung", text: "")
    section.problem = found.problem
    for (task, waited) in found.items {
      var stack = Stack()
      do { stack = try linux.stack(of: task) } catch {
        stack.problem = "\(error)"
      }
      add(
        &section, [GuestCell("seconds", .seconds(waited))], task, stack,
        "\(task.pid) \(task.name) for \(GuestCell.decimal(waited, places: 1)) s")
    }
    if found.items.isEmpty {
      section.text = "no task hangs for \(GuestCell.decimal(limit, places: 1)) s\n"
    }
    return section
  }

  static func taskID(_ text: String) throws -> Int {
    guard let id = Int(text), id >= 0 else {
      throw XensaveError(.usage, "expected the number of a task, got \(text)")
    }
    return id
  }
}
