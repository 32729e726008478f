// What policies did with recorded saves, as a page.

internal import Bytes
internal import Live
internal import PolicyEngine
internal import Reports

/// A page of a policy test: for each trace a table and what each policy decided, and the drawing of all.
/// All that the drawing shows under the pointer is in the tables, too.
enum BacktestReport {
  /// Rounds of a save that are listed.
  private static let roundLimit = 500

  static func html(_ panels: [BacktestPlot.Panel]) -> String {
    var page = HTMLPage(title: "Back-tests of migration policies")
    page.section("summary", "Summary")
    page.paragraph(
      "Recorded saves, replayed: the guest dirties pages as it did when the trace was recorded, and "
        + "a round takes the time that the link takes. \"builtin\" is Xen's own policy.",
      style: "faint")
    for panel in panels {
      page.heading(panel.test.name)
      page.pairs([
        ("memory", (UInt64(panel.test.trace.pageCount) << 12).byteCount),
        ("rounds recorded", panel.test.trace.rounds.count.grouped),
        ("link", panel.test.bytesPerSecond.byteCount + " a second"),
      ])
      let reasons = panel.outcomes.contains { !$0.result.outcome.reason.isEmpty } ? 1 : 0
      page.table(
        PolicyTest.header + ["reason"].prefix(reasons),
        panel.outcomes.map {
          Array(PolicyTest.cells($0).prefix(PolicyTest.header.count + reasons))
        },
        right: [2, 3, 4, 5, 6],
        styles: panel.outcomes.map { $0.failureCount > 0 ? "error" : "" })
    }
    page.section("chart", "Chart")
    page.add(drawing: BacktestPlot.svg(panels))
    page.section("decisions", "Decisions")
    for panel in panels {
      page.heading(panel.test.name)
      for outcome in panel.outcomes {
        page.details("\(outcome.name): \(outcome.result.liveRounds.grouped) rounds") { page in
          rounds(outcome, &page)
        }
      }
    }
    return page.finish()
  }

  private static func rounds(_ outcome: Backtest.Outcome, _ page: inout HTMLPage) {
    let result = outcome.result
    if outcome.failureCount > 0 {
      page.paragraph(
        "\(outcome.failureCount.grouped) of its calls failed; Xen's own policy answered instead.",
        style: "bad")
    }
    // A policy is asked before a round and after it; what it said last about a round counts.
    var said: [Int: (word: String, isBuiltin: Bool)] = [:]
    for decision in outcome.decisions {
      said[decision.stats.iteration] = (decision.verdict.word, decision.isBuiltin)
    }
    page.table(
      ["round", "begins", "takes", "pages", "decision after it"],
      result.rounds.prefix(roundLimit).enumerated().map { index, round in
        let answer = said[index + 1].map { $0.word + ($0.isBuiltin ? " (builtin)" : "") }
        return [
          round.isFinal ? "final" : "\(index)", Shown.time(round.begin),
          Shown.time(round.end - round.begin), round.dirtyCount.grouped,
          round.isFinal ? "" : answer ?? "",
        ]
      }, right: [1, 2, 3])
    if result.rounds.count > roundLimit {
      page.paragraph(
        "... and \((result.rounds.count - roundLimit).grouped) more rounds", style: "faint")
    }
  }
}
