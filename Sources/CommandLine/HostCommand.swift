// xensave-lua host

internal import ArgumentParser
internal import Bytes
internal import Convert
internal import Format
internal import Jobs
internal import Live
internal import Reports
internal import Stream
internal import SystemIO

struct HostCommand: ShellCommand {
  static let name = "host"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Describe this host, for images that are to restore on it.",
    usage: """
      xensave-lua host >HOST.json
      ssh HOST xensave-lua host | xensave-lua convert IMAGE --for-host - -o OUT
      """,
    discussion: """
      Prints JSON: the release of Xen with its point release, the CPUID and MSR policies that it can \
      give to PV and to HVM guests, the features in them by name, the memory, and the version of the \
      device model. In a dom0 Xen says it, which needs root. Elsewhere the CPUID instruction does \
      ("origin": "cpuid"), of which Xen may give a guest less, and the release is the newest whose \
      libraries are installed.

      Exit codes: 0 done, 1 Xen cannot be asked, 2 usage, 3 a system call failed.
      """)

  mutating func execute() throws -> Int32 {
    let host: HostDescription
    do { host = try HostJob.describe() } catch {
      throw XensaveError(.findings, XensaveError(error).description)
    }
    try writeOut(host.json)
    return ExitCode.good
  }
}

/// --for-host of commands that ask about a destination.
struct HostOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The host that is to restore it: what `xensave-lua host` prints there; \"-\" is standard input.",
      valueName: "file"),
    completion: .file())
  var forHost: String?

  /// The description; nil where none is asked for. `image` is what else may be standard input.
  func read(besides image: String) throws -> HostDescription? {
    guard let forHost else { return nil }
    guard forHost != "-" || image != "-" else {
      throw XensaveError(.usage, "--for-host: expected a file, for the image is standard input")
    }
    let bytes = try opened(forHost).read(HostDescription.byteLimit + 1)
    do throws(FormatError) { return try HostDescription(json: bytes) } catch {
      throw XensaveError(.usage, "\(forHost): \(error)")
    }
  }
}

/// The release that is asked for, or that of the host.
func release(
  _ text: String?, of host: HostDescription?, option: String
) throws -> XenRelease {
  if let text { return try xenRelease(text) }
  guard let release = host?.release else {
    throw XensaveError(
      .usage,
      host == nil
        ? "expected \(option) or --for-host"
        : "the description of the host names no Xen: expected \(option) besides it")
  }
  return release
}
