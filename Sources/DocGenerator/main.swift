// Prints a document that is made from the declarations: scripts/docs and scripts/install run it.

import ArgumentParser
import Glibc
import Reports

do {
  let document = try Document.parse()
  try writeOut(document.text())
} catch let failure as Failure {
  writeError("docs: \(failure.message)\n")
  exit(failure.exitCode)
} catch {
  if Document.exitCode(for: error) == .success {
    print(Document.fullMessage(for: error))
    exit(ExitCode.good)
  }
  writeError(Document.fullMessage(for: error) + "\n")
  exit(ExitCode.usage)
}
