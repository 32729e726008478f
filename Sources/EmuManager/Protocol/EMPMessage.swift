// What an emu-manager and xenguest say to each other: EMP, the emulator protocol of XAPI hosts.

internal import JSON

/// A command. xcp-ng-rpms/xen: SOURCES/xenguest.patch, tools/xenguest/xg_emu.c.
enum EMPCommand: String, CaseIterable {
  /// Carries the stream's descriptor.
  case initialize = "migrate_init"
  case setArguments = "set_args"
  /// libxc switches log-dirty on by itself: xenguest only answers.
  case trackDirty = "track_dirty"
  /// From now on this client gets events.
  case progress = "migrate_progress"
  /// Begins a live save, which continues by itself until `pause`.
  case live = "migrate_live"
  /// No further round after the one that is being sent.
  case pause = "migrate_pause"
  /// The guest stands still: the rest may be sent.
  case paused = "migrate_paused"
  case nonLive = "migrate_nonlive"
  case restore
  case abort = "migrate_abort"
  case quit

  /// The text of the command, spelt as the stock emu-manager of XCP-ng spells it. The values of
  /// arguments are strings, also those of numbers.
  func text(_ arguments: [EMPArgument] = []) -> [UInt8] {
    commandText(rawValue, arguments.map { ($0.name, .string($0.value)) })
  }
}

/// An argument of a command.
struct EMPArgument: Equatable {
  var name: String
  var value: String

  init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// A command of EMP or QMP, with the white space of the stock programs.
func commandText(_ name: String, _ arguments: [(name: String, value: JSONValue)] = []) -> [UInt8] {
  func quoted(_ value: JSONValue) -> String { String(decoding: value.text(), as: UTF8.self) }
  var text = "{ \"execute\" : " + quoted(.string(name))
  if !arguments.isEmpty {
    let list = arguments.map { quoted(.string($0.name)) + ":" + quoted($0.value) }
    text += ", \"arguments\" : { " + list.joined(separator: ", ") + " }"
  }
  return Array((text + " }").utf8)
}

/// A message of xenguest.
enum EMPMessage: Equatable {
  /// The answer to the last command.
  case acknowledged
  case refused(String)
  case event(EMPEvent)
  /// Something that this program does not know and passes over.
  case unknown(String)

  /// Throws where what is known has a type that it may not have.
  init(_ object: JSONObject) throws(ManagerFailure) {
    if let reason = object["error"] {
      self = .refused(reason.stringValue ?? "\(reason)")
    } else if object["return"] != nil {
      self = .acknowledged
    } else if let event = object["event"] {
      guard event.stringValue == "MIGRATION" else {
        self = .unknown("event \(event)")
        return
      }
      guard let data = object["data"]?.objectValue else {
        throw .nonsense("an event without data", emulator: EMPEvent.emulator)
      }
      self = .event(try EMPEvent(data))
    } else {
      guard object["data"] == nil else {
        throw .nonsense("data without an event", emulator: EMPEvent.emulator)
      }
      self = .unknown(object.names.joined(separator: ", "))
    }
  }
}

/// What xenguest reports while it works, all of it optional.
struct EMPEvent: Equatable {
  static let emulator = "xenguest"

  /// "completed" where the save or restore is.
  var status: String?
  /// Of a restore: frame numbers of xenstore's ring and the console, in decimal.
  var result: String?
  /// Pages that were sent, in all rounds.
  var sent: Int64?
  /// Pages that are dirty before a round; -1 inside one.
  var remaining: Int64?
  /// Index of the round, from 0.
  var iteration: Int64?

  init() {}

  init(_ data: JSONObject) throws(ManagerFailure) {
    status = try EMPEvent.text(data, "status")
    result = try EMPEvent.text(data, "result")
    sent = try EMPEvent.integer(data, "sent")
    remaining = try EMPEvent.integer(data, "remaining")
    iteration = try EMPEvent.integer(data, "iteration")
  }

  private static func text(_ data: JSONObject, _ name: String) throws(ManagerFailure) -> String? {
    guard let value = data[name] else { return nil }
    guard let text = value.stringValue else {
      throw .nonsense("\(name): expected a string, got \(value)", emulator: emulator)
    }
    return text
  }

  private static func integer(_ data: JSONObject, _ name: String) throws(ManagerFailure) -> Int64? {
    guard let value = data[name] else { return nil }
    guard let integer = value.numberValue?.int64 else {
      throw .nonsense("\(name): expected an integer, got \(value)", emulator: emulator)
    }
    return integer
  }

  /// What a policy decides on, where the event comes before a round.
  var round: Round? {
    guard let iteration, let remaining, iteration >= 0, remaining >= 0 else { return nil }
    return Round(
      iteration: Int(clamping: iteration), sent: Int(clamping: max(0, sent ?? 0)),
      remaining: Int(clamping: remaining))
  }

  struct Round: Equatable {
    var iteration: Int
    /// Pages that were sent in the rounds before.
    var sent: Int
    /// Pages that are dirty.
    var remaining: Int
  }
}
