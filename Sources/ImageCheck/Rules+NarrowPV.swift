// Rules for the state of vCPUs that only 32-bit PV guests have.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  static let narrowPV: [Rule] = [
    Rule(
      "vcpu-basic.vm86", .error, "A vCPU of a 32-bit guest is not in virtual 8086 mode.",
      "Xen: xen/arch/x86/domain.c, arch_set_info_guest", since: ReleaseSince(22, [(21, 1)]),
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), !context.isWide else { return }
        let flags = record.body.load(8 + 556, as: UInt32.self)
        guard flags & 1 << 17 != 0 else { return }
        look.report(
          record, "user_regs.eflags", at: 8 + 556,
          "expected VM (0x20000) clear, got \(flags.hex())")
      })
  ]
}
