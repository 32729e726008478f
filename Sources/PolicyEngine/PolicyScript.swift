// A policy inside its Lua state.

internal import Format
internal import Live
package import LuaRuntime
internal import Reports

/// A policy's table, and calls of its methods. Lives on the thread of its state.
final class PolicyScript {
  private let frame: LuaFrame
  private let table: LuaReference
  private let methods: [String: LuaReference]
  private let stats = LuaStats()
  private let statsValue: LuaReference
  /// A plain function gets no `self`.
  private let isPlain: Bool
  /// What it calls itself; "" where it does not say.
  let name: String
  /// Whether it wants to be asked after a round too.
  let asksTwice: Bool
  /// The values of its options.
  let options: LuaValue
  /// What it has logged and nobody has fetched.
  private var messages: [PolicyMessage] = []
  private var lostMessages = 0

  static let messageLimit = 100

  /// Runs the text of a policy, once. It gives a table, a function that makes one of its options, or
  /// a function that decides; with `field`, a table that has one of these there.
  convenience init(
    running text: [UInt8], chunk: String, field: String? = nil,
    _ options: [String: PolicyOption], _ state: LuaState
  ) throws(LuaError) {
    let frame = state.frame
    let before = frame.count
    defer { frame.pop(frame.count - before) }
    try state.load(text, name: chunk)
    try state.call(0, results: 1)
    if let field {
      guard frame.type(-1) == .table else {
        throw LuaError("expected a table to be returned, got \(frame.typeName(-1))")
      }
      frame.pushField(-1, field)
    }
    if frame.type(-1) == .function {
      let function = frame.count
      let locals = try frame.pushLocals(of: function)
      frame.push(copyOf: function)
      frame.push(.table(options.map { ($0.key, $0.value.plain) }))
      var made: LuaReference?
      do throws(LuaError) {
        try state.call(1, results: 1)
        if frame.type(-1) == .table { made = frame.reference(-1) }
        frame.pop()
      } catch {
        guard error.kind == .script else { throw error }
      }
      if let made {
        frame.push(made)
      } else {
        // It decides by itself, and this was no call of it: its locals are as before.
        frame.popLocals(of: function, locals)
      }
    }
    try self.init(frame, frame.count, options)
  }

  /// The policy at `index`.
  init(
    _ frame: LuaFrame, _ index: Int, _ options: [String: PolicyOption]
  ) throws(LuaError) {
    self.frame = frame
    var methods: [String: LuaReference] = [:]
    switch frame.type(index) {
    case .function:
      guard options.isEmpty else {
        throw LuaError("a policy that is one function has no options")
      }
      isPlain = true
      methods["precopy"] = frame.reference(index)
      (name, asksTwice) = ("", false)
      self.options = .table([])
    case .table:
      isPlain = false
      for (key, type) in try frame.fieldNames(index) {
        let isMethod = PolicyEvent.methods.contains(key)
        if !isMethod, key.hasPrefix("on_") {
          throw LuaError(
            "a policy has no method '\(key)'" + didYouMean(key, among: PolicyEvent.methods))
        }
        guard isMethod else { continue }
        guard type == .function else {
          throw LuaError("\(key) of a policy: expected a function, got \(type.name)")
        }
        frame.pushField(index, key)
        methods[key] = frame.reference(-1)
        frame.pop()
      }
      guard !methods.isEmpty else {
        throw LuaError("a policy needs a method, such as precopy(s)")
      }
      name = frame.pushField(index, "name") == .string ? frame.beginning(-1, 200) ?? "" : ""
      frame.pushField(index, "both_phases")
      asksTwice = frame.boolean(-1)
      frame.pop(2)
      self.options = try PolicyScript.setOptions(options, of: index, frame)
    default:
      throw LuaError(
        "expected a policy (a table with precopy, or a function), got \(frame.typeName(index))")
    }
    self.methods = methods
    table = frame.reference(index)
    frame.push(object: stats)
    statsValue = frame.reference(-1)
    frame.pop()
  }

  /// Puts values in the place of the defaults in `opts`.
  private static func setOptions(
    _ given: [String: PolicyOption], of index: Int, _ frame: LuaFrame
  ) throws(LuaError) -> LuaValue {
    defer { frame.pop() }
    guard frame.pushField(index, "opts") == .table else {
      if let name = given.keys.min() {
        throw LuaError("the policy has no option '\(name)': it declares none in opts")
      }
      return .table([])
    }
    let names = try frame.fieldNames(-1)
    for (name, option) in given.sorted(by: { $0.key < $1.key }) {
      guard let type = names.first(where: { $0.name == name })?.type else {
        throw LuaError(
          "the policy has no option '\(name)'" + didYouMean(name, among: names.map(\.name)))
      }
      guard let value = option.value(of: type) else {
        throw LuaError("option \(name): expected a \(type.name), got \(option.shown)")
      }
      frame.push(value)
      frame.setField(name)
    }
    do throws(LuaError) {
      let (value, size) = try frame.sizedValue(-1)
      // Its caller keeps it too.
      try frame.state.hold(2 * size)
      return value ?? .table([])
    } catch { throw LuaError("opts: \(error.message)", kind: error.kind) }
  }

  func has(_ method: String) -> Bool { methods[method] != nil }

