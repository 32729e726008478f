// The module `xensave`.

internal import Bytes
internal import Format
internal import ImageCheck
internal import ImageEdit
internal import Jobs
internal import Legacy
internal import LuaRuntime
internal import PolicyEngine
internal import Reports
internal import Stream
package import SystemIO

extension ShellContext {
  /// Registers every class, and makes `require "xensave"` give the module.
  package func bind() throws {
    state.register(LuaImage.table)
    state.register(LuaRecord.table)
    state.register(LuaHeader.table)
    state.register(LuaConfig.table)
    state.register(LuaTree.table)
    state.register(FieldNode.table)
    state.register(PageColumn.table)
    state.register(LuaReport.table)
    state.register(LuaVerification.table)
    state.register(LuaFinding.table)
    state.register(LuaVCPUs.table)
    state.register(LuaVCPU.table)
    state.register(LuaLinux.table)
    state.register(LuaSymbols.table)
    state.register(LuaTask.table)
    state.register(LuaTypedValue.table)
    state.register(LuaStruct.table)
    state.register(LuaParams.table)
    state.register(LuaCPUID.table)
    state.register(LuaConversion.table)
    state.register(LuaChain.table)
    state.register(LuaSynth.table)
    state.register(LuaDomain.table)
    state.register(LuaSaveResult.table)
    state.register(LuaTrace.table)
    state.register(LuaPolicyRecipe.table)
    state.register(LuaStats.table)
    state.register(LuaProgress.table)
    state.register(LuaSelector.table)
    state.register(LuaPageSet.table)
    state.register(LuaDuplicates.table)
    bindViews()

    let frame = state.frame
    frame.pushTable()
    state.declareTop(
      LuaDeclaration(
        .module, owner: "", "xs", "",
        "What `require \"xensave\"` gives: opening, rewriting and checking saved domains."))
    state.addFunctions(
      imageFunctions + recordFunctions + textFunctions + scriptFunctions
        + optionFunctions + synthFunctions + progressFunctions + jsonFunctions + diffFunctions
        + domainFunctions + policyFunctions + structFunctions)
    frame.pushTable()
    state.declareTop(
      LuaDeclaration(.module, owner: "", "xs.log", "", "Messages on standard error."))
    state.addFunctions(logFunctions)
    frame.setField("log")
    frame.pushTable()
    state.declareTop(
      LuaDeclaration(
        .module, owner: "", "xs.cpuid", "", "CPUID features by Xen's names, without an image."))
    state.addFunctions(cpuidFunctions() + cpuidLevelFunctions())
    frame.setField("cpuid")
    try bindPages()
    pushSimModule()
    frame.setField("sim")
    state.addField(
      LuaDeclaration(
        .property, owner: "xs", "version", "string", "The release of this program.",
        example: "print(xs.version)"), .text(productVersion))
    state.addField(
      LuaDeclaration(
        .property, owner: "xs", "opts", "table",
        "The values of the script's options, as xs.options has read them.",
        example: "if xs.opts.json then print(xs.json(out)) end"), .table([]))
    state.provideModuleFromTop("xensave")
  }

  /// The part of the module that a sandbox has: text and messages.
  func bindSandbox() {
    let frame = state.frame
    frame.pushTable()
    state.addFunctions(textFunctions)
    frame.pushTable()
    state.addFunctions(logFunctions)
    frame.setField("log")
    frame.pushTable()
    state.addFunctions(cpuidFunctions() + cpuidLevelFunctions())
    frame.setField("cpuid")
    frame.push(productVersion)
    frame.setField("version")
    state.provideModuleFromTop("xensave")
  }

