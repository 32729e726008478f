// What a script lives in: options, modules, shipped scripts, tests, tracebacks.

import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite struct ScriptLifeTests {
  private func inFolder(_ body: (String) -> Void) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    body(folder)
  }

  @Test func theShippedLibraryPassesItsTests() {
    let outcome = Program.run(["test", "Tests/Lua", "--quiet"])
    #expect(outcome.exitCode == 0, "\(outcome.text)\(outcome.errors)")
    #expect(outcome.text.hasSuffix(" passed, 0 failed\n"))
  }

  @Test func failingTestsAreReported() {
    inFolder { folder in
      let test = """
        local t = require "xensave.testing"
        t.test("good", function() end)
        t.test("bad", function() t.equal({ 1 }, { 2 }) end)
        """
      Program.write(Array(test.utf8), to: folder + "/a_test.lua")
      Program.write(Array("x = = 1".utf8), to: folder + "/b_test.lua")
      let outcome = Program.run(["test", folder])
      #expect(outcome.exitCode == 1)
      #expect(outcome.text.contains("a_test.lua:3: expected { 2 }, got { 1 }"))
      #expect(outcome.text.contains("b_test.lua:1: unexpected symbol"))
      #expect(outcome.text.hasSuffix("1 passed, 2 failed\n"))
      #expect(Program.run(["test", folder + "/nowhere"]).exitCode != 0)
    }
  }

  @Test(arguments: ["filter", "report"])
  func newScriptsPassTheirOwnTests(kind: String) {
    inFolder { folder in
      let outcome = Program.shell(
        "cd \(folder) && xensave-lua new \(kind) mine 2>/dev/null && xensave-lua test . --quiet && "
          + "xensave-lua mine.lua --help")
      #expect(outcome.exitCode == 0, "\(outcome.text)\(outcome.errors)")
      #expect(outcome.text.hasPrefix("1 passed, 0 failed\nmine: what it"))
      #expect(Program.run(["new", kind, folder + "/mine"]).exitCode == 3)
      #expect(Program.run(["new", kind, "a b"]).exitCode == 2)
    }
  }

  @Test func shippedScriptsRunByName() {
    let list = Program.run(["run", "--list"]).text
    for name in [
      "rename", "strip", "set-version", "retarget", "cpuid-level", "summary", "registers",
      "compare",
      "for-xen",
    ] {
      #expect(list.contains(name + " "))
      let help = Program.run(["run", name, "--help"])
      #expect(help.exitCode == 0)
      #expect(help.text.hasPrefix("\(name) - "))
      #expect(help.text.contains("usage: xensave-lua run \(name) IMAGE"))
    }
    #expect(Program.run(["run", "registers", pvh]).text.contains("rip    0x00000000001000c9"))
    let wrong = Program.run(["run", "renam", pv])
    #expect(wrong.exitCode == 2)
    #expect(wrong.errors.contains("did you mean 'rename'?"))
  }

  @Test func aShippedFilterWrites() {
    inFolder { folder in
      let out = folder + "/out"
      let run = Program.run(["run", "rename", pv, "web1", "-o", out, "--quiet"])
      #expect(run.exitCode == 0, "\(run.errors)")
      let compare = Program.run(["run", "compare", pv, out])
      #expect(compare.exitCode == 1)
      #expect(compare.text == "config.c_info.name: \"tpv\" -> \"web1\"\n")
      #expect(Program.run(["run", "compare", pv, pv]).exitCode == 0)
    }
  }

  @Test func optionsMayStandBeforeTheImage() {
    inFolder { folder in
      let script =
        "local xs = require 'xensave' xs.options { { name = 'json', type = 'flag' } }\n"
        + "print(xs.opts.json, img and img.guest, arg[1])\n"
      Program.write(Array(script.utf8), to: folder + "/s.lua")
      for words in [["--json", pv, "x"], [pv, "x", "--json"], [pv, "--json", "x"]] {
        #expect(Program.run([folder + "/s.lua"] + words).text == "true\tx86_pv\tx\n")
      }
      let wrong = Program.run([folder + "/s.lua", pv, "--jsn"])
      #expect(wrong.exitCode == 2)
      #expect(wrong.errors.contains("unknown option '--jsn' (did you mean '--json'?)"))
    }
  }

  @Test func modulesAreFoundBesideTheScript() {
    inFolder { folder in
      Program.write(Array("return { x = 5 }".utf8), to: folder + "/mod.lua")
      Program.write(Array("print(require('mod').x)".utf8), to: folder + "/s.lua")
      #expect(Program.run([folder + "/s.lua"]).text == "5\n")
      // -l makes a module a global.
      let loaded = Program.run([
        "-l", "xensave.filters.rename", "-l", "s=xensave.filters.strip", "-e",
        "print(type(rename.filter), type(s.filter))",
      ])
      #expect(loaded.text == "function\tfunction\n", "\(loaded.errors)")
    }
  }

  @Test func theEnvironmentOfLuasInterpreterIsIgnored() {
    inFolder { folder in
      Program.write(Array("return 1".utf8), to: folder + "/evil.lua")
      let outcome = Program.shell(
        "LUA_INIT='print \"init\"' LUA_INIT_5_4='print \"init\"' LUA_PATH='\(folder)/?.lua' "
          + "LUA_PATH_5_4='\(folder)/?.lua' LUA_CPATH='\(folder)/?.so' xensave-lua -e '"
          + "print(pcall(require, \"evil\") == false, package.cpath)'")
      #expect(outcome.text == "true\t\n", "\(outcome.errors)")
    }
  }

  @Test func aUsersPathIsNotForRoot() {
    inFolder { folder in
      Program.write(Array("return 1".utf8), to: folder + "/mine.lua")
      let command =
        "cd / && XENSAVE_LUA_PATH=\(folder) HOME=\(folder) xensave-lua -e '"
        + "print((pcall(require, \"mine\")))'"
      let isRoot = Program.shell("id -u").text == "0\n"
      #expect(Program.shell(command).text == (isRoot ? "false\n" : "true\n"))
      guard isRoot, Program.shell("command -v setpriv").exitCode == 0 else { return }
      _ = Program.shell("chmod 755 \(folder)")
      let asUser = Program.shell(
        "cp $(command -v xensave-lua) \(folder)/x && cd / && XENSAVE_LUA_PATH=\(folder) "
          + "setpriv --reuid 65534 --clear-groups env HOME=/ \(folder)/x -e "
          + "'print((pcall(require, \"mine\")))'")
      #expect(asUser.text == "true\n", "\(asUser.errors)")
    }
  }

  @Test func tracebacksNameTheRecord() {
    let filter = Program.run([
      "-e", "return { X86_TSC_INFO = function(r) error 'no' end }", pv, "--dry-run",
    ])
    #expect(filter.errors.contains("record 8 (X86_TSC_INFO) at 0x"))
    #expect(filter.errors.contains("stack traceback:"))
    let loop = Program.run([
      "-e", "for r in img:records() do if r.type == 'X86_TSC_INFO' then error 'no' end end", pv,
    ])
    #expect(loop.errors.contains("while at record 8 (X86_TSC_INFO) at 0x"), "\(loop.errors)")
  }

  @Test func anInterruptEndsAScript() {
    let outcome = Program.shell(
      "timeout -s INT 1 xensave-lua -e 'while true do pcall(function() while true do end end) end'")
    #expect(outcome.errors.contains("interrupted"), "\(outcome.errors)")
  }

  @Test func aReaderThatIsGoneEndsAScriptQuietly() {
    let outcome = Program.shell(
      "(xensave-lua -e 'for i = 1, 1e5 do print(i) end'; echo $? >&2) | head -1 >/dev/null")
    #expect(outcome.errors == "141\n")
  }

  @Test func errorsThatAreTables() {
    let outcome = Program.run(["-e", "error { code = 'mine' }"])
    #expect(outcome.exitCode == 1)
    #expect(outcome.errors.contains("(error object is a table): mine"), "\(outcome.errors)")
  }

  @Test func tablesOfRows() {
    let outcome = Program.run([
      "-e", "xs.table({ { 'a', 1 }, { 'bbb', 200 } }, { header = { 'what', 'n' } })",
    ])
    #expect(outcome.text == "what  n\na       1\nbbb   200\n")
    let values = Program.run([
      "-e",
      "xs.table({ { 'a,b', 1.5 }, { 'say \"x\"', true } }, { header = { 'what', 'n' }, format = 'csv' })",
    ])
    #expect(values.text == "what,n\n\"a,b\",1.5\n\"say \"\"x\"\"\",true\n", "\(values.errors)")
    for (options, problem) in [
      ("format = 'xml'", "format: expected 'text' or 'csv', got 'xml'"),
      ("heder = {}", "table has no option 'heder' (did you mean 'header'?)"),
    ] {
      let wrong = Program.run(["-e", "xs.table({}, { \(options) })"])
      #expect(wrong.exitCode == 1 && wrong.errors.contains(problem), "\(wrong.errors)")
    }
  }
}

/// Descriptors of what a script has dropped.
@Suite struct DescriptorTests {
  /// Fields, loops that are left early and images that are opened again need no more than a few.
  @Test(arguments: [
    "local _ = img.hvm_params[99]", "local _ = img[1].type",
    "for rec in img:records() do break end",
    "local i = assert(xs.open(img.path)) local _ = i.guest",
  ])
  func loopsDoNotRunOut(code: String) {
    let image = Program.fixtures + "pvh-4m-1v-tiny.xlsave"
    let outcome = Program.shell(
      "ulimit -n 40; xensave-lua -e \"for _ = 1, 300 do \(code) end print 'done'\" \(image)")
    #expect(outcome.text == "done\n", "\(outcome.errors)")
  }
}
