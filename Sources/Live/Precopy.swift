// The rounds of precopy: the one loop that saves and replays share.

internal import Bytes

/// Runs rounds until the policy is content. Xen: xg_sr_save.c, send_memory_live.
struct Precopy {
  private var recorder: PrecopyRecorder
  private let frameCount: Int
  private let tally: RoundTally?

  /// `tally`: what `send` and `clean` do of what the policy wants, and count. Nil where they do nothing of
  /// it.
  init(frameCount: Int, tally: RoundTally? = nil) {
    recorder = PrecopyRecorder(frameCount: frameCount)
    self.frameCount = frameCount
    self.tally = tally
  }

  /// What the policy was asked with last.
  var stats: PrecopyStats { recorder.stats }

  /// Sends rounds: all pages first, then what was dirtied meanwhile. `send` sends `round`,
  /// of this many dirty pages (nil: nobody has counted them) and returns how many there were; `clean`
  /// returns how many pages were dirtied since the last round began.
  ///
  /// The policy is asked twice a round. Told to stop before a round, that round is still sent: it
  /// is cheaper now than while the guest stands still.
  mutating func run(
    _ policy: inout any Policy, now: () -> UInt64,
    send: (_ round: Int, _ dirtyCount: Int?) throws -> Int,
    clean: () throws -> Int?
  ) throws -> PrecopyDecision {
    var (iteration, written) = (0, 0)
    var dirty: Int? = frameCount
    func note() { if let tally { recorder.note(tally) } }
    while true {
      note()
      var verdict = recorder.decide(
        &policy, iteration: iteration, totalWritten: written, dirtyCount: dirty, now: now)
      if case .abort = verdict { return verdict }
      tally?.measures = policy.measures
      let sent = dirty == 0 ? 0 : try send(iteration, dirty)
      if verdict != .continuePrecopy { return verdict }
      iteration += 1
      written = written.addingSaturated(sent)
      note()
      verdict = recorder.decide(
        &policy, iteration: iteration, totalWritten: written, dirtyCount: nil, now: now)
      if verdict != .continuePrecopy { return verdict }
      dirty = try clean()
    }
  }
}
