// Filters between a save and what libxl reads, or between that and a restore.

internal import CSystem
internal import Format
internal import Glibc
internal import HelperProtocol
internal import ImageEdit
internal import Live
internal import LuaAPI
internal import LuaRuntime
internal import PolicyEngine
package import Reports
internal import Stream
package import SystemIO

/// The filters of a helper, on a sandboxed thread of their own.
///
///     save:     Save -- pipe --> filters --> libxl's descriptor
///     restore:  libxl's descriptor --> filters -- pipe --> xc_domain_restore
///
/// From libxl's descriptor nothing is read after END or, before libxl has had its turn, after
/// CHECKPOINT: libxl continues there itself. Where a filter fails, the stream ends: what was written
/// is no image, the save or restore fails, and nothing that it had not passed gets through.
package final class HelperFilter {
  private let sandbox: SandboxThread<Resident>
  private var job: SandboxJob<EndReason>?
  private let own: FilterEnds
  private let ends: Ends
  private var watch: FilterWatch?
  private let isRestore: Bool
  private let unknown: UnknownRecords
  /// Milliseconds of the processor that a record may take.
  private let deadline: UInt64
  /// The end of the pipe that the save writes to, or the restore reads from.
  package private(set) var descriptor: Int32
  /// Bytes of the filter thread: one for each checkpoint that has passed, and one at a good end; after
  /// the end of the thread's work there are no more.
  package let progress: Int32
  /// Restore: a byte lets the filters read on after a checkpoint.
  private var permission: Int32

  /// How the filters' work ended.
  fileprivate enum EndReason: Sendable {
    case good
    /// A filter failed, or its thread did.
    case filter(String)
    /// The stream could not be read or written. `errno`: 0 for none.
    case stream(String, errno: Int32)
  }

  /// What lives on the thread.
  private final class Resident {
    let shell: ShellContext
    let filter: any RewriteFilter
    init(_ shell: ShellContext, _ filter: any RewriteFilter) {
      self.shell = shell
      self.filter = filter
    }
  }

  /// What the thread opens before it is sandboxed.
  private final class Ends: @unchecked Sendable {
    // Safe to send: filled by the thread's first job, used by its later ones.
    var source: Source?
    var sink: Sink?
    var shell: ShellContext?
    var time: FilterTime?
    /// The ends of the filters' own pipes that are the thread's: where it notes what has passed, and
    /// where it waits to read on.
    var (stepOut, permission): (Int32, Int32) = (-1, -1)
  }

  /// The filters of `scripts`, which pass nothing before `begin`. The stream is `stream`, which stays
  /// open. `isCopying`: it is read and written by read(2) and write(2) alone, also where it is a socket
  /// or a pipe. `deadline`: milliseconds of the processor for one record. `log` is called from the filters' thread, which may do no more than write to
  /// descriptors that are open.
  package init(
    _ scripts: [HelperScript], isRestore: Bool, stream: Int32, isCopying: Bool = false,
    unknown: UnknownRecords = .show, deadline: UInt64 = ScriptDeadlines.standard.record,
    log: @escaping (LogLevel, String) -> Void
  ) throws {
    self.isRestore = isRestore
    self.unknown = unknown
    self.deadline = deadline
    let (data, steps, permissions): (PipeEnds, PipeEnds, PipeEnds)
    (data, steps, permissions) = (try PipeEnds(), try PipeEnds(), try PipeEnds())
    let (reading, writing) =
      isRestore ? (stream, data.writing) : (data.reading, stream)
    descriptor = isRestore ? data.reading : data.writing
    progress = steps.reading
    permission = permissions.writing
    _ = csystem_set_pipe_capacity(data.writing, Transfer.pipeCapacity)
    let lines = FilterLog(log)
    let modules = HelperModules.texts
    let ends = Ends()
    self.ends = ends
    do throws(LuaError) {
      sandbox = try SandboxThread<Resident>(
        memoryLimit: 256 << 20, boundary: .streams
      ) { state in
        ends.source = try Source(
          Descriptor(
            taking: reading, path: "stream", isOwned: false, isStream: true, isCopied: isCopying),
          path: "stream")
        ends.sink = Sink(
          try Descriptor(taking: writing, path: "stream", isOwned: false, isCopied: isCopying),
          path: "stream")
        ends.time = FilterTime()
        try SandboxModule.bind(state, modules)
        guard let shell = state.context as? ShellContext else { throw LuaError("no shell") }
        SandboxModule.setLog(state) { lines.log($0.level, $0.text) }
        ends.shell = shell
      } make: { state in
        guard let shell = ends.shell else { throw LuaError("no shell") }
        var stages: [any RewriteFilter] = []
        for script in scripts where script.hasFilter {
          try script.push(state)
          state.frame.pushField(-1, "filter")
          stages.append(try shell.filter(state.frame, state.frame.count))
        }
        return Resident(shell, stages.count == 1 ? stages[0] : ChainFilter(stages))
      }
      (ends.stepOut, ends.permission) = (steps.writing, permissions.reading)
      own = FilterEnds([isRestore ? writing : reading, ends.stepOut])
    } catch { throw HelperFilter.failed(error.message) }
    if sandbox.sealError != 0 {
      log(
        .warning,
        "the kernel does not seal the filters' thread: "
          + SystemError("seccomp", sandbox.sealError, "").reason)
    }
  }

  /// Starts to read the stream. Called once.
  package func begin() throws {
    let (own, ends, isRestore, unknown) = (own, ends, isRestore, unknown)
    do throws(LuaError) {
      job = try sandbox.begin { resident, _ -> EndReason in
        // Closed here and not by their owners: whoever is at the other end of the pipe must hear of
        // it at once when a filter has failed.
        defer { own.close() }
        guard let source = ends.source, let sink = ends.sink else { throw LuaError("no stream") }
        do {
          let filter = TimedFilter(unknown.around(resident.filter), ends.time)
          _ = try Rewriter(source, to: sink, filter: filter) { type in
            switch type {
            case .end: return false
            case .checkpoint:
              guard notify(ends.stepOut) else { return false }
              return !isRestore || waitForNotice(ends.permission)
            default: return true
            }
          }.run()
          // After the last byte of the stream: then whoever manages the domain may continue.
          _ = notify(ends.stepOut)
          return .good
        } catch {
          guard error is StreamError || error is SystemError else { return .filter("\(error)") }
          return .stream("\(error)", errno: XensaveError(error).errno ?? 0)
        }
      }
    } catch { throw HelperFilter.failed(error.message) }
    if let time = ends.time {
      let limit = deadline * 1_000_000
      watch = try FilterWatch(time, limit: limit, ends: own)
    }
  }

  private static func failed(_ message: String) -> XensaveError {
    XensaveError(.unsuitable, "the filter failed, and nothing more is let through: \(message)")
  }

  /// What SIGTERM has to cut so that the save fails, whatever the filters are at.
  package var descriptors: [Int32] { [descriptor, progress] }

  /// Save: waits until a checkpoint that was written has left the filters.
  package func awaitCheckpoint() throws {
    guard waitForNotice(progress) else {
      throw cause(of: XensaveError(.unsuitable, "the stream was cut"), isAfterPipe: true)
    }
  }

  /// Restore: lets the filters read on after a checkpoint.
  package func goOn() { _ = notify(permission) }

  /// Lets go of `descriptor`, which another program has got: the filters see the end of the stream when
  /// that program has gone.
  package func handOver() {
    if descriptor >= 0 { _ = close(descriptor) }
    descriptor = -1
  }

  /// Ends the stream on both sides of the filters, whatever they are at.
  package func cut() { own.cut() }

  /// Waits for the end of the stream: all is written, or this throws.
  package func finish() throws {
    closeEnds()
    // A checkpoint that nobody waited for may still be in the pipe.
    while waitForNotice(progress) {}
    // Its last byte has come, or nobody waits for it any longer: then it may be at the network.
    switch ending(within: HelperAbort.wasAsked ? 0 : 60_000_000_000) {
    case .good?: return
    case .filter(let message)?: throw HelperFilter.failed(message)
    case .stream(let message, let errno)?: throw HelperFilter.stream(message, errno)
    case nil: throw XensaveError(.unsuitable, "the stream was cut")
    }
  }

  /// What ended the stream before it was complete.
  package enum Failure {
    /// A filter.
    case filter(XensaveError)
    /// What is read from or written to; with an errno, or because it ended early.
    case stream(XensaveError)
  }

  /// Why the filters have ended; nil where they have passed all, or have not ended within so many
  /// nanoseconds.
  package func failure(within nanoseconds: UInt64) -> Failure? {
    closeEnds()
    return switch ending(within: nanoseconds) {
    case .filter(let message)?: .filter(HelperFilter.failed(message))
    case .stream(let message, let errno)? where errno != 0:
      .stream(HelperFilter.stream(message, errno))
    case .stream(let message, _)?: .stream(XensaveError(.truncated, message))
    case .good?, nil: nil
    }
  }

  /// Why a save or restore has failed with `error`: what happened at the other end of the pipe may
  /// have been first.
  package func cause(of error: any Error) -> any Error {
    cause(of: error, isAfterPipe: XensaveError(error).errno == EPIPE || isRestore)
  }

  private func cause(of error: any Error, isAfterPipe: Bool) -> any Error {
    closeEnds()
    switch ending(within: 2_000_000_000) {
    case .filter(let message)?: return HelperFilter.failed(message)
    case .stream(let message, let errno)? where isAfterPipe && errno != EPIPE && errno != 0:
      return HelperFilter.stream(message, errno)
    default: return error
    }
  }

  private static func stream(_ message: String, _ errno: Int32) -> XensaveError {
    XensaveError(SystemError("write", errno, "stream"), message)
  }

  /// How the filters have ended; nil where they continue for so many nanoseconds, because they wait for
  /// the stream.
  private func ending(within nanoseconds: UInt64) -> EndReason? {
    guard let job else { return nil }
    let result = job.wait(watch?.isStuck == true ? 0 : nanoseconds)
    return switch result {
    case .success(let ending)?: ending
    case .failure(let error)?: .filter(error.message)
    case nil where watch?.isStuck == true:
      .filter(
        "it takes more than \(deadline) ms for a record, and does not stop")
    case nil: nil
    }
  }

  private func closeEnds() {
    handOver()
    if permission >= 0 { _ = close(permission) }
    permission = -1
  }

  deinit {
    closeEnds()
    _ = close(progress)
    if job == nil { own.close() }
  }
}

