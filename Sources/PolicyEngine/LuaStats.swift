// The statistics that a policy decides on, as Lua reads them.

internal import Format
internal import Live
package import LuaRuntime

/// A statistic as scripts read it: one row here is a field of `s`, of s:copy() and of the reference.
struct LuaStatistic {
  let name: String
  let type: String
  let doc: String
  var unit = ""
  var example = ""
  let value: (PolicyMoment) -> LuaValue

  init(
    _ name: String, _ type: String, _ doc: String, unit: String = "", example: String = "",
    _ value: @escaping (PolicyMoment) -> LuaValue
  ) {
    self.name = name
    self.type = type
    self.doc = doc
    self.unit = unit
    self.example = example
    self.value = value
  }

  private static func number(
    _ name: String, _ doc: String, unit: String, _ value: @escaping (PolicyMoment) -> Double
  ) -> LuaStatistic {
    LuaStatistic(name, "number", doc, unit: unit) { .number(value($0)) }
  }

  private static func integer(
    _ name: String, _ doc: String, unit: String, _ value: @escaping (PrecopyStats) -> Int
  ) -> LuaStatistic {
    LuaStatistic(name, "integer", doc, unit: unit) { .integer(Int64(value($0.stats))) }
  }

  private static func seconds(
    _ name: String, _ doc: String, _ value: @escaping (StopTimes) -> UInt64?
  ) -> LuaStatistic {
    LuaStatistic(name, "number?", doc, unit: "s") {
      value($0.stats.stop).map { .number(Double($0) / 1e9) } ?? .none
    }
  }

  static var all: [LuaStatistic] {
    [
      integer("iteration", "Rounds that were sent.", unit: "rounds") { $0.iteration },
      integer("total_written", "Pages that were sent in all rounds.", unit: "pages") {
        $0.totalWritten
      },
      LuaStatistic(
        "dirty_count", "integer?", "Pages that are dirty; nil while that is not known (Xen: -1).",
        unit: "pages", example: "if not s.dirty_count then return \"continue\" end"
      ) { $0.stats.dirtyCount.map { .integer(Int64($0)) } ?? .none },
      integer("max_pages", "Pages that the domain may have.", unit: "pages") { $0.frameCount },
      LuaStatistic(
        "phase", "string",
        "\"before\" a round is sent, or \"after\" (asked only where both_phases is true)."
      ) { .text($0.stats.isBeforeRound ? "before" : "after") },
      number("elapsed", "Seconds since the first round began.", unit: "s") {
        Double($0.stats.elapsed) / 1e9
      },
      number("round_time", "Seconds of the last round; 0 before there is one.", unit: "s") {
        Double($0.stats.roundTime) / 1e9
      },
      number(
        "bandwidth", "Pages a second that are sent, smoothed; 0 before the first round.",
        unit: "pages/s"
      ) { $0.stats.smoothBandwidth },
      number("bandwidth_raw", "Pages a second that the last round sent.", unit: "pages/s") {
        $0.stats.bandwidth
      },
      number("dirty_rate", "Pages a second that the guest dirties, smoothed.", unit: "pages/s") {
        $0.stats.smoothDirtyRate
      },
      number(
        "dirty_rate_raw", "Pages a second that the guest dirtied in the last round.",
        unit: "pages/s"
      ) { $0.stats.dirtyRate },
      integer(
        "deferred", "Pages that wait for the last round and are not dirty now.", unit: "pages"
      ) { $0.deferredCount },
      integer(
        "skipped",
        "Pages of the last round that were dirty again when their turn came, and left to the next one.",
        unit: "pages"
      ) { $0.skippedCount },
      LuaStatistic(
        "hot", "integer[]?",
        "Pages that were dirty in at least 1, 2, ... 8 of the last eight rounds; nil where nobody counts "
          + "them (saves by Xen's library).",
        example: "if s.hot and s.hot[3] * 2 > s.dirty_count then hot = true end"
      ) { moment in
        moment.stats.hotCounts.isEmpty
          ? .none : .list(moment.stats.hotCounts.map { .integer(Int64($0)) })
      },
      integer(
        "throttle",
        "Percent of its processors' time that the guest does without now; 0 where it cannot be throttled.",
        unit: "%"
      ) { $0.throttle },
      LuaStatistic(
        "bytes", "integer?",
        "Bytes of the stream that were written; nil where nobody counts them (saves by Xen's library).",
        unit: "bytes"
      ) { $0.stats.byteCount.map { .integer(Int64(clamping: $0)) } ?? .none },
      seconds(
        "suspend_time",
        "Seconds from asking the guest to suspend until it is suspended, the last time in this save; nil "
          + "before it has."
      ) { $0.suspend },
      seconds(
        "final_time", "Seconds of the round that was sent then; nil before the first checkpoint."
      ) { $0.finalRound },
      seconds(
        "records_time",
        "Seconds of the records after it; nil before the first checkpoint."
      ) { $0.records },
      LuaStatistic(
        "est_downtime", "number?",
        "Seconds that sending the dirty and deferred pages would take at this bandwidth, with "
          + "suspend_time and records_time where they are known; nil where the bandwidth is not.",
        unit: "s"
      ) { $0.estimatedDowntime.map { .number($0) } ?? .none },
      number("time", "Seconds since 1970.", unit: "s") { $0.time },
      number("hour", "Hours since midnight, local time: 22.5 is half past ten.", unit: "h") {
        $0.hour
      },
    ]
  }
}

/// The `s` of precopy(s): one object, which says what is true now.
package final class LuaStats {
  var moment = PolicyMoment()

  private static var members: [LuaMember<LuaStats>] {
    LuaStatistic.all.map { row in
      .property(row.name, row.type, row.doc, unit: row.unit, example: row.example) {
        stats, frame in frame.push(row.value(stats.moment))
      }
    } + [
      .method("copy", "(): table", "All of it as a table that stays as it is.") { stats, frame in
        frame.push(stats.moment.luaValue)
        return 1
      }
    ]
  }

  package static var table: LuaClass<LuaStats> {
    var table = LuaClass<LuaStats>(
      "PrecopyStats",
      "What a policy decides on: `precopy(s)` gets it. The same object each time; s:copy() keeps "
        + "what it says.", members)
    table.index = { _, frame in
      let name = frame.text(2, limit: 100)
      throw LuaError("no field '\(name)' in PrecopyStats" + didYouMean(name, among: names))
    }
    table.toString = { stats in
      let s = stats.moment.stats
      return "round \(s.iteration), \(s.dirtyCount.map { "\($0)" } ?? "unknown") dirty pages"
    }
    return table
  }

  package static var names: [String] { members.map(\.name) }
}

extension PolicyMoment {
  /// Seconds; by the smoothed bandwidth.
  var estimatedDowntime: Double? {
    guard let count = stats.remainingCount, stats.smoothBandwidth > 0 else { return nil }
    return Double(count) / stats.smoothBandwidth + Double(stats.stop.besidePages) / 1e9
  }

  package var luaValue: LuaValue {
    .table(
      LuaStatistic.all.compactMap { row in
        let value = row.value(self)
        return value == .none ? nil : (row.name, value)
      })
  }
}
