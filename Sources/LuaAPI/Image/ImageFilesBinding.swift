// New files made from an image's pages: compacted images, deltas, exports.

internal import Format
internal import ImageEdit
internal import Jobs
internal import LuaRuntime
internal import Pages
internal import Stream
internal import SystemIO

extension LuaImage {
  static var fileMethods: [LuaMember<LuaImage>] {
    [
      .method(
        "compact", "(path: string, options?: table): table?, Error?",
        "Writes an image with each page once: what a restore ends up with. Options: aligned = true "
          + "begins contents at multiples of 4096 bytes and makes zeros holes, unchecked = true "
          + "leaves out the verification. Gives pages, dropped, holes, octets_read, octets_written.",
        example: "assert(img:compact(\"small.img\", { aligned = true }))"
      ) { image, frame in
        let flags = try flags(frame, 3, ["aligned", "unchecked"])
        let pages = try image.pages()
        return try image.write(frame, isUnchecked: flags.contains("unchecked")) {
          sink in
          let layout = flags.contains("aligned") ? PageLayout.aligned : .plain
          let done = try pages.compact(to: sink, layout: layout)
          return [
            ("pages", done.pageCount), ("dropped", done.dropped), ("holes", done.holes),
            ("octets_read", done.bytesRead), ("octets_written", done.bytesWritten),
          ]
        }
      },
      .method(
        "delta", "(path: string, new: Image): table?, Error?",
        "Writes what of a newer image differs from this one. Gives changed_pages, octets_from_base, "
          + "octets_in_delta, octets_written.",
        example: "assert(base:delta(\"monday.delta\", img))"
      ) { image, frame in
        let new = try frame.object(3, as: LuaImage.self)
        let (base, newer) = (try image.pages(), try new.pages())
        return try image.write(frame, butNot: newer.identity, isUnchecked: true) {
          sink in
          let done = try PageDelta.make(from: base, to: newer, sink)
          return [
            ("changed_pages", done.changedPages), ("octets_from_base", done.copied),
            ("octets_in_delta", done.literal), ("octets_written", done.bytesWritten),
          ]
        }
      },
      .method(
        "apply", "(path: string, delta: string): table?, Error?",
        "Writes the image that a delta makes of this one; the wrong base is refused. Gives "
          + "changed_pages and octets_written.",
        example: "assert(base:apply(\"new.img\", \"monday.delta\"))"
      ) { image, frame in
        let delta: Source
        do { delta = try Source(opening: try frame.string(3)) } catch {
          return try frame.fail(error)
        }
        let base = try image.takeUneditedSource("apply")
        return try image.write(frame, butNot: delta.identity, isUnchecked: true) {
          sink in
          let done = try PageDelta.apply(delta, to: base, sink)
          return [("changed_pages", done.changedPages), ("octets_written", done.bytesWritten)]
        }
      },
      .method(
        "export", "(path: string, format: string): table?, Error?",
        "Writes the guest's memory for other tools: \"raw\", \"lime\", \"xen-core\" or \"elf-core\". "
          + "Gives pages, vcpus, ranges, octets_written.",
        example: "assert(img:export(\"vm.core\", \"elf-core\"))"
      ) { image, frame in
        let name = try frame.string(3)
        let names = ExportFormat.allCases.map(\.rawValue)
        guard let format = ExportFormat(rawValue: name) else {
          throw LuaError(
            "no format '\(name)': expected one of \(names.joined(separator: ", "))"
              + didYouMean(name, among: names))
        }
        return try image.write(frame, isUnchecked: true) { sink in
          let done = try image.memory().export(format, to: sink)
          return [
            ("pages", done.pageCount), ("vcpus", UInt64(done.vcpuCount)),
            ("ranges", UInt64(done.rangeCount)), ("octets_written", done.bytesWritten),
          ]
        }
      },
    ]
  }

  /// Writes the file whose path is the first argument, whole or not at all; pushes what `body` tells,
  /// or nil and an error.
  private func write(
    _ frame: LuaFrame, butNot other: FileIdentity? = nil, isUnchecked: Bool,
    _ body: (Sink) throws -> [(name: String, count: UInt64)]
  ) throws -> Int32 {
    let path = try frame.string(2)
    if let other, OutputFile.isSame(path, as: [other]) {
      throw LuaError("\(path): the output is one of the inputs")
    }
    let source = try takeUneditedSource("a new file of its pages")
    var counts: [(name: String, count: UInt64)] = []
    do {
      try OutputJob(destination: .file(path), isUnchecked: isUnchecked).run(source) {
        sink in
        guard let sink else { return }
        counts = try body(sink)
      }
    } catch {
      return try frame.fail(error)
    }
    frame.push(LuaValue.table(counts.map { ($0.name, .unsigned($0.count)) }))
    return 1
  }
}

/// The names among `known` that are true in a table of options.
private func flags(
  _ frame: LuaFrame, _ index: Int, _ known: [String]
) throws -> Set<String> {
  if frame.isMissing(index) { return [] }
  guard frame.type(index) == .table else {
    throw frame.argumentError(index, "expected a table of options")
  }
  var out: Set<String> = []
  for (name, _) in try frame.fieldNames(index) {
    guard known.contains(name) else {
      throw LuaError("no option '\(name)'" + didYouMean(name, among: known))
    }
    frame.pushField(index, name)
    if frame.boolean(-1) { out.insert(name) }
    frame.pop()
  }
  return out
}
