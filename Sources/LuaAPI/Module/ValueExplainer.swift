// What scripts ask of a session's printer and help, which are not known here.

package import LuaRuntime

/// How much of a value is shown; nil for what a session shows.
package struct ValueLimits {
  package var depth: Int?
  package var width: Int?
  package var items: Int?
}

/// Who explains values and names: xs.repr, xs.help and xs.apropos ask it.
package protocol ValueExplainer {
  /// The value at `index` as a session prints it.
  func text(_ frame: LuaFrame, _ index: Int, _ limits: ValueLimits) -> String
  /// `help(...)`, with its arguments in `frame`.
  func help(_ shell: ShellContext, _ frame: LuaFrame) throws -> Int32
  /// `apropos(word)`, with its argument in `frame`.
  func apropos(_ shell: ShellContext, _ frame: LuaFrame) throws -> Int32
}
