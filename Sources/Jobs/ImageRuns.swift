// One command over many images.

internal import JSON
package import SystemIO

/// Which part of a list a process has: every `count`th, from `index` on.
package struct Shard: Sendable, Equatable {
  package let index: Int
  package let count: Int

  /// `index` counts from 0.
  package init?(index: Int, count: Int) {
    guard count > 0, (0..<count).contains(index) else { return nil }
    self.index = index
    self.count = count
  }

  /// "1/8" to "8/8".
  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let place = parts[0], let count = parts[1], place > 0 else {
      return nil
    }
    self.init(index: place - 1, count: count)
  }

  /// The task of a job array of Slurm that this process is (sbatch --array); nil where it is none.
  package static var ofSlurm: Shard? {
    func variable(_ name: String) -> Int? {
      Environment.variable("SLURM_ARRAY_TASK_" + name).flatMap { Int($0) }
    }
    guard let id = variable("ID"), let count = variable("COUNT") else { return nil }
    let step = max(1, variable("STEP") ?? 1)
    let (distance, isTooFar) = id.subtractingReportingOverflow(variable("MIN") ?? 0)
    return isTooFar ? nil : Shard(index: distance / step, count: count)
  }

  package func items<Item>(_ all: [Item]) -> [Item] {
    stride(from: index, to: all.count, by: count).map { all[$0] }
  }
}

/// A command of ours that is run for each of many images, several at a time, each in a process of its own:
/// one that fails, or is killed, leaves the others alone.
package struct ImageRuns {
  /// What came of it all.
  package struct Totals {
    package var count = 0
    /// Images whose run did not end with 0, and how it ended.
    package var failed: [(image: String, exitCode: Int32)] = []
  }

  /// Bytes of a run's output that are kept.
  private static let limit = 1 << 20

  private let words: [String]
  private let images: [String]
  private let done: AppendedFile?

  /// `words` are the command with its arguments. The image takes the place of `{}` in them, and its name
  /// without directories that of `{/}`; where they have neither it comes after the command. Images that
  /// `done` has already are left out.
  package init(_ words: [String], images: [String], done: AppendedFile?) throws {
    self.words = words
    self.done = done
    guard let done else {
      self.images = images
      return
    }
    let before = Set(
      try done.lines().compactMap(ImageRuns.run).filter { ImageRuns.isFinal($0.exitCode) }
        .map(\.image))
    self.images = images.filter { !before.contains($0) }
  }

  package var count: Int { images.count }

  /// The image of a line of `done`, and how its run ended. Whatever is not such a line is passed over.
  static func run(ofLine line: String) -> (image: String, exitCode: Int32)? {
    guard let value = try? JSONValue(parsing: line), let image = value["image"]?.stringValue,
      let exitCode = value["exit"]?.numberValue?.int64
    else { return nil }
    return (image, Int32(clamping: exitCode))
  }

  /// Whether another run would end like this one: what the system or a signal does may pass.
  static func isFinal(_ exitCode: Int32) -> Bool {
    exitCode == ExitCode.good || exitCode == ExitCode.findings
  }

  /// The command for an image.
  static func words(_ words: [String], for image: String) -> [String] {
    let name = image.split(separator: "/").last.map(String.init) ?? image
    if words.contains(where: { $0.contains("{}") || $0.contains("{/}") }) {
      return words.map { $0.replacing("{/}", with: name).replacing("{}", with: image) }
    }
    // After the command, or after what is to run of `run` and of -e.
    let front = min(words.count, ["run", "-e"].contains(words.first) ? 2 : 1)
    return words[..<front] + [image] + words[front...]
  }

  /// Runs it for all, `jobs` at a time. `report` gets a line of JSON for each as it ends.
  ///
  /// - Throws: what `report` throws, and what the system says where a run cannot be started; then those
  ///   that run are waited for, and no others begin.
  package func run(jobs: Int, _ report: @escaping @Sendable (String) throws -> Void) throws
    -> Totals
  {
    let tally = Tally(done)
    let (words, images) = (words, images)
    let isShown = Progress.begin("running", of: UInt64(images.count), unit: "images") {
      tally.finished
    }
    var isDone = false
    defer { if isShown { Progress.end(isDone: isDone) } }
    try Crew.run(images.count, jobs: jobs) { index in
      let image = images[index]
      let start = Environment.nanoseconds
      let command = try CapturedCommand(
        [ownProgram] + ImageRuns.words(words, for: image), limit: ImageRuns.limit)
      let line = ImageRuns.line(image, command, Environment.nanoseconds - start)
      try tally.add(image, command.exitCode) { done in
        try report(line)
        try done?.add(ImageRuns.doneLine(image, command.exitCode))
      }
    }
    isDone = true
    return tally.totals
  }

  /// What the threads share. Safe to send: all of it is used under the lock.
  private final class Tally: @unchecked Sendable {
    private let lock = Lock()
    private let done: AppendedFile?
    private var counted = Totals()

    init(_ done: AppendedFile?) { self.done = done }

    /// Counts a run, after `record` has been called with nobody else in it.
    func add(_ image: String, _ exitCode: Int32, _ record: (AppendedFile?) throws -> Void) throws {
      try lock.with {
        try record(done)
        counted.count += 1
        if exitCode != 0 { counted.failed.append((image, exitCode)) }
      }
    }

    var finished: UInt64 { lock.with { UInt64(counted.count) } }
    var totals: Totals { lock.with { counted } }
  }

  private static func line(
    _ image: String, _ command: CapturedCommand, _ nanoseconds: UInt64
  ) -> String {
    var writer = JSONWriter(style: .compact)
    writer.beginObject()
    writer.member("image", image)
    writer.member("exit", Int(command.exitCode))
    writer.member("seconds", Double(nanoseconds / 1000) / 1_000_000)
    let text = String(decoding: command.output, as: UTF8.self)
    if let value = try? JSONValue(parsing: command.output) {
      writer.member("result", value)
    } else if !text.isEmpty {
      writer.member("output", text)
    }
    if !command.errors.isEmpty {
      writer.member("errors", String(decoding: command.errors, as: UTF8.self))
    }
    if command.isCut { writer.member("cut", true) }
    writer.endObject()
    return String(decoding: writer.take(), as: UTF8.self)
  }

  private static func doneLine(_ image: String, _ exitCode: Int32) -> String {
    var writer = JSONWriter(style: .compact)
    writer.beginObject()
    writer.member("image", image)
    writer.member("exit", Int(exitCode))
    writer.endObject()
    return String(decoding: writer.take(), as: UTF8.self)
  }
}
