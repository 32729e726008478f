// Number literals and what they are worth.

import JSON
import Testing

@Suite struct JSONNumberTests {
  @Test(arguments: [
    "", "+1", "01", "1.", ".5", "1e", "NaN", "inf", "0x10", "1 ", " 1", "1_000", "--1",
  ])
  func refusesOtherLiterals(literal: String) {
    #expect(JSONNumber(literal) == nil)
  }

  @Test func takesIntegersExactly() {
    #expect(JSONNumber("18446744073709551615")?.uint64 == .max)
    #expect(JSONNumber("18446744073709551615")?.int64 == nil)
    #expect(JSONNumber("18446744073709551616")?.uint64 == nil)
    #expect(JSONNumber("-9223372036854775808")?.int64 == .min)
    #expect(JSONNumber("-1")?.uint64 == nil)
    #expect(JSONNumber("-0")?.int64 == 0)
    #expect(JSONNumber("1e3")?.int64 == nil)
    #expect(JSONNumber("1.0")?.int64 == nil)
  }

  @Test func takesDoubles() {
    #expect(JSONNumber("1e3")?.double == 1000)
    #expect(JSONNumber("-0")?.double?.sign == .minus)
    #expect(JSONNumber("1e999")?.double == nil)
  }

  @Test func writesNumbers() {
    #expect(JSONNumber(UInt64.max).literal == "18446744073709551615")
    #expect(JSONNumber(Int8(-5)).literal == "-5")
    #expect(JSONNumber(Double.nan) == nil)
    #expect(JSONNumber(-Double.infinity) == nil)
    for value in [0.1, 1e20, Double.leastNonzeroMagnitude, -0.0, 1.7976931348623157e308, 3] {
      let number = JSONNumber(value)
      #expect(number.flatMap { JSONNumber($0.literal) } == number)
      #expect(number?.double == value)
    }
  }

  @Test func comparesLiterals() {
    #expect(JSONNumber("1") != JSONNumber("1.0"))
    #expect(JSONNumber("0") != JSONNumber("-0"))
  }
}
