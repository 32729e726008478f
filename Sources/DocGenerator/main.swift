// Prints a document that is made from the declarations: scripts/docs and scripts/install run it.

import ArgumentParser
import Glibc
import Reports
import SystemIO

do {
  let document = try Document.parse()
  try writeOut(document.text())
} catch {
  if let known = XensaveError.known(error) {
    writeError("docs: \(known)\n")
    exit(known.exitCode)
  }
  if Document.exitCode(for: error) == .success {
    print(Document.fullMessage(for: error))
    exit(ExitCode.good)
  }
  writeError(Document.fullMessage(for: error) + "\n")
  exit(ExitCode.usage)
}
