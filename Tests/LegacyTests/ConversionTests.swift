// Every kind of stream, chunk by chunk: what it becomes, and whether verifiers take it.

import Format
import ImageCheck
import Stream
import SystemIO
import Testing

@testable import Legacy

/// A real context, for verifiers that look into it.
let realContext: [UInt8] = {
  (try? readFile(checkout + "/Tests/Fixtures/records/hvm-context.bin")) ?? []
}()

@Suite struct ConversionTests {
  @Test(arguments: Kind.all)
  func becomesTheseRecords(kind: Kind) throws {
    let (bytes, report) = try convert(LegacyBuilder.plain(kind, verify: true))
    let stream = try ParsedStream(bytes)
    let made = LegacyBuilder(kind)
    #expect(stream.rest.isEmpty)
    #expect(
      stream.image == [
        255, 255, 255, 255, 255, 255, 255, 255, 0x58, 0x45, 0x4E, 0x46, 0, 0, 0, 3, 0, 0, 0, 0, 0,
        0, 0, 0,
      ])
    #expect(stream.domain == [kind.isPV ? 1 : 2, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
    let pages: [UInt32] = [1, 1, 13, 1, 1]
    let pv: [UInt32] = [8, 4, 5, 6, 4, 5, 6, 4, 5, 6, 7, 0]
    let expected: [UInt32] =
      kind.isPV ? [2, 16, 3] as [UInt32] + pages + pv : [16] as [UInt32] + pages + [8, 10, 9, 0]
    #expect(
      stream.records.filter { !$0.isLibxl }.map(\.type)
        == expected)
    // mode, khz, nsec, incarnation, reserved
    #expect(
      stream.bodies(8) == [
        [
          1, 0, 0, 0, 0x00, 0x9F, 0x24, 0, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0, 4, 0, 0, 0,
          0, 0, 0, 0,
        ]
      ])
    #expect(report.p2mSize == 16)
    #expect(report.width.rawValue == kind.word)
    #expect(report.checkpointCount == 1)
    if kind.isPV {
      #expect(stream.libxl.isEmpty)
      let width = UInt8(kind.guestWidth)
      #expect(stream.bodies(2) == [[width, width == 8 ? 4 : 3, 0, 0, 0, 0, 0, 0]])
      #expect(stream.bodies(3) == [[0, 0, 0, 0, 15, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]])
      let ids: [UInt8] = [0, 2, 64]
      #expect(
        stream.bodies(4)
          == ids.map { [$0, 0, 0, 0, 0, 0, 0, 0] + made.vcpuContext(UInt64($0)) })
      #expect(
        stream.bodies(5) == ids.map { [$0, 0, 0, 0, 0, 0, 0, 0] + made.extended(UInt64($0)) })
      #expect(stream.bodies(6) == ids.map { [$0, 0, 0, 0, 0, 0, 0, 0] + made.xsave() })
      #expect(stream.bodies(7) == [made.sharedInfo()])
      #expect(report.vcpuCount == 3)
      #expect(report.guestWidth == kind.guestWidth)
    } else {
      #expect(stream.libxl == Array("LibxlFmt".utf8) + [0, 0, 0, 2, 0, 0, 0, 2])
      #expect(stream.records.filter(\.isLibxl).map(\.type) == [1, 2, 3, 0])
      let params = LegacyBuilder.params.map { [$0.index, $0.value] } + [[5, 2], [6, 3], [1, 4]]
      let body = try #require(stream.bodies(10).first)
      #expect(words(body, from: 8) == params.sorted { $0[0] < $1[0] }.flatMap { $0 })
      #expect(stream.bodies(9) == [[UInt8](repeating: 7, count: 61)])
      #expect(
        stream.bodies(2, libxl: true)
          == [[0, 0, 0, 0, 0, 0, 0, 0] + Array(LegacyBuilder.physmapKeys.utf8)])
      #expect(
        stream.bodies(3, libxl: true) == [[0, 0, 0, 0, 0, 0, 0, 0] + LegacyBuilder.qemu])
      #expect(report.hasDeviceModel)
    }
    let got = stream.pages()
    let types: [UInt64: UInt8] =
      kind.isPV
      ? [
        0: 0, 1: 0, 2: 0, 3: kind.guestWidth == 8 ? 0xC : 0xB, 4: 1, 5: 2, 6: 9, 7: 0xF, 8: 0xE,
        9: 0xD, 10: 0,
      ] : [0: 0, 1: 0, 3: 0xF, 2: 0, 4: 0xE, 5: 0xD, 6: 0]
    #expect(got.mapValues(\.type) == types)
    for (pfn, page) in got where page.type < 0xD {
      #expect(page.contents == LegacyBuilder.page(pfn))
    }
    #expect(try convertThroughPipes(LegacyBuilder.plain(kind, verify: true)).bytes == bytes)
  }

  /// The wrappings of each kind: as it is, and after an xl header.
  static let wrapped: [(Kind, Bool, LegacyConverter.Wrapping)] = Kind.all.flatMap { kind in
    [
      (kind, false, LegacyConverter.Wrapping.libxc), (kind, false, .libxl), (kind, true, .asInput),
    ]
  }

  static func input(_ kind: Kind, isXL: Bool, hasToolstack: Bool = true) -> [UInt8] {
    var builder = LegacyBuilder(kind)
    builder.head()
    builder.allPages()
    builder.tsc()
    builder.vcpuInfo(maxID: 0, [1])
    if !kind.isPV {
      for param in LegacyBuilder.params { builder.param(param.type, param.value) }
      if hasToolstack { builder.toolstack() }
    }
    builder.chunk(-9)
    builder.chunk(0)
    if kind.isPV {
      builder.pvTail([0])
    } else {
      builder.hvmTail(realContext)
      builder.deviceModel()
    }
    let type = kind.isPV ? "pv" : "hvm"
    let config =
      #"{"c_info":{"type":"\#(type)","name":"a"},"b_info":{"shadow_memkb":2048,"type.\#(type)":{}}}"#
    return (isXL ? xlHeader(Array("\(config)\0".utf8), flags: 1) : []) + builder.out.bytes
  }

  @Test(arguments: wrapped)
  func ourVerifierTakesIt(kind: Kind, isXL: Bool, wrapping: LegacyConverter.Wrapping) throws {
    var options = LegacyConverter.Options()
    options.wrapping = wrapping
    let folder = Folder()
    let bytes = try convert(Self.input(kind, isXL: isXL), options).bytes
    let report = try Verifier(Source(opening: folder.write(bytes))).run()
    #expect(report.isGood, "\(report.findings.map(\.description))")
    let stream = try ParsedStream(bytes)
    #expect(stream.xl.isEmpty == !isXL)
    #expect(stream.libxl.isEmpty == (wrapping == .libxc))
  }

  @Test(
    .enabled(if: Oracle.verify != nil, "Xen's verify-stream-v2 is not obtainable here"),
    arguments: wrapped)
  func xensVerifierTakesIt(kind: Kind, isXL: Bool, wrapping: LegacyConverter.Wrapping) throws {
    var options = LegacyConverter.Options()
    options.wrapping = wrapping
    let folder = Folder()
    // It refuses every EMULATOR_XENSTORE_DATA under Python 3.
    let bytes = try convert(Self.input(kind, isXL: isXL, hasToolstack: false), options).bytes
    let format = isXL ? "xl" : wrapping == .libxl ? "libxl" : "libxc"
    let result = shell("\(Oracle.verify ?? "") -f \(format) -i '\(folder.write(bytes))'")
    #expect(result.status == 0, "\(result.text)")
  }

  @Test func xlHeadersKeepTheirConfiguration() throws {
    let stream = ConversionTests.input(Kind.all[0], isXL: false)
    // Text of Xen 4.4 and before has no NUL, and gets none.
    let text = try ParsedStream(
      convert(xlHeader(Array("name = \"a\"".utf8), flags: 0) + stream).bytes)
    #expect(text.xl == xlHeader(Array("name = \"a\"".utf8), flags: 2))
    let json = try ParsedStream(convert(xlHeader(Array("{}\0".utf8), flags: 1) + stream).bytes)
    #expect(json.xl == xlHeader(Array("{}\0".utf8), flags: 3))
    let bare = try ParsedStream(convert(xlHeader(Array("{}".utf8), flags: 1) + stream).bytes)
    #expect(bare.xl == xlHeader(Array("{}\0".utf8), flags: 3))
    #expect(!json.libxl.isEmpty && json.records.last?.isLibxl == true)
  }

  @Test func statesTheReleaseThatItIsTold() throws {
    var options = LegacyConverter.Options()
    options.xenVersion = (4, 5)
    let stream = try ParsedStream(convert(LegacyBuilder.plain(Kind.all[0]), options).bytes)
    #expect(stream.domain.suffix(8) == [4, 0, 0, 0, 5, 0, 0, 0])
  }

  @Test func withoutVCPUInfoThereIsOneVCPU() throws {
    var builder = LegacyBuilder(Kind.all[0])
    builder.hasExtended = false
    builder.hasXsave = false
    builder.head()
    builder.allPages()
    builder.chunk(-9)
    builder.chunk(0)
    builder.pvTail([0])
    let stream = try ParsedStream(convert(builder.out.bytes).bytes)
    #expect(stream.records.map(\.type) == [2, 16, 3, 1, 1, 4, 7, 0])
  }

  @Test func aBatchOfFillersIsNoRecord() throws {
    var builder = LegacyBuilder(Kind.all[2])
    builder.head()
    builder.batch([(0xF, 0), (0xF, 0)])
    builder.allPages()
    builder.chunk(-9)
    builder.chunk(0)
    builder.hvmTail([1])
    builder.deviceModel()
    let stream = try ParsedStream(convert(builder.out.bytes).bytes)
    #expect(stream.bodies(1).count == 2)
  }

  @Test func paramsThatComeTwiceCountOnce() throws {
    var builder = LegacyBuilder(Kind.all[3])
    builder.head()
    builder.allPages()
    builder.param(-8, 5)
    builder.param(-8, 6)
    builder.param(-11, 0)
    builder.chunk(-9)
    builder.chunk(0)
    builder.hvmTail([1], store: 0)
    builder.deviceModel()
    let stream = try ParsedStream(convert(builder.out.bytes).bytes)
    #expect(stream.bodies(10).map { words($0) } == [[3, 5, 2, 6, 3, 17, 6]])
  }

  @Test(arguments: ["QemuDeviceModelRecord", "DeviceModelRecord0002", "RemusDeviceModelState"])
  func deviceModels(signature: String) throws {
    var builder = LegacyBuilder(Kind.all[2])
    builder.head()
    builder.allPages()
    builder.chunk(-9)
    builder.chunk(0)
    builder.hvmTail([1, 2, 3])
    let state = [UInt8](repeating: 9, count: 4099)
    builder.deviceModel(signature, state)
    let stream = try ParsedStream(convert(builder.out.bytes).bytes)
    let id: UInt8 = signature == "QemuDeviceModelRecord" ? 1 : 0
    #expect(stream.bodies(3, libxl: true) == [[id, 0, 0, 0, 0, 0, 0, 0] + state])
    let piped = try convertThroughPipes(builder.out.bytes)
    #expect(try ParsedStream(piped.bytes).records == stream.records)
    // A libxc stream has no place for it.
    var options = LegacyConverter.Options()
    options.wrapping = .libxc
    let (bare, report) = try convert(builder.out.bytes, options)
    #expect(try ParsedStream(bare).rest.isEmpty)
    #expect(report.notes.map(\.text).joined().contains("device model"))
    options = LegacyConverter.Options()
    options.skipsDeviceModel = true
    let skipped = try convertThroughPipes(builder.out.bytes, options)
    #expect(try ParsedStream(skipped.bytes).records.filter(\.isLibxl).map(\.type) == [1, 0])
    #expect(skipped.rest.starts(with: signature.utf8))
  }

  @Test func nothingAfterAPlainSaveIsRead() throws {
    for kind in Kind.all {
      let result = try convertThroughPipes(LegacyBuilder.plain(kind) + Array("rest".utf8))
      #expect(result.rest == Array("rest".utf8))
      let file = try convert(LegacyBuilder.plain(kind) + Array("rest".utf8))
      #expect(file.bytes == result.bytes)
      #expect(file.report.notes.last?.text == "4 bytes follow the stream")
    }
  }

  @Test func xendsFrontIsTakenOff() throws {
    let config = Array("(domain (name a))".utf8)
    let front = Array("LinuxGuestRecord".utf8) + [0, 0, 0, UInt8(config.count)] + config
    for kind in Kind.all {
      let (bytes, report) = try convert(front + LegacyBuilder.plain(kind))
      #expect(try ParsedStream(bytes).libxl.isEmpty == kind.isPV)
      #expect(report.front == .xend)
      #expect(report.notes.first?.text.contains("xend") == true)
    }
  }

  @Test func anHVMStreamWithoutADeviceModelStaysBare() throws {
    var builder = LegacyBuilder(Kind.all[2])
    builder.head()
    builder.allPages()
    builder.chunk(-9)
    builder.chunk(0)
    builder.hvmTail([1])
    #expect(try ParsedStream(convert(builder.out.bytes).bytes).libxl.isEmpty)
    // A pipe cannot be asked beforehand.
    #expect(throws: StreamError.self) { try convertThroughPipes(builder.out.bytes) }
    var options = LegacyConverter.Options()
    options.wrapping = .libxc
    let piped = try convertThroughPipes(builder.out.bytes, options)
    #expect(try piped.bytes == convert(builder.out.bytes).bytes)
    // libxl's saves always have one.
    options.wrapping = .libxl
    let error = try #require(try conversionError(builder.out.bytes + [1, 2], options))
    #expect(error.kind == .malformed)
    #expect(error.problem.contains("got \"\\x01\\x02\""))
    #expect(try conversionError(xlHeader([], flags: 0) + builder.out.bytes)?.kind == .truncated)
  }
}
