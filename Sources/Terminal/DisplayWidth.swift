// How many terminal columns a text takes.

/// The number of terminal columns that `text` takes when it is written on one line.
///
/// Each scalar is counted by itself, as xterm and VTE do: combining marks, joiners and variation
/// selectors take 0 columns, East Asian wide and emoji scalars 2, all others 1. Control characters
/// count 0, so text that may hold them must go through `escapeForDisplay(_:)` first.
/// - Returns: columns, 0 or more.
public func displayWidth(_ text: String) -> Int {
  var columns = 0
  for scalar in text.unicodeScalars { columns += scalar.columns }
  return columns
}

extension Unicode.Scalar {
  /// Columns that this scalar takes: 0, 1 or 2.
  var columns: Int {
    let code = value
    if code < 0x300 {
      return code < 0x20 || (0x7F..<0xA0).contains(code) ? 0 : 1
    }
    // Vowels and final consonants of Hangul are drawn into the cell of the initial consonant.
    if (0x1160...0x11FF).contains(code) || (0xD7B0...0xD7FF).contains(code) { return 0 }
    switch properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .lineSeparator, .paragraphSeparator: return 0
    default: break
    }
    return isWide ? 2 : 1
  }

  private var isWide: Bool {
    guard value >= 0x1100 else { return false }
    // Regional indicators have emoji presentation, but only a pair of them makes a wide flag.
    if (0x1F1E6...0x1F1FF).contains(value) { return false }
    return wideRanges.contains { $0.contains(value) } || properties.isEmojiPresentation
  }
}

/// Scalars whose East_Asian_Width is Wide or Fullwidth, without those that have emoji presentation.
/// Source: Unicode 14, EastAsianWidth.txt; gaps of unassigned and combining code points are closed.
private let wideRanges: [ClosedRange<UInt32>] = [
  0x1100...0x115F,  // Hangul initial consonants
  0x2329...0x232A,
  0x2E80...0x303E,  // CJK radicals, punctuation
  0x3041...0x3247,  // kana, bopomofo, compatibility jamo
  0x3250...0x4DBF,
  0x4E00...0xA4C6,  // CJK unified ideographs, Yi
  0xA960...0xA97C,
  0xAC00...0xD7A3,  // Hangul syllables
  0xF900...0xFAFF,
  0xFE10...0xFE6B,
  0xFF01...0xFF60,  // fullwidth forms
  0xFFE0...0xFFE6,
  0x16FE0...0x18DFF,  // Tangut, Khitan
  0x1AFF0...0x1B2FB,
  0x1F200...0x1F265,
  0x20000...0x3FFFD,  // supplementary ideographs
]