  /// Keeps a message until it is fetched; of very many only how many they were.
  func note(_ message: PolicyMessage) {
    if messages.count < PolicyScript.messageLimit {
      messages.append(message)
    } else {
      lostMessages += 1
    }
  }

  /// The messages since the last time.
  func takeMessages() -> [PolicyMessage] {
    defer { (messages, lostMessages) = ([], 0) }
    guard lostMessages > 0 else { return messages }
    return messages + [PolicyMessage(level: .warning, text: "(\(lostMessages) more messages)")]
  }

  /// Calls the method of an event. Throws where it fails or says nonsense.
  func run(_ event: PolicyEvent) throws(LuaError) -> PolicyAnswer {
    guard let method = methods[event.method] else { return .nothing }
    let before = frame.count
    defer { frame.pop(max(0, frame.count - before)) }
    frame.push(method)
    var count = 0
    if !isPlain {
      frame.push(table)
      count += 1
    }
    switch event {
    case .decide(let moment), .suspended(let moment), .checkpoint(let moment, _):
      stats.moment = moment
      frame.push(statsValue)
      count += 1
      if case .checkpoint(_, let checkpointCount) = event {
        frame.push(checkpointCount)
        count += 1
      }
    case .start(let value), .restore(let value), .complete(let value), .failed(let value):
      frame.push(value)
      count += 1
    case .staticData(let names):
      frame.push(.list(names.map { .text($0) }))
      count += 1
    case .postcopy: break
    }
    try frame.state.call(frame, count, results: 2)
    switch event {
    case .decide:
      let (decision, measures) = try verdict(before + 1)
      return .verdict(decision, measures)
    case .checkpoint: return .shouldContinue(try shouldContinue(before + 1))
    default: return .nothing
    }
  }

  /// The decision at `index`, or in a table there that also says how rounds are to be sent.
  private func verdict(
    _ index: Int
  ) throws(LuaError) -> (PrecopyDecision, RoundMeasures?) {
    guard frame.type(index) == .table else {
      return (try decision(index, reason: index + 1), nil)
    }
    let before = frame.count
    defer { frame.pop(max(0, frame.count - before)) }
    frame.pushElement(index, 1)
    frame.pushElement(index, 2)
    let decided = try decision(before + 1, reason: before + 2)
    return (decided, try PolicyMeasures(frame).read(index))
  }

  private func decision(_ index: Int, reason: Int) throws(LuaError) -> PrecopyDecision {
    let text = frame.beginning(reason, 1000) ?? ""
    if frame.type(index) == .number, frame.isInteger(index),
      let verdict = PrecopyDecision(code: Int(clamping: frame.integerIfAny(index) ?? 2))
    {
      if case .abort = verdict { return .abort(text) }
      return verdict
    }
    switch frame.type(index) == .string ? frame.beginning(index, 40) : nil {
    case "continue": return .continuePrecopy
    case "stop": return .stopAndCopy
    case "abort": return .abort(text)
    default:
      throw nonsense(index, "\"continue\", \"stop\" or \"abort\"", "precopy")
    }
  }

  private func shouldContinue(_ index: Int) throws(LuaError) -> Bool {
    switch frame.type(index) {
    case .nil, .none: return true
    case .boolean: return frame.boolean(index)
    case .string where frame.beginning(index, 40) == "continue": return true
    case .string where frame.beginning(index, 40) == "stop": return false
    default: throw nonsense(index, "a boolean, \"continue\" or \"stop\"", "on_checkpoint")
    }
  }

  private func nonsense(_ index: Int, _ expected: String, _ method: String) -> LuaError {
    let got =
      switch frame.type(index) {
      case .string: "'\(frame.beginning(index, 40) ?? "")'"
      case .number, .boolean, .nil: frame.text(index)
      default: "a \(frame.typeName(index))"
      }
    return LuaError("\(method): expected \(expected), got \(got)", code: "nonsense")
  }
}

extension PolicyOption {
  /// The value as one of this type; nil where it is none.
  package func value(of type: LuaType) -> LuaValue? {
    switch self {
    case .value(let value):
      switch (value, type) {
      case (.boolean, .boolean), (.integer, .number), (.number, .number), (.string, .string),
        (.list, .table), (.table, .table):
        return value
      default: return nil
      }
    case .word(let word):
      switch type {
      case .string: return .text(word)
      case .number: return number(word)
      case .boolean:
        return ["true", "false"].contains(word) ? .boolean(word == "true") : nil
      default: return nil
      }
    }
  }

  /// The value without knowing what is expected.
  package var plain: LuaValue {
    switch self {
    case .value(let value): value
    case .word("true"): .boolean(true)
    case .word("false"): .boolean(false)
    case .word(let word): number(word) ?? .text(word)
    }
  }

  private func number(_ word: String) -> LuaValue? {
    Int64(word).map { .integer($0) } ?? Double(word).flatMap { $0.isFinite ? .number($0) : nil }
  }

  fileprivate var shown: String {
    switch self {
    case .word(let word): "'\(word)'"
    case .value(.boolean(let flag)): "\(flag)"
    case .value(.integer(let value)): "\(value)"
    case .value(.number(let value)): "\(value)"
    case .value(.string(let text)): "'\(String(decoding: text, as: UTF8.self))'"
    case .value: "a table"
    }
  }
}
