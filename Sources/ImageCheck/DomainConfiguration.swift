// What rules need of the domain's configuration.

internal import Bytes
internal import Format
internal import ImageEdit
public import JSON
internal import Stream

/// The parts of libxl's domain configuration that a stream is held against.
struct DomainConfiguration {
  /// What libxl makes of it.
  let reading: ConfigReading
  /// Whether libxl does not come to the domain's type: xl refuses it, whatever else there is.
  let isRefused: Bool
  /// What it has read; all that is written where it refuses it, which is then all that counts.
  let root: JSONValue
  /// Bytes from the start of the source to its first character.
  let offset: UInt64
  /// c_info.type in lower case: "pv", "pvh" or "hvm"; nil where the configuration does not say.
  let type: String?
  /// b_info.max_vcpus, at most 2³¹ - 1: 1 where it is missing, 0, or nothing that libxl's int holds, as libxl
  /// takes it. nil where it is no number.
  let vcpuCount: Int?

  /// Reads the configuration of xl's header; nil where there is none in JSON, or it cannot be read.
  init?(_ header: Header) {
    guard XLConfig.isJSON(header), let text = XLConfig.text(header), !text.isEmpty,
      let document = try? JSONDocument(text, options: DomainConfiguration.options)
    else { return nil }
    guard case .object = document.root else { return nil }
    reading = ConfigReading(document.root)
    isRefused = reading.problems.contains { $0.kind == .refused }
    root = isRefused ? document.root : reading.root
    offset = header.offset + UInt64(header.kind.byteCount + 4)
    type = reading.createType ?? root["c_info"]?["type"]?.stringValue?.lowercased()
    if let stated = root["b_info"]?["max_vcpus"] {
      vcpuCount = stated.numberValue.map {
        max(1, Int($0.int64.flatMap { Int32(exactly: $0) } ?? 1))
      }
    } else {
      vcpuCount = 1
    }
  }

  /// As libxl reads it: of two members with one name the first counts, of two texts as well.
  static let options = JSONOptions(
    depthLimit: JSONOptions.highestDepthLimit, byteLimit: StreamReader.Limit.head,
    duplicateNames: .keep, trailingText: .ignore)

  /// Whether it gives the guest nested virtualisation: by libxl's own default not.
  var isNested: Bool { isTrue(root["b_info"]?["nested_hvm"]) || isTrue(hvm?["nested_hvm"]) }

  /// What only an HVM guest has; nil of another one.
  var hvm: JSONValue? { type == "hvm" ? root["b_info"]?["type.hvm"] : nil }

  /// Whether libxl reads one of its three-valued words as true: it writes "True".
  func isTrue(_ value: JSONValue?, default unset: Bool = false) -> Bool {
    guard let word = value?.stringValue, !word.hasPrefix("<default>") else { return unset }
    return word.hasPrefix("True")
  }

  /// Whether the processor walks the page tables that Xen keeps for the guest: libxl's default.
  var usesHAP: Bool { isTrue(root["c_info"]?["hap"], default: true) }

  /// The elements of one of the configuration's lists; none where it is not there.
  func list(_ name: String) -> [JSONValue] { root[name]?.arrayValue ?? [] }

  /// Whether libxl starts QEMU for the guest: as a device model, or as the other end of PV devices. Xen:
  /// tools/libs/light/libxl_dm.c, libxl__need_xenpv_qemu.
  var needsQEMU: Bool {
    func isLocal(_ device: JSONValue) -> Bool {
      device["backend_domid"]?.numberValue?.int64 ?? 0 == 0
        && device["backend_domname"]?.stringValue == nil
    }
    return type == "hvm" || !list("vfbs").isEmpty || !list("p9s").isEmpty
      || list("channels").contains(where: isLocal)
      || list("disks").contains { isLocal($0) && $0["backend"]?.stringValue == "qdisk" }
      || list("usbctrls").contains { isLocal($0) && $0["type"]?.stringValue == "qusb" }
      || list("vkbs").contains { $0["backend_type"]?.stringValue != "linux" }
  }

  /// Whether the guest gets less memory at first than it may have, the rest when it touches it.
  var isPopulatedOnDemand: Bool {
    guard isTranslated, let target = buildInfoValue("target_memkb") else { return false }
    return target < buildInfoValue("max_memkb") ?? .max
  }

  /// HVM_PARAM_ALTP2M as libxl sets it before it reads the stream: 0 is off.
  var altp2m: UInt64 {
    let modes = ["disabled", "mixed", "external", "limited"]
    let word = root["b_info"]?["altp2m"]?.stringValue?.lowercased()
    let mode = UInt64(word.flatMap(modes.firstIndex) ?? 0)
    return mode == 0 && isTrue(hvm?["altp2m"]) ? 1 : mode
  }

  /// The parameters that libxl sets before it reads the stream, of those that Xen lets be set once.
  var onceParams: [UInt64: UInt64] {
    let capabilities = hvm?["mca_caps"]?.numberValue?.int64.flatMap { UInt64(exactly: $0) }
    return [35: altp2m, 38: capabilities ?? 0]
  }

