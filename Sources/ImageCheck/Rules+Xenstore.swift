// Rules for EMULATOR_XENSTORE_DATA: keys and values that restore writes into xenstore.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let spec = "Spec: libxl-migration-stream, EMULATOR_XENSTORE_DATA"
  private static let types: [RecordType] = [.emulatorXenstoreData]

  static let emulatorXenstore: [Rule] = [
    Rule(
      "emulator-xenstore.end", .error, "The data end with a NUL.",
      "Xen: tools/libs/light/libxl_dom_save.c, libxl__restore_emulator_xenstore_data",
      .record(types) { look, record in
        guard record.body.count > 8, let last = record.body.last, last != 0 else { return }
        look.report(
          record, "data", at: record.body.count - 1, "expected a NUL at the end, got \(last.hex(2))"
        )
      }),
    Rule(
      "emulator-xenstore.pairs", .error, "Keys and values come in pairs.",
      "Xen: tools/libs/light/libxl_dom_save.c, libxl__restore_emulator_xenstore_data",
      .record(types) { look, record in
        let count = record.body.dropFirst(8).count { $0 == 0 }
        guard !count.isMultiple(of: 2) else { return }
        look.report(record, "data", at: 8, "expected an even number of strings, got \(count)")
      }),
    Rule(
      "emulator-xenstore.key", .error, "A key is not empty, and its path is relative.",
      "Xen: tools/libs/light/libxl_dom_save.c, libxl__restore_emulator_xenstore_data",
      .record(types) { look, record in
        for pair in XenstorePairs(record.body) {
          guard let problem = pair.pathProblem else { continue }
          look.report(
            record, "data", at: pair.key.startIndex,
            "expected \(problem), got \"\(pair.key.prefix(64).printable)\"")
        }
      }),
    Rule(
      "emulator-xenstore.name", .warning,
      "A key has names of letters, digits and -_@ between slashes, and at most 2048 bytes: "
        + "xenstore refuses others, and xl does not mind.", spec,
      .record(types) { look, record in
        for pair in XenstorePairs(record.body) where pair.pathProblem == nil {
          guard let problem = pair.nameProblem else { continue }
          look.report(
            record, "data", at: pair.key.startIndex,
            "expected \(problem), got \"\(pair.key.prefix(64).printable)\"")
        }
      }),
    Rule(
      "emulator-xenstore.value", .warning, "A value is readable ASCII.", spec,
      .record(types) { look, record in
        for pair in XenstorePairs(record.body)
        where pair.value.contains(where: { $0 < 0x20 || $0 > 0x7E }) {
          look.report(
            record, "data", at: pair.value.startIndex,
            "expected readable ASCII, got \"\(pair.value.prefix(64).printable)\"")
        }
      }),
    Rule(
      "emulator-xenstore.duplicate", .warning, "A key stands once: of two values the last stays.",
      "Xen: tools/libs/light/libxl_dom_save.c, libxl__restore_emulator_xenstore_data",
      .record(types) { look, record in
        var seen: Set<ArraySlice<UInt8>> = []
        for pair in XenstorePairs(record.body) where !seen.insert(pair.key).inserted {
          look.report(
            record, "data", at: pair.key.startIndex,
            "expected a key that has not come yet, got \"\(pair.key.prefix(64).printable)\"")
        }
      }),
    Rule(
      "emulator-xenstore.many", .warning,
      "There are at most \(XenstorePairs.limit) keys: the ones after are not looked at.",
      "Rationale: QEMU needs three for each memory region, and has few of those",
      .record(types) { look, record in
        let count = record.body.dropFirst(8).count { $0 == 0 } / 2
        guard count > XenstorePairs.limit else { return }
        look.report(
          record, "data", at: 8, "expected at most \(XenstorePairs.limit) keys, got \(count)")
      }),
  ]
}

/// The pairs in the body of EMULATOR_XENSTORE_DATA, up to `limit`.
private struct XenstorePairs: Sequence, IteratorProtocol {
  static let limit = 4096

  struct Pair {
    let key: ArraySlice<UInt8>
    let value: ArraySlice<UInt8>

    /// What the key should be for xl, if it is not.
    var pathProblem: String? {
      if key.isEmpty { return "a key" }
      return key.first == 0x2F ? "a relative key" : nil
    }

    /// What the key should be for xenstore, if it is not.
    var nameProblem: String? {
      if key.count > 2048 { return "a key of at most 2048 bytes" }
      guard key.allSatisfy(XenstorePairs.isAllowed) else {
        return "letters, digits and -_@ between slashes"
      }
      let steps = key.split(separator: 0x2F, omittingEmptySubsequences: false)
      return steps.contains(where: \.isEmpty) ? "names between slashes" : nil
    }
  }

  private var rest: ArraySlice<UInt8>
  private var count = 0

  init(_ body: [UInt8]) { rest = body.dropFirst(8) }

  mutating func next() -> Pair? {
    guard count < XenstorePairs.limit, let keyEnd = rest.firstIndex(of: 0),
      let valueEnd = rest[(keyEnd + 1)...].firstIndex(of: 0)
    else { return nil }
    count += 1
    let pair = Pair(
      key: rest[rest.startIndex..<keyEnd], value: rest[(keyEnd + 1)..<valueEnd])
    rest = rest[(valueEnd + 1)...]
    return pair
  }

  /// Letters, digits and -/_@. A dot is not among them, so ".." cannot stand there.
  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2F, 0x5F, 0x40: true
    default: false
    }
  }
}
