// Pictures as SVG: one builder for all of them.

internal import Bytes
internal import Terminal

/// Text for XML and HTML, in elements and in attributes: what would be markup is none, and what no
/// document may hold is written out.
package func escapedMarkup(_ text: String) -> String {
  var out = ""
  for scalar in escapeForDisplay(text).unicodeScalars {
    switch scalar {
    case "&": out += "&amp;"
    case "<": out += "&lt;"
    case ">": out += "&gt;"
    case "\"": out += "&quot;"
    case "'": out += "&#39;"
    // Never characters, says XML.
    case "\u{FFFE}", "\u{FFFF}": out += "?"
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out
}

/// A drawing with colours for white and for black paper.
package struct SVGPicture {
  package let width: Double
  /// May be set when everything is drawn.
  package var height: Double
  private let title: String
  private let tints: [Tint]
  private var body = ""

  package init(width: Double, height: Double, title: String, tints: [Tint]) {
    self.width = width
    self.height = height
    self.title = title
    self.tints = tints
  }

  private func decimal(_ value: Double) -> String {
    let text = Shown.fixed(value, 1)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// The class by which an element has the colour of a tint.
  package static func fill(_ tint: Int) -> String { "t\(tint)" }

  /// A filled rectangle; `tip`: what a browser shows under the pointer.
  package mutating func rect(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, tip: String = ""
  ) {
    body +=
      "<rect class=\"\(style)\" x=\"\(decimal(x))\" y=\"\(decimal(y))\" "
      + "width=\"\(decimal(width))\" height=\"\(decimal(height))\"" + ended("rect", tip)
  }

  package mutating func circle(
    _ x: Double, _ y: Double, _ radius: Double, _ style: String, tip: String = ""
  ) {
    body +=
      "<circle class=\"\(style)\" cx=\"\(decimal(x))\" cy=\"\(decimal(y))\" "
      + "r=\"\(decimal(radius))\"" + ended("circle", tip)
  }

  private func ended(_ name: String, _ tip: String) -> String {
    tip.isEmpty ? "/>\n" : "><title>\(escapedMarkup(tip))</title></\(name)>\n"
  }

  /// A thin line: of an axis ("rule"), or in a tint's colour ("t3 line").
  package mutating func line(
    _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String = "rule"
  ) {
    body +=
      "<line class=\"\(style)\" x1=\"\(decimal(x1))\" y1=\"\(decimal(y1))\" x2=\"\(decimal(x2))\" "
      + "y2=\"\(decimal(y2))\"/>\n"
  }

  package mutating func polyline(_ points: [(x: Double, y: Double)], _ style: String) {
    let text = points.map { "\(decimal($0.x)),\(decimal($0.y))" }.joined(separator: " ")
    body += "<polyline class=\"\(style)\" points=\"\(text)\"/>\n"
  }

  /// Where the text stands from its place on.
  package enum Anchor: String { case start, middle, end }

  package mutating func text(
    _ x: Double, _ y: Double, _ text: String, _ anchor: Anchor = .start, size: Int = 12,
    style: String = "ink", turned: Bool = false
  ) {
    let turn = turned ? " transform=\"rotate(-90 \(decimal(x)) \(decimal(y)))\"" : ""
    body +=
      "<text class=\"\(style)\" x=\"\(decimal(x))\" y=\"\(decimal(y))\" "
      + "text-anchor=\"\(anchor.rawValue)\" font-size=\"\(size)\"\(turn)>\(escapedMarkup(text))</text>\n"
  }

  /// A legend of tints in rows of at most `width`; returns where it ends.
  package mutating func legend(
    _ x: Double, _ y: Double, width: Double, _ entries: [(tint: Int, text: String)]
  ) -> Double {
    var (left, top) = (x, y)
    for entry in entries {
      let length = 22 + 6.4 * Double(displayWidth(entry.text)) + 14
      if left > x, left + length > x + width { (left, top) = (x, top + 18) }
      rect(left, top, 12, 12, SVGPicture.fill(entry.tint))
      text(left + 17, top + 10.5, entry.text)
      left += length
    }
    return entries.isEmpty ? y : top + 18
  }

  /// The document. It has a size of its own, and takes less where there is less.
  package func finish() -> String {
    func rules(_ paper: String, _ ink: String, _ rule: String, _ color: (Tint) -> String) -> String
    {
      var out =
        ".paper{fill:\(paper)}.ink{fill:\(ink)}.rule{stroke:\(rule)}.ink-line{stroke:\(ink)}"
      for (index, tint) in tints.enumerated() {
        out += ".t\(index){fill:\(color(tint))}.line.t\(index){fill:none;stroke:\(color(tint))}"
      }
      return out
    }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(decimal(width))" \
      height="\(decimal(height))" viewBox="0 0 \(decimal(width)) \(decimal(height))" \
      style="max-width:100%;height:auto" font-family="sans-serif" font-size="12" role="img">
      <title>\(escapedMarkup(title))</title>
      <style>\(rules("#ffffff", "#1a1a1a", "#d8d8d8", \.light)).line{stroke-width:2}\
      @media (prefers-color-scheme:dark){\(rules("#16181c", "#e6e6e6", "#3a3d44", \.dark))}</style>
      <rect class="paper" width="100%" height="100%"/>
      \(body)</svg>

      """
  }
}

/// A part of a drawing.
package struct SVGArea {
  package let left, right, top, bottom: Double
}

/// Values from 0 to a round one, on a line of a drawing.
package struct SVGScale {
  /// The end of the line.
  package let top: Double
  /// Between marks of the axis.
  package let step: Double
  private let from: Double
  private let to: Double

  /// Marks at 1, 2 or 5 times a power of ten, some five of them, up to `value` and a little above.
  package init(upTo value: Double, from: Double, to: Double) {
    let value = value.isFinite && value > 0 ? value : 1
    var power = 1.0
    while power * 10 <= value, power < 1e300 { power *= 10 }
    while power > value, power > 1e-300 { power /= 10 }
    let step =
      [0.2, 0.5, 1, 2, 5].map { $0 * power }.first { value / $0 <= 5.5 } ?? power * 10
    self.step = step
    top = (value / step).rounded(.up) * step
    (self.from, self.to) = (from, to)
  }

  /// Where a value lies.
  package subscript(value: Double) -> Double {
    from + (to - from) * min(1, max(0, value / top))
  }

  package var marks: [Double] {
    (0...max(1, min(10, Int((top / step).rounded())))).map { Double($0) * step }
  }
}

extension SVGPicture {
  /// An axis on the left with lines across, its title above.
  package mutating func axis(
    _ scale: SVGScale, left: Double, right: Double, title: String, _ text: (Double) -> String
  ) {
    for mark in scale.marks {
      line(left, scale[mark], right, scale[mark])
      self.text(left - 6, scale[mark] + 4, text(mark), .end, size: 10)
    }
    self.text(left - 54, scale[scale.top] - 10, title, size: 11)
  }
}

extension CellPicture {
  private static let cell = 6.0
  private static let across = 128
  private static let margin = 14.0

  /// Pictures of cells, one below the other. `before`: tints and height of what `draw` draws above them.
  package static func svg(
    _ pictures: [CellPicture], title: String, subtitle: String = "",
    before: (tints: [Tint], height: Double) = ([], 0),
    _ draw: (inout SVGPicture, SVGArea) -> Void = { _, _ in }
  ) -> String {
    // Tints of all pictures, in one list.
    let tints = before.tints + pictures.flatMap(\.tints)
    let label = pictures.map { Double($0.labelWidth) * 7.4 + 10 }.max() ?? 0
    let width = label + Double(across) * cell + 2 * margin
    var out = SVGPicture(width: width, height: 0, title: title, tints: tints)
    out.text(margin, 22, title, size: 15)
    var (top, base) = (34.0, before.tints.count)
    if !subtitle.isEmpty {
      out.text(margin, 42, subtitle)
      top = 54
    }
    if before.height > 0 {
      let legend = before.tints.enumerated().map { (tint: $0.offset, text: $0.element.name) }
      top = out.legend(margin, top, width: width - 2 * margin, legend)
      draw(
        &out, SVGArea(left: margin, right: width - margin, top: top, bottom: top + before.height))
      top += before.height
    }
    for picture in pictures {
      out.text(margin, top + 16, picture.title)
      let legend = picture.tints.indices.compactMap { index -> (tint: Int, text: String)? in
        let note = index < picture.notes.count ? picture.notes[index] : ""
        guard picture.notes.isEmpty || !note.isEmpty else { return nil }
        return (base + index, picture.tints[index].name + (note.isEmpty ? "" : " " + note))
      }
      top = out.legend(margin, top + 26, width: width - 2 * margin, legend) + 4
      for band in picture.bands {
        for start in stride(from: 0, to: band.cells.count, by: across) {
          let end = min(start + across, band.cells.count)
          // Labels stand where there is room for them.
          if start / across % 2 == 0 {
            out.text(margin + label - 8, top + cell + 2, band.label(of: start), .end, size: 11)
          }
          picture.row(start..<end, of: band, at: (margin + label, top), base: base, &out)
          top += cell
        }
        top += max(4, band.cells.count <= across ? 8 : 4)
      }
      base += picture.tints.count
      top += 10
    }
    out.height = top
    return out.finish()
  }

  private func row(
    _ range: Range<Int>, of band: Band, at place: (x: Double, y: Double), base: Int,
    _ out: inout SVGPicture
  ) {
    var start = range.lowerBound
    while start < range.upperBound {
      var end = start + 1
      while end < range.upperBound, band.cells[end] == band.cells[start] { end += 1 }
      if let tint = band.cells[start] {
        let last = band.label(of: end)
        out.rect(
          place.x + Double(start - range.lowerBound) * CellPicture.cell, place.y,
          Double(end - start) * CellPicture.cell, CellPicture.cell, SVGPicture.fill(base + tint),
          tip: "pfn \(band.label(of: start)) to before \(last): \(tints[tint].name)")
      }
      start = end
    }
  }
}
