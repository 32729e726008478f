// Policies and progress, from what xenguest reports.

import Live
import Testing

@testable import EmuManager

/// A clock that tests set.
private final class SetClock: SaveClock {
  var now: UInt64 = 0
  func didWrite(_ byteCount: Int) {}
}

/// What a policy was asked and told.
private final class Notes {
  var asked: [PrecopyStats] = []
  var frameCounts: [Int] = []
  var suspendedAt: [Int] = []
  var outcomes: [SaveOutcome] = []
}

private struct NotingPolicy: Policy {
  let notes: Notes
  let answer: (PrecopyStats) -> PrecopyDecision
  func begin(_ info: DomainInfo, frameCount: Int) { notes.frameCounts.append(frameCount) }
  func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    notes.asked.append(stats)
    return answer(stats)
  }
  func suspended(_ stats: PrecopyStats) { notes.suspendedAt.append(stats.iteration) }
  func end(_ outcome: SaveOutcome) { notes.outcomes.append(outcome) }
}

@Suite struct RoundsTests {
  private static func round(_ iteration: Int, _ sent: Int, _ remaining: Int) -> EMPEvent.Round {
    EMPEvent.Round(iteration: iteration, sent: sent, remaining: remaining)
  }

  private static func rounds(_ policy: any Policy, _ clock: SetClock = SetClock()) -> ManagerRounds
  {
    ManagerRounds(policy, domain: 7, isPV: false, clock: clock)
  }

  /// XenServer's rule: not before round 1, then below 50 pages, and from round 4 on always.
  @Test(arguments: [
    (0, 40, false), (1, 9000, false), (1, 50, false), (1, 49, true), (1, 0, true), (3, 1000, false),
    (4, 1_000_000, true), (7, 50, true),
  ])
  func standardRule(iteration: Int, remaining: Int, stops: Bool) {
    let rounds = Self.rounds(ManagerDefaultPolicy())
    rounds.take(Self.round(iteration, 262144, remaining))
    #expect((rounds.verdict == .stopAndCopy) == stops)
  }

  /// Reports inside a round, which stop XCP-ng's manager, stop nobody here.
  @Test func insideARound() {
    var event = EMPEvent()
    (event.iteration, event.remaining, event.sent) = (1, -1, 262144)
    #expect(event.round == nil)
  }

  /// The policy gets the statistics that Xen's own loop would give it.
  @Test func statistics() {
    let (notes, clock) = (Notes(), SetClock())
    let rounds = Self.rounds(NotingPolicy(notes: notes) { _ in .continuePrecopy }, clock)
    rounds.take(Self.round(0, 0, 262144))
    clock.now = 2_000_000_000
    rounds.take(Self.round(1, 262144, 9000))
    clock.now = 3_000_000_000
    rounds.take(Self.round(2, 271144, 3000))
    #expect(notes.frameCounts == [262144])
    #expect(notes.asked.map(\.iteration) == [0, 1, 1, 2, 2])
    #expect(notes.asked.map(\.isBeforeRound) == [true, false, true, false, true])
    #expect(notes.asked.map(\.dirtyCount) == [262144, nil, 9000, nil, 3000])
    #expect(notes.asked.map(\.totalWritten) == [0, 262144, 262144, 271144, 271144])
    #expect(notes.asked[2].bandwidth == 131072 && notes.asked[2].dirtyRate == 4500)
    #expect(notes.asked[4].bandwidth == 9000 && notes.asked[4].roundTime == 1_000_000_000)
    #expect(notes.asked[4].elapsed == 3_000_000_000 && notes.asked[4].frameCount == 262144)
    rounds.suspended()
    rounds.end(.complete)
    #expect(notes.suspendedAt == [2] && notes.outcomes == [.complete])
  }

  /// After its answer a policy is asked no more, and no round twice.
  @Test func oneAnswer() {
    let notes = Notes()
    let rounds = Self.rounds(
      NotingPolicy(notes: notes) {
        $0.iteration == 1 && $0.isBeforeRound ? .abort("no") : .continuePrecopy
      })
    for iteration in [0, 0, 1, 2] { rounds.take(Self.round(iteration, iteration * 100, 500)) }
    #expect(rounds.verdict == .abort("no"))
    #expect(notes.asked.map(\.iteration) == [0, 1, 1])
  }

  /// An empty round is not sent: xenguest waits for the guest, whatever the policy wants.
  @Test func nothingDirty() {
    let rounds = Self.rounds(ClosurePolicy { _ in .continuePrecopy })
    rounds.take(Self.round(0, 0, 1000))
    #expect(rounds.verdict == .continuePrecopy)
    rounds.take(Self.round(1, 1000, 0))
    #expect(rounds.verdict == .stopAndCopy)
  }

  /// A domain whose size is not known yet, and numbers that make no sense.
  @Test func oddReports() {
    let notes = Notes()
    let rounds = Self.rounds(NotingPolicy(notes: notes) { _ in .continuePrecopy })
    rounds.take(Self.round(0, 0, 0))
    #expect(notes.asked.isEmpty && notes.frameCounts.isEmpty)
    rounds.end(.failed(""))
    #expect(notes.outcomes.isEmpty)
    rounds.take(Self.round(3, .max, .max))
    rounds.take(Self.round(4, 0, .max))
    #expect(notes.frameCounts == [0] && notes.asked.count == 4)
    rounds.end(.failed(""))
    #expect(notes.outcomes == [.failed("")])
  }

  private func event(_ sent: Int64, _ remaining: Int64, _ iteration: Int64) -> EMPEvent {
    var event = EMPEvent()
    (event.sent, event.remaining, event.iteration) = (sent, remaining, iteration)
    return event
  }

  /// The percentages of a recorded conversation (xcpng-1.2.1-live-save-mid-events).
  @Test func percentages() {
    var progress = ManagerProgress()
    var lines: [ControlLine?] = [progress.line()]
    for (sent, remaining, iteration) in [
      (0, 262144, 0), (253144, -1, 0), (253244, -1, 0), (262144, 9000, 1), (262144, -1, 1),
      (262244, -1, 1), (265144, 3000, 2),
    ] as [(Int64, Int64, Int64)] {
      progress.take(event(sent, remaining, iteration))
      lines.append(progress.line())
    }
    #expect(
      lines == [.progress(0), nil, .progress(77), nil, .progress(96), nil, nil, .progress(98)])
  }

  @Test func oddProgress() {
    var progress = ManagerProgress()
    for value in [Int64.max, .min, -1, 0] {
      progress.take(event(value, Int64.max, 1))
      #expect((0...100).contains(progress.percent))
      progress.take(event(Int64.max, value, 1))
      #expect((0...100).contains(progress.percent))
    }
    progress.complete()
    #expect(progress.line() == .progress(100) && progress.line() == nil)
  }
}
