// The Xen on this machine: which release, which domains, and its libraries.

internal import Bytes
internal import CXen
internal import Glibc
public import Live
public import SystemIO

/// A line that Xen's libraries have for the log.
public struct XenMessage: Sendable {
  /// Xen's XTL_* number: 1 debug ... 8 error, 9 critical.
  public let level: UInt32
  /// -1 for none.
  public let errno: Int32
  public let context: String
  public let text: String
}

/// How far Xen's libraries are with something.
public struct XenProgress: Sendable {
  public let context: String
  public let what: String
  public let done: Int
  public let total: Int
}

/// The hypervisor of this machine, through libxenctrl, libxenguest, libxenforeignmemory and
/// libxenstore, which are opened at run time: the ones of the release that runs. Releases 4.14 to
/// 4.22 are known; others are refused by name, because the libraries have another interface in each.
/// A newer one is tried with the calls of a known one where `callsVariable` says so.
///
/// Not thread-safe: one thread at a time.
@safe
public final class XenHost {
  /// The minor number of the running Xen 4.x.
  public let minor: Int
  let xen: OpaquePointer
  private let log: Log
  /// The program that is started to put domains back if this one is killed (it calls `guardDomains`);
  /// none: nobody does. Set it before anything is done to a domain.
  public var crashGuardWords: [String] = []
  var crashGuard: XenCrashGuard?
  /// Whether it is for throttles only: libxl looks after the rest when its helper dies.
  public var guardsThrottleOnly = false

  /// The environment variable with the release whose calls are tried on a newer one than those that
  /// are known: "4.22".
  public static let callsVariable = "XENSAVE_XEN_AS"

  /// Receives what the libraries say. The C side holds it as a bare pointer.
  private final class Log {
    let message: (XenMessage) -> Void
    let progress: (XenProgress) -> Void
    var further: ((XenProgress) -> Void)?
    init(_ message: @escaping (XenMessage) -> Void, _ progress: @escaping (XenProgress) -> Void) {
      self.message = message
      self.progress = progress
    }
  }

  /// Who else hears how far the libraries are, for the time of one call.
  var onProgress: ((XenProgress) -> Void)? {
    get { log.further }
    set { log.further = newValue }
  }

  /// Opens the libraries and the hypervisor. `message` and `progress` get what the libraries say,
  /// on the thread that calls them. `release`, `folder` and `calls` are for tests: the release that is
  /// taken for the running one, where the libraries are, and the value of `callsVariable`.
  public init(
    message: @escaping (XenMessage) -> Void = { _ in },
    progress: @escaping (XenProgress) -> Void = { _ in }, release: Int? = nil,
    folder: String? = nil, calls: String? = nil
  ) throws {
    log = Log(message, progress)
    // Safety: the log lives as long as this object, and this object as long as the C side.
    let table = unsafe cxen_log(
      message: { data, level, errorNumber, context, text in
        guard let data = unsafe data, let context = unsafe context, let text = unsafe text else {
          return
        }
        let log = unsafe Unmanaged<Log>.fromOpaque(data).takeUnretainedValue()
        let message = unsafe XenMessage(
          level: UInt32(level), errno: errorNumber, context: String(cString: context),
          text: String(cString: text))
        log.message(message)
      },
      progress: { data, context, what, done, total in
        guard let data = unsafe data, let context = unsafe context, let what = unsafe what else {
          return
        }
        let log = unsafe Unmanaged<Log>.fromOpaque(data).takeUnretainedValue()
        let progress = unsafe XenProgress(
          context: String(cString: context), what: String(cString: what), done: Int(clamping: done),
          total: Int(clamping: total))
        log.progress(progress)
        log.further?(progress)
      },
      data: Unmanaged.passUnretained(log).toOpaque())
    var problem = [CChar](repeating: 0, count: 512)
    var opened: OpaquePointer?
    var errorNumber: Int32 = 0
    let candidates = try XenHost.candidates(
      release, calls ?? Environment.variable(XenHost.callsVariable))
    for candidate in candidates {
      var reason = problem
      unsafe opened = cxen_open(
        Int32(candidate.minor), Int32(candidate.calls), folder, table, &reason, reason.count)
      if unsafe opened != nil { break }
      // Where libraries are there, their problem says more than that others are not.
      if errorNumber == 0 || errno != ENOENT { (errorNumber, problem) = (errno, reason) }
      if errno != ENOENT { break }
    }
    guard let opened = unsafe opened else {
      throw XensaveError(
        .noHypervisor,
        "Xen cannot be reached: "
          + String(
            decoding: problem.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
        errno: errorNumber == 0 ? nil : errorNumber)
    }
    unsafe xen = opened
    var (major, minor): (Int32, Int32) = (0, 0)
    guard unsafe cxen_version(opened, &major, &minor) == 0 else {
      let errorNumber = errno
      unsafe cxen_close(opened)
      throw XensaveError(.noHypervisor, "Xen does not report its release", errno: errorNumber)
    }
    self.minor = Int(minor)
    guard major == 4, candidates.contains(where: { $0.minor == Int(minor) }) else {
      // All is set, so `deinit` closes it.
      throw XenHost.unknown("Xen \(major).\(minor)")
    }
  }

  deinit { unsafe cxen_close(xen) }

  /// The releases that are known, by their minor numbers.
  public static var knownReleases: [Int] {
    var minors: [Int] = []
    while let row = unsafe cxen_release_at(Int32(minors.count)) {
      minors.append(Int(unsafe row.pointee.minor))
    }
    return minors
  }

  /// A release that is to be opened, and the one whose calls it gets: the same where it is known.
  private struct Candidate {
    let minor: Int
    let calls: Int
  }

  /// The releases to be tried: the one that the kernel names, else all that are known, newest first.
  private static func candidates(
    _ release: Int?, _ calls: String?
  ) throws -> [Candidate] {
    if let release { return [try candidate(4, release, calls)] }
    let folder = "/sys/hypervisor/version/"
    guard let major = integer(inFile: folder + "major"),
      let minor = integer(inFile: folder + "minor")
    else {
      return knownReleases.reversed().map { Candidate(minor: $0, calls: $0) }
    }
    return [try candidate(major, minor, calls)]
  }

  private static func candidate(
    _ major: Int, _ minor: Int, _ calls: String?
  ) throws -> Candidate {
    let name = "Xen \(major).\(minor)"
    if major == 4, knownReleases.contains(minor) { return Candidate(minor: minor, calls: minor) }
    guard major == 4, minor > knownReleases.last ?? 0, let calls else { throw unknown(name) }
    guard let known = knownReleases.first(where: { "4.\($0)" == calls }) else {
      throw XensaveError(
        .noHypervisor,
        "\(callsVariable): expected a release of \(knownText), got '\(calls.utf8.printable)'",
        errno: ENOTSUP)
    }
    return Candidate(minor: minor, calls: known)
  }

  private static var knownText: String {
    "4.\(knownReleases.first ?? 0) to 4.\(knownReleases.last ?? 0)"
  }

  /// The refusal of a release; `name` as in "Xen 4.13". Of a newer one it says how to try it.
  public static func unknown(_ name: String) -> XensaveError {
    let newest = knownReleases.last ?? 0
    let minor = name.split(separator: ".").last.flatMap { Int($0) } ?? 0
    let isNewer = name.hasPrefix("Xen 4.") && minor > newest
    return XensaveError(
      .noHypervisor,
      "\(name) is not known here: expected \(knownText)"
        + (isNewer ? " (\(callsVariable)=4.\(newest) tries it with the calls of 4.\(newest))" : ""),
      errno: ENOTSUP)
  }

  /// The number in a file of /sys.
  private static func integer(inFile path: String) -> Int? {
    guard let source = try? Source(opening: path), let bytes = try? source.read(16) else {
      return nil
    }
    return Int(String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self))
  }

