// The program's entry.

import CommandLine
import EmuManager
import Glibc
import SaveHelper

let words = Array(Swift.CommandLine.arguments.dropFirst())
if let manager = managerWords(Swift.CommandLine.arguments[0], words) {
  exit(runManager(Swift.CommandLine.arguments[0], manager))
}
if let words = helperWords(Swift.CommandLine.arguments[0], words) { exit(runHelper(words)) }
exit(runShell(words))
