// What real xl makes of a configuration, and what our verifier says of it.

import ImageCheck
import ImageEdit
import TestKit
import Testing

@Suite struct ConfigurationTests {
  /// The ids of the rules about the configuration that find something, worst first.
  private func found(_ config: String, _ image: StreamBuilder = .hvm()) throws -> [String] {
    var image = image
    image.replace("xl", StreamBuilder.xl(config: Array("\(config)\0".utf8)))
    return try verify(image).findings.filter { $0.ruleID.hasPrefix("config") }.map(\.ruleID)
  }

  /// A whole configuration with these members in the places.
  private func config(
    create: String = "", build: String = "", type: String = "hvm", inside: String = "",
    rest: String = ""
  ) -> String {
    func more(_ text: String) -> String { text.isEmpty ? "" : "," + text }
    let shadow = type == "pv" ? "" : #","shadow_memkb":2048"#
    return #"{"c_info":{"type":"\#(type)","name":"a","uuid":"00000000-0000-4000-8000-000000000001""#
      + more(create) + #"},"b_info":{"max_vcpus":1"# + shadow + more(build) + #","type.\#(type)":{"#
      + inside + "}}" + more(rest) + "}"
  }

  @Test func whatXenWritesIsFine() throws {
    #expect(try found(config()).isEmpty)
    #expect(try found(config(type: "pv"), .pv()).isEmpty)
  }

  /// xl has no limit of its own for nesting.
  @Test(arguments: [(70, []), (500, []), (520, ["xl-header.config-json"])] as [(Int, [String])])
  func nesting(depth: Int, rules: [String]) throws {
    let deep = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    var image = StreamBuilder.hvm()
    let text = config(rest: "\"x\":" + deep)
    image.replace("xl", StreamBuilder.xl(config: Array("\(text)\0".utf8)))
    #expect(try verify(image).ids.filter { $0 != "config.unknown" } == rules)
  }

  /// No number of a configuration ends the program, whatever rules calculate with it.
  @Test(arguments: ["hvm", "pv", "pvh"])
  func numbersAtEdges(type: String) throws {
    let names = [
      "max_vcpus", "max_memkb", "target_memkb", "video_memkb", "shadow_memkb", "iommu_memkb",
      "rtc_timeoffset", "event_channels", "max_grant_frames", "max_maptrack_frames", "tsc_mode",
    ]
    for number in [
      "0", "1", "-1", "129", "8193", "2147483647", "2147483648", "-2147483648", "4294967295",
      "4294967296", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
      "18446744073709551615", "18446744073709551616", "1e400", "0.1",
    ] {
      let members = names.map { "\"\($0)\":\(number)" }
      let sched = #""sched_params":{"sched":"credit2","weight":\#(number),"cap":\#(number)}"#
      let ranges =
        #""iomem":[{"start":\#(number),"number":\#(number)}],"irqs":[\#(number)],"#
        + #""ioports":[{"first":\#(number),"number":\#(number)}],"cpumap":[\#(number)],"#
        + #""vnuma_nodes":[{"vcpus":[\#(number)]}]"#
      let whole = members.joined(separator: ",")
      for build in members + [whole, "\"max_vcpus\":\(number)," + sched, ranges] {
        let text =
          #"{"c_info":{"type":"\#(type)","name":"a","ssidref":\#(number)},"b_info":{"#
          + build + #","type.\#(type)":{}},"on_crash":\#(number),"nics":[{"devid":\#(number)}],"#
          + #""channels":[{"devid":\#(number)}],"usbdevs":[{"ctrl":\#(number)}],"#
          + #""disks":[{"vdev":"d\#(number)p\#(number)","readwrite":\#(number)}]}"#
        _ = try found(text, type == "pv" ? .pv() : .hvm())
      }
    }
  }

  @Test(
    arguments: [
      ("hvm", "0", []), ("hvm", "128", []), ("pvh", "129", ["vcpu-limit"]),
      ("pv", "8192", []), ("pv", "8193", ["vcpu-limit"]), ("pv", "-1", ["vcpu-limit"]),
      ("pvh", "2147483648", ["value"]),
    ] as [(String, String, [String])])
  func vcpusHaveALimit(type: String, count: String, rules: [String]) throws {
    let text = config(type: type).replacing("\"max_vcpus\":1", with: "\"max_vcpus\":\(count)")
    let all = try found(text, type == "pv" ? .pv() : .hvm())
    #expect(all.filter { $0 != "config.emulator" } == rules.map { "config.\($0)" })
  }

