// Saves and restores with real streams: what arrives has passed the filters, or is no image.

import Format
import Glibc
import ImageCheck
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

@testable import EmuManager

@Suite(.serialized) struct EndToEndTests {
  static let scrub = """
    local P = require "xensave".pages
    return {
      match = { name = "web1" }, side = "both",
      filter = { PAGE_DATA = function(batch) batch:fill(P.pfn(10, 19), 0x5A) end },
      policy = function(s)
        if s.iteration >= 3 then return "stop" end
        return "continue"
      end,
    }
    """
  static let passing = "return { filter = function() end, side = 'both' }"
  /// What xenopsd writes after xenguest's record: the header of the next one.
  static let next: [UInt8] = [0x00, 0x0F, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0]

  static var configuration: SimDomain.Configuration {
    var configuration = SimDomain.Configuration(frameCount: 2500)
    configuration.holes = [700..<900]
    configuration.vcpuCount = 2
    configuration.clock = .real
    configuration.workload = .steady(writesPerSecond: 20_000)
    return configuration
  }

  /// A save; what came out of it.
  private func save(
    _ text: String, _ words: [String], _ kind: TestStream.Kind = .socket
  ) throws -> (host: FakeHost, guest: SimXenguest, image: [UInt8]) {
    let host = try FakeHost(["f.lua": text])
    let guest = SimXenguest(try SimDomain(Self.configuration), host)
    let stream = TestStream(kind)
    if kind != .file { stream.collect() }
    try host.start(words, stream: stream)
    try host.run()
    guest.join()
    return (host, guest, kind == .file ? stream.rest() : stream.collected)
  }

  private func isImage(_ bytes: [UInt8]) -> Bool {
    guard !bytes.isEmpty else { return false }
    let file = TemporaryFile(bytes)
    do { return try Verifier(Source(opening: file.path)).run().isGood } catch { return false }
  }

  @Test(arguments: [FakeHost.liveSave, FakeHost.nonLiveSave], TestStream.Kind.allCases)
  func savesAndRestores(words: [String], kind: TestStream.Kind) throws {
    let isLive = words.contains("-live")
    let (host, guest, image) = try save(Self.scrub, words, kind)
    #expect(host.exitStatus == 0 && host.results.last == "result:0 0", "\(host.log)")
    #expect(guest.failure == nil && host.hasXenguestEnded)
    #expect(guest.domain.shutdown == .suspend && !guest.domain.isLogDirtyOn)
    if isLive { #expect(guest.rounds >= 3) }
    let isGood = isImage(image)
    #expect(isGood)

    let target = try FakeHost(["f.lua": Self.passing])
    let copy = try SimXenguest(SimDomain(blank: Self.configuration), target)
    let stream = TestStream()
    stream.isKept = true
    stream.feed(image + Self.next)
    try target.start(FakeHost.restore, stream: stream)
    try target.run()
    copy.join()
    #expect(copy.failure == nil && target.exitStatus == 0, "\(target.log)")
    #expect(target.results.last?.hasPrefix("result:xenguest ") == true)
    #expect(stream.rest(ofManager: true) == Self.next)
    // Page by page: those that the filter fills are others, and no more.
    #expect(copy.domain.differences(from: guest.domain) == Array(10...19))
    for page in 10...19 {
      #expect(copy.domain.page(page) == [UInt8](repeating: 0x5A, count: 4096), "page \(page)")
    }
    #expect(copy.domain.hasSameState(as: guest.domain))
  }

  /// Without a filter xenguest has the stream itself, and this program does not touch it.
  @Test func policyAlone() throws {
    let policy =
      "return { policy = function(s) return s.iteration >= 6 and 'stop' or 'continue' end }"
    let (host, guest, image) = try save(policy, FakeHost.liveSave)
    #expect(host.exitStatus == 0 && guest.failure == nil, "\(host.log)")
    let isGood = isImage(image)
    #expect(guest.rounds >= 6 && isGood)
  }

  /// A filter that only looks changes nothing: the stream is what a save without one gives.
  @Test func passesAll() throws {
    var configuration = Self.configuration
    configuration.workload = .idle
    func image(_ host: FakeHost, _ words: [String]) throws -> [UInt8] {
      let guest = SimXenguest(try SimDomain(configuration), host)
      let stream = TestStream(.pipe)
      stream.collect()
      try host.start(words, stream: stream)
      try host.run()
      guest.join()
      #expect(guest.failure == nil && host.exitStatus == 0, "\(host.log)")
      return stream.collected
    }
    let filtered = try image(FakeHost(["f.lua": Self.passing]), FakeHost.nonLiveSave)
    let plain = try image(FakeHost(["f.lua": "return { policy = 'builtin' }"]), FakeHost.liveSave)
    let (isGood, isSame) = (isImage(filtered), filtered == plain)
    // An idle guest has all of its pages in the first round.
    #expect(isGood && isSame)
  }

  /// Fails at some record: no image, xenopsd hears why, and the guest runs on.
  @Test(arguments: [FakeHost.liveSave, FakeHost.nonLiveSave]) func failingFilter(
    words: [String]
  ) throws {
    let text = """
      local count = 0
      return { filter = function(rec)
        count = count + 1
        if count == 5 then error("enough") end
      end }
      """
    let (host, guest, image) = try save(text, words)
    #expect(host.exitStatus == 1 && host.hasXenguestEnded)
    #expect(
      host.results.last?.hasPrefix("error:xensave-lua the filter failed, and nothing more is let")
        == true,
      "\(host.log)")
    #expect(host.log.contains("enough"))
    let isGood = isImage(image)
    #expect(guest.failure != nil && !isGood && !guest.domain.isLogDirtyOn)
  }

