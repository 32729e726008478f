// Outer layers, against images written by hand in hexadecimal.

import Bytes
import Convert
import ImageEdit
import SystemIO
import TestKit
import Testing

@Suite struct LayersTests {
  static let libvirt = hexFixture("libvirt")
  static let xenopsd = hexFixture("xenopsd")
  static let libxc = hexFixture("libxc")
  static let draftB = hexFixture("draft-b")
  static let xml = Array("<domain/>".utf8)
  static let expressions = Array("((time 1)(word_size 64))".utf8)
  /// What is after libvirt's header and XML.
  static let libxl = Array(libvirt.dropFirst(64 + xml.count + 1))

  static func hexFixture(_ name: String) -> [UInt8] {
    guard let source = try? Source(opening: Fixture.folder + "containers/\(name).hex"),
      let text = try? source.read(1 << 20)
    else { preconditionFailure("no fixture \(name)") }
    return hex(String(decoding: text, as: UTF8.self))
  }

  @Test func libvirtAndXenopsd() throws {
    let asXenopsd = asking("xenopsd") { $0.config = Self.expressions }
    let asLibvirt = asking("libvirt") { $0.config = Self.xml }
    #expect(try convert(Self.libvirt, asXenopsd) == Self.xenopsd)
    #expect(try convert(Self.xenopsd, asLibvirt) == Self.libvirt)
    #expect(try convertPiped(Self.libvirt, asXenopsd) == Self.xenopsd)
    #expect(try convertPiped(Self.xenopsd, asLibvirt) == Self.libvirt)
  }

  @Test(arguments: ["libvirt", "xenopsd", "libxl", "libxc"]) func identity(name: String) throws {
    let image = ["libvirt": Self.libvirt, "xenopsd": Self.xenopsd, "libxl": Self.libxl][name]
    #expect(try convert(image ?? Self.libxc, asking(name)) == image ?? Self.libxc)
    // A conversion of the byte order goes into the layers, and comes back.
    let big = try convert(image ?? Self.libxc, asking { $0.order = .big })
    #expect(big != image ?? Self.libxc)
    #expect(try convert(big, asking { $0.order = .little }) == image ?? Self.libxc)
  }

  /// LIBXC_CONTEXT and END may carry bytes that readers pass over: they stay where their layer does.
  @Test func markersKeepWhatTheyCarry() throws {
    var image = Self.libxl
    let excess = [UInt8](repeating: 0xCA, count: 8)
    image[image.count - 4] = 8
    image += excess
    image[20] = 8
    image.insert(contentsOf: excess, at: 24)
    #expect(try convert(image, asking("libxl")) == image)
    #expect(try convertPiped(image, asking("libxl")) == image)
    let asLibvirt = asking("libvirt") { $0.config = Self.xml }
    #expect(try convert(image, asLibvirt).suffix(image.count) == image)
    // Where they have no place, they are named.
    for other in ["libxc", "xenopsd"] {
      #expect(refusal(image, asking(other)).contains("its 8 bytes have no place in the result"))
    }
    let big = asking("libxl") { $0.order = .big }
    #expect(refusal(image, big).contains("its 8 bytes have no place in the result"))
    let lossy = asking("libxl", isLossy: true) { $0.order = .big }
    let plain = asking("libxl") { $0.order = .big }
    #expect(try convert(image, lossy) == convert(Self.libxl, plain))
  }

  @Test func unwrapping() throws {
    #expect(try convert(Self.libvirt, asking("libxl")) == Self.libxl)
    for image in [Self.libvirt, Self.libxl, Self.xenopsd] {
      #expect(try convert(image, asking("libxc", isLossy: true)) == Self.libxc)
      #expect(refusal(image, asking("libxc")).contains("has no place for a device model's state"))
    }
    #expect(try convert(Self.xenopsd, asking("libxl")) == Self.libxl)
  }

  @Test func draftB() throws {
    #expect(try convert(Self.libxc, asking("draft-b")) == Self.draftB)
    #expect(try convert(Self.draftB, asking("v3")) == Self.libxc)
    // Layers and version at once.
    let conversion = asking("libxc", "draft-b", isLossy: true)
    #expect(try convert(Self.xenopsd, conversion) == Self.draftB)
  }

