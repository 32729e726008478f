// Where the programs are that were built together with the running tests.

import Glibc

public enum BuiltPrograms {
  /// The directory of the running test bundle: a build with a sanitizer has one of its own.
  public static let directory: String = {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { raw in
      raw.withMemoryRebound(to: CChar.self) { text in
        text.baseAddress.map { readlink("/proc/self/exe", $0, text.count) } ?? 0
      }
    }
    let own = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? own
    let absolute = realpath(bundle, nil).map { place in
      defer { free(place) }
      return String(cString: place)
    }
    let path = absolute ?? bundle
    return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }()

  /// The path of one of them.
  public static func path(_ name: String) -> String { directory + "/" + name }
}
