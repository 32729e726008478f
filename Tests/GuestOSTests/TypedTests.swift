// Declared types, and iteration over lists and trees.

import Bytes
import Pages
import SystemIO
import TestKit
import Testing

@testable import GuestOS

@Suite struct TypedTests {
  private func value(
    _ text: String, _ bytes: [UInt8], _ options: DeclarationOptions = DeclarationOptions()
  ) throws -> (memory: DeclaredMemory, value: TypedValue) {
    let type = try DeclaredType(text, options)
    let source = PagedMemory(ByteMemory(bytes, path: "bytes"))
    let memory = DeclaredMemory(type.types, KernelMemory(source, .physical))
    return (memory, TypedValue(.memory(0), type.type))
  }

  /// Offsets and sizes as a C compiler for x86-64 gives them.
  @Test func layoutIsThatOfC() throws {
    for (text, size, offsets) in [
      ("u8 a; u32 b; u8 c; u64 d; u16 e", 32, ["a": 0, "b": 4, "c": 8, "d": 16, "e": 24]),
      ("char a[3]; u16 b", 6, ["a": 0, "b": 4]),
      ("u8 a; struct { u8 b; u64 c; } s; u8 d", 32, ["s": 8, "s.b": 8, "s.c": 16, "d": 24]),
      ("u8 a; union { u16 b; u32 c; }; u8 d", 12, ["b": 4, "c": 4, "d": 8]),
      ("struct p { u8 x; void *y; }; struct p two[2]; long z", 40, ["two": 0, "z": 32]),
      ("struct p { u8 x; void *y; }; struct p two[2]; long z", 40, ["two[1].y": 24]),
      ("u32 a : 3; u32 b : 30; u8 c", 12, ["a": 0, "b": 4, "c": 8]),
      ("u8 a : 3, b : 3; u8 c : 3", 2, ["a": 0, "b": 0, "c": 1]),
      ("unsigned long long a, *b; short int c; signed char d", 24, ["b": 8, "c": 16, "d": 18]),
      ("uint8_t a; enum e { X, Y = 7 }; enum e b; bool c; double d", 24, ["b": 4, "c": 8]),
      ("u32 n; u64 rest[]", 8, ["rest": 8]), ("u8 m[2][3]; u8 e // the end", 7, ["e": 6]),
    ] as [(String, Int, [String: UInt64])] {
      let type = try DeclaredType(text)
      #expect(type.byteCount == size, "\(text)")
      for (path, offset) in offsets {
        #expect(type.field(path)?.offset == offset, "\(text) \(path)")
      }
    }
    var options = DeclarationOptions()
    options.isPacked = true
    options.pointerByteCount = 4
    let packed = try DeclaredType("u8 a; u32 b; void *c; long d; u32 e : 3, f : 9", options)
    #expect(packed.byteCount == 15 && packed.field("d")?.offset == 9)
    #expect(packed.field("f")?.offset == 13 && packed.field("f")?.bitShift == 3)
    let named = try DeclaredType("struct one { u8 a; }; struct two { struct one x[3]; }")
    #expect(named.byteCount == 3 && named.layout.hasPrefix("struct two {\n  struct one x[3];"))
  }

