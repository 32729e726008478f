// The message table against what the stock helper said, and by hand.

import Bytes
import Glibc
import HelperProtocol
import SystemIO
import Testing

/// The recorded traffic, found from this file's place.
let traffic = #filePath.replacing(
  "HelperProtocolTests/HelperMessageTests.swift", with: "Fixtures/helper-traffic/")

/// One recorded conversation.
struct Recording: CustomTestStringConvertible, Sendable {
  let name: String
  var testDescription: String { name }

  static let all = [
    "pv-migrate.0", "pv-migrate.1", "pv-remus.0", "pv-remus.1", "pv-save-c.0", "pvh-save-c.0",
  ].map(Recording.init)

  func file(_ suffix: String) throws -> [UInt8] {
    let source = try Source(opening: traffic + name + "." + suffix)
    return try source.read(Int(source.byteCount ?? 0))
  }

  func arguments() throws -> [String] {
    String(decoding: try file("args"), as: UTF8.self).split(separator: "\n")[0]
      .split(separator: " ").map(String.init)
  }

  /// All messages of the helper, decoded.
  func messages() throws -> [HelperMessage] {
    let null = Sink(try Descriptor.open("/dev/null", isWritable: true), path: "/dev/null")
    let peer = HelperPeer(
      input: try Source(opening: traffic + name + ".to_libxl"), output: null, release: .xen414)
    var messages: [HelperMessage] = []
    while let (message, _) = try peer.next() { messages.append(message) }
    return messages
  }
}

@Suite struct HelperMessageTests {
  /// Decoded and encoded again, every recorded message is what it was, byte for byte.
  @Test(arguments: Recording.all) func byteForByte(recording: Recording) throws {
    let messages = try recording.messages()
    #expect(messages.count > 20)
    let encoded = messages.reduce(into: [UInt8]()) { $0 += $1.encoded(.xen414) ?? [] }
    #expect(encoded == (try recording.file("to_libxl")))
    // One answer of four bytes to each message that has one; libxl that dies owes the last.
    let replies = messages.count { $0.hasReply }
    let answered = try recording.file("from_libxl").count / 4
    #expect(replies == answered || (recording.name == "pv-remus.0" && replies == answered + 1))
  }

