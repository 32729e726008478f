// The rounds of a stream as bars, and how often pages were sent as cells.

internal import Bytes
package import JSON
package import Pages
internal import Stream
internal import Terminal

/// Draws what a live or checkpointed stream sent.
package struct HistoryPicture {
  private let history: SendHistory

  package init(_ history: SendHistory) { self.history = history }

  package static let barTints = [
    Tint.first("sent for the first time"), Tint.again("sent again"),
    Tint("to be compared", "?", .white, light: "#9aa0a8", dark: "#7b828c"),
  ]
  private static let heatTints = Tint.ramp(
    ("once", "."), ("2 times", ":"), ("3 or 4", "+"), ("5 to 8", "*"), ("9 and more", "#"))

  /// Neighbouring rounds that are one bar.
  private struct Bar {
    var first: Int
    var last: Int
    var checkpoint: Int
    var isVerifying: Bool
    /// The largest of its rounds: sums would make more of those that were joined.
    var largest: SendHistory.Round
  }

  /// At most `limit` bars; rounds of different checkpoints are joined too where there are many.
  private func bars(limit: Int) -> [Bar] {
    let rounds = history.rounds
    let size = max(1, (rounds.count + limit - 1) / max(1, limit))
    return stride(from: 0, to: rounds.count, by: size).map { first in
      let last = min(first + size, rounds.count) - 1
      var largest = rounds[first]
      for round in rounds[first...last] where round.entryCount > largest.entryCount {
        largest = round
      }
      return Bar(
        first: first, last: last, checkpoint: rounds[last].checkpoint,
        isVerifying: rounds[first].isVerifying, largest: largest)
    }
  }

  private var summary: String {
    let sent = history.rounds.reduce(UInt64(0)) { $0 + $1.entryCount }
    let again = history.rounds.reduce(UInt64(0)) { $0 + $1.againCount }
    let bytes = history.rounds.reduce(UInt64(0)) { $0 + $1.byteCount }
    var out =
      "\(Self.count(history.roundCount, "round")), \(Self.count(history.checkpointCount, "checkpoint")): "
      + "\(sent.grouped) pages sent, \(again.grouped) of them again, \(bytes.byteCount)"
    if history.roundCount > history.rounds.count {
      out += "; rounds from \(history.rounds.count.grouped) on are together"
    }
    if history.uncountedEntries > 0 {
      out +=
        "; of \(history.uncountedEntries.grouped) entries nobody counted whether they came again"
    }
    return out
  }

  private static func count(_ count: Int, _ word: String) -> String {
    "\(count.grouped) \(word)\(count == 1 ? "" : "s")"
  }

  // MARK: - Text

  package func text(_ canvas: Canvas) -> String {
    let bars = bars(limit: 40)
    let labels = bars.map { $0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)" }
    let counts = bars.map { $0.largest.entryCount.grouped }
    let left = max(5, labels.map(\.count).max() ?? 0)
    let middle = max(5, counts.map(\.count).max() ?? 0)
    let width = max(8, canvas.columns - left - middle - 4)
    let top = max(1, bars.map(\.largest.entryCount).max() ?? 1)
    func right(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    var out = canvas.paragraph(summary)
    out += right("round", left) + "  " + right("pages", middle) + "\n"
    var checkpoint = 0
    for (index, bar) in bars.enumerated() {
      if bar.checkpoint != checkpoint {
        out += right("", left) + "  " + "checkpoint \(bar.checkpoint)" + "\n"
        checkpoint = bar.checkpoint
      }
      let round = bar.largest
      let all = Self.share(round.entryCount, of: top, width)
      let again = min(all, Self.share(round.againCount, of: top, width))
      let parts: [(Int, Int)] =
        bar.isVerifying ? [(2, all)] : [(0, all - again), (1, again)]
      out +=
        right(labels[index], left) + "  " + right(counts[index], middle) + "  "
        + canvas.bar(parts, Self.barTints) + "\n"
    }
    let isVerifying = bars.contains { $0.isVerifying }
    out += canvas.legend(Array(Self.barTints.prefix(isVerifying ? 3 : 2)), [])
    return out + canvas.text(heat(cellLimit: canvas.cellLimit(labelWidth: 8)))
  }

  /// Columns for a count; what is there has one at least.
  private static func share(_ count: UInt64, of top: UInt64, _ width: Int) -> Int {
    count == 0 ? 0 : max(1, Int((Double(count) / Double(top) * Double(width)).rounded()))
  }

  private func heat(cellLimit: Int) -> CellPicture {
    let (axis, cells) = history.heat(cellLimit: cellLimit)
    var totals = [UInt64](repeating: 0, count: Self.heatTints.count)
    for (times, count) in history.timesSent.enumerated() where count > 0 {
      totals[Self.tint(Double(times))] += count
    }
    let step = axis.pagesPerCell
    return CellPicture(
      title: "how often pages were sent (the mean of a cell of \(step.grouped) "
        + "page\(step == 1 ? "" : "s"))",
      tints: Self.heatTints,
      bands: axis.stretches.map { stretch in
        CellPicture.Band(
          first: stretch.pfns.lowerBound, step: step,
          cells: (0..<stretch.cellCount).map { index in
            let cell = cells[stretch.firstCell + index]
            guard cell.pageCount > 0 else { return nil }
            return Self.tint(Double(cell.sendCount) / Double(cell.pageCount))
          })
      },
      notes: totals.map { $0 == 0 ? "" : $0.grouped })
  }

  /// A cell of which any page was sent again is not "once".
  private static func tint(_ times: Double) -> Int {
    times <= 1 ? 0 : times <= 2 ? 1 : times <= 4 ? 2 : times <= 8 ? 3 : 4
  }

  // MARK: - SVG

  package func svg(title: String, cellLimit: Int) -> String {
    let heat = heat(cellLimit: cellLimit)
    let isVerifying = history.rounds.contains { $0.isVerifying }
    return CellPicture.svg(
      [heat], title: title, subtitle: summary,
      before: (Array(Self.barTints.prefix(isVerifying ? 3 : 2)), 250)
    ) { out, area in
      draw(&out, area)
    }
  }

  /// Bars from left to right, with the checkpoints between them.
  private func draw(_ out: inout SVGPicture, _ area: SVGArea) {
    let bars = bars(limit: 240)
    let scale = SVGScale(
      upTo: Double(max(1, bars.map(\.largest.entryCount).max() ?? 1)),
      from: area.bottom - 40, to: area.top + 30)
    let left = area.left + 60
    out.axis(scale, left: left, right: area.right, title: "pages a round") {
      UInt64(saturating: $0).grouped
    }
    let step = (area.right - left) / Double(max(1, bars.count))
    let every = max(1, (bars.count + 19) / 20)
    var checkpoint = 0
    for (index, bar) in bars.enumerated() {
      let x = left + Double(index) * step
      if bar.checkpoint != checkpoint {
        out.line(x, area.top + 30, x, area.bottom - 40, "ink-line")
        checkpoint = bar.checkpoint
        if every == 1 || index % every == 0 {
          out.text(x + 3, area.top + 28, "checkpoint \(bar.checkpoint)", size: 10)
        }
      }
      let round = bar.largest
      let name = bar.first == bar.last ? "round \(bar.first)" : "rounds \(bar.first) to \(bar.last)"
      let tip =
        "\(name): \(round.entryCount.grouped) pages, \(round.againCount.grouped) of them again, "
        + round.byteCount.byteCount
      let (whole, again) = (scale[Double(round.entryCount)], scale[Double(round.againCount)])
      let base = scale[0]
      let width = max(1, step * 0.86)
      out.rect(
        x + step * 0.07, whole, width, base - whole, SVGPicture.fill(bar.isVerifying ? 2 : 0),
        tip: tip)
      if !bar.isVerifying, round.againCount > 0 {
        out.rect(x + step * 0.07, again, width, base - again, SVGPicture.fill(1), tip: tip)
      }
      if index % every == 0 {
        out.text(x + step / 2, area.bottom - 26, "\(bar.first)", .middle, size: 10)
      }
    }
    out.text((left + area.right) / 2, area.bottom - 10, "round", .middle, size: 11)
  }

  // MARK: - JSON

  package func write(to writer: inout JSONWriter, path: String, cellLimit: Int) {
    writer.beginObject()
    writer.member("image", path)
    writer.member("rounds_in_all", history.roundCount)
    writer.member("checkpoints", history.checkpointCount)
    writer.key("rounds")
    writer.beginArray()
    for (index, round) in history.rounds.enumerated() {
      writer.beginObject()
      writer.member("round", index)
      writer.member("checkpoint", round.checkpoint)
      writer.member("entries", round.entryCount)
      writer.member("absent", round.absentCount)
      writer.member("pages", round.pageCount)
      writer.member("again", round.againCount)
      writer.member("bytes", round.byteCount)
      writer.member("verify", round.isVerifying)
      writer.endObject()
    }
    writer.endArray()
    writer.key("times_sent")
    writer.beginObject()
    for (times, count) in history.timesSent.enumerated() where count > 0 {
      writer.member("\(times)", count)
    }
    writer.endObject()
    let (axis, cells) = history.heat(cellLimit: cellLimit)
    writer.member("pages_per_cell", axis.pagesPerCell)
    writer.key("cells")
    writer.beginArray()
    for (index, cell) in cells.enumerated() where cell.pageCount > 0 {
      writer.beginObject()
      writer.member("first_pfn", hex: axis.pfns(of: index).lowerBound)
      writer.member("pages", cell.pageCount)
      writer.member("sent", cell.sendCount)
      writer.member("most", Int(cell.most))
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }
}
