// Each hook at each of its calls, in each way of saving, of an HVM and of a PV guest: what a failure
// leaves of the domain, and what it leaves of the stream.

import Format
import ImageCheck
import Live
import SimDomain
import Stream
import SystemIO
import Testing

@Suite struct FaultMatrixTests {
  enum Kind: String, CaseIterable, CustomTestStringConvertible {
    case hvm, pv
    var testDescription: String { rawValue }

    func make() throws -> SimDomain {
      let workload = Workload.steady(writesPerSecond: 20_000)
      guard self == .pv else { return try SimDomain(.small(workload)) }
      var configuration = SimDomain.Configuration(frameCount: 1024)
      configuration.guest = .x86PV
      configuration.workload = workload
      let domain = try SimDomain(
        restoring: Source(opening: fixtures + "pv-4m-1v-tiny.xlsave"), configuration)
      domain.faults.disarm()
      return domain
    }
  }

  /// A save into a file, and what became of it.
  struct Attempt {
    let domain: SimDomain
    let scratch = Scratch()
    var result: SaveResult?
    var error: XensaveError?
    /// Whether the domain ran before.
    let vcpus: Set<Int>
    let wasRunning: Bool

    init(_ kind: Kind, _ way: Way, _ prepare: (SimDomain) -> Void = { _ in }) throws {
      domain = try kind.make()
      (vcpus, wasRunning) = (domain.runningVCPUs, domain.shutdown == nil)
      prepare(domain)
      let save = Save(
        domain, to: try scratch.sink(), mode: way.mode(domain), isVerifying: way == .live,
        clock: domain.clock)
      do { result = try save.run() } catch { self.error = XensaveError(error) }
    }

    /// Whether somebody would take what was written for a whole domain. A checkpointed stream is one
    /// up to its last CHECKPOINT.
    func isImage() throws -> Bool {
      guard try scratch.source().byteCount ?? 0 > 0 else { return false }
      do { return try Verifier(scratch.source()).run().isGood } catch { return false }
    }
  }

