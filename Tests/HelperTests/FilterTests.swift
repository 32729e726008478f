// What libxl reads has passed the filters, or is no image.

import Bytes
import Format
import Glibc
import HelperProtocol
import ImageEdit
import Live
import SimDomain
import Stream
import SystemIO
import TestKit
import Testing

@testable import SaveHelper

@Suite struct FilterTests {
  static let scrub = """
    local P = require "xensave".pages
    return {
      match = { name = "web1" },
      filter = { PAGE_DATA = function(batch) batch:fill(P.pfn(10, 19), 0x5A) end },
    }
    """

  func run(_ saving: Saving, _ text: String) throws -> HelperRun {
    let folder = try Folder(["f.lua": text])
    let run = try HelperRun(saving)
    run.folder = folder.path
    #expect(run.run() == 0)
    return run
  }

  @Test(arguments: [Saving.save, .migrate]) func scrubs(saving: Saving) throws {
    let run = try run(saving, Self.scrub)
    #expect(run.manager.result == 0, "\(run.manager.lines(.error))")
    #expect(!run.domain.isLogDirtyOn)
    let copy = try SimDomain(
      restoring: Source(opening: run.file.path), HelperRun.configuration())
    for page in 0..<2500 where run.domain.hasPage(page) {
      if (10...19).contains(page) {
        #expect(copy.page(page) == [UInt8](repeating: 0x5A, count: 4096))
      } else if page % 100 == 0 {
        #expect(copy.page(page) == run.domain.page(page), "page \(page)")
      }
    }
    #expect(try run.isImage)
  }

  /// Without a change the filter's stream is that of a save without one.
  @Test func passesAll() throws {
    let plain = try HelperRun(.save)
    #expect(plain.run() == 0)
    let filtered = try run(.save, "return { filter = function() end }")
    let read = { (run: HelperRun) in try Source(opening: run.file.path).read(64 << 20) }
    #expect(try read(plain) == read(filtered))
  }

  /// Remus: what libxl writes between checkpoints stands after what the filters let through.
  @Test func checkpoints() throws {
    let folder = try Folder(["f.lua": Self.scrub])
    let run = try HelperRun(.remus)
    run.folder = folder.path
    let descriptor = run.descriptor
    var places: [off_t] = []
    run.manager.turn = { kind in
      guard kind == .postcopy || kind == .checkpoint else { return }
      places.append(lseek(descriptor, 0, SEEK_CUR))
      if kind == .checkpoint { _ = write(descriptor, [UInt8](repeating: 0x77, count: 64), 64) }
    }
    #expect(run.run() == 0)
    #expect(run.manager.result == 0, "\(run.manager.lines(.error))")
    #expect(places.count == 6)
    // Before each place there is libxc's CHECKPOINT.
    let source = try Source(opening: run.file.path)
    for (index, place) in places.enumerated() where index % 2 == 0 {
      #expect(places[index + 1] == place, "nothing is written while libxl has its turn")
      source.seek(UInt64(place) - 8)
      #expect(try source.read(8) == [0x0E, 0, 0, 0, 0, 0, 0, 0])
    }
  }

  /// A filter that fails lets nothing through, wherever it fails.
  @Test(
    arguments: [
      "return { filter = function(rec) error 'no' end }",
      "return { filter = { HVM_PARAMS = function() error 'no' end } }",
      "return { filter = { finish = function() error 'no' end } }",
      "return { filter = { begin = function() error 'no' end } }",
      "return { filter = { PAGE_DATA = function(batch) batch:nonsense() end } }",
      "local n = 0 return { filter = { PAGE_DATA = function() n = n + 1 if n > 2 then error 'no' end end } }",
      "return { filter = function() return 5 end }", "return { filter = 5 }",
    ], [Saving.save, .migrate])
  func failsClosed(text: String, saving: Saving) throws {
    let run = try run(saving, text)
    #expect(run.manager.result == -1)
    #expect(
      run.manager.lines(.error).contains { $0.contains("filter") },
      "\(run.manager.lines(.error))")
    #expect(try !run.isImage)
    run.expectUntouched(text)
  }

  /// The stream's end cannot be written, after filters: the errno is that of the disk.
  @Test func fullDisk() throws {
    let folder = try Folder(["f.lua": Self.scrub])
    let run = try HelperRun(.save, to: open("/dev/full", O_WRONLY))
    run.folder = folder.path
    #expect(run.run() == 0)
    #expect(run.manager.result == -1)
    #expect(
      run.manager.messages.last { $0.kind == .complete }?.number(1) == UInt64(ENOSPC),
      "\(run.manager.lines(.error))")
    run.expectUntouched("full disk after filters")
  }

  /// A filter on the way to a restore: it stops after END, where libxl continues reading.
  @Test func restores() throws {
    let saved = try HelperRun(.save)
    #expect(saved.run() == 0)
    let stream = try Source(opening: saved.file.path).read(64 << 20)
    let folder = try Folder([
      "f.lua": Self.scrub.replacing("match =", with: "side = \"restore\", match =")
    ])
    let file = TemporaryFile(stream + [1, 2, 3, 4, 5, 6, 7, 8])
    let descriptor = open(file.path, O_RDONLY)
    defer { close(descriptor) }
    let arguments = try HelperArguments(
      parsing: ["--restore-domain", "\(descriptor)", "-1", "1", "1", "0", "2", "0", "768", "0"])
    let domain = try SimDomain(blank: HelperRun.configuration())
    let manager = try FakeManager(domain, arguments)
    let status = manager.run {
      HelperSession(
        arguments, manager.channel, SimHelperHost(domain), configurationFolder: folder.path
      ).run()
    }
    #expect(status == 0)
    #expect(manager.result == 0, "\(manager.lines(.error))")
    #expect(manager.messages.contains { $0.kind == .restoreResults })
    #expect(domain.page(15) == [UInt8](repeating: 0x5A, count: 4096))
    #expect(domain.page(20) == saved.domain.page(20))
    #expect(lseek(descriptor, 0, SEEK_CUR) == off_t(stream.count))
  }
}
