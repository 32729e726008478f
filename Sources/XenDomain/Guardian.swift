// Who puts domains back when the program that holds them is killed.

internal import Bytes
internal import Live
internal import SystemIO

/// What was done to a domain and has to be undone, in the order of undoing.
enum Duty: UInt8, CaseIterable {
  case logDirty, suspension, pause
}

/// A process of its own that knows what has been done to the domains of a `XenHost`. A handle puts its
/// domain back itself, on errors and on signals; nothing that a process does can help it against
/// SIGKILL. The guardian reads a pipe: when that ends and something is left to be undone, it undoes
/// it. It is told before a thing is done and after it is undone.
///
/// libxl's save helper needs none: libxl looks after the domain when its helper dies.
final class XenGuardian {
  /// Milliseconds that it may take to open Xen.
  private static let patience: Int32 = 10_000
  static let messageByteCount = 8

  private let companion: Companion

  /// Starts it: `words` are a program that calls `guardDomains`. Throws where it is not ready.
  init(_ words: [String]) throws {
    do throws(SystemError) { companion = try Companion(words) } catch {
      throw XenGuardian.failure(error.number, "\(error)")
    }
    guard companion.hear(milliseconds: XenGuardian.patience) else {
      throw XenGuardian.failure(0, "it does not come up")
    }
  }

  func note(_ duty: Duty, _ domain: UInt32, isDue: Bool) throws {
    var bytes: [UInt8] = [isDue ? 1 : 0, duty.rawValue, 0, 0]
    bytes.append(integer: domain)
    do throws(SystemError) { try companion.tell(bytes) } catch {
      throw XenGuardian.failure(error.number, "\(error)")
    }
  }

  private static func failure(_ number: Int32, _ problem: String) -> XensaveError {
    XensaveError(
      .noHypervisor,
      "the guardian that would put the domain back if this program were killed: \(problem)",
      errno: number == 0 ? nil : number)
  }
}

extension XenHost {
  /// Notes what is about to be done to a domain, or what has been undone. Does nothing where no
  /// guardian is wanted.
  func note(_ duty: Duty, _ domain: UInt32, isDue: Bool) throws {
    if guardian == nil {
      guard isDue, !guardianWords.isEmpty else { return }
      guardian = try XenGuardian(guardianWords)
    }
    try guardian?.note(duty, domain, isDue: isDue)
  }
}

extension XenDomain {
  /// Does something that has to be undone; where it fails there is nothing to undo.
  func owing(_ duty: Duty, _ body: () throws -> Void) throws {
    try host.note(duty, id, isDue: true)
    do { try body() } catch {
      try? host.note(duty, id, isDue: false)
      throw error
    }
  }

  /// Something is as it was found, or is to stay as it is. A guardian that is gone does not matter
  /// for that.
  func settle(_ duty: Duty) { try? host.note(duty, id, isDue: false) }
}

/// The guardian's side: reads standard input until the other process is gone, and undoes what that has
/// left. Returns the exit status. `open` opens Xen; `report` gets lines for people.
public func guardDomains(
  _ open: () throws -> XenHost, report: (String) -> Void
) -> Int32 {
  Companion.ignoreRequestsToStop()
  ignoreWriteSignals()
  let host: XenHost
  do { host = try open() } catch {
    report("guardian: \(error)")
    return 1
  }
  Companion.sayByte()
  var due: [UInt32: Set<Duty>] = [:]
  while let bytes = Companion.hear(XenGuardian.messageByteCount) {
    guard let duty = Duty(rawValue: bytes[1]) else { continue }
    let domain = bytes.load(4, as: UInt32.self)
    if bytes[0] == 1 { due[domain, default: []].insert(duty) } else { due[domain]?.remove(duty) }
  }
  var isGood = true
  for (id, duties) in due.sorted(by: { $0.key < $1.key }) {
    for duty in Duty.allCases where duties.contains(duty) {
      do {
        // A domain that is gone needs nothing.
        guard let info = try host.info(id) else { continue }
        let domain = XenDomain(host, id)
        switch duty {
        case .logDirty: try domain.disableLogDirty()
        case .suspension: if info.shutdown == .suspend { try domain.resume() }
        case .pause: try domain.unpause()
        }
      } catch {
        report("guardian: domain \(id): \(error)")
        isGood = false
      }
    }
  }
  return isGood ? 0 : 1
}
