// Memory of Swift's that scripts see without a copy.

internal import CLuaShim

/// Memory that is lent to scripts. Views of it become stale at `end`, at the latest when this object
/// goes; whoever lends ends before the memory moves or means something else.
@safe
public final class LuaMemory {
  private weak var state: LuaState?
  private let cell: UnsafeMutablePointer<clua_cell>
  /// Keeps the cell.
  private let reference: LuaReference
  /// Keeps the memory.
  private var owner: AnyObject?

  /// Nothing yet.
  public init(_ frame: LuaFrame) {
    state = frame.state
    // Safety: Lua keeps the cell as long as the reference lives and the state is open.
    unsafe cell = frame.L.pushCell(0)
    reference = frame.reference(-1)
    frame.pop()
  }

  deinit { end() }

  private var isOpen: Bool { state?.stack != nil }

  /// Lends `count` bytes from `base` on, which `owner` keeps in their place. What was lent before
  /// ends.
  public func lend(_ base: UnsafeMutableRawPointer, _ count: Int, owner: AnyObject) {
    end()
    guard isOpen else { return }
    self.owner = owner
    // Safety: the state is open, so the cell is there; the caller vouches for the bytes.
    unsafe cell.pointee.base = base.assumingMemoryBound(to: UInt8.self)
    unsafe cell.pointee.length = count
    unsafe cell.pointee.is_written = false
    for word in 0..<Int(CLUA_WRITTEN_WORDS) {
      // Safety: a cell without bytes of its own has as many words.
      unsafe cell.pointee.written[word] = 0
    }
  }

  /// Makes all views stale.
  public func end() {
    owner = nil
    guard isOpen else { return }
    // Safety: as in `lend`.
    unsafe cell.pointee.base = nil
    unsafe cell.pointee.length = 0
    unsafe cell.pointee.generation += 1
  }

  /// Whether a script has written to what is lent.
  public var isWritten: Bool {
    guard isOpen else { return false }
    return unsafe cell.pointee.is_written
  }

  /// The numbers of the parts of 4096 bytes, among the first 32 MiB, that were written to.
  public var writtenPages: [Int] {
    guard isWritten else { return [] }
    return (0..<64 * Int(CLUA_WRITTEN_WORDS)).filter { page in
      // Safety: as in `lend`.
      unsafe cell.pointee.written[page >> 6] >> UInt64(page & 63) & 1 != 0
    }
  }

  /// One round of a loop over memory.
  public struct Item {
    /// The loop's first value.
    public let key: UInt64
    /// The address that the view's first byte has for people.
    public let address: UInt64
    /// Where its bytes are in the lent memory, and how many.
    public let range: Range<Int>
    /// The number (from 1) of the reason why it cannot be written; 0 where it can.
    public let reason: Int

    public init(key: UInt64, address: UInt64, range: Range<Int>, reason: Int) {
      self.key = key
      self.address = address
      self.range = range
      self.reason = reason
    }
  }

  /// Pushes a function for a generic `for`: key and view of each of `count` items.
  public func pushLoop(
    _ frame: LuaFrame, _ count: Int, reasons: [String], _ item: (Int) -> Item
  ) {
    frame.pushNil()
    pushItems(frame, count, item)
    pushLoop(frame, reasons)
  }

  /// The same, a chunk at a time: after the last item it asks `refill`, which lends other memory,
  /// for more; nil ends the loop.
  public func pushLoop(
    _ frame: LuaFrame, reasons: [String],
    refill: @escaping () throws -> (count: Int, item: (Int) -> Item)?
  ) {
    // One list for all chunks: a loop over a million pages leaves nothing to be collected.
    var list: LuaReference?
    frame.push(function: "next") { [self] frame in
      guard let (count, item) = try refill() else {
        frame.pushNil()
        return 1
      }
      if let list {
        frame.push(list)
        if frame.L.renewItems(count, { checked(item($0)) }) { return 1 }
        frame.pop()
      }
      pushItems(frame, count, item)
      list = frame.reference(-1)
      return 1
    }
    frame.pushNil()
    pushLoop(frame, reasons)
  }

