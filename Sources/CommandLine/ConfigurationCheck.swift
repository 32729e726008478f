// What the configuration of saves has for a domain, for those who write it.

internal import HelperProtocol
internal import JSON
internal import Live
internal import LuaRuntime
internal import Reports
internal import SaveHelper
internal import SystemIO

/// Reads /etc/xen/xensave.d as a save and as a restore of a domain would, and prints what is found.
struct ConfigurationCheck {
  private let facts: HelperFacts
  private let isJSON: Bool

  init(_ facts: HelperFacts, json: Bool) throws {
    guard ["pv", "pvh", "hvm"].contains(facts.type) else {
      throw XensaveError(.usage, "TYPE: expected pv, pvh or hvm, got '\(facts.type)'")
    }
    self.facts = facts
    isJSON = json
  }

  /// The hooks of the domain that files have.
  @discardableResult
  func run() throws -> Set<String> {
    var hooks: Set<String> = []
    var writer = JSONWriter(style: .pretty)
    writer.beginArray()
    for side in HelperSide.allCases {
      let configuration: HelperConfiguration
      do {
        configuration = try HelperConfiguration(folder: HelperConfiguration.folder, facts, side)
      } catch { throw XensaveError(.findings, "\(error)") }
      hooks.formUnion(configuration.hooks)
      for script in configuration.scripts {
        try report(script, of: configuration, side == .save ? "save" : "restore", to: &writer)
      }
    }
    writer.endArray()
    if isJSON { try writeOut(writer.finish()) }
    return hooks
  }

  private func report(
    _ script: HelperScript, of configuration: HelperConfiguration, _ side: String,
    to writer: inout JSONWriter
  ) throws {
    let isDecider = script.path == configuration.policy?.path
    let parts = [isDecider ? "policy" : nil, script.hasFilter ? "filter" : nil].compactMap { $0 }
    let trace = script.path == configuration.trace?.path ? script.trace : nil
    if isJSON {
      writer.beginObject()
      writer.member("side", side)
      writer.member("path", script.path)
      writer.member("policy", isDecider)
      writer.member("filter", script.hasFilter)
      if let trace { writer.member("trace", trace.path(facts, at: LocalTime.now)) }
      writer.endObject()
    } else {
      if !parts.isEmpty {
        try writeOut("\(side): \(parts.joined(separator: " and ")): \(script.path)\n")
      }
      if let trace {
        try writeOut("save: trace \(trace.path(facts, at: LocalTime.now)): \(script.path)\n")
      }
    }
    if isDecider {
      do { _ = try script.policy { _, _ in } } catch {
        throw XensaveError(.findings, "\(script.path): \(LuaError(raising: error).message)")
      }
    }
  }
}
