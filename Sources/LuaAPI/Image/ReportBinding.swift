// Reports of rewrites and verifications as Lua sees them.

internal import Bytes
package import ImageCheck
package import ImageEdit
internal import LuaRuntime
package import Reports
internal import Stream
internal import SystemIO

/// What a rewrite did.
package final class LuaReport {
  package let report: ChangeReport
  /// Whether it is about what was written, and not about what could be.
  private let isOfWriting: Bool

  init(_ report: ChangeReport, isOfWriting: Bool = true) {
    self.report = report
    self.isOfWriting = isOfWriting
  }

  /// The changes, one a line, and what was written.
  package func text(_ textStyle: TextStyle = .none) -> String {
    textStyle.report(report, hasCounts: isOfWriting)
  }

  static var table: LuaClass<LuaReport> {
    func count(
      _ name: String, _ doc: String, unit: String, _ get: @escaping (ChangeReport) -> Int
    ) -> LuaMember<LuaReport> {
      .property(name, "integer", doc, unit: unit) { report, frame in frame.push(get(report.report))
      }
    }
    var table = LuaClass<LuaReport>(
      "Report", "What a rewrite did. Printing it gives the changes, one a line.",
      [
        count("records_in", "Records read.", unit: "records") { $0.recordsRead },
        count("records_out", "Records written.", unit: "records") { $0.recordsWritten },
        count("kept", "Records written as they were.", unit: "records") { $0.kept },
        count("changed", "Records written with changes.", unit: "records") { $0.changed },
        count("dropped", "Records left out.", unit: "records") { $0.dropped },
        count("inserted", "Records that the filter made.", unit: "records") { $0.inserted },
        count("headers_changed", "Headers written with changes.", unit: "headers") {
          $0.headersChanged
        },
        count("octets_in", "Bytes read.", unit: "bytes") { Int(clamping: $0.bytesRead) },
        count("octets_out", "Bytes written.", unit: "bytes") { Int(clamping: $0.bytesWritten) },
        .property(
          "changes", "table[]",
          "Every change: kind, path (\"config.c_info.name\"; \"\" for whole records), place, offset, "
            + "before, after (at most 1000).",
          example: "for _, c in ipairs(report.changes) do print(c.path, c.before, c.after) end"
        ) { report, frame in
          frame.push(
            LuaValue.list(
              report.report.changes.map { change in
                .table([
                  ("kind", .text(change.kind.rawValue)), ("place", .text(change.place)),
                  ("offset", .unsigned(change.offset)), ("path", .text(change.path)),
                  ("before", .text(change.before)), ("after", .text(change.after)),
                ])
              }))
        },
      ])
    table.toString = { $0.text() }
    return table
  }
}

/// One finding of a verification.
final class LuaFinding {
  let finding: Finding
  init(_ finding: Finding) { self.finding = finding }

  static var table: LuaClass<LuaFinding> {
    func text(_ name: String, _ doc: String, _ get: @escaping (Finding) -> String)
      -> LuaMember<LuaFinding>
    {
      .property(name, "string", doc) { finding, frame in frame.push(get(finding.finding)) }
    }
    var table = LuaClass<LuaFinding>(
      "Finding", "Something wrong with an image.",
      [
        text("rule", "The rule's id.") { $0.ruleID },
        text("severity", "\"error\", \"warning\" or \"note\".") { $0.severity.rawValue },
        text("place", "The record or header.") { $0.place },
        text("field", "The field, or \"\".") { $0.field },
        text("problem", "What was expected and what was found.") { $0.problem },
        .property("offset", "integer", "Bytes from the start of the image.", unit: "bytes") {
          finding, frame in
          frame.push(finding.finding.offset)
        },
      ])
    table.toString = { $0.finding.description }
    return table
  }
}

/// The result of a verification: a list of findings.
package final class LuaVerification {
  package let report: VerifyReport
  init(_ report: VerifyReport) { self.report = report }

  static var table: LuaClass<LuaVerification> {
    var table = LuaClass<LuaVerification>(
      "Verification",
      "The findings of a verification, from 1; `ok` says whether a restore may be tried.",
      [
        .property("ok", "boolean", "Whether there are no errors.") { verification, frame in
          frame.push(verification.report.count(.error) == 0)
        },
        .property("errors", "integer", "Findings that a restore would fail on.", unit: "findings") {
          verification, frame in frame.push(verification.report.count(.error))
        },
        .property("warnings", "integer", "Findings that are suspicious.", unit: "findings") {
          verification, frame in
          frame.push(verification.report.count(.warning))
        },
      ])
    table.index = { verification, frame in
      guard frame.type(2) == .number else {
        throw LuaError("no member '\(frame.text(2))' in Verification")
      }
      let position = try frame.integer(2)
      guard position >= 1, position <= verification.report.findings.count else {
        frame.pushNil()
        return 1
      }
      frame.push(object: LuaFinding(verification.report.findings[Int(position) - 1]))
      return 1
    }
    table.length = { verification, frame in
      frame.push(verification.report.findings.count)
      return 1
    }
    table.toString = { $0.report.text() }
    return table
  }
}

/// Verifies an image with its edits and pushes the result: 1, or `nil, err` as 2.
func pushVerification(
  of image: LuaImage, _ frame: LuaFrame, options: Verifier.Options = Verifier.Options()
) throws -> Int32 {
  guard image.isEdited else {
    return try pushVerification(of: try image.takeSource(), frame, options: options)
  }
  let document = try image.document()
  return try pushVerification(frame) { try Verifier(document, options: options).run() }
}

/// Verifies `source` and pushes the result: 1, or `nil, err` as 2.
func pushVerification(
  of source: Source, _ frame: LuaFrame, options: Verifier.Options = Verifier.Options()
) throws -> Int32 {
  try pushVerification(frame) { try Verifier(source, options: options).run() }
}

private func pushVerification(
  _ frame: LuaFrame, _ run: () throws -> VerifyReport
) throws -> Int32 {
  do {
    frame.push(object: LuaVerification(try run()))
    return 1
  } catch {
    return try frame.fail(error)
  }
}
