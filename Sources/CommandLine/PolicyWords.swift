// What completes a policy's name.

internal import ArgumentParser
internal import PolicyEngine
internal import SystemIO

extension PolicyLibrary {
  /// The words that a command line may have for a policy: names, and files of this folder.
  static var completion: CompletionKind {
    .custom { _, _, _ in
      let files = (FileSystem.names(in: ".") ?? []).filter { $0.hasSuffix(".lua") }
      return shipped.map(\.name) + files
    }
  }
}