  /// What a policy of the configuration decides, and what it does not know.
  @Test func abortingPolicy() throws {
    let text = """
      local known
      return { policy = {
        on_start = function(_, dom) known = dom end,
        precopy = function(_, s)
          if s.iteration < 2 then return "continue" end
          return "abort", ("%d %s %s %s"):format(known.max_pages, known.pages, known.vcpus, known.xen)
        end,
      } }
      """
    let (host, guest, image) = try save(text, FakeHost.liveSave)
    #expect(host.exitStatus == 1)
    #expect(
      host.results.last == "error:xensave-lua the policy gave up: 2500 nil nil nil", "\(host.log)")
    // xenguest may be gone before it is asked to quit.
    #expect(host.commands.map(FakeHost.name).contains("migrate_abort"))
    let isGood = isImage(image)
    #expect(guest.failure != nil && !isGood)
  }

  /// A policy that fails is replaced by the rule of XAPI.
  @Test func failingPolicy() throws {
    let (host, guest, image) = try save(
      "return { policy = function(s) error('no') end }", FakeHost.liveSave)
    let isGood = isImage(image)
    #expect(host.exitStatus == 0 && isGood, "\(host.log)")
    #expect(guest.rounds >= 4)
    #expect(host.log.contains("the builtin policy decides"))
  }

  /// Lines of filters, and the trace of a live save.
  @Test func logAndTrace() throws {
    let host = try FakeHost()
    try FileSystem.createFolder(host.folder.path + "/traces")
    try host.folder.write(
      "conf/t.lua",
      """
      return {
        filter = { HVM_PARAMS = function(rec) require("xensave").log.info("%s", rec.type) end },
        trace = "\(host.folder.path)/traces/%n-%i.trace",
      }
      """)
    let guest = SimXenguest(try SimDomain(Self.configuration), host)
    let stream = TestStream()
    stream.collect()
    try host.start(FakeHost.liveSave, stream: stream)
    try host.run()
    guest.join()
    #expect(host.exitStatus == 0 && host.log.contains("info: filter: HVM_PARAMS\n"), "\(host.log)")
    let trace = try Trace(parsing: contents(of: host.folder.path + "/traces/web1-7.trace"))
    #expect(trace.outcome == "complete" && trace.frameCount == 2500)
    #expect(trace.rounds.count >= 5 && trace.rounds[0].dirtyCount == 2500)
    #expect(trace.suspends.count == 1)
  }

  /// Records that nobody knows: pages may be in them.
  @Test(arguments: [(nil, false), ("refuse", false), ("pass", true)] as [(String?, Bool)])
  func unknownRecords(rule: String?, isGood: Bool) throws {
    let key = rule.map { ", unknown_records = '\($0)'" } ?? ""
    let host = try FakeHost(["f.lua": "return { filter = function() end, side = 'both'\(key) }"])
    // A mandatory record of type 0x7f with 8 bytes, before END.
    host.image.replaceSubrange(
      40..<40, with: [0x7F, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    let stream = TestStream()
    try host.start(FakeHost.nonLiveSave, stream: stream)
    try host.run()
    if isGood {
      #expect(host.exitStatus == 0 && host.results.last == "result:0 0", "\(host.log)")
      #expect(stream.rest() == host.image)
    } else {
      #expect(host.exitStatus == 1)
      #expect(host.log.contains("record type 0x0000007f is not known: compressed by xenguest?"))
      #expect(host.results.last?.hasPrefix("error:xensave-lua the filter failed") == true)
    }
  }
}
