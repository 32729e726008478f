// The scripts that come with the program.

internal import Format
internal import LuaRuntime
internal import PolicyEngine
internal import Reports
internal import SystemIO

/// A script of the library.
package struct LibraryScript {
  package let name: String
  package let path: String
  /// The first line of its comment.
  package let summary: String
}

package enum ScriptLibrary {
  /// Folders with scripts, below those of ModulePaths.shipped.
  private static let folders = [
    "xensave/filters", "xensave/reports", "xensave/converters", "examples",
  ]

  /// All scripts, by folder and name; where two have one name the nearer stands.
  package static var all: [LibraryScript] {
    var out: [LibraryScript] = []
    for base in ModulePaths.shipped {
      for folder in folders {
        for name in FileSystem.names(in: "\(base)/\(folder)") ?? [] where name.hasSuffix(".lua") {
          let short = String(name.dropLast(4))
          guard !out.contains(where: { $0.name == short }) else { continue }
          let path = "\(base)/\(folder)/\(name)"
          out.append(LibraryScript(name: short, path: path, summary: summary(path)))
        }
      }
    }
    return out
  }

  /// The same; an error where there are none.
  package static func installed() throws -> [LibraryScript] {
    let all = all
    if all.isEmpty { throw ModulePaths.nothingInstalled("scripts") }
    return all
  }

  package static func script(_ name: String) throws -> LibraryScript {
    let all = try installed()
    if let found = all.first(where: { $0.name == name }) { return found }
    throw XensaveError(
      .usage,
      "no script '\(name)'\(didYouMean(name, among: all.map(\.name))) (xensave-lua run --list)")
  }

  /// What a word that names no file may have meant: a command, or a script of the library.
  static func hint(_ word: String, commands: [String]) -> String {
    let names = all.map(\.name)
    if names.contains(word) { return " (did you mean: xensave-lua run \(word)?)" }
    return didYouMean(word, among: commands.sorted() + names)
  }

  private static func summary(_ path: String) -> String {
    guard let source = try? Source(opening: path), let bytes = try? source.read(4096) else {
      return ""
    }
    let summary = ScriptHeader(String(decoding: bytes, as: UTF8.self)).summary
    // "name - what it does", as in a manual page.
    return summary.firstRange(of: " - ").map { String(summary[$0.upperBound...]) } ?? summary
  }
}
