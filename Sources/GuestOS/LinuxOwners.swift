// Which processes have a page of the guest's memory in their address spaces.

internal import Bytes
public import Pages

/// A place of a process's address space that a page of the guest is mapped at.
public struct PageOwner: Sendable, Equatable {
  public let pfn: UInt64
  public let task: LinuxTask
  /// Where the page begins there.
  public let address: UInt64
}

extension LinuxGuest {
  /// Most tables that are read for all processes: those of 2 TiB of memory that is mapped once.
  private static let tableLimit = 1 << 20
  /// Most owners: libraries are mapped by all processes.
  private static let ownerLimit = 1 << 16

  /// Where the processes of the guest map these pages, by process and address. A page that nobody has is
  /// the kernel's, its page cache's, or free.
  public func owners(of pages: PageSet) throws -> Listing<PageOwner> {
    try memory.question {
      let tasks = try tasks()
      var out = Listing<PageOwner>()
      out.problem = tasks.problem
      var tablesLeft = Self.tableLimit
      var seen: Set<UInt64> = []
      // Processes that share an address space are one owner: the first.
      for task in tasks.items where task.mm != 0 && seen.insert(task.mm).inserted {
        do {
          let places = memory.paged.places(
            of: pages, try space(of: task), tableLimit: &tablesLeft,
            limit: Self.ownerLimit - out.items.count)
          out.items += places.map { PageOwner(pfn: $0.pfn, task: task, address: $0.address) }
        } catch { out.problem = out.problem ?? "task \(task.pid): \(error)" }
        guard tablesLeft > 0, out.items.count < Self.ownerLimit else {
          out.problem = out.problem ?? "there are more page tables or owners than are looked at"
          break
        }
      }
      return out
    }
  }
}
