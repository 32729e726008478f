// Processes that this one starts hold nobody's stream open: who waits for its end gets it.

import Glibc
import SystemIO
import Testing
import XenDomain

@Suite(.serialized, .enabled(if: FakeXen.hasCompiler, "needs a C compiler called cc"))
struct DescriptorTests {
  /// A pipe as xl hands it to its helper: any program that is started inherits it.
  private func inheritedPipe() throws -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw FakeXen.Failed(what: "pipe") }
    _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
    return (ends[0], ends[1])
  }

  /// Whether all writers of the pipe are gone. Other tests start short-lived processes meanwhile.
  private func ends(_ reading: Int32) -> Bool {
    var wanted = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
    while poll(&wanted, 1, 60_000) == -1, errno == EINTR {}
    var byte: UInt8 = 0
    return wanted.revents != 0 && read(reading, &byte, 1) == 0
  }

  @Test func crashGuard() throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    let host = try xen.host()
    host.crashGuardWords = [Victim.program, xen.folder, "17", "guard"]
    let domain = try host.domain(5)
    let (reading, writing) = try inheritedPipe()
    try domain.pause()
    close(writing)
    #expect(ends(reading))
    close(reading)
    // The crash guard is there still.
    try domain.unpause()
    try domain.pause()
    #expect(xen.number("paused") == 1)
    try domain.unpause()
  }

  @Test func receiver() throws {
    let (reading, writing) = try inheritedPipe()
    let command = try ReadingCommand("cat > /dev/null; exit 4")
    close(writing)
    #expect(ends(reading))
    close(reading)
    #expect(command.wait() == 4, "it was there still")
  }
}
