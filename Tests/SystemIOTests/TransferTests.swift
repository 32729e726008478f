// Bytes that move from any source to any sink by every strategy, with every call of the kernel's
// refused, interrupted and cut short in turn.

import CSystemCalls
import Glibc
import TestKit
import Testing

@testable import SystemIO

@Suite struct TransferTests {
  /// A pair, and the strategy that is forced: nil for the one that the table says.
  struct Case: Sendable, CustomTestStringConvertible {
    let origin: Origin
    let destination: Destination
    var strategy: TransferStrategy?
    var testDescription: String {
      "\(origin) to \(destination) by \(strategy.map { "\($0)" } ?? "the table's")"
    }

    static let strategies: [TransferStrategy?] = [nil, .shareExtents, .copyRange, .splice, .copy]

    static let all: [Case] = Origin.allCases.flatMap { origin in
      Destination.allCases.flatMap { destination in
        strategies.compactMap { strategy in
          // What needs files on both sides is refused by the kernel elsewhere: one such pair is enough.
          if strategy == .shareExtents || strategy == .copyRange,
            origin != .file && origin != .fileFromTheMiddle || destination == .null
          {
            return nil
          }
          return Case(origin: origin, destination: destination, strategy: strategy)
        }
      }
    }

    /// Pairs whose calls are made to fail one by one.
    static let faulty: [Case] = [
      Case(origin: .file, destination: .file, strategy: .copy),
      Case(origin: .file, destination: .file, strategy: .copyRange),
      Case(origin: .fileFromTheMiddle, destination: .oldFile, strategy: .shareExtents),
      Case(origin: .file, destination: .pipe, strategy: .splice),
      Case(origin: .pipe, destination: .file, strategy: .splice),
      Case(origin: .pipe, destination: .pipe, strategy: .splice),
      Case(origin: .pipe, destination: .pipe, strategy: .copy),
      Case(origin: .socket, destination: .file, strategy: .copy),
      Case(origin: .file, destination: .socket, strategy: .copy),
    ]
  }

  /// Reads 100 bytes into the window, moves `count` and then the rest.
  private func move(
    _ bytes: [UInt8], _ test: Case, first count: Int, faults: (() throws -> Void) throws -> Void
  ) throws -> [UInt8]? {
    var keep: [AnyObject] = []
    let source = try test.origin.source(bytes, &keep)
    return try test.destination.collect { sink in
      _ = try source.peek(min(100, bytes.count))
      try faults {
        let moved = try source.move(UInt64(count), to: sink, forcing: test.strategy)
        #expect(moved == UInt64(min(count, bytes.count)))
        #expect(source.position == moved && sink.position == moved)
        _ = try source.move(.max, to: sink, forcing: test.strategy)
        // At its end there is nothing more, however often it is asked.
        let rest = try source.move(.max, to: sink, forcing: test.strategy)
        #expect(rest == 0)
      }
      #expect(source.position == UInt64(bytes.count) && sink.position == UInt64(bytes.count))
    }
  }

  private func expect(_ got: [UInt8]?, _ bytes: [UInt8], _ test: Case) {
    guard let got else { return }
    // Over an old file lies what was moved; what was there after it stays.
    let wanted = test.destination == .oldFile ? bytes + pattern(3000).dropFirst(bytes.count) : bytes
    let isSame = got == wanted
    #expect(isSame, "\(got.count) bytes, expected \(wanted.count)")
  }

  @Test(arguments: Case.all) func everyPairByEveryStrategy(test: Case) throws {
    // One more and one less than what a window and a buffer hold; a pipe of single bytes is slow.
    let counts = test.origin == .singleBytePipe ? [0, 101, 1000] : [0, 1, 8209, 100_001]
    for count in counts {
      let bytes = pattern(count)
      expect(try move(bytes, test, first: count / 3) { try $0() }, bytes, test)
    }
  }

  /// All calls that move bytes.
  private static let moving = calls_set(
    rawValue: calls_all.rawValue & ~calls_lseek.rawValue)
  private static let writing = calls_set(
    rawValue: calls_write.rawValue | calls_writev.rawValue | calls_splice.rawValue
      | calls_copy_file_range.rawValue)
  private static let reading = calls_set(rawValue: calls_read.rawValue | calls_pread.rawValue)
  private static let some = pattern(40_000)

