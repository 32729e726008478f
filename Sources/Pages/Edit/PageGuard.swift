// What may not happen to a page, because its guest would not restore.

internal import Bytes
public import Format
internal import ImageCheck
public import Stream
internal import SystemIO

/// Knows a stream's guest and, of a PV guest, the pages that a restore needs as they are: those of the
/// p2m table and of the GDTs, and the start info. A filter shows it every header and record.
///
/// The vCPUs, which name GDT and start info, come after the pages. Of a file they are looked up
/// before the first edit (one pass over headers). From a pipe the edits are noted, and the vCPU that
/// names an edited page ends the rewrite: 32 KiB for each GiB of edited pages.
public final class PageGuard {
  public private(set) var guest: GuestType?
  /// The pages that X86_PV_P2M_FRAMES lists.
  public private(set) var p2mFrames = PageSet()
  /// Other pages that are needed, and what they are.
  private var needed: [UInt64: String] = [:]
  private var isLookedUp = false
  private var edited = PFNBitmap()
  /// Reused by the edits of all records: 4 MiB of scratch.
  private(set) lazy var batch = PageBatch()

  public init(guest: GuestType? = nil) { self.guest = guest }

  /// Takes in a header.
  public func observe(_ header: Header) {
    guard header.kind == .domain else { return }
    guest = GuestType(rawValue: header.bytes.load(0, as: UInt32.self, header.order))
  }

  /// Takes in a record. Throws where it needs a page that was edited already.
  public func observe(_ record: Record) throws {
    for (pfn, what) in take(record) where edited.contains(pfn) {
      throw XensaveError(
        .refused,
        "\(record.place): it needs page \(pfn.hex()), which was edited: \(what) (a pipe does not say "
          + "so before; leave the page out of the selector)")
    }
  }

  /// Notes the pages that a record needs; gives them.
  private func take(_ record: Record) -> [(pfn: UInt64, what: String)] {
    switch record.type {
    case .x86PVP2MFrames:
      guard record.body.count >= 8 else { return [] }
      var frames: [UInt64] = []
      var offset = 8
      while record.body.count - offset >= 8 {
        frames.append(record.body.load(offset, as: UInt64.self, record.context.order))
        offset += 8
      }
      frames = frames.filter { $0 < PageSet.limit }
      p2mFrames = p2mFrames.union(PageSet(frames))
      return edited.isEmpty ? [] : frames.map { ($0, PageGuard.p2m) }
    case let type where type.hasPVRegisters:
      guard let context = PVContext(record) else { return [] }
      let vcpu = record.body.load(0, as: UInt32.self, record.context.order)
      var found = context.gdtFrames.map { (pfn: $0, what: "it holds the GDT of vCPU \(vcpu)") }
      if vcpu == 0 { found.append((context.startInfo.pfn, "it is the start info page")) }
      for (pfn, what) in found { needed[pfn] = what }
      return found
    default: return []
    }
  }

  /// Before the first edit: looks up what comes after the pages.
  func lookUp(_ source: Source?) throws {
    guard guest == .x86PV, !isLookedUp, let source, source.isFile else { return }
    isLookedUp = true
    let pass = try source.duplicate()
    pass.seek(0)
    var reader = StreamReader(pass)
    while let part = try reader.next() {
      if case .record(let record) = part { _ = take(record) }
    }
  }

  /// Notes an edit, where what needs the page may still come.
  func note(_ entry: PageEntry) {
    if guest == .x86PV, !isLookedUp { edited.insert(entry.pfn) }
  }

  private static let p2m = "it is a part of the p2m table (X86_PV_P2M_FRAMES)"

  /// Why the contents of a page may not change, or nil.
  public func contentsProblem(_ entry: PageEntry) -> String? {
    guard guest == .x86PV else { return nil }
    if entry.type.isPageTable {
      return "it is a page table (\(entry.type.name)), which Xen checks on a restore"
    }
    if p2mFrames.contains(entry.pfn) { return PageGuard.p2m }
    return needed[entry.pfn]
  }

  /// Why a page may not be left out, or nil.
  func dropProblem(_ entry: PageEntry) -> String? {
    // The same pages: what refers to them is checked, and would find nothing.
    contentsProblem(entry)
  }

  /// Why a page may not become one of `type`, or nil.
  func retypeProblem(_ entry: PageEntry, _ type: PageType) -> String? {
    if type.isReserved { return "type \(type.rawValue) is reserved" }
    if type.hasData, !entry.type.hasData {
      return "it is \(entry.type.name) and has no contents, which \(type.name) needs"
    }
    if type.isPageTable {
      return guest == .x86PV
        ? entry.type.isPageTable
          ? nil : "only what was a page table when it was saved can be one (\(type.name))"
        : "only PV guests have pages of type \(type.name)"
    }
    return contentsProblem(entry)
  }
}

/// A set of pfns that costs a bit each where there are many.
private struct PFNBitmap {
  private var chunks: [UInt64: [UInt64]] = [:]

  var isEmpty: Bool { chunks.isEmpty }

  mutating func insert(_ pfn: UInt64) {
    chunks[pfn >> 15, default: [UInt64](repeating: 0, count: 512)][Int(pfn >> 6 & 511)] |=
      1 << (pfn & 63)
  }

  func contains(_ pfn: UInt64) -> Bool {
    guard let chunk = chunks[pfn >> 15] else { return false }
    return chunk[Int(pfn >> 6 & 511)] >> (pfn & 63) & 1 != 0
  }
}
