// The program's entry.

import CommandLine
import Glibc
import SaveHelper

let words = Array(Swift.CommandLine.arguments.dropFirst())
if let words = helperWords(Swift.CommandLine.arguments[0], words) { exit(runHelper(words)) }
exit(runShell(words))
