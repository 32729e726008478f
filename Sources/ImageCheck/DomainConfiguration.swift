// What rules need of the domain's configuration.

internal import Bytes
internal import Format
internal import ImageEdit
internal import JSON

/// The parts of libxl's domain configuration that a stream is held against.
struct DomainConfiguration {
  let root: JSONValue
  /// "pv", "pvh" or "hvm"; nil where the configuration does not say.
  let type: String?
  /// b_info.max_vcpus: 1 where it is missing or 0, as libxl takes it. nil where it is no number.
  let vcpuCount: Int?

  /// Reads the configuration of a survey; nil where there is none, or none in JSON.
  init?(_ survey: Survey) {
    guard let header = survey.headers[.xl], XLConfig.isJSON(header), let config = survey.config,
      !config.text.isEmpty, let root = try? JSONDocument(config.text).root
    else { return nil }
    self.root = root
    type = root["c_info"]?["type"]?.stringValue
    if let stated = root["b_info"]?["max_vcpus"] {
      vcpuCount = stated.numberValue?.int64.map { max(1, Int($0)) }
    } else {
      vcpuCount = 1
    }
  }

  /// The value of a path of two keys or one: "c_info.type", "on_crash".
  func value(_ path: String) -> JSONValue? {
    path.split(separator: ".").reduce(root as JSONValue?) { $0?[String($1)] }
  }

  /// Keys whose values are names. Xen: tools/libs/light/libxl_types.idl.
  static let enumerations: [(path: String, values: [String])] =
    ["on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"].map { ($0, actions) }
    + [("c_info.type", ["hvm", "pv", "pvh", "invalid"])]

  private static let actions = [
    "destroy", "restart", "restart_rename", "preserve", "coredump_destroy", "coredump_restart",
    "soft_reset",
  ]

  /// Whether a text is a UUID: 32 hexadecimal digits with hyphens where they belong.
  static func isUUID(_ text: String) -> Bool {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    return parts.map(\.utf8.count) == [8, 4, 4, 4, 12]
      && parts.allSatisfy { $0.utf8.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit } }
  }
}
