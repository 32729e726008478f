// Who puts domains back when the program that holds them is killed.

internal import Bytes
internal import Live
internal import SystemIO

/// What was done to a domain and has to be undone, in the order of undoing.
enum PendingUndo: UInt8, CaseIterable {
  case logDirty, suspension, pause, throttle
}

/// A process of its own that knows what has been done to the domains of a `XenHost`. A handle puts its
/// domain back itself, on errors and on signals; nothing that a process does can help it against
/// SIGKILL. The crash guard reads a pipe: when that ends and something is left to be undone, it undoes
/// it. It is told before a thing is done and after it is undone.
///
/// libxl's save helper needs it for throttles only: libxl looks after the rest when its helper dies.
final class XenCrashGuard {
  /// Milliseconds that it may take to open Xen.
  private static let patience: Int32 = 10_000
  static let messageByteCount = 8

  private let process: CrashGuard

  /// Starts it: `words` are a program that calls `guardDomains`. Throws where it is not ready.
  init(_ words: [String]) throws {
    do throws(SystemError) { process = try CrashGuard(words) } catch {
      throw XenCrashGuard.failure(error.errno, "\(error)")
    }
    guard process.waitForByte(milliseconds: XenCrashGuard.patience) else {
      throw XenCrashGuard.failure(0, "it does not come up")
    }
  }

  /// `cap`: what a throttled domain had before.
  func note(_ undo: PendingUndo, _ domain: UInt32, isDue: Bool, cap: UInt16) throws {
    var bytes: [UInt8] = [isDue ? 1 : 0, undo.rawValue]
    bytes.append(integer: cap)
    bytes.append(integer: domain)
    do throws(SystemError) { try process.send(bytes) } catch {
      throw XenCrashGuard.failure(error.errno, "\(error)")
    }
  }

  private static func failure(_ errno: Int32, _ problem: String) -> XensaveError {
    XensaveError(
      .noHypervisor,
      "the crash guard that would put the domain back if this program were killed: \(problem)",
      errno: errno == 0 ? nil : errno)
  }
}

extension XenHost {
  /// Notes what is about to be done to a domain, or what has been undone. Does nothing where no
  /// crash guard is wanted.
  func note(_ undo: PendingUndo, _ domain: UInt32, isDue: Bool, cap: UInt16 = 0) throws {
    if guardsThrottleOnly, undo != .throttle { return }
    if crashGuard == nil {
      guard isDue, !crashGuardWords.isEmpty else { return }
      crashGuard = try XenCrashGuard(crashGuardWords)
    }
    try crashGuard?.note(undo, domain, isDue: isDue, cap: cap)
  }
}

extension XenDomain {
  /// Does something that has to be undone; where it fails there is nothing to undo.
  func withPendingUndo(_ undo: PendingUndo, _ body: () throws -> Void) throws {
    try host.note(undo, id, isDue: true)
    do { try body() } catch {
      try? host.note(undo, id, isDue: false)
      throw error
    }
  }

  /// Something is as it was found, or is to stay as it is. A crash guard that is gone does not matter
  /// for that.
  func resolve(_ undo: PendingUndo) { try? host.note(undo, id, isDue: false) }
}

/// The crash guard's side: reads standard input until the other process is gone, and undoes what that has
/// left. Returns the exit status. `open` opens Xen; `report` gets lines for people.
public func guardDomains(
  _ open: () throws -> XenHost, report: (String) -> Void
) -> Int32 {
  CrashGuard.ignoreRequestsToStop()
  ignoreWriteSignals()
  let host: XenHost
  do { host = try open() } catch {
    report("crash guard: \(error)")
    return 1
  }
  CrashGuard.writeByte()
  var due: [UInt32: Set<PendingUndo>] = [:]
  var caps: [UInt32: UInt16] = [:]
  while let bytes = CrashGuard.read(XenCrashGuard.messageByteCount) {
    guard let undo = PendingUndo(rawValue: bytes[1]) else { continue }
    let domain = bytes.load(4, as: UInt32.self)
    if undo == .throttle { caps[domain] = bytes.load(2, as: UInt16.self) }
    if bytes[0] == 1 { due[domain, default: []].insert(undo) } else { due[domain]?.remove(undo) }
  }
  var isGood = true
  for (id, undos) in due.sorted(by: { $0.key < $1.key }) {
    for undo in PendingUndo.allCases where undos.contains(undo) {
      do {
        // A domain that is gone needs nothing.
        guard let info = try host.info(id) else { continue }
        let domain = XenDomain(host, id)
        switch undo {
        case .logDirty: try domain.disableLogDirty()
        case .suspension: if info.shutdown == .suspend { try domain.resume() }
        case .pause: try domain.unpause()
        case .throttle: try domain.setCap(caps[id] ?? 0)
        }
      } catch {
        report("crash guard: domain \(id): \(error)")
        isGood = false
      }
    }
  }
  return isGood ? 0 : 1
}
