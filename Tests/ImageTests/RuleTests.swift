// Each rule finds what it is there for, and nothing in an image that follows it.

import Format
import ImageCheck
import TestKit
import Testing

@Suite struct RuleTests {
  @Test(arguments: Example.all)
  func example(_ example: Example) throws {
    let rule = try #require(Rule.named(example.rule))
    let good = try verify(example.good)
    #expect(!good.ids.contains(rule.id), "\(good.text)")
    let bad = try verify(example.bad)
    let found = try #require(
      bad.findings.first { $0.ruleID == rule.id }, "nothing found; others: \(bad.text)")
    #expect(found.offset == UInt64(example.offset), "\(found)")
    #expect(found.severity == rule.severity)
    #expect(found.problem.contains("expected") || rule.id.hasPrefix("stream."), "\(found)")
    #expect(bad.isGood(isStrict: false) == (bad.count(.error) == 0))
    if rule.severity == .error { #expect(!bad.isGood) }
    if rule.severity == .warning { #expect(!bad.isGood(isStrict: true)) }
  }

  @Test func everyRuleHasAnExample() {
    let missing = Set(Rule.all.map(\.id)).subtracting(Example.all.map(\.rule))
      .subtracting(["file.unfinished-edit"])  // Of what lies beside an image: UnfinishedEditTests.
      .filter { !$0.hasPrefix("page-table.") && $0 != "start-info.pfn" }  // PageTablesTests.
    #expect(missing.isEmpty, "\(missing.sorted())")
  }

  /// A rule says which releases refuse what breaks it, and a finding may say others.
  @Test(
    arguments: [
      ("4.12", .no), ("4.21.0", .no), ("4.21.1", .yes), ("4.22.0", .yes),
      ("4.21", .from(XenRelease(4, 21, 1))),
    ] as [(String, ReleaseSince.Answer)])
  func releases(text: String, answer: ReleaseSince.Answer) throws {
    let example = try #require(Example.releases.first { $0.rule == "vcpu-basic.vm86" })
    let report = try verify(example.bad)
    let finding = try #require(report.findings.first { $0.ruleID == example.rule })
    let release = try #require(XenRelease(text))
    #expect(finding.refusal(by: release) == answer)
  }

  @Test func namesAreUnique() {
    #expect(Set(Rule.all.map(\.id)).count == Rule.all.count)
    #expect(Rule.named("nothing") == nil)
  }

  @Test(arguments: Rule.all.map(\.id))
  func saysWhatAndWhoSaysSo(id: String) throws {
    let rule = try #require(Rule.named(id))
    #expect(rule.sentence.hasSuffix("."))
    #expect(
      ["Spec: ", "Xen: ", "libvirt: ", "xenopsd: ", "varstored: ", "Rationale: "].contains {
        rule.source.hasPrefix($0)
      })
    #expect(id.allSatisfy { $0.isLowercase || $0.isNumber || "-._".contains($0) })
  }
}
