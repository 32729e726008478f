// What rules need of the domain's configuration.

internal import Bytes
internal import Format
internal import JSON

/// The parts of libxl's domain configuration that a stream is held against.
struct DomainConfiguration {
  /// "pv", "pvh" or "hvm"; nil where the configuration does not say.
  let type: String?
  /// b_info.max_vcpus: 1 where it is missing or 0, as libxl takes it. nil where it is no number.
  let vcpuCount: Int?

  /// Reads the configuration of a survey; nil where there is none, or none in JSON.
  init?(_ survey: Survey) {
    guard let header = survey.headers[.xl], XLConfig.isJSON(header), let config = survey.config,
      !config.text.isEmpty, let root = try? JSONDocument(config.text).root
    else { return nil }
    type = root["c_info"]?["type"]?.stringValue
    if let stated = root["b_info"]?["max_vcpus"] {
      vcpuCount = stated.numberValue?.int64.map { max(1, Int($0)) }
    } else {
      vcpuCount = 1
    }
  }
}
