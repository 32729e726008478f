// What a script finds when it begins: arg, img, print, strict globals, and where modules are.

internal import Bytes
package import LuaAPI
internal import LuaRuntime
internal import PolicyEngine

extension ShellContext {
  /// Sets the globals of a script.
  package func prepare(_ options: ScriptOptions, _ image: LuaImage?) throws {
    let frame = state.frame
    frame.pushTable()
    frame.push(options.scriptName)
    frame.setElement(0)
    for (index, word) in options.arguments.enumerated() {
      frame.push(word)
      frame.setElement(index + 1)
    }
    state.setGlobalFromTop("arg")
    if let image {
      frame.push(object: image)
      state.setGlobalFromTop("img")
    }
    state.setGlobal(function: "print") { [unowned self] frame in
      var line = ""
      for index in 1..<max(1, frame.count + 1) {
        line += (index > 1 ? "\t" : "") + frame.text(index)
      }
      try self.write(line + "\n")
      return 0
    }
    let isCode = options.chunks.contains { if case .text = $0 { true } else { false } }
    let mode = options.isInteractive ? "repl" : isCode ? "code" : "file"
    try run(bootstrap, named: "=xensave-lua", [mode, ModulePaths.path(script: options.scriptPath)])
    for module in options.modules {
      try run(loadModule, named: "=xensave-lua", [module.name, module.global])
    }
  }
}

/// -l: the module becomes a global.
private let loadModule = #"""
  local name, global = ...
  rawset(_G, global, require(name))
  """#

/// Lua's own part of the set-up. Globals are strict: reading or assigning one that was never
/// declared at the top of a chunk is nearly always a misspelling.
private let bootstrap = #"""
  local mode, path = ...
  package.path = path
  package.cpath = ""
  if mode ~= "file" then xs = require "xensave" end
  if mode == "repl" then return end
  local declared = {}
  for name in pairs(_G) do declared[name] = true end
  declared._PROMPT, declared._PROMPT2, declared.xs, declared.img, declared.dom = true, true, true, true, true
  setmetatable(_G, {
    __newindex = function(t, name, value)
      if not declared[name] then
        local what = debug.getinfo(2, "S").what
        if what ~= "main" and what ~= "C" then
          error(("assignment to undeclared global '%s' (a local is missing?)"):format(tostring(name)), 2)
        end
        declared[name] = true
      end
      rawset(t, name, value)
    end,
    __index = function(_, name)
      if not declared[name] then
        error(("undeclared global '%s'"):format(tostring(name)), 2)
      end
    end,
  })
  """#
