// Where the shipped Lua modules are, from a build tree and installed.

internal import SystemIO

enum ModulePaths {
  /// Templates for `require`, nearest first: beside the program's own build tree, then where
  /// packages and `scripts/install` put them.
  static var installed: [String] {
    var folders: [String] = []
    let program = resolvedPath("/proc/self/exe")
    var parts = program.split(separator: "/").map(String.init)
    // .build/<triple>/<configuration>/xensave-lua, and PREFIX/bin/xensave-lua.
    if let build = parts.lastIndex(where: { $0.hasPrefix(".build") }) {
      folders.append("/" + parts[..<build].joined(separator: "/") + "/lua")
    }
    if parts.count >= 2 {
      parts.removeLast(2)
      folders.append("/" + (parts + ["share", "xensave-lua"]).joined(separator: "/"))
    }
    folders.append("/usr/share/xensave-lua")
    return folders.flatMap { ["\($0)/?.lua", "\($0)/?/init.lua"] }
  }
}
