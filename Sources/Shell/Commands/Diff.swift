// xensave-lua diff

internal import ArgumentParser
internal import Bytes
internal import Format
internal import Image
internal import JSON
internal import Stream
internal import SystemIO

struct Diff: LongCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Show how two images differ: fields by path, records, configuration.",
    discussion: """
      Exit codes: 0 no difference, 1 differences, 2 usage, 3 a system call failed. With \
      --as-filter, a Lua filter that turns A into B is printed; what cannot be said as a filter is \
      a comment in it.
      """)

  @Argument(help: "The first image: a file.") var a: String
  @Argument(help: "The second image: a file.") var b: String
  @Flag(help: "Print JSON.") var json = false
  @Flag(help: "Print a Lua filter that turns A into B.") var asFilter = false
  @OptionGroup var long: ProgressOptions

  mutating func execute() throws -> Int32 {
    do {
      let (one, other) = (try document(a), try document(b))
      var differences: [Difference] = []
      try ImageDiff(one, other).run { differences.append($0) }
      if asFilter {
        try writeOut(DiffFilter(one, other, differences, pathB: b).text())
      } else if json {
        try writeOut(Diff.json(differences))
      } else if !long.quiet {
        for difference in differences { try writeOut(difference.description + "\n") }
      }
      return differences.isEmpty ? ExitCode.good : ExitCode.findings
    } catch let error as SystemError {
      throw Failure(error)
    } catch let error as StreamError {
      throw Failure(error)
    } catch let error as ImagePathError {
      throw Failure(ExitCode.findings, error.description)
    }
  }

  private func document(_ path: String) throws -> ImageDocument {
    let source = try Source(opening: path)
    guard source.isFile else {
      throw Failure(ExitCode.usage, "\(path): only files can be compared")
    }
    return try ImageDocument(source)
  }

  private static func json(_ differences: [Difference]) -> [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginArray()
    for difference in differences {
      writer.beginObject()
      writer.member("kind", difference.kind.rawValue)
      writer.member("path", difference.path)
      writer.member("a", difference.before)
      writer.member("b", difference.after)
      writer.endObject()
    }
    writer.endArray()
    return writer.finish() + [10]
  }
}

/// Differences as the text of a Lua filter.
struct DiffFilter {
  private let one: ImageDocument
  private let other: ImageDocument
  private let differences: [Difference]
  private let pathB: String

  init(_ one: ImageDocument, _ other: ImageDocument, _ differences: [Difference], pathB: String) {
    self.one = one
    self.other = other
    self.differences = differences
    self.pathB = pathB
  }

  func text() throws -> String {
    var header = ""
    if let config = other.header(.xl), differences.contains(where: { $0.path.hasPrefix("config") })
    {
      let text = XLConfig.text(config) ?? []
      header += "  xl_header = function(h)\n    h.config_text = \(quoted(text))\n  end,\n"
    }
    for kind in HeaderKind.allCases {
      let name = "\(kind.rawValue)_header"
      let fields = differences.filter { $0.path.hasPrefix(name + ".") && $0.kind == .field }
      guard !fields.isEmpty, kind != .xl else { continue }
      header += "  \(name) = function(h)\n"
      for field in fields {
        header += "    h.\(field.path.dropFirst(name.count + 1)) = \(literal(field.value))\n"
      }
      header += "  end,\n"
    }
    return """
      -- Turns the first image into the second.
      local xs = require "xensave"
      local change = {
      \(try records())}
      return {
      \(header)  record = function(rec)
          local f = change[rec.index]
          if f then return f(rec) end
        end,
      }

      """
  }

  /// A function for each record of the first image that changes; its number is the key.
  private func records() throws -> String {
    var out = ""
    let touched = Set(differences.flatMap { [$0.recordA, $0.anchor] }).subtracting([0])
    for number in touched.sorted() {
      let record = try one.record(number)
      let all = differences.filter { $0.recordA == number }
      out += "  [\(number)] = function(rec)  -- \(record.type.name)\n"
      let inserted = try differences.filter { $0.anchor == number }.map { try made($0.recordB) }
      if !inserted.isEmpty {
        for field in all {
          guard let slot = field.slot, field.kind == .field else { continue }
          out += "    rec:set(\(quoted(Array(slot.path.utf8))), \(literal(field.value)))\n"
        }
        out += "    return \((inserted + ["rec"]).joined(separator: ", "))\n"
      } else if all.contains(where: { $0.kind == .missing && $0.recordB == 0 && $0.slot == nil })
        && all.count == 1
      {
        out += "    return false\n"
      } else if all.allSatisfy({ $0.kind == .field && $0.slot != nil }) {
        for field in all {
          guard let slot = field.slot else { continue }
          out += "    rec:set(\(quoted(Array(slot.path.utf8))), \(literal(field.value)))"
          out += "  -- \(field.before) -> \(field.after)\n"
        }
      } else if let mate = all.map(\.recordB).first(where: { $0 > 0 }) {
        // Elements came or went: the body as a whole.
        out += "    return \(try made(mate))\n"
      }
      out += "  end,\n"
    }
    return out
  }

  /// The text that makes a record of the second image.
  private func made(_ number: Int) throws -> String {
    let record = try other.record(number)
    return "xs.record(\(record.type.number), \(quoted(record.body)), \"\(record.type.layer)\")"
  }

  private func literal(_ value: FieldValue?) -> String {
    switch value {
    case .unsigned(let number)?: return "0x" + String(number, radix: 16)
    case .signed(let number)?: return "\(number)"
    case .text(let text)?: return quoted(Array(text.utf8))
    case .octets(let octets)?: return quoted(octets)
    default: return "nil"
    }
  }

  /// A Lua string of these octets.
  private func quoted(_ octets: [UInt8]) -> String {
    var out = "\""
    for octet in octets {
      switch octet {
      case 0x22, 0x5C:
        out += "\\"
        out.unicodeScalars.append(Unicode.Scalar(octet))
      case 0x20..<0x7F: out.unicodeScalars.append(Unicode.Scalar(octet))
      case 0x0A: out += "\\n"
      default: out += "\\x" + [octet].hexDigits
      }
    }
    return out + "\""
  }
}
