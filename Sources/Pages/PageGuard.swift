// What may not happen to a page, because its guest would not restore.

internal import Bytes
public import Format
public import Stream

/// Knows a stream's guest and, of a PV guest, the pages of its p2m table. A filter shows it every
/// header and record.
public final class PageGuard {
  public private(set) var guest: GuestType?
  /// The pages that X86_PV_P2M_FRAMES lists.
  public private(set) var p2mFrames = PageSet()

  public init(guest: GuestType? = nil) { self.guest = guest }

  /// Takes in a header.
  public func observe(_ header: Header) {
    guard header.kind == .domain else { return }
    guest = GuestType(rawValue: header.bytes.load(0, as: UInt32.self, header.order))
  }

  /// Takes in a record.
  public func observe(_ record: Record) {
    guard record.type == .x86PVP2MFrames, record.body.count >= 8 else { return }
    var frames: [UInt64] = []
    var offset = 8
    while record.body.count - offset >= 8 {
      frames.append(record.body.load(offset, as: UInt64.self, record.context.order))
      offset += 8
    }
    p2mFrames = p2mFrames.union(PageSet(frames.filter { $0 < PageSet.limit }))
  }

  /// Why the contents of a page may not change, or nil.
  func contentsProblem(_ entry: PageEntry) -> String? {
    guard guest == .x86PV else { return nil }
    if entry.type.isPageTable {
      return "it is a page table (\(entry.type.name)), which Xen checks on a restore"
    }
    if p2mFrames.contains(entry.pfn) {
      return "it is a part of the p2m table (X86_PV_P2M_FRAMES)"
    }
    return nil
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
