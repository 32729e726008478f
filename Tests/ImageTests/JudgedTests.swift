// Mutants of real images that a real Xen was asked about: verify says what Xen said, apart from what is
// decided otherwise. `scripts/xen-lab judge` made the lists.

import ImageCheck
import ImageEdit
import SystemIO
import TestKit
import Testing

@Suite struct JudgedTests {
  /// One line of a list: KIND VERDICT OUTCOME PIECE... # CHANGES # WHAT XEN SAID.
  struct Mutant: CustomTestStringConvertible, Sendable {
    let kind: String
    /// What verify has to say.
    let isGood: Bool
    /// What Xen said: refused, hangs, restored, lives or stands (restored, and then it did not continue).
    let outcome: String
    let chunks: [Substring]
    let changes: String
    let remark: String

    init?(_ line: Substring) {
      let parts = line.split(separator: " # ", omittingEmptySubsequences: false)
      let words = parts[0].split(separator: " ")
      guard parts.count == 3, words.count > 3 else { return nil }
      kind = String(words[0])
      isGood = words[1] == "good"
      outcome = String(words[2])
      chunks = Array(words[3...])
      changes = String(parts[1])
      remark = String(parts[2])
    }

    var testDescription: String { changes }

    /// Whether verify and Xen are of one opinion. A guest that stands is no fault that verify can see.
    var agrees: Bool {
      switch outcome {
      case "stands": true
      case "restored", "lives": isGood
      default: !isGood
      }
    }
  }

  /// The bytes of chunks: OFFSET+LENGTH of the base, =HEX, or COUNT*HEX, one byte again and again.
  static func bytes(_ chunks: [Substring], of base: [UInt8]) throws -> [UInt8] {
    var out: [UInt8] = []
    for chunk in chunks {
      if chunk.first == "=" {
        out += hex(String(chunk.dropFirst()))
      } else if let star = chunk.firstIndex(of: "*") {
        let count = try #require(Int(chunk[..<star]))
        let byte = hex(String(chunk[chunk.index(after: star)...]))[0]
        out += [UInt8](repeating: byte, count: count)
      } else {
        let numbers = chunk.split(separator: "+").compactMap { Int($0) }
        try #require(numbers.count == 2)
        out += base[numbers[0]..<numbers[0] + numbers[1]]
      }
    }
    return out
  }

  /// A list, and the image that its chunks are of: the first line says how to make that of a fixture.
  static func list(_ name: String) throws -> (base: [UInt8], mutants: [Mutant]) {
    let text = String(
      decoding: try Source(opening: fixtures + "judged/" + name).read(64 << 20), as: UTF8.self)
    let lines = text.split(separator: "\n")
    let first = lines[0].split(separator: " ")
    try #require(first[0] == "base")
    let whole =
      first[1] == "-" ? [] : try Source(opening: fixtures + String(first[1])).read(64 << 20)
    return (try bytes(Array(first[2...]), of: whole), lines.dropFirst().compactMap(Mutant.init))
  }

  @Test(arguments: [
    "pv.judged", "pvh.judged", "hvm.judged", "hvm-config.judged", "pvh-devices.judged",
    "pvh-state.judged",
  ])
  func verifySaysWhatXenSaid(name: String) throws {
    let (base, mutants) = try Self.list(name)
    #expect(try verify(base).isGood(isStrict: true))
    #expect(mutants.count > 30)
    for mutant in mutants {
      let file = TemporaryFile(try Self.bytes(mutant.chunks, of: base))
      let report = try Verifier(
        Source(opening: file.path), options: .init(readsPages: true)
      ).run()
      #expect(
        report.isGood == mutant.isGood,
        "\(mutant.changes): Xen \(mutant.outcome) (\(mutant.remark)); \(report.text)")
    }
  }

  /// Where verify is of another opinion than Xen, the list says why.
  @Test(arguments: [
    "pv.judged", "pvh.judged", "hvm.judged", "hvm-config.judged", "pvh-devices.judged",
    "pvh-state.judged",
  ])
  func disagreementsAreDecided(name: String) throws {
    for mutant in try Self.list(name).mutants where !mutant.agrees {
      #expect(mutant.remark.hasPrefix("meant: "), "\(mutant.changes): \(mutant.remark)")
    }
  }
}
