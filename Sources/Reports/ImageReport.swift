// All about an image, or about two, on one page.

internal import Bytes
internal import Format
internal import GuestOS
package import ImageCheck
package import ImageEdit
internal import JSON
package import Pages
package import SystemIO
internal import Terminal

/// What a report is made of.
package struct ImageReport {
  /// An image, by itself.
  package struct Subject {
    package let path: String
    package let summary: Summary
    package let verdict: VerifyReport

    package init(path: String, summary: Summary, verdict: VerifyReport) {
      self.path = path
      self.summary = summary
      self.verdict = verdict
    }
  }

  /// How two images differ.
  package struct Comparison {
    package let other: Subject
    package let differences: [Difference]
    package let pages: [PageDifference]

    package init(other: Subject, differences: [Difference], pages: [PageDifference]) {
      self.other = other
      self.differences = differences
      self.pages = pages
    }
  }

  /// Cells of the map: some 400 KB of the page.
  package static let cellLimit = 8192
  /// Of a cell, pages whose entropy is taken: of all it would take longer than to read them.
  package static let entropySamples: UInt64 = 8
  private static let rowLimit = 500
  private static let logLimit = 200_000
  private static let configLimit = 100_000

  package let subject: Subject
  package let comparison: Comparison?
  private let map: ImageMap

  package init(_ subject: Subject, _ map: ImageMap, comparison: Comparison? = nil) {
    self.subject = subject
    self.map = map
    self.comparison = comparison
  }

  /// The page. `image` is what records and the guest are read from.
  package func html(_ image: PageImage, _ source: Source) throws -> String {
    let name = subject.summary.name.map { " \"\($0)\"" } ?? ""
    var page = HTMLPage(
      title: comparison.map { "\(subject.path) and \($0.other.path)" }
        ?? "\(subject.path): saved domain\(name)")
    page.section("summary", "Summary")
    add(subject, to: &page)
    if let other = comparison?.other { add(other, to: &page) }
    page.section("findings", "Findings")
    findings(subject, &page)
    if let other = comparison?.other { findings(other, &page) }
    if let comparison {
      page.section("differences", "Differences")
      differences(comparison, &page)
    }
    page.section("memory", "Memory")
    memory(&page)
    page.section("guest", "Guest")
    try guest(image, &page)
    page.section("records", "Records")
    page.paragraph(
      "Headers and records in the order of the stream. A field and its bytes are marked together.",
      style: "faint")
    try RecordSection.add(source, to: &page)
    return page.finish()
  }

  // MARK: - Sections

  private func add(_ subject: Subject, to page: inout HTMLPage) {
    page.heading(subject.path)
    let name = subject.summary.name.map { [(label: "name", value: $0)] } ?? []
    let uuid = subject.summary.uuid.map { [(label: "UUID", value: $0)] } ?? []
    page.pairs(name + uuid + subject.summary.rows)
    page.details("Records by type") { page in
      page.table(
        ["record", "count", "bytes"],
        subject.summary.records.map { type, tally in
          [
            type.layer == .libxl ? "libxl \(type.name)" : type.name, tally.count.grouped,
            tally.byteCount.grouped,
          ]
        }, right: [1, 2])
    }
    if let config = subject.summary.config {
      page.details("Configuration") { page in
        let text = String(decoding: config.text(.pretty), as: UTF8.self)
        page.block(String(text.prefix(ImageReport.configLimit)), label: "Configuration")
        if text.count > ImageReport.configLimit { page.paragraph("It is longer.", style: "faint") }
      }
    }
  }

  private func findings(_ subject: Subject, _ page: inout HTMLPage) {
    let report = subject.verdict
    if comparison != nil { page.heading(subject.path) }
    page.paragraph(report.verdict(), style: report.isGood ? "good" : "bad")
    guard !report.findings.isEmpty else { return }
    let shown = report.findings.prefix(ImageReport.rowLimit)
    page.table(
      ["severity", "offset", "place", "finding", "rule"],
      shown.map { finding in
        [
          finding.severity.rawValue, finding.offset.hex(), finding.place,
          [finding.field, finding.problem].filter { !$0.isEmpty }.joined(separator: ": "),
          finding.ruleID,
        ]
      }, right: [1], styles: shown.map(\.severity.rawValue))
    let all = Severity.allCases.reduce(0) { $0 + report.count($1) }
    more(all - shown.count, "findings", &page)
  }

  private func more(_ count: Int, _ what: String, _ page: inout HTMLPage) {
    if count > 0 { page.paragraph("... and \(count.grouped) more \(what)", style: "faint") }
  }

  private func differences(_ comparison: Comparison, _ page: inout HTMLPage) {
    let (found, pages) = (comparison.differences, comparison.pages)
    if found.isEmpty, pages.isEmpty { return page.paragraph("There are none.", style: "good") }
    let changed = pages.reduce(UInt64(0)) { $0.addingSaturated($1.pageCount) }
    page.paragraph(
      "\(found.count.grouped) differences of headers, configuration and records; "
        + "\(changed.grouped) pages differ.")
    if !found.isEmpty {
      page.table(
        ["what", "first image", "second image"],
        found.prefix(ImageReport.rowLimit).map { difference in
          [difference.shownPath, difference.before, difference.after]
            .map { String($0.prefix(400)) }
        })
      more(found.count - ImageReport.rowLimit, "differences", &page)
    }
    if !pages.isEmpty {
      page.details("Pages that differ: \(pages.count.grouped) runs") { page in
        page.block(
          pages.prefix(ImageReport.rowLimit).map(\.description).joined(separator: "\n"),
          label: "Pages that differ")
        more(pages.count - ImageReport.rowLimit, "runs", &page)
      }
    }
  }

  private func memory(_ page: inout HTMLPage) {
    var layers: [MapLayer] = []
    if let comparison { layers.append(MapLayer(map.map.axis, map.map, comparison.pages)) }
    for view in MapView.allCases where view != .use || map.use?.isEmpty == false {
      layers.append(MapLayer(map, view))
    }
    page.add(map.map, layers)
    if map.map.absentLeftOut > 0 {
      page.paragraph(
        "\(map.map.absentLeftOut.grouped) absent pages, in large gaps, are left out.",
        style: "faint")
    }
    if map.map.entropyStep > 1 {
      page.paragraph(
        "The entropy is that of one page in \(map.map.entropyStep.grouped).", style: "faint")
    }
    for layer in layers {
      page.details("In numbers: \(layer.title)") { page in
        page.table(
          ["pages", "count"],
          zip(layer.tints, layer.totals).filter { $0.1 > 0 }.map { [$0.name, $1.grouped] },
          right: [1])
      }
    }
  }

  private func guest(_ image: PageImage, _ page: inout HTMLPage) throws {
    let reports: GuestReports
    do { reports = GuestReports(try LinuxGuest(GuestMemory(image))) } catch {
      return try nothing("Not told of the guest", error, &page)
    }
    for section in reports.summary() {
      for row in section.rows { page.pairs(row.map { ($0.key, ImageReport.text($0)) }) }
    }
    do {
      let tasks = try reports.tasks(threads: false)
      page.details("Processes: \(tasks.rows.count.grouped)", isOpen: tasks.rows.count <= 40) {
        page in
        page.table(
          tasks.rows.first?.map(\.key) ?? [],
          tasks.rows.prefix(ImageReport.rowLimit).map { row in
            row.map { String($0.text.prefix(400)) }
          }, right: Set((tasks.rows.first ?? []).indices.filter { tasks.rows[0][$0].isNumber }))
        more(tasks.rows.count - ImageReport.rowLimit, "processes", &page)
        if let problem = tasks.problem { page.paragraph(problem, style: "faint") }
      }
    } catch { try nothing("No processes", error, &page) }
    do {
      let log = try reports.log()
      // The end of a log says most.
      let text = log.lines.suffix(ImageReport.logLimit)
      page.details("Kernel log: \(log.rows.count.grouped) lines") { page in
        page.block(String(text), label: "Kernel log")
        if let problem = log.problem { page.paragraph(problem, style: "faint") }
      }
    } catch { try nothing("No log", error, &page) }
  }

  /// A cell of the guest's summary with its unit.
  private static func text(_ cell: GuestCell) -> String {
    switch cell.key {
    case "memory", "free": (UInt64(cell.text) ?? 0).byteCount
    case "uptime": cell.text + " s"
    case "time": cell.text + " s since 1970"
    default: cell.text
    }
  }

  /// What of a guest is not there is no reason to have no report.
  private func nothing(_ what: String, _ error: any Error, _ page: inout HTMLPage) throws {
    let error = XensaveError(error)
    if error.isOfSystem { throw error }
    page.paragraph("\(what): \(error)", style: "faint")
  }
}
