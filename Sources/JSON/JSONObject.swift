// The members of a JSON object, in order.

/// An object: members in the order of the text.
///
/// Lookups are linear: these are configs of a few dozen members.
public struct JSONObject: Sendable, Equatable {
  /// A name and its value.
  public struct Member: Sendable, Equatable {
    /// The name, unescaped.
    public var name: String
    /// The value.
    public var value: JSONValue

    /// Makes a member.
    public init(name: String, value: JSONValue) {
      self.name = name
      self.value = value
    }

    /// Names are equal when their UTF-8 bytes are.
    public static func == (left: Member, right: Member) -> Bool {
      sameBytes(left.name, right.name) && left.value == right.value
    }
  }

  /// The members. Names are unique unless the text was read with `DuplicateNames.keep`.
  public private(set) var members: [Member]

  /// An object without members.
  public init() {
    members = []
  }

  init(members: [Member]) {
    self.members = members
  }

  /// An object of members of which no two have the same name: none is looked up.
  public init(distinct members: [Member]) {
    self.members = members
  }

  /// The names in order.
  public var names: [String] { members.map(\.name) }

  /// The value of the first member of this name. Setting replaces it in place or appends a
  /// member; setting nil removes it.
  public subscript(name: String) -> JSONValue? {
    get {
      members.first { sameBytes($0.name, name) }?.value
    }
    set {
      let index = members.firstIndex { sameBytes($0.name, name) }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (let index?, nil): members.remove(at: index)
      case (nil, let value?): members.append(Member(name: name, value: value))
      case (nil, nil): break
      }
    }
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  /// Members in the order of the literal; of a name given twice the last value stays.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self.init()
    for (name, value) in elements {
      self[name] = value
    }
  }
}
