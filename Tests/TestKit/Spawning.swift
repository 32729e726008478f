// Programs that tests start.

public import Glibc

/// Closes everything from descriptor `first` upwards in a program to be started: what other tests
/// have open at that moment is not its business, and it would hold their pipes open. (Glibc has
/// posix_spawn_file_actions_addclosefrom_np, which Swift's Glibc does not show.)
public func closeOthers(_ actions: inout posix_spawn_file_actions_t, from first: Int32) {
  typealias Function =
    @convention(c) (
      UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32
    ) -> Int32
  guard
    let symbol = unsafe dlsym(nil, "posix_spawn_file_actions_addclosefrom_np")
  else { preconditionFailure("glibc 2.34 or later is needed") }
  let result = unsafe unsafeBitCast(symbol, to: Function.self)(&actions, first)
  precondition(result == 0)
}
