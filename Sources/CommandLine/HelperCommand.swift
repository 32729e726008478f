// xensave-lua helper

internal import ArgumentParser
internal import HelperProtocol
internal import JSON
internal import Live
internal import LuaRuntime
internal import Reports
internal import SaveHelper
internal import SystemIO

/// What is said about the helper, and the check of its configuration. Started by libxl, the program
/// takes another way (`runHelper`).
struct HelperCommand: ShellCommand {
  static let name = "helper"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Save and restore domains as libxl's save helper, with policies and filters in Lua.",
    usage: """
      LIBXL_SAVE_HELPER=/usr/bin/xensave-lua xl save|restore|migrate|remus ...
      xensave-lua helper --check [NAME [TYPE]]
      """,
    discussion: """
      xl and libvirt start the program themselves: set LIBXL_SAVE_HELPER in the environment of xl, or \
      of the service that runs libvirt, or install the program as libxl-save-helper. What it does \
      beside saving stands in /etc/xen/xensave.d/*.lua, files that only root may write. Each returns a \
      table: match (name, type, pattern: a string or a list), policy (a shipped one's name, a function \
      or a table), opts, filter (as any filter), side (save, restore or both: where the filter works), \
      trace (a file for the record of each live save, for xensave-lua policy test: %n in its path is the \
      domain's name, %i its number, %t the time; its folder must be root's).

      A policy that fails is replaced by Xen's own for that call. A filter that fails, and a file that \
      cannot be read, let nothing through. --check says what the files have for a domain.
      """)

  @Flag(help: "Read the configuration, and say what it has for a domain.") var check = false
  @Flag(help: "With --check: print JSON.") var json = false
  @Argument(help: "The domain's name.") var name = ""
  @Argument(help: "pv, pvh or hvm.", completion: .list(["pv", "pvh", "hvm"])) var type = "pvh"

  mutating func execute() throws -> Int32 {
    guard check else {
      throw XensaveError(.usage, "helper: it is started by libxl (see helper --help)")
    }
    guard ["pv", "pvh", "hvm"].contains(type) else {
      throw XensaveError(.usage, "TYPE: expected pv, pvh or hvm, got '\(type)'")
    }
    let facts = HelperFacts(id: 0, name: name, type: type)
    var writer = JSONWriter(style: .pretty)
    writer.beginArray()
    for side in HelperSide.allCases {
      let configuration: HelperConfiguration
      do {
        configuration = try HelperConfiguration(folder: HelperConfiguration.folder, facts, side)
      } catch { throw XensaveError(.findings, "\(error)") }
      let word = side == .save ? "save" : "restore"
      for script in configuration.scripts {
        let isDecider = script.path == configuration.policy?.path
        let parts = [isDecider ? "policy" : nil, script.hasFilter ? "filter" : nil]
          .compactMap { $0 }
        if json, !parts.isEmpty {
          writer.beginObject()
          writer.member("side", word)
          writer.member("path", script.path)
          writer.member("policy", isDecider)
          writer.member("filter", script.hasFilter)
          writer.endObject()
        } else if !parts.isEmpty {
          try writeOut("\(word): \(parts.joined(separator: " and ")): \(script.path)\n")
        }
        if let trace = script.trace, script.path == configuration.trace?.path {
          try writeOut("save: trace \(trace.path(facts, at: LocalTime.now)): \(script.path)\n")
        }
        if isDecider {
          do { _ = try script.policy { _, _ in } } catch {
            throw XensaveError(.findings, "\(script.path): \(LuaError(raising: error).message)")
          }
        }
      }
    }
    writer.endArray()
    if json { try writeOut(writer.finish() + [10]) }
    return ExitCode.good
  }
}
