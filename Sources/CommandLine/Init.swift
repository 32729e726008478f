// xensave-lua init: tells editors about the module `xensave`.

internal import ArgumentParser
internal import JSON
internal import PolicyEngine
internal import Reports
internal import SystemIO

struct Init: ShellCommand {
  static let name = "init"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Make a folder for scripts: settings of editors and of luacheck.",
    discussion: """
      Writes .luarc.json, with which lua-language-server completes and checks what scripts use of \
      `xs` and `img`, and .luacheckrc. Files that are there already stay.
      """)

  @Argument(help: "The folder; it is made if it is not there.", completion: .directory) var folder =
    "."
  @Flag(name: .shortAndLong, help: "Print only errors.") var quiet = false

  mutating func execute() throws -> Int32 {
    guard let library = ModulePaths.definitions else {
      throw XensaveError(
        .system,
        "init: the definition file meta/xensave.lua is not installed: looked in "
          + ModulePaths.shipped.joined(separator: ", "))
    }
    if !FileSystem.isFolder(folder) { try FileSystem.createFolder(folder) }
    for (name, text) in [(".luarc.json", Init.luarc(library)), (".luacheckrc", Init.luacheck)] {
      let path = "\(folder)/\(name)"
      if FileSystem.exists(path) {
        if !quiet { writeError("xensave-lua: \(path) is there already, and stays\n") }
        continue
      }
      try FileSystem.create(path, text)
      if !quiet { writeError("xensave-lua: wrote \(path)\n") }
    }
    return ExitCode.good
  }

  /// The settings of lua-language-server.
  static func luarc(_ library: String) -> String {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("runtime.version", "Lua 5.4")
    writer.key("workspace.library")
    writer.beginArray()
    writer.value(library)
    writer.endArray()
    writer.member("workspace.checkThirdParty", false)
    writer.key("diagnostics.globals")
    writer.beginArray()
    for name in ["img", "arg"] { writer.value(name) }
    writer.endArray()
    writer.endObject()
    return String(decoding: writer.finish(), as: UTF8.self) + "\n"
  }

  private static let luacheck = """
    std = "lua54"
    max_line_length = 100
    read_globals = { "img", "xs" }

    """
}
