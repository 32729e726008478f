// Where the helper leaves the trace of a save, by what the configuration says.

package import Jobs
internal import Live
internal import LuaRuntime
internal import SystemIO

/// The value of `trace` in a file of the configuration: a path, in which %n stands for the domain's
/// name, %i for its number, %t for the time in UTC and %% for a percent sign. The folder must be
/// there, and nobody but root may write to it: what a domain is called must not decide what root
/// overwrites.
package struct HelperTrace: Sendable {
  private enum Part: Sendable {
    case text(String)
    case name, id, time
  }

  private var parts: [Part] = []

  init(_ template: String) throws {
    guard template.hasPrefix("/"), !template.hasSuffix("/") else {
      throw LuaError("trace: expected the path of a file from /, got '\(template)'")
    }
    var rest = template[...]
    while let percent = rest.firstIndex(of: "%") {
      parts.append(.text(String(rest[..<percent])))
      rest = rest[rest.index(after: percent)...]
      switch rest.first {
      case "n": parts.append(.name)
      case "i": parts.append(.id)
      case "t": parts.append(.time)
      case "%": parts.append(.text("%"))
      default:
        throw LuaError(
          "trace: expected %n (the name), %i (the number), %t (the time) or %%, got "
            + "'%\(rest.first.map { "\($0)" } ?? "")'")
      }
      rest = rest.dropFirst()
    }
    parts.append(.text(String(rest)))
  }

  /// The path for a domain at this time, in seconds since 1970.
  package func path(_ facts: HelperFacts, at time: Double) -> String {
    parts.map { part in
      switch part {
      case .text(let text): text
      case .name: HelperTrace.safe(facts.name)
      case .id: "\(facts.id)"
      case .time: LocalTime.stamp(at: time)
      }
    }.joined()
  }

  /// A name as a part of the name of a file: letters, digits and "-+._", the first no dot.
  static func safe(_ name: String) -> String {
    let bytes = name.utf8.prefix(100).enumerated().map { index, byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"):
        byte
      case UInt8(ascii: ".") where index > 0: byte
      default: UInt8(ascii: "_")
      }
    }
    return bytes.isEmpty ? "_" : String(decoding: bytes, as: UTF8.self)
  }

  /// The file for the save of a domain that begins now. No guest waits for who reads a FIFO.
  package func recorder(_ facts: HelperFacts) throws -> TraceRecorder {
    let path = path(facts, at: LocalTime.now)
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    try HelperConfiguration.checkOwner(folder.isEmpty ? "/" : folder, isFolder: true)
    return try TraceRecorder(creating: path, .fileOnly)
  }
}
