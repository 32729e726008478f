// What the tests of this target share: seeds, all tables with a length, and fixtures.

import Bytes
import Glibc
import Testing

import struct TestKit.Seed

@testable import Format

/// Rows and a length of body that they are for.
struct Table: Sendable, CustomTestStringConvertible {
  let name: String
  let fields: [Field]
  let byteCount: Int
  var context = BodyContext()

  var testDescription: String { "\(name) of \(byteCount)" }
  func layout() -> BodySchema { BodySchema(fields, context) }

  /// Bytes that the rows describe: random, but with what steers the interpreter in place.
  func body(_ random: inout Seed) -> [UInt8] {
    var body = random.bytes(byteCount)
    if fields.contains(where: \.usesCount), let slot = layout().find("count", in: body) {
      body.set(unsigned: UInt64(byteCount / 8), at: slot.offset, width: 4, slot.order)
    }
    return body
  }
}

extension Field {
  fileprivate var usesCount: Bool {
    if case .array(_, .field("count")) = kind { true } else { false }
  }
}

extension Table {
  static let customary = BodyContext(xstate: X86XState.customary)

  static let pv: [Table] = [
    Table(name: "context64", fields: X86PVState.context64, byteCount: 5168),
    Table(name: "context32", fields: X86PVState.context32, byteCount: 2800),
    Table(name: "extended", fields: X86PVState.extended, byteCount: 64),
    Table(name: "extended", fields: X86PVState.extended, byteCount: 56),
    Table(name: "extended", fields: X86PVState.extended, byteCount: 128),
    Table(name: "sharedInfo64", fields: X86PVState.sharedInfo64, byteCount: 4096),
    Table(name: "sharedInfo32", fields: X86PVState.sharedInfo32, byteCount: 4096),
    Table(name: "startInfo64", fields: X86PVState.startInfo64, byteCount: 1168),
    Table(name: "startInfo32", fields: X86PVState.startInfo32, byteCount: 1112),
    Table(name: "PV xsave", fields: X86XState.pvFields, byteCount: 16),
    Table(name: "PV xsave", fields: X86XState.pvFields, byteCount: 848),
    Table(name: "PV xsave", fields: X86XState.pvFields, byteCount: 848, context: customary),
    Table(name: "PV xsave", fields: X86XState.pvFields, byteCount: 2712, context: customary),
  ]

  /// Every entry of HVM_CONTEXT in every length that a release has written.
  static let hvm: [Table] =
    HVMRecords.all.flatMap { entry in
      entry.lengths.map {
        Table(name: entry.name, fields: entry.fields(byteCount: $0), byteCount: $0)
      }
    } + [
      Table(name: "CPU_XSAVE", fields: X86XState.hvmFields, byteCount: 600),
      Table(name: "CPU_XSAVE", fields: X86XState.hvmFields, byteCount: 856, context: customary),
      Table(name: "CPU_MSR", fields: HVMRecords.cpuMSR.fields, byteCount: 8 + 3 * 16),
    ]

  /// The records of both layers, without the chain and the keys, which have tests of their own.
  static let records: [Table] = RecordSchemas.all.flatMap { layout -> [Table] in
    let lengths: [Int] =
      switch layout.length {
      case .exactly(let count): [count]
      case .atLeast(let count): [count, count + 40]
      case .elements(let base, let step, _): [base + step, base + 5 * step]
      }
    guard layout.type != .hvmContext, layout.type != .emulatorXenstoreData else { return [] }
    return lengths.map {
      Table(
        name: layout.name, fields: layout.fields(byteCount: $0, guestWidth: 8), byteCount: $0)
    }
  }

  static let plain: [Table] = pv + hvm + records

  /// All tables in both byte orders.
  static let all: [Table] = plain.flatMap { table -> [Table] in
    var swapped = table
    swapped.context.order = .big
    return [table, swapped]
  }
}

/// Files of Tests/Fixtures.
enum Fixture {
  static let folder =
    #filePath.split(separator: "/", omittingEmptySubsequences: false)
    .dropLast(2).joined(separator: "/") + "/Fixtures/"

  /// The bytes of a file, for example "records/hvm-context.bin".
  static func read(_ name: String) throws -> [UInt8] {
    let path = folder + name
    guard let file = unsafe fopen(path, "r") else { throw Missing(path: path) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe fread(&buffer, 1, buffer.count, file)
      if count == 0 { return bytes }
      bytes += buffer[..<count]
    }
  }

  struct Missing: Error { let path: String }
}
