// The program's entry.

import Glibc
import Shell

exit(runShell(Array(CommandLine.arguments.dropFirst())))
