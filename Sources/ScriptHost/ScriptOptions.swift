// The command line of a script: xensave-lua [options] SCRIPT [IMAGE [ARGUMENT...]].

internal import Format
package import Jobs
package import Reports
internal import Stream
internal import SystemIO
package import Terminal

/// What the user asked for when the first word is no sub-command.
package struct ScriptOptions {
  /// What to run, in order.
  package enum Chunk: Equatable {
    case file(String)
    /// The text of -e.
    case text(String)
    /// A script from standard input.
    case standardInput
  }

  package var chunks: [Chunk] = []
  package var image: String?
  package var arguments: [String] = []
  /// -o OUT; "-" is standard output.
  package var output: String?
  var isInPlace = false
  var isDryRun = false
  package var isUnchecked = false
  var isJSON = false
  /// --no-pager: a session prints what is longer than the screen as it is.
  var isPaged = true
  package var isQuiet = false
  /// -i: a session after the script.
  package var isInteractive = false
  /// -l NAME or -l GLOBAL=NAME.
  package var modules: [(name: String, global: String)] = []
  package var color = ColorChoice.auto
  /// --progress; nil for a bar where that can be shown.
  package var progress: ProgressStyle?

  /// Where the output of a returned filter goes; nil where the user has not said.
  package var destination: Destination? {
    if isDryRun { return Destination.none }
    if isInPlace { return .inPlace }
    if let output { return Destination(output) }
    return nil
  }

  /// The name that arg[0] has.
  var scriptName: String {
    switch chunks.first {
    case .file(let path): path
    case .standardInput: "-"
    case .text: "-e"
    case nil: ""
    }
  }

  /// The path of the script file; "" where the code is from elsewhere.
  var scriptPath: String {
    if case .file(let path) = chunks.first { path } else { "" }
  }

  /// Our options with what they take ("" for nothing), for suggestions and completions.
  package static let all: [(name: String, value: String, help: String)] = [
    ("-e", "CODE", "Run this code; may be given several times."),
    ("-i", "", "Continue with a session."),
    ("-l", "MODULE", "Load a module into a global."),
    ("-o", "OUT", "Write the filtered image here; - is standard output."),
    ("--output", "OUT", "The same as -o."),
    ("--in-place", "", "Replace the image by the filtered one."),
    ("--dry-run", "", "Say what the filter would change."),
    ("--unchecked", "", "Leave out the check of what was written."),
    ("--json", "", "Print reports as JSON."),
    ("--no-pager", "", "Show long texts of a session without $PAGER."),
    ("--quiet", "", "Print only warnings and errors."),
    ("--color", "WHEN", "Colours: auto, always or never."),
    ("--progress", "STYLE", "How progress is shown: bar, plain, json or none."),
    ("--help", "", "Say how the program is used."),
    ("--version", "", "Print the version."),
  ]

  /// Reads the words. Our options may stand anywhere before "--"; words that begin with "-" and are
  /// not ours are the script's once there is a script, and mistakes before.
  package init(_ words: [String]) throws {
    var rest = words[...]
    var positional: [String] = []
    var hasCode = false
    func value(_ option: String) throws -> String {
      guard let value = rest.popFirst() else {
        throw XensaveError(.usage, "\(option): expected a value")
      }
      return value
    }
    while let word = rest.popFirst() {
      switch word {
      case "--":
        positional += rest
        rest = []
      case "-e":
        chunks.append(.text(try value(word)))
        hasCode = true
      case "-o", "--output": output = try value(word)
      case "--in-place": isInPlace = true
      case "--dry-run": isDryRun = true
      case "--unchecked": isUnchecked = true
      case "--json": isJSON = true
      case "--no-pager": isPaged = false
      case "-q", "--quiet": isQuiet = true
      case "-i": isInteractive = true
      case "-l": modules.append(try module(value(word)))
      case "--color": color = try ScriptOptions.color(value(word))
      case "--progress": progress = try ScriptOptions.progress(value(word))
      default:
        if word.hasPrefix("--output=") {
          output = String(word.dropFirst(9))
        } else if word.hasPrefix("--color=") {
          color = try ScriptOptions.color(String(word.dropFirst(8)))
        } else if word.hasPrefix("--progress=") {
          progress = try ScriptOptions.progress(String(word.dropFirst(11)))
        } else if word.hasPrefix("-"), word != "-", positional.isEmpty, !hasCode {
          let near = didYouMean(word, among: ScriptOptions.all.map(\.name))
          throw XensaveError(
            .usage, "unknown option '\(word)'\(near) (xensave-lua --help lists them)")
        } else {
          positional.append(word)
        }
      }
    }
    if !hasCode, !isInteractive || positional.first.map(ScriptOptions.isScript) == true {
      guard !positional.isEmpty else { throw XensaveError(.usage, "expected a script") }
      let script = positional.removeFirst()
      chunks.append(script == "-" ? .standardInput : .file(script))
    }
    // Words that begin with "-" are the script's options, wherever they stand.
    if let place = positional.firstIndex(where: { !$0.hasPrefix("-") || $0 == "-" }) {
      image = positional.remove(at: place)
    }
    arguments = positional
    let places = [output != nil, isInPlace, isDryRun].filter { $0 }.count
    guard places <= 1 else {
      throw XensaveError(.usage, "-o, --in-place and --dry-run exclude each other")
    }
    if isInteractive, chunks == [.standardInput] || image == "-" {
      throw XensaveError(.usage, "-i: standard input is the session's, and cannot be a file")
    }
    if chunks == [.standardInput], image == "-" {
      throw XensaveError(
        .usage, "standard input cannot be both the script and the image")
    }
  }

  /// A session without a script or an image.
  package static var session: ScriptOptions {
    get throws { try ScriptOptions(["-i"]) }
  }

  private func module(_ word: String) throws -> (name: String, global: String) {
    let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
    let name = parts.last ?? ""
    guard !name.isEmpty else { throw XensaveError(.usage, "-l: expected a module's name") }
    let last = name.split(separator: ".").last.map(String.init) ?? name
    return (name, parts.count > 1 ? parts[0] : last)
  }

  package static func color(_ word: String) throws -> ColorChoice {
    guard let choice = ColorChoice(rawValue: word) else {
      let all = ColorChoice.allCases.map(\.rawValue)
      throw XensaveError(
        .usage,
        "--color: expected \(all.joined(separator: ", ")), got '\(word)'"
          + didYouMean(word, among: all))
    }
    return choice
  }

  package static func progress(_ word: String) throws -> ProgressStyle {
    guard let style = ProgressStyle(rawValue: word) else {
      let all = ProgressStyle.allCases.map(\.rawValue)
      throw XensaveError(
        .usage,
        "--progress: expected \(all.joined(separator: ", ")), got '\(word)'"
          + didYouMean(word, among: all))
    }
    return style
  }

  /// Whether a word of `-i` is a script, by what the file begins with, and not an image.
  private static func isScript(_ path: String) -> Bool {
    if path.hasSuffix(".lua") { return true }
    guard path != "-", let source = try? Source(contents: path), source.isFile || source.isPacked,
      let first = try? source.read(Container.peekByteCount)
    else { return false }
    switch Container(first) {
    case .xl, .libxl, .libxc: return false
    default: return true
    }
  }
}
