// Conversions and compatibility as Lua sees them.

internal import Bytes
internal import Convert
internal import Format
internal import ImageCheck
internal import ImageEdit
internal import Jobs
internal import Legacy
internal import LuaRuntime
internal import Stream
internal import SystemIO

extension LuaImage {
  /// The methods of an image that make another one of it, or say where it can be restored.
  static var convertMethods: [LuaMember<LuaImage>] {
    [
      .method(
        "convert", "(destination: string, options: table): Conversion?, Error?",
        "Converts the image into a file (written whole, verified and renamed, or not at all) or to "
          + "\"-\". Options: version = 1 (draft B), 2 or 3; order = \"little\" or \"big\"; layer = "
          + "\"libxc\", \"libxl\", \"xl\", \"libvirt\" or \"xenopsd\"; config = text for the outer "
          + "header; xen = the saver's release, where draft B does not say it; lossy = true leaves "
          + "out what the result cannot hold; unchecked = true leaves out the verification; guest = "
          + "\"x86_pv\" or \"x86_hvm\", refused where the image has another; suits = a release of Xen, "
          + "refused where it would not restore the result; release = a release that the result is for, as in "
          + "for_xen; progress = xs.progress(title).",
        example: "assert(img:convert(\"new.img\", { version = 3, layer = \"xl\" }))"
      ) { image, frame in
        let destination = try frame.string(2)
        let (conversion, isUnchecked) = try LuaConversion.options(frame, 3)
        var job = ConvertJob(conversion: conversion, destination: destination)
        job.isUnchecked = isUnchecked
        try image.checkGuest(frame, 3)
        let suiting = try suiting(frame, 3)
        if let suiting {
          guard destination != "-" else { throw LuaError("suits: expected a file to write to") }
          job.check = { written in try suiting.run(written) }
        }
        let direct = image.legacy.flatMap { conversion.asImport($0) }
        let source = try direct == nil ? image.takeUneditedSource("convert") : image.takeLegacy()
        return try titled(frame, 3) {
          do {
            if let direct {
              var job = LegacyJob(options: direct, destination: destination)
              job.isUnchecked = isUnchecked
              if let suiting {
                job.check = { written in try suiting.run(written) }
              }
              let report = ConversionReport(importing: try job.run(source))
              frame.push(object: LuaConversion(report, suiting?.reasons ?? []))
              return 1
            }
            let report = try job.run(source)
            frame.push(object: LuaConversion(report, suiting?.reasons ?? []))
            return 1
          } catch {
            return try frame.fail(error)
          }
        }
      },
      .method(
        "for_xen", "(release: string, destination: string, options: table?): Conversion?, Error?",
        "Writes an image that a release of Xen restores, 4.6 or later: what that cannot hold is "
          + "leveled, cut or dropped, and refused by name where the guest needs it. Options: lossy = true "
          + "leaves out what the guest could miss; host = what `xensave-lua host` prints on the "
          + "destination, as text; unchecked = true leaves out the verification. The member `changes` of "
          + "the result lists what was done.",
        example: "for _, c in ipairs(assert(img:for_xen(\"4.17\", \"new.img\")).changes) do "
          + "print(c.place, c.text) end"
      ) { image, frame in
        let release = try releaseArgument(frame, 2)
        let destination = try frame.string(3)
        var conversion = Conversion()
        var isUnchecked = false
        var host: HostDescription?
        if !frame.isMissing(4) {
          (conversion, isUnchecked, host) = try LuaConversion.releaseOptions(frame, 4)
        }
        if let problem = conversion.fit(to: release, on: host) { throw LuaError(problem) }
        var job = ConvertJob(conversion: conversion, destination: destination)
        job.isUnchecked = isUnchecked
        let source = try image.takeUneditedSource("for_xen")
        do {
          frame.push(object: LuaConversion(try job.run(source), []))
          return 1
        } catch {
          return try frame.fail(error)
        }
      },
      .method(
        "compat", "(release: string): boolean, table[], table[]",
        "Whether a release of Xen restores the image, and why: a list of tables with severity "
          + "(\"error\" speaks against it), subject and text. Then what for_xen would do: a list of tables with "
          + "action (set, leveled, cut, dropped, refused), place and text.",
        example: "local ok, reasons, changes = img:compat(\"4.17\")"
      ) { image, frame in
        let release = try releaseArgument(frame, 2)
        let source = try image.takeUneditedSource("compat")
        let found: (summary: CompatSummary, plan: CompatPlan?)
        do { found = try CompatSummary.planned(source, for: release) } catch {
          return try frame.fail(error)
        }
        let reasons = Compat.check(found.summary, for: release)
        frame.push(Compat.isCompatible(reasons))
        frame.push(LuaValue(reasons))
        frame.push(LuaValue(found.plan?.changes ?? []))
        return 3
      },
    ]
  }
}

