// Hooks: a filter in xl migrate's pipe, libvirt's hook, and the shipped configuration.

import Bytes
import Format
import Glibc
import HelperProtocol
import SystemIO
import TestKit
import Testing

@testable import LuaAPI
@testable import SaveHelper

enum Checkout {
  static let path = #filePath.replacing("/Tests/HelperTests/HookTests.swift", with: "")
  static let bin = BuiltPrograms.directory
}

@Suite struct HookTests {
  /// xl's side of `xl migrate -s migrate-filter`: the stream, and then a message that is answered
  /// before the pipe is closed.
  @Test(arguments: ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"])
  func handshake(image: String) throws {
    let stream = try Source(opening: "\(Checkout.path)/Tests/Fixtures/\(image)").read(64 << 20)
    let go = Array("domain is yours, you are cleared to unpause\0".utf8)
    #expect(go.count == 44)
    let folder = try Folder(["f.lua": "return function() end"])
    let received = TemporaryFile()
    // The receiver says "received" after the image, waits for 44 bytes and answers.
    try FileSystem.create(
      folder.path + "/receiver",
      """
      #!/bin/sh
      [ "$1 $2 $3" = "there xl migrate-receive" ] || exit 9
      head -c \(stream.count) > '\(received.path)'
      printf 'domain received, ready to unpause'
      head -c 44 >> '\(received.path)'
      printf 'answer'

      """, mode: 0o755)
    var (to, from): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    #expect(pipe(&to) == 0 && pipe(&from) == 0)
    for end in [to[1], from[0]] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, to[0], 0)
    posix_spawn_file_actions_adddup2(&actions, from[1], 1)
    closeOthers(&actions, from: 3)
    let command =
      "PATH=\(Checkout.bin):$PATH; export PATH; MIGRATE_SHELL='\(folder.path)/receiver'; "
      + "export MIGRATE_SHELL; "
      + "exec \(Checkout.path)/lua/hooks/migrate-filter \(folder.path)/f.lua "
      + "there xl migrate-receive"
    defer { posix_spawn_file_actions_destroy(&actions) }
    let id = try spawn(["/bin/sh", "-c", command], &actions)
    close(to[0])
    close(from[1])
    var writer: Sink? = Sink(try Descriptor(taking: to[1], path: "filter"), path: "filter")
    let reader = try Source(Descriptor(taking: from[0], path: "filter"), path: "filter")
    let sending = TestThread { [number = writer?.fileDescriptor ?? -1] in
      var rest = stream[...]
      while !rest.isEmpty {
        let count = Array(rest.prefix(65536)).withUnsafeBytes {
          write(number, $0.baseAddress, $0.count)
        }
        if count <= 0 { return }
        rest = rest.dropFirst(count)
      }
    }
    // The receiver has all of the image while the pipe is open, before anything stands after it.
    #expect(try reader.read(33) == Array("domain received, ready to unpause".utf8))
    sending.join()
    try writer?.write(go)
    #expect(try reader.read(6) == Array("answer".utf8))
    var status: Int32 = 0
    writer = nil
    waitpid(id, &status, 0)
    #expect(try Source(opening: received.path).read(64 << 20) == stream + go)
  }

  /// libvirt's hook: what it answers to each call.
  @Test(arguments: [
    ("web1 start begin -", true), ("web1 migrate begin -", true), ("web1 stopped end -", true),
  ])
  func libvirtCalls(words: String, isGood: Bool) {
    let command =
      "PATH=\(Checkout.bin):$PATH; export PATH; echo \"<domain type='xen'><name>web1</name>"
      + "<os><type>hvm</type></os></domain>\" | \(Checkout.path)/lua/hooks/libvirt/libxl \(words) "
      + "2>/dev/null | wc -c | grep -qx 0"
    #expect((runShell(command) == 0) == isGood)
  }

  /// It cancels a migration for which the helper would let nothing through. (The program is a fake
  /// here: the real one reads /etc.)
  @Test(arguments: [(0, true), (1, false)]) func libvirtCancels(code: Int, isGood: Bool) throws {
    let folder = try Folder()
    try FileSystem.create(
      folder.path + "/xensave-lua", "#!/bin/sh\necho \"$@\" > \(folder.path)/words\nexit \(code)\n",
      mode: 0o755)
    let command =
      "PATH=\(folder.path):$PATH; export PATH; echo '<domain><os><type>hvm</type></os></domain>' | "
      + "\(Checkout.path)/lua/hooks/libvirt/libxl web1 migrate begin -"
    #expect((runShell(command) == 0) == isGood)
    let words = try Source(opening: folder.path + "/words").read(100)
    #expect(String(decoding: words, as: UTF8.self) == "helper --check web1 hvm\n")
  }

  /// Each shipped file of configuration can be used.
  @Test func shippedConfiguration() throws {
    let from = Checkout.path + "/lua/hooks/xensave.d"
    var files: [String: String] = [:]
    for name in FileSystem.names(in: from) ?? [] {
      files[name] = String(
        decoding: try Source(opening: "\(from)/\(name)").read(1 << 20), as: UTF8.self)
    }
    #expect(files.count >= 4)
    let traces = try Folder()
    files["40-trace.lua"] = files["40-trace.lua"]?
      .replacing("\"/var/log/xen/xensave/", with: "\"\(traces.path)/")
    let folder = try Folder(files)
    let load = { (name: String, type: String) in
      try HelperConfiguration(
        folder: folder.path, HelperFacts(id: 1, name: name, type: type), .save)
    }
    let web = try load("web", "hvm")
    #expect(web.policy?.policyName == "downtime-budget" && web.filters.count == 1)
    #expect(try load("web", "pv").filters.isEmpty)
    #expect(try load("db1", "pv").scripts.count == 3)
    // A file that a VM has to ask for speaks for no other.
    let asking = HelperFacts(id: 1, name: "db1", type: "pv", hooks: ["quiet"])
    let asked = try HelperConfiguration(folder: folder.path, asking, .restore)
    #expect(asked.filters.count == 1 && asked.hooks == ["quiet"])
    // All of them together, in a save.
    let run = try HelperRun(.migrate)
    run.folder = folder.path
    run.host.name = "db1"
    #expect(run.run() == 0)
    #expect(run.manager.result == 0)
    #expect(run.manager.lines(.warn).isEmpty, "\(run.manager.lines(.warn))")
    #expect(try run.isImage)
    #expect(FileSystem.names(in: traces.path)?.count == 1)
  }
}
