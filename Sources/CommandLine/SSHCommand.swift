// xensave-lua ssh

internal import ArgumentParser
internal import Bytes
internal import JSON
internal import Reports
internal import SystemIO
internal import Wire

struct SSHCommand: ShellCommand {
  static let name = "ssh"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Run a command on another host by ssh, and pack the stream on its way there.",
    usage: """
      xl migrate -s "xensave-lua ssh [OPTION...] [SSH-OPTION...]" DOMAIN HOST
      xl remus -s "xensave-lua ssh [OPTION...] [SSH-OPTION...]" DOMAIN HOST
      xensave-lua ssh [OPTION...] [SSH-OPTION...] HOST COMMAND... <STREAM
      xensave-lua ssh --receive [OPTION...] COMMAND...
      """,
    discussion: """
      The stream of a migration goes over the wire as what is new of it: pages of zeros as a bit, pages \
      that were sent before as what has changed of them, and the rest packed by zstd, as hard as the \
      processor can while the link is busy. The other end restores it byte for byte. What comes back \
      passes as it is, and so does the handshake of xl; nothing waits for more bytes to come.

      The other host needs xensave-lua, too. Where it has none, the stream passes as it is. Both sides \
      keep --cache bytes of pages, less where the other one has less to give. The exit code is that of \
      ssh, which is that of the command.

      --connect takes a command of the shell instead of ssh, which connects to one that runs ssh \
      --receive: --connect 'socat - OPENSSL:$1:8002' with 'socat OPENSSL-LISTEN:8002 \
      EXEC:"xensave-lua ssh --receive xl migrate-receive"' on the other host. $1 is HOST, and what \
      follows are the words of the command.
      """)

  @Option(
    help: ArgumentHelp(
      "Memory for pages that were sent, on both sides: 256M, 2G; 0 for none.", valueName: "size"))
  var cache: String?
  @Option(
    help: ArgumentHelp(
      "How hard zstd packs: auto, or a level from -7 (fast) to 19 (small).", valueName: "level"))
  var level = "auto"
  @Option(help: ArgumentHelp("Threads that pack beside the one that reads.", valueName: "count"))
  var threads: Int?
  @Option(
    help: ArgumentHelp("The name of xensave-lua on the other host.", valueName: "program"))
  var remote = "xensave-lua"
  @Option(
    help: ArgumentHelp(
      "A command of the shell that is the connection, in the place of ssh.", valueName: "command"))
  var connect: String?
  @Flag(help: "Be the other end: restore the stream from standard input for COMMAND.")
  var receive = false
  @Flag(help: "At the end, print what went over the wire.") var verbose = false
  @Flag(help: "The same as JSON, on standard error, too.") var json = false
  @Option(help: .hidden) var probe: UInt16?
  @Argument(
    parsing: .captureForPassthrough, help: "Options of ssh, the host, and the command to run there."
  )
  var words: [String] = []

  mutating func execute() throws -> Int32 {
    // Asked by the other end's shell before it hands the stream over.
    if let probe { return probe == WireFormat.version ? ExitCode.good : ExitCode.findings }
    if words.first == "--help" || words.first == "-h" { throw CleanExit.helpRequest(self) }
    if words.first == "--" { words.removeFirst() }
    var options = WireOptions(
      cacheByteCount: try cacheByteCount(), threads: try threadCount(), level: try fixedLevel())
    if receive {
      guard !words.isEmpty else { throw XensaveError(.usage, "ssh --receive: expected a command") }
      options.threads = min(options.threads, 2)
      return try WireCallee(options).run(
        words, try Source(opening: "-"), try Sink.standardOutput())
    }
    let outcome = try WireCaller(options).run(
      try carrier(), try Source(opening: "-"), try Sink.standardOutput())
    if json {
      writeError(String(decoding: jsonReport(outcome.totals), as: UTF8.self))
    } else if verbose {
      writeError(report(outcome.totals))
    }
    return outcome.exitCode
  }

  // MARK: - Options

  /// Half of a quarter gigabyte machine's memory is too much: at most a quarter of what is available.
  private func cacheByteCount() throws -> UInt64 {
    let wanted = try cache.map { try SSHCommand.byteCount($0) }
    let room = (Environment.availableMemory ?? 1 << 30) / 4
    // The receiver offers what it has; how much is used is for the sender to say.
    return wanted ?? (receive ? room : min(room, SSHCommand.usualCache))
  }

  private static let usualCache: UInt64 = 256 << 20

  /// A number of bytes: 4096, 512K, 256M, 2G.
  static func byteCount(_ text: String) throws -> UInt64 {
    let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    let unit = text.last.flatMap { units[Character($0.uppercased())] }
    let count = UInt64(unit == nil ? text : String(text.dropLast()))
    let product = count.map { $0.multipliedReportingOverflow(by: unit ?? 1) }
    guard let product, !product.overflow, product.partialValue <= WireFormat.cacheLimit else {
      throw XensaveError(.usage, "--cache: expected a size such as 256M or 2G, got '\(text)'")
    }
    return product.partialValue
  }

  private func threadCount() throws -> Int {
    guard let threads else { return min(4, Environment.coreCount / 2) }
    guard (0...64).contains(threads) else {
      throw XensaveError(.usage, "--threads: expected 0 to 64, got '\(threads)'")
    }
    return threads
  }

  private func fixedLevel() throws -> Int? {
    if level == "auto" { return nil }
    guard let value = Int(level), (-7...19).contains(value) else {
      throw XensaveError(.usage, "--level: expected auto or -7 to 19, got '\(level)'")
    }
    return value
  }

  // MARK: - The carrier

  /// The words that are run here: ssh with what the other host's shell is to do, or --connect.
  private func carrier() throws -> [String] {
    if let connect { return ["sh", "-c", connect, "sh"] + words }
    let (own, command) = try SSHCommand.split(words)
    return ["ssh"] + own + [remoteCommand(command.joined(separator: " "))]
  }

  /// Letters of ssh's options that have an argument (ssh(1), synopsis).
  private static let lettersWithArgument = Set("BbcDEeFIiJLlmOoPpQRSWw")

  /// ssh's options and the host, and the command after them.
  static func split(_ words: [String]) throws -> (own: [String], command: [String]) {
    var index = 0
    while index < words.count, words[index].hasPrefix("-"), words[index].count > 1 {
      let word = words[index]
      index += 1
      if word == "--" { break }
      // ssh has none of two dashes: it is one of ours, misspelt.
      if word.hasPrefix("--") { throw XensaveError(.usage, "ssh: unknown option '\(word)'") }
      // The first letter that has an argument ends a group; it is the next word where nothing follows.
      let letters = word.dropFirst()
      if let place = letters.firstIndex(where: { lettersWithArgument.contains($0) }),
        letters.index(after: place) == letters.endIndex
      {
        index += 1
      }
    }
    guard index + 1 < words.count else {
      throw XensaveError(.usage, "ssh: expected a host and a command (xensave-lua ssh --help)")
    }
    return (Array(words[...index]), Array(words[(index + 1)...]))
  }

  /// What the other host's shell runs: the command with us before it, or alone where we are not there.
  private func remoteCommand(_ command: String) -> String {
    let program = SSHCommand.quoted(remote)
    let size = cache.map { " --cache \(SSHCommand.quoted($0))" } ?? ""
    let marker = WireFormat.plainMarker.map {
      "\\" + "00\(String($0, radix: 8))".suffix(3)
    }.joined()
    let script =
      "if \(program) ssh --probe \(WireFormat.version) >/dev/null 2>&1; "
      + "then exec \(program) ssh --receive\(size) sh -c \(SSHCommand.quoted(command)); "
      + "else printf '\(marker)'; \(command); fi"
    return "exec sh -c " + SSHCommand.quoted(script)
  }

  /// A word of the shell.
  static func quoted(_ text: String) -> String {
    "'" + text.replacing("'", with: "'\\''") + "'"
  }

  private func jsonReport(_ totals: WireTotals?) -> [UInt8] {
    JSONWriter.document { writer in
      writer.beginObject()
      writer.member("wire", totals != nil)
      if let totals {
        for (name, count) in [
          ("restored", totals.restored), ("sent", totals.sent), ("frames", totals.frames),
          ("zero_pages", totals.zeroPages), ("same_pages", totals.samePages),
          ("changed_pages", totals.changedPages), ("packed_pages", totals.packedPages),
          ("stored_pages", totals.storedPages),
        ] { writer.member(name, count) }
      }
      writer.endObject()
    }
  }

  private func report(_ totals: WireTotals?) -> String {
    guard let totals else { return "wire: the other side has none, the stream passed as it is\n" }
    let pages = [
      ("zero", totals.zeroPages), ("as before", totals.samePages),
      ("changed", totals.changedPages), ("packed", totals.packedPages),
      ("stored", totals.storedPages),
    ].filter { $0.1 > 0 }.map { "\($0.1.grouped) \($0.0)" }.joined(separator: ", ")
    let share =
      totals.restored == 0 ? 0 : totals.sent.multipliedSaturated(by: 1000) / totals.restored
    return "wire: \(totals.restored.byteCount) as \(totals.sent.byteCount) "
      + "(\(share / 10).\(share % 10) %) in \(totals.frames.grouped) frames; pages: \(pages)\n"
  }
}
