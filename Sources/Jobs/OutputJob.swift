// Writing an image to a place: nothing half-written is ever seen there.

internal import Format
internal import ImageCheck
package import ImageEdit
package import Stream
package import SystemIO
internal import Zstd

/// Where an image goes.
package enum Destination: Equatable {
  case file(String)
  /// The source's own file: replaced as a whole, when all is well.
  case inPlace
  case standardOutput
  /// Nowhere: a dry run.
  case none

  /// The place that a word of the command line means: "-" is standard output.
  package init(_ word: String) { self = word == "-" ? .standardOutput : .file(word) }
}

/// How every command and Lua function that makes an image out of another writes it.
package struct OutputJob {
  package var destination: Destination
  /// Leaves out the verification of what was written.
  package var isUnchecked = false
  /// What else is asked of a result before it gets its name; throws where it may not.
  package var check: ((Source) throws -> Void)?
  /// Whether the check may be left out where what was written cannot be read again.
  package var isCheckOptional = false
  /// The level at which zstd packs what is written, in frames that are read one by one; nil: not at all.
  package var packingLevel: Int?

  package init(
    destination: Destination, isUnchecked: Bool = false,
    check: ((Source) throws -> Void)? = nil
  ) {
    self.destination = destination
    self.isUnchecked = isUnchecked
    self.check = check
  }
  /// Rules that say no more than that no Xen reads the format of a result.
  enum FormatRule {
    static let version = "image-header.version"
    static let order = "image-header.endianness"
    static let libxlOrder = "libxl-header.endianness"
  }

  /// Runs `body` with the sink; it is nil in a dry run. `expecting` says which rules the result may
  /// break. A file appears under its name only once it is complete, verified and on the disk; where
  /// anything fails it is gone, and the source is as it was.
  package func run<Report>(
    _ source: Source, expecting: (Report) -> Set<String> = { _ in [] },
    _ body: (Sink?) throws -> Report
  ) throws -> Report {
    switch destination {
    case .none: return try body(nil)
    case .inPlace:
      guard source.isFile else {
        throw XensaveError(.usage, "\(source.path): only a file can be rewritten in place")
      }
      let edit = try claim(source)
      return try write(edit.resolvedPath, .inPlace, replacing: edit, expecting, body)
    case .standardOutput, .file:
      return try run(
        butNot: [source.identity], isTheInput: "is the image itself (use --in-place for that)",
        composing: source, expecting: expecting, body)
    }
  }

  /// The same for what is made of several inputs, which may not be the output.
  package func run<Report>(
    butNot inputs: [FileIdentity], isTheInput: String = "is one of the inputs",
    composing source: Source? = nil, expecting: (Report) -> Set<String> = { _ in [] },
    _ body: (Sink) throws -> Report
  ) throws -> Report {
    switch destination {
    case .none, .inPlace: preconditionFailure("this needs a destination of its own")
    case .standardOutput:
      let sink = try Sink.standardOutput()
      guard sink.kind != .file || !inputs.contains(sink.identity) else {
        throw XensaveError(.usage, "standard output \(isTheInput)")
      }
      return try packing(sink, body)
    case .file(let path):
      guard !OutputFile.isSame(path, as: inputs) else {
        throw XensaveError(.usage, "\(path): the output \(isTheInput)")
      }
      return try write(path, .replacing, composing: source, expecting, body)
    }
  }

  /// The right to put another file in the place of the source.
  private func claim(_ source: Source) throws -> FileEdit {
    let edit = try source.edit ?? FileEdit(source.path)
    guard edit.isRegular else {
      throw XensaveError(
        .usage,
        "\(source.path): a device cannot be replaced (edits that change no length can be made there)"
      )
    }
    guard edit.identity == source.identity else {
      throw XensaveError(.changed, "\(source.path): not edited: another file has this name now")
    }
    return edit
  }

  private func write<Report>(
    _ path: String, _ rule: OutputFile.Rule, replacing edit: FileEdit? = nil,
    composing source: Source? = nil, _ expecting: (Report) -> Set<String>,
    _ body: (Sink) throws -> Report
  ) throws -> Report {
    try OutputFile.write(path, .memory, rule) { output in
      guard check == nil || isCheckOptional || output.readingPath != nil else {
        throw XensaveError(.usage, "\(path): what is written there cannot be checked")
      }
      // What a server takes from one of its objects does not pass here.
      let isComposed =
        try packingLevel == nil && source.map { try output.compose(from: $0) } ?? false
      var passing: PassingCheck?
      let report = try packing(output.sink) { sink in
        passing = output.isRemote && !isComposed && !isUnchecked ? try PassingCheck(sink) : nil
        return try body(sink)
      }
      if let passing {
        try judge(passing.finish(), of: output, expecting(report))
      } else if let composed = try output.composedSource() {
        if !isUnchecked { try judge(Verifier(composed).run(), of: output, expecting(report)) }
      } else if !isUnchecked {
        try verify(output, expecting(report))
      }
      if let check, let written = try written(output) { try check(written) }
      try edit?.checkPlace()
      return report
    }
  }

  /// Verifies what was written, where it can be read again.
  package func verify(
    _ output: OutputFile, _ expectedRules: Set<String> = []
  ) throws {
    guard let written = try written(output) else { return }
    try judge(Verifier(written).run(), of: output, expectedRules)
  }

  /// What was written, where it can be read again.
  private func written(_ output: OutputFile) throws -> Source? {
    guard let path = output.readingPath else { return nil }
    let source = try Source(opening: path)
    guard packingLevel != nil else { return source }
    return try SeekableZstdReader(source).map { try Source($0) }
  }

  /// Runs `body` with `sink`, or with what packs for it.
  private func packing<R>(_ sink: Sink, _ body: (Sink) throws -> R) throws -> R {
    guard let packingLevel else { return try body(sink) }
    let writer = try SeekableZstdWriter(sink, level: packingLevel, jobs: Environment.coreCount)
    let result = try body(Sink(writer))
    try writer.commit()
    return result
  }

  /// Throws where what was written would not restore.
  private func judge(
    _ report: VerifyReport, of output: OutputFile, _ expectedRules: Set<String>
  ) throws {
    let expectedRules = expectedRules.union(output.expectedRules)
    let errors = report.findings.filter {
      $0.severity == .error && !expectedRules.contains($0.ruleID)
    }
    guard let first = errors.first else { return }
    let others = errors.count - 1
    throw XensaveError(
      .rejected,
      "\(output.path): \(output.refusal): the result would not restore: \(first.description)"
        + (others > 0 ? " (and \(others) more)" : "")
        + "; --unchecked writes it all the same")
  }
}

