// xensave-lua new: the beginning of a script, with its test.

internal import ArgumentParser
internal import REPL
internal import Reports
internal import SystemIO

struct New: ShellCommand {
  enum Kind: String, CaseIterable, ExpressibleByArgument { case filter, report }

  static let name = "new"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Begin a script: writes NAME.lua and NAME_test.lua.")

  @Argument(help: "What it is to be: \(Kind.allCases.map(\.rawValue).joined(separator: " or ")).")
  var kind: Kind
  @Argument(help: "Its name, or a path without \".lua\".") var name: String

  mutating func execute() throws -> Int32 {
    let path = name.hasSuffix(".lua") ? String(name.dropLast(4)) : name
    let short = path.split(separator: "/").last.map(String.init) ?? path
    guard !short.isEmpty, short.utf8.allSatisfy({ LuaLexer.isName($0) || $0 == 0x2D }) else {
      throw XensaveError(.usage, "new: expected a name of letters, digits, _ and -")
    }
    let texts = kind == .filter ? (New.filter, New.filterTest) : (New.report, New.reportTest)
    for (file, text) in [(path + ".lua", texts.0), (path + "_test.lua", texts.1)] {
      try FileSystem.create(file, text.replacing("NAME", with: short))
      writeError("xensave-lua: wrote \(file)\n")
    }
    return ExitCode.good
  }

  private static let filter = """
    #!/usr/bin/env xensave-lua
    -- NAME: what it changes, in one line.
    -- usage: xensave-lua NAME.lua IMAGE [OPTION...] (-o OUT | --in-place | --dry-run)
    local xs = require "xensave"

    local M = {}

    -- The filter: nothing returned keeps a record, false drops it, records take its place.
    function M.filter(khz)
      return {
        name = "NAME",
        X86_TSC_INFO = function(rec)
          rec.khz = khz
        end,
      }
    end

    if not xs.is_main() then return M end

    local opts = xs.options {
      { name = "khz", type = "integer", required = true, help = "The frequency to set." },
    }
    return M.filter(opts.khz)

    """

  private static let filterTest = """
    -- Tests of NAME.lua: xensave-lua test .
    local xs = require "xensave"
    local t = require "xensave.testing"
    local NAME = t.script "NAME"

    t.test("sets the frequency", function()
      local image = xs.synth { guest = "x86_hvm" }:save(t.path "in.img")
      local out = t.rewrite(image, NAME.filter(1000000))
      t.equal(out:first("X86_TSC_INFO").khz, 1000000)
    end)

    """

  private static let report = """
    #!/usr/bin/env xensave-lua
    -- NAME: what it shows, in one line.
    -- usage: xensave-lua NAME.lua IMAGE [OPTION...]
    local xs = require "xensave"

    local M = {}

    -- The rows of the report.
    function M.rows(image)
      local count = {}
      for rec in image:records() do count[rec.type] = (count[rec.type] or 0) + 1 end
      local rows = {}
      for name, n in xs.sorted(count) do rows[#rows + 1] = { name, n } end
      return rows
    end

    if not xs.is_main() then return M end

    xs.options {}
    if not img then xs.usage "expected an image" end
    xs.table(M.rows(img), { header = { "type", "records" } })

    """

  private static let reportTest = """
    -- Tests of NAME.lua: xensave-lua test .
    local xs = require "xensave"
    local t = require "xensave.testing"
    local NAME = t.script "NAME"

    t.test("counts records", function()
      local image = t.open(xs.synth { guest = "x86_hvm" }:save(t.path "in.img"))
      local found = {}
      for _, row in ipairs(NAME.rows(image)) do found[row[1]] = row[2] end
      t.equal(found.HVM_CONTEXT, 1)
    end)

    """
}
