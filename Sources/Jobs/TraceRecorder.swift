// The file that a save leaves its trace in, however it ends.

package import Live
package import SystemIO

/// Takes the trace of one save and writes it.
package final class TraceRecorder {
  private let file: OutputFile
  /// What the save has recorded; nil where it did not come so far as to begin.
  package var trace: Trace?

  /// The file appears with `write`. That it can be made is found out here, before anything is done to
  /// the domain.
  package init(
    creating path: String, _ rule: OutputFile.Rule = .replacing
  ) throws { file = try OutputFile(path, .text, rule) }

  /// The save has failed, be it after the last byte. `code`: why.
  package func fail(_ code: String) { trace?.outcome = code }

  /// Writes what there is. A machine that crashes may lose it: nobody waits for a disk here, least of
  /// all a guest that stands still.
  package func write() throws {
    guard let trace else { return }
    try file.sink.write(Array(trace.description.utf8))
    try file.commit(isDurable: false)
  }
}
