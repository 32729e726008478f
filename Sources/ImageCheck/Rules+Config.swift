// Rules for the domain's configuration in the xl header: what real xl makes of it.

internal import Bytes
internal import Format
internal import JSON
internal import Stream

extension Rule {
  /// xl reads the configuration with libxl's generated parsers. A value that one of them cannot
  /// convert either ends the restore or loses what follows it: which of both, Xen 4.20 was asked.
  private static let parser = "Xen: tools/libs/light, libxl_domain_config_from_json; xl of 4.20"

  static let config: [Rule] = [
    Rule(
      "config.uuid", .error, "c_info.uuid is a UUID: xl refuses others.", parser,
      .image { look in
        guard let value = look.configuration?.root["c_info"]?["uuid"] else { return }
        let text = value.stringValue
        guard text.map({ !DomainConfiguration.isUUID($0) }) ?? true else { return }
        look.reportConfig(
          "c_info.uuid", "expected a UUID, got \(value.text().printable)")
      }),
    Rule(
      "config.vcpus", .error, "An HVM or PVH guest has a vCPU at least.",
      "Xen: tools/libs/light/libxl_x86.c, paging mempool size; xl of 4.20",
      .image { look in
        guard let config = look.configuration, config.type == "hvm" || config.type == "pvh",
          config.root["b_info"]?["max_vcpus"]?.numberValue?.int64 == 0
        else { return }
        look.reportConfig("b_info.max_vcpus", "expected at least 1, got 0")
      }),
    Rule(
      "config.enumeration", .warning,
      "A value is one that libxl knows: at another one it stops reading, and the rest is lost.",
      parser,
      .image { look in
        guard let config = look.configuration else { return }
        for (path, values) in DomainConfiguration.enumerations {
          guard let value = config.value(path) else { continue }
          guard value.stringValue.map({ !values.contains($0) }) ?? true else { continue }
          look.reportConfig(
            path,
            "expected one of \(values.joined(separator: ", ")), got "
              + value.text().printable)
        }
      }),
  ]
}

extension Inspection {
  /// Reports a key of the configuration; the finding points at the configuration's first byte.
  fileprivate func reportConfig(_ path: String, _ problem: String) {
    report(
      offset: survey.config?.offset ?? 0, place: HeaderKind.xl.title, "config.\(path)", problem)
  }
}
