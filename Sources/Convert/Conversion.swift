// What a conversion is asked for, and what it did.

public import Bytes
public import Format
internal import ImageEdit

/// What lies around the libxc stream.
public enum Wrapping: String, Sendable, CaseIterable {
  /// Nothing: the bare libxc stream.
  case libxc
  /// The libxl stream.
  case libxl
  /// The libxl stream after xl's header.
  case xl
  /// The libxl stream after libvirt's header.
  case libvirt
  /// xenopsd's suspend image, which has no libxl stream.
  case xenopsd

  /// Whether the libxl stream is among it.
  var hasLibxl: Bool { self == .libxl || self == .xl || self == .libvirt }
}

/// What a conversion is asked for. What is not said stays as it is in the source.
public struct Conversion: Sendable {
  /// The outer layers.
  public var wrapping: Wrapping?
  /// Version of the image header: 1 (draft B), 2 or 3.
  public var version: Int?
  /// Byte order of the libxl and libxc streams.
  public var order: ByteOrder?
  /// Whether what the other side cannot hold is left out, instead of being refused.
  public var isLossy = false
  /// The configuration for the outer header, without a NUL: xl's JSON, libvirt's XML or xenopsd's
  /// S-expressions.
  public var config: [UInt8]?
  /// The saver's release, for a source that does not say it (draft B); else 0.0.
  public var xenRelease: XenRelease?
  /// The release that is to restore the result: the stream gets the version that it writes, and what it
  /// cannot hold is leveled, cut or dropped, or refused by name.
  public private(set) var release: XenRelease?
  /// The host that is to restore it: its processor counts, too.
  public private(set) var host: HostDescription?

  public init() {}

  /// Asks for what a release restores, on a host where one is described. Without a release it is the
  /// host's. What is wrong with that, or nil.
  public mutating func fit(to release: XenRelease?, on host: HostDescription? = nil) -> String? {
    guard let release = release ?? host?.release else {
      return "the description of the host names no Xen: expected a release besides it"
    }
    if let refusal = ReleaseFit.refusal(of: release) { return refusal }
    self.release = release
    self.host = host
    version = ReleaseTraits.of(release).version
    order = .little
    return nil
  }

  /// A format that the command line and Lua can name.
  public struct Format: Sendable {
    public let name: String
    public let doc: String
    let apply: @Sendable (inout Conversion) -> Void
  }

  /// All formats, by their names. To add one, add its row here.
  public static let formats: [Format] = [
    Format(name: "v3", doc: "version 3, since Xen 4.14") { $0.version = 3 },
    Format(name: "v2", doc: "version 2, Xen 4.6 to 4.13") { $0.version = 2 },
    Format(name: "draft-b", doc: "version 1, the draft of February 2014") { $0.version = 1 },
    Format(name: "libxc", doc: "the bare libxc stream") { $0.wrapping = .libxc },
    Format(name: "libxl", doc: "the libxl stream") { $0.wrapping = .libxl },
    Format(name: "xl", doc: "a file of xl save") { $0.wrapping = .xl },
    Format(name: "libvirt", doc: "a file of virsh save") { $0.wrapping = .libvirt },
    Format(name: "xenopsd", doc: "a suspend image of xenopsd (XCP-ng)") { $0.wrapping = .xenopsd },
  ]

  /// Asks for the format of this name. False if there is none.
  public mutating func add(format name: String) -> Bool {
    guard let format = Conversion.formats.first(where: { $0.name == name }) else { return false }
    format.apply(&self)
    return true
  }
}

/// What a conversion did.
public struct ConversionReport: Sendable {
  /// Something that the result does not have.
  public struct Note: Sendable, Equatable {
    /// "record 4 (X86_CPUID_POLICY)" or a header.
    public let place: String
    public let text: String
    /// Whether it was lost: the source cannot be made from the result again.
    public let isLoss: Bool
    public var description: String { "\(place): \(text)" }

    public init(place: String, text: String, isLoss: Bool) {
      self.place = place
      self.text = text
      self.isLoss = isLoss
    }
  }

  /// Notes that are kept; `lossCount` continues.
  public static let noteLimit = 100

  public internal(set) var recordsRead = 0
  public internal(set) var recordsWritten = 0
  public internal(set) var bytesRead: UInt64 = 0
  public internal(set) var bytesWritten: UInt64 = 0
  public internal(set) var notes: [Note] = []
  public internal(set) var lossCount = 0
  /// What was done to the image for a release, at most `ReleaseFit.limit`.
  public internal(set) var changes: [ReleaseChange] = []

  /// The configuration of the source's outer header, without its NUL, where that header was left
  /// out or replaced.
  public internal(set) var config: [UInt8]?

  public init(bytesWritten: UInt64 = 0, notes: [Note] = []) {
    self.bytesWritten = bytesWritten
    self.notes = Array(notes.prefix(ConversionReport.noteLimit))
  }

  mutating func note(_ place: String, _ text: String, isLoss: Bool) {
    if isLoss { lossCount += 1 }
    guard notes.count < ConversionReport.noteLimit else { return }
    notes.append(Note(place: place, text: text, isLoss: isLoss))
  }

  /// The notes and the counts, one a line.
  public var text: String {
    var lines = changes.map(\.description) + notes.map(\.description)
    if recordsRead == 0 {
      // An import: its records have no counterparts.
      return (lines + ["\(bytesWritten) bytes written"]).joined(separator: "\n")
    }
    lines.append(
      "\(recordsRead) records read, \(recordsWritten) written; "
        + "\(bytesRead) bytes read, \(bytesWritten) written"
        + (lossCount > 0 ? "; \(lossCount) losses" : ""))
    return lines.joined(separator: "\n")
  }
}
