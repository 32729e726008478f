// Targets over the pages of an image: index, selection, edits, deltas, memory, exports, the cache.

import Bytes
import Format
import Glibc
import ImageCheck
import ImageEdit
@testable import Pages
import Stream
import SystemIO
import TestKit

let pageTargets: [FuzzTarget] = [
  FuzzTarget("pages", limit: 16384, seeds: { Seeds.images.map { $0 + [0] } }, pages),
  FuzzTarget("memory", limit: 20480, seeds: { Seeds.memory.map { $0 + zeros(9) } }, memory),
  FuzzTarget(
    "page-edits", limit: 16384,
    seeds: { Seeds.images.enumerated().map { $1 + [UInt8($0), UInt8(7 * $0)] } }, pageEdits),
  FuzzTarget("delta", limit: 12288, seeds: { Seeds.images }, delta),
  FuzzTarget("delta-apply", limit: 4096, seeds: { DeltaSeeds.all }, applyDelta),
  FuzzTarget("index-cache", limit: 2048, seeds: { IndexSeed.all }, indexCache),
  FuzzTarget(
    "selector", limit: 256,
    seeds: {
      [
        "pfn in 0..5 and not zero", "type = broken or byte[0] = 0",
        "u64[8] & 0xff != 3 and has_data",
        "contains \"abc\\x00\" & sample(0.5, 3)", "hash in {0x1234, 5}", "any - (pfn in {1, 3..5})",
      ].map { Array($0.utf8) }
    }, selector),
]

nonisolated(unsafe) private let programs: [SelectorProgram] = [
  "zero", "pfn in 0..5", "has_data and not zero", "byte[0] = 0", "u64[8] != 3", "type = broken",
  "contains \"\\x10\\x10\"", "sample(0.5, 1)",
].map {
  guard let selector = try? Selector(parsing: $0) else { preconditionFailure("no selector: \($0)") }
  return SelectorProgram(selector)
}

/// The index and everything that reads pages through it.
private func pages(_ input: [UInt8]) throws {
  let (bytes, choices) = input.splitting(last: 1)
  var options = PageIndex.Options()
  options.keepsHistory = choices[0] & 1 != 0
  guard let image = try? PageImage(MemoryFile.input.source(bytes), options: options) else { return }
  let index = image.index
  for run in index.runs.prefix(8) {
    try demand(index.page(run.pfn) != nil, "pfn \(run.pfn) has a run and no page")
    _ = index.history(of: run.pfn)
  }
  for type in [RecordType.hvmParams, .hvmContext, .x86PVInfo] {
    if let spot = index.last(type) { _ = try? index.body(of: spot, image.source) }
  }
  let program = programs[Int(choices[0] >> 4) % programs.count]
  if let found = try? image.select(program), let again = try? image.count([program]) {
    try demand([UInt64(found.count)] == again, "\(found.count) pages selected, \(again) counted")
  }
  switch choices[0] >> 1 & 3 {
  case 0:
    _ = try? image.zeroPages()
    _ = try? image.hashes()
  case 1:
    let duplicates = PageDuplicates()
    try? duplicates.add(image)
    _ = duplicates.top(4)
  case 2:
    // What was compacted is compacted to itself.
    let sink = try MemoryFile.output.sink()
    guard (try? image.compact(to: sink, layout: choices[0] & 8 != 0 ? .aligned : .plain)) != nil
    else { return }
    let compacted = MemoryFile.output.bytes
    let again = try PageImage(MemoryFile.second.source(compacted))
    let second = try MemoryFile.other.sink()
    _ = try again.compact(to: second, layout: choices[0] & 8 != 0 ? .aligned : .plain)
    try demand(MemoryFile.other.bytes == compacted, "compact is not idempotent")
  default:
    let other = try PageImage(MemoryFile.second.source(Seeds.base))
    var differences = PageDifferences(image, other)
    var count = 0
    while count < 4096, (try? differences.next()) != nil { count += 1 }
  }
}