  /// Below the top two values, a function for more items and the items: makes them a loop.
  private func pushLoop(_ frame: LuaFrame, _ reasons: [String]) {
    frame.push(LuaValue.list(reasons.map { .text($0) }))
    frame.push(reference)
    frame.L.rotate(-4, 1)
    frame.L.pushLoop(cell: -4)
    frame.L.rotate(-2, 1)
    frame.pop()
  }

  private func pushItems(_ frame: LuaFrame, _ count: Int, _ item: (Int) -> Item) {
    frame.L.pushItems(count) { checked(item($0)) }
  }

  private func checked(_ item: Item) -> clua_item {
    let length = unsafe cell.pointee.length
    precondition(item.range.lowerBound >= 0 && item.range.upperBound <= length)
    return clua_item(
      key: item.key, address: item.address, offset: item.range.lowerBound,
      length: UInt32(item.range.count), reason: UInt32(item.reason))
  }
}

extension LuaFrame {
  /// Pushes a view of a copy of these bytes, which nothing makes stale. It cannot be written;
  /// `reason` says why.
  public func push(viewOfCopy bytes: [UInt8], address: UInt64, reason: String) {
    push(reason)
    L.pushCell(copying: bytes)
    L.pushView(cell: -1, bytes.count, address, reason: -2)
    L.rotate(-3, 1)
    pop(2)
  }

  /// Pushes a view of all bytes that `owner` has now. It shows what they are when a script looks, and
  /// what a script writes goes to `owner`, which may refuse it; its addresses count from 0.
  public func push(viewOf owner: any LuaViewOwner) throws {
    let count = try owner.viewedBytes().count
    try state.checkRoom(count)
    L.push(object: ViewSource(owner), ViewSource.className, weight: 0)
    L.pushSourceView(state.viewSourceFunction, count)
  }

  /// Moves bytes between the object and the cell at the last places but four: an offset, a count, and
  /// whether they go to the object.
  fileprivate func moveViewedBytes() throws {
    let offset = Int(try integer(-3))
    try moveViewedBytes(
      L.object(-5, ViewSource.className, ViewSource.self), cell: -4,
      offset..<offset + Int(try integer(-2)), out: L.boolean(-1))
  }

  private func moveViewedBytes(
    _ source: ViewSource?, cell: Int, _ range: Range<Int>, out: Bool
  ) throws {
    guard let owner = source?.owner else { return }
    var bytes = try owner.viewedBytes()
    guard range.upperBound <= bytes.count else {
      throw LuaError("stale view: the body has become shorter")
    }
    // Safety: the cell is on the stack, and has room for all bytes that views of it show.
    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: L.cellBytes(cell)[range])
    if out {
      unsafe bytes.replaceSubrange(range, with: room)
      try owner.setViewedBytes(bytes)
    } else {
      unsafe bytes.withUnsafeBytes {
        unsafe room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range]))
      }
    }
  }

  /// The bytes of the view at `index`, and the address of the first.
  public func withView<R>(
    _ index: Int, _ body: (RawSpan, UInt64) throws -> R
  ) throws -> R {
    if let range = L.pushSource(index) {
      defer { pop(2) }
      try moveViewedBytes(
        L.object(-2, ViewSource.className, ViewSource.self), cell: -1, range, out: false)
    }
    guard let view = unsafe L.view(index) else {
      throw type(index) == .userdata && typeName(index) == LuaState.viewClassName
        ? LuaError("stale view: what it showed is gone (a view is valid until the next record)")
        : argumentError(index, "expected a \(LuaState.viewClassName)")
    }
    // Safety: the view is live, and nothing that `body` may do ends what was lent.
    return try body(unsafe RawSpan(_unsafeBytes: view.bytes), unsafe view.address)
  }
}

