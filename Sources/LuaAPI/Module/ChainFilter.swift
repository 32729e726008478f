// Filters one after the other: each sees what the one before it has written.

internal import SystemIO
package import Format
package import ImageEdit
package import LuaRuntime
package import Stream

/// What xs.chain gives: filters, in their order.
final class LuaChain {
  let filters: [LuaReference]
  /// Chains inside it, and filters in all: a script may put any chain into another, many times.
  private let depth: Int
  private let size: Int

  static let depthLimit = 64
  static let sizeLimit = 1000

  /// A chain of the arguments of `frame`.
  init(_ filters: [LuaReference], _ frame: LuaFrame) throws {
    var (depth, size) = (1, 0)
    for index in 0..<filters.count {
      let inner: LuaChain? = frame.objectIfAny(index + 1)
      depth = max(depth, 1 + (inner?.depth ?? 0))
      size += inner?.size ?? 1
    }
    guard depth <= LuaChain.depthLimit, size <= LuaChain.sizeLimit else {
      throw LuaError(
        "a chain of \(size) filters, \(depth) deep: expected at most \(LuaChain.sizeLimit) and "
          + "\(LuaChain.depthLimit)")
    }
    self.filters = filters
    self.depth = depth
    self.size = size
  }

  static var table: LuaClass<LuaChain> {
    var table = LuaClass<LuaChain>(
      "Chain", "Filters one after the other, as xs.chain makes them. It is a filter itself.", [])
    table.length = { chain, frame in
      frame.push(chain.filters.count)
      return 1
    }
    table.toString = { "chain of \($0.filters.count) filters" }
    return table
  }
}

/// Runs the filters of a chain.
package final class ChainFilter: RewriteFilter {
  private let stages: [any RewriteFilter]

  package init(_ stages: [any RewriteFilter]) { self.stages = stages }

  package func isOfHeadersOnly(in container: Container) -> Bool {
    stages.allSatisfy { $0.isOfHeadersOnly(in: container) }
  }

  package func begin() throws {
    for stage in stages { try stage.begin() }
  }

  package func finish() throws {
    for stage in stages { try stage.finish() }
  }

  package func header(_ header: inout Header) throws {
    for stage in stages { try stage.header(&header) }
  }

  package func record(_ record: EditableRecord) throws -> FilterResult {
    var records = [record]
    for stage in stages {
      var next: [EditableRecord] = []
      for item in records {
        switch try stage.record(item) {
        case .keep: next.append(item)
        case .drop: continue
        case .replace(let list):
          next += list
          guard next.count <= LuaFilter.resultLimit else {
            throw XensaveError(
              .script,
              "\(record.record.place): the filters of a chain make more than "
                + "\(LuaFilter.resultLimit) records of it")
          }
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
  package func filter(_ frame: LuaFrame, _ index: Int) throws -> any RewriteFilter {
    guard let chain: LuaChain = frame.objectIfAny(index) else {
      return try LuaFilter(frame, index, self)
    }
    var stages: [any RewriteFilter] = []
    try frame.reserve(8)
    for reference in chain.filters {
      frame.push(reference)
      defer { frame.pop() }
      stages.append(try filter(frame, frame.count))
    }
    return ChainFilter(stages)
  }
}
