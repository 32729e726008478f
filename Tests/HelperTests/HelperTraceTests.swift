// Traces that the helper leaves: of saves that end well and of those that do not.

import Format
import Glibc
import HelperProtocol
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

@testable import SaveHelper

@Suite struct HelperTraceTests {
  let traces: Folder
  let folder: Folder

  init() throws {
    traces = try Folder()
    folder = try Folder(["t.lua": "return { trace = '\(traces.path)/%n.trace' }"])
  }

  func trace(_ name: String = "web1.trace") throws -> Trace {
    let source = try Source(opening: "\(traces.path)/\(name)")
    return try Trace(
      parsing: String(decoding: try source.read(Int(source.byteCount ?? 0)), as: UTF8.self))
  }

  func run(_ saving: Saving, _ prepare: (HelperRun) -> Void = { _ in }) throws -> HelperRun {
    let run = try HelperRun(saving)
    run.folder = folder.path
    prepare(run)
    #expect(run.run() == 0)
    return run
  }

  @Test func migration() throws {
    let run = try run(.migrate)
    #expect(run.manager.result == 0 && run.manager.lines(.warn).isEmpty)
    let trace = try trace()
    #expect(trace.outcome == "complete" && trace.guest == .x86HVM)
    #expect(trace.frameCount == 2500 && trace.pageCount == 2300)
    #expect(trace.rounds.first?.dirtyCount == 2500 && trace.rounds.first?.sentCount == 2300)
    #expect(trace.rounds.last?.kind == .final)
    #expect(trace.suspends.count == 1 && trace.downtime > 0)
    #expect(Replay(trace, bytesPerSecond: 1_000_000_000) != nil)
    #expect(FileSystem.names(in: traces.path) == ["web1.trace"])
  }

  /// A plain `xl save` has no rounds, and does not take the place of a trace that has.
  @Test func standing() throws {
    let run = try run(.save)
    #expect(run.manager.result == 0)
    #expect(FileSystem.names(in: traces.path) == [])
  }

  @Test func remus() throws {
    _ = try run(.remus)
    #expect(try trace().rounds.contains { $0.kind == .checkpoint })
  }

  /// A trace goes to files only: no migration waits for who reads a FIFO.
  @Test func noFIFO() throws {
    #expect(mkfifo("\(traces.path)/web1.trace", 0o600) == 0)
    let run = try run(.migrate)
    #expect(run.manager.result == 0)
    #expect(run.manager.lines(.warn).contains { $0.contains("web1.trace: it is no file") })
    var status = stat()
    #expect(lstat("\(traces.path)/web1.trace", &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFIFO)
    unlink("\(traces.path)/web1.trace")
  }

  /// A save that fails says why, and has the rounds up to there.
  @Test func failed() throws {
    let run = try run(.migrate) { $0.domain.faults.arm(.hook(.suspend)) }
    #expect(run.manager.result == -1)
    let trace = try trace()
    #expect(trace.outcome == "suspend")
    #expect(!trace.rounds.isEmpty && trace.rounds.allSatisfy { $0.kind == .live })
    #expect(trace.end > trace.rounds.last?.end ?? .max - 1)
    run.expectUntouched("a save that fails")
  }

  @Test func givenUp() throws {
    let policy = try Folder([
      "a.lua": "return { policy = function(s) return s.iteration < 2 and 0 or -1 end }",
      "t.lua": "return { trace = '\(traces.path)/%n.trace' }",
    ])
    let run = try HelperRun(.migrate)
    run.folder = policy.path
    #expect(run.run() == 0)
    #expect(run.manager.result == -1)
    let trace = try trace()
    #expect(trace.outcome == "aborted")
    // The simulated time stands still here: nothing is dirty after the first round.
    #expect(trace.rounds.map(\.index) == [0])
  }

  /// The save itself went well, but a filter let nothing through.
  @Test func failedFilter() throws {
    let filter = try Folder([
      "f.lua": "return { filter = { HVM_CONTEXT = function() error 'no' end } }",
      "t.lua": "return { trace = '\(traces.path)/%n.trace' }",
    ])
    let run = try HelperRun(.migrate)
    run.folder = filter.path
    #expect(run.run() == 0)
    #expect(run.manager.result == -1)
    #expect(try trace().outcome == "unsuitable")
  }

