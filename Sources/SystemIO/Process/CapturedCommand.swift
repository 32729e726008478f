// A program whose output is kept.

internal import CSystem
internal import Glibc

/// What a program that has ended has printed, and how it ended.
public struct CapturedCommand: Sendable {
  /// Its exit code, or 128 and the signal that ended it.
  public let exitCode: Int32
  /// The beginning of its standard output and of its standard error.
  public let output: [UInt8]
  public let errors: [UInt8]
  /// Whether it printed more than was kept.
  public let isCut: Bool

  /// Nanoseconds from a request to stop to SIGKILL.
  private static let patience: UInt64 = 5_000_000_000

  /// Runs words[0], looked for in PATH, with the others as its arguments and nothing to read, and waits for
  /// its end. At most `limit` bytes of each output are kept. Many threads may do so at once.
  ///
  /// - Throws: what the system says where it cannot be started, and EINTR after a request to stop, which the
  ///   program has got as SIGTERM; it has ended then.
  public init(_ words: [String], limit: Int) throws(SystemError) {
    let name = words.first ?? ""
    let (output, errors) = (try ScratchFile(), try ScratchFile())
    let nothing = try Descriptor.open("/dev/null")
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe arguments.append(nil)
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var id: pid_t = 0
    // Safety: a NULL ends the words, which the call only reads.
    let problem = unsafe csystem_spawn_piped(
      &arguments, nothing.fileDescriptor, output.fileDescriptor, errors.fileDescriptor, &id)
    guard problem == 0 else { throw SystemError("posix_spawn", problem, name) }
    let (status, isStopped) = CapturedCommand.wait(id)
    if isStopped { throw SystemError.interrupted(name) }
    exitCode = status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F)
    let kept = (
      try output.source(as: name).read(limit + 1),
      try errors.source(as: name).read(limit + 1)
    )
    isCut = max(kept.0.count, kept.1.count) > limit
    self.output = Array(kept.0.prefix(limit))
    self.errors = Array(kept.1.prefix(limit))
  }

  /// The wait status, and whether a request to stop came first.
  private static func wait(_ id: pid_t) -> (status: Int32, isStopped: Bool) {
    var status: Int32 = 0
    var stoppedAt: UInt64?
    // Wakes end the call again and again after a request to stop.
    while unsafe waitpid(id, &status, 0) < 0 {
      guard errno == EINTR else { return (0, true) }
      guard Interrupt.isRequested else { continue }
      let now = Environment.nanoseconds
      if let stoppedAt {
        if now - stoppedAt > patience { _ = kill(id, SIGKILL) }
      } else {
        stoppedAt = now
        _ = kill(id, SIGTERM)
      }
    }
    return (status, stoppedAt != nil)
  }
}
