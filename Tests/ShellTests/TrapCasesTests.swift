// What scripts and images say in numbers: never a trap, and no more work than there is to look at.

import TestKit
import Testing

@testable import LuaAPI
@testable import Reports

@Suite struct TrapCasesTests {
  private static let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

  private func inFolder(_ body: (String) throws -> Void) rethrows {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    try body(folder)
  }

  /// A script that gives 0 where all of it holds. Errors of `assert` name the line.
  private func check(_ folder: String, _ script: String) {
    Program.write(Array(script.utf8), to: folder + "/check.lua")
    let run = Program.shell("cd '\(folder)' && xensave-lua check.lua")
    #expect(run.exitCode == 0, "\(run.errors)")
  }

  /// A filter that looks twice at a record that is not all there.
  @Test func aCutPayloadIsAskedForTwice() {
    inFolder { folder in
      var image = StreamBuilder()
      image.addLibxcHeaders(guest: 2, version: 3)
      let bytes = image.bytes + le32(0x0008_8000, 0x20_0000) + zeros(24)
      Program.write(bytes, to: folder + "/cut")
      for source in ["\(folder)/cut", "-"] {
        let run = Program.shell(
          "cat '\(folder)/cut' | xensave-lua -e 'return function(r) pcall(r.payload, r) "
            + "pcall(r.payload, r) end' \(source) -o '\(folder)/out'")
        #expect(run.exitCode == 1, "\(run.errors)")
        #expect(run.errors.contains("the stream ends inside the record"), "\(run.errors)")
      }
    }
  }

  @Test func whatIsNotThereIsSaid() {
    let outcome = Program.run(["dump", Self.pvh, "HVM_CONTEXT.CPU_MSR"])
    #expect(outcome.exitCode == 1)
    #expect(outcome.errors.contains(": HVM_CONTEXT has no CPU_MSR entry\n"), "\(outcome.errors)")
    let misspelt = Program.run(["dump", Self.pvh, "HVM_CONTEXT.CPU_MRS"])
    #expect(misspelt.errors.contains("did you mean 'CPU_MSR'?"), "\(misspelt.errors)")
  }

  /// One line a changed path of the configuration, as `diff` prints them.
  @Test func aDryRunSaysEachChangedPath() {
    let outcome = Program.run([
      "set", Self.pvh, "config.on_crash=destroy", "config.b_info.new={\"a\":1}",
      "hvm_params.IDENT_PT=0x1000", "--dry-run",
    ])
    let lines = outcome.text.split(separator: "\n").map(String.init)
    for line in [
      "config.on_crash: \"preserve\" -> \"destroy\"",
      "+ config.b_info.new: {\"a\":1}",
      "hvm_params[12] (IDENT_PT): 0xfeffe000 -> 0x1000",
    ] {
      #expect(lines.contains(line), "\(outcome.text)\(outcome.errors)")
    }
    #expect(!outcome.text.contains("..."))
  }

  /// Parameters that the body says it has, and has not.
  @Test func countsAreHeldAgainstTheBody() {
    inFolder { folder in
      check(
        folder,
        """
        local xs = require "xensave"
        assert(xs.synth {}:save "base")
        local img = assert(xs.open "base")
        img:first("HVM_PARAMS").count = 0xffffffff
        local params = img.hvm_params
        assert(#params == 5 and params.STORE_PFN and params[62] == nil)
        params[62] = 1
        assert(#params == 6 and params[62] == 1)
        params.STORE_PFN = nil
        assert(#params == 5 and params.STORE_PFN == nil)
        local short = xs.record("HVM_PARAMS", "")
        assert(not pcall(function() short.count = 1 end))
        """)
    }
  }

  /// Places that were found before are the right ones after edits of every kind.
  @Test func nodesFollowTheBody() {
    inFolder { folder in
      check(
        folder,
        """
        local xs = require "xensave"
        assert(xs.synth { vcpus = 3 }:save "base")
        local img = assert(xs.open "base")
        local rec = img:first "HVM_CONTEXT"
        local seen = 0
        for entry in rec:each "CPU" do
          assert(entry.instance == seen)
          entry.rip = 0x1000 + seen
          assert(entry.rip == 0x1000 + seen)
          seen = seen + 1
        end
        assert(seen == 3)
        for id, vcpu in img.vcpu:each() do assert(vcpu.rip == 0x1000 + id) end
        assert(img.vcpu[2].rip == 0x1002 and img.vcpu[3] == nil)
        local params = img:first "HVM_PARAMS"
        local last, list = params.param[5], params.param
        assert(#list == 5 and last.index == 12)
        params.count = 2
        assert(#list == 2 and list[3] == nil and list[0] == nil)
        assert(not pcall(function() return last.index end))
        params.count = 5
        assert(#list == 5 and last.index == 12)
        assert(list[math.mininteger] == nil and list[math.maxinteger] == nil)
        -- A body that becomes shorter leaves no place behind its end.
        local iterate = params.param:each()
        local body = params.body
        local view = body:sub(72, 16)
        iterate()
        """)
    }
  }

  /// Ten times as much takes ten times as long, and not a hundred times.
  @Test func workIsInProportion() {
    inFolder { folder in
      check(
        folder,
        """
        local xs = require "xensave"
        local function cost(f, ...)
          collectgarbage()
          local start = os.clock()
          f(...)
          return os.clock() - start
        end
        local function proportional(what, small, large)
          local ratio = large / math.max(small, 0.001)
          assert(ratio < 45, ("%s: ten times as much takes %.1f times as long"):format(what, ratio))
        end

        -- Elements of arrays by number, and by a loop.
        local function msrs(n)
          return xs.record("X86_MSR_POLICY", ("\\0"):rep(16 * n))
        end
        local function index(rec) for i = 1, #rec.msr do local _ = rec.msr[i].value end end
        local function each(rec) for e in rec:each() do local _ = e.value end end
        for _, f in ipairs { index, each } do
          proportional("elements", cost(f, msrs(400)), cost(f, msrs(4000)))
        end

        -- Entries of a chain.
        local function context(n)
          return xs.record("HVM_CONTEXT", string.pack("<I2I2I4I8", 19, 0, 8, 0):rep(n))
        end
        local function names(rec) for e in rec:each() do e:names() end end
        proportional("entries", cost(names, context(200)), cost(names, context(2000)))

        -- Members of a table that becomes JSON.
        local function json(n)
          local t = {}
          for i = 1, n do t["k" .. i] = i end
          xs.json(t)
        end
        proportional("json", cost(json, 1500), cost(json, 15000))

        -- Records of images that are compared: each in both, and each in one only.
        local function image(path, n, first)
          local records = {}
          for i = 1, n do records[i] = string.pack("<I4I4", 0x80000000 | (first + i), 0) end
          local file = assert(io.open(path, "wb"))
          file:write(("\\xff"):rep(8), "XENF", "\\0\\0\\0\\3", ("\\0"):rep(8),
            string.pack("<I4I2I2I4I4", 2, 12, 0, 4, 17), string.pack("<I4I4", 0x10, 0),
            table.concat(records), string.pack("<I4I4", 0, 0))
          file:close()
          return assert(xs.open(path))
        end
        local function diff(n, first)
          local a, b = image("a", n, 0), image("b", n, first)
          local count = 0
          for _ in xs.diff(a, b) do count = count + 1 end
          assert(count == (first == 0 and 0 or 2 * n))
        end
        for _, first in ipairs { 0, 1000000 } do
          proportional("diff", cost(diff, 700, first), cost(diff, 7000, first))
        end
        """)
    }
  }
}
