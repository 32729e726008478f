// What this program is.

internal import LuaRuntime

/// The release of this program.
public let productVersion = "0.1.0"

/// The release with what it is made for: "0.1.0 (Lua 5.4.4; ...)".
var versionLine: String {
  "\(productVersion) (\(LuaState.release); libxc streams 1 to 3, libxl stream 2, legacy streams)"
}