/// Writes a byte; false where nobody reads it.
private func notify(_ descriptor: Int32) -> Bool {
  var byte: UInt8 = 1
  while true {
    let result = unsafe write(descriptor, &byte, 1)
    if result == 1 { return true }
    if errno != EINTR { return false }
  }
}

/// Waits for a byte; false at the end.
private func waitForNotice(_ descriptor: Int32) -> Bool {
  var byte: UInt8 = 0
  while true {
    let result = unsafe read(descriptor, &byte, 1)
    if result >= 0 || errno != EINTR { return result == 1 }
  }
}

/// Lines of filters for the log of whoever runs them.
private final class FilterLog: @unchecked Sendable {
  // Safe to send: used on the filters' thread alone.
  private let write: (LogLevel, String) -> Void
  private var count = 0
  init(_ write: @escaping (LogLevel, String) -> Void) { self.write = write }

  /// Lines of one save or restore: the log is a file of dom0's.
  static let limit = 1000

  func log(_ level: LogLevel, _ text: String) {
    count += 1
    guard count <= FilterLog.limit else { return }
    write(level, text)
    if count == FilterLog.limit { write(.warning, "no more messages are logged") }
  }
}

/// A filter the time of whose calls is taken.
final class TimedFilter: RewriteFilter {
  private let base: any RewriteFilter
  private let time: FilterTime?

  init(_ base: any RewriteFilter, _ time: FilterTime?) {
    self.base = base
    self.time = time
  }

  private func timed<R>(_ body: () throws -> R) throws -> R {
    time?.begin()
    defer { time?.end() }
    return try body()
  }

  func begin() throws { try timed { try base.begin() } }
  func finish() throws {
    try timed { try base.finish() }
  }

  func header(_ header: inout Header) throws {
    var changed = header
    try timed { try base.header(&changed) }
    header = changed
  }

  func record(_ record: EditableRecord) throws -> FilterResult {
    try timed { try base.record(record) }
  }
}
