// Who adds keeps the collection of garbage away, and the other way round.

import Glibc
import Synchronization
import SystemIO
import TestKit
import Testing

@testable import ContentStore

@Suite struct LeaseTests {
  private let bytes = StreamBuilder.hvm().bytes

  /// A lease as another program has written it.
  private func lease(_ kind: String, until: Int) -> [UInt8] {
    Array(#"{"kind":"\#(kind)","until":\#(until)}"#.utf8)
  }

  private var now: Int { time(nil) }

  @Test func whoAddsKeepsTheCollectionAway() throws {
    let test = TestStore()
    try test.put(bytes, as: "a")
    let store = try test.open()
    try store.remove("a")
    let lease = try StoreLease(store.place, .shared)
    let before = try test.objects()
    #expect(before.keys.contains { $0.hasPrefix("leases/") })
    let error = #expect(throws: XensaveError.self) { _ = try store.collect() }
    #expect(error?.code == .busy)
    #expect(try test.objects() == before)
    // Others who add are welcome.
    let other = try StoreLease(store.place, .shared)
    try test.put(bytes, as: "b")
    other.release()
    other.release()
    #expect(code { try store.collect() } == .busy)
    lease.release()
    #expect(code { try store.collect() } == nil)
    try test.check(["b": bytes])
  }

  @Test func theCollectionKeepsOthersAway() throws {
    let test = TestStore()
    try test.put(bytes, as: "a")
    let store = try test.open()
    let source = try test.source(StreamBuilder.pv().bytes)
    do {
      let lease = try StoreLease(store.place, .alone)
      let before = try test.objects()
      #expect(code { try store.adding() } == .busy)
      #expect(code { try store.remove("a") } == .busy)
      #expect(code { try store.collect() } == .busy)
      #expect(try test.objects() == before)
      // Reading needs no lease.
      #expect(try test.check(["a": bytes]) == ["a"])
      try lease.check()
      try lease.renew()
    }
    // It went with its value.
    #expect(test.names("leases") == [])
    _ = try store.adding().put(source, as: "b")
    _ = try store.collect()
  }

  /// A lease is over a quarter of an hour after its hour: clocks differ.
  @Test(arguments: ["alone", "shared"]) func leasesThatAreOver(kind: String) throws {
    let test = TestStore()
    try test.put(bytes, as: "a")
    let store = try test.open()
    for until in [0, now - 100_000, now - 1000] {
      try test.write("leases/old", lease(kind, until: until))
      #expect(throws: Never.self) { try test.put(bytes, as: "b") }
      #expect(throws: Never.self) { try store.remove("b") }
      #expect(test.names("leases") == ["old"])
      #expect(throws: Never.self) { _ = try store.collect() }
      #expect(test.names("leases") == [])
    }
    for until in [now - 600, now, now + 3600, Int.max] {
      try test.write("leases/new", lease(kind, until: until))
      #expect(code { try store.collect() } == .busy)
      #expect(code { try test.put(bytes, as: "b") } == (kind == "alone" ? .busy : nil))
      if kind == "shared" { try store.remove("b") }
      #expect(test.names("leases") == ["new"])
    }
    try test.check(["a": bytes])
  }

  @Test(arguments: [
    "", "x", "{", "[]", "{}", #"{"kind":"alone"}"#, #"{"until":9}"#,
    #"{"kind":"alone","until":"tomorrow"}"#, #"{"kind":7,"until":-9}"#,
    #"{"kind":"alone","until":1e400}"#, "\0\0\0", String(repeating: "[", count: 3000),
    // Longer than any lease.
    String(repeating: "x", count: 5000),
  ])
  func whatIsNoLease(text: String) throws {
    let test = TestStore()
    let store = try test.open()
    try test.write("leases/garbage", Array(text.utf8))
    #expect(throws: Never.self) { try test.put(bytes, as: "a") }
    #expect(test.names("leases") == ["garbage"])
    #expect(try test.check(["a": bytes]) == ["a"])
    #expect(throws: Never.self) { try store.remove("a") }
    #expect(throws: Never.self) { _ = try store.collect() }
    #expect(test.names("leases") == [])
  }

  /// Whoever has lost a lease finds that out before anything counts on it.
  @Test func aLeaseThatSomebodyRemoved() throws {
    let test = TestStore()
    let store = try test.open()
    let lease = try StoreLease(store.place, .shared)
    try lease.check()
    #expect(test.names("leases").count == 1)
    test.remove("leases/" + test.names("leases")[0])
    #expect(code { try lease.check() } == .busy)
    #expect(test.names("leases") == [])
    lease.release()
  }

  private final class Errors: Sendable { let all = Mutex<[String]>([]) }

  /// Of those who come at the same time none that adds meets one that collects.
  @Test func manyAtOnce() throws {
    let test = TestStore()
    let root = test.root
    _ = try test.open()
    var random = Seed()
    let images = (0..<4).map { _ in image(randomPages(3, &random)) }
    let files = images.map { TemporaryFile($0) }
    let errors = Errors()
    let threads = (0..<4).map { index in
      let path = files[index].path
      return TestThread {
        for turn in 0..<4 {
          do {
            let store = try ImageStore(root)
            if (index + turn) % 4 == 0 {
              _ = try store.collect()
            } else {
              let source = try Source(opening: path)
              _ = try store.adding().put(source, as: "\(index)", isReplacing: true)
            }
          } catch {
            guard XensaveError(error).code != .busy else { continue }
            errors.all.withLock { $0.append("\(error)") }
          }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(errors.all.withLock { $0 } == [])
    let all = Dictionary(uniqueKeysWithValues: images.enumerated().map { ("\($0)", $1) })
    try test.check(all)
    #expect(test.names("leases") == [])
    _ = try test.open().collect()
    try test.check(all)
  }
}
