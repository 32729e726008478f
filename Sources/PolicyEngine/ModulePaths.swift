// Where the shipped Lua modules are, from a build tree and installed.

package import SystemIO

package enum ModulePaths {
  /// Folders of shipped modules, nearest first: beside the program's own build tree, then where
  /// packages and `scripts/install` put them.
  package static var shipped: [String] {
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
    if !folders.contains("/usr/share/xensave-lua") { folders.append("/usr/share/xensave-lua") }
    return folders
  }

  /// What is wrong where no folder holds what comes with the program: `what` is the plural's name.
  package static func nothingInstalled(_ what: String) -> XensaveError {
    XensaveError(
      .findings,
      "no \(what) are installed: there are none in \(shipped.joined(separator: ", ")) "
        + "(scripts/install puts them there)")
  }

  /// The folder with the definition file for editors.
  package static var definitions: String? {
    shipped.map { $0 + "/meta" }.first { FileSystem.exists($0 + "/xensave.lua") }
  }

  /// Folders of the machine's administrator and of Debian's Lua modules: before and after what is
  /// shipped.
  private static let site = "/etc/xen/xensave.d"
  private static let system = "/usr/share/lua/5.4"

  /// Folders that belong to the user: none for root, who must not run what others can write.
  package static var own: [String] {
    guard !Environment.isRoot else { return [] }
    let named = Environment.variable("XENSAVE_LUA_PATH")?.split(separator: ":").map(String.init)
    let home = Environment.userFolder("XDG_DATA_HOME", ".local/share").map { $0 + "/xensave-lua" }
    return ["."] + (named ?? []) + (home.map { [$0] } ?? [])
  }

  /// What `package.path` is: the script's own folder, the user's, the administrator's, then the
  /// shipped modules and Debian's. The
  /// variables LUA_PATH, LUA_CPATH and LUA_INIT have no say.
  package static func path(script: String) -> String {
    var folders: [String] = []
    if let slash = script.lastIndex(of: "/") {
      folders.append(slash == script.startIndex ? "/" : String(script[..<slash]))
    } else if script.hasSuffix(".lua") {
      folders.append(".")
    }
    folders += own.filter { !folders.contains($0) } + [site] + shipped + [system]
    return folders.flatMap { folder in
      // An entry may be a template itself, as in LUA_PATH.
      folder.contains("?") ? [folder] : ["\(folder)/?.lua", "\(folder)/?/init.lua"]
    }.joined(separator: ";")
  }

  /// The names of the modules that can be found, for completion.
  package static var modules: [String] {
    var out: Set<String> = ["xensave"]
    for folder in shipped + own where folder != "." {
      collect(folder + "/xensave", "xensave.", &out)
    }
    return out.sorted()
  }

  private static func collect(_ folder: String, _ prefix: String, _ out: inout Set<String>) {
    for name in FileSystem.names(in: folder) ?? [] {
      if name.hasSuffix(".lua") {
        out.insert(prefix + name.dropLast(4))
      } else if FileSystem.isFolder(folder + "/" + name) {
        collect(folder + "/" + name, prefix + name + ".", &out)
      }
    }
  }
}
