// The files of AWS's programs: ~/.aws/config and ~/.aws/credentials.

internal import SystemIO

/// Sections of `name = value`, and lists below a name, which are indented:
///
///     [profile lab]
///     region = eu-central-1
///     s3 =
///       addressing_style = path
struct SettingsFile {
  /// By section; a nested value is under "s3.addressing_style".
  private(set) var sections: [String: [String: String]] = [:]

  /// What a file of settings may have.
  private static let limit = 1 << 20

  /// The file at `path`; empty where there is none.
  init(path: String) throws(SystemError) {
    let bytes =
      FileSystem.isFile(path) ? try Source(opening: path).read(SettingsFile.limit) : []
    self.init(String(decoding: bytes, as: UTF8.self))
  }

  init(_ text: String) {
    var section: String?
    var outer: String?
    for line in text.split(whereSeparator: \.isNewline) {
      let isNested = line.first == " " || line.first == "\t"
      let words = SettingsFile.trimmed(line)
      guard let first = words.first, first != "#", first != ";" else { continue }
      if first == "[" {
        guard words.last == "]" else { continue }
        // "[profile lab]" may have more than one space.
        section = words.dropFirst().dropLast().split(whereSeparator: { $0 == " " || $0 == "\t" })
          .joined(separator: " ")
        outer = nil
        continue
      }
      guard let section, let equals = words.firstIndex(of: "=") else { continue }
      let name = SettingsFile.trimmed(words[..<equals]).lowercased()
      var value = SettingsFile.trimmed(words[words.index(after: equals)...])
      // A comment in a line stands after a space.
      if let comment = value.firstRange(of: " #") ?? value.firstRange(of: " ;") {
        value = SettingsFile.trimmed(value[..<comment.lowerBound])
      }
      if isNested, let outer {
        sections[section, default: [:]]["\(outer).\(name)"] = String(value)
      } else {
        outer = value.isEmpty ? name : nil
        sections[section, default: [:]][name] = String(value)
      }
    }
  }

  private static func trimmed(_ text: Substring) -> Substring {
    let start = text.drop { $0 == " " || $0 == "\t" || $0 == "\r" }
    guard let end = start.lastIndex(where: { $0 != " " && $0 != "\t" && $0 != "\r" }) else {
      return ""
    }
    return start[...end]
  }
}
