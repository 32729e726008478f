// What scripts in the sandbox find: require, and the parts of our module that touch nothing.

internal import Format
package import LuaRuntime
package import PolicyEngine
package import Reports
internal import Terminal

package enum SandboxModule {
  /// The sandbox of a policy.
  static let setup = SandboxSetup(
    bind: { state, modules in try bind(state, modules) },
    setLog: { state, sink in setLog(state, sink) })

  /// Binds it to the state of a sandbox, on its thread. `modules`: texts that `require` finds.
  package static func bind(_ state: LuaState, _ modules: [String: [UInt8]]) throws {
    let shell = ShellContext(sandbox: state)
    state.register(LuaStats.table)
    shell.bindSandbox()
    try shell.bindRecords()
    state.setGlobal(function: "print") { [unowned shell] frame in
      var line = ""
      for index in 1..<max(1, frame.count + 1) where line.utf8.count < lineLimit {
        line += (index > 1 ? "\t" : "") + frame.text(index, limit: lineLimit)
      }
      shell.log(.info, line)
      return 0
    }
    state.setGlobal(function: "require") { frame in
      let name = try frame.string(1)
      if frame.pushLoaded(name) != .nil, name == "xensave" || modules[name] != nil { return 1 }
      guard let text = modules[name] else {
        throw LuaError(
          "module '\(name)' is not among those that a sandbox has"
            + didYouMean(name, among: Array(modules.keys) + ["xensave"]))
      }
      try frame.state.load(frame, text, name: "@\(name)")
      try frame.state.call(frame, 0, results: 1)
      frame.push(copyOf: -1)
      frame.state.provideModuleFromTop(frame, name)
      return 1
    }
    state.context = shell
  }

  /// Bytes of a message; what is longer is cut.
  package static let lineLimit = 4096

  /// Where messages go from now on: each is one line, and short.
  package static func setLog(_ state: LuaState, _ sink: @escaping (PolicyMessage) -> Void) {
    (state.context as? ShellContext)?.logSink = { sink(PolicyMessage(level: $0, text: line($1))) }
  }

  private static func line(_ text: String) -> String {
    let short =
      text.utf8.count <= lineLimit
      ? text : String(decoding: text.utf8.prefix(lineLimit), as: UTF8.self) + "..."
    return short.split(separator: "\t", omittingEmptySubsequences: false)
      .map { escapeForDisplay(String($0)) }.joined(separator: "\t")
  }
}

extension PolicyRecipe {
  /// Makes the policy, in a sandbox with the module of this target.
  package func make(
    deadline: UInt64 = LuaPolicy.defaultDeadline, wallTime: ((UInt64) -> Double)? = nil,
    log: @escaping (LogLevel, String) -> Void
  ) throws -> LuaPolicy {
    try make(in: SandboxModule.setup, deadline: deadline, wallTime: wallTime, log: log)
  }
}
