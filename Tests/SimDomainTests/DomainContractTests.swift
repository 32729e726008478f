// What every back end must do: one suite, run on each of them.

import Bytes
import Format
import Live
import SimDomain
import Stream
import SystemIO
import Testing

/// The directory of the fixtures, found from this file's place.
private let fixtures = #filePath.replacing(
  "SimDomainTests/DomainContractTests.swift", with: "Fixtures/")

/// A small domain with a hole and two vCPUs.
private var contractConfiguration: SimDomain.Configuration {
  var configuration = SimDomain.Configuration(frameCount: 2500)
  configuration.holes = [700..<900]
  configuration.vcpuCount = 2
  return configuration
}

/// A back end under test: how to get a running domain of it that may be suspended.
struct Backend: Sendable, CustomTestStringConvertible {
  let name: String
  let make: @Sendable () throws -> any Domain
  /// Makes the guest write to a page; nil where that cannot be asked for.
  let write: @Sendable (any Domain) throws -> Int?

  var testDescription: String { name }

  static let all: [Backend] = [
    Backend(name: "simulated HVM") {
      try SimDomain(contractConfiguration)
    } write: { domain in
      (domain as? SimDomain)?.write(77, 1)
      return 77
    },
    Backend(name: "simulated PV") {
      var configuration = SimDomain.Configuration(frameCount: 1024)
      configuration.guest = .x86PV
      return try SimDomain(
        restoring: Source(opening: fixtures + "pv-4m-1v-tiny.xlsave"), configuration)
    } write: { domain in
      (domain as? SimDomain)?.write(77, 1)
      return 77
    },
  ]
}

@Suite struct DomainContractTests {
  @Test(arguments: Backend.all) func infoIsStable(backend: Backend) throws {
    let domain = try backend.make()
    let info = try domain.info()
    #expect(try domain.info() == info)
    #expect(!info.isSuspended)
    #expect(Guest.of(info.guest) != nil)
    #expect(info.guest == .x86HVM ? info.guestWidth == 0 : [4, 8].contains(info.guestWidth))
    #expect(!info.onlineVCPUs.isEmpty && info.onlineVCPUs == info.onlineVCPUs.sorted())
    #expect(try domain.frameCount() >= info.pageCount)
  }

  @Test(arguments: Backend.all) func framesTypesAndPages(backend: Backend) throws {
    let domain = try backend.make()
    let count = try domain.frameCount()
    let pfns = (0..<UInt64(min(count, 1024))).map { $0 }
    var frames: [UInt64] = [1, 2, 3]
    var types: [PageType] = [.notab]
    try domain.frames(of: pfns, into: &frames)
    #expect(frames.count == pfns.count)
    #expect(Set(frames.filter { $0 != invalidFrame }).count == frames.count { $0 != invalidFrame })
    try domain.pageTypes(of: frames, into: &types)
    #expect(types.count == pfns.count)
    #expect(types.allSatisfy { !$0.isReserved })
    for (frame, type) in zip(frames, types) where frame == invalidFrame { #expect(type == .xtab) }
    let mapped = zip(frames, types).filter { $0.1.hasData }.map(\.0)
    let lease = try domain.map(mapped)
    #expect(lease.count == mapped.count)
    // Twice the same memory, in any order.
    let back = try domain.map(mapped.reversed())
    for index in mapped.indices {
      let isSame = lease.withPage(index) { a in
        back.withPage(mapped.count - 1 - index) { b in
          a.load(0, as: UInt64.self) == b.load(0, as: UInt64.self)
            && a.load(4088, as: UInt64.self) == b.load(4088, as: UInt64.self)
        }
      }
      #expect(isSame)
    }
    #expect(throws: XensaveError.self) { _ = try domain.map([1 << 50]) }
  }

  @Test(arguments: Backend.all) func logDirty(backend: Backend) throws {
    let domain = try backend.make()
    let count = try domain.frameCount()
    var bitmap = PageBitmap(count: count, full: true)
    #expect(throws: XensaveError.self) { try domain.cleanLogDirty(into: &bitmap, isFinal: false) }
    try domain.enableLogDirty()
    let first = try domain.cleanLogDirty(into: &bitmap, isFinal: false)
    #expect(first.frameCount == count && first.dirtyCount == bitmap.setCount)
    if let page = try backend.write(domain) {
      let peeked = try domain.peekLogDirty(into: &bitmap)
      #expect(bitmap[page] && peeked.dirtyCount == bitmap.setCount && peeked.frameCount == count)
      _ = try domain.cleanLogDirty(into: &bitmap, isFinal: false)
      #expect(bitmap[page], "peeking forgets nothing")
      _ = try domain.cleanLogDirty(into: &bitmap, isFinal: true)
      #expect(!bitmap[page], "cleaning does")
    }
    try domain.disableLogDirty()
    try domain.disableLogDirty()
    #expect(throws: XensaveError.self) { try domain.peekLogDirty(into: &bitmap) }
  }

  @Test(arguments: Backend.all) func suspendAndResume(backend: Backend) throws {
    let domain = try backend.make()
    try domain.suspend()
    #expect(try domain.info().isSuspended)
    try domain.suspend()
    #expect(try domain.info().isSuspended)
    try domain.resume()
    #expect(try !domain.info().isSuspended)
  }

  @Test(arguments: Backend.all) func records(backend: Backend) throws {
    let domain = try backend.make()
    let guest = try #require(Guest.of(domain.info().guest))
    for type in guest.staticData { _ = try domain.state(type, vcpu: nil) }
    for type in guest.startOfStream { #expect(try domain.state(type, vcpu: nil) != nil) }
    try domain.suspend()
    for type in guest.endOfCheckpoint {
      let body = try #require(try domain.state(type, vcpu: nil))
      #expect(RecordSchemas.of(type)?.name == type.name && !body.isEmpty)
    }
    for vcpu in try domain.info().onlineVCPUs {
      for type in guest.eachVCPU {
        guard let body = try domain.state(type, vcpu: vcpu) else { continue }
        #expect(body.load(0, as: UInt32.self) == UInt32(vcpu))
      }
    }
  }

  @Test(arguments: Backend.all) func saveLeavesNothing(backend: Backend) throws {
    let domain = try backend.make()
    let scratch = try ScratchFile()
    _ = try Save(domain, to: scratch.sink(as: "save"), mode: .live(XenDefaultPolicy())).run()
    var reader = StreamReader(try scratch.source(as: "save"))
    while try reader.next() != nil {}
    #expect(reader.ending == .end && reader.recordCount > 5)
    var bitmap = PageBitmap(count: try domain.frameCount())
    #expect(throws: XensaveError.self, "log-dirty is off") {
      try domain.peekLogDirty(into: &bitmap)
    }
    try domain.resume()
  }
}
