// The few settings of the manager that no script can make: /etc/xen/xensave.d/emu-manager.conf.

internal import Glibc
internal import SaveHelper
internal import SystemIO

/// Throws where the settings of a folder make no sense.
package func checkManagerSettings(folder: String) throws { _ = try ManagerSettings(folder: folder) }

/// Lines of `name = value`, as in xenopsd.conf; what follows "#" at the start of a line is a comment.
struct ManagerSettings: Equatable {
  /// What happens to a domain where the configuration fails, or lacks what the domain asks for.
  enum Fallback: String {
    /// It is not saved or restored: a filter might be missing.
    case refuse
    /// The stock program does it.
    case stock
  }

  static let fileName = "emu-manager.conf"

  /// The stock programs; nil for their usual places.
  var emuManager: String?
  var xenguest: String?
  /// Where a file of the configuration cannot be read, or fails.
  var onError = Fallback.refuse
  /// Where a domain asks by `xensave-hook` for what no file has.
  var onUnknownHook = Fallback.refuse
  /// Seconds without any activity of xenguest after which it is given up; nil for the usual ones.
  var stall: UInt64?

  init() {}

  init(parsing text: String, path: String) throws {
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (index, line) in lines.enumerated() {
      let words = line.split(separator: "=", maxSplits: 1).map {
        String($0.trimmingSpaces())
      }
      guard let name = words.first, !name.isEmpty, !name.hasPrefix("#") else { continue }
      guard words.count == 2, try set(name, words[1]) else {
        throw XensaveError(
          .unsuitable,
          "\(path): line \(index + 1): expected emu-manager, xenguest, on-error, on-unknown-hook or "
            + "stall with a value, got '\(line.prefix(60))'")
      }
    }
  }

  /// False for a name that is not known, or a value that is none.
  private mutating func set(_ name: String, _ value: String) throws -> Bool {
    switch name {
    case "emu-manager" where value.hasPrefix("/"): emuManager = value
    case "xenguest" where value.hasPrefix("/"): xenguest = value
    case "on-error":
      guard let fallback = Fallback(rawValue: value) else { return false }
      onError = fallback
    case "on-unknown-hook":
      guard let fallback = Fallback(rawValue: value) else { return false }
      onUnknownHook = fallback
    case "stall":
      guard let seconds = UInt64(value), seconds <= 86400 else { return false }
      stall = seconds
    default: return false
    }
    return true
  }

  /// The settings of a folder; those that nobody made where there is no such file.
  init(folder: String) throws {
    let path = "\(folder)/\(ManagerSettings.fileName)"
    guard let bytes = try HelperConfiguration.text(path) else {
      self.init()
      return
    }
    try self.init(parsing: String(decoding: bytes, as: UTF8.self), path: path)
  }

  /// The setup with these settings.
  func applied(to setup: ManagerSetup) -> ManagerSetup {
    var setup = setup
    setup.stock = emuManager ?? setup.stock
    setup.xenguest = xenguest ?? setup.xenguest
    if let stall {
      setup.limits.saveStall = stall * 1_000_000_000
      setup.limits.restoreStall = stall * 1_000_000_000
    }
    return setup
  }
}

extension Substring {
  fileprivate func trimmingSpaces() -> Substring {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
    let rest = drop(while: isSpace)
    return rest[
      ..<(rest.lastIndex { !isSpace($0) }.map { rest.index(after: $0) } ?? rest.startIndex)]
  }
}
