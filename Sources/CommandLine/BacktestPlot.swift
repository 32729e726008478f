// What policies did, as a picture.

internal import Bytes
internal import Live
internal import PolicyEngine
internal import Reports
internal import Terminal

/// Draws back-tests as SVG. A panel a trace: above, how fast the guest dirtied pages; below, a line a
/// policy with its rounds and the time in which the guest stood still. At the end, the downtime of all of
/// them against what they sent.
struct BacktestPlot {
  /// A trace and what policies did with it.
  struct Panel {
    let test: Backtest
    let outcomes: [Backtest.Outcome]
  }

  private static let width = 960.0
  private static let left = 170.0
  private static let right = width - 30
  private static let rateHeight = 130.0
  private static let lane = 36.0
  private static let scatterHeight = 340.0

  private static let partTints = [
    Tint("pages dirtied a second", "-", .blue, light: "#1f77b4", dark: "#6cb6f0"),
    Tint("rounds, in turn", "#", .cyan, light: "#7fb8dd", dark: "#3f7fae"),
    Tint("", "=", .blue, light: "#b9d8ec", dark: "#2b5876"),
    Tint("final round: the guest stands still", "!", .red, light: "#d62728", dark: "#ff6b5e"),
  ]
  /// Colours that also those tell apart who see fewer of them.
  private static let policyColors: [(light: String, dark: String)] = [
    ("#0072b2", "#56b4e9"), ("#d55e00", "#ff9a52"), ("#009e73", "#35d3a5"), ("#a3478f", "#e39bd2"),
    ("#8a7500", "#f0e442"), ("#5b5b5b", "#c0c0c0"), ("#4b3fa7", "#a79cff"), ("#99003d", "#ff7aa8"),
  ]

  /// A drawing of all of them.
  static func svg(_ panels: [Panel]) -> String {
    let names = panels.first?.outcomes.map(\.name) ?? []
    let policies = names.enumerated().map { index, name in
      let color = policyColors[index % policyColors.count]
      return Tint(name, "*", .blue, light: color.light, dark: color.dark)
    }
    var out = SVGPicture(
      width: width, height: 0, title: "Back-tests of migration policies",
      tints: partTints + policies)
    out.text(14, 24, "Back-tests of migration policies", size: 16)
    let legend = partTints.enumerated().filter { !$0.element.name.isEmpty }
      .map { (tint: $0.offset, text: $0.element.name) }
    var top = out.legend(14, 36, width: width - 28, legend) + 14
    for panel in panels { top = draw(panel, at: top, &out) }
    out.height = scatter(panels, policies, at: top, &out)
    return out.finish()
  }

  // MARK: - A trace

  private static func draw(_ panel: Panel, at top: Double, _ out: inout SVGPicture) -> Double {
    let intervals = panel.test.replay.intervals
    let end = max(
      1, Double(panel.outcomes.map(\.result.total).max() ?? 1), intervals.last?.end ?? 1)
    let time = SVGScale(upTo: end / 1e9, from: left, to: right)
    let bottom = top + 50 + rateHeight + 16 + lane * Double(panel.outcomes.count)
    out.text(14, top + 12, panel.test.name, size: 14)
    for mark in time.marks {
      out.line(time[mark], top + 50, time[mark], bottom)
      out.text(time[mark], bottom + 14, seconds(mark), .middle, size: 10)
    }
    out.text((left + right) / 2, bottom + 30, "time since the save began", .middle, size: 11)
    rates(intervals, end, time, top + 50, &out)
    for (index, outcome) in panel.outcomes.enumerated() {
      row(outcome, top + 50 + rateHeight + 26 + lane * Double(index), time, &out)
    }
    return bottom + 56
  }

  private static func seconds(_ value: Double) -> String {
    value == 0 ? "0" : Shown.time(UInt64(saturating: value * 1e9))
  }

