// Examples for the rules that hold in some releases only, and have a file of their own for it.

import TestKit

extension Example {
  static let releases = [
    Example("vcpu-basic.vm86", .pv(width: 4), at: "X86_PV_VCPU_BASIC", 8 + 8 + 556) {
      $0.poke("X86_PV_VCPU_BASIC", 8 + 8 + 556, le32(1 << 17))
    }
  ]
}
