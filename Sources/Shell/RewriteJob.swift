// One rewrite from a source to a place: nothing half-written is ever seen there.

internal import Image
internal import Stream
internal import SystemIO

/// Where a rewrite's output goes.
enum Destination: Equatable {
  case file(String)
  /// The source's own file: replaced as a whole, when all is well.
  case inPlace
  case standardOutput
  /// Nowhere: a dry run.
  case none
}

/// A rewrite as the command line and `xs.rewrite` run it.
struct RewriteJob {
  var destination: Destination
  /// Leaves out the verification of what was written.
  var isUnchecked = false

  /// Runs the rewrite. A file appears under its name only once it is complete, verified and on the
  /// disk; where anything fails it is removed, and the original is as it was.
  func run(
    _ source: Source, _ filter: any RewriteFilter
  ) throws(RewriteError) -> ChangeReport {
    switch destination {
    case .none: return try Rewriter(source, to: nil, filter: filter).run()
    case .standardOutput:
      let sink: Sink
      do { sink = try Sink.standardOutput() } catch { throw RewriteError(error) }
      guard sink.kind != .file || sink.identity != source.identity else {
        throw RewriteError(
          .usage, "\(source.path): standard output is the image itself (write to another file)")
      }
      return try Rewriter(source, to: sink, filter: filter).run()
    case .inPlace:
      guard source.isFile else {
        throw RewriteError(.usage, "\(source.path): only a file can be rewritten in place")
      }
      return try run(source, filter, into: resolvedPath(source.path), like: source.path)
    case .file(let path):
      if let there = try? Source(opening: path), there.isFile, there.identity == source.identity {
        throw RewriteError(
          .usage, "\(path): the output is the image itself (use --in-place for that)")
      }
      return try run(source, filter, into: path, like: nil)
    }
  }

  private func run(
    _ source: Source, _ filter: any RewriteFilter, into path: String, like: String?
  ) throws(RewriteError) -> ChangeReport {
    do {
      if let kind = try specialFile(path) { return try run(source, filter, special: kind) }
      let output = try OutputFile(creating: path, like: like)
      let report = try rewrite(source, output.sink, filter)
      if !isUnchecked { try verify(output) }
      try output.commit()
      return report
    } catch let error as RewriteError {
      throw error
    } catch let error as SystemError {
      throw RewriteError(error)
    } catch {
      throw RewriteError(.usage, "\(error)")
    }
  }

  /// Writes into what is there already and cannot be replaced: a FIFO or a device.
  private func run(
    _ source: Source, _ filter: any RewriteFilter, special sink: Sink
  ) throws(RewriteError) -> ChangeReport {
    try rewrite(source, sink, filter)
  }

  private func rewrite(
    _ source: Source, _ sink: Sink, _ filter: any RewriteFilter
  ) throws(RewriteError) -> ChangeReport {
    try Rewriter(source, to: sink, filter: filter).run()
  }

  /// A sink for `path` if that is a FIFO or device; nil where a file may be made or replaced.
  private func specialFile(_ path: String) throws(SystemError) -> Sink? {
    guard let number = try openIfSpecial(path) else { return nil }
    return Sink(try Descriptor(taking: number, path: path), path: path)
  }

  private func verify(_ output: OutputFile) throws(RewriteError) {
    let written: Source
    do { written = try Source(opening: output.readingPath) } catch { throw RewriteError(error) }
    let report: VerifyReport
    do { report = try Verifier(written).run() } catch { throw RewriteError(error) }
    guard let first = report.findings.first(where: { $0.severity == .error }) else { return }
    let others = report.count(.error) - 1
    throw RewriteError(
      .rejected(count: report.count(.error)),
      "\(output.path): not written: the result would not restore: \(first.description)"
        + (others > 0 ? " (and \(others) more)" : "")
        + "; --unchecked writes it all the same")
  }
}
