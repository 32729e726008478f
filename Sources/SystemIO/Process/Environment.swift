// What the program asks of the system around it: variables, the user, time, other programs.

// Both declare timespec, and which one the compiler takes depends on the files it compiles together.
internal import Bytes
internal import CSystem
internal import Glibc

/// The process, its user and its machine, in the few questions that the program has.
public enum Environment {
  /// Processors that this process may use, by its affinity and the quotas of its control groups.
  public static var coreCount: Int { Int(csystem_core_count()) }

  /// Bytes of memory that programs can have without swapping (MemAvailable); nil where nobody says.
  public static var availableMemory: UInt64? {
    // A file of no length, which has contents all the same.
    let path = "/proc/meminfo"
    guard let fileDescriptor = try? Waiting.open(path, O_RDONLY),
      let descriptor = try? Descriptor(taking: fileDescriptor, path: path, isStream: true),
      let source = try? Source(descriptor, path: path),
      let text = try? source.readAvailable(8192)
    else { return nil }
    let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
    for line in lines where line.hasPrefix("MemAvailable:") {
      let kibibytes = line.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
      return kibibytes.map { $0.multipliedSaturated(by: 1024) }
    }
    return nil
  }

  /// What the CPUID instruction says: EAX to EDX; nil where the processor is no x86.
  public static func cpuid(_ leaf: UInt32, _ subleaf: UInt32) -> [UInt32]? {
    var registers = [UInt32](repeating: 0, count: 4)
    return unsafe csystem_cpuid(leaf, subleaf, &registers) ? registers : nil
  }

  /// The value of an environment variable; nil where it is not set or empty.
  public static func variable(_ name: String) -> String? {
    // Safety: getenv's result is nil or ends in NUL; it is copied at once.
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }

  /// Sets a variable, for this process and the programs that it starts.
  public static func set(_ name: String, _ value: String) { _ = unsafe setenv(name, value, 1) }

  /// Whether an environment variable is there, also where it is empty.
  public static func isSet(_ name: String) -> Bool { unsafe getenv(name) != nil }

  /// Whether this process may do everything: then files that others may write are not trusted.
  public static var isRoot: Bool { geteuid() == 0 }

  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// The folder of a kind of user file: $variable, or `fallback` in the home; nil without either.
  public static func userFolder(_ variable: String, _ fallback: String) -> String? {
    if let folder = self.variable(variable), folder.hasPrefix("/") { return folder }
    return self.variable("HOME").map { $0 + "/" + fallback }
  }

  /// Runs a command of the shell and waits for it; its exit code, or nil where it did not end so. What the
  /// keys send is the command's. A request to stop is passed on to it, and ends the wait.
  public static func run(_ command: String) -> Int32? {
    var status: Int32 = 0
    guard unsafe csystem_run_command(command, &status) == 0 else { return nil }
    return status & 0x7F == 0 ? status >> 8 & 0xFF : nil
  }

  /// Nanoseconds since 1970, as files have them.
  public static var nanosecondsSince1970: UInt64 {
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }

  /// Nanoseconds of a clock that only goes forward.
  public static var nanoseconds: UInt64 {
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }
}
