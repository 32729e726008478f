// Colours of what commands print, and the option that says whether there are any.

internal import ArgumentParser
internal import Image
internal import Terminal

/// --color of a command.
struct ColourOption: ParsableArguments {
  @Option(
    help: ArgumentHelp("Colours of what is printed: auto, always or never.", valueName: "when"),
    completion: .list(ColourChoice.allCases.map(\.rawValue)),
    transform: ScriptOptions.colour)
  var color = ColourChoice.auto

  /// For what goes to standard output.
  var ink: Ink { Ink(isOn: color.isEnabled(descriptor: 1)) }
}

/// Colours text, or leaves it as it is. What it colours is escaped already.
struct Ink {
  var isOn = false

  static let none = Ink()

  func title(_ text: String) -> String { Style(bold: true).applied(to: text, isEnabled: isOn) }
  func key(_ text: String) -> String { LuaColouring.key.applied(to: text, isEnabled: isOn) }
  func before(_ text: String) -> String { Style(.red).applied(to: text, isEnabled: isOn) }
  func after(_ text: String) -> String { Style(.green).applied(to: text, isEnabled: isOn) }

  func verdict(_ text: String, isGood: Bool) -> String {
    Style(isGood ? .green : .red, bold: true).applied(to: text, isEnabled: isOn)
  }

  /// A severity's name.
  func severity(_ name: String) -> String {
    let style: Style =
      switch name {
      case "error": Style(.red, bold: true)
      case "warning": Style(.yellow, bold: true)
      default: Style(.cyan)
      }
    return style.applied(to: name, isEnabled: isOn)
  }

  /// A line of a comparison.
  func line(_ difference: Difference) -> String {
    guard isOn else { return difference.description }
    switch difference.kind {
    case .field, .body:
      return "\(key(difference.path)): \(before(difference.before)) -> \(after(difference.after))"
    case .missing: return before(difference.description)
    case .added: return after(difference.description)
    }
  }

  /// Lines of `hexdump`: addresses and zeros step back, what is text stands out.
  func hexdump(_ text: String) -> String {
    guard isOn else { return text }
    let faint = LuaColouring.comment
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      guard let end = line.firstRange(of: "  "), let bar = line.firstIndex(of: "|"),
        end.upperBound <= bar
      else { return String(line) }
      let octets = line[end.upperBound..<bar].split(
        separator: " ", omittingEmptySubsequences: false
      )
      .map { $0 == "00" ? faint.applied(to: "00", isEnabled: true) : String($0) }
      return faint.applied(to: String(line[..<end.lowerBound]), isEnabled: true) + "  "
        + octets.joined(separator: " ")
        + LuaColouring.string.applied(to: String(line[bar...]), isEnabled: true)
    }.joined(separator: "\n")
  }

  /// Text that is nothing but a hexdump, in its colours; nil for other text.
  func hexdumpIfAny(_ text: String) -> String? {
    let lines = text.split(separator: "\n")
    let isDump = lines.allSatisfy { line in
      line.prefix(8).allSatisfy(\.isHexDigit) && line.hasSuffix("|") && line.contains("  |")
    }
    return isOn && isDump ? hexdump(text) : nil
  }

  /// What a rewrite changed, as `ChangeReport.text` says it.
  func report(_ report: ChangeReport) -> String {
    guard isOn else { return report.text }
    var lines = report.changes.map { change in
      switch change.kind {
      case .changed:
        let field = change.field.isEmpty ? "" : " \(key(change.field)):"
        return "\(change.place):\(field) \(before(change.before)) -> \(after(change.after))"
      case .dropped: return before(change.description)
      case .inserted, .replaced: return after(change.description)
      }
    }
    if report.changesLeftOut > 0 { lines.append("... and \(report.changesLeftOut) more changes") }
    return (lines + [report.summary]).joined(separator: "\n")
  }
}
