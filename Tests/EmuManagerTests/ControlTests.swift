// The lines between xenopsd and the manager.

import Glibc
import Testing

@testable import EmuManager

@Suite struct ControlTests {
  /// Byte for byte as the stock programs write them.
  @Test(arguments: [
    (ControlLine.progress(96), #"info:\b\b\b\b96"#), (.prepare("xenguest"), "prepare:xenguest"),
    (.suspend, "suspend:"), (.saved, "result:0 0"),
    (.restored("xenguest", result: "1044476 1044479"), "result:xenguest 1044476 1044479"),
    (.restored("vgpu", result: nil), "result:vgpu"),
    (.error("xenguest erroneous"), "error:xenguest erroneous"),
  ])
  func lines(line: ControlLine, text: String) {
    #expect(line.bytes == Array((text + "\n").utf8))
  }

  private func messages(_ chunks: [String]) throws -> [ControlMessage] {
    var reader = ControlReader()
    var out: [ControlMessage] = []
    for chunk in chunks {
      reader.append(Array(chunk.utf8))
      while let message = try reader.next() { out.append(message) }
    }
    return out
  }

  @Test(arguments: [
    ["done\nrestore:xenguest\nabort\n"],
    ["do", "ne", "\nrest", "ore:xenguest\nab", "ort\n"],
    "done\nrestore:xenguest\nabort\n".map(String.init),
  ])
  func cuts(chunks: [String]) throws {
    #expect(try messages(chunks) == [.done, .restore("xenguest"), .abort])
  }

  @Test func unfinished() throws { #expect(try messages(["done\ndon"]) == [.done]) }

  @Test(arguments: ["\n", "Done\n", "doned\n", "abort now\n", "resume:\n", "\u{0}done\n"])
  func nonsense(text: String) {
    #expect(throws: ManagerFailure.self) { try messages([text]) }
    do {
      _ = try messages([text])
    } catch { #expect((error as? ManagerFailure)?.report == "Invalid argument") }
  }

  /// A line of 127 bytes is the longest.
  @Test func longLines() throws {
    let name = String(repeating: "x", count: 127 - 8)
    #expect(try messages(["restore:\(name)\n"]) == [.restore(name)])
    var reader = ControlReader()
    reader.append(Array("restore:\(name)".utf8))
    #expect(reader.room == 1)
    #expect(try reader.next() == nil)
    reader.append([UInt8(ascii: "x")])
    #expect(throws: ManagerFailure(.system(EMSGSIZE), "xenopsd sent a line of more than 127 bytes"))
    {
      try reader.next()
    }
  }

  /// What people read is short enough for a line, and one.
  @Test func reports() {
    let long = String(repeating: "é", count: 100)
    let report = ManagerFailure(.own("a\nb\u{7}" + long), "").report
    #expect(report?.hasPrefix("xensave-lua a b ") == true)
    let line = ControlLine.error(report ?? "").bytes
    #expect(line.count <= 128 && line.count > 126)
    #expect(line.count(where: { $0 == 10 }) == 1)
  }

  /// The texts of the stock programs: xcp-ng/xcp-emu-manager src/emu.c, xenserver/emu-manager emum.c.
  @Test(arguments: [
    (ManagerFailure(.disconnected, emulator: "xenguest", ""), "xenguest unexpectedly disconnected"),
    (ManagerFailure(.killed, emulator: "xenguest", ""), "xenguest was killed by a signal"),
    (ManagerFailure(.exited, emulator: "xenguest", ""), "xenguest exited with an error"),
    (ManagerFailure(.erroneous, emulator: "xenguest", ""), "xenguest erroneous"),
    (ManagerFailure(.system(ENOENT), ""), "No such file or directory"),
    (.late(""), "Timer expired"), (.nonsense(""), "Invalid argument"),
    (ManagerFailure(.own("why"), ""), "xensave-lua why"), (ManagerFailure(.aborted, ""), nil),
  ])
  func texts(failure: ManagerFailure, report: String?) { #expect(failure.report == report) }
}
