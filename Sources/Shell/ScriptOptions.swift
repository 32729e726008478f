// The command line of a script: xensave-lua [options] SCRIPT [IMAGE [ARGUMENT...]].

/// What the user asked for when the first word is no sub-command.
struct ScriptOptions {
  /// What to run, in order.
  enum Chunk: Equatable {
    case file(String)
    /// The text of -e.
    case text(String)
    /// A script from standard input.
    case standardInput
  }

  var chunks: [Chunk] = []
  var image: String?
  var arguments: [String] = []
  /// -o OUT; "-" is standard output.
  var output: String?
  var isInPlace = false
  var isDryRun = false
  var isUnchecked = false
  var isJSON = false
  var isQuiet = false

  /// Where the output of a returned filter goes; nil where the user has not said.
  var destination: Destination? {
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

  static let names = [
    "-e", "-o", "--output", "--in-place", "--dry-run", "--unchecked", "--json", "--quiet", "-q",
    "--help", "-h", "--version",
  ]

  /// Reads the words. Our options may stand anywhere before "--"; words that begin with "-" and are
  /// not ours are the script's once there is a script, and mistakes before.
  init(_ words: [String]) throws(Failure) {
    var rest = words[...]
    var positional: [String] = []
    var hasCode = false
    func value(_ option: String) throws(Failure) -> String {
      guard let value = rest.popFirst() else {
        throw Failure(ExitCode.usage, "\(option): expected a value")
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
      case "-q", "--quiet": isQuiet = true
      default:
        if word.hasPrefix("--output=") {
          output = String(word.dropFirst(9))
        } else if word.hasPrefix("-"), word != "-", positional.isEmpty, !hasCode {
          throw Failure(
            ExitCode.usage, "unknown option '\(word)' (xensave-lua --help lists them)")
        } else {
          positional.append(word)
        }
      }
    }
    if !hasCode {
      guard !positional.isEmpty else { throw Failure(ExitCode.usage, "expected a script") }
      let script = positional.removeFirst()
      chunks.append(script == "-" ? .standardInput : .file(script))
    }
    if !positional.isEmpty { image = positional.removeFirst() }
    arguments = positional
    let places = [output != nil, isInPlace, isDryRun].filter { $0 }.count
    guard places <= 1 else {
      throw Failure(ExitCode.usage, "-o, --in-place and --dry-run exclude each other")
    }
    if chunks == [.standardInput], image == "-" {
      throw Failure(
        ExitCode.usage, "standard input cannot be both the script and the image")
    }
  }
}
