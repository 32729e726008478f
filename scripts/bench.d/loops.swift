// Benchmarks only: runs the loops over page contents, as loops.c does.
//
//     loops NAME TIMES    prints nanoseconds and a sum that does not depend on the language

internal import Bytes
internal import Format
internal import Glibc

public func runLoops() {
  let arguments = CommandLine.arguments
  guard arguments.count > 2, let times = Int(arguments[2]) else { exit(2) }
  let pages = 4096
  let (a, b) = (
    PageAlignedBuffer(capacity: pages * pageByteCount), PageAlignedBuffer(capacity: pages * pageByteCount)
  )
  var state: UInt64 = 1
  for offset in stride(from: 0, to: pages * pageByteCount, by: 8) {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let word = offset / pageByteCount % 2 == 1 ? 0 : state
    a.pointer(offset).storeBytes(of: word, as: UInt64.self)
    b.pointer(offset).storeBytes(of: word, as: UInt64.self)
  }
  var sum: UInt64 = 0
  func run(_ body: (RawSpan, RawSpan, Int) -> UInt64) {
    a.withBytes(0..<pages * pageByteCount) { x in
      b.withBytes(0..<pages * pageByteCount) { y in
        for _ in 0..<times {
          for page in 0..<pages { sum &+= body(x, y, page * pageByteCount) }
        }
      }
    }
  }
  var (start, end) = (timespec(), timespec())
  clock_gettime(CLOCK_MONOTONIC, &start)
  switch arguments[1] {
  case "zero": run { x, _, place in x.isZeroPage(at: place) ? 1 : 0 }
  case "hash": run { x, _, place in PageLoops.hash(x, at: place) }
  case "equal": run { x, y, place in PageLoops.isEqual(x, at: place, y, at: place) ? 1 : 0 }
  case "histogram":
    let counts = ByteCounts()
    run { x, _, place in
      counts.count(x, at: place)
      var squares: UInt64 = 0
      for byte in UInt8.min...UInt8.max {
        squares += UInt64(counts[byte]) * UInt64(counts[byte])
      }
      return squares
    }
  default: exit(2)
  }
  clock_gettime(CLOCK_MONOTONIC, &end)
  let seconds = end.tv_sec - start.tv_sec
  print(seconds * 1_000_000_000 + end.tv_nsec - start.tv_nsec, sum)
}
