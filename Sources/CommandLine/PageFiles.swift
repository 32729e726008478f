// xensave-lua compact, delta, apply and export: new files made from the pages of images.

internal import ArgumentParser
internal import Bytes
internal import Format
internal import ImageCheck
internal import JSON
internal import Jobs
internal import Pages
internal import Reports
internal import Stream
internal import SystemIO

/// Writes a new file with `body`; it appears only when all is well. "-" is standard output.
private func writingFile<R>(
  _ path: String, butNot inputs: [FileIdentity], isUnchecked: Bool = true,
  _ body: (Sink) throws -> R
) throws -> R {
  try OutputJob(destination: Destination(path), isUnchecked: isUnchecked)
    .run(butNot: inputs, body)
}

/// What all commands share that look at pages.
/// How many threads look at pages.
struct JobsOption: ParsableArguments {
  @Option(
    help: "How many threads look at pages (default: as many as this process may use cores).")
  var jobs: Int?

  mutating func validate() throws {
    guard let jobs else { return }
    guard (1...PageJobs.limit).contains(jobs) else {
      throw ValidationError("--jobs: expected 1 to \(PageJobs.limit), got \(jobs)")
    }
    PageJobs.set(jobs)
  }
}

struct PageOptions: ParsableArguments {
  @Flag(
    help: ArgumentHelp(
      "Keep the index of the image in .NAME.index beside it, and use the one that is there."))
  var cache = false

  func opening(_ path: String) throws -> PageImage {
    return cache
      ? try PageImage(caching: path, note: { writeError("xensave-lua: note: \($0)\n") })
      : try PageImage(opening: path)
  }
}

/// Prints numbers as JSON, or as one line.
private func report(
  _ command: some LongCommand, _ json: Bool, _ path: String,
  _ members: KeyValuePairs<String, UInt64>
) throws {
  // A report beside an image on standard output goes nowhere.
  guard path != "-", !command.long.quiet || json else { return }
  if json {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("output", path)
    for (key, value) in members { writer.member(key, value) }
    writer.endObject()
    return try writeOut(writer.finish())
  }
  let text = members.map {
    "\($0.key.replacing("octets", with: "bytes").replacing("_", with: " ")) \($0.value.grouped)"
  }
  try writeOut("\(path): \(text.joined(separator: ", "))\n")
}

struct Compact: LongCommand {
  static let name = "compact"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Write an image with each page once.",
    discussion: """
      Drops what a live or checkpointed stream has superseded; the result is a plain image of the \
      last complete checkpoint.
      """)

  @Argument(help: "The image, a file.", completion: .file()) var image: String
  @OptionGroup var target: OutputOption
  @Flag(help: "Begin contents at multiples of 4096 bytes, and make zeros holes of the file.")
  var aligned = false
  @Flag(help: "Leave out the check of what was written.") var unchecked = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var pages: PageOptions
  @OptionGroup var long: ProgressOptions

  private var output: String { target.path }

  mutating func execute() throws -> Int32 {
    let image = try pages.opening(self.image)
    let layout = aligned ? PageLayout.aligned : .plain
    let done = try writingFile(output, butNot: [image.identity], isUnchecked: unchecked) {
      sink in try image.compact(to: sink, layout: layout)
    }
    try report(
      self, json, output,
      [
        "pages": done.pageCount, "dropped": done.dropped, "holes": done.holes,
        "octets_read": done.bytesRead, "octets_written": done.bytesWritten,
      ])
    return ExitCode.good
  }
}

struct MakeDelta: LongCommand {
  static let name = "delta"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Write what of an image differs from another one.")

  @Argument(help: "The image to start from.", completion: .file()) var base: String
  @Argument(help: "The image to reach.", completion: .file()) var new: String
  @OptionGroup var target: OutputOption
  @Option(
    help: ArgumentHelp(
      "How hard zstd packs what changed: 1 (fast) to 19; 0 for not at all.", valueName: "number"))
  var level = 1
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var pages: PageOptions
  @OptionGroup var long: ProgressOptions

  mutating func validate() throws {
    guard (0...19).contains(level) else { throw ValidationError("--level: expected 0 to 19") }
  }

  private var output: String { target.path }

  mutating func execute() throws -> Int32 {
    let (base, new) = (try pages.opening(self.base), try pages.opening(self.new))
    let done = try writingFile(output, butNot: [base.identity, new.identity]) {
      sink in try PageDelta.make(from: base, to: new, sink, level: level)
    }
    try report(
      self, json, output,
      [
        "changed_pages": done.changedPages, "octets_from_base": done.copied,
        "octets_in_delta": done.literal, "octets_written": done.bytesWritten,
      ])
    return ExitCode.good
  }
}

struct ApplyDelta: LongCommand {
  static let name = "apply"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Make an image from another one and a delta.")

  @Argument(help: "The image that the delta starts from.", completion: .file()) var base: String
  @Argument(help: "The delta.", completion: .file()) var delta: String
  @OptionGroup var target: OutputOption
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var long: ProgressOptions

  private var output: String { target.path }

  mutating func execute() throws -> Int32 {
    let base: Source
    let delta: Source
    base = try Source(image: self.base)
    delta = try Source(opening: self.delta)
    let done = try writingFile(output, butNot: [base.identity, delta.identity]) {
      sink in try PageDelta.apply(delta, to: base, sink)
    }
    try report(
      self, json, output,
      ["changed_pages": done.changedPages, "octets_written": done.bytesWritten])
    return ExitCode.good
  }
}

struct Export: LongCommand {
  static let name = "export"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Write the guest's memory for other tools.",
    discussion: """
      raw: file offset = physical address, for forensic tools; lime: the same in ranges; xen-core: \
      what xl dump-core writes, for crash; elf-core: for gdb, with the registers of the vCPUs, the \
      mappings of the first one's page tables, and what a Linux kernel says of itself (VMCOREINFO), by \
      which crash opens it, too, where the guest is not PV.
      """)

  @Argument(help: "The image, a file.", completion: .file()) var image: String
  @OptionGroup var target: OutputOption
  @Option(
    help: "raw, lime, xen-core or elf-core.",
    completion: .list(["raw", "lime", "xen-core", "elf-core"])) var format: String
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var pages: PageOptions
  @OptionGroup var long: ProgressOptions

  private var output: String { target.path }

  mutating func execute() throws -> Int32 {
    let names = ExportFormat.allCases.map(\.rawValue)
    guard let format = ExportFormat(rawValue: format) else {
      throw XensaveError(
        .usage,
        "no format '\(format)': expected one of \(names.joined(separator: ", "))"
          + didYouMean(format, among: names))
    }
    let image = try pages.opening(self.image)
    let done = try writingFile(output, butNot: [image.identity]) { sink in
      try GuestMemory(image).export(format, to: sink)
    }
    if !done.hasAllMappings {
      writeError("xensave-lua: warning: not all mappings of the page tables are in \(output)\n")
    }
    try report(
      self, json, output,
      [
        "pages": done.pageCount, "vcpus": UInt64(done.vcpuCount), "ranges": UInt64(done.rangeCount),
        "octets_written": done.bytesWritten,
      ])
    return ExitCode.good
  }
}
