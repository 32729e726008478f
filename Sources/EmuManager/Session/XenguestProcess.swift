// The stock xenguest, as an emu-manager starts it.

internal import CSystem
internal import Glibc
internal import SystemIO

/// xenguest in its mode `listen`. It is killed when this program ends, however that ends.
final class XenguestProcess {
  private let id: pid_t
  /// Its standard output, until it has written that it is ready; -1 after that.
  private(set) var output: Int32
  private var received: [UInt8] = []
  /// The wait status; nil while it runs.
  private(set) var status: Int32?

  /// What it writes once its socket can be connected to.
  private static let greeting = Array("Ready\n".utf8)

  /// The words it is started with: whether it is to save or to restore comes later, over its socket. It
  /// writes errors to 2 and expects answers from 0, both of which lead nowhere.
  static func words(_ path: String, domain: UInt32) -> [String] {
    [
      path, "-debug", "-domid", "\(domain)", "-controloutfd", "2", "-controlinfd", "0", "-mode",
      "listen",
    ]
  }

  /// Its whole environment: without it what it writes would stay in the buffer of its standard output.
  static let environment = ["LD_PRELOAD=/usr/libexec/coreutils/libstdbuf.so", "_STDBUF_O=0"]

  init(_ path: String, domain: UInt32) throws(ManagerFailure) {
    let pipe: Int32
    var ends: [Int32] = [-1, -1]
    guard unsafe csystem_pipe(&ends) == 0 else {
      throw ManagerFailure(.system(errno), "no pipe for xenguest")
    }
    (output, pipe) = (ends[0], ends[1])
    // Safety: the copies live until they are freed below, after the call.
    var words = unsafe XenguestProcess.words(path, domain: domain).map { unsafe strdup($0) }
    unsafe words.append(nil)
    var variables = unsafe XenguestProcess.environment.map { unsafe strdup($0) }
    unsafe variables.append(nil)
    var started: pid_t = 0
    let problem = unsafe csystem_spawn_peer(&words, &variables, pipe, &started)
    for index in unsafe words.indices { unsafe free(words[index]) }
    for index in unsafe variables.indices { unsafe free(variables[index]) }
    _ = Glibc.close(pipe)
    id = started
    guard problem == 0 else {
      _ = Glibc.close(output)
      output = -1
      status = 0
      throw ManagerFailure(.system(problem), "\(path) cannot be started")
    }
  }

  deinit {
    closeOutput()
    end()
  }

  /// Takes what it has written; true when it is ready. Called when its output can be read.
  func readGreeting() throws(ManagerFailure) -> Bool {
    let wanted = XenguestProcess.greeting
    var bytes = [UInt8](repeating: 0, count: wanted.count - received.count)
    let count = unsafe read(output, &bytes, bytes.count)
    guard count >= 0 else {
      if errno == EINTR { return false }
      throw ManagerFailure(.system(errno), "xenguest's output cannot be read")
    }
    guard count > 0 else {
      throw ManagerFailure(
        .system(EPIPE), "xenguest ended, or closed its output, before it was ready")
    }
    received += bytes[..<count]
    guard wanted.starts(with: received) else {
      throw ManagerFailure(.system(EINVAL), "xenguest wrote something else than that it is ready")
    }
    guard received.count == wanted.count else { return false }
    closeOutput()
    return true
  }

  private func closeOutput() {
    if output >= 0 { _ = Glibc.close(output) }
    output = -1
  }

  /// Whether it has ended.
  func hasEnded() -> Bool {
    guard status == nil else { return true }
    var result: Int32 = 0
    let found = unsafe waitpid(id, &result, WNOHANG)
    if found == id { status = result }
    // Whoever started this program ignores SIGCHLD: then nobody knows how it ended.
    if found < 0, errno == ECHILD { status = 0 }
    return status != nil
  }

  /// Waits for its end until `deadline`, by the monotonic clock; whether it came.
  func wait(until deadline: UInt64) -> Bool {
    while !hasEnded() {
      guard monotonicNanoseconds() < deadline else { return false }
      sleep(nanoseconds: 5_000_000)
    }
    return true
  }

  /// Kills it where it has not ended, and waits for that.
  func end() {
    guard !hasEnded() else { return }
    _ = kill(id, SIGKILL)
    _ = wait(until: .max)
  }

  /// How it ended, as a failure; nil where it runs, or its exit status was 0.
  var failure: ManagerFailure? {
    guard let status, status != 0 else { return nil }
    let signal = status & 0x7F
    return signal != 0
      ? ManagerFailure(
        .killed, emulator: EMPEvent.emulator, "xenguest was ended by signal \(signal)")
      : ManagerFailure(
        .exited, emulator: EMPEvent.emulator, "xenguest's exit status was \(status >> 8 & 0xFF)")
  }

  /// Something that changes while it works: bytes that it has read and written, and ticks of the
  /// processor that it or the hypervisor has had for it.
  var activity: UInt64 {
    let bytes = (XenguestProcess.text("/proc/\(id)/io") ?? "").split(separator: "\n").prefix(2)
      .map { $0.split(separator: " ").last.flatMap { UInt64($0) } ?? 0 }
    // After the name, which may hold anything and ends with the last bracket: state, ..., utime, stime.
    let status = XenguestProcess.text("/proc/\(id)/stat") ?? ""
    let fields = status[(status.lastIndex(of: ")") ?? status.startIndex)...].split(separator: " ")
    let ticks = fields.dropFirst(12).prefix(2).map { UInt64($0) ?? 0 }
    return (bytes + ticks).reduce(0) { $0 &+ $1 }
  }

  /// The beginning of a file of /proc, whose size is not known; nil where it cannot be read.
  private static func text(_ path: String) -> String? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { _ = Glibc.close(file) }
    var bytes = [UInt8](repeating: 0, count: 1024)
    let count = unsafe read(file, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}