extension OutputFile {
  /// The rules that an image breaks by where it was written: on a device other bytes follow it.
  package var expectedRules: Set<String> {
    isBlockDevice ? ["trailing.image", "trailing.octets"] : []
  }

  /// What becomes of a result that is not good.
  package var refusal: String { isBlockDevice ? "written, but not good" : "not written" }
}

/// A rewrite through a filter, as the command line and `xs.rewrite` run it.
package struct RewriteJob {
  package var destination: Destination
  package var isUnchecked = false

  package init(destination: Destination, isUnchecked: Bool = false) {
    self.destination = destination
    self.isUnchecked = isUnchecked
  }

  package func run(
    _ source: Source, _ filter: any RewriteFilter
  ) throws -> ChangeReport {
    try OutputJob(destination: destination, isUnchecked: isUnchecked).run(
      source, expecting: { RewriteJob.expectedRules($0.headersRead) }
    ) { sink in
      let report = try Rewriter(source, to: sink, filter: filter).run()
      if let sink, destination == .inPlace, report.isOnVolume {
        try RewriteJob.fill(sink, for: source.byteCount ?? 0)
      }
      return report
    }
  }

  /// Bytes of a disk's smallest part.
  private static let sector: UInt64 = 512

  /// Makes the file of a volume of `byteCount` bytes as long as it was, by zeros: who attaches it as a
  /// disk expects its size, and sees whole sectors only, without the end of an image in a part of one.
  private static func fill(_ sink: Sink, for byteCount: UInt64) throws {
    guard byteCount % sector == 0 else { return }
    let sectors = (sink.position + sector - 1) / sector * sector
    let end = max(byteCount, sectors)
    guard end > sink.position else { return }
    try sink.writeHole(end - sink.position - 1)
    try sink.write([0])
  }

  /// The rules that an image with these headers breaks by its format alone.
  package static func expectedRules(_ headers: [Header]) -> Set<String> {
    var out: Set<String> = []
    for header in headers {
      switch header.kind {
      case .image where header.unsigned("version") == UInt64(DraftB.version):
        out.insert(OutputJob.FormatRule.version)
      default: break
      }
      guard let options = header.unsigned("options"), options & 1 != 0 else { continue }
      if header.kind == .image { out.insert(OutputJob.FormatRule.order) }
      if header.kind == .libxl { out.insert(OutputJob.FormatRule.libxlOrder) }
    }
    return out
  }
}
