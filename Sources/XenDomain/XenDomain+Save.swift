// Saves of PV domains for whoever has the domain in hand, by Xen's own library.

internal import Format
internal import Glibc
public import Live
public import SystemIO

extension XenDomain {
  /// Saves as `Save` does, by xc_domain_save, and leaves the domain as that does. The library tells of
  /// rounds only what the policy is told, and not how much it wrote: `pageCount` has the pages of all
  /// rounds, those without contents too, and `byteCount` what a file holds, 0 for a pipe. `record` has
  /// the trace, of a save that failed too.
  public func saveByLibrary(
    to sink: Sink, _ mode: Save.Mode, isVerifying: Bool, _ record: TracingPolicy.Record,
    progress: @escaping (Save.Progress) -> Void
  ) throws -> SaveResult {
    let run = LibrarySave(self, try info(), mode, record, progress)
    var save = DelegatedSave(isLive: run.isLive)
    save.isVerifying = isVerifying
    save.onWarning = { run.warnings.append($0) }
    save.streamType = run.checkpoints == nil ? .plain : .remus
    let output = try sink.duplicate()
    let fileDescriptor = output.fileDescriptor
    host.onProgress = { progress(Save.Progress(what: $0.what, done: $0.done, total: $0.total)) }
    defer { host.onProgress = nil }
    do {
      try withPendingUndo(.logDirty) {
        // The library continues where a signal wakes it: it stops where it can no longer write.
        try Interrupt.diverting(fileDescriptor) {
          try save.run(
            self, to: fileDescriptor, policy: TracingPolicy(run.policy, record),
            record.recording(run.callbacks))
        }
      }
      resolve(.logDirty)
    } catch {
      // The library calls it a failure when there is to be no further checkpoint.
      if run.problem == nil, run.isEnded {
        return run.result(sink, run.warnings + run.resume())
      }
      var error = XensaveError(run.problem ?? error)
      if run.problem == nil, Interrupt.isRequested {
        let stopped = SystemError.interrupted(sink.path)
        error = XensaveError(stopped)
      } else if run.problem == nil, error.errno == EPIPE {
        let broken = SystemError("write", EPIPE, sink.path)
        error = XensaveError(broken)
      }
      for line in run.resume() { error.add(aftermath: line) }
      throw error
    }
    // Of a checkpointed save that was ended the guest runs on; of a plain one the copy is the domain.
    return run.result(sink, run.warnings + (run.checkpoints == nil ? [] : run.resume()))
  }
}

/// What the library calls back for.
private final class LibrarySave {
  let isLive: Bool
  let policy: any Policy
  let checkpoints: (any Checkpoints)?
  private(set) var problem: (any Error)?
  private(set) var isEnded = false
  /// What the policy wanted and the library does not do.
  var warnings: [String] = []
  private var count = 0
  private let wasSuspended: Bool
  /// Whether it was this save that suspended the domain.
  private var hasSuspended = false
  private let domain: XenDomain
  private let record: TracingPolicy.Record
  private let progress: (Save.Progress) -> Void

  init(
    _ domain: XenDomain, _ info: DomainInfo, _ mode: Save.Mode, _ record: TracingPolicy.Record,
    _ progress: @escaping (Save.Progress) -> Void
  ) {
    self.domain = domain
    wasSuspended = info.isSuspended
    self.record = record
    self.progress = progress
    (isLive, policy, checkpoints) =
      switch mode {
      case .nonLive: (false, XenDefaultPolicy(), nil)
      case .live(let policy): (true, policy, nil)
      case .checkpointed(let policy, let checkpoints): (true, policy, checkpoints)
      }
    checkpoints?.begin(info)
  }

  var callbacks: ManagerCallbacks {
    var table = ManagerCallbacks()
    table.suspend = { self.asked { try self.suspend() } }
    guard let checkpoints else { return table }
    table.postcopy = {
      self.count += 1
      return self.asked { try checkpoints.postcopy() } ? 1 : 0
    }
    table.checkpoint = {
      self.asked { try checkpoints.checkpoint(self.count) } ? 1 : 0
    }
    return table
  }

  private func suspend() throws -> Bool {
    if !wasSuspended { hasSuspended = true }
    try domain.suspend()
    guard try domain.info().isSuspended else {
      throw XensaveError(
        .notSuspended, "expected the domain to be shut down with reason suspend, got another one")
    }
    progress(Save.Progress(what: "Domain now suspended", done: 0, total: 0))
    return true
  }

  /// What a callback says: false for an error, which is kept, and where it says so itself.
  private func asked(_ body: () throws -> Bool) -> Bool {
    do {
      let answer = try body()
      if !answer { isEnded = true }
      return answer
    } catch {
      problem = problem ?? error
      return false
    }
  }

  /// Lets the domain run on if it was this save that suspended it; says what went wrong with that.
  func resume() -> [String] {
    guard hasSuspended else { return [] }
    do { if try domain.info().isSuspended { try domain.resume() } } catch {
      return ["resuming the domain failed: \(error)"]
    }
    return []
  }

  func result(_ sink: Sink, _ aftermath: [String]) -> SaveResult {
    SaveResult(
      trace: record.trace, byteCount: sink.fileByteCount,
      pageCount: record.trace.rounds.reduce(0) { $0 + $1.sentCount }, checkpointCount: count,
      hasSuspended: hasSuspended, aftermath: aftermath)
  }
}
