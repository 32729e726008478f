// What policies did, as a picture.

internal import Bytes
internal import Live
internal import PolicyEngine
internal import Reports

/// Draws back-tests as SVG: above, how fast the guest dirtied pages; below, a line a policy with its
/// rounds, the time in which the guest stood still, and what was decided at the end.
struct BacktestPlot {
  private static let width = 900.0
  private static let margin = 150.0
  private static let rateHeight = 160.0
  private static let lane = 34.0

  static func svg(_ test: Backtest, _ outcomes: [Backtest.Outcome]) -> String {
    let end = max(
      1, Double(outcomes.map(\.result.total).max() ?? 1), test.replay.intervals.last?.end ?? 1)
    let height = 90 + rateHeight + lane * Double(outcomes.count)
    func x(_ time: Double) -> String { Shown.fixed(margin + time / end * (width - margin - 30), 1) }
    var out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Int(width))\" height=\"\(Int(height))\" "
      + "font-family=\"sans-serif\" font-size=\"12\">\n"
      + "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    out += text(10, 20, "\(test.name): pages dirtied a second", size: 14)
    out += rates(test, end, x)
    let axis = 40 + rateHeight
    for tick in 0...5 {
      let time = end * Double(tick) / 5
      out += line(x(time), 36, x(time), height - 30, "#dddddd")
      out += text(x(time), height - 12, Shown.time(UInt64(saturating: time)), anchor: "middle")
    }
    for (index, outcome) in outcomes.enumerated() {
      out += row(outcome, axis + 20 + lane * Double(index), x)
    }
    return out + "</svg>\n"
  }

  private static func rates(_ test: Backtest, _ end: Double, _ x: (Double) -> String) -> String {
    let intervals = test.replay.intervals
    let top = max(intervals.map(\.rate).max() ?? 0, 1e-12)
    func y(_ rate: Double) -> String { Shown.fixed(36 + rateHeight * (1 - rate / top), 1) }
    var points = ""
    for interval in intervals {
      points += "\(x(interval.begin)),\(y(interval.rate)) \(x(interval.end)),\(y(interval.rate)) "
    }
    if let last = intervals.last, last.end < end { points += "\(x(end)),\(y(last.rate))" }
    return "<polyline fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"2\" points=\"\(points)\"/>\n"
      + text(10, 48, Shown.fixed(top * 1e9, 0)) + text(10, 36 + rateHeight, "0")
  }

  private static func row(
    _ outcome: Backtest.Outcome, _ y: Double, _ x: (Double) -> String
  ) -> String {
    let result = outcome.result
    var out = text(10, y + 14, outcome.name)
    var stopped = 0.0
    for (index, round) in result.rounds.enumerated() {
      let color = round.isFinal ? "#d62728" : index % 2 == 0 ? "#9ecae1" : "#c6dbef"
      let (begin, end) = (Double(round.begin), Double(round.end))
      if round.isFinal { stopped = begin }
      out +=
        "<rect x=\"\(x(begin))\" y=\"\(y)\" height=\"20\" width=\""
        + Shown.fixed(max(1, (Double(x(end)) ?? 0) - (Double(x(begin)) ?? 0)), 1)
        + "\" fill=\"\(color)\"><title>"
        + "\(round.isFinal ? "final round" : "round \(index)"): \(round.dirtyCount) pages, "
        + "\(Shown.time(round.end - round.begin))</title></rect>\n"
    }
    let note: String
    switch result.outcome {
    case .complete:
      out += line(x(stopped), y - 3, x(stopped), y + 23, "#d62728")
      note = "stop: \(Shown.time(result.downtime))"
    case .aborted(let reason): note = "abort" + (reason.isEmpty ? "" : ": " + reason)
    case .failed(let reason): note = "failed: " + reason
    }
    return out + text(x(Double(result.total)), y - 5, note, anchor: "end")
  }

  private static func line(
    _ x1: String, _ y1: Double, _ x2: String, _ y2: Double, _ color: String
  ) -> String {
    "<line x1=\"\(x1)\" y1=\"\(y1)\" x2=\"\(x2)\" y2=\"\(y2)\" stroke=\"\(color)\"/>\n"
  }

  private static func text(_ x: Double, _ y: Double, _ text: String, size: Int = 12) -> String {
    self.text("\(x)", y, text, anchor: "start", size: size)
  }

  private static func text(
    _ x: String, _ y: Double, _ text: String, anchor: String, size: Int = 12
  ) -> String {
    let escaped = text.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
    return "<text x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\" font-size=\"\(size)\">"
      + "\(escaped)</text>\n"
  }
}