  /// How many of `calls` a move of `some` makes. From a pipe it depends on the writer.
  private func count(_ calls: calls_set, _ test: Case) throws -> Int {
    var count = 0
    _ = try move(Self.some, test, first: 15_000) { body in count = try Fault.count(calls, body) }
    #expect(count > 0)
    return count
  }

  /// A call that a signal interrupts or that moves less than it was asked for is made again.
  @Test(arguments: Case.faulty) func interruptedAndShortCallsChangeNothing(test: Case) throws {
    var hits = 0
    for at in 1...(try count(Self.moving, test)) {
      for effect in [Fault.Effect.error(EINTR), .short(1), .short(4097)] {
        let got = try move(Self.some, test, first: 15_000) { body in
          hits += try Fault(calls: Self.moving, effect: effect, at: at).during(body)
        }
        expect(got, Self.some, test)
      }
    }
    #expect(hits >= 6)
    // All of them.
    for effect in [Fault.Effect.short(1000), .short(4095)] {
      let got = try move(Self.some, test, first: 15_000) { body in
        let hits = try Fault(calls: Self.moving, effect: effect, times: 0).during(body)
        #expect(hits >= 5)
      }
      expect(got, Self.some, test)
    }
  }

  /// Where the kernel refuses a pair, at once or in the middle, the same bytes go by hand.
  @Test(arguments: Case.faulty.filter { $0.strategy != .copy }, [EINVAL, ENOSYS, EXDEV, EPERM])
  func refusedStrategiesGoByHand(test: Case, number: Int32) throws {
    let set = calls_set(rawValue: calls_splice.rawValue | calls_copy_file_range.rawValue)
    for at in 1...2 {
      let got = try move(Self.some, test, first: 15_000) { body in
        let hits = try Fault(calls: set, effect: .error(number), at: at, times: 0).during(body)
        #expect(hits > 0)
      }
      expect(got, Self.some, test)
    }
  }

  /// Some virtual file systems give 0 where they cannot copy: that is no end.
  @Test func aCopyOfNothingIsNoEnd() throws {
    let test = Case(origin: .file, destination: .file, strategy: .copyRange)
    for at in 1...2 {
      let got = try move(Self.some, test, first: 15_000) { body in
        let hits = try Fault(calls: calls_copy_file_range, effect: .result(0), at: at).during(body)
        #expect(hits == 1)
      }
      expect(got, Self.some, test)
    }
  }

  /// Moves `some` with a fault. Returns the error, whether the fault was met, and the sink's position
  /// and contents.
  private func fail(
    _ test: Case, _ fault: Fault
  ) throws -> (error: SystemError?, isMet: Bool, position: Int, got: [UInt8]?, paths: [String]) {
    var keep: [AnyObject] = []
    let source = try test.origin.source(Self.some, &keep)
    var (error, hits, position): (SystemError?, Int, Int) = (nil, 0, 0)
    var paths: [String] = []
    let got = try test.destination.collect { sink in
      paths = [source.path, sink.path]
      _ = try source.peek(100)
      hits = fault.during {
        do throws(SystemError) {
          _ = try source.move(15_000, to: sink, forcing: test.strategy)
          _ = try source.move(.max, to: sink, forcing: test.strategy)
          _ = try source.move(.max, to: sink, forcing: test.strategy)
        } catch let thrown { error = thrown }
      }
      position = Int(sink.position)
    }
    return (error, hits > 0, position, got, paths)
  }

