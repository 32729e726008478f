// Saves of domains that are ended from outside at any moment, and what is left.

import Testing

@Suite struct LiveSignalTests {
  /// A save that continues for a while. What it prints at its end is what the domain was left as.
  private static let script = """
    local xs = require "xensave"
    local dom = assert(xs.sim {
      memory_mib = 16, real_time = true, workload = { { writes_per_s = 50000 } },
    })
    -- Collected before the handle is.
    local last = setmetatable({}, { __gc = function()
      local s = dom:state()
      io.stderr:write(("left: %s %s %s %d\\n"):format(
        s.log_dirty, s.emulator_log_dirty, s.running, s.leases))
    end })
    io.stderr:write "begins\\n"
    assert(dom:save(os.getenv "OUT", { resume = true, policy = function(s)
      return s.elapsed > 0.35 and "stop" or "continue"
    end }))
    """

  /// The milliseconds of run `index`: the same in every run of the test.
  private static func instant(_ index: Int) -> Int {
    var word = UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    return Int((word ^ (word >> 31)) % 400)
  }

  @Test(arguments: ["TERM", "KILL"])
  func anyMoment(signal: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    Program.write(Array(Self.script.utf8), to: folder + "/s.lua")
    var stopped = 0
    for index in 0..<25 {
      let wait = Self.instant(index * 2 + (signal == "TERM" ? 0 : 1))
      let digits = String(1000 + wait).dropFirst()
      let outcome = Program.shell(
        """
        mkdir \(folder)/o; export OUT=\(folder)/o/out
        # What the run before wrote is there until this one has begun.
        rm -f \(folder)/err; : >\(folder)/err
        xensave-lua \(folder)/s.lua 2>\(folder)/err & p=$!
        # Counted from where the save begins.
        for i in $(seq 3000); do grep -q begins \(folder)/err && break; sleep 0.01; done
        sleep 0.\(digits); kill -\(signal) $p 2>/dev/null; wait $p; code=$?
        if [ -e $OUT ]; then xensave-lua verify -q $OUT || echo half; fi
        ls -A \(folder)/o | grep -v '^out$'
        rm -r \(folder)/o
        echo $code
        """)
      let text = outcome.text.split(separator: "\n").map(String.init)
      #expect(text.count == 1, "\(signal) after \(wait) ms: \(outcome.text)")
      let code = text.last.flatMap { Int($0) } ?? -1
      #expect(
        [0, signal == "TERM" ? 143 : 137].contains(code), "\(signal) after \(wait) ms: \(code)")
      if code != 0 { stopped += 1 }
      guard signal == "TERM" else { continue }
      let errors = String(decoding: Program.read(folder + "/err"), as: UTF8.self)
      #expect(
        errors.contains("left: false false true 0\n"), "TERM after \(wait) ms: \(errors)")
    }
    #expect(stopped > 5, "the saves were too short for the signals")
  }
}
