// Examples for the rules of framing and of headers.

import TestKit

extension Example {
  static let framing = [
    Example("stream.truncated", .hvm(), at: "libxl END", 4) { $0["libxl END"] = zeros(4) },
    Example("stream.bad_stream", .hvm(), at: "image") { $0.poke("image", 3, [0]) },
    Example("stream.unsupported", .hvm(), at: "image", 12) { $0.poke("image", 12, be32(4)) },
    Example("stream.limit", .hvm(), at: "X86_TSC_INFO", 4) {
      $0.poke("X86_TSC_INFO", 4, le32(0x800_0001))
    },
  ]

  private static func config(_ text: String) -> [UInt8] { Array(text.utf8) }

  static let headers = [
    Example("xl-header.byteorder", .hvm(), at: "xl", 32) { $0.poke("xl", 32, [5]) },
    Example("xl-header.mandatory-flags", .hvm(), at: "xl", 36) { $0.poke("xl", 36, [7]) },
    Example("xl-header.stream-flag", .hvm(), at: "xl", 36) { $0.poke("xl", 36, [1]) },
    Example("xl-header.not-json", .hvm(), at: "xl", 36) { $0.poke("xl", 36, [2]) },
    Example("xl-header.text", .hvm(), at: "xl", 36) { $0.poke("xl", 36, [2]) },
    Example("xl-header.optional-flags", .hvm(), at: "xl", 40) { $0.poke("xl", 40, [1]) },
    Example("xl-header.optional-data", .hvm(), at: "xl", 44) {
      $0.replace("xl", .init("xl", Array($0["xl"].prefix(44)) + le32(3) + zeros(3)))
    },
    Example("xl-header.config-length", .hvm(), at: "xl", 48) {
      $0.replace("xl", StreamBuilder.xl(config: config("{}\0"), claimed: 4))
    },
    Example("xl-header.config-end", .hvm(), at: "xl", 53) {
      $0.replace("xl", StreamBuilder.xl(config: config("{}")))
    },
    Example("xl-header.config-nul", .hvm(), at: "xl", 57) {
      $0.replace("xl", StreamBuilder.xl(config: config("a = 1\0b\0")))
      $0.poke("xl", 36, [2])
    },
    Example("xl-header.config-rest", .hvm(), at: "xl", 56) {
      $0.replace("xl", StreamBuilder.xl(config: config("{}\0\0{}\0")))
    },
    Example("xl-header.config-json", .hvm(), at: "xl", 52 + 5) {
      $0.replace("xl", StreamBuilder.xl(config: config("{\"a\":}\0")))
    },
    Example("xl-header.config-tail", .hvm(), at: "xl", 52 + 3) {
      $0.replace("xl", StreamBuilder.xl(config: config("{} {}\0")))
    },
    Example("xl-header.no-config", .hvm(), at: "xl", 48) {
      $0.replace("xl", StreamBuilder.xl(config: []))
    },
    Example("xl-header.excess", .hvm(), at: "xl", 44) {
      $0.replace("xl", StreamBuilder.xl(config: config("{}\0more"), claimed: 3))
    },
    Example("libxl-header.endianness", .hvm(), at: "libxl", 12) {
      $0.poke("libxl", 12, be32(1))
    },
    Example("libxl-header.reserved-options", .hvm(), at: "libxl", 12) {
      $0.poke("libxl", 12, be32(0x10000))
    },
    Example("libxl-header.legacy", .hvm(), at: "libxl", 12) { $0.poke("libxl", 12, be32(2)) },
    Example("image-header.version", .hvm(), at: "image", 12) {
      $0.poke("image", 12, be32(1))
    },
    Example("image-header.endianness", .hvm(), at: "image", 16) { $0.poke("image", 16, [0, 1]) },
    Example("image-header.reserved-options", .hvm(), at: "image", 16) {
      $0.poke("image", 16, [0, 2])
    },
    Example("image-header.reserved", .hvm(), at: "image", 18) { $0.poke("image", 23, [1]) },
    Example("domain-header.type", .hvm(), at: "domain", 0) { $0.poke("domain", 0, le32(3)) },
    Example("domain-header.config-type", .hvm(), at: "domain", 0) {
      $0.replace(
        "xl", StreamBuilder.xl(config: config("{\"c_info\":{\"type\":\"pv\"}}\0")))
    },
    Example("domain-header.page-shift", .hvm(), at: "domain", 4) { $0.poke("domain", 4, [13]) },
    Example("domain-header.reserved", .hvm(), at: "domain", 6) { $0.poke("domain", 7, [1]) },
    Example("domain-header.converted", .hvm(), at: "domain", 8) { $0.poke("domain", 8, [0]) },
    Example("domain-header.release", .hvm(), at: "domain", 12) { $0.poke("domain", 12, [13]) },
  ]
}
