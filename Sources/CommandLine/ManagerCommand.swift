// xensave-lua emu-manager

internal import ArgumentParser
internal import EmuManager
internal import HelperProtocol
internal import Reports
internal import SaveHelper
internal import SystemIO

/// What is said about the emu-manager, and the check of its configuration. Started by xenopsd, the program
/// takes another way (`runManager`).
struct ManagerCommand: ShellCommand {
  static let name = "emu-manager"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Save and restore domains as XAPI's emu-manager, with policies and filters in Lua.",
    usage: """
      xe vm-param-set uuid=UUID platform:emu-manager=xensave-lua
      xensave-lua emu-manager --check [NAME [TYPE]] [--uuid UUID] [--hook HOOK ...]
      """,
    discussion: """
      On XCP-ng and XenServer, xenopsd starts the program itself: for one VM by platform:emu-manager=NAME, \
      where /usr/lib/xapi/alternatives/emu-manager/NAME leads to it, or for a whole host by \
      emu-manager=PATH in a file of /etc/xenopsd.conf.d. It starts the stock xenguest and drives it as \
      the stock emu-manager does. What it does beside that stands in /etc/xen/xensave.d/*.lua, as for the \
      helper (see helper --help), where match may have two keys more: uuid, and hook, which is the name \
      NAME by which the program was started (other than xensave-lua and emu-manager), or what \
      platform:xensave-hook of the VM says. unknown_records = "pass" lets records through that nobody \
      knows, unseen by the filters; else they end the save or restore.

      A VM that no file speaks for, arguments that are not understood, and runs in which there is \
      nothing to do are left to the stock emu-manager. A file that cannot be read or fails, and a hook \
      that no file has, are refused: the VM runs on. /etc/xen/xensave.d/emu-manager.conf changes that \
      (on-error = stock, on-unknown-hook = stock), names other programs (emu-manager = PATH, xenguest = \
      PATH) and the seconds after which a xenguest that does nothing is given up (stall = 120; 0: never). \
      Its log is the system's. --check says what the files have for a VM.
      """)

  @Flag(help: "Read the configuration, and say what it has for a VM.") var check = false
  @Flag(help: "With --check: print JSON.") var json = false
  @Option(help: "The VM's UUID.") var uuid = ""
  @Option(help: "A name that the VM asks for.") var hook: [String] = []
  @Argument(help: "The VM's name.") var name = ""
  @Argument(help: "pv, pvh or hvm.", completion: .list(["pv", "pvh", "hvm"])) var type = "hvm"

  mutating func execute() throws -> Int32 {
    guard check else {
      throw XensaveError(.usage, "emu-manager: it is started by xenopsd (see emu-manager --help)")
    }
    let facts = HelperFacts(
      id: 0, name: name, type: type, uuid: uuid.lowercased(), hooks: hook)
    let folder = HelperConfiguration.folder
    do { try checkManagerSettings(folder: folder) } catch {
      throw XensaveError(.findings, "\(error)")
    }
    let hooks = try ConfigurationCheck(facts, json: json).run()
    if let unknown = hook.first(where: { !hooks.contains($0) }) {
      throw XensaveError(.findings, "no file of \(folder) has match.hook '\(unknown)'")
    }
    return ExitCode.good
  }
}
