// Colours of what is printed.

package import ImageEdit
package import Terminal

/// The styles of values, wherever they are printed or typed.
package enum Palette {
  package static let number = Style(.cyan)
  package static let string = Style(.green)
  package static let keyword = Style(.magenta)
  package static let comment = Style(.brightBlack)
  package static let key = Style(.yellow)
  package static let error = Style(.red, bold: true)
}

/// Colours text, or leaves it as it is. What it colours is escaped already.
package struct TextStyle {
  package var isOn = false

  package init(isOn: Bool = false) { self.isOn = isOn }

  package static let none = TextStyle()

  package func title(_ text: String) -> String {
    Style(bold: true).applied(to: text, isEnabled: isOn)
  }
  package func key(_ text: String) -> String { Palette.key.applied(to: text, isEnabled: isOn) }
  package func before(_ text: String) -> String { Style(.red).applied(to: text, isEnabled: isOn) }
  package func after(_ text: String) -> String { Style(.green).applied(to: text, isEnabled: isOn) }

  package func verdict(_ text: String, isGood: Bool) -> String {
    Style(isGood ? .green : .red, bold: true).applied(to: text, isEnabled: isOn)
  }

  /// A severity's name.
  package func severity(_ name: String) -> String {
    let style: Style =
      switch name {
      case "error": Style(.red, bold: true)
      case "warning": Style(.yellow, bold: true)
      default: Style(.cyan)
      }
    return style.applied(to: name, isEnabled: isOn)
  }

  /// A line of a comparison.
  package func line(_ difference: Difference) -> String {
    guard isOn else { return difference.description }
    switch difference.kind {
    case .field, .body:
      return
        "\(key(difference.shownPath)): \(before(difference.before)) -> \(after(difference.after))"
    case .missing: return before(difference.description)
    case .added: return after(difference.description)
    }
  }

  /// Lines of `hexdump`: addresses and zeros step back, what is text stands out.
  package func hexdump(_ text: String) -> String {
    guard isOn else { return text }
    let faint = Palette.comment
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      guard let end = line.firstRange(of: "  "), let bar = line.firstIndex(of: "|"),
        end.upperBound <= bar
      else { return String(line) }
      let bytes = line[end.upperBound..<bar].split(
        separator: " ", omittingEmptySubsequences: false
      )
      .map { $0 == "00" ? faint.applied(to: "00", isEnabled: true) : String($0) }
      return faint.applied(to: String(line[..<end.lowerBound]), isEnabled: true) + "  "
        + bytes.joined(separator: " ")
        + Palette.string.applied(to: String(line[bar...]), isEnabled: true)
    }.joined(separator: "\n")
  }

  /// Text that is nothing but a hexdump, in its colours; nil for other text.
  package func hexdumpIfAny(_ text: String) -> String? {
    let lines = text.split(separator: "\n")
    let isDump = lines.allSatisfy { line in
      line == "*"
        || line.prefix(8).allSatisfy(\.isHexDigit) && line.hasSuffix("|") && line.contains("  |")
    }
    return isOn && isDump ? hexdump(text) : nil
  }

  /// What a rewrite changed, as `ChangeReport.text` says it; without the counts where nothing was
  /// written yet.
  package func report(_ report: ChangeReport, hasCounts: Bool = true) -> String {
    if !hasCounts, report.changes.isEmpty { return "no changes" }
    var lines = report.changes.map { change in
      switch change.kind {
      case .changed where change.before.isEmpty: return after(change.description)
      case .changed where change.after.isEmpty: return before(change.description)
      case .changed:
        return "\(key(change.shownPath)): \(before(change.before)) -> \(after(change.after))"
      case .dropped: return before(change.description)
      case .inserted, .replaced: return after(change.description)
      }
    }
    if report.changesLeftOut > 0 { lines.append("... and \(report.changesLeftOut) more changes") }
    return (lines + (hasCounts ? [report.summary] : [])).joined(separator: "\n")
  }
}
