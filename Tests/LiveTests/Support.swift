// What the tests of saving and restoring share.

import Bytes
import Format
import Glibc
import Image
import Live
import SimDomain
import Stream
import SystemIO
import Testing

/// The folder of the fixtures, found from this file's place.
let fixtures = #filePath.replacing("LiveTests/Support.swift", with: "Fixtures/")

/// Numbers from a seed that is printed, so that a failure can be repeated: paste the printed line
/// over the one that made the seed.
struct Seed: RandomNumberGenerator {
  let start: UInt64
  private var state: UInt64

  init(_ state: UInt64 = UInt64.random(in: 0...UInt64.max), _ place: String = #function) {
    start = state
    self.state = state
    print("// \(place): var random = Seed(\(state.hex(16)))")
  }

  /// SplitMix64.
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

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
