// The words of the command line.

internal import CSystem

/// The words of the command line, without reading /proc: a chroot may have none, and a read may fail.
public enum ProgramArguments {
  /// The program's name first, as its caller gave it; empty where the caller gave none. Bytes that are no
  /// UTF-8 are replaced, as Swift's own list has them.
  public static let all: [String] = {
    var words: [String] = []
    while let word = unsafe csystem_argument(Int32(words.count)) {
      unsafe words.append(String(cString: word))
    }
    return words
  }()
}
