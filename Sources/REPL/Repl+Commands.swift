// What the dot commands do.

internal import Bytes
internal import LuaAPI
internal import Reports
internal import SystemIO
internal import Terminal

extension Repl {
  /// Runs a dot command; `rest` is what stands after its name.
  package func run(_ command: DotCommand, _ rest: String) throws {
    switch command {
    case .quit: isDone = true
    case .base:
      guard let base = Int(rest), [10, 16].contains(base) else {
        return try write("expected: .base 16 or .base 10", Palette.error)
      }
      shell.numberBase = base
    case .pager:
      guard ["on", "off"].contains(rest) else {
        return try write("expected: .pager on or .pager off", Palette.error)
      }
      shell.usesPager = rest == "on"
    case .help:
      if rest.isEmpty {
        let width =
          (DotCommand.allCases.map { $0.rawValue.count + $0.argument.count }.max() ?? 0) + 3
        for command in DotCommand.allCases {
          let name = ".\(command.rawValue)\(command.argument)"
          try write(name + String(repeating: " ", count: width - name.count) + command.note)
        }
        for (name, note) in SessionWord.all {
          try write(name + String(repeating: " ", count: max(1, width - name.count)) + note)
        }
      } else {
        try show(Help(shell).text(of: rest).droppingLineBreak)
      }
    case .time:
      if !rest.isEmpty { return try evaluate(rest, isTimed: true) }
      timesEverything.toggle()
      try write("times are \(timesEverything ? "printed" : "not printed")")
    case .load:
      guard !rest.isEmpty else { return try write("expected: .load FILE", Palette.error) }
      try evaluate("dofile \(luaQuoted(rest))", isTimed: timesEverything)
    case .save: try save(rest)
    case .edit: try edit(rest)
    }
  }

  private func save(_ path: String) throws {
    guard !path.isEmpty else { return try write("expected: .save FILE", Palette.error) }
    let text = transcript.text(after: shell.sessionNames)
    do {
      try FileSystem.create(path, text)
      try write("\(transcript.count) inputs written to \(path)")
    } catch let error as SystemError {
      try write("\(error)", Palette.error)
    }
  }

  private func edit(_ path: String) throws {
    let command =
      Environment.variable("VISUAL") ?? Environment.variable("EDITOR") ?? "vi"
    let folder: String
    do { folder = try FileSystem.temporaryFolder() } catch {
      return try write("\(error)", Palette.error)
    }
    let file = path.isEmpty ? folder + "/input.lua" : path
    defer {
      if path.isEmpty { FileSystem.remove(file) }
      FileSystem.remove(folder)
    }
    do {
      if path.isEmpty { try FileSystem.create(file, lastInput + "\n", mode: 0o600) }
    } catch { return try write("\(error)", Palette.error) }
    guard Environment.run("\(command) \(shellQuoted(file))") == 0 else {
      return try write("\(command) failed: nothing was run", Palette.error)
    }
    let text: [UInt8]
    do {
      let source = try Source(opening: file)
      text = try source.read(Int(clamping: min(source.byteCount ?? 0, 1 << 20)))
    } catch { return try write("\(error)", Palette.error) }
    let code = String(decoding: text, as: UTF8.self).droppingLineBreak
    guard !code.trimmed.isEmpty else { return }
    try write(code, Palette.comment)
    try evaluate(code, isTimed: timesEverything)
  }
}

/// A string literal of Lua.
package func luaQuoted(_ text: String) -> String {
  var out = "\""
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "\""): out += "\\\""
    case UInt8(ascii: "\\"): out += "\\\\"
    case 0..<0x20, 0x7F...: out += "\\x" + [byte].hexDigits
    default: out.unicodeScalars.append(Unicode.Scalar(byte))
    }
  }
  return out + "\""
}

/// One word of the shell.
func shellQuoted(_ text: String) -> String {
  "'" + text.replacing("'", with: "'\\''") + "'"
}