  /// A full disk, a broken one, a quota: at whichever call, it is one error of the sink's, and what the
  /// sink counts is what it has.
  @Test(arguments: Case.faulty, [ENOSPC, EIO])
  func errorsOfEveryCallAreThrown(test: Case, number: Int32) throws {
    var met = 0
    for at in 1...(try count(Self.writing, test)) {
      let outcome = try fail(test, Fault(calls: Self.writing, effect: .error(number), at: at))
      #expect(outcome.error?.errno == (outcome.isMet ? number : nil))
      if outcome.isMet, number != EIO { #expect(outcome.error?.path == outcome.paths[1]) }
      met += outcome.isMet ? 1 : 0
      guard let got = outcome.got, test.destination != .oldFile else { continue }
      let isPrefix = got == Array(Self.some.prefix(outcome.position))
      #expect(isPrefix, "\(got.count) bytes, counted \(outcome.position)")
    }
    #expect(met >= 2)
  }

  /// The other side of a move: a source that cannot be read.
  @Test(arguments: Case.faulty.filter { $0.strategy == .copy }, [EIO, ESTALE])
  func errorsOfTheSourceNameIt(test: Case, number: Int32) throws {
    var met = 0
    for at in 1...(try count(Self.reading, test)) {
      let outcome = try fail(test, Fault(calls: Self.reading, effect: .error(number), at: at))
      #expect(outcome.error?.errno == (outcome.isMet ? number : nil))
      if outcome.isMet { #expect(outcome.error?.path == outcome.paths[0]) }
      met += outcome.isMet ? 1 : 0
    }
    #expect(met >= 1)
  }

  /// More than 8 MiB that go a few bytes higher are read ahead on a second thread.
  @Test func copiesAheadMeetTheSameFaults() throws {
    let bytes = pattern(9 << 20)
    let file = TemporaryFile(bytes)
    let reads = calls_pread
    func copy(_ faults: (Source, () throws -> Void) throws -> Void) throws -> [UInt8] {
      let source = try Source(opening: file.path)
      return try #require(
        try Destination.file.collect { sink in
          try sink.write([1, 2, 3])
          try faults(source) {
            let moved = try source.move(.max, to: sink)
            #expect(moved == UInt64(bytes.count))
          }
        })
    }
    #expect(Transfer.isSlow(from: 0, to: 3))
    let isSame = try copy { try $1() } == [1, 2, 3] + bytes
    #expect(isSame)
    var count = 0
    _ = try copy { source, body in
      count = try Fault.count(reads, files: [source.fileDescriptor], body)
    }
    #expect(count >= 36)
    for at in [1, 2, count / 2, count] {
      for effect in [Fault.Effect.error(EINTR), .short(100)] {
        let got = try copy { source, body in
          let hits = try Fault(calls: reads, effect: effect, at: at).during(
            files: [source.fileDescriptor], body)
          #expect(hits == 1)
        }
        let isSame = got == [1, 2, 3] + bytes
        #expect(isSame, "\(effect) at \(at)")
      }
      _ = try copy { source, body in
        let error = #expect(throws: SystemError.self) {
          _ = try Fault(calls: reads, effect: .error(EIO), at: at).during(
            files: [source.fileDescriptor], body)
        }
        #expect(error?.errno == EIO && error?.path == file.path)
      }
    }
    for at in [1, 20] {
      _ = try copy { _, body in
        let error = #expect(throws: SystemError.self) {
          _ = try Fault(calls: calls_write, effect: .error(ENOSPC), at: at).during(body)
        }
        #expect(error?.errno == ENOSPC)
      }
    }
  }

  /// A file that becomes shorter while it is moved has an end, by every strategy.
  @Test(arguments: Case.strategies) func aFileThatShrinksEnds(strategy: TransferStrategy?) throws {
    let file = TemporaryFile(pattern(100_000))
    let source = try Source(opening: file.path)
    file.truncate(30_000)
    let got = try Destination.file.collect { sink in
      let moved = try source.move(.max, to: sink, forcing: strategy)
      #expect(moved == 30_000)
    }
    #expect(got?.count == 30_000)
  }

  /// What is appended after the source was opened is not its own.
  @Test(arguments: Case.strategies) func whatIsAppendedIsNotMoved(strategy: TransferStrategy?)
    throws
  {
    let file = TemporaryFile(pattern(10_000))
    let source = try Source(opening: file.path)
    file.poke(10_000, pattern(500))
    let got = try Destination.file.collect { sink in
      let moved = try source.move(.max, to: sink, forcing: strategy)
      #expect(moved == 10_000)
    }
    #expect(got?.count == 10_000)
  }
}
