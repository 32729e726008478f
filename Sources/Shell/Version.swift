// What this program is.

internal import LuaRuntime
internal import XenDomain

/// The release of this program.
public let productVersion = "0.1.0"

/// The release with what it is made for: "0.1.0 (Lua 5.4.4; ...)".
var versionLine: String {
  let live = XenHost.releases
  return "\(productVersion) (\(LuaState.release); libxc streams 1 to 3, libxl stream 2, legacy "
    + "streams; live Xen 4.\(live.first ?? 0) to 4.\(live.last ?? 0))"
}