extension Conversion {
  /// The import that does all of this at once; nil where more than an import is asked for.
  fileprivate func asImport(
    _ options: LegacyConverter.Options
  ) -> LegacyConverter.Options? {
    guard version == nil || version == 3, order == nil || order == .little, config == nil else {
      return nil
    }
    var options = options
    switch wrapping {
    case nil: break
    case .libxc?: options.wrapping = .libxc
    case .libxl?: options.wrapping = .libxl
    default: return nil
    }
    if let xenRelease {
      options.xenVersion = (UInt32(xenRelease.major), UInt32(xenRelease.minor))
    }
    return options
  }
}

extension ConversionReport {
  fileprivate init(importing report: LegacyReport) {
    self.init(
      bytesWritten: report.byteCount,
      notes: report.notes.map {
        Note(place: "offset \($0.offset.hex())", text: $0.text, isLoss: false)
      })
  }
}

extension LuaImage {
  /// What the guest is called, without an import where that can be told.
  func guestName() throws -> String {
    if legacy != nil, source?.isFile == true, let guest = legacyGuest(try takeLegacy()) {
      return guest.name
    }
    return try index().end.guest?.name ?? "unknown"
  }

  /// Holds the option `guest` of `convert` against the image.
  fileprivate func checkGuest(_ frame: LuaFrame, _ index: Int) throws {
    frame.pushField(index, "guest")
    defer { frame.pop() }
    guard frame.type(-1) != .nil else { return }
    let name = frame.text(-1)
    let mine = try guestName()
    guard name == mine else {
      throw LuaError("guest: the image is of \(mine), got \(name)")
    }
  }
}

/// A release of Xen among the arguments.
private func releaseArgument(_ frame: LuaFrame, _ index: Int) throws -> XenRelease {
  guard let release = XenRelease(try frame.string(index)) else {
    throw frame.argumentError(index, "expected a release such as \"4.17\"")
  }
  return release
}

extension LuaValue {
  /// What was done for a release, or would be.
  fileprivate init(_ changes: [ReleaseChange]) {
    self = .list(
      changes.map { change in
        .table([
          ("action", .text(change.action.rawValue)), ("place", .text(change.place)),
          ("text", .text(change.text)), ("loss", .boolean(change.isLoss)),
        ])
      })
  }

  /// What `compat` says.
  fileprivate init(_ reasons: [CompatReason]) {
    self = .list(
      reasons.map { reason in
        .table([
          ("severity", .text(reason.severity.rawValue)), ("subject", .text(reason.subject)),
          ("text", .text(reason.text)),
        ])
      })
  }
}

/// The option `suits` of `convert`: the result is held against a release before it gets its name.
private func suiting(_ frame: LuaFrame, _ index: Int) throws -> ReleaseCheck? {
  frame.pushField(index, "suits")
  defer { frame.pop() }
  guard frame.type(-1) != .nil else { return nil }
  guard let release = XenRelease(frame.text(-1)) else {
    throw LuaError("suits: expected a release such as \"4.17\", got \(frame.text(-1))")
  }
  return ReleaseCheck(release)
}

/// What a conversion did.
final class LuaConversion {
  let report: ConversionReport
  let reasons: [CompatReason]

  init(_ report: ConversionReport, _ reasons: [CompatReason]) {
    self.report = report
    self.reasons = reasons
  }

  static var table: LuaClass<LuaConversion> {
    func count(
      _ name: String, _ doc: String, unit: String, _ get: @escaping (ConversionReport) -> Int
    ) -> LuaMember<LuaConversion> {
      .property(name, "integer", doc, unit: unit) { conversion, frame in
        frame.push(get(conversion.report))
      }
    }
    var table = LuaClass<LuaConversion>(
      "Conversion", "What a conversion did. Printing it gives what was left out, one a line.",
      [
        count("records_in", "Records read.", unit: "records") { $0.recordsRead },
        count("records_out", "Records written.", unit: "records") { $0.recordsWritten },
        count("octets_in", "Bytes read.", unit: "bytes") { Int(clamping: $0.bytesRead) },
        count("octets_out", "Bytes written.", unit: "bytes") { Int(clamping: $0.bytesWritten) },
        count("losses", "What the result does not hold.", unit: "losses") { $0.lossCount },
        .property(
          "notes", "table[]", "What was left out: place, text, loss (at most 100)."
        ) { conversion, frame in
          frame.push(
            LuaValue.list(
              conversion.report.notes.map { note in
                .table([
                  ("place", .text(note.place)), ("text", .text(note.text)),
                  ("loss", .boolean(note.isLoss)),
                ])
              }))
        },
        .property(
          "changes", "table[]",
          "What was done to the image for a release: action, place, text, loss (at most 1000)."
        ) { conversion, frame in frame.push(LuaValue(conversion.report.changes)) },
        .property(
          "reasons", "table[]",
          "What there is to say of a restore by the release of the option suits, as from compat."
        ) { conversion, frame in frame.push(LuaValue(conversion.reasons)) },
        .property(
          "config", "string?", "The configuration of an outer header that was left out."
        ) { conversion, frame in
          if let config = conversion.report.config {
            frame.push(config)
          } else {
            frame.pushNil()
          }
        },
      ])
    table.toString = { $0.report.text }
    return table
  }

