// A program that does things to a domain of the fake Xen, and then waits to be killed.
//
//   xen-victim FOLDER MINOR STEP...
//   xen-victim FOLDER MINOR guard
//
// The steps are pause, unpause, suspend, resume, leave, take-back, log-dirty, no-log-dirty, throttle, no-throttle, throttle-only, exit, saves
// (again and again, without an end), failing-saves (the same, but each fails when the domain stands still). After the last one it says "ready" on standard output.

import Glibc
import Live
import SystemIO
import XenDomain

let words = CommandLine.arguments
let (folder, minor) = (words[1], Int(words[2]) ?? 0)
func open() throws -> XenHost { try XenHost(release: minor, folder: folder) }

func say(_ text: String, to number: Int32 = 1) { _ = write(number, text, text.utf8.count) }

func saves(_ domain: XenDomain) throws {
  while true {
    let sink = Sink(
      try Descriptor.open("/dev/null", isWritable: true), path: "/dev/null")
    _ = try Save(domain, to: sink, mode: .live(XenDefaultPolicy())).run()
    try domain.resume()
  }
}

func failingSaves(_ domain: XenDomain) throws {
  ignoreWriteSignals()
  while true {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { exit(71) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let reading = ends[0]
    let sink = Sink(try Descriptor(taking: ends[1], path: "pipe"), path: "pipe")
    // Nobody reads any more once the domain stands still.
    let save = Save(domain, to: sink, mode: .nonLive) { event in
      if event.what == "Domain now suspended" { close(reading) }
    }
    do { _ = try save.run() } catch { continue }
    exit(70)
  }
}

if words[3] == "guard" {
  exit(
    guardDomains {
      try open()
    } report: {
      say($0, to: 2)
    })
}
let host = try open()
host.crashGuardWords = ["/proc/self/exe", folder, words[2], "guard"]
let domain = try host.domain(5)
for step in words[3...] {
  switch step {
  case "pause": try domain.pause()
  case "unpause": try domain.unpause()
  case "suspend": try domain.suspend()
  case "resume": try domain.resume()
  case "leave": _ = domain.keepSuspended()
  case "take-back": domain.takeBackSuspended()
  case "throttle-only": host.guardsThrottleOnly = true
  case "throttle": try domain.throttle(60)
  case "no-throttle": try domain.throttle(0)
  case "log-dirty": try domain.enableLogDirty()
  case "no-log-dirty": try domain.disableLogDirty()
  case "saves":
    say("ready\n")
    try saves(domain)
  case "failing-saves":
    say("ready\n")
    try failingSaves(domain)
  case "exit": exit(0)
  default: exit(64)
  }
}
say("ready\n")
while true { Glibc.pause() }
