// Targets over the bodies of single records: fields, values, and the codecs inside them.

import Bytes
@testable import Format
import Glibc
@testable import Pages
import TestKit

let recordTargets: [FuzzTarget] = [
  FuzzTarget("record", limit: 4096, seeds: { bodies }, record),
  FuzzTarget("qemu", limit: 4096, seeds: { QEMUSeeds.all }, qemu),
  FuzzTarget("cpu-state", limit: 6144, seeds: { cpuSeeds }, cpuState),
  FuzzTarget("headers", limit: 256, seeds: { headerSeeds }, headers),
]

/// Three bytes of choice, then the body: type, byte order and width, field.
private let bodies: [[UInt8]] = {
  let all: [(String, [UInt8])] = [
    ("X86_TSC_INFO", le32(0, 2_000_000) + le64(1) + le32(1, 0)),
    ("HVM_PARAMS", le32(2, 0) + le64(1, 0xFEFFC, 5, 6)), ("HVM_CONTEXT", Seeds.devices),
    ("X86_CPUID_POLICY", le32(0, .max, 0xD, 1, 2, 3) + le32(0xD, 2, 256, 576, 0, 0)),
    ("X86_MSR_POLICY", le32(0xCE, 0) + le64(0x8000_0000)), ("X86_PV_INFO", [8, 4] + zeros(6)),
    ("X86_PV_P2M_FRAMES", le32(0, 5) + le64(4)), ("PAGE_DATA", le32(2, 0) + le64(1, 2)),
    ("X86_PV_VCPU_XSAVE", le32(0, 0) + le64(7, 7) + zeros(576)), ("SHARED_INFO", zeros(4096 - 3)),
    ("X86_PV_VCPU_MSRS", le32(0, 0) + le32(0xC000_0103, 0) + le64(0)),
    ("EMULATOR_XENSTORE_DATA", le32(2, 0) + Array("a/b\0c\0".utf8)),
    ("EMULATOR_CONTEXT", le32(2, 0) + Array(QEMUSeeds.all[0].dropFirst(8))),
    ("TOOLSTACK", zeros(16)), ("CHECKPOINT_STATE", le32(0, 0)),
  ]
  return all.compactMap { name, body in
    guard let index = RecordSchemas.all.firstIndex(where: { $0.name == name }) else { return nil }
    return [UInt8(index), 0, 0] + body
  }
}()

/// Fields of any body, from a chosen one on: the value of each can be set to itself and changes nothing, and another that
/// was set is what is read; what `BodySchema.body` makes of the values is a body again.
private func record(_ input: [UInt8]) throws {
  guard input.count >= 3 else { return }
  let rows = RecordSchemas.all[Int(input[0]) % RecordSchemas.all.count]
  let body = Array(input[3...])
  let context = BodyContext(
    order: input[1] & 1 == 0 ? .little : .big, guestWidth: input[1] & 2 == 0 ? 8 : 4)
  let layout = BodySchema(rows.type, body: body, context)
  var walked = 0
  var all: [FieldLocation] = []
  layout.walk(body) { (slot: FieldLocation) throws(Never) in
    walked += 1
    if walked <= 512 { all.append(slot) }
  }
  // The way by a path is long: some of them are enough.
  for slot in all.dropFirst(Int(input[2])).prefix(6) { _ = layout.find(slot.path, in: body) }
  for slot in all.dropFirst(2 * Int(input[2])).prefix(48) {
    let value = layout.value(of: slot, in: body)
    _ = slot.field.text(of: value)
    var copy = body
    if case .list = value { continue }
    if case .group = value { continue }
    // A value that a field has can be given to it.
    if (try? slot.set(value, in: &copy)) != nil {
      try demand(copy == body, "\(rows.name).\(slot.path): its own value changes the body")
    }
  }
  if !all.isEmpty {
    let slot = all[Int(input[2]) % all.count]
    for value in [
      FieldValue.text(Array(body.prefix(12)).text), .unsigned(.max), .signed(.min),
      .text("0x\(input[2])"),
      .bytes(Array(body.prefix(8))), .signed(-1), .unsigned(1 << 32),
    ] {
      var copy = body
      if (try? slot.set(value, in: &copy)) != nil {
        try demand(copy.count == body.count, "\(rows.name).\(slot.path): set changes the length")
      }
    }
  }
}

