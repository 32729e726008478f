// The memory of a guest as a picture, and as JSON.

internal import Bytes
internal import Format
internal import GuestOS
package import JSON
package import Pages
internal import SystemIO
internal import Terminal

/// What a map of memory shows.
package enum MapView: String, CaseIterable {
  case types, duplicates, entropy, use

  /// What has to be asked of the pages' contents for it.
  package var questions: MemoryMap.Questions {
    switch self {
    case .types: .zeros
    case .duplicates: [.zeros, .copies]
    case .entropy: [.zeros, .entropy]
    case .use: []
    }
  }

  package var title: String {
    switch self {
    case .types: "page types and zeros"
    case .duplicates: "pages whose contents stand earlier, too"
    case .entropy: "entropy, in bits a byte"
    case .use: "what the guest uses its memory for"
    }
  }

  package var tints: [Tint] {
    switch self {
    case .types: MapView.typeTints
    case .duplicates: MapView.copyTints
    case .entropy: MapView.entropyTints
    case .use: MapView.useTints
    }
  }

  private static let zero = Tint("zeros", ".", .brightBlack, light: "#c9ced6", dark: "#4a505a")
  private static let none = Tint("no contents", "-", .white, light: "#eceef1", dark: "#2a2e35")
  private static let data = Tint.first("contents")

  private static let typeTints = [
    data, zero,
    Tint("page tables", "T", .magenta, light: "#8e44ad", dark: "#c58be0"),
    Tint("to be allocated", "a", .cyan, light: "#3aa6a0", dark: "#4fc9c2"),
    Tint("absent", "x", .yellow, light: "#e0c565", dark: "#a88f3a"),
    Tint("broken", "B", .red, light: "#c0392b", dark: "#ff6b5e"),
  ]
  private static let copyTints = [
    Tint.first("first of their kind"), Tint.again("copies"), zero, none,
  ]
  private static let entropyTints =
    [zero, none]
    + Tint.ramp(
      ("below 2", ":"), ("2 to 4", "-"), ("4 to 6", "+"), ("6 to 7.5", "*"), ("7.5 to 8", "#"))
  private static let useTints = [
    Tint("free", ".", .brightBlack, light: "#c9ced6", dark: "#4a505a"),
    Tint("page cache", "c", .green, light: "#3d9a50", dark: "#5fcf76"),
    Tint("processes", "p", .blue, light: "#2f6fb7", dark: "#5b9be6"),
    Tint("slab", "s", .yellow, light: "#e0a21e", dark: "#f2c055"),
    Tint("page tables", "T", .magenta, light: "#8e44ad", dark: "#c58be0"),
    Tint("kernel", "k", .red, light: "#c0392b", dark: "#ff6b5e"),
    Tint("unknown", "?", .white, light: "#eceef1", dark: "#2a2e35"),
  ]
}

/// What a guest uses the pages of each cell for, as far as its kernel tells.
package struct UseMap {
  /// Pages, by cell and then by `PageUse.rawValue`.
  package private(set) var counts: [[UInt64]]
  /// Why there is nothing, or not all.
  package private(set) var problem: String?

  /// Asks the kernel of the guest in `image`, where there is one that tells.
  package init(_ image: PageImage, _ axis: MapAxis) throws {
    counts = [[UInt64]](
      repeating: [UInt64](repeating: 0, count: PageUse.allCases.count), count: axis.cellCount)
    do {
      let guest = try LinuxGuest(GuestMemory(image))
      try guest.forEachPageUse(of: image.index.pfns().ranges) { pfns, use in
        axis.forEachCell(of: pfns) { cell, part in
          counts[cell][Int(use.rawValue)] += part.upperBound - part.lowerBound
        }
      }
    } catch {
      let error = XensaveError(error)
      if error.isOfSystem { throw error }
      problem = "\(error)"
    }
  }

  package var isEmpty: Bool { !counts.contains { $0.contains { $0 > 0 } } }
}

