// Every policy in both loops that ask one: the native rounds, and those of Xen's library.

import Format
import LuaRuntime
import SystemIO
import Testing

@testable import Live
@testable import LuaAPI
@testable import PolicyEngine
@testable import XenDomain

/// A guest of 600 pages that dirties what a list says, over a link of one speed, in simulated time.
final class RoundsGuest: SaveClock {
  static let frameCount = 600
  /// Dirty pages after each round, and whether the policy is told of them; the list goes round.
  let dirty: [(count: Int, isKnown: Bool)]
  let nanosecondsPerPage: UInt64
  private(set) var now: UInt64 = 1_000_000_000
  private(set) var roundCount = 0
  private(set) var pageCount = 0
  private var cleans = 0

  init(_ dirty: [(count: Int, isKnown: Bool)], nanosecondsPerPage: UInt64) {
    self.dirty = dirty
    self.nanosecondsPerPage = nanosecondsPerPage
  }

  static func of(_ data: UnsafeMutableRawPointer?) -> RoundsGuest {
    guard let data else { preconditionFailure("no guest") }
    return Unmanaged<RoundsGuest>.fromOpaque(data).takeUnretainedValue()
  }

  func didWrite(_ byteCount: Int) {}

  func send(_ pages: Int) {
    roundCount += 1
    pageCount += pages
    now += UInt64(pages) * nanosecondsPerPage
  }

  func clean() -> (pages: Int, known: Int?) {
    // To fetch the bits takes time too.
    now += nanosecondsPerPage
    let (count, isKnown) = dirty[cleans % dirty.count]
    cleans += 1
    return (count, isKnown ? count : nil)
  }
}

/// Notes all that a policy is told and says.
private final class Noting: Policy {
  private var base: any Policy
  var lines: [String] = []
  var stats: [PrecopyStats] = []
  var outcome: SaveOutcome?

  init(_ base: any Policy) { self.base = base }

  func begin(_ info: DomainInfo, frameCount: Int) {
    lines.append("begin \(frameCount)")
    base.begin(info, frameCount: frameCount)
  }
  func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    let verdict = base.decide(stats)
    lines.append("\(verdict)")
    self.stats.append(stats)
    return verdict
  }
  func suspended(_ stats: PrecopyStats) {
    lines.append("suspended")
    self.stats.append(stats)
    base.suspended(stats)
  }
  func end(_ outcome: SaveOutcome) {
    lines.append("\(outcome)")
    self.outcome = outcome
    base.end(outcome)
  }
}

@Suite(.serialized, .enabled(if: FakeXen.hasCompiler, "needs a C compiler called cc"))
struct PolicyContractTests {
  static let roundLimit = 200

  /// A list of counts that the policy knows of.
  static func known(_ counts: [Int]) -> [(count: Int, isKnown: Bool)] { counts.map { ($0, true) } }

  static let guests: [(name: String, dirty: [(count: Int, isKnown: Bool)])] = [
    ("never falls", known([600])),
    ("stays at a half", known([300])),
    ("falls", known((1...12).map { 600 >> $0 } + [0])),
    ("falls by one", known((1...200).map { 600 - $0 })),
    ("oscillates", known([500, 100])),
    ("oscillates and falls", known((1...200).map { $0 % 2 == 0 ? 500 - $0 : 300 - $0 })),
    ("is unknown", [(600, false)]),
    ("is unknown now and then", [(400, true), (400, false), (399, false)]),
    ("is idle", known([0])),
  ]
  /// Nanoseconds a page: rounds of all pages in half a second, in 6 ms, in 100 s, in no time.
  static let speeds: [UInt64] = [833_333, 10_000, 166_666_666, 0]
  /// Releases that tell the statistics in another form need no more than one speed.
  static func speeds(_ minor: Int) -> [UInt64] { minor == 14 ? [speeds[0]] : speeds }

  /// All policies by name, made anew: those that are shipped and Xen's own.
  static func policies() throws -> [(
    name: String, options: LuaValue, make: () throws -> any Policy
  )] {
    var out: [(name: String, options: LuaValue, make: () throws -> any Policy)] = [
      (
        "Xen's own", .table([("max_rounds", .integer(Int64(XenDefaultPolicy.roundLimit)))]),
        { XenDefaultPolicy() }
      ),
      ("DowntimePolicy", .table([("max_rounds", .integer(12))]), { DowntimePolicy(budget: 1000) }),
    ]
    for source in PolicyLibrary.shipped {
      // A starved machine must not make another policy of it: a call may take as long as it likes.
      let make: () throws -> LuaPolicy = {
        try PolicyRecipe(source: source).make(
          deadline: 600_000_000_000, wallTime: { 43_200 + Double($0) / 1e9 },
          log: {
            // What a policy itself has to say begins with its name.
            if $1.hasPrefix("policy ") { Issue.record("\(source.name): \($0) \($1)") }
          })
      }
      out.append((source.name, try make().runner.options, make))
    }
    return out
  }