  private typealias Option = @Sendable (LuaFrame, inout Conversion) throws -> Void

  /// The options of `img:convert`; their value is on the top of the frame. To add one, add its row
  /// here.
  private static let rows: [(name: String, read: Option)] = [
    ("release", release), ("version", version), ("order", order), ("layer", layer), ("xen", xen),
    ("config", { frame, it in it.config = Array(try text(frame, "config").utf8) }),
    ("lossy", { frame, it in it.isLossy = frame.boolean(-1) }),
  ]

  private static let version: Option = { frame, it in
    guard let version = frame.integerIfAny(-1), (1...3).contains(version) else {
      throw LuaError("version: expected 1, 2 or 3, got \(frame.text(-1))")
    }
    it.version = Int(version)
  }

  private static let order: Option = { frame, it in
    let name = try text(frame, "order")
    guard let order = ByteOrder(named: name) else {
      throw LuaError("byte order: expected little or big, got '\(name)'")
    }
    it.order = order
  }

  private static let layer: Option = { frame, it in
    let name = try text(frame, "layer")
    guard let wrapping = Wrapping(rawValue: name) else {
      throw LuaError(
        "no layer '\(name)'" + didYouMean(name, among: Wrapping.allCases.map(\.rawValue)))
    }
    it.wrapping = wrapping
  }

  private static let xen: Option = { frame, it in
    guard let release = XenRelease(try text(frame, "xen")) else {
      throw LuaError("xen: expected a release such as \"4.17\", got \(frame.text(-1))")
    }
    it.xenRelease = release
  }

  private static let release: Option = { frame, it in
    guard let release = XenRelease(try text(frame, "release")) else {
      throw LuaError("release: expected a release such as \"4.17\", got \(frame.text(-1))")
    }
    if let problem = it.fit(to: release) { throw LuaError(problem) }
  }

  private static func text(_ frame: LuaFrame, _ name: String) throws -> String {
    guard frame.type(-1) == .string, let text = frame.stringIfAny(-1) else {
      throw LuaError("\(name): expected a string, got \(frame.typeName(-1))")
    }
    return text
  }

  /// The options of `img:for_xen`.
  static func releaseOptions(
    _ frame: LuaFrame, _ index: Int
  ) throws -> (Conversion, isUnchecked: Bool, HostDescription?) {
    guard frame.type(index) == .table else {
      throw frame.argumentError(index, "expected a table of options")
    }
    let names = ["lossy", "host", "unchecked"]
    for (name, _) in try frame.fieldNames(index) where !names.contains(name) {
      throw LuaError("for_xen has no option '\(name)'" + didYouMean(name, among: names))
    }
    func flag(_ name: String) -> Bool {
      frame.pushField(index, name)
      defer { frame.pop() }
      return frame.boolean(-1)
    }
    var conversion = Conversion()
    conversion.isLossy = flag("lossy")
    var host: HostDescription?
    frame.pushField(index, "host")
    defer { frame.pop() }
    if frame.type(-1) != .nil {
      let json = Array(try text(frame, "host").utf8)
      do throws(FormatError) { host = try HostDescription(json: json) } catch {
        throw LuaError("host: \(error)")
      }
    }
    return (conversion, flag("unchecked"), host)
  }

  static func options(
    _ frame: LuaFrame, _ index: Int
  ) throws -> (conversion: Conversion, isUnchecked: Bool) {
    var conversion = Conversion()
    guard frame.type(index) == .table else {
      throw frame.argumentError(index, "expected a table of options")
    }
    let names = rows.map(\.name) + ["unchecked", "progress", "guest", "suits"]
    for (name, _) in try frame.fieldNames(index) where !names.contains(name) {
      throw LuaError("convert has no option '\(name)'" + didYouMean(name, among: names))
    }
    for row in rows {
      frame.pushField(index, row.name)
      if frame.type(-1) != .nil { try row.read(frame, &conversion) }
      frame.pop()
    }
    frame.pushField(index, "unchecked")
    let isUnchecked = frame.boolean(-1)
    frame.pop()
    return (conversion, isUnchecked)
  }
}