  @Test func configurations() throws {
    let file = try TemporaryFile(Self.libvirt)
    #expect(try convert(Source(opening: file.path), asking("libxl")).report.config == Self.xml)
    let other = try TemporaryFile(Self.xenopsd)
    #expect(
      try convert(Source(opening: other.path), asking("libxl")).report.config == Self.expressions)
    #expect(refusal(Self.libxl, asking("libvirt")).contains("it holds the domain's XML"))
    // xl: JSON has its flag, text of xl.cfg has not, and without either there are no optional data.
    for (config, flags, count) in [("{}", 3, 7), ("name='a'", 2, 13), ("", 2, 0)] {
      let bytes = try convert(
        Self.libxl,
        asking("xl") {
          $0.config = config.isEmpty ? nil : Array(config.utf8)
        })
      #expect(bytes[36] == UInt8(flags) && bytes[44] == UInt8(count))
      #expect(Array(bytes.dropFirst(48 + count)) == Self.libxl)
    }
  }

  @Test func replacingAConfiguration() throws {
    let conversion = asking("libvirt") { $0.config = Array("<new/>".utf8) }
    let bytes = try convert(Self.libvirt, conversion)
    #expect(bytes[20] == 7 && Array(bytes.dropFirst(64 + 7)) == Self.libxl)
  }

  /// Cut anywhere, an image is refused with one line, and nothing traps.
  @Test(arguments: ["libvirt", "xenopsd", "draft-b"]) func truncation(name: String) {
    let image = Self.hexFixture(name)
    for count in 0..<image.count {
      let message = refusal(Array(image.prefix(count)), asking("v3", "libxl"))
      #expect(message != "converted" && !message.contains("\n"), "\(count): \(message)")
    }
  }

  /// Every byte changed to two others: refused or converted, but never a trap.
  @Test(arguments: ["libvirt", "xenopsd", "draft-b", "libxc"]) func damage(name: String) {
    let image = Self.hexFixture(name)
    for offset in image.indices {
      for value: UInt8 in [0, 0xFF] where image[offset] != value {
        var bad = image
        bad[offset] = value
        for target in ["v3", "draft-b"] {
          let message = refusal(bad, asking(target, isLossy: true) { $0.order = .big })
          #expect(!message.contains("\n"))
        }
      }
    }
  }

  @Test func xenopsdHeads() {
    func changed(_ range: Range<Int>, _ bytes: [UInt8]) -> String {
      var image = Self.xenopsd
      image.replaceSubrange(range, with: bytes)
      return refusal(image, asking("libxl"))
    }
    #expect(changed(15..<23, [0, 0, 0, 0, 1, 0, 0, 0]).contains("type: expected less than 2^32"))
    #expect(
      changed(23..<31, [255, 255, 255, 255, 255, 255, 255, 127]).contains("exceed the limit"))
    #expect(changed(15..<17, [0xF2, 0]).contains("Libxc_legacy"))
    #expect(changed(15..<17, [0x10, 0x0F]).contains("record 1 (Demu): libxl has no place for it"))
  }

  @Test func streamsWithoutLibxc() {
    let empty = Array(Self.libxl.prefix(16)) + [UInt8](repeating: 0, count: 8)
    #expect(refusal(empty, asking("libxc")).contains("there is no libxc stream in it"))
    // Two of them are for nobody.
    let twice = Array(Self.libxl.dropLast(8)) + Self.libxl.dropFirst(16)
    #expect(refusal(twice, asking("xl")).contains("a second libxc stream"))
  }

  @Test func oldLibvirt() {
    var image = Self.libvirt
    image[16] = 1
    #expect(refusal(image, asking("libxl")).contains("version 1: this holds a legacy libxc stream"))
    image[16] = 3
    #expect(refusal(image, asking("libxl")).contains("version: expected 2, got 3"))
  }
}

@Suite struct CheckpointTests {
  /// A stream of one checkpoint, bare or in libxl's.
  func image(isNested: Bool, isBig: Bool = false) -> [UInt8] {
    var image = TestImage(isBig: isBig)
    if isNested {
      image.wire.bytes += Array("LibxlFmt".utf8) + [0, 0, 0, 2, 0, 0, 0, isBig ? 1 : 0]
      image.record(1)
    }
    image.headers()
    image.record(0x10)
    image.pages([1, 2])
    image.record(0xE)
    if isNested { image.record(4) }
    image.pages([2])
    image.record(0xE)
    if isNested { image.record(4) }
    return image.bytes
  }

  @Test func layers() throws {
    #expect(try convert(image(isNested: true), asking("libxc")) == image(isNested: false))
    #expect(try convert(image(isNested: false), asking("libxl")) == image(isNested: true))
    #expect(
      refusal(image(isNested: true), asking("xenopsd")).contains("has no checkpointed streams"))
  }

  @Test(arguments: [false, true]) func formats(isNested: Bool) throws {
    let little = image(isNested: isNested)
    #expect(
      try convert(little, asking { $0.order = .big }) == image(isNested: isNested, isBig: true))
    let draft = try convert(little, asking("draft-b"))
    #expect(try convert(draft, asking("v3")) == little)
    // Cut inside the last checkpoint: what is complete is converted.
    let cut = try convert(Array(draft.dropLast(100)), asking("v3"))
    #expect(little.starts(with: cut.prefix(9000)))
  }
}
