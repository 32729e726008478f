// Lua text that is being typed: tokens, expressions, completions. Nothing that can be typed may
// fail, and completing must leave the state as it was.

import LuaRuntime
import Terminal
import Testing

@testable import LuaAPI
@testable import REPL

@Suite struct LuaTextTests {
  private static let sample = """
    local t = { 1, 0x1F, .5e-3, a = "x\\"y", [ [[long]] ] = 'z', b = [==[ ]] ]==] } -- comment
    --[[ long
    comment ]] if not t.a["k"][1]:f("x"){}.y then goto done end ::done:: return t.a .. 'ü' >> 2
    """

  @Test func tokensOfEveryKind() {
    let tokens = LuaLexer.tokens("local x=0x1f..\"a\\\"b\" --c")
    #expect(tokens.map(\.text) == ["local", "x", "=", "0x1f", "..", "a\\\"b", "--c"])
    #expect(tokens.map(\.range.lowerBound) == [0, 6, 7, 8, 12, 14, 21])
    #expect(tokens[5].kind == .string(isClosed: true, contentStart: 15))
    #expect(
      LuaLexer.tokens("f [==[ a ]] b").last?.kind
        == .string(isClosed: false, contentStart: 6))
    #expect(LuaLexer.tokens("1e+5 - 2").map(\.text) == ["1e+5", "-", "2"])
    #expect(LuaLexer.tokens("0x1e+5").map(\.text) == ["0x1e", "+", "5"])
  }

  @Test func tokensNeverOverlapOrFail() {
    let bytes = Array(Self.sample.utf8)
    for start in 0..<bytes.count {
      for end in [start, (start + bytes.count) / 2, bytes.count] {
        let text = String(decoding: bytes[start..<end], as: UTF8.self)
        var place = 0
        for token in LuaLexer.tokens(text) {
          #expect(token.range.lowerBound >= place && !token.range.isEmpty)
          place = token.range.upperBound
        }
        #expect(place <= text.utf8.count)
      }
    }
  }

  @Test(arguments: [
    ("a.b[1][\"k\"]", "a", 3), ("x = f(1).y", "f", 2), ("(\"s\"):rep", "s", 1),
    ("if (a.b):c", "a", 2), ("print(img:first \"X\"", "img", 2), ("{ t[1]", "t", 1),
  ])
  func expressionsEndWhereTheCursorIs(text: String, root: String, steps: Int) {
    let expression = LuaExpression(endOf: LuaLexer.tokens(text))
    #expect(expression?.root.text == root)
    #expect(expression?.steps.count == steps)
  }

  @Test(arguments: ["1 + 2", "a +", "", "x.1", "a.b.", "f(", "\"x\" .. y"])
  func otherTextIsNoPath(text: String) {
    #expect(LuaExpression(LuaLexer.tokens(text)) == nil)
  }

  @Test func completingAnythingLeavesTheStackAlone() throws {
    let shell = try ShellContext(SessionExplainer())
    try shell.bind()
    defer { shell.state.close() }
    let frame = shell.state.frame
    frame.pushLoaded("xensave")
    shell.state.setGlobalFromTop("xs")
    let completer = Completer(state: shell.state)
    let chunks = [
      "xs", ".", ":", "open", "(", ")", "[", "]", "\"", "1", "log", "assert", "{", "}", " ", "=",
      "help ", "'", "string", "rep", "verify", "\n", "--", "_G", "\u{FC}", ".load ",
    ]
    var seed: UInt64 = 42
    func random(_ count: Int) -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(seed >> 33) % count
    }
    for _ in 0..<3000 {
      let text = (0..<1 + random(9)).map { _ in chunks[random(chunks.count)] }.joined()
      let found = completer.completions(text, text.utf8.count)
      #expect(found.range.upperBound <= text.utf8.count)
      #expect(frame.count == 0, "\(text)")
    }
  }

  @Test func caseIsIgnoredWhereAsked() throws {
    let shell = try ShellContext(SessionExplainer())
    try shell.bind()
    defer { shell.state.close() }
    for (text, candidates) in [("COROU", ["coroutine"]), ("string.RE", ["rep", "reverse"])] {
      let plain = Completer(state: shell.state).completions(text, text.utf8.count)
      #expect(plain.candidates.isEmpty)
      let found = Completer(state: shell.state, ignoresCase: true)
        .completions(text, text.utf8.count)
      #expect(found.candidates.map(\.replacement) == candidates, "\(text)")
    }
  }

  @Test func declarationsAreTakenApart() {
    let function = LuaDeclaration(
      .function, owner: "xs", "f",
      "(a: string|fun(x: integer): any, b?: table, ...): Image?, Error?",
      "It is.")
    #expect(function.parameters.map(\.name) == ["a", "b", "..."])
    #expect(function.parameters.map(\.isOptional) == [false, true, false])
    #expect(function.parameters[0].type == "string|fun(x: integer): any")
    #expect(function.results == ["Image?", "Error?"])
  }
}
