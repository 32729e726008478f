// xenstored's protocol, and what is made of the domain's nodes.

import Bytes
import SaveHelper
import Synchronization
import SystemIO
import TestKit
import Testing

@testable import EmuManager

@Suite struct XenStoreTests {
  private func store(_ nodes: [String: String]) throws -> (TestFolder, FakeXenStore, XenStoreClient)
  {
    let folder = try TestFolder()
    let store = try FakeXenStore(folder.path + "/xenstored")
    store.nodes = nodes
    return (
      folder, store,
      try XenStoreClient([folder.path + "/none", folder.path + "/xenstored"], patience: 500)
    )
  }

  @Test func values() throws {
    let (folder, kept, client) = try store(["/a/b": "text", "/a/empty": ""])
    defer { withExtendedLifetime((folder, kept)) {} }
    #expect(try client.value("/a/b") == "text")
    #expect(try client.value("/a/empty") == nil)
    #expect(try client.value("/a/c") == nil)
    #expect(try client.value("/a/b") == "text")
  }

  @Test func nobodyListens() throws {
    let folder = try TestFolder()
    #expect(throws: SystemError.self) { try XenStoreClient([folder.path + "/none"]) }
  }

  /// Answers that are cut, too long, of another type, or do not come.
  @Test(
    arguments: [
      [], [2, 0, 0, 0], Self.header(2, 5) + [1, 2], Self.header(2, 4097), Self.header(2, .max),
      Self.header(16, 7) + Array("EACCES\0".utf8), Self.header(7, 0),
    ] as [[UInt8]])
  func nonsense(reply: [UInt8]) throws {
    let (folder, store, client) = try store(["/a": "b"])
    defer { withExtendedLifetime((folder, store)) {} }
    store.reply.withLock { $0 = reply }
    #expect(throws: (any Error).self) { try client.value("/a") }
  }

  private static func header(_ type: UInt32, _ count: UInt32) -> [UInt8] {
    var out: [UInt8] = []
    for word in [type, 0, 0, count] { out.append(integer: word, .native) }
    return out
  }

  private func facts(_ nodes: [String: String], program: String = "emu-manager") throws -> (
    name: String, uuid: String, hooks: [String], type: String
  ) {
    let (folder, kept, client) = try store(nodes)
    defer { withExtendedLifetime((folder, kept)) {} }
    let facts = try ManagerDomain.facts(
      ManagerArguments(ManagerArgumentsTests.save), program: program, client)
    return (facts.name, facts.uuid, facts.hooks, facts.type)
  }

  @Test func domain() throws {
    let home = "/local/domain/7"
    let all = try facts(
      [
        home + "/vm": "/vm/6A0C1BD4-15C8-4D3C-8F2A-0C4E0F2BA111-2", home + "/name": "web1",
        home + "/platform/xensave-hook": "night",
      ], program: "/usr/lib/xapi/alternatives/emu-manager/scrub")
    #expect(all.name == "web1" && all.uuid == FakeHost.uuid && all.type == "hvm")
    #expect(all.hooks == ["scrub", "night"])
    let none = try facts([:])
    #expect(none.name == "" && none.uuid == "" && none.hooks.isEmpty)
    // The receiving side of a migration.
    let arriving = try facts([
      home + "/vm": "/vm/6a0c1bd4-15c8-4d3c-8f2a-000000000001",
      "/vm/6a0c1bd4-15c8-4d3c-8f2a-000000000001/final-uuid": FakeHost.uuid,
    ])
    #expect(arriving.uuid == FakeHost.uuid)
    let named = try facts([home + "/vm": "/vm/u", "/vm/u/name": "of the vm"])
    #expect(named.name == "of the vm" && named.uuid == "u")
  }
}
