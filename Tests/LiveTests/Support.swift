// What the tests of saving and restoring share.

import Bytes
import Format
import Glibc
import ImageCheck
import Live
import SimDomain
import Stream
import SystemIO
import Testing

/// The folder of the fixtures, found from this file's place.
let fixtures = #filePath.replacing("LiveTests/Support.swift", with: "Fixtures/")

/// A file without a name elsewhere: it goes with the value.
final class Scratch {
  let path: String

  init() {
    var random = SystemRandomNumberGenerator()
    path = "/tmp/xensave-live-\(getpid())-\(String(random.next(), radix: 16))"
  }

  deinit { unlink(path) }

  func sink() throws -> Sink {
    let number = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    return Sink(try Descriptor(taking: number, path: path), path: path)
  }

  func source() throws -> Source { try Source(opening: path) }
  func bytes() throws -> [UInt8] {
    let source = try source()
    return try source.read(Int(source.byteCount ?? 0))
  }

  /// What `Verifier` has to say, strictly: "" for a good image.
  func complaints() throws -> String {
    let report = try Verifier(source(), options: .init(isStrict: true)).run()
    if report.isGood { return "" }
    return report.findings.filter { $0.severity != .note }.map(\.description)
      .joined(separator: "\n")
  }

  /// All records, with the pfns of PAGE_DATA.
  func records() throws -> [Record] {
    var reader = StreamReader(try source())
    var records: [Record] = []
    while let part = try reader.next() {
      if case .record(let record) = part { records.append(record) }
    }
    return records
  }
}

/// A sink into nothing.
func nowhere() throws -> Sink {
  Sink(try Descriptor.open("/dev/null", isWritable: true), path: "/dev/null")
}

extension SimDomain.Configuration {
  /// A small domain with a hole, over a link that takes about 10 ms for all of it.
  static func small(_ workload: Workload = .idle) -> SimDomain.Configuration {
    var configuration = SimDomain.Configuration(frameCount: 2500)
    configuration.holes = [700..<900]
    configuration.vcpuCount = 2
    configuration.workload = workload
    return configuration
  }
}

/// A domain like `domain`, restored from `scratch`.
func restored(
  _ scratch: Scratch, like domain: SimDomain, isCheckpointed: Bool = false
) throws -> (SimDomain, RestoreResult) {
  var configuration = domain.configuration
  configuration.workload = .idle
  configuration.seed ^= 0xABCD
  let copy = try SimDomain(blank: configuration)
  let result = try Restore(scratch.source(), into: copy, isCheckpointed: isCheckpointed).run()
  return (copy, result)
}

/// Nothing of a save is left on, and nothing is lent.
func expectClean(_ domain: SimDomain, _ location: SourceLocation = #_sourceLocation) {
  #expect(!domain.isLogDirtyOn, sourceLocation: location)
  #expect(!domain.isEmulatorLogDirtyOn, sourceLocation: location)
  #expect(domain.openLeaseCount == 0, sourceLocation: location)
}
