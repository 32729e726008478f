// The messages of libxl-save-helper: one table, both ends. Xen: libxl_save_msgs_gen.pl.

internal import Bytes

/// The kinds of messages, by Xen's names.
public enum HelperMessageKind: String, Sendable, CaseIterable {
  case log, progress, suspend, postcopy, checkpoint
  case waitCheckpoint = "wait_checkpoint"
  case switchQEMULogDirty = "switch_qemu_logdirty"
  case staticDataDone = "static_data_done"
  case restoreResults = "restore_results"
  case complete
}

/// An argument's form in the message.
enum HelperArgument: Sendable {
  /// int, unsigned, uint32_t: 4 bytes.
  case u32
  /// unsigned long, xen_pfn_t: 8 bytes.
  case u64
  /// A u32 that counts the bytes with the NUL, then those.
  case text
}

/// The row of a kind.
struct HelperRow: Sendable {
  let kind: HelperMessageKind
  let arguments: [HelperArgument]
  /// Whether libxl answers with an int.
  let hasReply: Bool
  let sides: [HelperSide]
  /// The ids of 4.6, of 4.7 to 4.13, and of 4.14 and later.
  let ids: (UInt16?, UInt16?, UInt16?)

  func id(_ release: HelperRelease) -> UInt16? {
    switch release {
    case .xen46: ids.0
    case .xen47, .xen410: ids.1
    case .xen414: ids.2
    }
  }

  private static let both = HelperSide.allCases

  // swift-format-ignore
  static let all: [HelperRow] = [
    HelperRow(.log, [.u32, .u32, .text, .text], false, both, (1, 1, 1)),
    HelperRow(.progress, [.text, .text, .u64, .u64], false, both, (2, 2, 2)),
    HelperRow(.suspend, [], true, both, (3, 3, 3)),
    HelperRow(.postcopy, [], true, both, (4, 4, 4)),
    HelperRow(.checkpoint, [], true, both, (5, 5, 5)),
    HelperRow(.waitCheckpoint, [], true, both, (nil, 6, 6)),
    HelperRow(.switchQEMULogDirty, [.u32, .u32], true, [.save], (6, 7, 7)),
    HelperRow(.staticDataDone, [.u32], true, [.restore], (nil, nil, 8)),
    HelperRow(.restoreResults, [.u64, .u64], false, [.restore], (7, 8, 9)),
    HelperRow(.complete, [.u32, .u32], true, both, (8, 9, 10)),
  ]

  private init(
    _ kind: HelperMessageKind, _ arguments: [HelperArgument], _ hasReply: Bool,
    _ sides: [HelperSide], _ ids: (UInt16?, UInt16?, UInt16?)
  ) {
    self.kind = kind
    self.arguments = arguments
    self.hasReply = hasReply
    self.sides = sides
    self.ids = ids
  }

  static func of(_ kind: HelperMessageKind) -> HelperRow {
    guard let row = all.first(where: { $0.kind == kind }) else { fatalError("no row of \(kind)") }
    return row
  }
}

/// A message from the helper to libxl.
///
///      0     1     2     3     4 ...
///     +-----------+-----------+--------------------+
///     | length    | id        | arguments, packed  |     all of the machine's own byte order
///     +-----------+-----------+--------------------+
///       of what follows it
public struct HelperMessage: Sendable, Equatable {
  public enum Value: Sendable, Equatable {
    /// Unsigned; an int is its bit pattern.
    case number(UInt64)
    case text(String)
  }

  public let kind: HelperMessageKind
  public let values: [Value]

  init(_ kind: HelperMessageKind, _ values: [Value] = []) {
    self.kind = kind
    self.values = values
  }

  /// Levels of a log message. Xen: xentoollog.h, XTL_*.
  public enum Level: UInt32, Sendable {
    case debug = 1, verbose, detail, progress, info, notice, warn, error, critical
  }

  /// A line for libxl's log. `errno`: -1 for none.
  public static func log(
    _ level: Level, errno: Int32 = -1, context: String, _ message: String
  ) -> HelperMessage {
    HelperMessage(
      .log,
      [
        .number(UInt64(level.rawValue)), .number(UInt64(UInt32(bitPattern: errno))),
        .text(context), .text(message),
      ])
  }

  public static func progress(
    context: String = "xc", _ what: String, done: Int, total: Int
  ) -> HelperMessage {
    HelperMessage(
      .progress,
      [.text(context), .text(what), .number(UInt64(done)), .number(UInt64(total))])
  }

