// Every fuzz target over its seeds, over some changes of them, and over what fuzzing has found.

import Glibc
import SystemIO
import Synchronization
import TestKit
import Testing

/// One target at a time: they share their files in memory.
@Suite(.serialized) struct FuzzTests {
  static let names = FuzzTarget.all.map(\.name)
  static let fixtures: String = {
    let here = #filePath
    let tests = here.firstRange(of: "/Tests/Fuzz/").map { here[..<$0.lowerBound] + "/Tests" } ?? ""
    return tests + "/Fixtures/fuzz"
  }()

  @Test(arguments: names) func seedsAreFine(_ name: String) throws {
    let target = try #require(FuzzTarget.named(name))
    let seeds = target.seeds()
    #expect(!seeds.isEmpty)
    try run(target, seeds)
    for seed in seeds { #expect(seed.count <= target.byteLimit, "\(name): a seed is too long") }
  }

  /// The same changes in every run: faults that need more luck are the fuzzer's.
  @Test(arguments: names) func changedSeedsAreFine(_ name: String) throws {
    let target = try #require(FuzzTarget.named(name))
    var random = Seed(0xF022)
    var inputs: [[UInt8]] = []
    for seed in target.seeds().prefix(8) where !seed.isEmpty {
      for _ in 0..<8 {
        var input = seed
        for _ in 0...random.below(3) {
          input[random.below(input.count)] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)]
        }
        if random.below(4) == 0 { input.removeLast(random.below(input.count)) }
        if input.isEmpty { continue }
        inputs.append(input)
      }
    }
    try run(target, inputs)
  }

  /// What was found once is mended for good.
  @Test(arguments: names) func foundInputsAreFine(_ name: String) throws {
    let target = try #require(FuzzTarget.named(name))
    let folder = "\(FuzzTests.fixtures)/\(name)"
    let inputs = try FuzzDirectory.names(folder).map { file in
      let source = try Source(opening: "\(folder)/\(file)")
      return try source.read(Int(clamping: source.byteCount ?? 0))
    }
    for input in inputs { #expect(input.count <= 16384, "fixtures are to be small") }
    try run(target, inputs)
  }

  /// Fixtures of a target that is gone test nothing.
  @Test func fixturesBelongToTargets() {
    for name in FuzzDirectory.names(FuzzTests.fixtures) {
      #expect(FuzzTarget.named(name) != nil, "Tests/Fixtures/fuzz/\(name): no such target")
    }
  }

  /// Runs a target, some inputs at a time: a thread that stands still is ended after a minute.
  private func run(_ target: FuzzTarget, _ inputs: [[UInt8]]) throws {
    for start in stride(from: 0, to: inputs.count, by: 8) {
      runOnThread(target, Array(inputs[start..<min(start + 8, inputs.count)]), first: start)
    }
  }

  /// Runs a target on a thread that has a working directory of its own.
  private func runOnThread(_ target: FuzzTarget, _ inputs: [[UInt8]], first: Int) {
    let found = Mutex<[String]>([])
    let thread = TestThread {
      typealias Unshare = @convention(c) (Int32) -> Int32
      let cloneFS: Int32 = 0x200
      guard let symbol = dlsym(nil, "unshare"),
        unsafeBitCast(symbol, to: Unshare.self)(cloneFS) == 0
      else { return found.withLock { $0.append("unshare: \(errno)") } }
      for (number, input) in inputs.enumerated() {
        do { try FuzzTarget.named(target.name)?.run(input) } catch {
          found.withLock { $0.append("input \(first + number) of \(input.count) bytes: \(error)") }
        }
      }
    }
    thread.join()
    let problems = found.withLock { $0 }
    #expect(problems.isEmpty, "\(target.name): \(problems.joined(separator: "\n"))")
  }
}
