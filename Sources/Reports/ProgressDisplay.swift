// Shows how far long work is, on standard error.

internal import SystemIO
internal import Terminal

/// What looks on while work continues, and says so on standard error.
package final class ProgressDisplay {
  private let style: ProgressStyle
  private var rate = ProgressRate()
  /// When the work began that continues without a pause, in nanoseconds.
  private var start: UInt64 = 0
  private var lastPhaseEnd: UInt64 = 0
  private var lastLine: UInt64 = 0
  private var isShowingBar = false
  /// What a script calls its work, in place of what it is doing.
  package var title = ""

  /// The one that shows; nil for none. Only the first thread touches it.
  package nonisolated(unsafe) static var current: ProgressDisplay?

  private static let second: UInt64 = 1_000_000_000

  /// Shows the progress of this thread from now on, as the user wants it: without a wish as a bar
  /// where standard error is a terminal.
  package static func begin(_ wish: ProgressStyle?, isQuiet: Bool) {
    let isTerminal =
      Environment.isTerminal(2) && !["", "dumb"].contains(Environment.variable("TERM") ?? "")
    let style = wish ?? (isTerminal && !isQuiet ? .bar : .none)
    guard style != .none, unsafe current == nil else { return }
    let display = ProgressDisplay(style)
    unsafe current = display
    Progress.watch { display.show($0, now: Environment.nanoseconds) }
  }

  private init(_ style: ProgressStyle) { self.style = style }

  private func show(_ state: ProgressState, now: UInt64) {
    if state.moment == .begin {
      rate = ProgressRate()
      // What follows at once belongs to the same work.
      if lastPhaseEnd == 0 || now - lastPhaseEnd > ProgressDisplay.second { start = now }
    }
    rate.add(state.done, now: now)
    if state.moment == .end { lastPhaseEnd = now }
    let text = ProgressText(state: state, title: title, perSecond: rate.perSecond)
    switch style {
    case .none: break
    case .plain, .json:
      guard state.moment != .running || now - lastLine >= ProgressDisplay.second else { return }
      lastLine = now
      if style == .json {
        writeToStandardError(text.json)
      } else {
        writeToStandardError(Array("xensave-lua: \(text.plain)\n".utf8))
      }
    case .bar:
      guard now - start >= 2 * ProgressDisplay.second else { return }
      let columns = (TerminalSize.current(of: 2) ?? .standard).columns
      writeToStandardError(Array("\r\(text.bar(columns: columns - 1))\u{1B}[K".utf8))
      isShowingBar = true
    }
  }

  /// Takes the bar off the terminal: something else is going to be written there.
  package static func clear() {
    guard let display = unsafe current, display.isShowingBar else { return }
    display.isShowingBar = false
    writeToStandardError(Array("\r\u{1B}[K".utf8))
  }
}