  private var imageFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "open", "(path: string, options?: table): Image?, Error?",
        "Opens a saved domain; \"-\" is standard input. Nil and an error where it cannot be opened or "
          + "is no saved domain. Options: layer = \"legacy\" opens what Xen 4.5 and older saved: it is "
          + "seen as the version 3 image that it becomes (a scratch file in $TMPDIR, made when it is "
          + "first needed; img:convert to version 3 needs none). width = 32, 64 or \"auto\" is the "
          + "word size of its toolstack.",
        example: "local img <close> = assert(xs.open \"vm.img\")"
      ) { [unowned self] frame throws in
        let source: Source
        let path = try frame.string(1)
        do {
          source = try frame.state.opening { () throws(SystemError) in try Source(image: path) }
        } catch {
          return try frame.fail(error)
        }
        if let legacy = try LegacyOptions(frame, 2) {
          let image = LuaImage(source, legacy: legacy.options)
          self.watch(image)
          do throws(StreamError) {
            if legacy.options.width == nil, try LegacyForm.detect(source) == nil {
              return frame.fail(
                LuaFailure("\(source.path): this is no legacy image", code: "malformed"))
            }
          } catch { return try frame.fail(error) }
          frame.push(object: image)
          return 1
        }
        let image = LuaImage(source)
        self.watch(image)
        if source.isFile {
          // What is no image is said here, and not at the first use.
          do { _ = try RecordProbe.check(source.duplicate()) } catch {
            return try frame.fail(error)
          }
        }
        frame.push(object: image)
        return 1
      },
      LuaModuleFunction(
        "xs", "rewrite",
        "(source: string|Image, destination: string?, filter?: Filter, options?: table): Report?, Error?",
        "Passes every part of an image, with the changes made to it, through a filter (nil: only "
          + "those changes). The destination is a file (written whole, "
          + "verified and renamed, or not at all), \"-\" for standard output, or nil for a dry run. "
          + "Options: unchecked = true leaves out the verification, progress = xs.progress(title). What the filter raises is raised.",
        example: "assert(xs.rewrite(\"in\", \"out\", { TOOLSTACK = function() return false end }))"
      ) { [unowned self] frame in
        try self.rewrite(frame)
      },
      LuaModuleFunction(
        "xs", "verify", "(source: string|Image, options?: table): Verification?, Error?",
        "Checks an image as Xen would on a restore, and more. Reads headers only; the option pages = true "
          + "also looks into the page tables of a PV guest.",
        example: "for _, finding in ipairs(xs.verify \"vm.img\") do print(finding) end"
      ) { frame in
        var options = Verifier.Options()
        if frame.type(2) == .table {
          for (name, _) in try frame.fieldNames(2) where name != "pages" {
            throw LuaError("verify has no option '\(name)'" + didYouMean(name, among: ["pages"]))
          }
          frame.pushField(2, "pages")
          options.readsPages = frame.boolean(-1)
          frame.pop()
        }
        if let image: LuaImage = frame.objectIfAny(1) {
          return try pushVerification(of: image, frame, options: options)
        }
        let path = try frame.string(1)
        do {
          return try pushVerification(of: try Source(contents: path), frame, options: options)
        } catch { return try frame.fail(error) }
      },
    ]
  }

  private func rewrite(_ frame: LuaFrame) throws -> Int32 {
    let source: Source
    let image: LuaImage? = frame.objectIfAny(1)
    if let image {
      source = try image.takeSource()
    } else {
      let path = try frame.string(1)
      do {
        source = try frame.state.opening { () throws(SystemError) in try Source(image: path) }
      } catch { return try frame.fail(error) }
    }
    var job = RewriteJob(destination: .none)
    if !frame.isMissing(2) {
      let path = try frame.string(2)
      job.destination = path == "-" ? .standardOutput : .file(path)
      if path == "-" { printsToStandardError = true }
    }
    var stages: [any RewriteFilter] = []
    if let edits = image?.edits { stages.append(edits) }
    if !frame.isMissing(3) || image == nil { stages.append(try self.filter(frame, 3)) }
    let filter = stages.count == 1 ? stages[0] : ChainFilter(stages)
    if frame.type(4) == .table {
      let known = ["unchecked", "progress"]
      for (name, _) in try frame.fieldNames(4) where !known.contains(name) {
        throw LuaError("rewrite has no option '\(name)'" + didYouMean(name, among: known))
      }
      frame.pushField(4, "unchecked")
      job.isUnchecked = frame.boolean(-1)
      frame.pop()
    }
    return try titled(frame, 4) {
      do {
        let report = try job.run(source, filter)
        if job.destination != .none { image?.markSaved() }
        frame.push(object: LuaReport(report))
        return 1
      } catch {
        if let inner = (error as? XensaveError)?.underlying as? LuaError { throw inner }
        return try frame.fail(error)
      }
    }
  }

  var recordFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "record", "(type: string|integer, fields?: table|string, layer?: string): Record",
        "Makes a record from a table of fields by their names in the specification (what is not given "
          + "is zero, counts follow from lists), or from the bytes of its body.",
        example:
          "xs.record(\"HVM_PARAMS\", { param = { { index = \"STORE_PFN\", value = 0xff000 } } })"
      ) { [unowned self] frame in
        let type = try madeType(frame)
        let context = BodyContext(order: self.makingOrder)
        let body: [UInt8]
        if frame.isMissing(2) {
          body = try makeBody(type, .group([]), context)
        } else if frame.type(2) == .string {
          body = try frame.bytes(2)
        } else {
          guard frame.type(2) == .table, let value = try frame.value(2) else {
            throw frame.argumentError(2, "expected a table of fields or a string of bytes")
          }
          body = try makeBody(type, try fieldValue(value, path: type.name), context)
        }
        let record = LuaRecord(EditableRecord(making: type, body: body, context))
        if self.made.isEmpty { self.made.append("a new \(type.name)") }
        frame.push(object: record)
        return 1
      },
      LuaModuleFunction(
        "xs", "record_type", "(name: string|integer): integer",
        "The number of a record type: \"TOOLSTACK\", \"0xb\" and 11 are all accepted.",
        example: "xs.record_type \"HVM_PARAMS\"  --> 10"
      ) { frame in
        frame.push(Int(try recordTypes(frame, 1)[0].wireValue))
        return 1
      },
    ]
  }

  private var textFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "hex", "(value: integer, digits?: integer): string",
        "An unsigned value in hexadecimal with 0x, with at least so many digits.",
        example: "xs.hex(-1)  --> 0xffffffffffffffff"
      ) { frame in
        let digits = frame.isMissing(2) ? 1 : try frame.integer(2, in: 1...16)
        frame.push(UInt64(bitPattern: try frame.integer(1)).hex(digits))
        return 1
      },
      LuaModuleFunction(
        "xs", "u64", "(value: integer): string", "The decimal digits of an unsigned value.",
        example: "xs.u64(-1)  --> 18446744073709551615"
      ) { frame in
        frame.push(String(UInt64(bitPattern: try frame.integer(1))))
        return 1
      },
      LuaModuleFunction(
        "xs", "usage", "(format: string, ...)",
        "Ends the script with a message about its arguments and exit code 2.",
        example: "if #arg < 1 then xs.usage \"expected a name\" end"
      ) { frame in
        throw LuaError(try formatted(frame), code: "usage")
      },
    ]
  }

  private var logFunctions: [LuaModuleFunction] {
    [(LogLevel.debug, "debug"), (.info, "info"), (.warning, "warn"), (.error, "error")].map {
      level, name in
      LuaModuleFunction(
        "xs.log", name, "(format: string, ...)",
        "Writes a message to standard error, formatted as string.format does.",
        example: "xs.log.\(name)(\"%s at %#x\", rec.type, rec.offset)"
      ) { [unowned self] frame in
        self.log(level, try formatted(frame))
        return 0
      }
    }
  }
}

