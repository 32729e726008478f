// When a new record type is sent, and whether each vCPU has one, is said by its row and nowhere else.

import Format
import ImageCheck
import ImageEdit
import Live
import SimDomain
import Stream
import SystemIO
import Testing

@testable import LuaAPI
@testable import LuaRuntime
@testable import REPL

@Suite struct AddRecordPhaseTests {
  /// Static, and a list whose elements are known by their index.
  static let policy = RecordSchema(
    RecordType(.libxc, 0x13), "X86_CACHE_POLICY", "Caches that the guest is told of.",
    phase: .staticData, isKeyed: true, length: .elements(base: 0, step: 16, atLeast: 1),
    [
      .array("cache", .rest, of: [.u32("index"), .reserved(4), .u64("size")]).keyed(by: "index")
    ])
  /// State of a vCPU.
  static let state = RecordSchema(
    RecordType(.libxc, 0x14), "X86_PV_VCPU_CACHE", "What a vCPU has in its cache.", guests: .pv,
    phase: .endOfCheckpoint, perVCPU: true, length: .exactly(16),
    [.u32("vcpu_id"), .reserved(4), .u64("lines")])

  private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"

  /// Runs Lua with both rows there; it finds `pv` and makers of both records.
  private func run(_ code: String, in folder: String) throws {
    let shell = try ShellContext(SessionExplainer())
    defer { shell.state.close() }
    try shell.bind()
    let text = """
      local xs = require "xensave"
      local pv, folder = ...
      local function policy(...)
        local list = {}
        for _, index in ipairs { ... } do list[#list + 1] = { index = index, size = 64 * index } end
        return xs.record("X86_CACHE_POLICY", { cache = list })
      end
      local function state(id, lines)
        return xs.record("X86_PV_VCPU_CACHE", { vcpu_id = id, lines = lines or 7 })
      end
      local function make(name, filter)
        return assert(xs.rewrite(pv, folder .. "/" .. name, filter, { unchecked = true }))
      end

      """
    try shell.state.load(Array((text + code).utf8), name: "=test")
    for argument in [pv, folder] { shell.state.frame.push(argument) }
    try shell.state.call(2)
  }

  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    try RecordSchemas.$added.withValue([Self.policy, Self.state]) { try body(folder) }
  }

  /// An image that has both, the static one first of all.
  private static let good = """
    make("good", {
      X86_PV_INFO = function(rec) return policy(1, 2), rec end,
      X86_PV_VCPU_BASIC = function(rec) return rec, state(0) end,
    })

    """

  private func types(_ path: String) throws -> [RecordType] {
    var reader = StreamReader(try Source(opening: path))
    var out: [RecordType] = []
    while let part = try reader.next() {
      if case .record(let record) = part, out.last != record.type { out.append(record.type) }
    }
    return out
  }

  @Test func verifyKnowsTheirOrder() throws {
    try inFolder { folder in
      try run(
        Self.good + """
          make("static-data.late", { STATIC_DATA_END = function(r) return r, policy(1) end })
          make("static-data.duplicate", {
            STATIC_DATA_END = function(r) return policy(1), policy(1), r end })
          make("x86-pv-info.late", { X86_PV_INFO = function(r) return state(0), r end })
          make("page-data.late", { X86_PV_P2M_FRAMES = function(r) return r, state(0) end })
          make("record.duplicate", { SHARED_INFO = function(r) return state(0), state(0), r end })
          make("vcpu.id", { SHARED_INFO = function(r) return state(9999), r end })
          make("vcpu.basic", { SHARED_INFO = function(r) return state(3), r end })
          """, in: folder)
      let good = try Verifier(try Source(opening: folder + "/good")).run()
      #expect(good.count(.error) + good.count(.warning) == 0, "\(good.findings)")
      for rule in [
        "static-data.late", "static-data.duplicate", "x86-pv-info.late", "page-data.late",
        "record.duplicate", "vcpu.id", "vcpu.basic",
      ] {
        let report = try Verifier(try Source(opening: "\(folder)/\(rule)")).run()
        #expect(report.findings.contains { $0.ruleID == rule }, "\(rule): \(report.findings)")
      }
    }
  }

  /// A static record stands before the pages whatever the source's order was; a vCPU's after them.
  @Test func compactPutsThemWhereTheyBelong() throws {
    try inFolder { folder in
      try run(
        """
        make("late", {
          X86_PV_P2M_FRAMES = function(rec) return rec, policy(1) end,
          X86_PV_VCPU_BASIC = function(rec) return rec, state(0) end,
        })
        assert(assert(xs.open(folder .. "/late")):compact(folder .. "/small", { unchecked = true }))
        """, in: folder)
      let order = try types(folder + "/small")
      let pages = try #require(order.firstIndex(of: .pageData))
      let first = try #require(order.firstIndex(of: Self.policy.type))
      let last = try #require(order.lastIndex(of: Self.state.type))
      #expect(first < pages && pages < last, "\(order.map(\.name))")
    }
  }

  @Test func diffPairsThem() throws {
    try inFolder { folder in
      try run(
        Self.good + """
          make("other", {
            X86_PV_INFO = function(rec) return policy(1, 3, 2), rec end,
            X86_PV_VCPU_BASIC = function(rec) return rec, state(0, 8) end,
          })
          """, in: folder)
      var paths: [String] = []
      try ImageDiff(
        ImageDocument(try Source(opening: folder + "/good")),
        ImageDocument(try Source(opening: folder + "/other"))
      ).run { paths.append("\($0.kind.rawValue) \($0.path)") }
      // The one between is new: those beside it are the same.
      #expect(paths.contains("field X86_PV_VCPU_CACHE.lines"), "\(paths)")
      #expect(paths.contains { $0.hasPrefix("added X86_CACHE_POLICY.cache[") }, "\(paths)")
      #expect(!paths.contains { $0.hasPrefix("field X86_CACHE_POLICY") }, "\(paths)")
    }
  }

  /// The static one does not end the static data, and the other one is that vCPU's.
  @Test func restoreAppliesThem() throws {
    try inFolder { folder in
      try run(Self.good, in: folder)
      var configuration = SimDomain.Configuration(frameCount: 1024)
      configuration.guest = .x86PV
      let domain = try SimDomain(blank: configuration)
      final class Observer: RestoreObserver {
        var missing: [RecordType]?
        func begin(_ guest: GuestType, xenMajor: UInt32, xenMinor: UInt32) {}
        func staticDataDone(missing: [RecordType]) { self.missing = missing }
        func end(_ outcome: SaveOutcome) {}
      }
      let observer = Observer()
      _ = try Restore(
        try Source(opening: folder + "/good"), into: domain, observer: observer
      ).run()
      #expect(observer.missing == [])
      try domain.suspend()
      #expect(try domain.state(Self.policy.type, vcpu: nil)?.count == 32)
      #expect(try domain.state(Self.state.type, vcpu: 0)?.count == 16)
    }
  }

  /// Version 2 has no STATIC_DATA_END: on the way back it stands after all that is static.
  @Test func convertKeepsThemInOrder() throws {
    try inFolder { folder in
      try run(
        Self.good + """
          local image = assert(xs.open(folder .. "/good"))
          assert(image:convert(folder .. "/v2", { version = 2, lossy = true }))
          assert(assert(xs.open(folder .. "/v2")):convert(folder .. "/v3", { version = 3 }))
          """, in: folder)
      #expect(!(try types(folder + "/v2")).contains(.staticDataEnd))
      let order = try types(folder + "/v3")
      let first = try #require(order.firstIndex(of: Self.policy.type))
      let end = try #require(order.firstIndex(of: .staticDataEnd))
      #expect(first < end, "\(order.map(\.name))")
      #expect(order.contains(Self.state.type))
    }
  }
}
