// xs.synth: images for tests of scripts, built in Lua.

internal import Format
internal import ImageEdit
internal import JSON
internal import Jobs
internal import LuaRuntime
internal import Stream
internal import SystemIO

/// A synthetic image in a script's hands.
final class LuaSynth {
  var image: SyntheticImage
  init(_ image: SyntheticImage) { self.image = image }

  static var table: LuaClass<LuaSynth> {
    var table = LuaClass<LuaSynth>(
      "Synth", "An image of a guest that never ran, for tests: xs.synth makes it.",
      [
        .method(
          "add", "(record: Record): Synth",
          "Puts a record before END, after the guest's state. Gives the image again.",
          example: "xs.synth { }:add(xs.record(\"VERIFY\")):save(path)"
        ) { synth, frame in
          let record = try frame.object(2, as: LuaRecord.self)
          let copy = try record.editable.copy()
          synth.image.extra.append(copy.record)
          frame.push(copyOf: 1)
          return 1
        },
        .method(
          "omit", "(type: string|integer): Synth",
          "Leaves all records of a type out: for images that are wrong on purpose.",
          example: "xs.synth { }:omit \"HVM_PARAMS\":save(path)"
        ) { synth, frame in
          synth.image.omitted.formUnion(try recordTypes(frame, 2))
          frame.push(copyOf: 1)
          return 1
        },
        .method(
          "save", "(path: string): string?, Error?",
          "Writes the image to a file, and gives its path. Nil and an error where that fails.",
          example: "local path = assert(xs.synth { guest = \"x86_pv\" }:save \"pv.img\")"
        ) { synth, frame in
          let path = try frame.string(2)
          do {
            try OutputFile.write(path, .memory) { try synth.image.write(to: $0.sink) }
          } catch {
            return try frame.fail(error)
          }
          frame.push(path)
          return 1
        },
      ])
    table.toString = { "synthetic image of an \($0.image.guest.name) guest" }
    return table
  }
}

extension ShellContext {
  var synthFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "synth", "(options?: table): Synth",
        "A small valid image for tests. Options: guest (\"x86_hvm\" or \"x86_pv\"), pages (how "
          + "many, or a table of contents by pfn: a string, or a byte to fill the page with), "
          + "name, vcpus, layer (\"xl\", \"libxl\" or \"libxc\"), version (3 or 2), xen "
          + "(\"4.17\"), config (parts of the configuration).",
        example: "xs.synth { guest = \"x86_hvm\", pages = { [0x10] = \"secret\" } }:save(path)"
      ) { frame in
        var image = SyntheticImage()
        if !frame.isMissing(1) {
          guard frame.type(1) == .table else {
            throw frame.argumentError(1, "expected a table of options")
          }
          for (name, _) in try frame.fieldNames(1) {
            frame.pushField(1, name)
            defer { frame.pop() }
            try image.set(name, frame)
          }
        }
        try image.checkPages()
        frame.push(object: LuaSynth(image))
        return 1
      }
    ]
  }
}

extension SyntheticImage {
  private static let names = [
    "guest", "pages", "name", "vcpus", "layer", "version", "xen", "config",
  ]

  /// Sets the option `name` to the value on the top.
  fileprivate mutating func set(_ name: String, _ frame: LuaFrame) throws {
    func wrong(_ expected: String) -> LuaError {
      LuaError("synth: \(name): expected \(expected), got \(frame.text(-1))")
    }
    let top = frame.count
    switch name {
    case "guest":
      guard let type = [GuestType.x86PV, .x86HVM].first(where: { $0.name == frame.text(-1) })
      else { throw wrong("\"x86_hvm\" or \"x86_pv\"") }
      guest = type
    case "name": self.name = try frame.string(top)
    case "vcpus": vcpuCount = try frame.integer(top, in: 1...128)
    case "layer":
      let layers: [String: Container] = ["xl": .xl, "libxl": .libxl, "libxc": .libxc]
      guard let found = layers[frame.text(-1)] else { throw wrong("xl, libxl or libxc") }
      layer = found
    case "version": version = try frame.integer(top, in: 2...3)
    case "xen":
      let parts = frame.text(-1).split(separator: ".").compactMap { UInt64($0) }
      guard parts.count == 2 else { throw wrong("MAJOR.MINOR") }
      xen = (parts[0], parts[1])
    case "config":
      guard let value = try frame.value(top), case .object(let object) = try jsonValue(value) else {
        throw wrong("a table")
      }
      config = object
    case "pages": try setPages(frame)
    default:
      throw LuaError("synth has no option '\(name)'" + didYouMean(name, among: Self.names))
    }
  }

  private mutating func setPages(_ frame: LuaFrame) throws {
    let top = frame.count
    guard frame.type(top) == .table else {
      pageCount = UInt64(try frame.integer(top, in: 1...Int64(Self.pageLimit)))
      return
    }
    var failure: LuaError?
    frame.forEachEntry(top) { key in
      guard pages.count < Self.pageLimit else {
        failure = LuaError("synth: expected at most \(Self.pageLimit) pages")
        return false
      }
      guard case .integer(let pfn) = key, pfn >= 0, pfn < 1 << 40 else {
        failure = LuaError("synth: pages: expected page numbers as keys")
        return false
      }
      var page: [UInt8]
      if frame.type(-1) == .string, let bytes = frame.bytesIfAny(-1),
        bytes.count <= Self.pageByteCount
      {
        page = bytes
      } else if let byte = frame.type(-1) == .number ? frame.integerIfAny(-1) : nil,
        (0...255).contains(byte)
      {
        page = [UInt8](repeating: UInt8(byte), count: Self.pageByteCount)
      } else {
        failure = LuaError(
          "synth: page \(pfn): expected a string of at most 4096 bytes, or a byte")
        return false
      }
      page += [UInt8](repeating: 0, count: Self.pageByteCount - page.count)
      pages[UInt64(pfn)] = page
      return true
    }
    if let failure { throw failure }
  }

  fileprivate func checkPages() throws {
    guard pages.count <= Self.pageLimit else {
      throw LuaError("synth: expected at most \(Self.pageLimit) pages")
    }
    guard guest == .x86PV else { return }
    for pfn in pages.keys where pfn < Self.firstFreePVPage || pfn >= 512 {
      throw LuaError("synth: page \(pfn): expected 16 to 511 for a PV guest")
    }
  }
}