/// A guest's memory: translation, reads, mappings, searches and exports.
private func memory(_ input: [UInt8]) throws {
  let (bytes, choices) = input.splitting(last: 9)
  guard let image = try? PageImage(MemoryFile.input.source(bytes)),
    let memory = try? GuestMemory(image)
  else { return }
  let address = choices[1...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  _ = try? memory.physical(address, 5000)
  for vcpu in (try? image.vcpus())?.prefix(2) ?? [] {
    for address in [address, 0xFFFF_FFFF_8100_0000, 0xFFFF_8880_0000_0000] {
      _ = try? memory.translate(vcpu, address)
    }
    _ = memory.mappings(vcpu, limit: 64, tableLimit: 16)
  }
  _ = try? memory.virtual(0, address, 5000)
  if let pattern = try? SearchPattern(bytes: Array(choices.prefix(3))) {
    _ = try? image.search(pattern, limit: 8)
  }
  let formats = ExportFormat.allCases
  _ = try? memory.export(
    formats[Int(choices[0]) % formats.count], to: try MemoryFile.output.sink())
}

/// Edits of the pages of records on their way through a rewrite.
private final class EditPages: RewriteFilter {
  let source: Source
  let choices: [UInt8]
  let guards = PageGuard()

  init(_ source: Source, _ choices: [UInt8]) {
    self.source = source
    self.choices = choices
  }

  func begin() {}
  func finish() {}
  func header(_ header: inout Header) { guards.observe(header) }

  func record(_ record: EditableRecord) throws -> FilterResult {
    try? guards.observe(record.record)
    guard record.type == .pageData, let edits = try? PageEdits.of(record, source, guards) else {
      return .keep
    }
    for choice in choices {
      let program = programs[Int(choice >> 5) % programs.count]
      switch choice & 7 {
      case 0: _ = try? edits.fill(program, with: choice)
      case 1: _ = try? edits.drop(program)
      case 2: _ = try? edits.keep(program)
      case 3: _ = try? edits.retype(program, to: .notab)
      case 4: if !edits.kept.isEmpty { try? edits.renumber(0, to: UInt64(choice)) }
      case 5: _ = try? edits.replace(program, with: [UInt8](repeating: choice, count: 4096))
      case 6: _ = try? edits.walk(program)
      default: _ = try? record.payload()
      }
    }
    return .keep
  }
}

/// From a file and from a pipe, page edits make the same, and it is still a stream.
private func pageEdits(_ input: [UInt8]) throws {
  let (bytes, choices) = input.splitting(last: 2)
  func run(_ isStream: Bool) throws -> (error: String?, [UInt8]) {
    let source = try MemoryFile.input.source(bytes, isStream: isStream)
    let rewriter = Rewriter(
      source, to: try MemoryFile.output.sink(), filter: EditPages(source, choices))
    do {
      _ = try rewriter.run()
      return (nil, MemoryFile.output.bytes)
    } catch { return ("\(error)", []) }
  }
  let file = try run(false)
  guard file.error == nil else {
    _ = try run(true)
    return
  }
  var reader = StreamReader(try MemoryFile.second.source(file.1))
  while try reader.next() != nil {}
}

/// The delta from a base to any image gives that image again.
private func delta(_ bytes: [UInt8]) throws {
  guard let new = try? PageImage(MemoryFile.input.source(bytes)) else { return }
  let base = try PageImage(MemoryFile.second.source(Seeds.base))
  let level = Int(bytes.last ?? 0) & 1
  _ = try PageDelta.make(from: base, to: new, try MemoryFile.output.sink(), level: level)
  _ = try PageDelta.apply(
    MemoryFile.output.source(), to: MemoryFile.second.source(), try MemoryFile.other.sink())
  try demand(MemoryFile.other.bytes == bytes, "a delta does not give the image that it was made of")
}

private enum DeltaSeeds {
  static let all: [[UInt8]] = [0, 1].compactMap { level in
    var new = Seeds.base
    new[new.count - 20] ^= 1
    guard let base = try? PageImage(MemoryFile.second.source(Seeds.base)),
      let image = try? PageImage(MemoryFile.input.source(new)),
      let sink = try? MemoryFile.output.sink(),
      (try? PageDelta.make(from: base, to: image, sink, level: level)) != nil
    else { return nil }
    return MemoryFile.output.bytes
  }
}

/// Any delta, with its header's hashes mended: an error, or what its header says.
private func applyDelta(_ input: [UInt8]) throws {
  var bytes = input
  let base = try MemoryFile.second.source(Seeds.base)
  if bytes.count >= 64 {
    if bytes[60] & 1 == 0 {
      bytes.put(16, UInt64(Seeds.base.count))
      bytes.put(24, try ContentHash.of(base, "base"))
    }
    bytes.put(56, PageDelta.hash(Array(bytes[0..<56])))
  }
  _ = try? PageDelta.apply(
    MemoryFile.input.source(bytes), to: base, try MemoryFile.output.sink())
}

private enum IndexSeed {
  nonisolated(unsafe) static let directory = FuzzDirectory()
  static let image: String = {
    directory.write(Seeds.base, "img")
    // An image that has just changed gets no index.
    let times = [
      timespec(tv_sec: 1_700_000_000, tv_nsec: 1), timespec(tv_sec: 1_700_000_000, tv_nsec: 1),
    ]
    utimensat(AT_FDCWD, directory.path + "/img", times, 0)
    return directory.path + "/img"
  }()
  /// The index as the program writes it.
  static let bytes: [UInt8] = {
    _ = try? PageImage(caching: image) { _ in }
    return directory.read(".img.index") ?? []
  }()
  static let all = [bytes]
}

/// Any index file, with its hashes mended: it is refused, or what it says can be read.
private func indexCache(_ input: [UInt8]) throws {
  var bytes = input
  let seed = IndexSeed.bytes
  try demand(seed.count >= 14 * 8, "no index was written")
  bytes += zeros((8 - bytes.count % 8) % 8)
  guard bytes.count >= 14 * 8 else { return }
  bytes.replaceSubrange(0..<40, with: seed[0..<40])
  bytes.put(bytes.count - 8, PageDelta.hash(Array(bytes.dropLast(8))))
  IndexSeed.directory.write(bytes, ".img.index")
  let path = IndexSeed.image
  guard let source = try? Source(opening: path),
    let index = try? IndexCache(of: path).read(for: source)
  else { return }
  let image = try PageImage(caching: path) { _ in }
  _ = try? image.zeroPages()
  _ = try? image.compact(to: MemoryFile.output.sink())
  for run in index.runs.prefix(8) { _ = index.page(run.pfn) }
  if let memory = try? GuestMemory(image) {
    _ = try? memory.export(.elfCore, to: try MemoryFile.output.sink())
  }
  guard let spots = try? IndexCache(of: path).recordsAfterPages(of: source),
    let first = spots.first, let front = try? RecordIndex(source.duplicate(), frontOnly: true)
  else { return }
  let document = ImageDocument(
    try source.duplicate(),
    RecordIndex(front, tail: first.index, spots.map { ($0.offset, $0.type) }))
  for (number, entry) in document.index.entries.enumerated() where entry.type != .pageData {
    _ = try? document.record(number + 1)
  }
  _ = try? Verifier(document).runAround(document.index, tail: first.index)
}

/// A selector's text reads back as the same selector.
private func selector(_ bytes: [UInt8]) throws {
  guard let selector = try? Selector(parsing: bytes.text) else { return }
  let text = "\(selector)"
  // Large sets are cut short.
  guard !text.contains("...") else { return }
  do {
    let again = try Selector(parsing: text)
    try demand("\(again)" == text, "'\(text)' reads back as '\(again)'")
  } catch let error as XensaveError { throw Violation("'\(text)' does not read back: \(error)") }
  let program = SelectorProgram(selector)
  _ = program.explain()
  let entry = PageEntry(.notab, pfn: 3)
  _ = selector.matches(entry, [UInt8](repeating: 1, count: 4096))
}
