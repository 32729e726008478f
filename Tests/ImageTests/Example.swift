// Examples: for a rule, an image that follows it and one that does not.

import TestKit
import Testing

/// A good image, and what was changed in it to break one rule.
struct Example: Sendable, CustomTestStringConvertible {
  let rule: String
  let good: StreamBuilder
  let bad: StreamBuilder
  /// Where the rule's finding points.
  let offset: Int

  /// `chunk` and `delta` say where the finding points: so many bytes into that chunk of the bad
  /// image; of a record, 0 is its type, 4 its length and 8 its body.
  init(
    _ rule: String, _ good: StreamBuilder, at chunk: String, _ delta: Int = 0,
    _ change: (inout StreamBuilder) -> Void
  ) {
    self.rule = rule
    self.good = good
    var bad = good
    change(&bad)
    self.bad = bad
    offset = bad.offset(of: chunk) + delta
  }

  var testDescription: String { rule }

  static let all: [Example] =
    framing + headers + records + order + pages + pv + hvm + policies + hvmState + pvState + params
    + configs + hvmConfigs + deviceConfigs + toolstacks + libxl + ending
    + releases
}