  /// What the options promise, by their names: `*rounds`, `total_s`, `max_ratio`.
  private func limits(_ options: LuaValue) -> (rounds: Int, seconds: Double, ratio: Double) {
    var (rounds, seconds, ratio) = (0, Double.infinity, Double.infinity)
    guard case .table(let fields) = options else { return (Self.roundLimit, seconds, ratio) }
    for (name, value) in fields {
      let number: Double? =
        switch value {
        case .integer(let number): Double(number)
        case .number(let number): number
        default: nil
        }
      guard let number else { continue }
      if name.hasSuffix("rounds") { rounds = max(rounds, Int(number)) }
      if name == "total_s" { seconds = number }
      if name == "max_ratio" { ratio = number }
    }
    return (rounds == 0 ? Self.roundLimit : rounds, seconds, ratio)
  }

  /// A save by the rounds of Precopy, as Save and Replay run them.
  private func native(_ policy: Noting, _ guest: RoundsGuest, _ info: DomainInfo) -> PrecopyDecision
  {
    struct Stop: Error {}
    var asked: any Policy = policy
    asked.begin(info, frameCount: RoundsGuest.frameCount)
    var precopy = Precopy(frameCount: RoundsGuest.frameCount)
    // Its last word where it would never end.
    var verdict = PrecopyDecision.continuePrecopy
    var pages = RoundsGuest.frameCount
    do {
      verdict = try precopy.run(&asked, now: { guest.now }) { _, dirty in
        guard guest.roundCount < Self.roundLimit else { throw XensaveError(.unsuitable, "no end") }
        if let dirty { #expect(dirty == pages) }
        guest.send(pages)
        return pages
      } clean: {
        let (count, known) = guest.clean()
        pages = count
        return known
      }
    } catch {}
    switch verdict {
    case .abort(let reason): asked.end(.aborted(reason))
    case .continuePrecopy: asked.end(.failed("no end"))
    case .stopAndCopy:
      var stats = precopy.stats
      // The guest stands still at once.
      stats.stop.suspend = 0
      asked.suspended(stats)
      asked.end(.complete)
    }
    return verdict
  }

  /// The same guest, the same policy: the same questions with the same statistics, the same answers,
  /// and an end within what the policy promises.
  @Test(arguments: [14, 20]) func bothLoops(minor: Int) throws {
    let xen = try FakeXen(minor: minor)
    let domain = try xen.host().domain(5)
    let info = try domain.info()
    for (name, options, make) in try Self.policies() {
      let limits = limits(options)
      for (guestName, dirty) in Self.guests {
        for speed in Self.speeds(minor) {
          let what = Comment(rawValue: "\(name), a guest that \(guestName), \(speed) ns a page")
          let guest = RoundsGuest(dirty, nanosecondsPerPage: speed)
          let other = RoundsGuest(dirty, nanosecondsPerPage: speed)
          let here = Noting(try make())
          let verdict = native(here, guest, info)
          let there = Noting(try make())
          xen.setGuest(other, limit: Self.roundLimit)
          var save = DelegatedSave(isLive: true)
          save.clock = other
          var callbacks = ManagerCallbacks()
          callbacks.suspend = { true }
          do {
            try save.run(domain, to: -1, policy: there, callbacks)
            #expect(verdict == .stopAndCopy, what)
          } catch {
            #expect(XensaveError(error).word == "aborted", what)
            guard case .abort = verdict else {
              Issue.record("\(what): \(error)")
              continue
            }
          }
          #expect(here.lines == there.lines, what)
          #expect(here.stats == there.stats, what)
          #expect(guest.roundCount == other.roundCount && guest.pageCount == other.pageCount, what)
          #expect(guest.now == other.now, what)
          #expect(there.stats.count > 0, what)
          // The rounds that it asked for, and the one that is still sent when it says stop.
          #expect(guest.roundCount < Self.roundLimit, what)
          #expect(there.stats.allSatisfy { $0.iteration <= limits.rounds }, what)
          let asked = there.stats.last { $0.isBeforeRound }
          // A round that began in time may end after it.
          let rounds = there.stats.dropLast(2).filter(\.isBeforeRound)
          #expect(
            rounds.allSatisfy { $0.iteration == 0 || Double($0.elapsed) / 1e9 < limits.seconds },
            what)
          #expect(
            Double(asked?.totalWritten ?? 0) <= (limits.ratio + 1) * Double(RoundsGuest.frameCount),
            what)
        }
      }
    }
  }

  /// What a policy wants beside decisions changes nothing in the library's rounds, and is said to be of no
  /// use there, once.
  @Test func theLibraryTakesDecisionsOnly() throws {
    final class Wanting: Policy {
      var measures = RoundMeasures()
      func decide(_ stats: PrecopyStats) -> PrecopyDecision {
        (measures.throttle, measures.skipsDirtyPages) = (50, true)
        #expect(stats.throttle == 0 && stats.skippedCount == 0 && stats.hotCounts.isEmpty)
        return stats.iteration >= 3 ? .stopAndCopy : .continuePrecopy
      }
    }
    let xen = try FakeXen(minor: 17)
    let guest = RoundsGuest(Self.known([300]), nanosecondsPerPage: 1000)
    xen.setGuest(guest, limit: Self.roundLimit)
    var save = DelegatedSave(isLive: true)
    save.clock = guest
    var warnings: [String] = []
    save.onWarning = { warnings.append($0) }
    var callbacks = ManagerCallbacks()
    callbacks.suspend = { true }
    try save.run(try xen.host().domain(5), to: -1, policy: Wanting(), callbacks)
    #expect(
      warnings.count == 1 && warnings.first?.contains("continue, stop and abort only") == true)
    #expect(guest.roundCount == 3)
  }

  /// The policies that are shipped today, at least.
  @Test func shippedPoliciesAreFound() {
    let names = Set(PolicyLibrary.shipped.map(\.name))
    #expect(
      names.isSuperset(of: [
        "builtin", "downtime-budget", "total-time", "bandwidth-aware", "give-up", "night-batch",
        "converge", "frugal", "invisible", "ramp", "remus-fast",
      ]))
  }

  /// A policy may give up at any of its calls: nothing is sent after that, and nobody is suspended.
  @Test(arguments: [14, 20], 1...6) func abortsAtEachCall(minor: Int, call: Int) throws {
    let xen = try FakeXen(minor: minor)
    let domain = try xen.host().domain(5)
    let guests = (0..<2).map { _ in
      RoundsGuest(Self.known([300]), nanosecondsPerPage: 1000)
    }
    func policy() -> Noting {
      var count = 0
      return Noting(
        ClosurePolicy { _ in
          count += 1
          return count == call ? .abort("enough") : .continuePrecopy
        })
    }
    let (here, there) = (policy(), policy())
    #expect(native(here, guests[0], try domain.info()) == .abort("enough"))
    xen.setGuest(guests[1], limit: Self.roundLimit)
    var save = DelegatedSave(isLive: true)
    save.clock = guests[1]
    var callbacks = ManagerCallbacks()
    callbacks.suspend = {
      Issue.record("it was suspended")
      return true
    }
    let error = #expect(throws: XensaveError.self) {
      try save.run(domain, to: -1, policy: there, callbacks)
    }
    #expect(error?.word == "aborted" && error?.message == "the policy gave up: enough")
    #expect(here.lines == there.lines && here.stats == there.stats)
    #expect(guests.map(\.roundCount) == [call / 2, call / 2])
  }

  /// What a policy hears after its rounds: once that the guest stands still, then of each checkpoint.
  @Test func checkpoints() throws {
    final class Events: Policy {
      var lines: [String] = []
      let last: Int
      init(last: Int) { self.last = last }
      func decide(_ stats: PrecopyStats) -> PrecopyDecision { .stopAndCopy }
      func suspended(_ stats: PrecopyStats) { lines.append("suspended \(stats.iteration)") }
      func postcopy() { lines.append("postcopy") }
      func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
        lines.append("checkpoint \(count) \(stats.frameCount)")
        return count < last
      }
      func end(_ outcome: SaveOutcome) { lines.append("\(outcome)") }
    }
    let xen = try FakeXen(minor: 17)
    let domain = try xen.host().domain(5)
    let policy = Events(last: 1)
    var callbacks = ManagerCallbacks()
    (callbacks.suspend, callbacks.postcopy) = ({ true }, { 1 })
    var asked = 0
    callbacks.checkpoint = {
      asked += 1
      return 1
    }
    var save = DelegatedSave(isLive: true)
    save.streamType = .remus
    let pipe = try Pipe()
    try save.run(domain, to: pipe.writing.fileDescriptor, policy: policy, callbacks)
    #expect(
      policy.lines == ["suspended 1", "postcopy", "checkpoint 1 600", "complete"])
    #expect(asked == 0, "a policy that has enough is not overruled")
  }
}