  /// The first thing that the stock helper says.
  @Test func firstMessageByHand() throws {
    let bytes = HelperMessage.log(
      .debug, errno: 0, context: "libxl-save-helper", "starting save"
    ).encoded(.xen414)
    #expect(
      bytes?.hexDigits
        // Length, id of log, level debug, errno 0, and two texts with their lengths.
        == "3200" + "0100" + "01000000" + "00000000"
        + "12000000" + "6c6962786c2d736176652d68656c70657200"
        + "0e000000" + "7374617274696e67207361766500")
  }

  /// Each message of each generation, by hand: length, id, arguments.
  @Test(arguments: [
    (HelperMessage.suspend, "02000300", "02000300", "02000300"),
    (.postcopy, "02000400", "02000400", "02000400"),
    (.checkpoint, "02000500", "02000500", "02000500"),
    (.waitCheckpoint, "", "02000600", "02000600"),
    (
      .switchQEMULogDirty(domain: 5, isOn: true), "0a000600" + "0500000001000000",
      "0a000700" + "0500000001000000", "0a000700" + "0500000001000000"
    ),
    (.staticDataDone(missing: 3), "", "", "06000800" + "03000000"),
    (
      .restoreResults(store: 0xFEFFC, console: 0xFEFFF),
      "12000700" + "fcef0f0000000000" + "ffef0f0000000000",
      "12000800" + "fcef0f0000000000" + "ffef0f0000000000",
      "12000900" + "fcef0f0000000000" + "ffef0f0000000000"
    ),
    (
      .complete(result: -1, errno: 9), "0a000800" + "ffffffff09000000",
      "0a000900" + "ffffffff09000000", "0a000a00" + "ffffffff09000000"
    ),
    (
      .progress("A", done: 1, total: 2),
      "1f000200" + "03000000786300" + "020000004100" + "0100000000000000" + "0200000000000000",
      "1f000200" + "03000000786300" + "020000004100" + "0100000000000000" + "0200000000000000",
      "1f000200" + "03000000786300" + "020000004100" + "0100000000000000" + "0200000000000000"
    ),
  ])
  func eachGeneration(
    message: HelperMessage, xen46: String, xen47: String, xen414: String
  ) throws {
    for (release, expected) in [
      (HelperRelease.xen46, xen46), (.xen47, xen47), (.xen410, xen47), (.xen414, xen414),
    ] {
      let bytes = message.encoded(release)
      #expect(bytes?.hexDigits ?? "" == expected)
      guard let bytes else { continue }
      #expect(try HelperMessage(decoding: Array(bytes.dropFirst(2)), release) == message)
    }
  }

  /// Every prefix of a message, and every message with a byte too many, is refused.
  @Test(arguments: [
    HelperMessage.log(.error, errno: 2, context: "xc", "no"), .progress("x", done: 1, total: 2),
    .suspend, .restoreResults(store: 1, console: 2), .complete(result: 0, errno: 0),
  ])
  func cutMessages(message: HelperMessage) throws {
    let body = Array(try #require(message.encoded(.xen414)).dropFirst(2))
    for count in 0..<body.count {
      #expect(throws: FormatError.self) {
        try HelperMessage(decoding: Array(body.prefix(count)), .xen414)
      }
    }
    #expect(throws: FormatError.self) { try HelperMessage(decoding: body + [0], .xen414) }
  }

  @Test func unknownIDs() {
    for (id, release) in [
      (UInt8(0), HelperRelease.xen414), (11, .xen414), (10, .xen410), (9, .xen46),
    ] {
      #expect(throws: FormatError.self) { try HelperMessage(decoding: [id, 0], release) }
    }
  }

  /// Texts must fit into a length of 16 bits.
  @Test func tooLong() {
    let long = String(repeating: "x", count: 65_530)
    #expect(HelperMessage.log(.info, context: "", long).encoded(.xen414) == nil)
  }

  // MARK: - Arguments

  @Test(arguments: Recording.all) func recordedArguments(recording: Recording) throws {
    let strings = try recording.arguments()
    let arguments = try HelperArguments(parsing: strings)
    #expect(arguments.release == .xen414)
    #expect(arguments.strings == strings)
    switch recording.name {
    case "pv-migrate.0":
      #expect(arguments[.ioDescriptor] == 16 && arguments[.domain] == 2)
      #expect(arguments.isLive && !arguments.isDebug)
      #expect(arguments.callbacks == [.suspend, .switchQEMULogDirty])
    case "pv-migrate.1":
      #expect(arguments.side == .restore && arguments[.consoleChannel] == 2)
      #expect(arguments.callbacks == [.staticDataDone, .restoreResults])
    case "pv-remus.0":
      #expect(arguments[.streamType] == 1)
      #expect(arguments.callbacks == [.suspend, .postcopy, .checkpoint, .switchQEMULogDirty])
    case "pv-remus.1":
      #expect(arguments.callbacks == [.checkpoint, .staticDataDone, .restoreResults])
    default: #expect(!arguments.isLive)
    }
    #expect(
      HelperArguments.flags(arguments.callbacks, .xen414) == UInt32(arguments[.callbacks] ?? 0))
  }

  @Test(arguments: [
    (HelperRelease.xen46, 7, 11), (.xen47, 9, 12), (.xen410, 7, 11), (.xen414, 6, 9),
  ])
  func argumentCounts(release: HelperRelease, save: Int, restore: Int) throws {
    for (side, count) in [(HelperSide.save, save), (.restore, restore)] {
      let words = [side.rawValue] + (0..<count).map { "\($0 - 1)" }
      let arguments = try HelperArguments(parsing: words, release: release)
      #expect(arguments.strings == words && arguments[.ioDescriptor] == -1)
      let guessed = try HelperArguments(parsing: words)
      #expect(guessed.release == (release == .xen46 ? .xen410 : release))
      for wrong in [Array(words.dropLast()), words + ["1"]] {
        let error = #expect(throws: XensaveError.self) {
          try HelperArguments(parsing: wrong, release: release)
        }
        #expect(error?.code == .usage)
      }
    }
    #expect(throws: XensaveError.self) { try HelperArguments(parsing: []) }
    #expect(throws: XensaveError.self) {
      try HelperArguments(parsing: ["--save-domain", "x", "1", "1", "1", "1", "1"])
    }
  }

  @Test func callbackFlags() {
    #expect(HelperArguments.callbacks(0x88, .save, .xen414) == [.suspend, .switchQEMULogDirty])
    #expect(
      HelperArguments.callbacks(0xF8, .save, .xen414)
        == [.suspend, .postcopy, .checkpoint, .waitCheckpoint, .switchQEMULogDirty])
    #expect(
      HelperArguments.callbacks(0x378, .restore, .xen414)
        == [
          .suspend, .postcopy, .checkpoint, .waitCheckpoint, .staticDataDone, .restoreResults,
        ])
    #expect(HelperArguments.flags([.suspend, .switchQEMULogDirty], .xen46) == 0x48)
  }

  @Test func releases() {
    let minors = (5...22).map { HelperRelease(minor: $0) }
    #expect(minors.first == .some(nil))
    #expect(minors[1] == .xen46 && minors[4] == .xen47 && minors[5] == .xen410)
    #expect(minors[8] == .xen410 && minors[9] == .xen414 && minors.last == .xen414)
  }
}
