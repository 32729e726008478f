// A Lua value that Swift holds on to.

/// Keeps a Lua value alive. It must go before its state does: whoever holds one closes it, or holds
/// the state too.
public final class LuaReference {
  private weak var state: LuaState?
  let number: Int32

  init(_ state: LuaState, _ number: Int32) {
    self.state = state
    self.number = number
  }

  deinit {
    state?.stack?.drop(reference: number)
  }
}