  /// The KiB that libxl lets the domain have before its stream is read. Xen:
  /// tools/libs/light/libxl_create.c, libxl__domain_build_info_setdefault; libxl_dom.c,
  /// libxl__build_pre; LIBXL_MAXMEM_CONSTANT.
  var allowedKiB: UInt64 {
    func value(_ name: String) -> UInt64? { buildInfoValue(name).flatMap { UInt64(exactly: $0) } }
    let most = value("max_memkb") ?? 32 << 10
    return (value("target_memkb") ?? most).addingSaturated(1024)
  }

  /// Whether it is an HVM or PVH guest, for which Xen keeps page tables of its own.
  var isTranslated: Bool { type == "hvm" || type == "pvh" }

  /// The KiB for the page tables of an HVM or PVH guest: those that are stated, or what libxl counts, before
  /// it takes a missing number of vCPUs for one. nil where there is nothing to count from. Xen:
  /// tools/libs/light/libxl_utils.c, libxl__get_required_paging_memory, since 4.17.
  var pagingKiB: UInt64? {
    guard root["b_info"]?["shadow_memkb"] == nil else {
      return buildInfoValue("shadow_memkb").flatMap { UInt64(exactly: $0) }
    }
    guard let most = buildInfoValue("max_memkb").flatMap({ UInt64(exactly: $0) }) else {
      return nil
    }
    let vcpus = buildInfoValue("max_vcpus").flatMap { UInt32(exactly: $0) } ?? 0
    return 4 * (256 * UInt64(vcpus) + (usesHAP ? 1 : 2) * (most >> 10))
  }

  /// A value of b_info.
  func buildInfo(_ name: String) -> JSONValue? { root["b_info"]?[name] }

  /// A number of b_info; nil where there is none, or one that libxl's parser of JSON cannot hold.
  func buildInfoValue(_ name: String) -> Int64? { buildInfo(name)?.numberValue?.int64 }
}

extension UInt64 {
  fileprivate func addingSaturated(_ other: UInt64) -> UInt64 {
    let (sum, isOver) = addingReportingOverflow(other)
    return isOver ? .max : sum
  }
}

/// What one release makes of a configuration.
public enum ConfigurationCheck {
  public struct Problem: Sendable, Equatable {
    /// `error` where the release refuses it.
    public let severity: Severity
    /// "config.b_info.altp2m".
    public let path: String
    public let text: String
    /// Where the value is that the release does not read, or stops at; nil where there is none to take
    /// out.
    public let removable: JSONPath?
    /// What to write there instead.
    public var replacement: JSONValue?
  }

  /// What Xen 4.`minor` does with a configuration that newer or older releases take as it is.
  public static func problems(_ text: [UInt8], minor: Int) -> [Problem] {
    guard LibxlTypes.known.contains(minor),
      let document = try? JSONDocument(text, options: DomainConfiguration.options),
      case .object = document.root
    else { return [] }
    let any = ConfigReading(document.root)
    let own = ConfigReading(document.root, minor: minor)
    var out = own.problems.filter { !any.problems.contains($0) }.map { problem in
      let severity: Severity =
        switch problem.kind {
        case .refused: .error
        case .lost, .ignored, .duplicate: .warning
        case .unknown: .note
        }
      return Problem(
        severity: severity, path: "config.\(problem.path)",
        text: problem.text
          + (problem.kind == .lost ? ": what follows it in the configuration is lost" : ""),
        removable: [.refused, .lost, .unknown].contains(problem.kind)
          ? path(problem.path[...], in: document.root, JSONPath([])) : nil)
    }
    if any.buildType != nil, own.buildType == nil, !out.contains(where: { $0.severity == .error }) {
      out.append(
        Problem(
          severity: .error, path: "config.b_info",
          text: "expected a type that Xen 4.\(minor) knows, got type.\(any.buildType ?? "")",
          removable: nil))
    }
    return out + refusals(own, minor: minor)
  }

  /// The value that a problem's path names. Names of members may have dots in them.
  private static func path(
    _ text: Substring, in value: JSONValue, _ outer: JSONPath
  ) -> JSONPath? {
    if text.isEmpty { return outer }
    if let elements = value.arrayValue, text.first == "[", let end = text.firstIndex(of: "]"),
      let index = Int(text[text.index(after: text.startIndex)..<end]),
      elements.indices.contains(index)
    {
      let rest = text[text.index(after: end)...]
      return path(rest, in: elements[index], outer.appending(.index(index)))
    }
    let name = text.first == "." ? text.dropFirst() : text
    for member in value.objectValue?.members ?? [] where name.hasPrefix(member.name) {
      let rest = name.dropFirst(member.name.count)
      guard rest.isEmpty || rest.first == "." || rest.first == "[" else { continue }
      if let found = path(rest, in: member.value, outer.appending(.name(member.name))) {
        return found
      }
    }
    return nil
  }
}
