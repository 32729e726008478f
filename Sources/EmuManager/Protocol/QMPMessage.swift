// What an emu-manager and QEMU say to each other: two commands of QMP.

internal import JSON

/// A command of QMP. QEMU: qapi/control.json, qapi/migration.json (xen-set-global-dirty-log).
enum QMPCommand {
  /// Ends the negotiation that the greeting begins.
  case capabilities
  /// QEMU notes the pages that it writes to, for the hypervisor's log-dirty mode.
  case globalDirtyLog(Bool)

  var text: [UInt8] {
    switch self {
    case .capabilities: commandText("qmp_capabilities")
    case .globalDirtyLog(let isOn):
      commandText("xen-set-global-dirty-log", [("enable", .bool(isOn))])
    }
  }
}

/// A message of QEMU.
enum QMPMessage: Equatable {
  case greeting
  case acknowledged
  case refused(String)
  /// What QEMU reports of itself, and nobody here waits for.
  case event

  static let emulator = "qemu"

  init(_ object: JSONObject) throws(ManagerFailure) {
    if object["QMP"]?.objectValue != nil {
      self = .greeting
    } else if let error = object["error"] {
      self = .refused(error["desc"]?.stringValue ?? "\(error)")
    } else if object["return"] != nil {
      self = .acknowledged
    } else if object["event"]?.stringValue != nil {
      self = .event
    } else {
      throw .nonsense("neither an answer nor an event", emulator: QMPMessage.emulator)
    }
  }
}
