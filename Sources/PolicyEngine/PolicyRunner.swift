// Where a policy runs: on a sandboxed thread of its own, or in the script that gave it.

package import LuaRuntime
internal import SystemIO

/// Calls the methods of a policy, each within a deadline.
package protocol PolicyRunner: AnyObject {
  var name: String { get }
  var asksTwice: Bool { get }
  var options: LuaValue { get }
  func has(_ method: String) -> Bool
  /// Throws an error of kind interrupted where there is no answer within `deadline` nanoseconds.
  func run(
    _ event: PolicyEvent, deadline: UInt64
  ) throws(LuaError) -> (answer: PolicyAnswer, messages: [PolicyMessage])
}

/// What the state of a sandbox is given: by a target above this one, which has the module `xensave`.
package struct SandboxSetup: Sendable {
  /// Binds what scripts find there, with the texts of these modules.
  package let bind: @Sendable (LuaState, [String: [UInt8]]) throws -> Void
  /// Says where messages go from now on.
  package let setLog: @Sendable (LuaState, @escaping (PolicyMessage) -> Void) -> Void

  package init(
    bind: @escaping @Sendable (LuaState, [String: [UInt8]]) throws -> Void,
    setLog: @escaping @Sendable (LuaState, @escaping (PolicyMessage) -> Void) -> Void
  ) {
    self.bind = bind
    self.setLog = setLog
  }
}

/// A policy of a file: nothing that it does can stop whoever asks it.
final class ThreadRunner: PolicyRunner {
  let name: String
  let asksTwice: Bool
  let options: LuaValue
  private let methods: Set<String>
  private let thread: SandboxThread<PolicyScript>
  /// Why the kernel has no seccomp filter for the thread; 0 where it has.
  var sealError: Int32 { thread.sealError }

  private struct ScriptInfo: Sendable {
    let name: String
    let asksTwice: Bool
    let options: LuaValue
    let methods: Set<String>
  }

  /// Runs `text` on a new thread. `modules`: what `require` finds there, by name.
  init(
    _ sandbox: SandboxSetup, _ text: [UInt8], chunk: String, field: String? = nil,
    options: [String: PolicyOption],
    modules: [String: [UInt8]]
  ) throws(LuaError) {
    thread = try SandboxThread { state in
      try sandbox.bind(state, modules)
    } make: { state in
      let script = try PolicyScript(running: text, chunk: chunk, field: field, options, state)
      sandbox.setLog(state) { [unowned script] in script.note($0) }
      return script
    }
    let info = try thread.call(deadline: 1_000_000_000) { script, _ in
      ScriptInfo(
        name: script.name, asksTwice: script.asksTwice, options: script.options,
        methods: Set(PolicyEvent.methods.filter(script.has)))
    }
    (name, asksTwice) = (info.name, info.asksTwice)
    (self.options, methods) = (info.options, info.methods)
  }

  func has(_ method: String) -> Bool { methods.contains(method) }

  func run(
    _ event: PolicyEvent, deadline: UInt64
  ) throws(LuaError) -> (answer: PolicyAnswer, messages: [PolicyMessage]) {
    try thread.call(deadline: deadline) { script, _ in
      defer { _ = script.takeMessages() }
      let answer = try script.run(event)
      return (answer, script.takeMessages())
    }
  }
}

/// A policy that a script gave as a table or a function: it runs in that script, where it can see
/// the script's locals. A deadline stops its loops, but not one long search inside Lua's library.
package final class InlineRunner: PolicyRunner {
  private let script: PolicyScript
  private let state: LuaState
  private let timer: StopTimer?

  package init(_ frame: LuaFrame, _ index: Int) throws(LuaError) {
    script = try PolicyScript(frame, index, [:])
    state = frame.state
    state.takeThread()
    timer = StopTimer(signal: LuaState.stopSignal)
  }

  package var name: String { script.name }
  package var asksTwice: Bool { script.asksTwice }
  package var options: LuaValue { script.options }
  package func has(_ method: String) -> Bool { script.has(method) }

  package func run(
    _ event: PolicyEvent, deadline: UInt64
  ) throws(LuaError) -> (answer: PolicyAnswer, messages: [PolicyMessage]) {
    timer?.arm(deadline)
    defer {
      timer?.arm(0)
      // Whatever the timer stopped is over; what the user asked for is not.
      if !Interrupt.isRequested { state.endStop() }
    }
    do { return (try script.run(event), []) } catch {
      guard error.kind == .interrupted, !Interrupt.isRequested else { throw error }
      throw LuaError(
        "no answer within \(deadline / 1_000_000) ms", kind: .interrupted, code: "deadline")
    }
  }
}
