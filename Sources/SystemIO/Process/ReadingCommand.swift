// A child process that reads what is written to it.

internal import CSystem
internal import Glibc

/// A command of the shell that reads what is written to it.
public final class ReadingCommand {
  private let process: pid_t
  private var status: Int32?
  private var isLeftAlone = false
  /// What it reads. `close` ends it.
  public private(set) var sink: Sink?

  /// Starts it; its standard output and errors are this program's.
  public init(_ command: String) throws(SystemError) {
    let pipe = try Pipe()
    var id: pid_t = 0
    let problem = unsafe csystem_spawn_shell(command, pipe.reading.fileDescriptor, &id)
    guard problem == 0 else { throw SystemError("posix_spawn", problem, command) }
    process = id
    sink = Sink(try pipe.writing.duplicate(path: command), path: command)
  }

  deinit { _ = wait() }

  /// How it ended: its exit code, or 128 and the signal that ended it. nil where a request to stop
  /// came first: then nobody knows, and it is left alone with the end of its input.
  public func wait() -> Int32? {
    if let status { return status }
    sink?.cut()
    sink = nil
    guard !isLeftAlone else { return nil }
    var result: Int32 = 0
    while unsafe waitpid(process, &result, 0) < 0, errno == EINTR {
      guard !Interrupt.isRequested else {
        isLeftAlone = true
        return nil
      }
    }
    let code = result & 0x7F == 0 ? result >> 8 & 0xFF : 128 + (result & 0x7F)
    status = code
    return code
  }
}