/// The text of string.format(...) over all arguments.
func formatted(_ frame: LuaFrame) throws -> String {
  if frame.count <= 1 { return frame.text(1, limit: messageLimit) }
  let count = frame.count
  frame.pushGlobal("string")
  // In a sandbox the library stands after a table that only reads it.
  frame.pushRaw(-1, .text("format"))
  try frame.reserve(count + 8)
  for index in 1...count { frame.push(copyOf: index) }
  try frame.state.call(frame, count, results: 1)
  defer { frame.pop(2) }
  return frame.text(-1, limit: messageLimit)
}

/// Bytes of a message that are shown.
private let messageLimit = 64 << 10

/// The type that xs.record is to make: by name, or by number and layer.
private func madeType(_ frame: LuaFrame) throws -> RecordType {
  let types = try recordTypes(frame, 1)
  guard let layer = frame.stringIfAny(3) else { return types[0] }
  guard let found = types.first(where: { $0.layer.rawValue == layer }) else {
    throw LuaError("layer: expected \"libxc\" or \"libxl\", got \"\(layer)\"")
  }
  return found
}

private func makeBody(
  _ type: RecordType, _ value: FieldValue, _ context: BodyContext
) throws -> [UInt8] {
  guard let layout = RecordSchemas.of(type) else {
    throw LuaError("record type \(type.name) has no known fields: give its body as a string")
  }
  var last: FormatError?
  for form in layout.forms {
    do { return try BodySchema.body(of: form.fields, value, context) } catch { last = error }
  }
  throw last ?? FormatError(.invalid, "\(type.name): no rows")
}

/// Whether a source begins like an image that can be read.
package enum RecordProbe {
  package static func check(_ source: Source) throws {
    var reader = StreamReader(source)
    _ = try reader.next()
  }
}