  /// All hooks that a save of this guest calls, and how often, before `run` ends; and how many of
  /// these calls stand after the last byte.
  @Test(arguments: Kind.allCases, Way.allCases)
  func eachHookAtEachCall(kind: Kind, way: Way) throws {
    let before = try kind.make().callCounts
    let good = try Attempt(kind, way)
    #expect(good.error == nil && good.wasRunning)
    #expect(try good.isImage())
    var tried: Set<Hook> = []
    for (hook, count) in good.domain.callCounts.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      let count = count - before[hook, default: 0]
      for call in 1..<count + 1 {
        tried.insert(hook)
        // Log-dirty that is found on is tried twice.
        let attempt = try Attempt(kind, way) {
          $0.faults.arm(.hook(hook), at: call, times: hook == .enableLogDirty ? 2 : 1, errno: 12)
        }
        let what = Comment(rawValue: "\(hook.rawValue), call \(call) of \(count)")
        let domain = attempt.domain
        #expect(domain.openLeaseCount == 0, what)
        if let result = attempt.result {
          // After the last byte: the image is good, and the result says what is not as it was.
          #expect(try attempt.isImage(), what)
          #expect(result.aftermath.contains { $0.contains("refused on request") }, what)
          #expect(
            [.disableLogDirty, .switchEmulatorLogDirty, .info, .resume].contains(hook), what)
          continue
        }
        guard let error = attempt.error, error.operation == hook.rawValue, error.errno == 12 else {
          Issue.record("\(what): \(attempt.error.map { "\($0)" } ?? "nothing")")
          continue
        }
        #expect(error.stage != nil && error.aftermath.isEmpty, what)
        // A checkpointed stream that has come to a CHECKPOINT can be restored from there: whoever
        // loses the source fails over to it. Before that, and for all others, it is no image.
        let isPastCheckpoint =
          if error.stage?.hasPrefix("checkpoint") == true { true } else {
            domain.callCounts[.suspend] ?? 0 > 1
          }
        if way != .checkpointed || !isPastCheckpoint {
          #expect(try !attempt.isImage(), what)
        }
        // `resume` that fails leaves a guest that stands: it is refused once, and asked again.
        domain.faults.disarm()
        #expect(!domain.isLogDirtyOn && !domain.isEmulatorLogDirtyOn, what)
        #expect(domain.shutdown == nil && domain.runningVCPUs == attempt.vcpus, what)
        let writes = domain.writeCount
        domain.clock.advance(by: 10_000_000)
        domain.catchUp()
        #expect(domain.writeCount > writes, what)
      }
    }
    // Nothing of the table is left out but what this way never calls.
    var expected: Set<Hook> = [
      .info, .frameCount, .frames, .pageTypes, .map, .checkUnchanged, .suspend, .state,
    ]
    if kind == .hvm { expected.insert(.switchEmulatorLogDirty) }
    if way != .nonLive { expected.formUnion([.enableLogDirty, .cleanLogDirty, .disableLogDirty]) }
    if way == .live { expected.insert(.peekLogDirty) }
    if way == .checkpointed { expected.insert(.resume) }
    #expect(tried == expected)
  }

  /// How a domain is found.
  enum Before: String, CaseIterable, CustomTestStringConvertible {
    case suspended, paused
    var testDescription: String { rawValue }

    func prepare(_ domain: SimDomain) {
      switch self {
      case .suspended: try? domain.suspend()
      case .paused: try? domain.pause()
      }
    }

    func holds(_ domain: SimDomain) -> Bool {
      domain.isPaused == (self == .paused)
        && domain.shutdown == (self == .suspended ? .suspend : nil)
    }
  }

  /// Only a save that has suspended a domain resumes it: one that was suspended or paused is so after
  /// a save, whether that works or fails, and wherever it fails.
  @Test(arguments: Kind.allCases, Before.allCases)
  func staysAsItWas(kind: Kind, before: Before) throws {
    for way in Way.allCases {
      var counts: [Hook: Int] = [:]
      let good = try Attempt(kind, way) {
        before.prepare($0)
        counts = $0.callCounts
      }
      // A guest that is paused answers nobody who asks it to stand still.
      #expect((good.error == nil) == (before == .suspended), "\(way)")
      #expect(good.result?.hasSuspended != true, "\(way)")
      #expect(before.holds(good.domain), "\(way)")
      for (hook, count) in good.domain.callCounts {
        for call in 1..<count - counts[hook, default: 0] + 1 {
          let attempt = try Attempt(kind, way) {
            before.prepare($0)
            $0.faults.arm(.hook(hook), at: call)
          }
          #expect(before.holds(attempt.domain), "\(way), \(hook.rawValue), call \(call)")
        }
      }
      for point in FaultPoint.ofSaves {
        if case .hook = point { continue }
        if point == .domainDies { continue }
        let attempt = try Attempt(kind, way) {
          before.prepare($0)
          $0.faults.arm(point)
        }
        #expect(before.holds(attempt.domain), "\(way), \(point)")
      }
    }
  }

  /// The hooks of cleaning up, while a save fails for another reason: the reason comes first, all
  /// that can be put back is, and the rest is told.
  @Test(arguments: Kind.allCases, [Way.live, .checkpointed])
  func cleaningFails(kind: Kind, way: Way) throws {
    let states = try kind.make().callCounts[.state, default: 0]
    let good = try Attempt(kind, way)
    let calls = good.domain.callCounts[.state, default: 0] - states
    let emulator: [Hook] = kind == .hvm ? [.switchEmulatorLogDirty] : []
    for hook in [.disableLogDirty, .resume] + emulator {
      let attempt = try Attempt(kind, way) {
        // The last record: the guest stands still.
        $0.faults.arm(.hook(.state), at: calls)
        // The last call of each is that of cleaning up.
        let first = way == .checkpointed && hook == .resume ? 3 : 1
        $0.faults.arm(.hook(hook), at: hook == .switchEmulatorLogDirty ? 2 : first)
      }
      let what = Comment(rawValue: "\(hook.rawValue)")
      #expect(attempt.error?.word == "state", what)
      #expect(attempt.error?.aftermath.count == 1, what)
      #expect(attempt.error?.aftermath.first?.contains(hook.rawValue) == true, what)
      let domain = attempt.domain
      #expect(domain.isLogDirtyOn == (hook == .disableLogDirty), what)
      #expect(domain.isEmulatorLogDirtyOn == (hook == .switchEmulatorLogDirty), what)
      #expect((domain.shutdown == .suspend) == (hook == .resume), what)
      #expect(domain.openLeaseCount == 0, what)
      if way == .live { #expect(try !attempt.isImage(), what) }
    }
  }

  /// The faults that no refusal of a hook shows: pages that go, types that cannot be, a guest that
  /// says it sleeps, bits that are too few, a p2m list that changes.
  @Test(
    arguments: Kind.allCases,
    [FaultPoint.pageVanishes, .unknownType, .silentSuspend, .shortBitmap, .domainChanges])
  func oddAnswers(kind: Kind, point: FaultPoint) throws {
    for way in Way.allCases where way != .nonLive || point != .shortBitmap {
      for call in 1...3 {
        let attempt = try Attempt(kind, way) { $0.faults.arm(point, at: call) }
        let what = Comment(rawValue: "\(point) \(call), \(way)")
        // A way may pass a point less often.
        guard attempt.error != nil else {
          #expect(call > 1, what)
          #expect(try attempt.isImage(), what)
          continue
        }
        let domain = attempt.domain
        #expect(!domain.isLogDirtyOn && !domain.isEmulatorLogDirtyOn, what)
        #expect(domain.openLeaseCount == 0 && domain.shutdown == nil, what)
        #expect(domain.runningVCPUs == attempt.vcpus, what)
        if way != .checkpointed { #expect(try !attempt.isImage(), what) }
      }
    }
  }
}
