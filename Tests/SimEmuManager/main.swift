// The emu-manager with a directory of a test in the place of the host, and a stand-in for xenguest.
//
//   sim-emu-manager FOLDER PROGRAM WORD...
//   sim-emu-manager puppet FOLDER WORD...
//
// FOLDER holds the programs (stock, xenguest), the sockets (emp-DOMID, qmp-DOMID, xenstored), the
// configuration (conf), the log and, where a test wants other ones, the limits in milliseconds. PROGRAM is
// the name that the manager believes to be started by.
//
// The puppet is what the manager starts as xenguest. It does what it is told by bytes on FOLDER/driver,
// after it has written its number, its words and its environment there:
//   L  listens at emp-DOMID        R  writes "Ready\n"       r  writes "Rea"       c  closes its output
//   A  accepts, and hands the connection over                X and a byte: exits   K  kills itself
// It ends with 99 when the driver goes.

import CSystem
import EmuManager
import Glibc
import Reports
import SystemIO
import TestKit

func puppet(_ folder: String, _ words: [String]) -> Never {
  let driver = csystem_connect(folder + "/driver")
  guard driver >= 0 else { exit(98) }
  var text = "\(getpid())\n" + words.joined(separator: "\n") + "\n\n"
  var index = 0
  while let variable = environ[index] {
    text += String(cString: variable) + "\n"
    index += 1
  }
  text += "\n"
  _ = write(driver, text, text.utf8.count)
  let domain = words.firstIndex(of: "-domid").map { words[$0 + 1] } ?? "0"
  var listener: Int32 = -1
  while true {
    var byte: UInt8 = 0
    guard read(driver, &byte, 1) == 1 else { exit(99) }
    switch byte {
    case UInt8(ascii: "L"): listener = listeningSocket(at: "\(folder)/emp-\(domain)")
    case UInt8(ascii: "R"): _ = write(1, "Ready\n", 6)
    case UInt8(ascii: "r"): _ = write(1, "Rea", 3)
    case UInt8(ascii: "c"): close(1)
    case UInt8(ascii: "A"):
      let connection = accept(listener, nil, nil)
      guard connection >= 0, csystem_send_descriptor(driver, "a", 1, connection) == 1 else {
        exit(97)
      }
      close(connection)
    case UInt8(ascii: "X"):
      var status: UInt8 = 0
      _ = read(driver, &status, 1)
      exit(Int32(status))
    case UInt8(ascii: "K"): kill(getpid(), SIGKILL)
    default: exit(96)
    }
  }
}

var words = Array(CommandLine.arguments.dropFirst())
if words[0] == "puppet" { puppet(words[1], Array(words.dropFirst(2))) }
let folder = words[0]
let log = open(folder + "/log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
var setup = ManagerSetup { level, text in
  let line = "\(level): \(text)\n"
  _ = write(log, line, line.utf8.count)
}
setup.stock = folder + "/stock"
setup.xenguest = folder + "/xenguest"
setup.xenguestSocket = folder + "/emp-"
setup.qemuSocket = folder + "/qmp-"
setup.xenStoreSockets = [folder + "/xenstored"]
setup.configurationFolder = folder + "/conf"
if let source = try? Source(opening: folder + "/limits"), let bytes = try? source.read(1000) {
  let numbers = String(decoding: bytes, as: UTF8.self).split(separator: " ").compactMap {
    UInt64($0)
  }
  let limits = numbers.map { $0 * 1_000_000 }
  setup.limits.ready = limits[0]
  setup.limits.command = limits[1]
  setup.limits.answer = limits[2]
  setup.limits.saveStall = limits[3]
  setup.limits.restoreStall = limits[4]
  setup.limits.exit = limits[5]
  setup.limits.exitAfterTimeout = limits[6]
}
exit(runManager(words[1], Array(words.dropFirst(2)), setup))
