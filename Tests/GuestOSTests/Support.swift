import SystemIO
import Pages
import TestKit

@testable import GuestOS

/// Pages of a guest that are only in memory.
final class PageTable: PageSource {
  let path = "guest"
  var pages: [UInt64: [UInt8]]
  init(_ pages: [UInt64: [UInt8]]) { self.pages = pages }

  func contents(of pfn: UInt64) throws -> [UInt8] {
    guard let page = pages[pfn] else { throw XensaveError(.notFound, "no page \(pfn)") }
    return page
  }
}

/// A vCPU in 64-bit mode, as HVM_CONTEXT has it.
func vcpu(
  _ number: Int = 0, root: UInt64, levels: Int = 4, rip: UInt64 = 0, rsp: UInt64 = 0,
  rbp: UInt64 = 0
) throws -> VCPU {
  var data = [UInt8](repeating: 0, count: 1032)
  for (offset, value) in [
    (512 + 32, rbp), (512 + 56, rsp), (512 + 128, rip), (656, 0x8000_0001), (672, root),
    (680, levels == 5 ? 0x1020 : 0x20), (992, 0x500),
  ] as [(Int, UInt64)] {
    for byte in 0..<8 {
      data[offset + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte)))
    }
  }
  guard let vcpu = VCPU(hvm: data, instance: number) else { throw XensaveError(.usage, "no vCPU") }
  return vcpu
}

/// The reader over a guest that was made by hand.
func open(_ guest: SyntheticLinux) throws -> LinuxGuest {
  try LinuxGuest(
    PagedMemory(PageTable(guest.memory.pages)),
    [vcpu(root: guest.root, levels: guest.options.levels)])
}

extension SyntheticLinux.Options {
  /// Kernels of all kinds.
  static let kinds: [SyntheticLinux.Options] = {
    var out = [SyntheticLinux.Options(), .old]
    for order in KallsymsWriter.Order.allCases {
      var options = SyntheticLinux.Options()
      options.order = order
      options.hasAbsolutePerCPU = order != .placeRelative
      options.types.hasNewUnwindNumbers = order == .placeRelative
      out.append(options)
    }
    var five = SyntheticLinux.Options()
    five.levels = 5
    five.isIsolated = true
    out.append(five)
    var relative = SyntheticLinux.Options()
    relative.hasAbsolutePerCPU = false
    relative.types.blockLayer = .middle
    out.append(relative)
    return out
  }()

  /// Their guests: made once, as it takes a while.
  private static let made = Dictionary(
    kinds.map { ($0.description, SyntheticLinux($0)) }, uniquingKeysWith: { first, _ in first })

  var guest: SyntheticLinux { SyntheticLinux.Options.made[description] ?? SyntheticLinux(self) }
}
