// What a session knows of values and names, for scripts too.

package import LuaAPI
package import LuaRuntime
internal import Terminal

/// Explains values as a session does.
package struct SessionExplainer: ValueExplainer {
  package init() {}

  package func text(_ frame: LuaFrame, _ index: Int, _ limits: ValueLimits) -> String {
    var printer = PrettyPrinter()
    // Each table inside another takes the printer's own stack.
    if let depth = limits.depth { printer.depth = min(depth, PrettyPrinter.depthLimit) }
    if let width = limits.width { printer.width = width }
    if let items = limits.items { printer.itemLimit = items }
    return printer.text(frame, index)
  }

  package func help(_ shell: ShellContext, _ frame: LuaFrame) throws -> Int32 {
    try Help(shell).run(frame)
  }

  package func apropos(_ shell: ShellContext, _ frame: LuaFrame) throws -> Int32 {
    try Help(shell).apropos(frame)
  }
}

extension ShellContext {
  /// Prints values for standard output.
  var printer: PrettyPrinter {
    let size = TerminalSize.current(of: 1) ?? .standard
    var printer = PrettyPrinter(width: max(20, size.columns - 1), usesColor: usesColor)
    printer.base = numberBase
    // What goes into a command or a file goes there whole.
    if capture != nil { (printer.itemLimit, printer.lineLimit) = (1_000_000, 1_000_000) }
    return printer
  }
}
