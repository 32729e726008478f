// What a policy is told and what it says, as values that go from thread to thread.

internal import Format
package import Live
package import LuaRuntime
package import Reports

/// What a policy decides on, at one moment.
package struct PolicyMoment: Sendable {
  var stats = PrecopyStats()
  /// Seconds since 1970, of the machine or of a replay.
  var time = 0.0
  /// Hours since midnight, local time: 0 to 24.
  var hour = 0.0
}

/// A call of one of a policy's methods.
package enum PolicyEvent: Sendable {
  case start(LuaValue)
  case decide(PolicyMoment)
  case suspended(PolicyMoment)
  case postcopy
  case checkpoint(PolicyMoment, count: Int)
  case restore(LuaValue)
  case staticData([String])
  case complete(LuaValue)
  case failed(LuaValue)

  /// The method's name.
  var method: String {
    switch self {
    case .start: "on_start"
    case .decide: "precopy"
    case .suspended: "on_suspend"
    case .postcopy: "on_postcopy"
    case .checkpoint: "on_checkpoint"
    case .restore: "on_restore"
    case .staticData: "on_static_data"
    case .complete: "on_complete"
    case .failed: "on_error"
    }
  }

  /// The names of all methods.
  static let methods = [
    "precopy", "on_start", "on_suspend", "on_postcopy", "on_checkpoint", "on_restore",
    "on_static_data", "on_complete", "on_error",
  ]
}

/// What a policy said.
package enum PolicyAnswer: Sendable, Equatable {
  /// It has no such method, or nothing was asked.
  case nothing
  /// With how rounds are to be sent; nil: as before.
  case verdict(PrecopyDecision, RoundMeasures?)
  /// Of on_checkpoint: whether there is to be another one.
  case shouldContinue(Bool)
}

/// A message that a policy logged.
package struct PolicyMessage: Sendable {
  package let level: LogLevel
  package let text: String

  package init(level: LogLevel, text: String) {
    self.level = level
    self.text = text
  }
}

/// A value given to an option of a policy.
package enum PolicyOption: Sendable, Equatable {
  /// A word of the command line: its meaning follows from the option's default.
  case word(String)
  case value(LuaValue)
}

extension DomainInfo {
  /// What on_start is given. What nobody knows is not there: XAPI's xenguest reports none of a domain's
  /// pages, vCPUs and hypervisor.
  package func luaValue(frameCount: Int) -> LuaValue {
    var fields: [(name: String, value: LuaValue)] = [
      ("id", .integer(Int64(id))), ("guest", .text(guest.name)),
      ("max_pages", .integer(Int64(frameCount))),
    ]
    if pageCount > 0 { fields.append(("pages", .integer(Int64(pageCount)))) }
    if !onlineVCPUs.isEmpty { fields.append(("vcpus", .integer(Int64(onlineVCPUs.count)))) }
    if xenMajor > 0 { fields.append(("xen", .text("\(xenMajor).\(xenMinor)"))) }
    return .table(fields)
  }
}
