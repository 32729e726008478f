// xensave-lua helper

internal import ArgumentParser
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
      table: match (name, type, pattern, on XAPI's hosts uuid and hook: a string or a list), policy (a shipped one's name, a function \
      or a table), opts, filter (as any filter), side (save, restore or both: where the filter works), unknown_records (pass: filters do not see records \
      that nobody knows; refuse: those end the stream), \
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
    try ConfigurationCheck(HelperFacts(id: 0, name: name, type: type), json: json).run()
    return ExitCode.good
  }
}
