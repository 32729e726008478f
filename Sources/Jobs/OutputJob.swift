// Writing an image to a place: nothing half-written is ever seen there.

internal import Format
internal import ImageCheck
package import ImageEdit
package import Stream
package import SystemIO

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
  package var check: ((Source) throws(RewriteError) -> Void)?
  /// Whether the check may be left out where what was written cannot be read again.
  package var isCheckOptional = false

  package init(
    destination: Destination, isUnchecked: Bool = false,
    check: ((Source) throws(RewriteError) -> Void)? = nil
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

  /// Runs `body` with the sink. `expecting` says which rules the result may break. A file appears under its name only once it is complete, verified and
  /// on the disk; where anything fails it is gone, and the source is as it was.
  package func run<Report>(
    _ source: Source, expecting: (Report) -> Set<String> = { _ in [] },
    _ body: (Sink?) throws(RewriteError) -> Report
  ) throws(RewriteError) -> Report {
    switch destination {
    case .none: return try body(nil)
    case .standardOutput:
      let sink: Sink
      do { sink = try Sink.standardOutput() } catch { throw RewriteError(error) }
      guard sink.kind != .file || sink.identity != source.identity else {
        throw RewriteError(
          .destination,
          "\(source.path): standard output is the image itself (write to another file)")
      }
      return try body(sink)
    case .inPlace:
      guard source.isFile else {
        throw RewriteError(.destination, "\(source.path): only a file can be rewritten in place")
      }
      let edit = try claim(source)
      return try write(edit.resolvedPath, .inPlace, replacing: edit, expecting, body)
    case .file(let path):
      guard !OutputFile.isSame(path, as: [source.identity]) else {
        throw RewriteError(
          .destination, "\(path): the output is the image itself (use --in-place for that)")
      }
      return try write(path, .replacing, expecting, body)
    }
  }

  /// The right to put another file in the place of the source.
  private func claim(_ source: Source) throws(RewriteError) -> FileEdit {
    do {
      let edit = try source.edit ?? FileEdit(source.path)
      guard edit.isRegular else {
        throw EditError(
          .usage,
          "\(source.path): a device cannot be replaced (edits that change no length can be made there)"
        )
      }
      guard edit.identity == source.identity else {
        throw EditError(.changed, "\(source.path): not edited: another file has this name now")
      }
      return edit
    } catch let error as EditError {
      throw RewriteError(error)
    } catch {
      throw RewriteError(.usage, "\(error)")
    }
  }

  private func write<Report>(
    _ path: String, _ rule: OutputFile.Rule, replacing edit: FileEdit? = nil,
    _ expecting: (Report) -> Set<String>,
    _ body: (Sink?) throws(RewriteError) -> Report
  ) throws(RewriteError) -> Report {
    do {
      let output = try OutputFile(path, .memory, rule)
      guard check == nil || isCheckOptional || output.readingPath != nil else {
        throw RewriteError(.destination, "\(path): what is written there cannot be checked")
      }
      let report = try body(output.sink)
      if !isUnchecked { try verify(output, expecting(report)) }
      if let check, let readable = output.readingPath { try check(Source(opening: readable)) }
      try edit?.checkPlace()
      try output.commit()
      return report
    } catch let error as RewriteError {
      throw error
    } catch let error as EditError {
      throw RewriteError(error)
    } catch let error as SystemError {
      throw RewriteError(error)
    } catch {
      throw RewriteError(.usage, "\(error)")
    }
  }

  /// Verifies what was written, where it can be read again.
  package func verify(
    _ output: OutputFile, _ expectedRules: Set<String> = []
  ) throws(RewriteError) {
    guard let path = output.readingPath else { return }
    let expectedRules = expectedRules.union(output.expectedRules)
    let written: Source
    do { written = try Source(opening: path) } catch { throw RewriteError(error) }
    let report: VerifyReport
    do { report = try Verifier(written).run() } catch { throw RewriteError(error) }
    let errors = report.findings.filter {
      $0.severity == .error && !expectedRules.contains($0.ruleID)
    }
    guard let first = errors.first else { return }
    let others = errors.count - 1
    throw RewriteError(
      .rejected(count: errors.count),
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
  ) throws(RewriteError) -> ChangeReport {
    try OutputJob(destination: destination, isUnchecked: isUnchecked).run(
      source, expecting: { RewriteJob.expectedRules($0.headersRead) }
    ) { sink throws(RewriteError) in
      try Rewriter(source, to: sink, filter: filter).run()
    }
  }

  /// The rules that an image with these headers breaks by its format alone.
  package static func expectedRules(_ headers: [Header]) -> Set<String> {
    var out: Set<String> = []
    for header in headers {
      switch header.kind {
      case .image where header.number("version") == UInt64(DraftB.version):
        out.insert(OutputJob.FormatRule.version)
      default: break
      }
      guard let options = header.number("options"), options & 1 != 0 else { continue }
      if header.kind == .image { out.insert(OutputJob.FormatRule.order) }
      if header.kind == .libxl { out.insert(OutputJob.FormatRule.libxlOrder) }
    }
    return out
  }
}
