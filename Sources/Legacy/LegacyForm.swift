// Recognising a legacy stream: it has no magic.

internal import Bytes
public import Format
public import Stream
public import SystemIO

/// What the first bytes of a file or pipe say of a legacy save.
public enum LegacyForm: Sendable, Equatable {
  /// An xl header without the flag streamv2: a legacy stream follows its optional data.
  case xl
  /// xend's front (xm save): a legacy stream follows its configuration.
  case xend
  /// The stream itself, which libxc wrote for libxl or another toolstack.
  case bare(ToolstackWidth, GuestType)

  /// Bytes that recognition wants to see.
  public static let peekByteCount = 48

  /// nil where it is something else, or too short.
  public init?(_ first: [UInt8]) {
    if first.starts(with: Magic.xl) {
      guard first.count >= 40, first.load(36, as: UInt32.self) & 2 == 0 else { return nil }
      self = .xl
    } else if first.starts(with: xendMagic.utf8) {
      self = .xend
    } else {
      guard first.count >= 16, let width = ToolstackWidth(p2mSize: first) else { return nil }
      let start = width.rawValue
      if first[start..<2 * start].allSatisfy({ $0 == 0xFF }) {
        self = .bare(width, .x86PV)
      } else if LegacyChunk(rawValue: first.load(start, as: Int32.self)).isKnown {
        self = .bare(width, .x86HVM)
      } else {
        return nil
      }
    }
  }

  /// Looks at what `source` holds next; nothing is consumed.
  public static func detect(_ source: Source) throws(StreamError) -> LegacyForm? {
    do {
      return LegacyForm(source.window(try source.peek(peekByteCount)))
    } catch { throw StreamError(error, offset: source.position) }
  }
}

extension ToolstackWidth {
  /// The width that the first 8 bytes speak for: p2m_size is below 2^28, so the upper half of a
  /// 64-bit one is zero, while after a 32-bit one stand all ones (PV) or a chunk's type (HVM).
  init?(p2mSize first: [UInt8]) {
    let low = first.load(0, as: UInt32.self)
    guard low != 0, low < LegacyLimit.p2mSize else { return nil }
    self = first.load(4, as: UInt32.self) == 0 ? .bits64 : .bits32
  }
}
