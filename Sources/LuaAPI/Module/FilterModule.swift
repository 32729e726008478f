// What a filter in a sandbox finds beside what every script there finds.

internal import LuaRuntime

extension ShellContext {
  /// Registers records and headers with all that hangs on them, and adds to `xensave` what makes
  /// records and selects pages. Nothing of it opens anything.
  func bindRecords() throws {
    state.register(LuaRecord.table)
    state.register(LuaHeader.table)
    state.register(LuaConfig.table)
    state.register(LuaTree.table)
    state.register(FieldNode.table)
    state.register(PageColumn.table)
    state.register(LuaParams.table)
    state.register(LuaCPUID.table)
    state.register(LuaVCPUs.table)
    state.register(LuaVCPU.table)
    state.register(LuaSelector.table)
    state.register(LuaPageSet.table)
    bindViews()
    guard state.frame.pushLoaded("xensave") == .table else { return }
    state.addFunctions(recordFunctions)
    try bindPages()
    state.frame.pop()
  }
}
