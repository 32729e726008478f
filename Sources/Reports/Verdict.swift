// What a verification found, for people.

package import ImageCheck

extension VerifyReport {
  /// "good, 1029 records", "bad (2 errors, 1 warning), 14 records".
  package func verdict(_ textStyle: TextStyle = .none) -> String {
    let counts = Severity.allCases.reversed().compactMap { severity in
      let count = count(severity)
      return count > 0 ? "\(count) \(severity.rawValue)\(count == 1 ? "" : "s")" : nil
    }
    let detail = counts.isEmpty ? "" : " (\(counts.joined(separator: ", ")))"
    return textStyle.verdict(isGood ? "good" : "bad", isGood: isGood) + detail
      + ", \(imageSummary.recordCount) records"
  }

  /// The findings, one a line, and the verdict.
  package func text(_ textStyle: TextStyle = .none) -> String {
    var lines = findings.map { "\(textStyle.severity($0.severity.rawValue)): \($0.description)" }
    let left = Severity.allCases.reduce(0) { $0 + count($1) } - findings.count
    if left > 0 { lines.append("... and \(left) more findings") }
    return (lines + [verdict(textStyle)]).joined(separator: "\n")
  }
}
