// Values as people read them: tables in columns, records as their fields, bytes as hexdumps.

internal import Bytes
package import Format
package import LuaAPI
internal import LuaRuntime
package import Reports
internal import Stream
internal import Terminal

/// Prints Lua values. Tables are read without metamethods.
struct PrettyPrinter {
  /// Columns to stay within.
  var width = 80
  /// Tables inside tables, beyond which "{...}" stands.
  var depth = 5
  /// The greatest `depth`.
  static let depthLimit = 100
  /// Entries of one table that are shown.
  var itemLimit = 64
  /// Lines of a hexdump that are shown.
  var lineLimit = 32
  var usesColor = false
  /// The base of integers: 10 or 16.
  var base = 10

  /// A value, taken apart.
  private indirect enum Node {
    case leaf(String, Style)
    /// Entries with their keys ("" for elements of a list) and how many were left out.
    case table([(key: String, value: Node)], more: Int)
  }

  /// The text of the value at `index`: one line or several, without a line break at the end.
  func text(_ frame: LuaFrame, _ index: Int) -> String {
    if let text = block(frame, index) { return text.droppingLineBreak }
    return render(node(frame, index, depth: depth, inside: []), indent: 0, column: 0)
  }

  // MARK: - What stands by itself

  /// The text of values that take several lines of their own.
  private func block(_ frame: LuaFrame, _ index: Int) -> String? {
    if let bytes = frame.bytesIfAny(index) { return longText(bytes) }
    guard frame.type(index) == .userdata else { return nil }
    if let record: LuaRecord = frame.objectIfAny(index) {
      return TextDumper.text(.record(record.record), textStyle)
    }
    if let header: LuaHeader = frame.objectIfAny(index) {
      return TextDumper.text(.header(header.header), textStyle)
    }
    if let node: FieldNode = frame.objectIfAny(index) {
      return (try? node.place()).map { TextDumper.text($0, of: node.owner, textStyle) }
    }
    if let text = viewText(frame, index) { return text }
    if let vcpu: LuaVCPU = frame.objectIfAny(index) {
      return vcpu.overview(textStyle, width: width)
    }
    if let vcpus: LuaVCPUs = frame.objectIfAny(index) { return try? vcpus.overview(textStyle) }
    if let params: LuaParams = frame.objectIfAny(index) { return params.overview(textStyle) }
    if let cpuid: LuaCPUID = frame.objectIfAny(index) {
      return cpuid.overview(textStyle, width: width)
    }
    if let found: LuaVerification = frame.objectIfAny(index) { return found.report.text(textStyle) }
    if let report: LuaReport = frame.objectIfAny(index) { return report.text(textStyle) }
    if let config: LuaConfig = frame.objectIfAny(index) { return try? config.text() }
    if let tree: LuaTree = frame.objectIfAny(index) {
      return (try? tree.text()).flatMap { longText(Array($0.utf8)) ?? escapeForDisplay($0) }
    }
    if let column: PageColumn = frame.objectIfAny(index) { return text(of: column) }
    if let image: LuaImage = frame.objectIfAny(index) { return image.overview }
    return nil
  }

  /// Text of several lines as it is, bytes that are no text as a hexdump; nil for all others.
  private func longText(_ bytes: [UInt8]) -> String? {
    guard let text = String(validating: bytes, as: UTF8.self),
      !bytes.contains(where: { $0 < 0x20 && $0 != 9 && $0 != 10 })
    else { return bytes.count > 16 ? dump(bytes) : nil }
    guard bytes.contains(10) else { return nil }
    if let colored = textStyle.hexdumpIfAny(text) { return colored }
    return text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { escapeForDisplay(String($0)) }.joined(separator: "\n")
  }

  private func dump(_ bytes: [UInt8], base: UInt64 = 0, more: Int = 0) -> String {
    let (text, shown) = foldedHexdump(bytes, base: base, limit: lineLimit)
    let more = more + bytes.count - shown
    return textStyle.hexdump(text)
      + (more > 0 ? "... \(more) more bytes\n" : "")
  }

  private var textStyle: TextStyle { TextStyle(isOn: usesColor) }

  /// The bytes of a view; nil for all other values, and for views that are stale.
  private func viewText(_ frame: LuaFrame, _ index: Int) -> String? {
    try? frame.withView(index) { bytes, address in
      let count = min(bytes.byteCount, 64 << 10)
      let shown = (0..<count).map { bytes.load($0, as: UInt8.self) }
      return dump(shown, base: address, more: bytes.byteCount - count)
    }
  }

