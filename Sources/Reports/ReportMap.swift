// The map of memory in a page: what its script draws, and letters for who has no scripts.

internal import Bytes
internal import Format
internal import JSON
internal import Pages
internal import Terminal

/// A view of the map: which tint each cell has, and how many pages of each there are in it.
struct MapLayer {
  let word: String
  let title: String
  let tints: [Tint]
  /// By cell; nil where there is nothing.
  let cells: [Int?]
  /// By cell, then by tint.
  let counts: [[UInt64]]

  init(_ map: ImageMap, _ view: MapView) {
    word = view.rawValue
    title = view.title
    tints = view.tints
    cells = map.map.cells.indices.map { map.tint(view, of: $0) }
    counts = map.map.cells.indices.map { map.counts(view, of: $0) }
  }

  /// Where the pages of a second image differ.
  init(_ axis: MapAxis, _ map: MemoryMap, _ differences: [PageDifference]) {
    word = "differences"
    title = "pages that differ in the second image"
    tints = [
      Tint("alike", ".", .brightBlack, light: "#c9ced6", dark: "#4a505a"),
      Tint("other contents", "#", .red, light: "#c0392b", dark: "#ff6b5e"),
      Tint("another type", "T", .magenta, light: "#8e44ad", dark: "#c58be0"),
      Tint("only in the first", "-", .yellow, light: "#e0a21e", dark: "#f2c055"),
    ]
    var counts = [[UInt64]](
      repeating: [UInt64](repeating: 0, count: 4), count: axis.cellCount)
    for difference in differences {
      let tint: Int
      switch difference.kind {
      case .contents: tint = 1
      case .type: tint = 2
      case .onlyInFirst: tint = 3
      case .onlyInSecond: continue
      }
      axis.forEachCell(of: difference.first..<difference.last + 1) { cell, pfns in
        counts[cell][tint] += pfns.upperBound - pfns.lowerBound
      }
    }
    var cells: [Int?] = []
    for (index, cell) in map.cells.enumerated() {
      let changed = counts[index].reduce(0, +)
      counts[index][0] = cell.pageCount - min(changed, cell.pageCount)
      // A page that differs shows wherever it is.
      let most = (1...3).max { counts[index][$0] < counts[index][$1] } ?? 1
      cells.append(cell.pageCount == 0 ? nil : changed > 0 ? most : 0)
    }
    self.cells = cells
    self.counts = counts
  }

  var totals: [UInt64] {
    var sum = [UInt64](repeating: 0, count: tints.count)
    for cell in counts { for (tint, count) in cell.enumerated() { sum[tint] += count } }
    return sum
  }
}

extension HTMLPage {
  /// The map with its controls.
  mutating func add(_ map: MemoryMap, _ layers: [MapLayer]) {
    var markup = "<div class=\"controls\"><fieldset><legend>Show</legend>\n"
    for (index, layer) in layers.enumerated() {
      markup +=
        "<label><input type=\"radio\" name=\"map-view\" id=\"map-view-\(index)\""
        + "\(index == 0 ? " checked" : "")> \(escapedMarkup(layer.title))</label>\n"
    }
    markup += """
      </fieldset><p>Zoom: <button type="button" id="map-out" aria-label="Zoom out">-</button> \
      <button type="button" id="map-in" aria-label="Zoom in">+</button> \
      <span class="faint">In the map: arrow keys, Page Up and Down, Home and End move; + and - zoom; \
      1 to \(layers.count) choose what is shown.</span></p></div>
      <div class="map-box"><canvas id="map" tabindex="0" role="img" \
      aria-label="Map of the guest's memory" aria-describedby="map-info"></canvas></div>
      <p class="map-info" id="map-info" aria-live="polite">A cell is \(map.axis.pagesPerCell.grouped) \
      page\(map.axis.pagesPerCell == 1 ? "" : "s"). Point at one, or move with the arrow keys, to read what \
      is in it.</p>
      <ul class="map-legend" id="map-legend"></ul>

      """
    if let first = layers.first {
      let canvas = Canvas(columns: 80, isColored: false, hasBlocks: false)
      let limit = 4096
      let picture = CellPicture(
        title: first.title, tints: first.tints,
        bands: map.axis.stretches.map { stretch in
          CellPicture.Band(
            first: stretch.pfns.lowerBound, step: map.axis.pagesPerCell,
            cells: Array(
              first.cells[stretch.firstCell..<stretch.firstCell + min(stretch.cellCount, limit)]))
        }, notes: first.totals.map { $0 == 0 ? "" : $0.grouped })
      markup += "<noscript><pre>\(HTMLPage.lines(canvas.text(picture)))</pre></noscript>\n"
    }
    let data = String(decoding: HTMLPage.data(map, layers), as: UTF8.self)
      .replacing("<", with: "\\u003c")
    append(
      markup: markup + "<script type=\"application/json\" id=\"map-data\">\(data)</script>\n")
  }

  private static func data(_ map: MemoryMap, _ layers: [MapLayer]) -> [UInt8] {
    var writer = JSONWriter(style: .compact)
    writer.beginObject()
    writer.member("step", map.axis.pagesPerCell)
    writer.key("bands")
    writer.beginArray()
    for stretch in map.axis.stretches {
      writer.beginArray()
      writer.value(stretch.pfns.lowerBound)
      writer.value(stretch.cellCount)
      writer.endArray()
    }
    writer.endArray()
    writer.key("entropy")
    writer.beginArray()
    for cell in map.cells { writer.value(cell.entropy.map { Int(($0 * 100).rounded()) } ?? -1) }
    writer.endArray()
    writer.key("views")
    writer.beginArray()
    for layer in layers { write(layer, to: &writer) }
    writer.endArray()
    writer.endObject()
    return writer.finish()
  }

  private static func write(_ layer: MapLayer, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("word", layer.word)
    writer.member("title", layer.title)
    writer.key("tints")
    writer.beginArray()
    for tint in layer.tints {
      writer.beginArray()
      for text in [tint.name, tint.light, tint.dark] { writer.value(text) }
      writer.endArray()
    }
    writer.endArray()
    writer.key("totals")
    writer.beginArray()
    for count in layer.totals { writer.value(count) }
    writer.endArray()
    // A letter a cell: "@" for nothing, "A" for the first tint.
    let letters = layer.cells.map { UInt8(0x41 + ($0 ?? -1)) }
    writer.member("cells", String(decoding: letters, as: UTF8.self))
    writer.key("facts")
    writer.beginArray()
    for (index, counts) in layer.counts.enumerated() {
      guard layer.cells[index] != nil, let last = counts.lastIndex(where: { $0 > 0 }) else {
        writer.value(0)
        continue
      }
      writer.beginArray()
      for count in counts[...last] { writer.value(count) }
      writer.endArray()
    }
    writer.endArray()
    writer.endObject()
  }
}
