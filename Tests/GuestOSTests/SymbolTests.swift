// kallsyms, and the table of symbols.

import Pages
import TestKit
import Testing

@testable import GuestOS

@Suite struct SymbolTests {
  func table(_ symbols: [(String, UInt64)]) -> SymbolTable {
    var names: [UInt8] = []
    var starts: [UInt32] = []
    for symbol in symbols {
      starts.append(UInt32(names.count))
      names += Array("T".utf8) + Array(symbol.0.utf8)
    }
    starts.append(UInt32(names.count))
    return SymbolTable(addresses: symbols.map(\.1), names: names, starts: starts)
  }

  @Test func names() {
    let table = table([("a", 10), ("b", 20), ("a", 30), ("", 40), ("long_name", 40)])
    #expect(table["a"] == 10 && table["b"] == 20 && table["c"] == nil)
    #expect(table.indices(of: "a") == [0, 2])
    #expect(table.name(4) == "long_name" && table.kind(4) == "T")
    #expect(table.names(withPrefix: "l", limit: 10) == ["long_name"])
    #expect(self.table([])["a"] == nil && self.table([]).symbol(at: 5) == nil)
  }

  @Test func addresses() {
    // Not in order, and two of the same address.
    let table = table([("c", 30), ("a", 10), ("b", 20), ("b2", 20)])
    #expect(table.symbol(at: 9) == nil)
    for (address, name, end) in [
      (10, "a", 20), (19, "a", 20), (20, "b", 30), (29, "b", 30), (30, "c", nil), (.max, "c", nil),
    ] as [(UInt64, String, UInt64?)] {
      let found = table.symbol(at: address)
      #expect(found.map { table.name($0.index) } == name && found?.end == end, "\(address)")
    }
  }

  /// The tables are found without being told where they are, in any order and wherever the kernel's
  /// mapping holds something like them.
  @Test(arguments: KallsymsWriter.Order.allCases) func shape(_ order: KallsymsWriter.Order) throws {
    var options = SyntheticLinux.Options()
    options.order = order
    options.hasAbsolutePerCPU = order != .placeRelative
    let guest = SyntheticLinux(options)
    let space = AddressSpace(name: "the kernel", mode: .fourLevel, cr3: guest.root)
    let memory = KernelMemory(PagedMemory(PageTable(guest.memory.pages)), space)
    let ranges = memory.paged.mappedRanges(space, in: KernelFinder.mapping, limit: 100)
    let range = try #require(ranges.first { !$0.isWritable && !$0.isExecutable })
    let places = try #require(KallsymsFinder(memory: memory).find(in: range))
    for (name, place) in [
      ("names", places.names), ("token_table", places.tokenTable),
      ("token_index", places.tokenIndex), ("offsets", places.offsets),
      ("relative_base", places.relativeBase),
    ] as [(String, UInt64?)] { #expect(place == guest.places["kallsyms_" + name], "\(name)") }
    let symbols = try SymbolTable(memory, places)
    #expect(symbols["func_13"] == guest.places["func_13"])
  }

  @Test func coreInfo() {
    let info = VMCoreInfo(
      Array(
        "OSRELEASE=6.1\nSYMBOL(a)=ffff0000\nOFFSET(b.c)=16\nSIZE(d)=x\nNUMBER(e)=-3\nrest\n\0SYMBOL(z)=1"
          .utf8))
    #expect(info.release == "6.1" && info.symbol("a") == 0xFFFF_0000 && info.offset("b.c") == 16)
    #expect(info.size("d") == nil && info.number("e") == -3 && info.symbol("z") == nil)
  }
}
