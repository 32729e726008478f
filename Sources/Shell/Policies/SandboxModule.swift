// What scripts in the sandbox find: require, and the parts of our module that touch nothing.

internal import Format
internal import LuaRuntime

enum SandboxModule {
  /// Binds it to the state of a sandbox, on its thread. `modules`: texts that `require` finds.
  static func bind(_ state: LuaState, _ modules: [String: [UInt8]]) throws(LuaError) {
    let shell = ShellContext(sandbox: state)
    state.register(LuaStats.table)
    shell.bindSandbox()
    try shell.bindRecords()
    state.setGlobal(function: "print") { [unowned shell] frame in
      var line = ""
      for index in 1..<max(1, frame.count + 1) {
        line += (index > 1 ? "\t" : "") + frame.text(index)
      }
      shell.log(.info, line)
      return 0
    }
    state.setGlobal(function: "require") { frame throws(LuaError) in
      let name = try frame.string(1)
      if frame.pushLoaded(name) != .nil, name == "xensave" || modules[name] != nil { return 1 }
      guard let text = modules[name] else {
        throw LuaError(
          "module '\(name)' is not among those that a sandbox has"
            + didYouMean(name, among: Array(modules.keys) + ["xensave"]))
      }
      try frame.state.load(text, name: "@\(name)")
      try frame.state.call(frame, 0, results: 1)
      frame.push(copyOf: -1)
      frame.state.provideModuleFromTop(name)
      return 1
    }
    state.context = shell
  }

  /// Where messages go from now on.
  static func setLog(_ state: LuaState, _ sink: @escaping (PolicyMessage) -> Void) {
    (state.context as? ShellContext)?.logSink = { sink(PolicyMessage(level: $0, text: $1)) }
  }
}
