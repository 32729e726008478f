// Nothing that a script or a stream says can trap: everything that is bound is called with everything
// that a script may get wrong, and every kind of image is read with its integers at their edges. In
// children, so that a trap is seen as what it is.

import LuaRuntime
import TestKit
import Testing

@testable import LuaAPI
@testable import REPL

@Suite struct BruteTests {
  private static let scripts = Program.checkout + "/Tests/Brute/"

  /// What is bound, as a table of Lua: what completion and help are made from.
  private func declarations() throws -> String {
    let shell = try ShellContext(SessionExplainer())
    defer { shell.state.close() }
    try shell.bind()
    var text = "declared = {\n"
    for declaration in shell.state.declarations {
      switch declaration.kind {
      case .method, .function, .property:
        let kinds = declaration.parameters.map { "\"\($0.type)\"" }.joined(separator: ", ")
        text += "  { \"\(declaration.owner)\", \"\(declaration.name)\", "
        text += "\"\(declaration.kind.rawValue)\", { \(kinds) } },\n"
      default: break
      }
    }
    return text + "}\n"
  }

  private func makeImages(_ folder: String) -> [String] {
    var images: [(String, [UInt8])] = [
      ("hvm", StreamBuilder.hvm().bytes), ("pv", StreamBuilder.pv().bytes),
      ("pv32", StreamBuilder.pv(width: 4).bytes), ("remus", StreamBuilder.remus().bytes),
    ]
    var cut = StreamBuilder.remus().bytes
    cut.removeLast(3000)
    images.append(("cut", cut))
    for (name, bytes) in images { Program.write(bytes, to: folder + "/" + name) }
    let made = Program.shell(
      """
      cd '\(folder)' && xensave-lua -e '
      local legacy = dofile "\(Self.scripts)legacy.lua"
      for name, make in pairs(legacy) do
        local file = assert(io.open("legacy-" .. name, "wb"))
        file:write(make())
        file:close()
      end
      local img = assert(require "xensave".open "hvm")
      local options = {
        ["draft-b"] = { version = 1, layer = "libxc" }, xenopsd = { layer = "xenopsd" },
        libvirt = { layer = "libvirt", config = "<domain/>" },
      }
      for name, how in pairs(options) do
        how.lossy, how.unchecked = true, true
        assert(img:convert(name, how))
      end
      '
      """)
    #expect(made.exitCode == 0, "\(made.errors)")
    return images.map(\.0) + ["draft-b", "xenopsd", "libvirt", "legacy-hvm", "legacy-pv"]
  }

  @Test func everyCallWithEveryMistake() throws {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let images = makeImages(folder)
    Program.write(Array(try declarations().utf8), to: folder + "/declared.lua")
    let run = Program.shell(
      "cd '\(folder)' && \(Program.memoryLimit(16_000_000)) timeout 540 xensave-lua -e 'dofile \"declared.lua\"' "
        + "-e 'dofile \"\(Self.scripts)calls.lua\"' -- hvm . \(images.joined(separator: " ")) 2>err"
    )
    let last = String(decoding: Program.read(folder + "/last"), as: UTF8.self)
    let errors = String(decoding: Program.read(folder + "/err").suffix(2000), as: UTF8.self)
    #expect(run.exitCode == 0, "in \(last.prefix { $0 != "\n" }): \(errors)")
    let count = run.text.split(separator: "\n").last.flatMap { Int($0) } ?? 0
    #expect(count > 50_000, "\(count) calls")
  }

  /// Each image with the places of its integers that a reader goes by: of each part the header and the
  /// first bytes after it.
  private static let streams:
    [(kind: String, chunks: [(offset: Int, count: Int)], bytes: [UInt8])] =
      [
        ("hvm", StreamBuilder.hvm()), ("hvm v2", StreamBuilder.hvm(version: 2).libxc),
        ("pv", StreamBuilder.pv()), ("pv32", StreamBuilder.pv(width: 4).libxl),
        ("remus", StreamBuilder.remus().libxl),
      ].map { (kind: String, image: StreamBuilder) in
        var offset = 0
        let chunks = image.chunks.map { chunk in
          defer { offset += chunk.bytes.count }
          return (offset, min(chunk.headByteCount, chunk.name == "xl" ? 48 : 24))
        }
        return (kind, chunks, image.bytes)
      }

  private func read(_ kind: String, _ bytes: [UInt8], _ chunks: [(offset: Int, count: Int)]) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    var places = ""
    for (offset, count) in chunks {
      for place in stride(from: 0, to: count - 3, by: 4) {
        places += "\(offset + place) 4\n"
        if place % 8 == 0, place + 8 <= count { places += "\(offset + place) 8\n" }
      }
    }
    Program.write(bytes, to: folder + "/image")
    Program.write(StreamBuilder.hvm().bytes, to: folder + "/img")
    Program.write(Array(places.utf8), to: folder + "/places")
    let name = kind.hasPrefix("legacy") ? "legacy" : kind
    let run = Program.shell(
      "cd '\(folder)' && \(Program.memoryLimit(16_000_000)) timeout 540 xensave-lua '\(Self.scripts)streams.lua' "
        + "img . image '\(name)' 2>err")
    let last = String(decoding: Program.read(folder + "/last"), as: UTF8.self)
    let errors = String(decoding: Program.read(folder + "/err").suffix(2000), as: UTF8.self)
    #expect(run.exitCode == 0, "in \(last.prefix { $0 != "\n" }): \(errors)")
    let count = run.text.split(separator: "\n").last.flatMap { Int($0) } ?? 0
    #expect(count > 60, "\(kind): \(count) images")
  }

  @Test(arguments: streams.map(\.kind))
  func everyIntegerOfAStreamAtItsEdges(kind: String) throws {
    let stream = try #require(Self.streams.first { $0.kind == kind })
    read(kind, stream.bytes, stream.chunks)
  }

  /// Formats that are made here: their integers stand in the first and last bytes.
  @Test(arguments: ["draft-b", "legacy-hvm", "legacy-pv", "xenopsd", "libvirt"])
  func everyIntegerOfAnotherFormatAtItsEdges(kind: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let images = makeImages(folder)
    #expect(images.contains(kind))
    let bytes = Program.read(folder + "/" + kind)
    let last = max(0, bytes.count - 32) / 4 * 4
    read(kind, bytes, [(0, 96), (last, bytes.count - last)])
  }
}
