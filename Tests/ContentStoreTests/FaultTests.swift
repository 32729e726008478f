// Whatever fails on the way, and wherever a program is killed: what a store lists is whole.

import CSystemCalls
import Glibc
import SystemIO
import TestKit
import Testing

@testable import ContentStore

@Suite struct FaultTests {
  /// What is done to a store, from what it is to what it becomes.
  enum Operation: String, CaseIterable {
    case put, replace, remove, collect
  }

  /// The store that an operation begins with, and the images that there are or will be.
  private struct Scene {
    let objects: Objects
    let images: [String: [UInt8]]
    /// The names that are there whatever becomes of the operation.
    let kept: [String]
    private let operation: Operation
    private let files = TestStore()
    private let source: Source

    init(_ operation: Operation) throws {
      self.operation = operation
      var random = Seed()
      let pages = randomPages(30, &random)
      let large = image(pages)
      // Pages of the other image, and some of its own.
      let small = image(Array(pages[7..<12]) + plainPages(3))
      let test = TestStore()
      try test.put(large, as: "large")
      switch operation {
      case .put: kept = ["large"]
      case .replace:
        try test.put(large, as: "small")
        kept = ["large", "small"]
      case .remove:
        try test.put(small, as: "small")
        kept = ["large"]
      case .collect:
        // One pack that nobody needs, one of which little is needed, and one that stays.
        try test.put(small, as: "small")
        try test.put(small, as: "zmall")
        try test.put(image(randomPages(4, &random)), as: "other")
        for name in ["other", "large"] { try test.open().remove(name) }
        kept = ["small", "zmall"]
      }
      var images = ["large": large, "small": small]
      if operation == .collect { images["zmall"] = small }
      self.images = images
      objects = try test.objects()
      source = try files.source(small)
    }

    func run(_ store: ImageStore) throws {
      switch operation {
      case .put: _ = try store.adding().put(source, as: "small")
      case .replace:
        _ = try store.adding().put(source, as: "small", isReplacing: true)
      case .remove: try store.remove("small")
      case .collect: _ = try store.collect()
      }
    }

    /// Expects that nothing is lost, and that all can be done that was not.
    func check(_ test: TestStore, _ comment: String) throws {
      // In a store whose "small" is being replaced both the old and the new one are right.
      var images = images
      if operation == .replace, try hasSameBytes(test.read("small"), images["large"] ?? []) {
        images["small"] = images["large"]
      }
      let names = try test.check(images, comment)
      #expect(Set(names).isSuperset(of: kept), "\(comment): \(names)")
      #expect(try test.open().collect().packCount > 0, "\(comment)")
      #expect(try test.check(images, "\(comment), collected") == names)
      #expect(test.names("packs") == test.names("index"), "\(comment)")
      for (name, bytes) in self.images where !names.contains(name) || operation == .replace {
        try test.put(bytes, as: name, isReplacing: true)
      }
      let all = try test.check(self.images, "\(comment), put again")
      #expect(all == self.images.keys.sorted(), "\(comment)")
    }
  }

  /// Calls that change something, and calls that read.
  private static let writing = calls_set(
    rawValue: calls_all.rawValue
      & ~(calls_lseek.rawValue | calls_read.rawValue | calls_pread.rawValue))
  private static let reading = calls_set(rawValue: calls_read.rawValue | calls_pread.rawValue)

  /// Runs `body` while call `at` of these fails, of this thread or with one of the files: whether
  /// it came so far, and what was thrown.
  private func failing(
    _ calls: calls_set, at: Int, _ number: Int32, files: [String], _ body: () throws -> Void
  ) -> (isMet: Bool, error: (any Error)?) {
    let plan = calls_begin(
      Int32(bitPattern: calls.rawValue), calls_fail, at, 1, Int(number))
    for path in files {
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      calls_add_file(plan, descriptor)
      close(descriptor)
    }
    var thrown: (any Error)?
    do { try body() } catch { thrown = error }
    let isMet = calls_hits(plan) > 0
    calls_end(plan)
    return (isMet, thrown)
  }

