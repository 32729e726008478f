// Properties that hold for random values, texts and edits. Each test prints its seed.

import JSON
import Testing

@Suite struct RandomTests {
  @Test func readingWhatWasWrittenGivesTheValue() throws {
    var seed = Seed.fresh()
    for _ in 0..<2000 {
      let value = seed.value()
      for style in [JSONStyle.compact, .pretty, .libxl] {
        #expect(try JSONValue(parsing: value.text(style)) == value)
      }
      #expect(try JSONValue(parsing: seed.text(of: value)) == value)
    }
  }

  @Test func pathsSurviveTheirTextForm() throws {
    var seed = Seed.fresh()
    for _ in 0..<2000 {
      let keys = (0..<seed.below(5)).map { _ -> JSONKey in
        seed.once(in: 2) ? .index(seed.below(100)) : .name(seed.string())
      }
      #expect(try JSONPath(parsing: JSONPath(keys).description) == JSONPath(keys))
    }
  }

  /// Bytes at both ends that two texts share, none counted twice.
  private func shared(_ left: [UInt8], _ right: [UInt8]) -> Int {
    let limit = min(left.count, right.count)
    let prefix = (0..<limit).first { left[$0] != right[$0] } ?? limit
    let suffix = (0..<limit - prefix).first {
      left[left.count - 1 - $0] != right[right.count - 1 - $0]
    }
    return prefix + (suffix ?? limit - prefix)
  }

  @Test func settingLeavesAllOtherBytesAlone() throws {
    var seed = Seed.fresh()
    for _ in 0..<2000 {
      var document = try JSONDocument(seed.text(of: seed.object()))
      let path = seed.path(into: document.root)
      let old = document.text
      let oldValue = document[path]
      let range = try #require(document.range(of: path))
      let value = seed.value(depth: 2)
      try document.set(path, to: value)
      let newEnd = document.text.count - (old.count - range.upperBound)
      #expect(old[..<range.lowerBound] == document.text[..<range.lowerBound])
      #expect(old[range.upperBound...] == document.text[newEnd...])
      #expect(document[path] == value)
      if let oldValue, oldValue.isScalar, oldValue.text() == Array(old[range]) {
        try document.set(path, to: oldValue)
        #expect(document.text == old)
      }
    }
  }

  @Test func insertingAndRemovingUndoEachOther() throws {
    var seed = Seed.fresh()
    for _ in 0..<2000 {
      var document = try JSONDocument(seed.text(of: seed.object()))
      let old = document.text
      let parentPath = seed.path(into: document.root)
      let key: JSONKey
      let hasNeighbours: Bool
      switch document[parentPath] {
      case .object(let object):
        key = .name(seed.string() + "new")
        hasNeighbours = !object.members.isEmpty
      case .array(let elements):
        key = .index(seed.below(elements.count + 1))
        hasNeighbours = !elements.isEmpty
      default: continue
      }
      let path = parentPath.appending(key)
      if document[path] != nil, case .name = key { continue }
      let value = seed.value(depth: 2)
      try document.insert(value, at: path)
      #expect(document[path] == value)
      guard hasNeighbours else { continue }
      #expect(shared(old, document.text) == old.count)
      try document.remove(path)
      #expect(document.text == old)
    }
  }

  @Test func removingTakesOneChunkOut() throws {
    var seed = Seed.fresh()
    for _ in 0..<2000 {
      var document = try JSONDocument(seed.text(of: seed.object()))
      let path = seed.path(into: document.root)
      guard let parentPath = path.parent, let key = path.keys.last else { continue }
      let old = document.text
      let parent = try #require(document[parentPath])
      try document.remove(path)
      let expected: JSONValue
      switch (parent, key) {
      case (.object(var object), .name(let name)):
        object[name] = nil
        expected = .object(object)
      case (.array(var elements), .index(let index)):
        elements.remove(at: index)
        expected = .array(elements)
      default: continue
      }
      #expect(document[parentPath] == expected)
      #expect(shared(old, document.text) == document.text.count || expected.isEmpty)
    }
  }

  @Test func mutatedConfigsNeverTrap() {
    var seed = Seed.fresh()
    let bytes = Array("\"\\{}[]:,0123456789-+.eEtrufalsn \n\u{0}é".utf8)
    for round in 0..<4000 {
      var text = Array(RealConfigs.all[round % RealConfigs.all.count].utf8)
      for _ in 0...seed.below(4) {
        let at = seed.below(text.count)
        switch seed.below(4) {
        case 0: text.remove(at: at)
        case 1: text.insert(bytes[seed.below(bytes.count)], at: at)
        case 2: text[at] = bytes[seed.below(bytes.count)]
        default: text[at] = UInt8(truncatingIfNeeded: seed.next())
        }
      }
      guard var document = try? JSONDocument(text) else { continue }
      #expect(document.text == text)
      #expect((try? JSONValue(parsing: document.root.text())) == document.root)
      let path = seed.path(into: document.root)
      try? document.set(path, to: seed.value(depth: 2))
      try? document.remove(path)
    }
  }
}

extension Seed {
  /// A path to some value inside `root`.
  mutating func path(into root: JSONValue) -> JSONPath {
    var path: JSONPath = []
    var value = root
    while !once(in: 4) {
      switch value {
      case .object(let object) where !object.members.isEmpty:
        let member = object.members[below(object.members.count)]
        path = path.appending(.name(member.name))
        value = member.value
      case .array(let elements) where !elements.isEmpty:
        let index = below(elements.count)
        path = path.appending(.index(index))
        value = elements[index]
      default: return path
      }
    }
    return path
  }
}

extension JSONValue {
  fileprivate var isScalar: Bool { arrayValue == nil && objectValue == nil }

  fileprivate var isEmpty: Bool { arrayValue == [] || objectValue == [:] }
}