  private func text(of column: PageColumn) -> String {
    let count = column.record.record.pageEntryCount ?? 0
    var items: [(key: String, value: Node)] = []
    for index in 0..<min(count, itemLimit) {
      let entry = column.record.record.pageEntry(index)
      let word = column.isType ? entry.type.name : entry.pfn.hex()
      items.append(("", .leaf(word, column.isType ? .plain : Palette.number)))
    }
    return render(.table(items, more: count - items.count), indent: 0, column: 0)
  }

  // MARK: - Values in a line

  private func node(
    _ frame: LuaFrame, _ index: Int, depth: Int, inside: Set<UInt>
  ) -> Node {
    switch frame.type(index) {
    case .none, .nil: return .leaf("nil", Palette.keyword)
    case .boolean: return .leaf(frame.boolean(index) ? "true" : "false", Palette.keyword)
    case .number:
      if base == 16, frame.isInteger(index), let value = frame.integerIfAny(index) {
        return .leaf(UInt64(bitPattern: value).hex(), Palette.number)
      }
      return .leaf(frame.text(index), Palette.number)
    case .string: return .leaf(quoted(frame.bytesIfAny(index) ?? []), Palette.string)
    case .table:
      if frame.hasMetafield(index, "__tostring") {
        let text = escapeForDisplay(frame.text(index))
        return .leaf(text + errorFields(frame, index), .plain)
      }
      return table(frame, index, depth: depth, inside: inside)
    case .function:
      if let declaration = frame.declaration(index) {
        return .leaf("function \(declaration.call)", Palette.comment)
      }
      let place = frame.source(index) ?? "built in"
      return .leaf("function: \(place)", Palette.comment)
    default: return .leaf(escapeForDisplay(frame.text(index)), .plain)
    }
  }

  private func table(
    _ frame: LuaFrame, _ index: Int, depth: Int, inside: Set<UInt>
  ) -> Node {
    guard let identity = frame.identity(index) else { return .leaf("{}", .plain) }
    if inside.contains(identity) { return .leaf("{cycle}", Palette.comment) }
    if depth == 0 { return .leaf("{...}", Palette.comment) }
    let inside = inside.union([identity])
    var list: [(key: String, value: Node)] = []
    let length = frame.length(index)
    let shownLength = elements(frame, index, length, depth: depth - 1, inside: inside, &list)
    var fields: [(key: LuaFrame.Key, value: Node)] = []
    var count = 0
    frame.forEachEntry(index) { key in
      if case .integer(let position) = key, position >= 1, position <= length { return true }
      count += 1
      // Enough to sort and to choose from, and not a million.
      if count <= 4096 {
        fields.append((key, node(frame, -1, depth: depth - 1, inside: inside)))
      }
      return true
    }
    fields.sort { $0.key.isBefore($1.key) }
    let shown = fields.prefix(max(0, itemLimit - list.count)).map {
      (key: $0.key.written, value: $0.value)
    }
    let hidden = (length - shownLength).addingSaturated(count - shown.count)
    return .table(list + shown, more: hidden)
  }

  /// Elements that are the same one after the other are one item from here on.
  private static let foldedCount = 8

  /// Adds the elements of a list, runs of the same folded; how many of them that are.
  private func elements(
    _ frame: LuaFrame, _ index: Int, _ length: Int, depth: Int, inside: Set<UInt>,
    _ list: inout [(key: String, value: Node)]
  ) -> Int {
    var position = 0
    var run: (text: String, count: Int) = ("", 0)
    // A list of a million zeros is not looked at whole.
    while position < min(length, max(itemLimit, 65536)) {
      frame.pushElement(index, position + 1)
      let item = node(frame, -1, depth: depth, inside: inside)
      frame.pop()
      if case .leaf(let text, let style) = item, run.count > 0, run.text == text {
        run.count += 1
        if run.count == Self.foldedCount { list.removeLast(Self.foldedCount - 1) }
        if run.count > Self.foldedCount { list.removeLast() }
        if run.count >= Self.foldedCount {
          list.append(("", .leaf("\(text) (\(run.count) times)", style)))
          position += 1
          continue
        }
      } else if case .leaf(let text, _) = item {
        run = (text, 1)
      } else {
        run = ("", 0)
      }
      guard list.count < itemLimit else { break }
      list.append(("", item))
      position += 1
    }
    return position
  }

