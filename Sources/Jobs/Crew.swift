// The same work for many things on several threads.

internal import SystemIO

/// Runs jobs side by side.
package enum Crew {
  /// Calls `work` with each of 0..<count, on `jobs` threads and in any order, and waits for all; `beat` is
  /// called ten times a second meanwhile.
  ///
  /// - Throws: the first error of `work` or a request to stop: then no further call begins.
  package static func run(
    _ count: Int, jobs: Int, beat: () -> Void = { Progress.beat() },
    _ work: @escaping @Sendable (Int) throws -> Void
  ) throws {
    let board = Board(count)
    let threads = try (0..<max(1, min(jobs, count))).map { _ in try WorkerThread() }
    for thread in threads {
      thread.start {
        while let index = board.next() {
          do { try work(index) } catch { board.fail(error) }
        }
      }
    }
    for thread in threads {
      while !thread.wait(nanoseconds: 100_000_000) { beat() }
      thread.wait()
    }
    try Interrupt.check("work on several threads")
    if let problem = board.problem { throw problem }
  }

  /// What the threads share. Safe to send: all of it is used under the lock.
  private final class Board: @unchecked Sendable {
    private let lock = Lock()
    private let count: Int
    private var place = 0
    private var first: (any Error)?

    init(_ count: Int) { self.count = count }

    func next() -> Int? {
      lock.with {
        guard place < count, first == nil, !Interrupt.isRequested else { return nil }
        defer { place += 1 }
        return place
      }
    }

    func fail(_ error: any Error) { lock.with { first = first ?? error } }

    var problem: (any Error)? { lock.with { first } }
  }
}