  /// PV: Xen's own library saves, and its policy is told of the rounds.
  @Test func delegated() throws {
    let run = try HelperRun(.migrate)
    let host = DelegatingHost(run.domain)
    let status = run.manager.run {
      HelperSession(run.arguments, run.manager.channel, host, configurationFolder: folder.path)
        .run()
    }
    #expect(status == 0 && run.manager.result == 0)
    let trace = try trace()
    #expect(trace.guest == .x86PV && trace.outcome == "complete")
    #expect(trace.frameCount == 1000 && trace.pageCount == 900)
    #expect(trace.rounds.map(\.dirtyCount) == [1000, 30])
    #expect(trace.rounds.map(\.index) == [0, 1])
    #expect(zip(trace.rounds, trace.rounds.dropFirst()).allSatisfy { $0.end <= $1.begin })
    #expect(trace.suspends.count == 1)
    #expect(Replay(trace, bytesPerSecond: 1_000_000_000) != nil)
  }

  /// A trace that cannot be had is a line in the log, and stops nothing.
  @Test func noFolder() throws {
    chmod(traces.path, 0o777)
    var run = try run(.migrate)
    #expect(run.manager.result == 0)
    #expect(run.manager.lines(.warn).count == 1)
    #expect(run.manager.lines(.warn).first?.hasSuffix("no trace is recorded") == true)
    #expect(FileSystem.names(in: traces.path) == [])
    chmod(traces.path, 0o755)
    rmdir(traces.path)
    run = try self.run(.migrate)
    #expect(run.manager.result == 0 && run.manager.lines(.warn).count == 1)
    mkdir(traces.path, 0o700)
  }

  @Test(arguments: [
    ("web1", "web1"), ("../../etc/passwd", "_._.._etc_passwd"), ("", "_"), (".x", "_x"),
    ("a b/c\u{e9}\n", "a_b_c___"), ("db-1+x_y.z", "db-1+x_y.z"),
  ])
  func names(name: String, expected: String) throws {
    let facts = HelperFacts(id: 7, name: name, type: "pvh")
    let trace = try HelperTrace("/t/%n/%i-%t%%")
    #expect(trace.path(facts, at: 1_764_058_500) == "/t/\(expected)/7-20251125T081500Z%")
  }

  @Test(arguments: [
    ("'relative'", "from /"), ("'/a/'", "from /"), ("'/a/%x'", "got '%x'"), ("'/a/%'", "got '%'"),
    ("5", "trace: expected a string"),
  ])
  func badPaths(text: String, problem: String) throws {
    let error = #expect(throws: XensaveError.self) {
      try ConfigurationTests.load(["a.lua": "return { trace = \(text) }"])
    }
    #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
    #expect(try ConfigurationTests.load(["a.lua": "return { trace = '/a/b' }"]).trace != nil)
    #expect(
      try ConfigurationTests.load(["a.lua": "return { trace = '/a/b' }"], .restore).trace == nil)
  }
}

/// A host that does what xc_domain_save does with a policy: two rounds while the guest runs.
private final class DelegatingHost: HelperHost {
  private let base: SimHelperHost
  init(_ domain: SimDomain) { base = SimHelperHost(domain) }

  func facts(_ id: UInt32) throws -> HelperFacts { try base.facts(id) }
  func domain(_ arguments: HelperArguments) throws -> (any Domain)? { nil }

  func save(
    _ arguments: HelperArguments, to descriptor: Int32, policy: any Policy,
    _ callbacks: ManagerCallbacks
  ) throws {
    var policy = policy
    policy.begin(
      DomainInfo(
        id: 1, guest: .x86PV, pageCount: 900, onlineVCPUs: [0], xenMajor: 4, xenMinor: 17),
      frameCount: 1000)
    var recorder = PrecopyRecorder(frameCount: 1000)
    func decide(_ iteration: Int, _ written: Int, _ dirty: Int?) -> PrecopyDecision {
      recorder.decide(
        &policy, iteration: iteration, totalWritten: written, dirtyCount: dirty,
        now: { monotonicNanoseconds() })
    }
    #expect(decide(0, 0, 1000) == .continuePrecopy)
    SystemIO.sleep(nanoseconds: 1_000_000)
    #expect(decide(1, 1000, nil) == .continuePrecopy)
    // Few enough for the builtin policy to stop, and sent all the same.
    #expect(decide(1, 1000, 30) == .stopAndCopy)
    SystemIO.sleep(nanoseconds: 1_000_000)
    guard callbacks.suspend?() == true else { throw XensaveError(.suspend, 5, "no") }
    policy.suspended(recorder.stats)
    policy.end(.complete)
  }

  func restore(
    _ arguments: HelperArguments, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> (store: UInt64, console: UInt64) { (0, 0) }
}