  private static func rates(
    _ intervals: [Replay.Interval], _ end: Double, _ time: SVGScale, _ top: Double,
    _ out: inout SVGPicture
  ) {
    let scale = SVGScale(
      upTo: (intervals.map(\.rate).max() ?? 0) * 1e9, from: top + rateHeight, to: top)
    out.axis(scale, left: left, right: right, title: "pages a second") {
      UInt64(saturating: $0).grouped
    }
    var points: [(x: Double, y: Double)] = []
    for interval in intervals {
      let y = scale[interval.rate * 1e9]
      points += [(time[interval.begin / 1e9], y), (time[interval.end / 1e9], y)]
    }
    if let last = intervals.last, last.end < end {
      points.append((time[end / 1e9], scale[last.rate * 1e9]))
    }
    out.polyline(points, "line t0")
  }

  private static func row(
    _ outcome: Backtest.Outcome, _ y: Double, _ time: SVGScale, _ out: inout SVGPicture
  ) {
    let result = outcome.result
    out.text(left - 10, y + 14, outcome.name, .end)
    for (index, round) in result.rounds.enumerated() {
      let (begin, end) = (time[Double(round.begin) / 1e9], time[Double(round.end) / 1e9])
      out.rect(
        begin, y, max(1, end - begin), 20, SVGPicture.fill(round.isFinal ? 3 : 1 + index % 2),
        tip: "\(round.isFinal ? "final round" : "round \(index)"): \(round.dirtyCount) pages, "
          + Shown.time(round.end - round.begin))
    }
    let note: String
    switch result.outcome {
    case .complete: note = "downtime \(Shown.time(result.downtime))"
    case .aborted(let reason): note = "aborted" + (reason.isEmpty ? "" : ": " + reason)
    case .failed(let reason): note = "failed: " + reason
    }
    // After the last round where there is room, else above it.
    let place = time[Double(result.total) / 1e9]
    if right - place > 7 * Double(displayWidth(note)) {
      out.text(place + 6, y + 14, note, size: 11)
    } else {
      out.text(place, y - 3, note, .end, size: 11)
    }
  }

  // MARK: - All traces

  private static func scatter(
    _ panels: [Panel], _ policies: [Tint], at start: Double, _ out: inout SVGPicture
  ) -> Double {
    let all = panels.flatMap { panel in
      panel.outcomes.enumerated().map { (panel: panel, index: $0.offset, outcome: $0.element) }
    }
    let points = all.filter { $0.outcome.result.outcome == .complete }
    out.text(14, start + 12, "Downtime against what was sent, all traces", size: 14)
    let legend = policies.enumerated().map {
      (tint: partTints.count + $0.offset, text: $0.element.name)
    }
    let top = out.legend(14, start + 24, width: width - 28, legend) + 34
    let bottom = top + scatterHeight
    let down = SVGScale(
      upTo: Double(points.map(\.outcome.result.downtime).max() ?? 1) / 1e9, from: bottom, to: top)
    let sent = SVGScale(
      upTo: Double(points.map(\.outcome.result.bytes).max() ?? 1) / 1_048_576, from: left, to: right
    )
    out.axis(down, left: left, right: right, title: "downtime") { seconds($0) }
    for mark in sent.marks {
      out.line(sent[mark], top, sent[mark], bottom)
      out.text(
        sent[mark], bottom + 14, Shown.bytes(UInt64(saturating: mark * 1_048_576)), .middle,
        size: 10)
    }
    out.text((left + right) / 2, bottom + 30, "sent", .middle, size: 11)
    for point in points {
      let result = point.outcome.result
      let (x, y) = (sent[Double(result.bytes) / 1_048_576], down[Double(result.downtime) / 1e9])
      out.circle(
        x, y, 5, SVGPicture.fill(partTints.count + point.index),
        tip: "\(point.outcome.name), \(point.panel.test.name): downtime "
          + "\(Shown.time(result.downtime)), \(Shown.bytes(result.bytes)) sent")
    }
    let unended = all.count - points.count
    if unended > 0 {
      let what =
        unended == 1 ? "One save that did not end is" : "\(unended) saves that did not end are"
      out.text(left, bottom + 46, "\(what) left out.", size: 11)
    }
    return bottom + 60
  }
}
