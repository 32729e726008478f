// Decides whether output is coloured.

internal import Glibc

/// What the user asked for with an option such as `--color`.
public enum ColorChoice: String, Sendable, CaseIterable {
  /// Colour when the output is a terminal that can show it and the environment does not object.
  case auto
  /// Colour whatever the output is.
  case always
  /// No colour.
  case never

  /// Whether to colour output.
  ///
  /// `auto` looks, in this order, at NO_COLOR (set and not empty: no), CLICOLOR_FORCE (set, not
  /// empty, not "0": yes), whether the output is a terminal (no: no), TERM (unset, empty or "dumb":
  /// no) and CLICOLOR ("0": no). `environment` gives the value of a variable, nil when it is not set.
  public func isEnabled(isTerminal: Bool, environment: (String) -> String?) -> Bool {
    switch self {
    case .always: return true
    case .never: return false
    case .auto: break
    }
    if let value = environment("NO_COLOR"), !value.isEmpty { return false }
    if let value = environment("CLICOLOR_FORCE"), !value.isEmpty, value != "0" { return true }
    return isTerminal && canUseEscapes(terminalName: environment("TERM"))
      && environment("CLICOLOR") != "0"
  }

  /// Whether to colour what goes to the open descriptor `descriptor`, by the environment of this
  /// process.
  public func isEnabled(descriptor: CInt) -> Bool {
    isEnabled(isTerminal: isatty(descriptor) == 1, environment: environmentVariable)
  }
}

/// Whether a terminal of the kind `terminalName` (the value of TERM) understands escape sequences.
func canUseEscapes(terminalName: String?) -> Bool {
  guard let terminalName else { return false }
  return !["", "dumb", "unknown"].contains(terminalName)
}

/// The value of the environment variable `name`, nil when it is not set.
func environmentVariable(_ name: String) -> String? {
  // Safety: getenv's result is nil or a string that ends in NUL; it is copied at once.
  guard let value = unsafe getenv(name) else { return nil }
  return unsafe String(cString: value)
}
