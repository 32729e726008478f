// libxl's save helper over a simulated domain: what is sent to it by tests is what libxl sends.
//
//   sim-helper FOLDER --save-domain ... | --restore-domain ...
//
// FOLDER holds the configuration ("" for none); release=N has it run on the Xen 4.N of this machine.
// pages=N, before it, is the size of the domain. At the end a line on standard error says how the
// domain was left. A restore reads its stream to the end, and makes nothing of it.

import SystemIO
import Format
import Glibc
import HelperProtocol
import Live
import SaveHelper
import SimDomain
import TestKit
import XenDomain

final class SimHost: HelperHost {
  let simulated: SimDomain
  init(pages: Int, writesPerSecond: UInt64) throws {
    var configuration = SimDomain.Configuration(frameCount: pages)
    configuration.workload = .steady(writesPerSecond: writesPerSecond)
    configuration.clock = .real
    simulated = try SimDomain(configuration)
  }

  func facts(_ id: UInt32) throws -> HelperFacts {
    HelperFacts(id: id, name: "web1", type: "pvh")
  }

  /// libxl has suspended the domain when it answers; here that is found out by the next look.
  func domain(_ arguments: HelperArguments) throws -> (any Domain)? {
    var looks = 0
    return HookedDomain(simulated) { [simulated] hook in
      looks += hook == .info ? 1 : 0
      if hook == .info, looks == 2 { try? simulated.suspend() }
    }
  }

  func save(
    _ arguments: HelperArguments, to descriptor: Int32, policy: any Policy,
    _ callbacks: ManagerCallbacks
  ) throws { throw XensaveError(.unsuitable, "not here") }

  func restore(
    _ arguments: HelperArguments, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> (store: UInt64, console: UInt64) {
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(descriptor, &bytes, bytes.count)
      if count == 0 { return (0, 0) }
      guard count > 0 || errno == EINTR else {
        throw XensaveError(.unsuitable, "the stream cannot be read")
      }
    }
  }
}

var words = Array(CommandLine.arguments.dropFirst())
var pages = 30_000
if words[0].hasPrefix("pages="), let count = Int(words[0].dropFirst(6)) {
  pages = count
  words.removeFirst()
}
// patience=MS, before FOLDER: that with a libxl which does not answer.
var patience: UInt64?
if words[0].hasPrefix("patience="), let count = UInt64(words[0].dropFirst(9)) {
  patience = count * 1_000_000
  words.removeFirst()
}
// script=MS, before FOLDER: what scripts may take.
var deadlines = ScriptDeadlines.standard
if words[0].hasPrefix("script="), let count = UInt64(words[0].dropFirst(7)) {
  deadlines = ScriptDeadlines(record: count, configuration: count)
  words.removeFirst()
}
// A release that is refused, through the channel that libxl reads.
if words[0].hasPrefix("release="), let minor = Int(words[0].dropFirst(8)) {
  exit(
    runHelper(Array(words.dropFirst()), configurationFolder: "") { _ in
      _ = try XenHost(release: minor, folder: "/nonexistent/")
      throw XensaveError(.unsuitable, "not here")
    })
}
// A helper that is kept waiting makes up for all that its guest has written meanwhile.
let host = try SimHost(pages: pages, writesPerSecond: patience == nil ? 200_000 : 1000)
let status = runHelper(
  Array(words.dropFirst()), configurationFolder: words[0], patience: patience, deadlines: deadlines
) { _ in host }
let domain = host.simulated
let line =
  "left: log-dirty \(domain.isLogDirtyOn ? "on" : "off"), \(domain.openLeaseCount) pages lent\n"
_ = write(2, line, line.utf8.count)
exit(status)
