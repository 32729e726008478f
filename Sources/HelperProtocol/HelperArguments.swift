// What libxl starts its helper with.

internal import SystemIO
internal import Bytes

/// The arguments of libxl-save-helper. All of them are decimal numbers in a fixed order, which
/// follows from the release. Xen: tools/libs/light/libxl_save_callout.c and libxl_save_helper.c.
public struct HelperArguments: Sendable, Equatable {
  public enum Name: String, Sendable {
    case ioDescriptor = "io_fd"
    case backDescriptor = "back_fd"
    case domain = "domid"
    case maxIterations = "max_iters"
    case maxFactor = "max_factor"
    case flags
    case isHVM = "hvm"
    case isPAE = "pae"
    case superpages
    case callbacks = "cbflags"
    case streamType = "stream_type"
    case storeChannel = "store_evtchn"
    case storeDomain = "store_domid"
    case consoleChannel = "console_evtchn"
    case consoleDomain = "console_domid"
  }

  public let side: HelperSide
  public let release: HelperRelease
  private var values: [Int]

  /// The order of the arguments. 4.6 calls the stream type of a restore "checkpointed".
  static func names(_ side: HelperSide, _ release: HelperRelease) -> [Name] {
    let ends: [Name] = [.storeChannel, .storeDomain, .consoleChannel, .consoleDomain]
    switch (side, release) {
    case (.save, .xen414):
      return [.ioDescriptor, .backDescriptor, .domain, .flags, .callbacks, .streamType]
    case (.save, .xen410):
      return [.ioDescriptor, .backDescriptor, .domain, .flags, .isHVM, .callbacks, .streamType]
    case (.save, .xen47):
      return [
        .ioDescriptor, .backDescriptor, .domain, .maxIterations, .maxFactor, .flags, .isHVM,
        .callbacks, .streamType,
      ]
    case (.save, .xen46):
      return [.ioDescriptor, .domain, .maxIterations, .maxFactor, .flags, .isHVM, .callbacks]
    case (.restore, .xen414):
      return [.ioDescriptor, .backDescriptor, .domain] + ends + [.callbacks, .streamType]
    case (.restore, .xen410):
      return [.ioDescriptor, .backDescriptor, .domain] + ends
        + [.isHVM, .isPAE, .callbacks, .streamType]
    case (.restore, .xen47):
      return [.ioDescriptor, .backDescriptor, .domain] + ends
        + [.isHVM, .isPAE, .superpages, .callbacks, .streamType]
    case (.restore, .xen46):
      return [.ioDescriptor, .domain] + ends
        + [.isHVM, .isPAE, .superpages, .callbacks, .streamType]
    }
  }

  /// Reads the arguments after the program's name. Without a release it is guessed from their
  /// number, the newest one first: 4.6 has as many as 4.10, and has to be named.
  public init(
    parsing arguments: [String], release: HelperRelease? = nil
  ) throws {
    guard let first = arguments.first, let side = HelperSide(rawValue: first) else {
      throw XensaveError(
        .usage,
        "expected --save-domain or --restore-domain, got "
          + (arguments.first.map { $0.utf8.printable } ?? "nothing"))
    }
    let words = arguments.dropFirst()
    let fitting = HelperRelease.allCases.reversed().first {
      HelperArguments.names(side, $0).count == words.count && (release == nil || $0 == release)
    }
    guard let fitting else {
      let counts = (release.map { [$0] } ?? HelperRelease.allCases).map {
        "\(HelperArguments.names(side, $0).count)"
      }
      throw XensaveError(
        .usage,
        "\(first): expected \(counts.joined(separator: " or ")) numbers, got \(words.count)")
    }
    self.side = side
    self.release = fitting
    values = []
    for (name, word) in zip(HelperArguments.names(side, fitting), words) {
      guard let value = Int(word) else {
        throw XensaveError(
          .usage, "\(name.rawValue): expected a number, got \(word.utf8.printable)")
      }
      values.append(value)
    }
  }

  /// The value of a name; nil where the release has no such argument.
  public subscript(name: Name) -> Int? {
    get {
      HelperArguments.names(side, release).firstIndex(of: name).map { values[$0] }
    }
    set {
      guard let newValue, let index = HelperArguments.names(side, release).firstIndex(of: name)
      else { return }
      values[index] = newValue
    }
  }

  /// The arguments after the program's name.
  public var strings: [String] { [side.rawValue] + values.map { "\($0)" } }

  /// The callbacks that libxl answers: bit `id` of cbflags for each.
  public var callbacks: Set<HelperMessageKind> {
    HelperArguments.callbacks(UInt32(truncatingIfNeeded: self[.callbacks] ?? 0), side, release)
  }

  public static func callbacks(
    _ flags: UInt32, _ side: HelperSide, _ release: HelperRelease
  ) -> Set<HelperMessageKind> {
    Set(
      HelperRow.all.filter { row in
        guard row.sides.contains(side), let id = row.id(release) else { return false }
        return flags >> UInt32(id) & 1 != 0
      }.map(\.kind))
  }

  /// The cbflags of these callbacks.
  public static func flags(
    _ callbacks: Set<HelperMessageKind>, _ release: HelperRelease
  ) -> UInt32 {
    HelperRow.all.reduce(0) { flags, row in
      guard callbacks.contains(row.kind), let id = row.id(release) else { return flags }
      return flags | 1 << UInt32(id)
    }
  }

  /// XCFLAGS_LIVE.
  public var isLive: Bool { (self[.flags] ?? 0) & 1 != 0 }
  /// XCFLAGS_DEBUG: all pages are sent a second time to be compared.
  public var isDebug: Bool { (self[.flags] ?? 0) & 2 != 0 }
}
