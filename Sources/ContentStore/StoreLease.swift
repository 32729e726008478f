// Leases: whoever adds to a store keeps the collection of garbage away, and the other way round.

internal import Bytes
internal import JSON
internal import SystemIO

/// The right to work in a store. Those who add or remove images may be several; who collects garbage is
/// alone. Each writes an object first and looks for those of others afterwards, so of two at least one
/// sees the other. A lease that was not renewed for an hour is over: its program is dead, or it finds out
/// before its image gets its name. The clocks of the machines may differ by a quarter of an hour.
final class StoreLease {
  enum Kind: String { case shared, alone }

  private static let duration: UInt64 = 3600
  private static let margin: UInt64 = 900
  private static let renewal: UInt64 = 600

  private let place: StorePlace
  private let kind: Kind
  private let name: String
  /// By the clock of the machine, in seconds, when it was written last.
  private var written: UInt64 = 0
  private var isHeld = true

  /// - Throws: `busy` where another lease of the store does not go with it.
  init(_ place: StorePlace, _ kind: Kind) throws {
    (self.place, self.kind) = (place, kind)
    name = "leases/" + PackID.random().text
    try write()
    do { try lookForOthers() } catch {
      try? place.remove(name)
      isHeld = false
      throw error
    }
  }

  deinit { release() }

  func release() {
    guard isHeld else { return }
    isHeld = false
    try? place.remove(name)
  }

  /// Called now and then: writes the lease anew before it is over.
  func renew() throws {
    guard StoreLease.now >= written + StoreLease.renewal else { return }
    try check()
  }

  /// Makes sure of the lease before something is done that counts on it.
  ///
  /// - Throws: `busy` where it was over.
  func check() throws {
    guard StoreLease.now < written + StoreLease.duration - StoreLease.margin, try place.exists(name)
    else {
      throw XensaveError(
        .busy,
        "\(place.root): this took so long that its lease is over, and garbage may have been collected"
      )
    }
    try write()
  }

  private func write() throws {
    let now = StoreLease.now
    let object: JSONObject = [
      "kind": .string(kind.rawValue), "until": .number(JSONNumber(now + StoreLease.duration)),
    ]
    try place.write(name, JSONValue.object(object).text(), .replacing)
    written = now
  }

  private func lookForOthers() throws {
    for other in try place.names(in: "leases") where "leases/" + other != name {
      let path = "leases/" + other
      let bytes: [UInt8]
      do { bytes = try place.read(path, limit: 4096) } catch {
        let error = XensaveError(error)
        if error.errno == 2 { continue }
        guard error.code == .invalid else { throw error }
        bytes = []
      }
      // What is no lease is in the way of nobody who only adds.
      let object = (try? JSONDocument(bytes).root.objectValue) ?? JSONObject()
      var until: UInt64 = 0
      if case .number(let value)? = object["until"] { until = value.uint64 ?? 0 }
      until = until.addingSaturated(StoreLease.margin)
      if until < StoreLease.now {
        if kind == .alone { try place.remove(path) }
        continue
      }
      let isAlone = object["kind"]?.stringValue == Kind.alone.rawValue
      guard kind == .alone || isAlone else { continue }
      throw XensaveError(
        .busy,
        "\(place.root): \(isAlone ? "garbage is being collected" : "somebody adds to it") "
          + "(\(path), which is over \(LocalTime.stamp(at: Double(until))) at the latest)")
    }
  }

  private static var now: UInt64 { Environment.nanosecondsSince1970 / 1_000_000_000 }
}
