// Finding policies: shipped ones by name, others by path.

internal import Format
internal import Glibc
package import LuaRuntime
package import Reports
internal import SystemIO

/// The text of a policy and where it is from.
package struct PolicySource: Sendable {
  package let name: String
  package let path: String
  package let text: [UInt8]
  /// Where the policy is in the table that the text returns; nil where that is the policy.
  package var field: String?

  package init(name: String, path: String, text: [UInt8], field: String? = nil) {
    self.name = name
    self.path = path
    self.text = text
    self.field = field
  }
  /// The first line of its comment, after "name - ".
  package var summary: String {
    let header = ScriptHeader(String(decoding: text, as: UTF8.self)).summary
    return header.firstRange(of: " - ").map { String(header[$0.upperBound...]) } ?? header
  }
}

package enum PolicyLibrary {
  private static let folder = "xensave/policies"
  private static let sizeLimit = 1 << 20

  /// The shipped policies by name. Read once.
  package static let shipped: [PolicySource] = {
    var out: [PolicySource] = []
    for base in ModulePaths.shipped {
      for file in FileSystem.names(in: "\(base)/\(folder)") ?? [] where file.hasSuffix(".lua") {
        let name = String(file.dropLast(4))
        guard !out.contains(where: { $0.name == name }) else { continue }
        if let source = try? read("\(base)/\(folder)/\(file)", name) { out.append(source) }
      }
    }
    return out.sorted { $0.name < $1.name }
  }()

  /// What `require` finds in the sandbox of a policy.
  package static var modules: [String: [UInt8]] {
    Dictionary(uniqueKeysWithValues: shipped.map { ("xensave.policies.\($0.name)", $0.text) })
  }

  /// The policy of a name, or of a path: a word with "/" or ".lua" in it.
  package static func find(_ word: String) throws(LuaError) -> PolicySource {
    if word.contains("/") || word.hasSuffix(".lua") {
      let file = word.split(separator: "/").last.map(String.init) ?? word
      do { return try read(word, file.hasSuffix(".lua") ? String(file.dropLast(4)) : file) } catch {
        let error = XensaveError(error)
        throw LuaError(error.description, code: error.word)
      }
    }
    let name = word.replacing("_", with: "-")
    if let found = shipped.first(where: { $0.name == name }) { return found }
    if shipped.isEmpty {
      throw LuaError(ModulePaths.nothingInstalled("policies").message, code: "enoent")
    }
    throw LuaError(
      "no policy '\(word)'" + didYouMean(word, among: shipped.map(\.name))
        + " (xensave-lua policy list)", code: "enoent")
  }

  private static func read(_ path: String, _ name: String) throws -> PolicySource {
    let source = try Source(opening: path)
    // One byte more than there may be shows that there are too many; a part is not run.
    var text = try source.read(Int(min(source.byteCount ?? 1 << 20, UInt64(sizeLimit) + 1)))
    guard text.count <= sizeLimit else {
      throw SystemError("read", EFBIG, path)
    }
    // A first line that begins with "#" is the shell's; its end stays, so that numbers are right.
    if text.first == UInt8(ascii: "#") { text.removeFirst(text.firstIndex(of: 10) ?? text.count) }
    return PolicySource(name: name, path: path, text: text)
  }
}

/// A policy of a file with values for its options: makes policies that share nothing.
package struct PolicyRecipe: Sendable {
  package let source: PolicySource
  package var options: [String: PolicyOption] = [:]

  package init(source: PolicySource, options: [String: PolicyOption] = [:]) {
    self.source = source
    self.options = options
  }

  package func make(
    in sandbox: SandboxSetup, deadline: UInt64 = LuaPolicy.defaultDeadline,
    wallTime: ((UInt64) -> Double)? = nil,
    log: @escaping (LogLevel, String) -> Void
  ) throws(LuaError) -> LuaPolicy {
    let runner = try ThreadRunner(
      sandbox, source.text, chunk: "@\(source.path)", field: source.field, options: options,
      modules: PolicyLibrary.modules)
    if runner.sealError != 0 {
      log(.warning, "policy \(source.name): the kernel does not seal threads; it runs without that")
    }
    return LuaPolicy(runner, name: source.name, deadline: deadline, wallTime: wallTime, log: log)
  }
}