private enum QEMUSeeds {
  static let all: [[UInt8]] = {
    let name = Array("timer".utf8)
    let section =
      [4] + be32(0) + [UInt8(name.count)] + name + be32(0, 2) + zeros(24) + [0x7E] + be32(0)
    let configuration = [7] + be32(2) + Array("pc".utf8)
    return [
      zeros(8) + Array("QEVM".utf8) + be32(3) + configuration + section + [0],
      zeros(8) + Array("QEVM".utf8) + be32(3) + section + section + [0] + zeros(5),
    ]
  }()
}

/// The sections of a device model's state lie in order within the body.
private func qemu(_ bytes: [UInt8]) throws {
  let layout = BodySchema(RecordType.emulatorContext, body: bytes, BodyContext())
  for slot in layout.slots(in: bytes).prefix(64) { _ = layout.value(of: slot, in: bytes) }
  guard let state = QEMUState(bytes, from: min(8, bytes.count)) else { return }
  var end = 0
  for section in state.sections {
    try demand(
      section.range.lowerBound >= end && section.range.upperBound <= bytes.count
        && section.data.lowerBound >= section.range.lowerBound
        && section.data.upperBound <= section.range.upperBound, "sections overlap: \(section)")
    end = section.range.upperBound
  }
  try demand(state.end.upperBound == bytes.count, "\(state.end)")
}

private let cpuSeeds: [[UInt8]] = [
  [0] + StreamBuilder.vcpu(width: 8), [1] + StreamBuilder.vcpu(width: 4), [2] + zeros(1032),
  [3] + le64(7, 7) + zeros(576), [4] + le32(0xD, 2, 256, 576, 0, 0),
]

/// Registers, XSAVE areas and CPUID leaves.
private func cpuState(_ input: [UInt8]) throws {
  guard let first = input.first else { return }
  let body = Array(input.dropFirst())
  switch first % 5 {
  case 0, 1:
    _ = VCPU(pvBasic: le32(0, 0) + body, first & 8 == 0 ? .little : .big)
    _ = VCPU(pvBasic: body, .little)
  case 2: _ = VCPU(hvm: body, instance: Int(first))
  case 3:
    guard body.count >= 8 else { return }
    let mask = body.load(0, as: UInt64.self)
    let leaves = CPUIDLeaf.all(in: Array(body.dropFirst(8)), BodyContext())
    let components = CPUIDFeatures.xstateComponents(fromCPUIDLeaves: leaves)
    _ = X86XState.byteCount(mask: mask, components: components)
    let fields = X86XState.fields(components: components)
    let layout = BodySchema(fields, BodyContext())
    for slot in layout.slots(in: body).prefix(32) { _ = layout.value(of: slot, in: body) }
  default:
    for leaf in CPUIDLeaf.all(in: body, BodyContext()).prefix(64) {
      for register in CPUIDFeatures.Register.allCases {
        _ = CPUIDFeatures.names(leaf: leaf.leaf, subleaf: leaf.subleaf, register: register)
      }
    }
  }
}

private let headerSeeds: [[UInt8]] = HeaderKind.allCases.enumerated().map {
  [UInt8($0)] + zeros($1.byteCount)
}

/// The rows of every header.
private func headers(_ input: [UInt8]) throws {
  guard let first = input.first else { return }
  let kinds = HeaderKind.allCases
  let kind = kinds[Int(first) % kinds.count]
  var body = Array(input.dropFirst())
  _ = Container(body)
  guard body.count >= kind.byteCount else { return }
  let layout = BodySchema(kind.fields, BodyContext(order: first & 128 == 0 ? .little : .big))
  for slot in layout.slots(in: body) {
    let value = layout.value(of: slot, in: body)
    let before = body
    if (try? slot.set(value, in: &body)) != nil {
      try demand(body == before, "\(kind).\(slot.path): set to its own value changes the header")
    }
  }
}
