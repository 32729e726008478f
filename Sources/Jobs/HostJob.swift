// A description of the machine that the program runs on, for images that are to restore there.

package import Convert
internal import Format
internal import Live
internal import SystemIO
internal import XenDomain

package enum HostJob {
  /// Describes this host: by Xen where it runs under one, else by CPUID and what is installed.
  package static func describe() throws -> HostDescription {
    guard XenHost.isHere else { return bare() }
    let facts = try XenHost().facts()
    var host = HostDescription(origin: .xen)
    host.xen = facts.release
    host.byteCount = facts.byteCount
    host.freeByteCount = facts.freeByteCount
    host.pv = policy(facts.pv)
    host.hvm = policy(facts.hvm)
    host.deviceModel = deviceModel(facts.release)
    return host
  }

  private static func policy(_ facts: XenHostFacts.Policy) -> HostDescription.Policy {
    HostDescription.Policy(
      leaves: facts.leaves,
      msrs: Dictionary(facts.msrs.map { ($0.index, $0.value) }, uniquingKeysWith: { $1 }))
  }

  // MARK: - Without Xen

  /// What the processor has, and the newest release of Xen that is installed.
  static func bare() -> HostDescription {
    var host = HostDescription(origin: .cpuid)
    host.xen = installedRelease()
    host.byteCount = memory("MemTotal")
    host.freeByteCount = memory("MemAvailable")
    if let leaves = leaves() {
      let policy = HostDescription.Policy(leaves: leaves, msrs: [:])
      host.pv = policy
      host.hvm = policy
    }
    host.deviceModel = deviceModel(host.xen)
    return host
  }

  /// The leaves that a policy of Xen has. Xen: xen/lib/x86/cpuid.c, x86_cpuid_copy_to_buffer.
  private static func leaves() -> [CPUIDLeaf]? {
    guard let basic = Environment.cpuid(0, 0)?[0],
      let extended = Environment.cpuid(0x8000_0000, 0)?[0]
    else { return nil }
    var out: [CPUIDLeaf] = []
    func add(_ leaf: UInt32, _ subleaf: UInt32 = CPUIDLeaf.noSubleaf) {
      let words =
        Environment.cpuid(leaf, subleaf == CPUIDLeaf.noSubleaf ? 0 : subleaf) ?? [0, 0, 0, 0]
      out.append(
        CPUIDLeaf(
          leaf: leaf, subleaf: subleaf, a: words[0], b: words[1], c: words[2], d: words[3]))
    }
    for leaf in 0...min(basic, 0xD) {
      switch leaf {
      case 4: for subleaf in 0...UInt32(5) { add(leaf, subleaf) }
      case 7:
        let last = Environment.cpuid(7, 0)?[0] ?? 0
        for subleaf in 0...min(last, 2) { add(leaf, subleaf) }
      case 0xB: for subleaf in 0...UInt32(1) { add(leaf, subleaf) }
      case 0xD: for subleaf in 0...UInt32(62) { add(leaf, subleaf) }
      default: add(leaf)
      }
    }
    if extended >= 0x8000_0000 {
      for leaf in 0x8000_0000...min(extended, 0x8000_0021) { add(leaf) }
    }
    return out
  }

  private static func installedRelease() -> String? {
    let patterns = [
      "/usr/lib/*/libxenctrl.so.4.*", "/usr/lib/libxenctrl.so.4.*", "/usr/lib64/libxenctrl.so.4.*",
      "/usr/local/lib/libxenctrl.so.4.*",
    ]
    return patterns.flatMap(FileSystem.matches).compactMap { path -> XenRelease? in
      let parts = path.split(separator: ".")
      return parts.count >= 2 ? XenRelease(parts.suffix(2).joined(separator: ".")) : nil
    }.max()?.description
  }

  private static func memory(_ name: String) -> UInt64? {
    guard let text = read("/proc/meminfo") else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix(name + ":") {
      return line.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }.map { $0 << 10 }
    }
    return nil
  }

  private static func read(_ path: String) -> String? {
    guard let source = try? Source(opening: path), let bytes = try? source.read(1 << 16) else {
      return nil
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  // MARK: - The device model

  /// The version of the QEMU that libxl starts: Xen's own, then the distribution's.
  private static func deviceModel(_ release: String?) -> String? {
    let branch = release.map { $0.split(separator: ".").prefix(2).joined(separator: ".") } ?? ""
    let paths = [
      "/usr/lib/xen-\(branch)/bin/qemu-system-i386", "/usr/libexec/xen-qemu-system-i386",
      "/usr/lib/xen/bin/qemu-system-i386", "/usr/local/lib/xen/bin/qemu-system-i386",
      "/usr/bin/qemu-system-i386", "/usr/bin/qemu-system-x86_64",
    ]
    guard let path = paths.first(where: FileSystem.isFile),
      let folder = try? FileSystem.temporaryFolder()
    else { return nil }
    let file = folder + "/version"
    defer {
      FileSystem.remove(file)
      FileSystem.remove(folder)
    }
    guard Environment.run("'\(path)' -version >'\(file)' 2>/dev/null </dev/null") == 0,
      let words = read(file)?.split(separator: " "),
      let index = words.firstIndex(of: "version"), words.indices.contains(index + 1)
    else { return nil }
    let version = words[index + 1].prefix { $0.isNumber || $0 == "." }
    return version.isEmpty ? nil : String(version)
  }
}
