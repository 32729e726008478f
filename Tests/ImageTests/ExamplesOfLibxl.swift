// Examples for the rules of the libxl stream, of checkpoints and of the end.

import TestKit

extension Example {
  private static func xenstore(_ strings: [String]) -> StreamBuilder.Chunk {
    StreamBuilder.xenstore(strings)
  }

  private static let state = StreamBuilder.record("CHECKPOINT_STATE", 5, le32(0))
  private static let name = "EMULATOR_XENSTORE_DATA"

  static let libxl = [
    Example("libxc-context.first", .hvm(), at: "EMULATOR_CONTEXT") {
      $0.move("EMULATOR_CONTEXT", before: "LIBXC_CONTEXT")
    },
    Example("libxc-context.duplicate", .hvm(), at: "second") {
      $0.insert(.init("second", le32(1, 0) + $0.libxc.bytes), before: "libxl END")
    },
    Example("checkpoint-end.place", .hvm(), at: "CHECKPOINT_END") {
      $0.insert(StreamBuilder.record("CHECKPOINT_END", 4), before: "libxl END")
    },
    Example("checkpoint-end.missing", .remus(checkpoints: 1), at: "libxl END") {
      $0.replace("CHECKPOINT_END", StreamBuilder.record("libxl END", 0))
    },
    Example("checkpoint-state.place", .hvm(), at: "CHECKPOINT_STATE") {
      $0.insert(state, before: "libxl END")
    },
    Example("checkpoint-state.id", .remus(), at: "CHECKPOINT_STATE", 8) {
      $0.insert(StreamBuilder.record("CHECKPOINT_STATE", 5, le32(1)), after: "CHECKPOINT_END")
    },
    Example("emulator.id", .hvm(), at: "EMULATOR_CONTEXT", 8) {
      $0.poke("EMULATOR_CONTEXT", 8, [3])
    },
    Example("emulator.unknown", .hvm(), at: "EMULATOR_CONTEXT", 8) {
      $0.poke("EMULATOR_CONTEXT", 8, [0])
    },
    Example("emulator.index", .hvm(), at: "EMULATOR_CONTEXT", 12) {
      $0.poke("EMULATOR_CONTEXT", 12, [1])
    },
    Example("emulator.duplicate", .hvm(), at: "libxl END", -32) { $0.double("EMULATOR_CONTEXT") },
    Example("emulator-context.missing", .hvm(), at: "libxl END", 8) {
      $0.remove("EMULATOR_CONTEXT")
    },
    Example("emulator-context.magic", .hvm(), at: "EMULATOR_CONTEXT", 16) {
      $0.replace(
        "EMULATOR_CONTEXT", StreamBuilder.record("EMULATOR_CONTEXT", 3, le32(2, 0)))
    },
    Example("emulator-context.version", .hvm(), at: "EMULATOR_CONTEXT", 20) {
      $0.poke("EMULATOR_CONTEXT", 23, [2])
    },
    Example("emulator-xenstore.end", .hvm(), at: name, 8 + 8 + 2) {
      $0.replace(name, StreamBuilder.record(name, 2, le32(2, 0) + [0x61, 0, 0x62]))
    },
    Example("emulator-xenstore.pairs", .hvm(), at: name, 16) {
      $0.replace(name, xenstore(["a", "b", "c"]))
    },
    Example("emulator-xenstore.key", .hvm(), at: name, 20) {
      $0.replace(name, xenstore(["a", "b", "/a", "c"]))
    },
    Example("emulator-xenstore.name", .hvm(), at: name, 20) {
      $0.replace(name, xenstore(["a", "b", "../a", "c"]))
    },
    Example("emulator-xenstore.value", .hvm(), at: name, 18) {
      $0.replace(name, xenstore(["a", "\u{1B}[2J"]))
    },
    Example("emulator-xenstore.duplicate", .hvm(), at: name, 20) {
      $0.replace(name, xenstore(["a", "b", "a", "c"]))
    },
    Example("emulator-xenstore.many", .hvm(), at: name, 16) {
      $0.replace(name, xenstore((0..<4097).flatMap { ["k\($0)", ""] }))
    },
  ]

  private static let goAhead = Array("domain is yours, you are cleared to unpause\0".utf8)

  static let ending = [
    Example("libxc-context.missing", .hvm(), at: "libxl END", 8) {
      $0.chunks.removeAll { !["xl", "libxl", "libxl END"].contains($0.name) }
    },
    Example("checkpoint.plain", .remus(guest: 1), at: "CHECKPOINT") {
      $0.add(StreamBuilder.record("END", 0))
      $0.add(StreamBuilder.record("libxl END", 0))
    },
    Example("checkpoint.cut", .remus(), at: "cut") { $0.add("cut", le32(1, 100) + [1]) },
    Example("checkpoint.cut", .remus(), at: "next", 4112 + 8) {
      $0.add("next", StreamBuilder.pages([0x10]).bytes)
    },
    Example("trailing.handshake", .hvm(), at: "trailing") { $0.add("trailing", goAhead) },
    Example("trailing.image", .hvm(), at: "trailing") {
      $0.add("trailing", StreamBuilder.pv().bytes)
    },
    Example("trailing.octets", .hvm(), at: "trailing") { $0.add("trailing", [0]) },
  ]
}
