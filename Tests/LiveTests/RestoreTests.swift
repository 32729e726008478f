// Restores that fail: at any hook, at any byte, for any wrong number.

import Bytes
import Format
import Glibc
import Live
import SimDomain
import Stream
import SystemIO
import Testing

@Suite struct RestoreTests {
  static let limit = 300

  func stream(_ frameCount: Int = limit) throws -> (SimDomain, [UInt8]) {
    var configuration = SimDomain.Configuration(frameCount: frameCount)
    if frameCount > 30 { configuration.holes = [20..<30] }
    let domain = try SimDomain(configuration)
    let scratch = Scratch()
    _ = try Save(domain, to: scratch.sink(), mode: .nonLive, clock: domain.clock).run()
    return (domain, try scratch.bytes())
  }

  func blank() throws -> SimDomain {
    try SimDomain(blank: SimDomain.Configuration(frameCount: RestoreTests.limit))
  }

  func restore(_ bytes: [UInt8], into domain: SimDomain) throws -> RestoreResult {
    let scratch = Scratch()
    try scratch.sink().write(bytes)
    return try Restore(scratch.source(), into: domain).run()
  }

  @Test func eachHookAtEachCall() throws {
    let (_, bytes) = try stream()
    let good = try blank()
    _ = try restore(bytes, into: good)
    #expect(good.isComplete && !good.isDiscarded)
    for (hook, count) in good.callCounts {
      for call in 1...count {
        let domain = try blank()
        domain.faults.arm(.hook(hook), at: call, errno: 12)
        let error = #expect(throws: XensaveError.self) { try restore(bytes, into: domain) }
        #expect(error?.word == hook.rawValue && error?.stage == "\(Step.restore)")
        #expect(domain.isDiscarded && !domain.isComplete && domain.openLeaseCount == 0)
      }
    }
    #expect(good.callCounts.keys.contains(.mapForWriting))
  }

  /// Cut at every byte of the headers, and in the pages.
  @Test func cutAnywhere() throws {
    let (_, bytes) = try stream(3)
    let isOfHead = { $0 < 280 || $0 > bytes.count - 300 }
    let cuts = bytes.indices.filter { isOfHead($0) || $0 % 301 == 0 }
    for cut in cuts {
      let domain = try blank()
      let error = #expect(throws: XensaveError.self, "cut at \(cut)") {
        try restore(Array(bytes.prefix(cut)), into: domain)
      }
      #expect(error?.word == "truncated", "cut at \(cut): \(error.map { "\($0)" } ?? "")")
      #expect(domain.isDiscarded && !domain.isComplete)
    }
  }

  /// Numbers that no saver writes are refused before anything is reserved for them.
  @Test func wrongNumbers() throws {
    let (_, bytes) = try stream()
    let record = try #require(
      bytes.indices.first { index in
        index > 40 && bytes.count - index > 16 && bytes.load(index, as: UInt32.self) == 1
          && bytes.load(index + 8, as: UInt32.self) == UInt32(RestoreTests.limit)
      })
    let changes: [(Int, UInt64, String)] = [
      (record + 16, 1 << 51, "pfn"), (record + 16, UInt64(RestoreTests.limit), "pfn"),
      (record + 16, 5 << 60, "table"), (record + 16, 1 << 55, "table"),
      (record + 16, 0xF << 60, "table"), (24, 1 | 12 << 32, "x86_hvm"),
    ]
    for (offset, value, problem) in changes {
      var changed = bytes
      changed.store(offset, value)
      let domain = try blank()
      let error = #expect(throws: XensaveError.self) { try restore(changed, into: domain) }
      #expect(error?.word == "unsuitable" && error?.message.contains(problem) == true)
      #expect(domain.isDiscarded)
    }
  }

  /// After END nothing is read: there another program continues.
  @Test func nothingAfterTheEndIsRead() throws {
    let (_, bytes) = try stream()
    let tail = Array("domain is yours".utf8)
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    let writer = Feed(ends[1], bytes + tail)
    let source = try Source(Descriptor(taking: ends[0], path: "pipe"), path: "pipe")
    let domain = try blank()
    _ = try Restore(source, into: domain).run()
    #expect(try source.read(100) == tail)
    writer.join()
  }

  /// A page that differs from what a VERIFY round says is named; it stays as it was.
  @Test func verifyNamesPages() throws {
    let (domain, _) = try stream()
    let scratch = Scratch()
    try domain.resume()
    let sink = try scratch.sink()
    var isInVerify = false
    _ = try Save(
      domain, to: sink, mode: .nonLive, isVerifying: true, clock: domain.clock
    ) { progress in
      // The guest stands still, but somebody writes to its memory all the same.
      if progress.what == "Frames verify", !isInVerify {
        isInVerify = true
        domain.write(7, 0xFFFF_FFFF)
        domain.write(99, 0xFFFF_FFFF)
      }
    }.run()
    let copy = try blank()
    let result = try Restore(scratch.source(), into: copy).run()
    #expect(result.differingPFNs == [7, 99])
    #expect(copy.differences(from: domain) == [7, 99])
  }

  /// A record that nobody knows is passed over, whatever its length, where its type says so.
  @Test(arguments: [0, 8, 5 << 20]) func unknownRecord(byteCount: Int) throws {
    let (domain, bytes) = try stream()
    let end = try #require((40..<bytes.count).first { bytes.load($0, as: UInt64.self) == 0x10 }) + 8
    var changed = bytes
    var record: [UInt8] = []
    for word in [UInt32(0x8000_5850), UInt32(byteCount)] { record.append(integer: word, .little) }
    changed.insert(contentsOf: record + [UInt8](repeating: 0xA5, count: byteCount), at: end)
    let copy = try blank()
    _ = try restore(changed, into: copy)
    #expect(copy.isComplete && copy.differences(from: domain).isEmpty)
    changed.store(end, UInt32(0x5850))
    #expect(throws: XensaveError.self) { try restore(changed, into: blank()) }
  }

  /// A stream without policies says so.
  @Test func missingPolicies() throws {
    let (_, bytes) = try stream()
    // The static records are taken out: 40 bytes of headers, then up to STATIC_DATA_END.
    let end = try #require((40..<bytes.count).first { bytes.load($0, as: UInt64.self) == 0x10 })
    let domain = try blank()
    _ = try restore(Array(bytes[0..<40] + bytes[end...]), into: domain)
    #expect(domain.missingStaticData == [.x86CPUIDPolicy, .x86MSRPolicy])
  }
}

/// A thread that writes bytes to a pipe and closes it.
final class Feed: @unchecked Sendable {
  private var thread = pthread_t()
  private let descriptor: Int32
  private let bytes: [UInt8]

  init(_ descriptor: Int32, _ bytes: [UInt8]) {
    self.descriptor = descriptor
    self.bytes = bytes
    let context = Unmanaged.passRetained(self).toOpaque()
    pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let feed = Unmanaged<Feed>.fromOpaque(context).takeRetainedValue()
        var done = 0
        while done < feed.bytes.count {
          let written = feed.bytes[done...].withUnsafeBytes {
            write(feed.descriptor, $0.baseAddress, $0.count)
          }
          if written <= 0 { break }
          done += written
        }
        close(feed.descriptor)
        return nil
      }, context)
  }

  func join() { pthread_join(thread, nil) }
}
