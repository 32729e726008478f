// What single releases refuse of a configuration whose keys and values they know.

import ImageCheck
import Testing

@Suite struct ConfigurationReleaseTests {
  /// The paths that Xen 4.`minor` refuses in a guest's configuration.
  func refused(_ type: String, _ build: String, create: String = "", _ minor: Int) -> [String] {
    let text =
      #"{"c_info":{"type":"\#(type)","name":"guest"\#(create)},"#
      + #""b_info":{"type.\#(type)":{},\#(build)}}"#
    return ConfigurationCheck.problems(Array(text.utf8), minor: minor)
      .filter { $0.severity == .error }.map(\.path)
  }

  @Test(
    arguments: [
      ("pv", "external", "", 18, nil), ("pv", "external", "", 19, "altp2m"),
      ("pv", "disabled", "", 22, nil), ("pvh", "mixed", "", 20, nil),
      ("pvh", "mixed", "", 21, "altp2m_count"), ("hvm", "mixed", "", 21, nil),
      ("pvh", "mixed", #","altp2m_count":10"#, 21, nil),
      ("pvh", "mixed", #","altp2m_count":4294967295"#, 22, "altp2m_count"),
      ("hvm", "mixed", #","altp2m_count":0"#, 21, "altp2m_count"),
      ("hvm", "mixed", #","altp2m_count":512"#, 21, nil),
      ("hvm", "mixed", #","altp2m_count":513"#, 21, "altp2m_count"),
      ("hvm", "disabled", #","altp2m_count":5"#, 21, "altp2m_count"),
      ("hvm", "disabled", #","altp2m_count":5"#, 20, nil),
    ] as [(String, String, String, Int, String?)])
  func altp2m(type: String, mode: String, more: String, minor: Int, key: String?) {
    #expect(
      refused(type, #""altp2m":"\#(mode)"\#(more)"#, minor)
        == (key.map { ["config.b_info.\($0)"] } ?? []))
  }

  @Test func altp2mWithoutHAP() {
    let views = #""altp2m":"limited""#
    #expect(refused("hvm", views, create: #","hap":"False""#, 19) == ["config.c_info.hap"])
    #expect(refused("hvm", views, create: #","hap":"False""#, 18) == [])
    #expect(refused("hvm", views, create: #","hap":"True""#, 22) == [])
  }

  /// Keys for guests on Arm.
  @Test func otherArchitectures() {
    let traps = #""trap_unmapped_accesses":"True""#
    #expect(refused("pvh", traps, 21) == ["config.b_info.trap_unmapped_accesses"])
    #expect(refused("pvh", traps, 20) == [])
    #expect(refused("pvh", #""trap_unmapped_accesses":"False""#, 22) == [])
    #expect(refused("pv", #""llc_colors":[1]"#, 20) == ["config.b_info.llc_colors"])
    #expect(refused("pv", #""llc_colors":[]"#, 20) == [])
    #expect(refused("pv", #""llc_colors":[1]"#, 19) == [])
  }
}
