// What tests of sessions do again and again.

import TestKit
import Testing

/// Runs `body` in a session that shows its first prompt, in a directory of its own.
func withSession(
  _ words: [String] = [], columns: Int = 80, rows: Int = 40, environment: [String] = [],
  files: [String: String] = [:], _ body: (Session, String) -> Void
) {
  let home = Program.temporaryFolder()
  defer { Program.remove(home) }
  for (name, origin) in files { Program.write(Program.read(origin), to: home + "/" + name) }
  let session = Session(
    words, home: home, columns: columns, rows: rows, environment: environment)
  #expect(session.isReady(), "\(session.screen.everything)")
  body(session, home)
  #expect(session.screen.unknown == [])
}

/// Types a line and waits for the rows that then are above a new prompt.
func expect(
  _ session: Session, _ input: String, _ rows: [String],
  sourceLocation: SourceLocation = #_sourceLocation
) {
  session.type(input + "\r")
  #expect(
    session.ends(with: ["> " + input] + rows + [">"]), "\(session.screen.text)",
    sourceLocation: sourceLocation)
}
