// JSON objects of xenguest and QEMU.

import Glibc
import JSON
import Testing

@testable import EmuManager

@Suite struct MessageTests {
  private func objects(_ chunks: [String], limit: Int = 4096) throws -> [JSONObject] {
    var framing = JSONFraming(limit: limit)
    var out: [JSONObject] = []
    for chunk in chunks {
      framing.append(Array(chunk.utf8))
      while let object = try framing.next(from: "xenguest") { out.append(object) }
    }
    return out
  }

  static let text =
    #"{ "return" : {} }"# + "\n"
    + #"{ "event" : "MIGRATION", "data": {"sent": 1,"remaining": 2,"iteration": 0}}"#
    + #"{"a\"}{":["]}",{"b":"\\"}]}"# + " \r\n"

  @Test(arguments: [
    [text], text.map(String.init), [text + text],
    [String(text.prefix(9)), String(text.dropFirst(9))],
  ])
  func framing(chunks: [String]) throws {
    let found = try objects(chunks)
    #expect(found.count == (chunks.first == Self.text + Self.text ? 6 : 3))
    #expect(found[0]["return"] != nil)
    #expect(found[1]["data"]?["remaining"]?.numberValue?.int64 == 2)
    #expect(found[2][#"a"}{"#]?.arrayValue?.count == 2)
  }

  @Test(arguments: ["x", "]", "\"a\"", "1", "{]", "{}}", "{\"a\":1,}", "[{}]", "{\"a\":01}"])
  func noObjects(text: String) {
    #expect(throws: ManagerFailure.self) { try objects([text]) }
  }

  @Test func tooLong() throws {
    #expect(
      try objects(["{\"a\":\"" + String(repeating: "x", count: 50) + "\"}"], limit: 60).count == 1)
    do {
      _ = try objects(["{\"a\":\"" + String(repeating: "x", count: 60)], limit: 60)
      Issue.record("it was taken")
    } catch {
      #expect((error as? ManagerFailure)?.cause == .system(EMSGSIZE))
    }
    // White space between objects is not part of one.
    #expect(try objects([String(repeating: " ", count: 500) + "{}"], limit: 60).count == 1)
  }

  /// The spelling of xcp-emu-manager 1.2.1.
  @Test func commands() {
    let text = { (bytes: [UInt8]) in String(decoding: bytes, as: UTF8.self) }
    #expect(text(EMPCommand.initialize.text()) == #"{ "execute" : "migrate_init" }"#)
    #expect(
      text(
        EMPCommand.setArguments.text([EMPArgument("store_port", "1"), EMPArgument("pv", "true")]))
        == #"{ "execute" : "set_args", "arguments" : { "store_port":"1", "pv":"true" } }"#)
    #expect(text(QMPCommand.capabilities.text) == #"{ "execute" : "qmp_capabilities" }"#)
    #expect(
      text(QMPCommand.globalDirtyLog(true).text)
        == #"{ "execute" : "xen-set-global-dirty-log", "arguments" : { "enable":true } }"#)
    // A value cannot end its string.
    #expect(
      text(EMPCommand.setArguments.text([EMPArgument("a", "\"},{")])).hasSuffix(#""a":"\"},{" } }"#)
    )
  }

  private func emp(_ text: String) throws -> EMPMessage {
    try EMPMessage(#require(JSONValue(parsing: text).objectValue))
  }

  @Test func answers() throws {
    #expect(try emp(#"{"return":{}}"#) == .acknowledged)
    #expect(try emp(#"{ "error" : "Bad Args" }"#) == .refused("Bad Args"))
    #expect(try emp(#"{"error":{"a":1}}"#) == .refused(#"{"a":1}"#))
    #expect(try emp(#"{"new":1}"#) == .unknown("new"))
    #expect(try emp(#"{"event":"OTHER","data":{}}"#) == .unknown(#"event "OTHER""#))
  }

  @Test func events() throws {
    guard
      case .event(let event) = try emp(
        #"{"event":"MIGRATION","data":{"sent":265144,"remaining":3000,"iteration":2,"new":[]}}"#)
    else {
      Issue.record("no event")
      return
    }
    #expect(event.round == EMPEvent.Round(iteration: 2, sent: 265144, remaining: 3000))
    guard
      case .event(let inside) = try emp(
        #"{"event":"MIGRATION","data":{"sent":5,"remaining":-1,"iteration":2}}"#),
      case .event(let end) = try emp(
        #"{"event":"MIGRATION","data":{"status":"completed","result":"1 2"}}"#)
    else {
      Issue.record("no event")
      return
    }
    #expect(inside.round == nil && end.round == nil)
    #expect(end.status == "completed" && end.result == "1 2")
  }

  @Test(arguments: [
    #"{"data":{}}"#, #"{"event":"MIGRATION"}"#, #"{"event":"MIGRATION","data":[]}"#,
    #"{"event":"MIGRATION","data":{"sent":"1"}}"#, #"{"event":"MIGRATION","data":{"sent":1.0}}"#,
    #"{"event":"MIGRATION","data":{"sent":9223372036854775808}}"#,
    #"{"event":"MIGRATION","data":{"status":1}}"#, #"{"event":"MIGRATION","data":{"result":null}}"#,
  ])
  func wrongTypes(text: String) {
    #expect(throws: ManagerFailure.self) { try emp(text) }
  }

  private func qmp(_ text: String) throws -> QMPMessage {
    try QMPMessage(#require(JSONValue(parsing: text).objectValue))
  }

  @Test func qemu() throws {
    #expect(try qmp(#"{"QMP": {"version": {}, "capabilities": []}}"#) == .greeting)
    #expect(try qmp(#"{"return": {}, "id": 1}"#) == .acknowledged)
    #expect(
      try qmp(#"{"error": {"class": "CommandNotFound", "desc": "no such"}}"#) == .refused("no such")
    )
    #expect(try qmp(#"{"timestamp": {"seconds": 1}, "event": "RTC_CHANGE", "data": {}}"#) == .event)
    #expect(throws: ManagerFailure.self) { try qmp(#"{"QMP": 1}"#) }
    #expect(throws: ManagerFailure.self) { try qmp("{}") }
  }
}
