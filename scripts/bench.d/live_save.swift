// Benchmarks only: saves a simulated domain to standard output, and says on standard error how long
// it took: nanoseconds of the clock, and of the processor.
//
//     live_save PAGES live|nonlive | live_drain

import Glibc
import Live
import SimDomain
import SystemIO

func processorNanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

let arguments = CommandLine.arguments
var configuration = SimDomain.Configuration(
  frameCount: arguments.count > 1 ? Int(arguments[1]) ?? 262_144 : 262_144)
configuration.filledPercent = 100
configuration.clock = .real
configuration.suspendTime = 0
let domain = try SimDomain(configuration)
let isLive = arguments.count > 2 && arguments[2] == "live"
let save = Save(
  domain, to: try Sink.standardOutput(), mode: isLive ? .live(XenDefaultPolicy()) : .nonLive)
let (wall, processor) = (monotonicNanoseconds(), processorNanoseconds())
_ = try save.run()
let line =
  "\(monotonicNanoseconds() - wall) \(processorNanoseconds() - processor)\n"
_ = line.withCString { write(2, $0, strlen($0)) }
