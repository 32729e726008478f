// Recorded conversations, as what each side says.

import JSON
import Testing

/// A recorded run of a real emu-manager: what it was given, and what it said.
struct Recording {
  let name: String
  /// The words of xenopsd, without the program's name.
  var arguments: [String] = []
  var exit: Int32?
  /// What the manager sent, by channel and in order.
  var lines: [String] = []
  var commands: [String] = []
  var qmp: [String] = []
  /// What xenguest answered, one for each command.
  var answers: [String] = []
  /// Its reports, in order.
  var events: [String] = []
  /// The last line before xenopsd sent `abort`.
  var lineBeforeAbort: String?
  /// QEMU's messages.
  var qemuMessages: [String] = []
  var xenguestArguments: [String] = []
  /// The exit status of xenguest; nil where it was not noted.
  var xenguestExit: Int32?

  static let folder = #filePath.replacing("EmuManagerTests/Recording.swift", with: "Fixtures/emp/")

  init(_ name: String) throws {
    self.name = name
    for line in try contents(of: Recording.folder + name + ".txt").split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 3).map(String.init)
      try #require(words.count >= 3, "\(name): \(line)")
      let rest = words.count > 3 ? words[3] : ""
      try take(words[1], words[2], rest)
    }
  }

  private mutating func take(_ channel: String, _ direction: String, _ rest: String) throws {
    switch (channel, direction) {
    case ("xenopsd", "argv"): arguments = Array(Recording.list(rest).dropFirst())
    case ("xenopsd", "exit"): exit = Int32(rest)
    case ("xenopsd", "emu-manager->xenopsd"):
      lines += Recording.literal(rest).split(separator: "\n").map(String.init)
    case ("xenopsd", "xenopsd->emu-manager"):
      if Recording.literal(rest) == "abort\n" { lineBeforeAbort = lines.last }
    case ("emp", "argv"): xenguestArguments = Array(Recording.list(rest).dropFirst())
    case ("emp", "exit"): xenguestExit = Int32(rest.filter { $0 != "'" })
    case ("emp", "emu-manager->xenguest"): commands.append(Recording.literal(rest))
    case ("emp", "xenguest->emu-manager"):
      let text = Recording.literal(rest)
      if text.contains("\"event\"") { events.append(text) } else { answers.append(text) }
    case ("qmp", "emu-manager->qemu"):
      let text = Recording.literal(rest)
      if !text.isEmpty { qmp.append(text) }
    case ("qmp", "qemu->emu-manager"): qemuMessages.append(Recording.literal(rest))
    default: break
    }
  }

  /// The text of b'...', up to its end quote.
  private static func literal(_ text: String) -> String {
    var out = ""
    var isEscaped = false
    for character in text.dropFirst(2) {
      if isEscaped {
        out.append(character == "n" ? "\n" : character == "r" ? "\r" : character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == "'" {
        break
      } else {
        out.append(character)
      }
    }
    return out
  }

  /// The words of ['a', 'b'].
  private static func list(_ text: String) -> [String] {
    text.split(separator: "'", omittingEmptySubsequences: false).enumerated()
      .filter { $0.offset % 2 == 1 }.map { String($0.element) }
  }
}

/// A command as a value: the programs differ in white space.
func parsed(_ command: String) throws -> JSONValue { try JSONValue(parsing: command) }