  /// Each call in turn fails, until there are no more of them.
  @Test(arguments: Operation.allCases, [false, true])
  func everyCallMayFail(operation: Operation, isReading: Bool) throws {
    let scene = try Scene(operation)
    var at = 1
    while true {
      let test = try TestStore(scene.objects)
      let store = try test.open()
      // Indexes are read by several threads.
      let files = test.names("index").map { "\(test.root)/index/\($0)" }
      let (isMet, error) = failing(
        isReading ? Self.reading : Self.writing, at: at, isReading ? EIO : ENOSPC, files: files
      ) { try scene.run(store) }
      let comment = "call \(at) of \(operation)"
      #expect(test.names("leases") == [], "\(comment)")
      guard isMet else {
        if let error { Issue.record("\(comment): \(error)") }
        break
      }
      if let error {
        #expect(XensaveError(error).code != .fault, "\(comment): \(error)")
      } else {
        Issue.record("\(comment) failed, and nobody was told")
      }
      try scene.check(test, comment)
      at += 1
    }
    // At least the lease is written; and read are at least the objects that are needed.
    #expect(at > (isReading ? (operation == .remove ? 0 : 3) : 3), "\(at)")
  }

  // MARK: - Killed

  /// The states of a store on the way from one to another: objects come in the order in which they
  /// need each other, and then those go that nobody needs.
  private func states(_ before: Objects, _ after: Objects) -> [Objects] {
    var steps: [(name: String, bytes: [UInt8]?)] = []
    for folder in ["packs/", "index/", "images/"] {
      for name in after.keys.sorted() where name.hasPrefix(folder) && before[name] != after[name] {
        steps.append((name, after[name]))
      }
    }
    for name in before.keys.sorted() where after[name] == nil && !name.hasPrefix("packs/") {
      steps.append((name, nil))
      // A pack goes after its index.
      if name.hasPrefix("index/") { steps.append(("packs/" + name.dropFirst(6), nil)) }
    }
    var (state, out) = (before, [before])
    for step in steps {
      state[step.name] = step.bytes
      out.append(state)
    }
    return out
  }

  /// A program that is killed has written its lease, and the first of its objects.
  @Test(arguments: Operation.allCases) func killedAnywhere(operation: Operation) throws {
    let scene = try Scene(operation)
    let whole = try TestStore(scene.objects)
    try scene.run(whole.open())
    let after = try whole.objects()
    let states = states(scene.objects, after)
    #expect(states.last == after)
    let least = [Operation.put: 4, .replace: 4, .remove: 2, .collect: 9]
    #expect(states.count >= least[operation] ?? 0, "\(states.count)")
    for (number, state) in states.enumerated() {
      let test = try TestStore(state)
      let kind = operation == .collect ? "alone" : "shared"
      let comment = "\(operation), \(number) objects"
      // As long as its lease counts garbage stays, and who adds waits for a collection alone.
      let lease = #"{"kind":"\#(kind)","until":\#(time(nil) + 3600)}"#
      try test.write("leases/killed", Array(lease.utf8))
      #expect(code { try test.open().collect() } == .busy, "\(comment)")
      let result = code { try test.put(StreamBuilder.pv().bytes, as: "new") }
      #expect(result == (operation == .collect ? .busy : nil), "\(comment)")
      if result == nil { try test.open().remove("new") }
      try test.write("leases/killed", Array(#"{"kind":"\#(kind)","until":1}"#.utf8))
      try scene.check(test, comment)
      #expect(test.names("leases") == [], "\(comment)")
    }
  }

  /// A folder in which nothing can be written: no lease, no image, and nothing that is half there.
  @Test func aFolderThatIsGone() throws {
    let scene = try Scene(.put)
    for folder in ImageStore.folders {
      let test = try TestStore(scene.objects)
      let store = try test.open()
      for name in test.names(folder) { test.remove(folder + "/" + name) }
      test.remove(folder)
      let error = #expect(throws: (any Error).self, "\(folder)") { try scene.run(store) }
      let text = error.map { "\($0)" } ?? ""
      #expect(text.contains(test.root), "\(folder): \(text)")
      #expect(test.names("leases") == [], "\(folder)")
      #expect(!test.names("images").contains("small"), "\(folder)")
    }
  }
}
