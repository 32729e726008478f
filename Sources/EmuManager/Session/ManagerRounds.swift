// When a live save stops: what xenguest reports, and a policy.

internal import Format
internal import Live

/// XAPI's own rule, as XenServer's emu-manager has it. XCP-ng's takes the mark of a report inside a
/// round, -1, for few dirty pages, and stops in round 1. xenserver/emu-manager: emum.c, emp_event_cb.
struct ManagerDefaultPolicy: Policy {
  static let dirtyLimit = 50
  static let roundLimit = 4

  func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    guard stats.isBeforeRound, stats.iteration > 0 else { return .continuePrecopy }
    if let dirty = stats.dirtyCount, dirty < ManagerDefaultPolicy.dirtyLimit { return .stopAndCopy }
    return stats.iteration >= ManagerDefaultPolicy.roundLimit ? .stopAndCopy : .continuePrecopy
  }
}

/// Asks a policy about the rounds that xenguest sends.
///
/// xenguest reports what libxc's callback is told before each round, and goes through the rounds by
/// itself: a policy that wants to stop has the round that it was asked about sent as well, as with Xen's
/// own loop.
final class ManagerRounds {
  private var policy: any Policy
  private let info: DomainInfo
  private let clock: any SaveClock
  private var recorder: PrecopyRecorder?
  private var lastIteration = -1
  /// What the policy has decided; `continuePrecopy` until it has.
  private(set) var verdict = PrecopyDecision.continuePrecopy

  init(_ policy: any Policy, domain: UInt32, isPV: Bool, clock: any SaveClock) {
    self.policy = policy
    self.clock = clock
    info = DomainInfo(
      id: domain, guest: isPV ? .x86PV : .x86HVM, pageCount: 0, onlineVCPUs: [], xenMajor: 0,
      xenMinor: 0)
  }

  /// Takes a report, and asks the policy where a round begins that it has not been asked about.
  func take(_ round: EMPEvent.Round) {
    // Before the first round nothing is dirty where xenguest does not know how much there is.
    guard verdict == .continuePrecopy, round.iteration > lastIteration,
      round.iteration > 0 || round.remaining > 0
    else { return }
    lastIteration = round.iteration
    if recorder == nil {
      // Before the first round all pages are dirty: that is how many there may be.
      let frameCount = round.sent == 0 ? round.remaining : 0
      policy.begin(info, frameCount: frameCount)
      recorder = PrecopyRecorder(frameCount: frameCount)
    }
    // libxc asks after a round as well, and xenguest keeps that to itself.
    if round.iteration > 0 { decide(round, dirtyCount: nil) }
    if verdict == .continuePrecopy { decide(round, dirtyCount: round.remaining) }
    // libxc sends no empty round: whatever the policy wants, xenguest now waits for the guest.
    if round.iteration > 0, round.remaining == 0, verdict == .continuePrecopy {
      verdict = .stopAndCopy
    }
  }

  private func decide(_ round: EMPEvent.Round, dirtyCount: Int?) {
    guard var current = recorder else { return }
    verdict = current.decide(
      &policy, iteration: round.iteration, totalWritten: round.sent, dirtyCount: dirtyCount,
      now: { clock.now })
    recorder = current
  }

  /// The guest stands still.
  func suspended() {
    if let stats = recorder?.stats { policy.suspended(stats) }
  }

  func end(_ outcome: SaveOutcome) {
    if recorder != nil { policy.end(outcome) }
  }
}

/// How far a save is, as people see it.
struct ManagerProgress {
  private var sent: Int64 = 0
  private var remaining: Int64 = 0
  /// Pages that were sent by the last report, which may have come inside a round.
  private var sentNow: Int64 = 0
  private var isComplete = false
  /// What was reported last.
  private var reported: Int?

  mutating func take(_ event: EMPEvent) {
    let (iteration, left) = (event.iteration ?? -1, event.remaining ?? -1)
    guard iteration >= 0 || left >= 0 else { return }
    let now = max(0, event.sent ?? 0)
    if left >= 0, iteration != 0 || left != 0 { (sent, remaining) = (now, left) }
    sentNow = now
  }

  /// A save without rounds has come to its end.
  mutating func complete() { isComplete = true }

  /// 0 to 100. Of what was sent in a round that is under way only four fifths count: some of it will have
  /// to be sent again. xenserver/emu-manager: emum.c, calculate_done.
  var percent: Int {
    if isComplete { return 100 }
    let total = Double(sent) + Double(remaining)
    guard total > 0 else { return 0 }
    let done = Double(sent) + max(0, Double(sentNow) - Double(sent)) * 0.8
    // The quotient of two integers below 2^53 has its floor right.
    return Int(min(100, (done * 100 / total).rounded(.down)))
  }

  /// The line that is due; nil where there is nothing new.
  mutating func line() -> ControlLine? {
    let percent = percent
    guard percent != reported else { return nil }
    reported = percent
    return .progress(percent)
  }
}
