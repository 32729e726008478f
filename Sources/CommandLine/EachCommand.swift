// xensave-lua each

internal import ArgumentParser
internal import Bytes
internal import Jobs
internal import Reports
internal import SystemIO

struct EachCommand: LongCommand {
  static let name = "each"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Run a command or a script for each of many images, several at a time.",
    usage: """
      xensave-lua each [OPTION...] COMMAND [ARGUMENT...] -- IMAGE...
      xensave-lua each [OPTION...] SCRIPT.lua [ARGUMENT...] -- IMAGE...
      xensave-lua each [OPTION...] --from FILE COMMAND [ARGUMENT...]
      xensave-lua each --status [--from FILE] DONE...
      """,
    discussion: """
      COMMAND is one of xensave-lua. The image comes after it, or where {} stands; {/} is its name without \
      directories: each convert {} --for-xen 4.17 -o /out/{/} -- *.save. Each image has a process of its \
      own, so one that fails leaves the others alone.

      A line of JSON is printed for each image as its run ends: image, exit, seconds, and result (what it \
      printed, where that is JSON) or output; errors where there are any, and cut where it printed more \
      than 1 MiB.

      An image can be s3://BUCKET/PREFIX/, which stands for all objects whose names begin so, or a pattern \
      such as s3://BUCKET/vm-*.save.

      With --done a file is kept of the images whose run has ended with 0 or 1, and these are left out the \
      next time: a run that was stopped continues where it was. --shard 2/8 takes the second of eight parts \
      of the list; a task of a job array of Slurm takes its own part without being told.

      --status reads the files that --done has written, of all tasks of a job, and says how far they are: \
      images that are done, those that failed, and, with the list by --from, how many are left. Its exit \
      code is 0 where all are done and none failed, else 1.

      Exit codes: 0 all ended with 0, 1 some did not, 2 usage, 3 a system call failed.
      """)

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "So many at a time (without it as many as there are processors).", valueName: "count"))
  var jobs: Int?
  @Option(
    help: ArgumentHelp("The images that are done: read first, and added to.", valueName: "file"),
    completion: .file())
  var done: String?
  @Option(help: ArgumentHelp("A part of the images, from 1.", valueName: "i/n")) var shard: String?
  @Option(
    help: ArgumentHelp(
      "Take the images from a file, a path a line; \"-\" is standard input.", valueName: "file"),
    completion: .file())
  var from: String?
  @Flag(help: "Say how far the runs are that have written these files.") var status = false
  @Flag(help: "With --status: print JSON.") var json = false
  @OptionGroup var long: ProgressOptions
  @Argument(parsing: .captureForPassthrough, help: "The command, and after -- the images.")
  var words: [String] = []

  mutating func execute() throws -> Int32 {
    if ["--help", "-h"].contains(words.first) { throw CleanExit.helpRequest(self) }
    if let jobs, !(1...4096).contains(jobs) {
      throw XensaveError(.usage, "--jobs: expected 1 to 4096, got '\(jobs)'")
    }
    guard !status else { return try printStatus() }
    guard !json else { throw XensaveError(.usage, "each: --json is for --status") }
    let (command, images) = try split()
    let part = try part()
    let runs = try ImageRuns(
      command, images: part?.items(images) ?? images,
      done: try done.map { try AppendedFile(path: $0) })
    let totals = try runs.run(jobs: jobs ?? Environment.coreCount) { try writeOut($0 + "\n") }
    if !long.quiet {
      report(totals, left: (part?.items(images).count ?? images.count) - runs.count)
    }
    return totals.failed.isEmpty ? ExitCode.good : ExitCode.findings
  }

  /// The command, and the images: after the last --, or from a file.
  private func split() throws -> (command: [String], images: [String]) {
    var command = words
    var images: [String] = []
    if let place = words.lastIndex(of: "--") {
      command = Array(words[..<place])
      images = Array(words[(place + 1)...])
    } else if from == nil {
      throw XensaveError(.usage, "each: expected -- and the images (xensave-lua each --help)")
    }
    if let from { images += try paths(from) }
    images = try EachCommand.expanded(images)
    guard let first = command.first else {
      throw XensaveError(.usage, "each: expected a command (xensave-lua each --help)")
    }
    guard Commands.isName(first) || first.contains("/") || first.hasSuffix(".lua") || first == "-e"
    else { throw XensaveError(.usage, "each: no command and no script '\(first)'") }
    guard first != EachCommand.name else { throw XensaveError(.usage, "each: not of itself") }
    return (command, images)
  }

  /// The images, with the objects of a store that a prefix or pattern names in its place.
  private static func expanded(_ words: [String]) throws -> [String] {
    guard words.contains(where: RemoteFiles.isPattern) else { return words }
    var images: [String] = []
    for word in words {
      guard RemoteFiles.isPattern(word) else {
        images.append(word)
        continue
      }
      let found = try RemoteFiles.matches(word)
      guard !found.isEmpty else {
        throw XensaveError(.usage, "each: \(word): the store has no such objects")
      }
      images += found
    }
    return images
  }

  private func paths(_ path: String) throws -> [String] {
    let text = try Source(opening: path).read(EachCommand.listLimit)
    return text.split(separator: 10).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Bytes of a list of images.
  private static let listLimit = 1 << 28

  private func part() throws -> Shard? {
    guard let shard else { return Shard.ofSlurm }
    guard let part = Shard(shard) else {
      throw XensaveError(.usage, "--shard: expected I/N, with I from 1 to N, got '\(shard)'")
    }
    return part
  }

  /// How far the runs of a job are, by the files of its tasks.
  private func printStatus() throws -> Int32 {
    guard done == nil, shard == nil, jobs == nil, !words.isEmpty else {
      throw XensaveError(.usage, "each: expected --status and the files that --done has written")
    }
    let images = try from.map { try EachCommand.expanded(try paths($0)) }
    let progress = try RunProgress(files: words, images: images)
    try writeOut(json ? progress.json : progress.text)
    return progress.isComplete ? ExitCode.good : ExitCode.findings
  }

  private func report(_ totals: ImageRuns.Totals, left: Int) {
    var text = "xensave-lua: \(totals.count.grouped) images, \(totals.failed.count.grouped) failed"
    if left > 0 { text += ", \(left.grouped) done before" }
    let shown = totals.failed.prefix(20).map { "\($0.image) (\($0.exitCode))" }
    if !shown.isEmpty {
      let more = totals.failed.count - shown.count
      text += ": " + shown.joined(separator: ", ") + (more > 0 ? " and \(more.grouped) more" : "")
    }
    writeError(text + "\n")
  }
}
