// Recognising legacy streams, and what overrides change.

import Format
import SystemIO
import Testing

@testable import Legacy

@Suite struct FormTests {
  @Test(arguments: Kind.all)
  func tellsWidthAndGuest(kind: Kind) throws {
    let width: ToolstackWidth = kind.word == 8 ? .bits64 : .bits32
    let bytes = LegacyBuilder.plain(kind)
    let form = LegacyForm(Array(bytes.prefix(48)))
    #expect(form == .bare(width, kind.isPV ? .x86PV : .x86HVM))
    #expect(LegacyForm(xlHeader([], flags: 1) + bytes) == .xl)
    #expect(LegacyForm(xlHeader([], flags: 3) + bytes) == nil)
    #expect(LegacyForm(Array("LinuxGuestRecord".utf8)) == .xend)
    let folder = Folder()
    let source = try Source(opening: folder.write(bytes))
    #expect(try LegacyForm.detect(source) == form)
    #expect(source.position == 0)
  }

  @Test func othersAreNotLegacy() throws {
    for name in ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"] {
      let bytes = try readFile("\(checkout)/Tests/Fixtures/\(name)")
      #expect(LegacyForm(Array(bytes.prefix(48))) == nil)
    }
    for text in ["", "QEVM", "LibxlFmt........", "libvirt-xml\n \0 \r....", "XenSavedDomv2-\n..."] {
      #expect(LegacyForm(Array(text.utf8)) == nil)
    }
    #expect(LegacyForm([UInt8](repeating: 0xFF, count: 48)) == nil)
    #expect(LegacyForm([UInt8](repeating: 0, count: 48)) == nil)
  }

  @Test func overridesCount() throws {
    for kind in Kind.all {
      var options = LegacyConverter.Options()
      options.width = kind.word == 8 ? .bits64 : .bits32
      options.guest = kind.isPV ? .x86PV : .x86HVM
      let bytes = LegacyBuilder.plain(kind)
      let told = try convert(bytes, options).bytes
      #expect(try told == convert(bytes).bytes)
      options.width = kind.word == 8 ? .bits32 : .bits64
      #expect(try conversionError(bytes, options) != nil)
    }
  }

  @Test func physmapOfBothWidths() throws {
    for kind in [Kind.all[2], Kind.all[3]] {
      var builder = LegacyBuilder(kind)
      builder.toolstack()
      let body = Array(builder.out.bytes.dropFirst(8))
      let width: ToolstackWidth = kind.word == 8 ? .bits64 : .bits32
      let physmap = try LegacyPhysmap(body, width: width)
      #expect(physmap.entries.map(\.name) == [Array("vga.vram".utf8), Array("e1000.rom".utf8)])
      #expect(physmap.xenstoreData == Array(LegacyBuilder.physmapKeys.utf8))
      for count in 0..<body.count {
        #expect(throws: (any Error).self) { try LegacyPhysmap(Array(body[..<count]), width: width) }
      }
      var version = body
      version[0] = 2
      #expect(throws: (any Error).self) { try LegacyPhysmap(version, width: width) }
    }
  }
}
