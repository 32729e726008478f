// Filters one behind the other: each sees what the one before it has written.

internal import Image
internal import LuaRuntime
internal import Stream

/// What xs.chain gives: filters, in their order.
final class LuaChain {
  let filters: [LuaReference]
  init(_ filters: [LuaReference]) { self.filters = filters }

  static var table: LuaClass<LuaChain> {
    var table = LuaClass<LuaChain>(
      "Chain", "Filters one behind the other, as xs.chain makes them. It is a filter itself.", [])
    table.length = { chain, frame in
      frame.push(chain.filters.count)
      return 1
    }
    table.toString = { "chain of \($0.filters.count) filters" }
    return table
  }
}

/// Runs the filters of a chain.
final class ChainFilter: RewriteFilter {
  private let stages: [any RewriteFilter]

  init(_ stages: [any RewriteFilter]) { self.stages = stages }

  func begin() throws(RewriteError) {
    for stage in stages { try stage.begin() }
  }

  func finish() throws(RewriteError) {
    for stage in stages { try stage.finish() }
  }

  func header(_ header: inout Header) throws(RewriteError) {
    for stage in stages { try stage.header(&header) }
  }

  func record(_ record: EditableRecord) throws(RewriteError) -> FilterResult {
    var records = [record]
    for stage in stages {
      var next: [EditableRecord] = []
      for item in records {
        switch try stage.record(item) {
        case .keep: next.append(item)
        case .drop: continue
        case .replace(let list): next += list
        case .stop: return .stop
        }
      }
      records = next
      if records.isEmpty { return .drop }
    }
    return records.count == 1 && records[0] === record ? .keep : .replace(records)
  }
}

extension ShellContext {
  /// The filter at `index`: a function, a table, or a chain of them.
  func filter(_ frame: LuaFrame, _ index: Int) throws(LuaError) -> any RewriteFilter {
    guard let chain: LuaChain = frame.objectIfAny(index) else {
      return try LuaFilter(frame, index, self)
    }
    var stages: [any RewriteFilter] = []
    for reference in chain.filters {
      frame.push(reference)
      defer { frame.pop() }
      stages.append(try filter(frame, frame.count))
    }
    return ChainFilter(stages)
  }
}
