// A child process between two pipes.

internal import CSystem
internal import Glibc

/// A program that reads what is written to it, and answers.
public final class PipedCommand {
  private let process: pid_t
  private var status: Int32?
  /// A descriptor that can be read when the program has ended; -1 where the kernel gives none.
  public let end: Int32
  /// What it reads. `endInput` closes it.
  public private(set) var sink: Sink?
  /// What it writes; nil where that goes to this program's standard output.
  public let source: Source?

  /// Starts words[0], looked for in PATH, with the others as its arguments. Its standard error is this
  /// program's, and so is its standard output where `hasSource` is false.
  ///
  /// - Throws: what the system says where it cannot be started.
  public init(_ words: [String], hasSource: Bool) throws(SystemError) {
    let name = words.first ?? ""
    let input = try Pipe()
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var id: pid_t = 0
    var problem: Int32
    if hasSource {
      let output = try Pipe()
      // Safety: a NULL ends the words, which the call only reads.
      problem = unsafe csystem_spawn_piped(
        &arguments, input.reading.fileDescriptor, output.writing.fileDescriptor, -1, &id)
      source = try Source(try output.reading.duplicate(path: name), path: name)
    } else {
      problem = unsafe csystem_spawn_piped(
        &arguments, input.reading.fileDescriptor, -1, -1, &id)
      source = nil
    }
    guard problem == 0 else { throw SystemError("posix_spawn", problem, name) }
    process = id
    end = csystem_process_descriptor(id)
    sink = Sink(try input.writing.duplicate(path: name), path: name)
  }

  deinit { if end >= 0 { _ = Glibc.close(end) } }

  /// Lets it read the end of its input.
  public func endInput() {
    sink?.cut()
    sink = nil
  }

  /// Sends it SIGTERM.
  public func terminate() { if status == nil { _ = kill(process, SIGTERM) } }

  /// How it ended: its exit code, or 128 and the signal that ended it. nil where a request to stop came
  /// first.
  public func wait() -> Int32? {
    if let status { return status }
    var result: Int32 = 0
    while unsafe waitpid(process, &result, 0) < 0 {
      guard errno == EINTR, !Interrupt.isRequested else { return nil }
    }
    let code = result & 0x7F == 0 ? result >> 8 & 0xFF : 128 + (result & 0x7F)
    status = code
    return code
  }
}
