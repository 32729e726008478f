// Running a script over an image: the main job.

internal import Bytes
internal import Format
internal import Glibc
internal import ImageEdit
internal import JSON
internal import Jobs
package import LuaAPI
internal import LuaRuntime
internal import REPL
internal import Reports
internal import Stream
internal import SystemIO
internal import Terminal

/// Runs the chunks of a command line in one Lua state, and applies the filter that one returns.
package struct ScriptRunner {
  package let options: ScriptOptions
  /// The sub-commands of the program: what a misspelt word may have meant.
  package let commands: [String]

  package init(options: ScriptOptions, commands: [String] = []) {
    self.options = options
    self.commands = commands
  }

  /// A Lua state with our module, set up as the options say.
  package func makeShell() throws -> ShellContext {
    let shell = try ShellContext(SessionExplainer())
    try shell.bind()
    if options.isQuiet { shell.logLevel = .warning }
    shell.color = options.color
    shell.isJSON = options.isJSON
    shell.usesPager = options.isPaged
    shell.scriptPath = options.scriptPath
    shell.printsToStandardError = options.output == "-"
    ProgressDisplay.begin(options.progress, isQuiet: options.isQuiet)
    return shell
  }

  package func run() throws -> Int32 {
    // A word without a path that is no file: a command, misspelt.
    if case .file(let word) = options.chunks.first, !word.contains("/"), !word.hasSuffix(".lua"),
      !FileSystem.exists(word)
    {
      throw XensaveError(
        .usage,
        "no command and no script '\(word)'\(ScriptLibrary.hint(word, commands: commands)) (xensave-lua --help)"
      )
    }
    let shell = try makeShell()
    defer { shell.state.close() }
    let image = try openImage()
    if let image { shell.watch(image) }
    if options.isInteractive { return try converse(shell, image) }
    shell.replaceExit { [unowned shell] code in
      for image in shell.unsavedImages { image.reportLoss() }
      exit(code)
    }
    do {
      try shell.prepare(options, image)
      return try runChunks(shell, image)
    } catch let error as LuaError {
      shell.reportsLoss = false
      return try end(shell, error)
    } catch {
      shell.reportsLoss = false
      throw error
    }
  }

  /// Runs the script, if there is one, and then a session; errors do not end it.
  private func converse(_ shell: ShellContext, _ image: LuaImage?) throws -> Int32 {
    Interrupt.watchAtTerminal()
    let repl = Repl(shell)
    shell.sessionNames = ["local xs = require \"xensave\""]
    if let image {
      shell.sessionNames.append("img = assert(xs.open \(luaQuoted(image.path)))")
    }
    do {
      try shell.prepare(options, image)
      for chunk in options.chunks {
        try load(chunk, shell)
        for word in options.arguments { shell.state.frame.push(word) }
        try shell.state.call(options.arguments.count, results: 1)
        // A filter that the script returned can be tried out.
        if LuaFilter.isFilter(shell.state.frame, -1) {
          shell.state.setGlobalFromTop("filter")
          shell.sessionNames.append("filter = dofile \(luaQuoted(options.scriptName))")
        } else {
          shell.state.frame.pop()
        }
      }
    } catch let error as LuaError {
      try repl.show(error)
    }
    return try repl.run(shell.sessionNames)
  }

  private func openImage() throws -> LuaImage? {
    guard let path = options.image else { return nil }
    let source = try options.isInPlace ? Source(editing: path) : Source(image: path)
    if source.isFile {
      try RecordProbe.check(source.duplicate())
    }
    return LuaImage(source)
  }

  private func runChunks(_ shell: ShellContext, _ image: LuaImage?) throws -> Int32 {
    let frame = shell.state.frame
    var isLastFilter = false
    for chunk in options.chunks {
      if isLastFilter { frame.pop() }
      try load(chunk, shell)
      let words = options.arguments
      for word in words { frame.push(word) }
      try shell.state.call(words.count, results: 1)
      isLastFilter = !frame.isMissing(-1)
      if !isLastFilter { frame.pop() }
    }
    guard isLastFilter else {
      // What the script has saved itself is written again only where the command line says so.
      if let image, image.isEdited, image.hasUnsavedEdits || options.destination != nil {
        return try apply(shell, nil, image)
      }
      if let place = options.destination, place != .none {
        throw XensaveError(
          .usage,
          "\(options.scriptName) returned no filter, so there is nothing to write")
      }
      return ExitCode.good
    }
    guard LuaFilter.isFilter(frame, -1) else {
      // A script may end with `return 0` or `return true`: what it means is an exit code.
      if let code = frame.integerIfAny(-1) { return Int32(truncatingIfNeeded: code & 0xFF) }
      throw XensaveError(
        .findings,
        "\(options.scriptName) returned a \(frame.typeName(-1)): expected a filter or nothing")
    }
    guard let image else {
      throw XensaveError(
        .usage, "\(options.scriptName) returned a filter: expected an image to apply it to")
    }
    shell.refusesIdleFilters = true
    return try apply(shell, try shell.filter(frame, frame.count), image)
  }

  /// Writes the image with what the script changed in it, and passes that through its filter.
  private func apply(
    _ shell: ShellContext, _ returned: (any RewriteFilter)?, _ image: LuaImage
  ) throws -> Int32 {
    guard let destination = options.destination else {
      throw XensaveError(
        .usage,
        "\(options.scriptName) \(returned == nil ? "changed the image" : "returned a filter"): say "
          + "where to write with -o OUT, --in-place or --dry-run")
    }
    // From here on what becomes of the changes is said by who writes them.
    defer { image.markSaved() }
    let filter: any RewriteFilter =
      switch (image.edits, returned) {
      case (let edits?, let returned?): ChainFilter([edits, returned])
      case (let edits?, nil): edits
      case (nil, let returned?): returned
      case (nil, nil): throw XensaveError(.fault, "nothing to apply")
      }
    let job = RewriteJob(destination: destination, isUnchecked: options.isUnchecked)
    let source = try image.takeSource()
    do {
      let report: ChangeReport
      if let document = try document(image, source, returned, destination) {
        report = try EditJob(document: document, isUnchecked: options.isUnchecked)
          .write(source, to: destination) { line in
            if !options.isQuiet { writeError("xensave-lua: \(line)\n") }
          }
      } else {
        report = try job.run(source, filter)
      }
      try show(report, destination)
      return ExitCode.good
    } catch let error as XensaveError {
      guard let inner = error.underlying as? LuaError, inner.kind != .interrupted else {
        throw error
      }
      // The filter's own message says where in the script; the place says where in the image.
      throw XensaveError(
        inner.code == "usage" ? .usage : .script, "\(image.path): \(error)",
        detail: shell.traceback(inner))
    }
  }

  /// The image with its edits, where no record is shown to a filter, and so no page has to be passed
  /// over: what filters make of headers is an edit then. Nil where the image has to be rewritten.
  private func document(
    _ image: LuaImage, _ source: Source, _ returned: (any RewriteFilter)?,
    _ destination: Destination
  ) throws -> ImageDocument? {
    switch destination {
    case .inPlace: guard source.edit != nil else { return nil }
    case .file: guard source.cloneUnit > 0 else { return nil }
    default: return nil
    }
    guard let returned else { return try image.document() }
    let document: ImageDocument
    if image.isEdited {
      document = try image.document()
    } else {
      do { document = try ImageDocument(source.duplicate(), frontOnly: true) } catch {
        // What cannot be an edit may be a rewrite, which says what is wrong.
        if XensaveError(error).isOfSystem { throw error }
        return nil
      }
    }
    guard let container = document.index.end.container,
      returned.isOfHeadersOnly(in: container)
    else { return nil }
    try returned.begin()
    for kind in document.index.headers.map(\.kind) {
      guard var header = document.header(kind) else { continue }
      try returned.header(&header)
      document.setBytes(header.bytes, of: kind)
    }
    try returned.finish()
    return document
  }

  private func show(_ report: ChangeReport, _ destination: Destination) throws {
    if options.isJSON, destination != .standardOutput {
      return try writeOut(report.json)
    }
    guard !options.isQuiet else { return }
    // The report of a dry run is its result; that of a rewrite is a message beside it.
    if destination == .none {
      try writeOut(TextStyle(isOn: options.color.isEnabled(descriptor: 1)).report(report) + "\n")
    } else {
      writeError("xensave-lua: \(report.summary)\n")
    }
  }

  package func load(_ chunk: ScriptOptions.Chunk, _ shell: ShellContext) throws {
    switch chunk {
    case .text(let text): try shell.state.load(Array(text.utf8), name: "=(command line)")
    case .standardInput: try load(path: "-", name: "=stdin", shell)
    case .file(let path): try load(path: path, name: "@\(path)", shell)
    }
  }

  /// Loads a script file. A first line that begins with "#" is the shell's.
  private func load(path: String, name: String, _ shell: ShellContext) throws {
    let source = try opening(path)
    let limit = 64 << 20
    var text = try source.read(Int(min(source.byteCount ?? UInt64(limit), UInt64(limit))))
    if case .xl = Container(Array(text.prefix(32))) { throw notAScript(path) }
    if text.starts(with: "LibxlFmt".utf8) || text.starts(with: [255, 255, 255, 255]) {
      throw notAScript(path)
    }
    if text.first == UInt8(ascii: "#") {
      // The newline stays, so that line numbers are right.
      text.removeFirst(text.firstIndex(of: 10) ?? text.count)
    }
    try shell.state.load(text, name: name)
  }

  private func opening(_ path: String) throws -> Source {
    // Nobody runs what a server happens to have.
    try RemoteFiles.refuse(path, for: "a script")
    return try Source(opening: path)
  }

  private func notAScript(_ path: String) -> XensaveError {
    XensaveError(
      .usage,
      "\(path) is a saved domain, not a script (did you mean: xensave-lua info \(path)?)")
  }

  /// What a script's error means for the program.
  private func end(_ shell: ShellContext, _ error: LuaError) throws -> Int32 {
    if let code = shell.exitCode { return code }
    if error.code == "usage" { throw XensaveError(.usage, error.message) }
    if error.code == "epipe" { throw XensaveError(.brokenPipe, error.message) }
    var failure = XensaveError(error)
    failure.detail = [shell.state.place.map { "while at \($0())" }, shell.traceback(error)]
      .compactMap { $0 }.joined(separator: "\n")
    if failure.detail == "" { failure.detail = nil }
    throw failure
  }

  /// An error of one of the program's own scripts: where in it that was raised is of no use to whoever runs it,
  /// unless the script itself is at fault.
  package static func withoutPlaces(_ error: any Error) -> any Error {
    guard let failure = XensaveError.known(error), !failure.message.contains("attempt to "),
      failure.detail != nil || failure.message.contains(".lua:")
    else { return error }
    return XensaveError(
      failure.code, failure.message.replacing(#/[^ ]*\.lua:[0-9]+: /#, with: ""),
      path: failure.path,
      offset: failure.offset, record: failure.record, hint: failure.hint,
      underlying: failure.underlying, errno: failure.errno)
  }
}
