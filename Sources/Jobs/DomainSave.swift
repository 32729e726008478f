// Saving a domain for a script: where to, through what, and what is left when it fails.

internal import Format
package import ImageEdit
package import Live
internal import Reports
internal import SimDomain
internal import Stream
internal import SystemIO
internal import XenDomain

/// One save as a script asks for it.
package struct DomainSave {
  package enum Target {
    /// A file that appears when all is well.
    case file(String)
    /// A descriptor that is open: what was written stays there.
    case descriptor(Int32)
    /// A command of the shell, which has to end well.
    case command(String)
  }

  package var target: Target
  package var isLive = true
  package var isVerifying = false
  package var isUnchecked = false
  /// Whether the domain runs on here after a save that worked.
  package var isResuming = false
  package var policy: (any Policy)?
  package var checkpoints: (any Checkpoints)?
  package var filter: (any RewriteFilter)?
  /// Takes the trace, also of a save that fails.
  package var recorder: TraceRecorder?
  package var progress: (Save.Progress) -> Void = { _ in }
  private let suspension = Suspension()

  package init(target: Target) { self.target = target }

  /// What is known of a domain that stands still.
  private final class Suspension {
    /// Whether somebody would have resumed it if this program were killed, before END was written.
    var hadPendingUndo = false
  }

  package struct Outcome {
    package let result: SaveResult
    /// What the filter did.
    package let report: ChangeReport?
  }

  /// Saves. Whatever is thrown, the domain is as it was before, and no file has appeared: one that
  /// ran runs again, one that its caller had suspended stays suspended.
  package func run(_ domain: any ManagedDomain) throws -> Outcome {
    do { return try perform(domain) } catch {
      // Still suspended, and by the caller: whose duty it was to resume it has it again.
      if suspension.hadPendingUndo, (try? domain.info().isSuspended) == true {
        domain.takeBackSuspended()
      }
      recorder?.fail(XensaveError(error).word)
      throw error
    }
  }

  private func perform(_ domain: any ManagedDomain) throws -> Outcome {
    switch target {
    case .file(let path):
      try RemoteFiles.refuse(path, for: "a save of a domain", "convert it to there after that")
      var outcome: Outcome?
      do {
        let done = try OutputFile.write(path, .memory) { output in
          let done = try write(domain, output.sink, isRead: output.isStream && !isResuming)
          outcome = done
          // A stream of checkpoints has no end: on a device it continues with what was there before.
          let isEndless = output.isBlockDevice && checkpoints != nil
          if !isUnchecked, !isEndless { try OutputJob(destination: .file(path)).verify(output) }
          return done
        }
        return finished(domain, done)
      } catch {
        if let outcome { undo(domain, outcome.result) }
        throw error
      }
    case .descriptor(let fileDescriptor):
      let name = "descriptor \(fileDescriptor)"
      let sink: Sink
      sink = Sink(try Descriptor(taking: fileDescriptor, path: name, isOwned: false), path: name)
      return finished(domain, try write(domain, sink, isRead: !isResuming))
    case .command(let text):
      let command = try ReadingCommand(text)
      guard let sink = command.sink else { throw DomainSave.receiverFailed(1, text) }
      let outcome: Outcome
      do { outcome = try write(domain, sink, isRead: !isResuming) } catch {
        let code = command.wait()
        // A receiver that is gone is why the pipe broke.
        let reason = XensaveError(error)
        if let code, code != 0, reason.code == .brokenPipe, reason.stage != nil {
          throw DomainSave.receiverFailed(code, text)
        }
        throw error
      }
      guard let code = command.wait() else {
        // It has everything, and whether it took it nobody knows: the domain must not run twice.
        writeError(
          "xensave-lua: warning: stopped while the receiver had all of the domain: it stands still "
            + "here, and may run there\n")
        throw SystemError.interrupted(text)
      }
      guard code == 0 else {
        // It took everything and refused at the end: the domain lives here.
        undo(domain, outcome.result)
        throw DomainSave.receiverFailed(code, text)
      }
      return finished(domain, outcome)
    }
  }

  private static func receiverFailed(_ code: Int32, _ command: String) -> XensaveError {
    XensaveError(
      .receiver, "the receiver ended with exit code \(code): \(command)", childExitCode: code)
  }

  private func finished(_ domain: any ManagedDomain, _ outcome: Outcome) -> Outcome {
    if isResuming {
      resume(domain)
    } else if checkpoints == nil {
      _ = domain.keepSuspended()
    }
    return outcome
  }

  /// A save that came to its end has failed after all: lets the domain run on if it was this save that
  /// suspended it.
  private func undo(_ domain: any ManagedDomain, _ result: SaveResult) {
    if result.hasSuspended { resume(domain) }
  }

  private func resume(_ domain: any ManagedDomain) {
    do {
      if try domain.info().isSuspended { try domain.resume() }
    } catch {
      writeError("xensave-lua: warning: the domain could not be resumed: \(error)\n")
    }
  }

  /// `isRead`: somebody may run the domain once he has its END.
  private func write(
    _ domain: any ManagedDomain, _ output: Sink, isRead: Bool
  ) throws -> Outcome {
    // What Xen's library writes into a pipe, only who reads it can count.
    let isCounted = output.kind != .file && savedByLibrary(domain) != nil
    guard let passing = filter ?? (isCounted ? PassingFilter() : nil) else {
      return Outcome(result: try save(domain, output, policy, isRead: isRead), report: nil)
    }
    let lock = Lock()
    let filtered = try FilteredOutput(to: output, passing, lock)
    // A policy that runs in the script shares its state with the filter.
    let asked: (any Policy)? = policy.map { LockedPolicy($0, lock) }
    var result: SaveResult
    do {
      result = try save(domain, filtered.sink, asked, isRead: isRead, lock)
    } catch {
      throw filtered.failure() ?? error
    }
    do {
      let report = try filtered.finish()
      if isCounted { result.byteCount = output.position }
      return Outcome(result: result, report: filter == nil ? nil : report)
    } catch {
      undo(domain, result)
      throw error
    }
  }

  /// The domain, if Xen's library saves it: page tables of a PV guest are translated there, as the
  /// release that runs has them.
  private func savedByLibrary(_ domain: any ManagedDomain) -> XenDomain? {
    guard let xen = domain as? XenDomain, (try? xen.info().guest) == .x86PV else { return nil }
    return xen
  }

  private func save(
    _ domain: any ManagedDomain, _ sink: Sink, _ policy: (any Policy)?, isRead: Bool,
    _ lock: Lock? = nil
  ) throws -> SaveResult {
    let asked = policy ?? XenDefaultPolicy()
    let mode: Save.Mode =
      if let checkpoints { .checkpointed(asked, checkpoints) } else {
        isLive ? .live(asked) : .nonLive
      }
    // After END whoever reads the stream may run the domain: from here on only this program, and
    // nobody in its place, may resume it. A file is nobody's before it has its name.
    let progress: (Save.Progress) -> Void = { event in
      if isRead, event.what == "End of stream" {
        suspension.hadPendingUndo = domain.keepSuspended()
      }
      if let lock { lock.with { self.progress(event) } } else { self.progress(event) }
    }
    if let xen = savedByLibrary(domain) {
      let record = TracingPolicy.Record()
      defer { recorder?.trace = record.trace }
      return try xen.saveByLibrary(
        to: sink, mode, isVerifying: isVerifying, record, progress: progress)
    }
    // The time of a simulated domain passes by what is written.
    let clock: any SaveClock = (domain as? SimDomain)?.clock ?? MonotonicClock()
    let save = Save(
      domain, to: sink, mode: mode, isVerifying: isVerifying, clock: clock, progress: progress)
    defer { recorder?.trace = save.trace }
    return try save.run()
  }
}

/// A filter that changes nothing: what passes it is counted.
private final class PassingFilter: RewriteFilter {
  func begin() {}
  func header(_ header: inout Header) {}
  func record(_ record: EditableRecord) -> FilterResult { .keep }
  func finish() {}
}

/// A policy that is asked only while a lock is held.
private struct LockedPolicy: Policy {
  private var policy: any Policy
  private let lock: Lock

  init(_ policy: any Policy, _ lock: Lock) {
    self.policy = policy
    self.lock = lock
  }

  mutating func begin(_ info: DomainInfo, frameCount: Int) {
    lock.with { policy.begin(info, frameCount: frameCount) }
  }
  mutating func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    lock.with { policy.decide(stats) }
  }
  var measures: RoundMeasures { lock.with { policy.measures } }
  mutating func suspended(_ stats: PrecopyStats) { lock.with { policy.suspended(stats) } }
  mutating func postcopy() { lock.with { policy.postcopy() } }
  mutating func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
    lock.with { policy.checkpoint(stats, count: count) }
  }
  mutating func end(_ outcome: SaveOutcome) { lock.with { policy.end(outcome) } }
}
