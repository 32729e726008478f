// Classes as one table: from it come the binding, help, completion and the documentation.

internal import CLuaShim

/// What is said of a member for people: one row of documentation.
public struct LuaDeclaration: Sendable, Equatable {
  public enum Kind: String, Sendable {
    case module, `class`, property, method, function, metamethod
  }
  public let kind: Kind
  /// The class or module ("Record", "xs").
  public let owner: String
  public let name: String
  /// For functions the parameters and results as LuaLS writes them: "(path: string): Image?, err";
  /// for properties the type: "integer".
  public let type: String
  /// What a number counts: "octets", "s", "pages/s"; "" where it has none.
  public let unit: String
  /// Sentences: what it does, units, ranges, errors.
  public let doc: String
  /// One line of Lua that shows it, or "".
  public let example: String
  /// The release that introduced it.
  public let since: String
  public let isReadOnly: Bool

  /// The release that brought what says no other.
  public static let firstRelease = "0.1"

  public init(
    _ kind: Kind, owner: String, _ name: String, _ type: String, _ doc: String,
    unit: String = "", example: String = "", since: String = firstRelease, isReadOnly: Bool = true
  ) {
    self.kind = kind
    self.owner = owner
    self.name = name
    self.type = type
    self.unit = unit
    self.doc = doc
    self.example = example
    self.since = since
    self.isReadOnly = isReadOnly
  }
}

/// One member of a class.
public struct LuaMember<Object: AnyObject> {
  enum Body {
    case property(
      get: (Object, LuaFrame) throws -> Void,
      set: ((Object, LuaFrame) throws -> Void)?)
    case method((Object, LuaFrame) throws -> Int32)
  }
  public let name: String
  let type: String
  let doc: String
  let unit: String
  let example: String
  let since: String
  let body: Body

  /// A property. `get` pushes one value; `set` finds the new one at index 3. `unit` is what a number
  /// counts, `since` the release that brought the member.
  public static func property(
    _ name: String, _ type: String, _ doc: String, unit: String = "", example: String = "",
    since: String = LuaDeclaration.firstRelease,
    get: @escaping (Object, LuaFrame) throws -> Void,
    set: ((Object, LuaFrame) throws -> Void)? = nil
  ) -> LuaMember {
    LuaMember(
      name: name, type: type, doc: doc, unit: unit, example: example, since: since,
      body: .property(get: get, set: set))
  }

  /// A method. Its first argument is at index 2. `unit` is what the number counts that it gives.
  public static func method(
    _ name: String, _ type: String, _ doc: String, unit: String = "", example: String = "",
    since: String = LuaDeclaration.firstRelease,
    _ body: @escaping (Object, LuaFrame) throws -> Int32
  ) -> LuaMember {
    LuaMember(
      name: name, type: type, doc: doc, unit: unit, example: example, since: since,
      body: .method(body))
  }
}

/// A class of Swift objects that Lua can use.
public struct LuaClass<Object: AnyObject> {
  public typealias Function = (Object, LuaFrame) throws -> Int32
  public let name: String
  public let doc: String
  public var members: [LuaMember<Object>]
  /// Names that are no members: the key is at index 2. Pushes one value.
  public var index: Function?
  /// Assignment to such a name: key at 2, value at 3.
  public var newIndex: Function?
  public var length: Function?
  public var toString: ((Object) -> String)?
  /// Called at the end of a `<close>` variable's scope.
  public var close: Function?
  public var call: Function?
  public var equal: ((Object, Object) -> Bool)?
  /// Bytes that an object keeps for the script, beyond a few: looked at when it is pushed, and after
  /// each call of its methods and setters.
  public var weight: ((Object) -> Int)?
  /// Metamethods by their own names ("__band"): the operands are at 1 and 2, either may be the
  /// object.
  public var operators: [(name: String, body: LuaFunction)] = []

  public init(_ name: String, _ doc: String, _ members: [LuaMember<Object>]) {
    self.name = name
    self.doc = doc
    self.members = members
  }
}

/// A function of a module.
public struct LuaModuleFunction {
  let declaration: LuaDeclaration
  let body: LuaFunction

  public init(
    _ owner: String, _ name: String, _ type: String, _ doc: String, unit: String = "",
    example: String = "", since: String = LuaDeclaration.firstRelease, _ body: @escaping LuaFunction
  ) {
    declaration = LuaDeclaration(
      .function, owner: owner, name, type, doc, unit: unit, example: example, since: since)
    self.body = body
  }
}

