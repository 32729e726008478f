// The program's entry.

import CommandLine
import EmuManager
import Glibc
import SaveHelper
import SystemIO

let program = ProgramArguments.all.first ?? "xensave-lua"
let words = Array(ProgramArguments.all.dropFirst())
if let manager = managerWords(program, words) { exit(runManager(program, manager)) }
if let words = helperWords(program, words) { exit(runHelper(words)) }
exit(runShell(words))
