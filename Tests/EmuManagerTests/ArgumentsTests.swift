// The words of xenopsd, and the names by which the program is started.

import Glibc
import Testing

@testable import EmuManager

@Suite struct ManagerArgumentsTests {
  static let save = [
    "-controloutfd", "6", "-controlinfd", "7", "-fd", "11", "-mode", "hvm_save", "-domid", "7",
    "-dm", "qemu", "-live", "true",
  ]
  static let restore = [
    "-controloutfd", "14", "-controlinfd", "15", "-fd", "18", "-mode", "restore", "-domid", "7",
    "-store_port", "1", "-console_port", "2", "-mem_pnode", "1",
  ]

  @Test func saving() throws {
    let arguments = try ManagerArguments(Self.save)
    #expect(arguments.mode == .hvmSave && arguments.isLive && arguments.hasQEMU)
    #expect(arguments.domain == 7 && arguments.stream == 11)
    #expect(arguments.controlOut == 6 && arguments.controlIn == 7)
    #expect(!arguments.isRestore && !arguments.isPV && arguments.xenguestArguments.isEmpty)
  }

  @Test func restoring() throws {
    let arguments = try ManagerArguments(Self.restore)
    #expect(arguments.isRestore && arguments.isPV && !arguments.isLive && !arguments.hasQEMU)
    #expect(
      arguments.xenguestArguments == [
        EMPArgument("store_port", "1"), EMPArgument("console_port", "2"),
        EMPArgument("mem_pnode", "1"), EMPArgument("pv", "true"),
      ])
  }

  /// getopt_long_only takes one dash or two, and a value after "=".
  @Test func spellings() throws {
    var words = Self.save
    words[0] = "--controloutfd"
    words.replaceSubrange(2...3, with: ["--controlinfd=7"])
    #expect(try ManagerArguments(words) == ManagerArguments(Self.save))
  }

  /// What older and newer callers add, and nobody needs.
  @Test(arguments: [["-fork", "true"], ["-traceparent", "00-1-2"], ["-trace", "true"]])
  func passedOver(words: [String]) throws {
    #expect(try ManagerArguments(Self.save + words) == ManagerArguments(Self.save))
  }

  /// What the stock program knows better, or refuses in its own words.
  @Test(arguments: [
    ["-compress", "true"], ["-dm", "vgpu:12"], ["-dm", "vgpu"], ["-supports", "migration-v2"],
    ["-live", "yes"], ["-mode", "resume"], ["-fd", "eleven"], ["-fd", "-1"],
    ["-domid", "4294967296"],
    ["-liv", "true"], ["word"], ["-fd"], ["--"], ["---fd", "3"], ["--help"],
  ])
  func leftToTheStockProgram(words: [String]) throws {
    // A word that is there already takes the place of the old one.
    var all = Self.save
    if let first = words.first, let index = all.firstIndex(of: first) {
      all.removeSubrange(index...index + 1)
    }
    #expect(throws: ManagerArguments.NotUnderstood.self) { try ManagerArguments(all + words) }
  }

  @Test(arguments: ["-controloutfd", "-controlinfd", "-fd", "-mode", "-domid"])
  func missing(name: String) throws {
    let index = try #require(Self.save.firstIndex(of: name))
    var words = Self.save
    words.removeSubrange(index...index + 1)
    #expect(throws: ManagerArguments.NotUnderstood.self) { try ManagerArguments(words) }
  }

  @Test func names() {
    let (words, first) = (Self.save, "-controloutfd")
    #expect(managerWords("/opt/xensave-lua/bin/xensave-lua", ["emu-manager"] + words) == words)
    #expect(managerWords("/usr/lib/xapi/alternatives/emu-manager/scrub", words) == words)
    #expect(managerWords("emu-manager", ["--help"]) == ["--help"])
    #expect(managerWords("/usr/bin/xensave-lua", ["emu-manager", "--check"]) == nil)
    #expect(managerWords("/usr/bin/xensave-lua", ["info", first]) == nil)
    #expect(managerWords("/usr/bin/xensave-lua", []) == nil)
  }

  @Test(arguments: [
    ("/usr/lib/xapi/alternatives/emu-manager/scrub", "scrub"), ("scrub", "scrub"),
    ("/opt/xensave-lua/emu-manager", nil), ("/usr/bin/xensave-lua", nil), ("", nil),
  ])
  func hooks(program: String, hook: String?) {
    #expect(ManagerDomain.hook(ofProgram: program) == hook)
  }
}
