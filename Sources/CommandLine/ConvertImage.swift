// xensave-lua convert

internal import ArgumentParser
internal import Bytes
internal import Convert
internal import Format
internal import ImageEdit
internal import JSON
internal import Jobs
internal import Legacy
internal import Reports
internal import Stream
internal import SystemIO

struct ConvertImage: LongCommand {
  static let name = "convert"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Convert an image between versions, byte orders, outer layers and releases of Xen.",
    discussion: """
      FORMAT is one of: \
      \(Conversion.formats.map { "\($0.name) (\($0.doc))" }.joined(separator: ", ")). \
      --to may come twice: once for the version and once for the layers. What is not named stays as \
      it is. --layout aligned writes each page once, with its contents at a multiple of 4096 and holes \
      of the file for zeros, as `compact --aligned` does. What the result cannot hold is refused by name; --lossy leaves it out and says so.

      --for-xen makes an image that a release restores, from 4.6 on, older or newer than the one that \
      saved it: the stream gets the version that it writes, entries of HVM_CONTEXT its lengths, and \
      records, parameters, MSRs and keys of xl's configuration that it does not know are left out where \
      they say nothing. Features that it gives to no guest are taken from the CPUID and MSR policies. \
      What the guest needs is refused by name. Each change is reported; `compat --xen` lists them \
      beforehand. --for-host also counts the processor, memory and release of a host that \
      `xensave-lua host` describes.

      Exit codes: 0 done, 1 refused or a bad image, 2 usage, 3 a system call failed.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @OptionGroup var target: OutputOption
  @Option(help: ArgumentHelp("What to convert to.", valueName: "format")) var to: [String] = []
  @OptionGroup var shared: ConvertOptions
  @Option(
    help: ArgumentHelp(
      "The release of Xen that is to restore the result, as 4.17 or 4.17.5.", valueName: "M.N"))
  var forXen: String?
  @OptionGroup var hostOption: HostOption
  @Option(help: "How pages lie in the file: plain or aligned.") var layout: LayoutName?
  @Option(help: "Byte order of the streams: little or big.", completion: .list(["little", "big"]))
  var order: String?
  @Option(
    help: ArgumentHelp(
      "The release that saved the image, where draft B does not say it.", valueName: "M.N"))
  var xen: String?

  @Option(
    help: ArgumentHelp(
      "Pack the result by zstd at this level, 1 to 19: every command reads it as it is.",
      valueName: "level"))
  var zstd: Int?

  @Option(
    help:
      "Word size of a legacy image's toolstack, where it is not to be told from the image: 32 or 64."
  )
  var width: Int?

  var long: ProgressOptions { shared.long }
  private var output: String { target.path }

  mutating func execute() throws -> Int32 {
    if let zstd, !(1...19).contains(zstd) {
      throw XensaveError(.usage, "--zstd: expected a level of 1 to 19, got \(zstd)")
    }
    if let layout { return try lay(out: layout) }
    if forXen != nil || hostOption.forHost != nil { return try fit() }
    let source = try opened(image)
    if let zstd, to.isEmpty, order == nil, width == nil { return try pack(source, level: zstd) }
    if let legacy = try importLegacy(source) { return legacy }
    var conversion = try shared.conversion()
    for name in to where !conversion.add(format: name) {
      throw XensaveError(
        .usage,
        "no format '\(name)'" + didYouMean(name, among: Conversion.formats.map(\.name)))
    }
    if let order { conversion.order = try byteOrder(order) }
    if let xen { conversion.xenRelease = try xenRelease(xen) }
    guard !to.isEmpty || order != nil else {
      throw XensaveError(.usage, "convert: expected --to, --order, --zstd or --for-xen")
    }
    return try shared.run(source, output, conversion, packingLevel: zstd).0
  }

  /// The image as it is, packed.
  private func pack(_ source: Source, level: Int) throws -> Int32 {
    var job = PackJob(destination: output, level: level)
    job.isUnchecked = shared.unchecked
    let count = try job.run(source)
    if shared.json, output != "-" {
      try writeOut(JSONWriter.document { $0.object { $0.member("bytes_packed", count) } })
    } else if !shared.long.quiet, output != "-" {
      try writeOut("\(output): \(count.grouped) bytes packed\n")
    }
    return ExitCode.good
  }

  /// For a release of Xen.
  private func fit() throws -> Int32 {
    guard order == nil, width == nil, xen == nil else {
      throw XensaveError(
        .usage, "--for-xen: expected neither --order nor --xen nor --width")
    }
    let host = try hostOption.read(besides: image)
    let release = try release(forXen, of: host, option: "--for-xen")
    var conversion = try shared.conversion()
    if let problem = conversion.fit(to: release, on: host) {
      throw XensaveError(.usage, "--for-xen: \(problem)")
    }
    let version = conversion.version
    for name in to {
      guard conversion.add(format: name), conversion.version == version else {
        throw XensaveError(
          .usage, "--for-xen: expected --to with a name of layers, got '\(name)'")
      }
    }
    let source = try opened(image)
    do {
      if try LegacyForm.detect(source) != nil {
        throw XensaveError(
          .usage,
          "\(image): a legacy image becomes version 3 first: xensave-lua convert IMAGE --to v3 -o - | "
            + "xensave-lua convert - --for-xen \(release) -o OUT")
      }
    } catch let error as XensaveError {
      throw error
    } catch { throw XensaveError(error) }
    return try shared.run(source, output, conversion, packingLevel: zstd).0
  }

  /// Another layout of the same version, order and layers.
  private func lay(out layout: LayoutName) throws -> Int32 {
    guard to.isEmpty, order == nil, width == nil, zstd == nil else {
      throw XensaveError(
        .usage, "--layout: expected neither --to nor --order nor --zstd (convert in two steps)")
    }
    var words = layout == .aligned ? ["--aligned"] : []
    if shared.unchecked { words.append("--unchecked") }
    if shared.json { words.append("--json") }
    if shared.long.quiet { words.append("--quiet") }
    var compact = try Compact.parse(words + ["-o", output, "--", image])
    return try compact.execute()
  }

  /// Converts a legacy image to version 3; nil where the image is none.
  private func importLegacy(_ source: Source) throws -> Int32? {
    guard try width != nil || LegacyForm.detect(source) != nil else { return nil }
    guard order == nil, zstd == nil, to.allSatisfy({ ["v3", "libxc", "libxl"].contains($0) })
    else {
      throw XensaveError(
        .usage,
        "\(image): a legacy image becomes version 3 first: expected --to v3, libxl or libxc")
    }
    var job = LegacyJob(destination: output)
    job.isUnchecked = shared.unchecked
    if let width {
      guard width == 32 || width == 64 else {
        throw XensaveError(.usage, "--width: expected 32 or 64, got \(width)")
      }
      job.options.width = width == 32 ? .bits32 : .bits64
    }
    if to.contains("libxc") { job.options.wrapping = .libxc }
    if to.contains("libxl") { job.options.wrapping = .libxl }
    if let release = try xen.map(xenRelease) {
      job.options.xenVersion = (UInt32(release.major), UInt32(release.minor))
    }
    let report = try job.run(source)
    if shared.json, output != "-" {
      try writeOut(report.json)
    } else if !shared.long.quiet {
      writeError(
        "xensave-lua: legacy \(report.guest.name), \(report.width.rawValue * 8)-bit toolstack: "
          + "\(report.pageCount.grouped) pages, \(report.byteCount.grouped) bytes\n")
      for note in report.notes { writeError("xensave-lua: note: \(note)\n") }
    }
    return ExitCode.good
  }
}

/// How pages lie in a file, as the command line says it.
enum LayoutName: String, CaseIterable, ExpressibleByArgument { case plain, aligned }

/// What convert, wrap and unwrap share.
struct ConvertOptions: ParsableArguments {
  @Flag(help: "Leave out what the result cannot hold, and say so.") var lossy = false
  @Flag(help: "Leave out the check of what was written.") var unchecked = false
  @Flag(help: "Print the report as JSON.") var json = false
  @OptionGroup var long: ProgressOptions

  func conversion() throws -> Conversion {
    var conversion = Conversion()
    conversion.isLossy = lossy
    return conversion
  }

  /// Runs it; the report goes to standard error where the image goes to standard output.
  func run(
    _ source: Source, _ output: String, _ conversion: Conversion, packingLevel: Int? = nil
  ) throws -> (Int32, ConversionReport) {
    var job = ConvertJob(conversion: conversion, destination: output)
    job.isUnchecked = unchecked
    job.packingLevel = packingLevel
    let report = try job.run(source)
    if json, output != "-" {
      try writeOut(report.json)
    } else if !long.quiet {
      if output == "-" { writeError(report.text + "\n") } else { try writeOut(report.text + "\n") }
    }
    return (ExitCode.good, report)
  }
}

/// An image from the command line.
func opened(_ path: String) throws -> Source {
  return try Source(image: path)
}

/// A release from the command line.
func xenRelease(_ text: String) throws -> XenRelease {
  guard let release = XenRelease(text) else {
    throw XensaveError(.usage, "a release of Xen: expected MAJOR.MINOR, got '\(text)'")
  }
  return release
}

/// A byte order by its name.
func byteOrder(_ text: String) throws -> ByteOrder {
  guard let order = ByteOrder(named: text) else {
    throw XensaveError(.usage, "byte order: expected little or big, got '\(text)'")
  }
  return order
}
