// What all tests of verify do: give an image to a verifier, by file or by pipe.

import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

/// How a source gets its bytes.
enum Way: String, CaseIterable, Sendable {
  case file
  case pipe
  /// A pipe from which no read gives more than one byte.
  case singleBytes
}

func verify(
  _ bytes: [UInt8], by way: Way = .file, isStrict: Bool = false
) throws -> VerifyReport {
  let options = Verifier.Options(isStrict: isStrict)
  switch way {
  case .file:
    let file = TemporaryFile(bytes)
    return try Verifier(Source(opening: file.path), options: options).run()
  case .pipe, .singleBytes:
    let number = pipe(feeding: bytes, inSingleBytes: way == .singleBytes)
    let source = try Source(Descriptor(taking: number, path: "pipe"), path: "pipe")
    return try Verifier(source, options: options).run()
  }
}

func verify(_ image: StreamBuilder) throws -> VerifyReport { try verify(image.bytes) }

extension VerifyReport {
  /// The names of the rules that found something, in the order of the rules.
  var ids: [String] { counts.map(\.rule.id) }
  var text: String { findings.map(\.description).joined(separator: "\n") }
}

/// The folder of the fixtures, found from this file's place.
let fixtures = #filePath.replacing("ImageTests/Verifying.swift", with: "Fixtures/")
