// What the dot commands do.

internal import Bytes
internal import LuaAPI
package import Reports
internal import SystemIO
internal import Terminal

extension Repl {
  /// Runs a dot command; `rest` is what stands behind its name.
  package func run(_ command: DotCommand, _ rest: String) throws(Failure) {
    switch command {
    case .quit: isDone = true
    case .base:
      guard let base = Int(rest), [10, 16].contains(base) else {
        return try say("expected: .base 16 or .base 10", Palette.error)
      }
      shell.numberBase = base
    case .pager:
      guard ["on", "off"].contains(rest) else {
        return try say("expected: .pager on or .pager off", Palette.error)
      }
      shell.usesPager = rest == "on"
    case .help:
      if rest.isEmpty {
        let width =
          (DotCommand.allCases.map { $0.rawValue.count + $0.argument.count }.max() ?? 0) + 3
        for command in DotCommand.allCases {
          let name = ".\(command.rawValue)\(command.argument)"
          try say(name + String(repeating: " ", count: width - name.count) + command.note)
        }
        for (name, note) in SessionWord.all {
          try say(name + String(repeating: " ", count: max(1, width - name.count)) + note)
        }
      } else {
        try show(Help(shell).text(of: rest).droppingLineBreak)
      }
    case .time:
      if !rest.isEmpty { return try evaluate(rest, isTimed: true) }
      timesEverything.toggle()
      try say("times are \(timesEverything ? "printed" : "not printed")")
    case .load:
      guard !rest.isEmpty else { return try say("expected: .load FILE", Palette.error) }
      try evaluate("dofile \(luaQuoted(rest))", isTimed: timesEverything)
    case .save: try save(rest)
    case .edit: try edit(rest)
    }
  }

  private func save(_ path: String) throws(Failure) {
    guard !path.isEmpty else { return try say("expected: .save FILE", Palette.error) }
    let text = transcript.text(after: shell.sessionNames)
    do {
      try Surroundings.create(path, text)
      try say("\(transcript.count) inputs written to \(path)")
    } catch let error as SystemError {
      try say("\(error)", Palette.error)
    } catch {
      throw Failure(any: error)
    }
  }

  private func edit(_ path: String) throws(Failure) {
    let command =
      Surroundings.variable("VISUAL") ?? Surroundings.variable("EDITOR") ?? "vi"
    let folder: String
    do { folder = try Surroundings.temporaryFolder() } catch {
      return try say("\(error)", Palette.error)
    }
    let file = path.isEmpty ? folder + "/input.lua" : path
    defer {
      if path.isEmpty { Surroundings.remove(file) }
      Surroundings.remove(folder)
    }
    do {
      if path.isEmpty { try Surroundings.create(file, lastInput + "\n", mode: 0o600) }
    } catch { return try say("\(error)", Palette.error) }
    guard Surroundings.run("\(command) \(shellQuoted(file))") == 0 else {
      return try say("\(command) failed: nothing was run", Palette.error)
    }
    let text: [UInt8]
    do {
      let source = try Source(opening: file)
      text = try source.read(Int(clamping: min(source.byteCount ?? 0, 1 << 20)))
    } catch { return try say("\(error)", Palette.error) }
    let code = String(decoding: text, as: UTF8.self).droppingLineBreak
    guard !code.trimmed.isEmpty else { return }
    try say(code, Palette.comment)
    try evaluate(code, isTimed: timesEverything)
  }
}

/// A string literal of Lua.
package func luaQuoted(_ text: String) -> String {
  var out = "\""
  for octet in text.utf8 {
    switch octet {
    case UInt8(ascii: "\""): out += "\\\""
    case UInt8(ascii: "\\"): out += "\\\\"
    case 0..<0x20, 0x7F...: out += "\\x" + [octet].hexDigits
    default: out.unicodeScalars.append(Unicode.Scalar(octet))
    }
  }
  return out + "\""
}

/// One word of the shell.
func shellQuoted(_ text: String) -> String {
  "'" + text.replacing("'", with: "'\\''") + "'"
}
