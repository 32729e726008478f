// The program's entry.

import Glibc
import Shell

let words = Array(CommandLine.arguments.dropFirst())
if let words = helperWords(CommandLine.arguments[0], words) { exit(runHelper(words)) }
exit(runShell(words))