  /// One value of each type: those that libxl takes, and those that it cannot convert.
  @Test(
    arguments: [
      (#""hap":"True""#, []), (#""hap":"Falsehood""#, []), (#""hap":"true""#, ["value"]),
      (#""hap":true"#, ["ignored"]), (#""ssidref":4294967295"#, []),
      (#""ssidref":4294967296"#, ["value"]), (#""ssidref":-1"#, ["value"]),
      (#""ssidref":1.0"#, ["ignored"]), (#""ssidref":"1""#, ["ignored"]),
      (#""ssid_label":null"#, []), (#""ssid_label":7"#, ["ignored"]),
      (#""xsdata":{"a":"b","c":null}"#, []), (#""xsdata":{"a":1}"#, ["value"]),
      (#""xsdata":[]"#, ["ignored"]), (#""passthrough":"SYNC_PT""#, []),
      (#""passthrough":"maybe""#, ["value"]), (#""domid":99999999999"#, ["value"]),
      (#""no_such_key":{"a":[1]}"#, ["unknown"]), (#""hap":"True","hap":"x""#, ["duplicate"]),
    ] as [(String, [String])])
  func createInfo(member: String, rules: [String]) throws {
    #expect(try found(config(create: member)) == rules.map { "config.\($0)" }, "\(member)")
  }

  @Test(
    arguments: [
      (#""max_memkb":9223372036854775807"#, []), (#""max_memkb":-1"#, ["value"]),
      (#""max_memkb":18446744073709551615"#, ["ignored"]), (#""max_memkb":1e5"#, []),
      (#""cpumap":[0,1,2]"#, ["cpumap"]), (#""cpumap":[0,-1]"#, []),
      (#""cpumap":[0,"1"]"#, ["value"]), (#""cpumap":{}"#, ["ignored"]),
      (#""vcpu_hard_affinity":[[0,1]]"#, []), (#""vcpu_hard_affinity":[0]"#, ["value"]),
      (#""cpuid":[{"leaf":1}]"#, []), (#""cpuid":{"cpuid":[],"msr":[]}"#, []),
      (#""cpuid":{"cpuid":[]}"#, ["value"]),
      (#""cpuid":{"cpuid":[],"msr":[{"index":1}]}"#, ["value"]),
      (#""cpuid":"host""#, ["value"]), (#""extra":["a"]"#, []), (#""extra":[1]"#, ["value"]),
      (#""vnuma_nodes":[{"memkb":1,"distances":[1,2],"vcpus":[0]}]"#, []),
      (#""vnuma_nodes":[{"distances":["a"]}]"#, ["value"]), (#""vnuma_nodes":[7]"#, ["ignored"]),
      (#""sched_params":{"sched":"credit2","weight":256}"#, []),
      (#""sched_params":{"sched":"fair"}"#, ["value"]), (#""device_model_version":"qemu_xen""#, []),
      (#""tsc_mode":"sometimes""#, ["value"]), (#""irqs":[1,-1]"#, ["value"]),
    ] as [(String, [String])])
  func buildInfo(member: String, rules: [String]) throws {
    #expect(try found(config(build: member)) == rules.map { "config.\($0)" }, "\(member)")
  }

  /// After the type nothing is refused any more: what follows is lost, and nothing else is said of it.
  @Test(
    arguments: [
      (#""bios":"seabios","vnc":{"enable":"True","display":1}"#, []),
      (#""bios":"amibios""#, ["lost"]), (#""vnc":{"enable":1}"#, ["ignored"]),
      (#""ms_vm_genid":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]"#, []),
      (#""ms_vm_genid":[0,1]"#, ["lost"]), (#""ms_vm_genid":"x""#, ["lost"]),
      (#""usbversion":2147483648,"apic":1"#, ["ignored", "lost"]),
    ] as [(String, [String])])
  func insideTheType(member: String, rules: [String]) throws {
    let lost = try found(config(inside: member, rest: #""on_crash":"explode""#))
    let expected = rules.contains("lost") ? rules : rules + ["lost"]
    #expect(lost.sorted() == expected.map { "config.\($0)" }.sorted(), "\(member)")
  }

  @Test(
    arguments: [
      (
        #""disks":[{"vdev":"xvda","pdev_path":"/a","readwrite":1,"format":"raw","direct_io_safe":true}]"#,
        []
      ),
      (#""disks":[{"vdev":"xvda","pdev_path":"/a","format":"vdi"}]"#, ["lost"]),
      (#""disks":[{"vdev":"hda","pdev_path":"/a","direct_io_safe":"True"}]"#, ["ignored"]),
      (#""nics":[{"mac":"00:16:3E:00:00:01"}]"#, []),
      (#""nics":[{"mac":"00:16:3e:00:00:1"}]"#, ["lost"]),
      (#""nics":[{"mac":"00:16:3e:00:00:0g"}]"#, ["lost"]),
      (#""nics":[{"mac":"0:16:3e:00:00:01"}]"#, ["lost"]),
      (#""nics":[{"mac":"00-16-3e-00-00-01"}]"#, ["lost"]),
      (#""pcidevs":[{"func":256}]"#, ["lost"]),
      (#""usbctrls":[{}],"usbdevs":[{"ctrl":0,"type.hostdev":{"hostbus":3}}]"#, []),
      (#""usbdevs":[{"type.hostdev":{"hostbus":300}}]"#, ["lost"]), (#""on_reboot":"RESTART""#, []),
      (#""on_reboot":"explode""#, ["lost"]), (#""on_reboot":3"#, ["ignored"]),
      (#""vtpms":[{"uuid":"00000000-0000-4000-8000-00000000000"}]"#, ["lost"]),
    ] as [(String, [String])])
  func devices(member: String, rules: [String]) throws {
    #expect(try found(config(rest: member)) == rules.map { "config.\($0)" }, "\(member)")
  }

  /// What Xen 4.20 said of eight configurations of tiny guests: refused is an error, another guest than
  /// the configuration says is a warning, and the rest is fine.
  @Test(arguments: ["pv", "pvh"]) func asXenJudged(type: String) throws {
    func severity(_ config: String) throws -> Severity? {
      var image: StreamBuilder = type == "pv" ? .pv() : .hvm()
      if type == "pvh" {
        image.remove("EMULATOR_XENSTORE_DATA")
        image.remove("EMULATOR_CONTEXT")
      }
      image.replace("xl", StreamBuilder.xl(config: Array("\(config)\0".utf8)))
      return try verify(image).findings.filter { $0.ruleID.hasPrefix("config") }
        .map(\.severity).max()
    }
    let memory = #""max_memkb":4096,"target_memkb":4096"#
    #expect(try severity(config(build: memory, type: type)) == nil)
    #expect(
      try severity(config(build: #""max_memkb":4,"target_memkb":4096"#, type: type)) == .warning)
    #expect(
      try severity(config(build: #""max_memkb":4096,"target_memkb":8192"#, type: type)) == .warning)
    #expect(
      try severity(
        config(build: memory, type: type).replacing(#""max_vcpus":1"#, with: #""max_vcpus":0"#)
          .replacing(#""shadow_memkb":2048,"#, with: ""))
        == (type == "pv" ? nil : .error))
    #expect(
      try severity(config(build: memory, type: type, rest: #""on_crash":"explode""#)) == .warning)
    #expect(
      try severity(config(type: type).replacing(#""name":"a""#, with: #""name":"""#)) == .warning)
    #expect(
      try severity(
        config(type: type).replacing("00000000-0000-4000-8000-000000000001", with: "nonsense"))
        == .error)
    #expect(try severity(config(create: #""no_such_key":1"#, type: type)) == .warning)
  }

  /// libxl asserts that a union is set once.
  @Test func twoTypes() throws {
    #expect(try found(config(build: #""type.pv":{}"#)) == ["config.value"])
  }

  /// What stands after the place where libxl stops is not said: it is read when that is mended.
  @Test func nothingFollowsTheStop() throws {
    let wrong = config(create: #""ssidref":-1,"poolid":-1"#, build: #""max_memkb":-1"#)
    #expect(try found(wrong) == ["config.value"])
  }

  /// Whatever a configuration holds, reading it ends.
  @Test func oddConfigurations() throws {
    for text in [
      "[]", "1", "\"a\"", #"{"c_info":[],"b_info":7}"#, #"{"b_info":{"type.hvm":{},"type.pv":{}}}"#,
      #"{"\u0000":1}"#, #"{"disks":[[[[]]]]}"#,
      "{" + (0..<2000).map { "\"k\($0)\":0" }.joined(separator: ",") + "}",
    ] {
      let ids = try found(text)
      #expect(ids.count <= 120, "\(text.prefix(40)): \(ids.count)")
    }
  }

  /// Releases differ in the keys and values that they know.
  @Test(
    arguments: [
      (#""hap":"True""#, 6, nil), (#""passthrough":"enabled""#, 12, .note),
      (#""passthrough":"enabled""#, 13, nil),
    ] as [(String, Int, Severity?)])
  func keysByRelease(member: String, minor: Int, severity: Severity?) {
    let problems = ConfigurationCheck.problems(Array(config(create: member).utf8), minor: minor)
    #expect(problems.map(\.severity).max() == severity, "\(problems)")
  }

  @Test func valuesByRelease() {
    func problems(_ config: String, _ minor: Int) -> Severity? {
      ConfigurationCheck.problems(Array(config.utf8), minor: minor).map(\.severity).max()
    }
    // PVH came with 4.10: before it there is no type.
    #expect(problems(config(type: "pvh"), 9) == .error)
    #expect(problems(config(type: "pvh"), 10) == nil)
    let disk = #""disks":[{"backend":"standalone"}]"#
    #expect(problems(config(rest: disk), 16) == .warning)
    #expect(problems(config(rest: disk), 17) == nil)
    #expect(problems("no JSON", 17) == nil && problems("{}", 99) == nil)
  }
}
