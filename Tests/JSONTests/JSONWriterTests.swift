// The layout of written JSON, and the calls that trap.

import JSON
import Testing

@Suite struct JSONWriterTests {
  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  static let sample: JSONValue = ["a": [1, [:], []], "b": ["c": nil], "d": "x"]

  @Test func writesCompactly() {
    #expect(text(Self.sample.text()) == #"{"a":[1,{},[]],"b":{"c":null},"d":"x"}"#)
  }

  @Test func writesPrettily() {
    #expect(
      text(Self.sample.text(.pretty)) == """
        {
          "a": [
            1,
            {},
            []
          ],
          "b": {
            "c": null
          },
          "d": "x"
        }
        """)
  }

  @Test(arguments: RealConfigs.all)
  func writesLikeLibxl(config: String) throws {
    #expect(try text(JSONValue(parsing: config).text(.libxl)) + "\n" == config)
  }

  @Test func escapesControlCharacters() throws {
    let value: JSONValue = "\"\\/\0\u{8}\t\n\u{B}\u{C}\r\u{1B}\u{7F}\u{80}\u{9B}\u{A0}é\u{1F600}"
    let expected =
      #""\"\\/\u0000\b\t\n\u000B\f\r\u001B\u007F\u0080\u009B"# + "\u{A0}é\u{1F600}\""
    #expect(text(value.text()) == expected)
    #expect(try JSONValue(parsing: expected) == value)
  }

  @Test func writesChunkByChunk() {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("records", 17)
    var parts = writer.take()
    #expect(text(parts) == #"{"records":17"#)
    writer.member("pfn", hex: 0xFFFF_FFFF_FFFF_FFFF)
    writer.member("rate", 0.5)
    writer.member("none", Double.nan)
    writer.member("maybe", Int?.none)
    writer.key("list")
    writer.beginArray()
    writer.hex(0)
    writer.value(true)
    writer.value("s")
    writer.value(UInt64.max)
    writer.endArray()
    writer.member("bytes", [UInt8(1), 2])
    writer.endObject()
    #expect(writer.byteCount > 0)
    parts += writer.take() + writer.finish()
    #expect(
      text(parts) == #"{"records":17,"pfn":"0xffffffffffffffff","rate":0.5,"none":null,"#
        + #""maybe":null,"list":["0x0",true,"s",18446744073709551615],"bytes":[1,2]}"# + "\n")
    writer.value("next text")
    #expect(text(writer.finish()) == "\"next text\"\n")
  }

  @Test func trapsOnMemberWithoutName() async {
    await #expect(processExitsWith: .failure) {
      var writer = JSONWriter()
      writer.beginObject()
      writer.value(1)
    }
  }

  @Test func trapsOnNameInArray() async {
    await #expect(processExitsWith: .failure) {
      var writer = JSONWriter()
      writer.beginArray()
      writer.key("a")
    }
  }

  @Test func trapsOnWrongEnd() async {
    await #expect(processExitsWith: .failure) {
      var writer = JSONWriter()
      writer.beginArray()
      writer.endObject()
    }
  }

  @Test func trapsOnNameWithoutValue() async {
    await #expect(processExitsWith: .failure) {
      var writer = JSONWriter()
      writer.beginObject()
      writer.key("a")
      writer.endObject()
    }
  }

  @Test func trapsOnSecondValue() async {
    await #expect(processExitsWith: .failure) {
      var writer = JSONWriter()
      writer.value(1)
      writer.value(2)
    }
  }

  @Test func trapsOnUnfinishedText() async {
    await #expect(processExitsWith: .failure) {
      var writer = JSONWriter()
      writer.beginArray()
      _ = writer.finish()
    }
  }
}
