// Which domain an emu-manager was started for, and by what name it was called.

internal import HelperProtocol
internal import SaveHelper
internal import SystemIO

/// What is known of the domain: by the words of xenopsd, and by what xenopsd has written into xenstore.
enum ManagerDomain {
  /// Names of this program that ask for nothing.
  private static let ownNames: Set<String> = [
    "emu-manager", "xensave-lua", "xensave-lua-emu-manager",
  ]

  /// What the name asks for by which the program was started: a link in xenopsd's directory of
  /// alternatives may be named after a script.
  static func hook(ofProgram path: String) -> String? {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    return name.isEmpty || ownNames.contains(name) ? nil : name
  }

  /// `program`: the path by which this one was started.
  static func facts(
    _ arguments: ManagerArguments, program: String, _ store: XenStoreClient
  ) throws -> HelperFacts {
    let home = "/local/domain/\(arguments.domain)"
    var facts = HelperFacts(id: arguments.domain, name: "", type: type(arguments))
    let vm = try store.value(home + "/vm")
    // "/vm/UUID". A domain that is migrated here has a UUID of its own until it has arrived, and notes
    // what it is going to be. xen-api: ocaml/xenopsd/xc/domain.ml, make.
    if let vm,
      let uuid = try store.value(vm + "/final-uuid")
        ?? vm.split(separator: "/").last.map(String.init)
    {
      facts.uuid = uuid.prefix(36).lowercased()
    }
    facts.name = try store.value(home + "/name") ?? ""
    if facts.name.isEmpty, let vm { facts.name = try store.value(vm + "/name") ?? "" }
    if let hook = hook(ofProgram: program) { facts.hooks.append(hook) }
    if let hook = try store.value(home + "/platform/xensave-hook") { facts.hooks.append(hook) }
    return facts
  }

  /// A domain without QEMU whose mode is an HVM one is PVH.
  private static func type(_ arguments: ManagerArguments) -> String {
    arguments.isPV ? "pv" : arguments.hasQEMU ? "hvm" : "pvh"
  }
}
