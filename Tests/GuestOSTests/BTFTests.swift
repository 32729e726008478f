// BTF: types as the format describes them, and bytes that are none.

import Pages
import SystemIO
import TestKit
import Testing

@testable import GuestOS

@Suite struct BTFTests {
  @Test func kinds() throws {
    var writer = BTFWriter()
    let int = writer.integer("int", 4, signed: true)
    let long = writer.integer("long unsigned int", 8)
    let const = writer.add(10, "", int)
    let alias = writer.add(8, "number_t", const)
    let array = writer.array(alias, 6)
    let matrix = writer.array(array, 2)
    let pointer = writer.pointer(const)
    let tagged = writer.add(18, "rcu", pointer)
    let letters = writer.enumeration("letters", [("A", 1), ("B", -2)])
    let wide = writer.add(19, "wide", vlen: 1, 8, [UInt32(0), 5, 1])
    let inner = writer.structure("", 8, [("deep", long, 0, 0)])
    let union = writer.structure("", 8, [("", inner, 0, 0), ("other", long, 0, 0)], kind: 5)
    let bits = writer.structure(
      "flags", 16, [("low", int, 3, 5), ("high", long, 60, 9), ("whole", int, 96, 0)])
    let outer = writer.structure(
      "outer", 40,
      [
        ("first", int, 0, 0), ("", union, 64, 0), ("list", matrix, 128, 0),
        ("next", tagged, 256, 0),
      ])
    let function = writer.add(12, "a_function", vlen: 0, 0)
    let variable = writer.add(14, "a_variable", outer, [0])
    let section = writer.add(15, ".data..percpu", vlen: 1, 40, [variable, 8, 40])
    let btf = try BTF(writer.bytes)
    #expect(btf.endID == Int(section) + 1)
    #expect(btf.type("struct outer") == Int(outer) && btf.type("outer") == Int(outer))
    #expect(btf.type("enum letters") == Int(letters) && btf.type("number_t") == Int(alias))
    #expect(btf.type("struct number_t") == nil && btf.type("nothing") == nil)
    #expect(btf.type(named: "a_variable", [.variable]) == Int(variable))
    #expect(btf.kind(Int(function)) == .function)
    #expect(btf.size(Int(matrix)) == 48 && btf.size(Int(outer)) == 40 && btf.size(Int(tagged)) == 8)
    #expect(btf.size(0) == nil && btf.size(Int(function)) == nil && btf.size(100_000) == nil)
    #expect(btf.resolved(Int(alias)) == Int(int) && btf.resolved(Int(variable)) == Int(outer))
    #expect(btf.target(Int(tagged)) == Int(const) && btf.target(Int(matrix)) == Int(array))
    #expect(btf.elementCount(Int(matrix)) == 2 && btf.elementCount(Int(int)) == nil)
    #expect(btf.isSigned(Int(alias)) && !btf.isSigned(Int(long)) && btf.isSigned(Int(letters)))
    #expect(btf.member(Int(outer), "deep")?.bitOffset == 64)
    #expect(btf.member(Int(outer), "other")?.bitOffset == 64)
    #expect(btf.member(Int(outer), "nothing") == nil)
    #expect(btf.members(Int(outer)).map(\.name) == ["first", "", "list", "next"])
    let high = try #require(btf.field(Int(bits), "high"))
    #expect(high.offset == 7 && high.bitShift == 4 && high.bitCount == 9)
    #expect(btf.field(Int(bits), "whole")?.offset == 12)
    #expect(btf.field(Int(bits), "whole.more") == nil)
    #expect(btf.enumerators(Int(letters)).map(\.value) == [1, -2])
    #expect(btf.enumerators(Int(wide)).map(\.value) == [0x1_0000_0005])
    #expect(btf.enumerator("letters", "B") == -2)
    #expect(btf.description(Int(pointer)) == "const int *")
    #expect(
      btf.description(Int(matrix)) == "number_t [2]" || btf.description(Int(matrix)).contains("["))
    #expect(btf.description(Int(outer)) == "struct outer")
    #expect(btf.description(0) == "void")
  }

  /// Before kind_flag, bit fields had integers of their own.
  @Test func oldBitFields() throws {
    var writer = BTFWriter()
    let field = writer.add(1, "int", 4, [2 << 16 | 3])
    let outer = writer.structure("old", 8, [("part", field, 32, 0)])
    let btf = try BTF(writer.bytes)
    let part = try #require(btf.field(Int(outer), "part"))
    #expect(part.offset == 4 && part.bitShift == 2 && part.bitCount == 3)
  }

  /// A module's types continue after its kernel's, and so do its strings.
  @Test func modules() throws {
    var kernel = BTFWriter()
    let int = kernel.integer("int", 4)
    let base = try BTF(kernel.bytes)
    var module = BTFWriter(after: kernel.nextID, strings: UInt32(kernel.strings.count))
    let own = module.structure("own", 8, [("number", int, 32, 0)])
    let btf = try BTF(module.bytes, base: base)
    #expect(Int(own) == base.endID)
    #expect(btf.type("own") == Int(own) && btf.type("int") == Int(int) && base.type("own") == nil)
    #expect(btf.member(Int(own), "number")?.bitOffset == 32)
    #expect(btf.name(Int(int)) == "int" && btf.size(Int(own)) == 8)
  }

  /// Types that lead to themselves.
  @Test func loops() throws {
    var writer = BTFWriter()
    let first = writer.add(8, "a_t", 2)
    let second = writer.add(8, "b_t", 1)
    let array = writer.array(4, .max)
    let same = writer.array(4, .max)
    let inside = writer.structure(
      "inside", 4, (0..<40).map { _ in ("", UInt32(5), UInt32(0), UInt32(0)) })
    let huge = writer.array(writer.integer("int", .max), .max)
    let btf = try BTF(writer.bytes)
    #expect(btf.resolved(Int(first)) == 0 && btf.size(Int(second)) == nil)
    #expect(btf.size(Int(array)) == nil && btf.size(Int(same)) == nil && Int(inside) == 5)
    #expect(btf.size(Int(huge)).map { $0 > 0 } ?? true)
    #expect(btf.member(Int(inside), "nothing") == nil)
    for id in 0..<btf.endID { #expect(!btf.description(id).isEmpty) }
  }

  /// Every prefix and every change of a byte is read or refused, and answers all questions.
  @Test func damage() throws {
    var types = SyntheticTypes.Options.new
    types.hasMapleTree = false
    let bytes = SyntheticTypes(types).btf()
    _ = try BTF(bytes)
    for count in stride(from: 0, to: bytes.count, by: 37) {
      _ = try? BTF(Array(bytes.prefix(count)))
    }
    var seed: UInt64 = 7
    for round in 0..<400 {
      var damaged = bytes
      for _ in 0...round % 3 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        damaged[Int(seed >> 33) % (round < 100 ? 24 : bytes.count)] = UInt8(
          truncatingIfNeeded: seed >> 24)
      }
      guard let btf = try? BTF(damaged) else { continue }
      for id in stride(from: 0, to: btf.endID + 2, by: 3) {
        _ = btf.size(id)
        _ = btf.description(id)
        _ = btf.member(id, "comm")
        _ = btf.enumerators(id)
        _ = btf.target(id)
      }
      _ = btf.type("task_struct").flatMap { btf.field($0, "sched_info.last_arrival") }
    }
  }

  /// Structures without names that are inside of themselves, many times over: the list of members ends.
  @Test func membersWithoutEnd() throws {
    var writer = BTFWriter()
    let number = writer.integer("u32", 4)
    let own = writer.nextID
    _ = writer.structure(
      "loop", 4,
      (0..<4000).map { _ in (name: "", type: own, offset: 0, bits: 0) }
        + [(name: "last", type: number, offset: 0, bits: 0)])
    let types = try BTF(writer.bytes)
    let memory = DeclaredMemory(
      types, KernelMemory(PagedMemory(ByteMemory([], path: "nothing")), .physical))
    #expect(memory.members(of: TypeReference(Int(own))).count <= 4096)
    #expect(throws: XensaveError.self) {
      try memory.member(TypedValue(.memory(0), TypeReference(Int(own))), "las")
    }
  }
}
