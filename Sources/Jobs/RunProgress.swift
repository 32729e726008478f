// How far the runs over many images are, by what they have written.

internal import Bytes
internal import JSON
internal import Reports
internal import SystemIO

/// What the files of `--done` say together: each task of a job writes its own.
package struct RunProgress {
  /// One of the files.
  private struct Task {
    let path: String
    var done = 0
    var failed = 0
    /// Seconds since it was written to last.
    let age: UInt64
  }

  private var tasks: [Task] = []
  private var done = 0
  private var failed: [String] = []
  /// Images of the list; nil where there is none.
  private var total: Int?

  /// `images`: the list that the tasks share, where it is known; what others have done does not count then.
  package init(files: [String], images: [String]?) throws {
    let wanted = images.map { Set($0) }
    total = wanted?.count
    var outcomes: [String: Int32] = [:]
    for path in files {
      let source = try Source(opening: path)
      let now = Environment.nanosecondsSince1970 / 1_000_000_000
      let changed = try source.modificationTime() / 1_000_000_000
      var own: [String: Int32] = [:]
      let count = min(source.byteCount ?? RunProgress.byteLimit, RunProgress.byteLimit)
      for line in try source.read(Int(count)).split(separator: 10) {
        guard let run = ImageRuns.run(ofLine: String(decoding: line, as: UTF8.self)),
          wanted?.contains(run.image) ?? true
        else { continue }
        // The last run of an image counts.
        own[run.image] = run.exitCode
      }
      outcomes.merge(own) { ImageRuns.isFinal($0) ? $0 : $1 }
      tasks.append(
        Task(
          path: path, done: own.values.count { ImageRuns.isFinal($0) },
          failed: own.values.count { $0 != 0 }, age: now > changed ? now - changed : 0))
    }
    done = outcomes.values.count { ImageRuns.isFinal($0) }
    failed = outcomes.filter { $0.value != 0 }.map(\.key).sorted()
  }

  /// Bytes of one file: a million images and more.
  private static let byteLimit: UInt64 = 1 << 28

  /// Whether all images of the list are done, and none failed.
  package var isComplete: Bool { failed.isEmpty && done == total ?? done }

  package var text: String {
    var rows = tasks.map { task in
      (
        task.path, "\(task.done.grouped) done",
        "\(task.failed.grouped) failed, written \(task.age.grouped) s ago"
      )
    }
    let share = total.map { total in
      " of \(total.grouped) (\(total == 0 ? 100 : done * 100 / total) %)"
    }
    rows.append(("all", "\(done.grouped)\(share ?? "") done", "\(failed.count.grouped) failed"))
    let widths = (
      rows.map(\.0.count).max() ?? 0, rows.map(\.1.count).max() ?? 0
    )
    func padded(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(0, width - text.count))
    }
    return rows.map {
      "\(padded($0.0, widths.0))  \(padded($0.1, widths.1))  \($0.2)\n"
    }.joined()
  }

  package var json: String {
    let bytes = JSONWriter.document {
      $0.object { writer in
        writer.member("done", done)
        if let total { writer.member("total", total) }
        writer.member("complete", isComplete)
        writer.member("failed", failed)
        writer.objects("tasks", tasks) { writer, task in
          writer.member("file", task.path)
          writer.member("done", task.done)
          writer.member("failed", task.failed)
          writer.member("age_seconds", task.age)
        }
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
