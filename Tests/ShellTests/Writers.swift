// Everything that writes a file: the table that the tests of outputs run.

import Testing

/// A command or a call of a script that writes to $OUT. It runs in a folder with the files of
/// `Writers.setup`, and ends with 3 where the system refuses.
struct Writer: Sendable, CustomTestStringConvertible {
  let name: String
  let command: String
  /// Options of commands and functions of scripts by which it writes: see `Writers`.
  let uses: [String]
  /// An input that must not be the output; "" for none.
  var input = ""
  var isImage = false
  /// What is lost is told, and the rest continues: a trace beside a save that went well.
  var isByTheWay = false

  var testDescription: String { name }

  init(
    _ name: String, _ command: String, uses: [String], input: String = "", isImage: Bool = false,
    isByTheWay: Bool = false
  ) {
    self.name = name
    self.command = command
    self.uses = uses
    self.input = input
    self.isImage = isImage
    self.isByTheWay = isByTheWay
  }

  /// A call of a script.
  init(lua code: String, uses: [String], isImage: Bool = false, isByTheWay: Bool = false) {
    let text =
      "local out = os.getenv \"OUT\"; local img = assert(xs.open \"in\"); "
      + "local function try(ok, err) if not ok then io.stderr:write(tostring(err), \"\\n\") "
      + "os.exit(3) end return ok end; " + code
    self.init(
      code, "xensave-lua -e '\(text)'", uses: uses, isImage: isImage, isByTheWay: isByTheWay)
  }
}

enum Writers {
  static let simulated = "local d <close> = xs.sim { pages = 64 }; "

  static let all: [Writer] = [
    Writer(
      "set", "xensave-lua set in config.c_info.name=x -o \"$OUT\" -q", uses: ["SetFields.output"],
      input: "in", isImage: true),
    Writer(
      "-e", "xensave-lua -e 'return function() end' in -o \"$OUT\" -q",
      uses: ["CompletionRoot.output"],
      input: "in", isImage: true),
    Writer(
      "run", "xensave-lua run rename in web1 -o \"$OUT\" -q", uses: ["CompletionRoot.output"],
      input: "in",
      isImage: true),
    Writer(
      "convert", "xensave-lua convert in -o \"$OUT\" --to libxl -q", uses: ["ConvertImage.output"],
      input: "in", isImage: true),
    Writer(
      "convert --layout", "xensave-lua convert in -o \"$OUT\" --layout aligned -q",
      uses: ["ConvertImage.output"], input: "in", isImage: true),
    Writer(
      "convert a legacy image", "xensave-lua convert old -o \"$OUT\" --to v3 -q",
      uses: ["ConvertImage.output"], input: "old", isImage: true),
    Writer(
      "wrap", "xensave-lua wrap libxl -o \"$OUT\" --config config -q", uses: ["Wrap.output"],
      input: "libxl", isImage: true),
    Writer(
      "unwrap", "xensave-lua unwrap in -o \"$OUT\" -q", uses: ["Unwrap.output"], input: "in",
      isImage: true),
    Writer(
      "unwrap --config", "xensave-lua unwrap in - --config \"$OUT\" -q >/dev/null",
      uses: ["Unwrap.config"], input: "in"),
    Writer(
      "compact", "xensave-lua compact in -o \"$OUT\" -q", uses: ["Compact.output"], input: "in",
      isImage: true),
    Writer(
      "compact --aligned", "xensave-lua compact in -o \"$OUT\" --aligned -q",
      uses: ["Compact.output"],
      input: "in", isImage: true),
    Writer(
      "delta", "xensave-lua delta in new -o \"$OUT\" -q", uses: ["MakeDelta.output"], input: "new"),
    Writer(
      "apply", "xensave-lua apply in delta -o \"$OUT\" -q", uses: ["ApplyDelta.output"],
      input: "delta", isImage: true),
    Writer(
      "export raw", "xensave-lua export in -o \"$OUT\" --format raw -q", uses: ["Export.output"],
      input: "in"),
    Writer(
      "export elf-core", "xensave-lua export in -o \"$OUT\" --format elf-core -q",
      uses: ["Export.output"], input: "in"),
    Writer(
      "store get", "xensave-lua store get store new -o \"$OUT\" -q", uses: ["StoreGet.output"],
      isImage: true),
    Writer(
      "policy test --svg", "xensave-lua policy test --trace trace --svg \"$OUT\" >/dev/null",
      uses: ["PolicyTest.svg"], input: "trace"),
    Writer(
      "policy test --report", "xensave-lua policy test --trace trace --report \"$OUT\" >/dev/null",
      uses: ["PolicyTest.report"], input: "trace"),
    Writer(
      "map -o", "xensave-lua map in -o \"$OUT\" -q", uses: ["PictureOutput.output"], input: "in"),
    Writer("history -o", "xensave-lua history in -o \"$OUT\" -q", uses: [], input: "in"),
    Writer(
      "report", "xensave-lua report in new -o \"$OUT\" -q", uses: ["ReportCommand.output"],
      input: "new"),
    Writer(
      lua: "try(xs.rewrite(img, out, function() end))", uses: ["xs.rewrite"], isImage: true),
    Writer(
      lua: "try(img:convert(out, { layer = \"libxl\" }))", uses: ["Image:convert"], isImage: true),
    Writer(
      lua: "img.xl_header.optional_flags = 0; try(img:save(out))", uses: ["Image:save"],
      isImage: true),
    Writer(lua: "try(img:for_xen(\"4.17\", out))", uses: ["Image:for_xen"], isImage: true),
    Writer(lua: "try(img:compact(out))", uses: ["Image:compact"], isImage: true),
    Writer(lua: "try(img:delta(out, assert(xs.open \"new\")))", uses: ["Image:delta"]),
    Writer(lua: "try(img:apply(out, \"delta\"))", uses: ["Image:apply"], isImage: true),
    Writer(lua: "try(img:export(out, \"lime\"))", uses: ["Image:export"]),
    Writer(lua: "try(xs.synth { }:save(out))", uses: ["Synth:save"], isImage: true),
    Writer(lua: simulated + "try(d:save(out))", uses: ["Domain:save"], isImage: true),
    Writer(
      lua: simulated + "try(d:checkpoint(out, { count = 2, interval_ms = 1 }))",
      uses: ["Domain:checkpoint"], isImage: true),
    Writer(
      lua: simulated + "try(d:migrate(\"cat >/dev/null\", { trace = out }))", uses: ["trace"],
      isByTheWay: true),
    Writer(
      lua: simulated + "try(assert(d:migrate \"cat >/dev/null\").trace:save(out))",
      uses: ["Trace:save"]),
    Writer(lua: "try(xs.pages.set(1, 5):save(out))", uses: ["PageSet:save"]),
  ]