/// Bytes of Swift's that scripts see through views.
public protocol LuaViewOwner: AnyObject {
  /// The bytes as they are now; throws where they are gone.
  func viewedBytes() throws -> [UInt8]
  /// Takes them with a script's changes, as many as they were, or throws.
  func setViewedBytes(_ bytes: [UInt8]) throws
}

/// What a view's cell holds.
private final class ViewSource {
  static let className = "xensave.bytes"
  let owner: any LuaViewOwner
  init(_ owner: any LuaViewOwner) { self.owner = owner }
}

/// A method of views that Swift has: its bytes, and the address of the first.
public struct LuaViewMethod {
  let declaration: LuaDeclaration
  let body: (RawSpan, UInt64, LuaFrame) throws -> Int32

  public init(
    _ name: String, _ type: String, _ doc: String, example: String = "",
    _ body: @escaping (RawSpan, UInt64, LuaFrame) throws -> Int32
  ) {
    declaration = LuaDeclaration(
      .method, owner: LuaState.viewClassName, name, type, doc, example: example)
    self.body = body
  }
}

extension LuaState {
  public static let viewClassName = "View"

  /// Makes views of memory known, with further methods.
  public func registerViews(_ doc: String, _ methods: [LuaViewMethod]) {
    let name = LuaState.viewClassName
    let L = frame.L
    L.newViewClass(name)
    L.newClass(
      ViewSource.className,
      clua_metamethods(
        index: -1, newindex: -1, length: -1, tostring: -1, call: -1, close: -1, equal: -1))
    viewSourceFunction = add("view", isMethod: true) { frame in
      try frame.moveViewedBytes()
      return 0
    }
    declarations.append(LuaDeclaration(.class, owner: name, name, name, doc))
    for method in methods {
      L.addViewMethod(
        method.declaration.name,
        add(method.declaration.name, isMethod: true) { frame in
          try frame.withView(1) { bytes, address in
            try method.body(bytes, address, frame)
          }
        })
    }
    let native = LuaState.nativeViewMethods.map { name, type, doc in
      LuaDeclaration(.method, owner: LuaState.viewClassName, name, type, doc)
    }
    // Methods of C are told by their addresses.
    _ = L.newMetatable(name)
    frame.pushField(-1, "members")
    for declaration in native {
      frame.pushField(-1, declaration.name)
      if let address = frame.identity(-1) { declared[address] = declaration }
      frame.pop()
    }
    frame.pop(2)
    declarations += native + methods.map(\.declaration)
  }

  /// The methods that CLuaShim has.
  private static var nativeViewMethods: [(name: String, type: String, doc: String)] {
    let accessors = [1, 2, 4, 8].flatMap { width in
      [("u", "unsigned"), ("i", "signed")].map { letter, word in
        (
          "\(letter)\(8 * width)", "(offset: integer, value?: integer): integer",
          "The \(word) integer of \(width) byte\(width > 1 ? "s" : "") at an offset; with a value, "
            + "writes it."
        )
      }
    }
    return accessors + [
      ("be", "(): View", "The same bytes, read as big-endian integers."),
      ("le", "(): View", "The same bytes, read as little-endian integers."),
      ("sub", "(offset: integer, count?: integer): View", "A part of the view."),
      (
        "bytes", "(offset?: integer, count?: integer): string",
        "The bytes as a string: the one call that copies."
      ),
      ("put", "(offset: integer, bytes: string)", "Writes the bytes of a string at an offset."),
      ("fill", "(byte: integer)", "Sets every byte of the view."),
      ("equal", "(other: View|string): boolean", "Whether the bytes are the same."),
      ("iszero", "(): boolean", "Whether every byte is zero."),
      (
        "find", "(bytes: string, from?: integer): integer?",
        "The offset of the first occurrence of a string, or nil."
      ),
      (
        "unpack", "(format: string, offset?: integer): any",
        "Values at an offset by a format of string.unpack, and the offset after them. Looks at "
          + "65,536 bytes at most."
      ),
    ]
  }
}
