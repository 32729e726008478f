// A Lua value that Swift holds on to.

/// Keeps a Lua value alive. It must go before its state does: whoever holds one closes it, or holds
/// the state too.
public final class LuaReference {
  private weak var state: LuaState?
  let registryKey: Int32

  init(_ state: LuaState, _ registryKey: Int32) {
    self.state = state
    self.registryKey = registryKey
  }

  deinit {
    state?.stack?.drop(reference: registryKey)
  }
}