/// A map with what is known of the guest's use of it.
package struct ImageMap {
  package let map: MemoryMap
  /// Nil where nobody asked.
  package let use: UseMap?

  package init(map: MemoryMap, use: UseMap? = nil) {
    self.map = map
    self.use = use
  }

  /// The tint of a cell: that of most of its pages. Broken pages show wherever they are.
  package func tint(_ view: MapView, of index: Int) -> Int? {
    let cell = map.cells[index]
    guard cell.pageCount > 0 else { return nil }
    let counts = counts(view, of: index)
    if view == .types, counts[5] > 0 { return 5 }
    var best = 0
    for (tint, count) in counts.enumerated() where count > counts[best] { best = tint }
    return best
  }

  /// Pages of a cell by the tints of a view; those of `.entropy` by the mean of the cell.
  package func counts(_ view: MapView, of index: Int) -> [UInt64] {
    let cell = map.cells[index]
    let zero = min(cell.zeroCount, cell.dataCount)
    let data = cell.dataCount - zero
    let without = cell.pageCount - cell.dataCount
    switch view {
    case .types:
      let tables = min(cell.tableCount, data)
      return [
        data - tables, zero, tables, cell.types[Int(PageType.xalloc.rawValue)],
        cell.types[Int(PageType.xtab.rawValue)], cell.types[Int(PageType.broken.rawValue)],
      ]
    case .duplicates:
      let copies = min(cell.copyCount, data)
      return [data - copies, copies, zero, without]
    case .entropy:
      var out: [UInt64] = [zero, without, 0, 0, 0, 0, 0]
      if let bits = cell.entropy {
        out[bits < 2 ? 2 : bits < 4 ? 3 : bits < 6 ? 4 : bits < 7.5 ? 5 : 6] = data
      }
      return out
    case .use:
      var out = use?.counts[index] ?? [UInt64](repeating: 0, count: PageUse.allCases.count)
      let known = out.reduce(0, +)
      out.append(cell.pageCount - min(known, cell.pageCount))
      return out
    }
  }

  /// All cells together, by the tints of a view.
  package func totals(_ view: MapView) -> [UInt64] {
    var sum = [UInt64](repeating: 0, count: view.tints.count)
    for index in map.cells.indices {
      for (tint, count) in counts(view, of: index).enumerated() { sum[tint] += count }
    }
    return sum
  }

  package func picture(_ view: MapView) -> CellPicture {
    let step = map.axis.pagesPerCell
    let size = (step.multipliedSaturated(by: UInt64(pageByteCount))).byteCount
    let left = map.absentLeftOut
    let gaps = left == 0 ? "" : "; \(left.grouped) absent pages are left out"
    return CellPicture(
      title: "\(view.title); a cell is \(step.grouped) page\(step == 1 ? "" : "s"), \(size)\(gaps)",
      tints: view.tints,
      bands: map.axis.stretches.map { stretch in
        CellPicture.Band(
          first: stretch.pfns.lowerBound, step: step,
          cells: (0..<stretch.cellCount).map { tint(view, of: stretch.firstCell + $0) })
      },
      notes: totals(view).map { $0 == 0 ? "" : $0.grouped })
  }

  // MARK: - JSON

  package func write(to writer: inout JSONWriter, path: String, _ views: [MapView]) {
    writer.beginObject()
    writer.member("image", path)
    writer.member("pages_per_cell", map.axis.pagesPerCell)
    writer.key("views")
    writer.beginArray()
    for view in views { writer.value(view.rawValue) }
    writer.endArray()
    writer.member("absent_left_out", map.absentLeftOut)
    if let problem = use?.problem { writer.member("use_problem", problem) }
    writer.key("total")
    write(map.total, nil, views, to: &writer)
    writer.key("cells")
    writer.beginArray()
    for (index, cell) in map.cells.enumerated() where cell.pageCount > 0 {
      write(cell, index, views, to: &writer)
    }
    writer.endArray()
    writer.endObject()
  }

  private func write(
    _ cell: MemoryMap.Cell, _ index: Int?, _ views: [MapView], to writer: inout JSONWriter
  ) {
    writer.beginObject()
    if let index { writer.member("first_pfn", hex: map.axis.pfns(of: index).lowerBound) }
    writer.member("pages", cell.pageCount)
    writer.key("types")
    writer.beginObject()
    for type in 0..<16 where cell.types[type] > 0 {
      writer.member(PageType(rawValue: UInt8(type)).name, cell.types[type])
    }
    writer.endObject()
    if map.questions.contains(.zeros) { writer.member("zero", cell.zeroCount) }
    if map.questions.contains(.copies) { writer.member("copies", cell.copyCount) }
    if map.questions.contains(.entropy), let bits = cell.entropy {
      writer.key("entropy")
      writer.value((bits * 1000).rounded() / 1000)
    }
    if views.contains(.use), let use {
      writer.key("use")
      writer.beginObject()
      for kind in PageUse.allCases {
        let place = Int(kind.rawValue)
        let count =
          index.map { use.counts[$0][place] } ?? use.counts.reduce(0) { $0 + $1[place] }
        if count > 0 { writer.member(kind.name.replacing(" ", with: "_"), count) }
      }
      writer.endObject()
    }
    writer.endObject()
  }
}