  @Test func values() throws {
    let bytes: [UInt8] =
      [0xFE, 0xFF, 0x12, 0x34, 0x12, 0x34, 0, 0] + Array("name".utf8) + [0, 7, 7, 7]
      + [32, 0, 0, 0, 0, 0, 0, 0, 0xD5, 2, 0, 0] + [0, 0, 0xC0, 0x3F]
      + [9, 0, 0, 0, 0, 0, 0, 0]
    let (memory, value) = try self.value(
      """
      struct next { u32 id; };
      s16 a; be16 b; le16 c; u8 pad[2]; char name[8]; struct next *p;
      enum kind : u8 { FIRST = 0xd5 } k; u8 low : 2, high : 6; float f
      """, bytes)
    func text(_ name: String) throws -> String { memory.text(of: try memory.member(value, name)) }
    for (name, expected) in [
      ("a", "-2"), ("b", "\(0x1234)"), ("c", "\(0x3412)"), ("name", "\"name\""), ("p", "0x20"),
      ("k", "FIRST"), ("low", "2"), ("high", "0"), ("f", "1.5"), ("pad", "{ 0, ... }"),
    ] { #expect(try text(name) == expected, "\(name)") }
    let pointer = try memory.member(value, "p")
    #expect(try memory.integer(memory.member(pointer, "id")) == 9)
    #expect(memory.description(of: pointer.type) == "struct next *")
    #expect(memory.text(of: value).contains(".name = \"name\",\n"))
    let away = try memory.element(pointer, 2000)
    #expect(throws: XensaveError.self) { try memory.integer(memory.member(away, "id")) }
    // The same in the other order.
    var options = DeclarationOptions()
    options.order = .big
    options.pointerByteCount = 4
    let (big, number) = try self.value(
      "s16 a; le16 b; u32 *p; double d",
      [
        0xFF, 0xFE, 1, 0, 0, 0, 0, 2, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0,
      ], options)
    func integer(_ name: String) throws -> UInt64 { try big.integer(big.member(number, name)) }
    #expect(try Int64(bitPattern: integer("a")) == -2 && integer("b") == 1 && integer("p") == 2)
    #expect(try big.text(of: big.member(number, "d")) == "1.5")
  }

  /// One line says what is wrong, and where.
  @Test func errors() {
    for (text, problem) in [
      ("u33 x", "line 1, column 1: there is no type 'u33' (did you mean u32?)"),
      ("u32", "line 1, column 4: expected a member's name, got the end"),
      ("u32 a\nu32 b", "line 2, column 1: expected ';' or ',', got 'u32'"),
      ("u32 a;\n  u32 a", "line 2, column 7: there are two members 'a'"),
      ("u32 x[", "expected a number of elements"), ("u32 x[2", "expected ']', got the end"),
      ("u8 x[2][]", "expected a number of elements"),
      ("struct x *p", "line 1, column 1: there is no struct x"), ("enum x p", "no enum x"),
      ("struct s { struct s s; }", "line 1, column 12: there is no struct s"),
      ("struct s { u8 a; }; struct s { u8 b; };", "there are two of struct s"),
      ("struct s { }", "has no members"), ("struct s { u8 a;", "expected '}', got the end"),
      ("u32 x : 40", "expected 1 to 32 bits, got '40'"), ("float x : 3", "expected an integer"),
      ("", "line 1, column 1: expected a member"), ("void v", "void has no size"),
      ("u32 a[99999999999]", "at most 268435456 elements"),
      ("u64 a[99999999]", "more than 268435456 bytes"),
      ("u64 a[9999999]; u64 b[9999999]; u64 c[9999999]; u64 d[9999999]", "more than"),
      ("u8 a : 3; u8 b[4000000]", "with bit fields"), ("/* x", "a comment has no end"),
      ("u32 a; $", "line 1, column 8: expected a declaration of C, got '$'"),
      ("u32 1a", "expected a number, got '1a'"), ("int long short x", "no type"),
      ("enum e { A = 99999999999 }; enum e a", "a number of 32 bits"), ("enum e { A B }", "','"),
      ("u8 *********p", "at most 8 '*'"), ("u8 a[1][1][1][1][1][1][1][1][1]", "8 dimensions"),
      (String(repeating: "struct { ", count: 100), "nested too deeply"),
      (String(repeating: "u8 a;", count: 20_000), "at most 65536 characters"),
      ((0..<5000).map { "u8 a\($0);" }.joined(), "at most 4096 members"),
    ] {
      let error = #expect(throws: XensaveError.self, "\(text.prefix(40))") {
        try DeclaredType(text)
      }
      #expect(
        error?.code == .syntax && error?.description.contains(problem) == true,
        "\(error?.description ?? "")")
    }
  }

  /// Any text is a type or an error.
  @Test func anyText() {
    let words = [
      "struct", "union", "enum", "a", "b", "u32", "be16", "char", "{", "}", "[", "]", "3", ";", ",",
      "*", ":", "=", "-", "unsigned", "long", "0x10", "void", "float", "\n",
    ]
    var seed: UInt64 = 7
    for _ in 0..<3000 {
      var text = ""
      for _ in 0..<Int(seed >> 33 & 31) + 1 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        text += words[Int(seed >> 40) % words.count] + " "
      }
      guard let type = try? DeclaredType(text) else { continue }
      _ = type.layout
      let memory = DeclaredMemory(
        type.types, KernelMemory(PagedMemory(ByteMemory([1, 2, 3], path: "bytes")), .physical))
      _ = memory.text(of: TypedValue(.memory(0), type.type), depth: 4)
    }
  }

  // MARK: - Iteration

  @Test(arguments: [SyntheticLinux.Options(), .old]) func iteration(
    _ options: SyntheticLinux.Options
  ) throws {
    let guest = options.guest
    let linux = try open(guest)
    func value(_ name: String) throws -> TypedValue {
      TypedValue(.memory(try #require(guest.places[name])), try linux.type("struct \(name)"))
    }
    func ids(_ listing: Listing<TypedValue>) throws -> [UInt64] {
      #expect(listing.problem == nil)
      return try listing.items.map { try linux.integer(linux.member($0, "id")) }
    }
    let item = try linux.type("struct item")
    #expect(try ids(linux.hashList(value("hlist_nulls_head"), item, "links[1]")) == [0, 2, 1])
    #expect(
      try ids(linux.hashList(linux.pointer(to: value("hlist_head")), item, "links[1]")) == [
        0, 2, 1,
      ])
    let root = try value("rb_root_cached")
    #expect(try ids(linux.redBlackTree(root, item, "node")) == [0, 1, 2, 3, 4])
    #expect(
      try ids(linux.redBlackTree(linux.member(root, "rb_root"), item, "node")) == [0, 1, 2, 3, 4])
    let array = try linux.indexedArray(value("idr"))
    #expect(array.problem == nil)
    let places = guest.places
    #expect(
      array.items == [
        IndexedEntry(first: 1, last: 1, entry: try #require(places["item 0"])),
        IndexedEntry(first: 6, last: 8, entry: try #require(places["item 1"])),
        IndexedEntry(first: 65, last: 65, entry: 155),
        IndexedEntry(first: 129, last: 192, entry: try #require(places["item 2"])),
      ])
    #expect(array.items[2].value == 77 && array.items[0].value == nil)
    for body in [
      { _ = try linux.hashList(root, item, "links[0]") },
      { _ = try linux.redBlackTree(value("idr"), item, "node") },
      { _ = try linux.redBlackTree(root, item, "nothing") },
      { _ = try linux.indexedArray(root) }, { _ = try linux.mapleTree(root) },
      { _ = try linux.hashList(value("hlist_head"), item, "links[2]") },
    ] as [() throws -> Void] { #expect(throws: XensaveError.self) { try body() } }
    guard options.types.hasMapleTree else { return }
    let task = try linux.task(10)
    let space = TypedValue(.memory(task.mm), try linux.type("struct mm_struct"))
    let areas = try linux.mapleTree(linux.member(space, "mm_mt"))
    #expect(areas.problem == nil && areas.items.count == 5)
    #expect(areas.items[0].first == 0x7000 && areas.items[0].last == 0x7FFF)
  }
}