  // MARK: - Domains

  /// All domains but that of the machine itself, ascending.
  public func domains() throws -> [XenDomainInfo] {
    var found: [XenDomainInfo] = []
    var first: UInt32 = 1
    while true {
      let page = try rows(first, 64)
      found += page
      guard page.count == 64, let last = page.last else { return found }
      first = last.id + 1
    }
  }

  /// What Xen says of one domain; nil if there is none of that number.
  public func info(_ id: UInt32) throws -> XenDomainInfo? {
    try rows(id, 1).first { $0.id == id }
  }

  private func rows(_ first: UInt32, _ count: Int) throws -> [XenDomainInfo] {
    var rows = [cxen_domain](repeating: cxen_domain(), count: count)
    let found = unsafe cxen_domains(xen, first, Int32(count), &rows)
    guard found >= 0 else { throw XensaveError(.info, errno, "Xen does not list its domains") }
    return rows.prefix(Int(found)).map(XenDomainInfo.init)
  }

  /// A domain by its number.
  public func domain(_ id: UInt32) throws -> XenDomain {
    guard try info(id) != nil else { throw XensaveError(.info, ESRCH, "there is no domain \(id)") }
    return XenDomain(self, id)
  }
}

/// What Xen says of a domain. Xen: struct xen_domctl_getdomaininfo.
public struct XenDomainInfo: Sendable {
  public let id: UInt32
  public let uuid: [UInt8]
  public let isHVM: Bool
  /// HVM without a device model: Xen emulates nothing, or the local APIC only.
  public let isPVH: Bool
  public let isPaused: Bool
  public let isDying: Bool
  /// nil while it runs or is paused.
  public let shutdown: DomainInfo.Shutdown?
  public let pageCount: Int
  public let maxPageCount: Int
  public let onlineVCPUCount: Int
  /// The greatest number of a vCPU.
  public let maxVCPU: Int

  init(_ row: cxen_domain) {
    id = row.id
    uuid = unsafe withUnsafeBytes(of: row.uuid) { unsafe Array($0) }
    isHVM = row.flags & 2 != 0
    isPVH = isHVM && row.emulation_flags & ~1 == 0
    isPaused = row.flags & 8 != 0
    isDying = row.flags & 1 != 0
    shutdown =
      row.flags & 4 == 0
      ? nil : DomainInfo.Shutdown(rawValue: Int(row.flags >> 16 & 0xFF)) ?? .crash
    pageCount = Int(clamping: row.page_count)
    maxPageCount = Int(clamping: row.max_page_count)
    onlineVCPUCount = Int(row.online_vcpu_count)
    maxVCPU = row.max_vcpu_id == .max ? -1 : Int(row.max_vcpu_id)
  }
}
