// The size of a terminal.

internal import Glibc

/// The size of a terminal in character cells.
public struct TerminalSize: Equatable, Sendable {
  /// Cells in a row, 1 or more.
  public let columns: Int
  /// Rows, 1 or more.
  public let rows: Int

  /// A size; values below 1 are taken as 1.
  public init(columns: Int, rows: Int) {
    self.columns = max(1, columns)
    self.rows = max(1, rows)
  }

  /// The size to assume when a terminal does not tell its own: 80 by 24.
  public static let standard = TerminalSize(columns: 80, rows: 24)

  /// The size of the terminal open as `descriptor`; nil when it is not a terminal or does not know.
  public static func current(of descriptor: CInt) -> TerminalSize? {
    var size = winsize()
    // Safety: TIOCGWINSZ writes one `winsize`, and `size` is one.
    guard unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 else { return nil }
    guard size.ws_col > 0, size.ws_row > 0 else { return nil }
    return TerminalSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
  }
}
