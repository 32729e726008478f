// What libxl's command line does not offer is an error of the save, and no trap.

import SystemIO
import HelperProtocol
import Live
import SimDomain
import Testing

@Suite struct OfferedCallbacksTests {
  @Test(arguments: [
    HelperMessage.suspend, .postcopy, .checkpoint, .waitCheckpoint,
    .switchQEMULogDirty(domain: 1, isOn: true), .staticDataDone(missing: 3),
  ])
  func whatIsNotOfferedIsNotAsked(message: HelperMessage) throws {
    let libxl = try FakeLibxl(answers: [], callbacks: [])
    let error = #expect(throws: XensaveError.self) { _ = try libxl.channel.call(message) }
    #expect(error?.message.contains(message.kind.rawValue) == true)
    // libxl is still there, and is told how it ended.
    #expect(libxl.channel.lost == nil)
    #expect(try libxl.heard().isEmpty)
  }

  @Test func aSaveWithoutCallbacksFails() throws {
    let libxl = try FakeLibxl(answers: [], callbacks: [])
    let domain = HelpedDomain(
      try SimDomain(SimDomain.Configuration(frameCount: 16)), id: 1, channel: libxl.channel)
    #expect(throws: XensaveError.self) { try domain.suspend() }
    #expect(throws: XensaveError.self) { try domain.switchEmulatorLogDirty(true) }
  }
}
