import Terminal
import Testing

@Suite struct ColorChoiceTests {
  // swift-format-ignore
  @Test(arguments: [
    (.auto,   true,  ["TERM": "xterm"],                                             true),
    (.auto,   false, ["TERM": "xterm"],                                             false),
    (.auto,   true,  ["TERM": "dumb"],                                              false),
    (.auto,   true,  [:],                                                           false),
    (.auto,   true,  ["TERM": ""],                                                  false),
    (.auto,   true,  ["TERM": "xterm", "NO_COLOR": "1"],                            false),
    (.auto,   true,  ["TERM": "xterm", "NO_COLOR": ""],                             true),
    (.auto,   true,  ["TERM": "xterm", "CLICOLOR": "0"],                            false),
    (.auto,   false, ["CLICOLOR_FORCE": "1"],                                       true),
    (.auto,   true,  ["TERM": "dumb", "CLICOLOR_FORCE": "1"],                       true),
    (.auto,   false, ["TERM": "xterm", "CLICOLOR_FORCE": "0"],                      false),
    (.auto,   true,  ["TERM": "xterm", "CLICOLOR_FORCE": "1", "NO_COLOR": "1"],     false),
    (.always, false, ["NO_COLOR": "1"],                                             true),
    (.never,  true,  ["TERM": "xterm", "CLICOLOR_FORCE": "1"],                      false),
  ] as [(ColorChoice, Bool, [String: String], Bool)])
  func `follows option, environment and terminal`(
    choice: ColorChoice, isTerminal: Bool, environment: [String: String], expected: Bool
  ) {
    #expect(choice.isEnabled(isTerminal: isTerminal, environment: { environment[$0] }) == expected)
  }

  @Test func `has the names of the option's values`() {
    #expect(ColorChoice.allCases.map(\.rawValue) == ["auto", "always", "never"])
  }
}

@Suite struct StyleTests {
  @Test func `writes SGR parameters`() {
    #expect(
      Style(.red, bold: true, underline: true).applied(to: "x", isEnabled: true)
        == "\u{1B}[1;4;31mx\u{1B}[0m")
    #expect(Style(.brightWhite).applied(to: "x", isEnabled: true) == "\u{1B}[97mx\u{1B}[0m")
    #expect(
      Style(dim: true, italic: true, inverse: true).applied(to: "", isEnabled: true)
        == "\u{1B}[2;3;7m\u{1B}[0m")
  }

  @Test func `writes nothing when plain or off`() {
    #expect(Style.plain.applied(to: "x", isEnabled: true) == "x")
    #expect(Style(.red).applied(to: "x", isEnabled: false) == "x")
  }
}