  public static let suspend = HelperMessage(.suspend)
  public static let postcopy = HelperMessage(.postcopy)
  public static let checkpoint = HelperMessage(.checkpoint)
  public static let waitCheckpoint = HelperMessage(.waitCheckpoint)

  public static func switchQEMULogDirty(domain: UInt32, isOn: Bool) -> HelperMessage {
    HelperMessage(.switchQEMULogDirty, [.number(UInt64(domain)), .number(isOn ? 1 : 0)])
  }

  /// `missing`: bit 0 for X86_CPUID_POLICY, bit 1 for X86_MSR_POLICY.
  public static func staticDataDone(missing: UInt32) -> HelperMessage {
    HelperMessage(.staticDataDone, [.number(UInt64(missing))])
  }

  public static func restoreResults(store: UInt64, console: UInt64) -> HelperMessage {
    HelperMessage(.restoreResults, [.number(store), .number(console)])
  }

  /// The last message. `errno`: of use only where `result` is not 0.
  public static func complete(result: Int32, errno: Int32) -> HelperMessage {
    HelperMessage(
      .complete,
      [.number(UInt64(UInt32(bitPattern: result))), .number(UInt64(UInt32(bitPattern: errno)))])
  }

  /// Whether libxl answers it, and the helper has to wait for that.
  public var hasReply: Bool { HelperRow.of(kind).hasReply }

  /// The bytes of a message, its length first; nil where the release has no such message, or it
  /// would be longer than the length can say.
  public func encoded(_ release: HelperRelease) -> [UInt8]? {
    let row = HelperRow.of(kind)
    guard let id = row.id(release), row.arguments.count == values.count else { return nil }
    var body: [UInt8] = []
    body.append(integer: id, .native)
    for (form, value) in zip(row.arguments, values) {
      switch (form, value) {
      case (.u32, .number(let value)):
        body.append(integer: UInt32(truncatingIfNeeded: value), .native)
      case (.u64, .number(let value)): body.append(integer: value, .native)
      case (.text, .text(let text)):
        body.append(integer: UInt32(text.utf8.count + 1), .native)
        body += Array(text.utf8) + [0]
      default: return nil
      }
    }
    guard body.count <= Int(UInt16.max) else { return nil }
    var out: [UInt8] = []
    out.append(integer: UInt16(body.count), .native)
    return out + body
  }

  /// Reads what stands after the length. libxl passes over what it does not understand without a
  /// word, so that a helper that waits for an answer to it waits for ever.
  public init(decoding body: [UInt8], _ release: HelperRelease) throws {
    guard body.count >= 2 else { throw FormatError(.truncated, "expected an id of 2 bytes") }
    let id = body.load(0, as: UInt16.self, .native)
    guard let row = HelperRow.all.first(where: { $0.id(release) == id }) else {
      throw FormatError(.unknownName, field: "id", offset: 0, "no message has id \(id)")
    }
    var offset = 2
    func take(_ count: Int) throws -> Int {
      guard body.count - offset >= count else {
        throw FormatError(
          .truncated, field: row.kind.rawValue, offset: offset,
          "expected \(count) bytes, got \(body.count - offset)")
      }
      defer { offset += count }
      return offset
    }
    var values: [Value] = []
    for form in row.arguments {
      switch form {
      case .u32:
        values.append(.number(UInt64(body.load(try take(4), as: UInt32.self, .native))))
      case .u64: values.append(.number(body.load(try take(8), as: UInt64.self, .native)))
      case .text:
        let count = Int(body.load(try take(4), as: UInt32.self, .native))
        let start = try take(count)
        guard count > 0, body[start + count - 1] == 0 else {
          throw FormatError(
            .invalid, field: row.kind.rawValue, offset: start, "expected a text that ends in NUL")
        }
        values.append(.text(String(decoding: body[start..<start + count - 1], as: UTF8.self)))
      }
    }
    guard offset == body.count else {
      throw FormatError(
        .invalid, field: row.kind.rawValue, offset: offset,
        "\(body.count - offset) bytes too many")
    }
    self.init(row.kind, values)
  }

  /// The number of argument `index`; nil for a text.
  public func number(_ index: Int) -> UInt64? {
    if index < values.count, case .number(let value) = values[index] { value } else { nil }
  }
}