  /// Options and arguments of commands that name a file which is only read.
  static let inputs: Set<String> = [
    "SetFields.image", "Recover.image", "ConvertImage.image", "Wrap.image", "Wrap.config",
    "Unwrap.image", "OutputOption.output", "OutputOption.lastWord", "Compact.image",
    "MakeDelta.base", "MakeDelta.new", "ApplyDelta.base",
    "ApplyDelta.delta", "Export.image", "CompatImage.image", "HostOption.forHost", "Diff.a",
    "Diff.b", "Dump.image",
    "GuestCommand.image", "MapCommand.image", "HistoryCommand.image", "ReportCommand.image",
    "ReportCommand.other", "Info.image", "Verify.image", "PagesCommand.image",
    "BacktestOptions.trace", "Test.places", "EachCommand.from",
    "StorePut.images",
    // It is added to, and must be a regular file.
    "EachCommand.done",
  ]

  /// Functions of scripts with a path that is only read, or that is no file's.
  static let reading: Set<String> = [
    "xs.open", "xs.pages.load", "xs.sim.trace", "Record:get", "Record:set", "Domain:store_read",
    "Domain:store_write", "Domain:store_list", "Domain:store_watch", "Domain:migrate",
  ]

  /// Files of the source that open outputs by `OutputFile`, and what writes there.
  static let sites: [String: Set<String>] = [
    "Jobs/OutputJob.swift": [
      "set", "-e", "convert", "xs.rewrite", "compact", "delta", "apply", "export raw", "store get",
    ],
    "Jobs/EditJob.swift": ["set", "run"],
    "Jobs/ConvertJob.swift": ["unwrap --config"],
    "Jobs/DomainSave.swift": ["Domain:save", "Domain:checkpoint"],
    "Jobs/TraceRecorder.swift": ["trace", "a helper's trace"],
    "CommandLine/PolicyCommand.swift": ["policy test --svg", "policy test --report"],
    "CommandLine/PictureOutput.swift": ["map -o", "history -o", "report"],
    "LuaAPI/Image/SynthBinding.swift": ["Synth:save"],
    "LuaAPI/Domains/PolicyBinding.swift": ["Trace:save"],
    "ContentStore/PackWriter.swift": ["store put", "store gc"],
    "ContentStore/StorePlace.swift": ["store put", "store gc", "a lease"],
    "Pages/Select/PageSet.swift": ["PageSet:save"],
    "Pages/Index/IndexCache.swift": ["--cache"],
    "SystemIO/Files/FileSystem.swift": ["new", "init", ".save"],
  ]

  /// Other places that make files or names: journals, scratch files, the history.
  static let others: Set<String> = [
    "SystemIO/Files/OutputFile.swift", "SystemIO/Files/Patch.swift",
    "SystemIO/Files/ScratchFile.swift",
    "SystemIO/Files/UndoJournal.swift",
    "SystemIO/Files/AppendedFile.swift", "Terminal/HistoryFile.swift", "Terminal/OpenFile.swift",
  ]

  /// Makes the files that the commands read.
  static let setup = """
    set -e; fixtures='\(Program.fixtures)'; scripts='\(Program.checkout)/scripts'
    cp $fixtures/pv-4m-1v-tiny.xlsave in; chmod 644 in
    xensave-lua set in config.c_info.name=other vcpu[0].rip=1 -o new -q
    xensave-lua delta in new delta -q
    xensave-lua unwrap in libxl --config config -q
    $scripts/legacy-image --width 64 in old >/dev/null
    xensave-lua store put store in new -q; chmod -R a+rX store
    xensave-lua -e 'local d <close> = xs.sim { pages = 64 }
      assert(assert(d:migrate "cat >/dev/null").trace:save "trace")'
    set +e

    """
}
