// The two ends of a wire: who calls a program on another machine, and who is called there.

public import SystemIO

/// What both ends may choose.
public struct WireOptions: Sendable {
  /// Bytes of pages that this side keeps at most.
  public var cacheByteCount: UInt64
  /// Threads beside the one that reads.
  public var threads: Int
  /// A level of zstd; nil for one that adapts.
  public var level: Int?

  public init(cacheByteCount: UInt64, threads: Int, level: Int? = nil) {
    self.cacheByteCount = cacheByteCount
    self.threads = threads
    self.level = level
  }
}

/// The sending end: between a program that writes a stream and one that carries it away, such as ssh.
///
/// What the carrier answers passes as it comes, after the greeting. Where the other side does not greet as
/// a wire does, the stream passes as it is.
public struct WireCaller {
  /// What became of a call.
  public struct Outcome {
    /// With what the carrier ended.
    public let exitCode: Int32
    /// What went over the wire; nil where the stream passed as it is.
    public let totals: WireTotals?
  }

  private let options: WireOptions

  public init(_ options: WireOptions) { self.options = options }

  /// Runs the carrier until it ends. `input` and `output` are let go where the other side lets go.
  ///
  /// - Throws: what the system refuses, and a request to stop; the carrier has got SIGTERM then.
  public func run(_ carrier: [String], _ input: Source, _ output: Sink) throws -> Outcome {
    let command = try PipedCommand(carrier, hasSource: true)
    guard let source = command.source, let sink = command.sink else {
      throw XensaveError(.fault, "the carrier has no pipes")
    }
    var back: WorkerThread?
    var totals: WireTotals?
    do {
      let (greeting, first) = try readGreeting(source)
      if !first.isEmpty { try output.write(first) }
      let end: WireEnd
      if let greeting {
        let byteCount = min(options.cacheByteCount, greeting.cacheByteCount)
        try sink.write(Greeting(cacheByteCount: byteCount).bytes)
        back = try Passage.start(source, output)
        let sender = try WireSender(
          input, sink, end: command.end, cacheByteCount: byteCount, threads: options.threads,
          level: options.level)
        end = try sender.run()
        totals = sender.totals
      } else {
        back = try Passage.start(source, output)
        end = try Passage.run(input, sink, end: command.end)
      }
      command.endInput()
      if end == .hungUp { input.cut() }
    } catch {
      command.endInput()
      // Who is gone needs no signal, and its exit code says more than a broken pipe.
      if (error as? SystemError)?.isBrokenPipe != true {
        command.terminate()
        back?.wait()
        _ = command.wait()
        throw error
      }
      input.cut()
    }
    back?.wait()
    guard let code = command.wait() else {
      command.terminate()
      throw SystemError.interrupted(carrier[0])
    }
    return Outcome(exitCode: code, totals: totals)
  }

  /// Reads the other side's first bytes: its greeting, or what is to pass where it has none.
  private func readGreeting(_ source: Source) throws -> (Greeting?, [UInt8]) {
    var head: [UInt8] = []
    while true {
      let mark = WireFormat.magic.count
      let wanted = head.count < mark ? mark : WireFormat.greetingByteCount
      let more = try source.readAvailable(wanted - head.count)
      if more.isEmpty { return (nil, head) }
      head += more
      let start = head.prefix(mark)
      if WireFormat.magic.starts(with: start) {
        guard head.count == WireFormat.greetingByteCount else { continue }
        let greeting = try Greeting(parsing: head)
        guard greeting.isKnown else {
          throw XensaveError(
            .unsupported, "the other side speaks wire \(greeting.lowest) to \(greeting.highest)",
            hint: "xensave-lua there is another release than here")
        }
        return (greeting, [])
      }
      if WireFormat.plainMarker.starts(with: start) {
        if start.count == mark { return (nil, []) }
      } else {
        return (nil, head)
      }
    }
  }
}

/// The receiving end: before a program that reads the stream.
public struct WireCallee {
  private let options: WireOptions

  public init(_ options: WireOptions) { self.options = options }

  /// Greets on `output`, runs the program with the restored stream as its input and this process's output
  /// as its own, and returns its exit code.
  ///
  /// - Throws: where the wire is damaged or cut. The program has read the end of its input then, and has
  ///   ended.
  public func run(_ words: [String], _ input: Source, _ output: Sink) throws -> Int32 {
    try output.write(Greeting(cacheByteCount: options.cacheByteCount).bytes)
    let command = try PipedCommand(words, hasSource: false)
    do {
      let end = try receive(input, command)
      command.endInput()
      // The sender learns that nobody reads any more.
      if end == .hungUp { input.cut() }
    } catch {
      command.endInput()
      input.cut()
      _ = command.wait()
      throw error
    }
    guard let code = command.wait() else { throw SystemError.interrupted(words.first ?? "") }
    return code
  }

  private func receive(_ input: Source, _ command: PipedCommand) throws -> WireEnd {
    guard let sink = command.sink else { return .hungUp }
    let bytes = try input.read(WireFormat.greetingByteCount)
    // Nobody called: the program has had its turn without a stream.
    if bytes.isEmpty { return .complete }
    let answer = try Greeting(parsing: bytes)
    guard answer.lowest == WireFormat.version, answer.highest == WireFormat.version,
      answer.cacheByteCount <= options.cacheByteCount
    else {
      throw XensaveError(.unsupported, "wire: the sender asks for what was not offered")
    }
    let receiver = try WireReceiver(
      input, sink, end: command.end, cacheByteCount: answer.cacheByteCount,
      threads: options.threads)
    return try receiver.run()
  }
}
