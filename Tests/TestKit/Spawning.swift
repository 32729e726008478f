// Programs that tests start.

public import Glibc
import SystemIO

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

private let sanitizerSettings: [String] = {
  let names = ["ASAN_OPTIONS", "TSAN_OPTIONS", "XENSAVE_SANITIZED"]
  return names.compactMap { name in getenv(name).map { name + "=" + String(cString: $0) } }
}()

/// Starts words[0] with what `actions` open; its process, or throws an errno. It has no signal blocked
/// and none ignored: a thread of the tests may have blocked them, whoever started the tests may ignore
/// them, and programs inherit both. `environment`: nil for that of the tests; what a sanitizer goes by is
/// always part of it. `isLeader`: of a session of its own.
public func spawn(
  _ words: [String], _ actions: inout posix_spawn_file_actions_t, environment: [String]? = nil,
  isLeader: Bool = false
) throws -> pid_t {
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var set = sigset_t()
  sigemptyset(&set)
  posix_spawnattr_setsigmask(&attributes, &set)
  sigfillset(&set)
  posix_spawnattr_setsigdefault(&attributes, &set)
  // POSIX_SPAWN_SETSID, which Glibc shows only under _GNU_SOURCE.
  posix_spawnattr_setflags(
    &attributes,
    Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) | (isLeader ? 0x80 : 0))
  var arguments = words.map { strdup($0) } + [nil]
  var variables = ((environment ?? []) + sanitizerSettings).map { strdup($0) } + [nil]
  defer { for text in arguments + variables { free(text) } }
  var process: pid_t = 0
  let number = variables.withUnsafeMutableBufferPointer {
    posix_spawn(
      &process, words[0], &actions, &attributes, &arguments,
      environment == nil ? environ : $0.baseAddress)
  }
  guard number == 0 else { throw SystemError("posix_spawn", number, words[0]) }
  return process
}

/// The same where nothing but a fault of the test keeps it from starting.
public func mustSpawn(
  _ words: [String], _ actions: inout posix_spawn_file_actions_t, environment: [String]? = nil,
  isLeader: Bool = false
) -> pid_t {
  do {
    return try spawn(words, &actions, environment: environment, isLeader: isLeader)
  } catch { preconditionFailure("\(error)") }
}

/// Runs a command of the shell; its wait status. (system(3) has the whole process ignore SIGINT
/// meanwhile, and programs that other tests start then inherit that.)
@discardableResult public func runShell(_ command: String) -> Int32 {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  guard let process = try? spawn(["/bin/sh", "-c", command], &actions) else { return -1 }
  var status: Int32 = 0
  while waitpid(process, &status, 0) < 0, errno == EINTR {}
  return status
}