extension LuaState {
  /// Makes a class known. Objects of `Object` can be pushed from then on.
  public func register<Object: AnyObject>(_ table: LuaClass<Object>) {
    let L = frame.L
    var known = KnownClass(name: table.name)
    if let weight = table.weight {
      known.weight = { object in (object as? Object).map(weight) ?? 0 }
    }
    setClass(known, of: ObjectIdentifier(Object.self))
    let name = table.name
    var metamethods = clua_metamethods(
      index: -1, newindex: -1, length: -1, tostring: -1, call: -1, close: -1, equal: -1)
    func bind(_ event: String, _ body: LuaClass<Object>.Function?) -> Int {
      guard let body else { return -1 }
      return add(event, isMethod: true, weighed(table.weight, body))
    }
    metamethods.index = bind("index", table.index)
    metamethods.newindex = bind("assignment", table.newIndex)
    metamethods.length = bind("#", table.length)
    metamethods.call = bind("call", table.call)
    metamethods.close = bind("close", table.close)
    if let toString = table.toString {
      metamethods.tostring = bind("tostring") { object, frame in
        frame.push(toString(object))
        return 1
      }
    }
    if let equal = table.equal {
      metamethods.equal = add("==", isMethod: false) { frame in
        guard let a: Object = frame.objectIfAny(1), let b: Object = frame.objectIfAny(2) else {
          frame.push(false)
          return 1
        }
        frame.push(equal(a, b))
        return 1
      }
    }
    L.newClass(name, metamethods)
    declarations.append(LuaDeclaration(.class, owner: name, name, name, table.doc))
    for member in table.members { register(member, of: name, table.weight) }
    for entry in table.operators {
      L.addMetamethod(name, entry.name, add(entry.name, isMethod: false, entry.body))
    }
  }

  /// A function of an object that is weighed afterwards.
  private func weighed<Object: AnyObject>(
    _ weight: ((Object) -> Int)?, _ body: @escaping LuaClass<Object>.Function
  ) -> LuaFunction {
    guard let weight else {
      return { frame in try body(try frame.object(1), frame) }
    }
    return { frame in
      let object: Object = try frame.object(1)
      defer { frame.L.setWeight(1, of: object, weight(object)) }
      return try body(object, frame)
    }
  }

  private func register<Object: AnyObject>(
    _ member: LuaMember<Object>, of owner: String, _ weight: ((Object) -> Int)?
  ) {
    let L = frame.L
    switch member.body {
    case .method(let body):
      let functionID = add(member.name, isMethod: true, weighed(weight, body))
      L.addMethod(owner, member.name, functionID)
      declarations.append(
        LuaDeclaration(
          .method, owner: owner, member.name, member.type, member.doc, unit: member.unit,
          example: member.example, since: member.since))
    case .property(let get, let set):
      let getter = add(member.name, isMethod: true) { frame in
        try get(try frame.object(1), frame)
        return 1
      }
      let setter =
        set.map { set in
          add(
            member.name, isMethod: true,
            weighed(weight) { object, frame in
              try set(object, frame)
              return 0
            })
        } ?? -1
      L.addProperty(owner, member.name, getter, setter)
      declarations.append(
        LuaDeclaration(
          .property, owner: owner, member.name, member.type, member.doc, unit: member.unit,
          example: member.example, since: member.since, isReadOnly: set == nil))
    }
  }

  /// Adds functions to the table on the top of the frame.
  public func addFunctions(_ functions: [LuaModuleFunction]) {
    for function in functions {
      frame.push(function: function.declaration.name, function.body)
      if let address = frame.identity(-1) { declared[address] = function.declaration }
      frame.setField(function.declaration.name)
      declarations.append(function.declaration)
    }
  }

  /// Declares the table on the top of the frame: a module, or a part of one.
  public func declareTop(_ declaration: LuaDeclaration) {
    if let address = frame.identity(-1) { declared[address] = declaration }
    declarations.append(declaration)
  }

  /// Sets a field of the table on the top of the frame to a plain value, and declares it.
  public func addField(_ declaration: LuaDeclaration, _ value: LuaValue) {
    frame.push(value)
    frame.setField(declaration.name)
    declarations.append(declaration)
  }

  /// Sets a field of the table below the top to the top, pops it, and declares it.
  public func addTopField(_ declaration: LuaDeclaration) {
    frame.setField(declaration.name)
    declarations.append(declaration)
  }

  /// Makes the table on the top of the frame what `require(name)` gives, and pops it.
  public func provideModuleFromTop(_ name: String) { provideModuleFromTop(frame, name) }

  /// The same on the stack of a call that is under way.
  public func provideModuleFromTop(_ frame: LuaFrame, _ name: String) {
    let L = frame.L
    L.pushLoadedModules()
    L.rotate(-2, 1)
    frame.setField(name)
    frame.pop()
  }
}
