// The table of options that a function of the module is given.

internal import Format
internal import LuaRuntime

/// Reads named options with their types; a name that is none is a mistake of the script.
struct OptionTable {
  let frame: LuaFrame
  let index: Int
  /// Whose options they are, for messages.
  let owner: String

  /// `index` may hold nothing. `names`: all that there are.
  init(_ frame: LuaFrame, _ index: Int, _ owner: String, _ names: [String]) throws {
    self.frame = frame
    self.index = index
    self.owner = owner
    guard !frame.isMissing(index) else { return }
    guard frame.type(index) == .table else {
      throw frame.argumentError(index, "expected a table of options")
    }
    for (name, _) in try frame.fieldNames(index) where !names.contains(name) {
      throw LuaError("\(owner) has no option '\(name)'" + didYouMean(name, among: names))
    }
  }

  /// Runs `body` with the value on the top of the frame; nil where there is none.
  func with<R>(_ name: String, _ body: () throws -> R) throws -> R? {
    guard frame.type(index) == .table else { return nil }
    defer { frame.pop() }
    if frame.pushField(index, name) == .nil { return nil }
    return try body()
  }

  private func wrong(_ name: String, _ expected: String) -> LuaError {
    LuaError("\(owner): \(name): expected \(expected), got \(frame.typeName(-1))")
  }

  func string(_ name: String) throws -> String? {
    try with(name) {
      guard frame.type(-1) == .string, let text = frame.stringIfAny(-1) else {
        throw wrong(name, "a string")
      }
      return text
    }
  }

  func flag(_ name: String, _ fallback: Bool) throws -> Bool {
    try with(name) {
      guard frame.type(-1) == .boolean else { throw wrong(name, "a boolean") }
      return frame.boolean(-1)
    } ?? fallback
  }

  func integer(_ name: String, _ range: ClosedRange<Int64>) throws -> Int? {
    try with(name) {
      guard let value = frame.integerIfAny(-1) else { throw wrong(name, "an integer") }
      guard range.contains(value) else {
        throw LuaError(
          "\(owner): \(name): expected \(range.lowerBound)..\(range.upperBound), got \(value)")
      }
      return Int(value)
    }
  }

  /// A number from 0 to `limit`.
  func number(_ name: String, upTo limit: Double) throws -> Double? {
    try with(name) {
      guard frame.type(-1) == .number else { throw wrong(name, "a number") }
      let value = frame.number(-1)
      guard value >= 0, value <= limit else {
        throw LuaError(
          "\(owner): \(name): expected a number from 0 to \(Int64(limit)), got \(value)")
      }
      return value
    }
  }

  /// Milliseconds as nanoseconds: at most 10^12 (31 years), which a sum of some still holds.
  func milliseconds(_ name: String) throws -> UInt64? {
    try number(name, upTo: 1e12).map { UInt64($0 * 1e6) }
  }
}