  /// What an error has besides its message: " { code = "enoent", errno = 2 }".
  private func errorFields(_ frame: LuaFrame, _ index: Int) -> String {
    guard frame.type(index) == .table else { return "" }
    var fields: [(key: LuaFrame.Key, text: String)] = []
    var isError = false
    frame.forEachEntry(index) { key in
      guard fields.count < itemLimit else { return false }
      if case .name(let name) = key, name == Array("message".utf8) {
        isError = true
        return true
      }
      fields.append(
        (key, flat(node(frame, -1, depth: 1, inside: []), color: usesColor)))
      return true
    }
    guard isError, !fields.isEmpty else { return "" }
    fields.sort { $0.key.isBefore($1.key) }
    return " { " + fields.map { "\($0.key.written) = \($0.text)" }.joined(separator: ", ") + " }"
  }

  private func quoted(_ bytes: [UInt8]) -> String {
    let shown = bytes.prefix(240)
    let text = escapeForDisplay(bytes: Array(shown)).replacing("\"", with: "\\\"")
    return "\"\(text)\"" + (shown.count < bytes.count ? "... (\(bytes.count) bytes)" : "")
  }

  // MARK: - Lines

  private func flat(_ node: Node, color: Bool) -> String {
    switch node {
    case .leaf(let text, let style): return style.applied(to: text, isEnabled: color)
    case .table(let items, let more):
      if items.isEmpty, more == 0 { return "{}" }
      var parts = items.map { item in
        (item.key.isEmpty ? "" : item.key + " = ") + flat(item.value, color: color)
      }
      if more > 0 { parts.append("... \(more) more") }
      return "{ " + parts.joined(separator: ", ") + " }"
    }
  }

  private func render(_ node: Node, indent: Int, column: Int) -> String {
    guard case .table(let items, let more) = node,
      column + displayWidth(flat(node, color: false)) > width
    else { return flat(node, color: usesColor) }
    let margin = String(repeating: " ", count: indent + 2)
    var lines: [String] = []
    var line = ""
    var lineWidth = 0
    for item in items {
      let key = item.key.isEmpty ? "" : item.key + " = "
      if case .leaf(let text, _) = item.value, item.key.isEmpty {
        // Elements of a list fill the lines.
        let needed = displayWidth(text) + 2
        if lineWidth > 0, indent + 2 + lineWidth + needed > width {
          lines.append(line)
          (line, lineWidth) = ("", 0)
        }
        line += (lineWidth > 0 ? " " : margin) + flat(item.value, color: usesColor) + ","
        lineWidth += needed
        continue
      }
      if lineWidth > 0 { lines.append(line) }
      (line, lineWidth) = ("", 0)
      let value = render(item.value, indent: indent + 2, column: indent + 3 + displayWidth(key))
      lines.append(margin + key + value + ",")
    }
    if lineWidth > 0 { lines.append(line) }
    if more > 0 { lines.append(margin + "... \(more) more") }
    return "{\n" + lines.joined(separator: "\n") + "\n" + String(repeating: " ", count: indent)
      + "}"
  }
}

extension LuaFrame.Key {
  /// The key as a table constructor has it.
  package var written: String {
    switch self {
    case .integer(let index): return "[\(index)]"
    case .boolean(let flag): return "[\(flag)]"
    case .other(let type): return "[\(type.name)]"
    case .name(let bytes):
      let text = escapeForDisplay(bytes: bytes)
      return LuaLexer.isIdentifier(text) ? text : "[\"\(text)\"]"
    }
  }
}

extension String {
  /// The text without a line break at its end.
  package var droppingLineBreak: String { hasSuffix("\n") ? String(dropLast()) : self }
}

extension TextDumper {
  /// One place of a header or record with all that is inside.
  package static func text(
    _ slot: FieldLocation, of owner: any FieldOwner, _ textStyle: TextStyle = .none
  ) -> String {
    var dumper = TextDumper(showsHex: false, showsAll: false, textStyle: textStyle)
    dumper.add(
      DumpItem(
        title: owner.fieldTitle, bytes: owner.fieldBytes, layout: owner.fieldLayout, only: slot))
    return String(decoding: dumper.take(), as: UTF8.self)
  }
}
