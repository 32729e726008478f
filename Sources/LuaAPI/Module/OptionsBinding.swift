// xs.options: a script declares its options.

internal import LuaRuntime
internal import Reports
internal import SystemIO

extension ShellContext {
  var optionFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "options", "(options: table[]): table",
        "Declares the script's options and reads them from `arg`, where only the other words stay. "
          + "The values are in xs.opts. An option is a table: name, help, type (\"flag\", "
          + "\"string\", \"integer\", \"number\" or \"list\" for one that may be given several "
          + "times), short, placeholder, choices, default, required. --help prints the script's "
          + "first comment and the options, and ends it.",
        example: "xs.options { { name = \"json\", type = \"flag\", help = \"Print JSON.\" } }"
      ) { [unowned self] frame in
        try self.readOptions(frame)
      }
    ]
  }

  private func readOptions(_ frame: LuaFrame) throws -> Int32 {
    var options: [ScriptOption] = []
    switch try frame.value(1) {
    case .list(let list): for item in list { options.append(try ScriptOption(item)) }
    case .table(let fields) where fields.isEmpty: break
    default: throw frame.argumentError(1, "expected a list of options")
    }
    var words: [String] = []
    frame.pushGlobal("arg")
    if frame.type(-1) == .table {
      for index in 1..<(try listCount(frame, -1)) + 1 {
        frame.pushElement(-1, index)
        words.append(frame.text(-1))
        frame.pop()
      }
    }
    frame.pop()
    var parser = try ScriptOptionParser(options, words)
    if parser.wantsHelp {
      if let onHelp { onHelp(options) } else { try write(parser.help(scriptHeader)) }
      exitCode = ExitCode.good
      throw LuaError("help was printed", code: "exit")
    }
    // --json and --quiet are ours too: a script that declares them sees them wherever they stood.
    parser.merge("json", isJSON)
    parser.merge("quiet", logLevel > .info)
    setArguments(parser.rest)
    frame.pushLoaded("xensave")
    frame.push(
      .table(parser.values.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }))
    frame.setField("opts")
    frame.pushField(-1, "opts")
    return 1
  }

  /// Sets arg[1], arg[2], ... and takes away what is after.
  func setArguments(_ words: [String]) {
    let frame = state.frame
    if frame.pushGlobal("arg") == .table {
      let count = max(min(frame.length(-1), 1 << 24), words.count)
      for index in 0..<count {
        if index < words.count { frame.push(words[index]) } else { frame.pushNil() }
        frame.setElement(index + 1)
      }
    }
    frame.pop()
  }

  /// The comment at the start of the script, without its dashes.
  private var scriptHeader: String {
    guard let source = try? Source(opening: scriptPath), source.isFile,
      let bytes = try? source.read(Int(clamping: min(source.byteCount ?? 0, 64 << 10)))
    else { return "" }
    return ScriptHeader(String(decoding: bytes, as: UTF8.self)).text
  }
}
