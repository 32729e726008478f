// The state of a saved domain by name: img.vcpu, img.hvm_params, img.cpuid.

internal import SystemIO
internal import Bytes
package import Format
internal import ImageCheck
internal import ImageEdit
package import LuaRuntime
package import Pages
package import Reports
internal import Stream
internal import Terminal

/// The vCPUs of an image, by their numbers.
package final class LuaVCPUs {
  let image: LuaImage
  package init(_ image: LuaImage) { self.image = image }

  /// Numbers of the vCPUs that have a state, ascending.
  package func ids() throws -> [Int] {
    let document = try image.document()
    var found: Set<Int> = []
    if document.index.end.guest == .x86HVM {
      if let context = try image.first(.hvmContext) {
        for slot in try context.collection().children() where slot.field.name == "CPU" {
          found.insert(FieldNode(context, slot).instance ?? 0)
        }
      }
    } else {
      for recordIndex in document.indexes(where: \.hasPVRegisters) {
        if let id = try image.vcpuID(recordIndex) { found.insert(id) }
      }
    }
    return found.sorted()
  }

  /// A vCPU by its entry of HVM_CONTEXT.
  static func vcpu(_ image: LuaImage?, _ id: Int, _ context: LuaRecord) -> LuaVCPU? {
    guard let slot = context.fieldLayout.find("CPU[\(id)]", in: context.fieldBytes) else {
      return nil
    }
    return LuaVCPU(image, id, [(context, FieldNode(context, slot))])
  }

  package func vcpu(_ id: Int) throws -> LuaVCPU? {
    let document = try image.document()
    if document.index.end.guest == .x86HVM {
      guard let context = try image.first(.hvmContext) else { return nil }
      return LuaVCPUs.vcpu(image, id, context)
    }
    guard let recordIndex = try image.vcpuRecord(id) else { return nil }
    let record = try image.record(recordIndex)
    return LuaVCPU(image, id, LuaVCPU.places(record))
  }

  /// A line for each vCPU: where it is.
  package func overview(_ textStyle: TextStyle) throws -> String {
    var lines: [String] = []
    for id in try ids() {
      guard let vcpu = try vcpu(id) else { continue }
      lines.append(
        textStyle.key("vCPU \(id)") + "  "
          + vcpu.cells(["rip", "rsp", "cr3"], textStyle).joined(separator: "  "))
    }
    return lines.isEmpty ? "no vCPUs" : lines.joined(separator: "\n")
  }

  static var table: LuaClass<LuaVCPUs> {
    var table = LuaClass<LuaVCPUs>(
      "VCPUs", "The vCPUs of an image, by number from 0; # counts them.",
      [
        .method("each", "(): fun(): integer, VCPU", "Iterates over numbers and vCPUs.") {
          vcpus, frame in
          let ids = try vcpus.ids()
          // Of an HVM guest all of them are in one record.
          let context =
            try vcpus.image.document().index.end.guest == .x86HVM
            ? vcpus.image.first(.hvmContext) : nil
          var next = 0
          frame.push(function: "each") { frame in
            var found: LuaVCPU?
            if next < ids.count {
              found =
                if let context {
                  LuaVCPUs.vcpu(vcpus.image, ids[next], context)
                } else {
                  try vcpus.vcpu(ids[next])
                }
            }
            guard let vcpu = found else {
              frame.pushNil()
              return 1
            }
            frame.push(ids[next])
            frame.push(object: vcpu)
            next += 1
            return 2
          }
          return 1
        }
      ])
    table.index = { vcpus, frame in
      if let vcpu = try vcpus.vcpu(try frame.integer(2, in: 0...65535)) {
        frame.push(object: vcpu)
      } else {
        frame.pushNil()
      }
      return 1
    }
    table.length = { vcpus, frame in
      frame.push(try vcpus.ids().count)
      return 1
    }
    table.toString = { vcpus in
      let count = (try? vcpus.ids().count) ?? 0
      return "\(count) vCPU\(count == 1 ? "" : "s")"
    }
    return table
  }
}

/// One vCPU: its registers by the names that Xen's headers give them.
package final class LuaVCPU {
  /// nil for a vCPU of a domain that runs.
  private let image: LuaImage?
  package let id: Int
  /// Where its fields are looked for, in turn.
  private let places: [(owner: LuaRecord, inside: FieldNode?)]

  package init(_ image: LuaImage?, _ id: Int, _ places: [(owner: LuaRecord, inside: FieldNode?)]) {
    self.image = image
    self.id = id
    self.places = places
  }

  /// Those of a PV guest: the record, and the registers in it.
  package static func places(_ record: LuaRecord) -> [(owner: LuaRecord, inside: FieldNode?)] {
    let registers = record.fieldLayout.find("user_regs", in: record.fieldBytes)
    return [(record, nil)] + (registers.map { [(record, FieldNode(record, $0))] } ?? [])
  }

  /// The guest's memory as the image holds it.
  package func memory() throws -> GuestMemory {
    guard let image else {
      throw XensaveError(.usage, "virtual addresses are read in saved domains only")
    }
    return try image.memory()
  }

  private func find(_ name: String) throws -> (LuaRecord, FieldLocation) {
    var problem: any Error = LuaError("vCPU \(id) has no state")
    for (owner, inside) in places {
      do {
        guard let inside else { return (owner, try owner.slot(name)) }
        return (owner, try owner.slot(name, inside: try inside.place()))
      } catch { problem = error }
    }
    throw problem
  }

  /// The place of a register; nil where there is none of the name.
  package func place(_ name: String) -> (owner: any FieldOwner, slot: FieldLocation)? {
    (try? find(name)).map { ($0.0, $0.1) }
  }

  /// The fields that registers are looked for in, for completion.
  package func slots() -> [FieldLocation] {
    places.flatMap { owner, inside in
      inside.map { (try? $0.children()) ?? [] } ?? owner.fieldLayout.slots(in: owner.fieldBytes)
    }
  }

  /// Registers with their names, those that there are.
  func cells(_ names: [String], _ textStyle: TextStyle) -> [String] {
    names.compactMap { name in
      guard let (owner, slot) = try? find(name),
        case .unsigned(let value) = slot.value(in: owner.fieldBytes)
      else { return nil }
      let gap = String(repeating: " ", count: max(1, 7 - name.count))
      return textStyle.key(name) + gap + value.hex(2 * slot.byteCount)
    }
  }

  /// The general and control registers, as many a line as there is room for.
  package func overview(_ textStyle: TextStyle, width: Int) -> String {
    let names =
      ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"] + (8...15).map { "r\($0)" }
      + ["rip", "rflags", "cr0", "cr2", "cr3", "cr4"]
      + ["eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip", "eflags"]
    let cells = cells(names, textStyle)
    // Seven for the name, 18 for a value of eight bytes, two between.
    let count = max(1, width / 27)
    let lines = stride(from: 0, to: cells.count, by: count).map { start in
      "  " + cells[start..<min(start + count, cells.count)].joined(separator: "  ")
    }
    return (["vCPU \(id)"] + lines).joined(separator: "\n")
  }

  package static var table: LuaClass<LuaVCPU> {
    var table = LuaClass<LuaVCPU>(
      "VCPU",
      "The registers of a vCPU by their names in Xen's headers: of HVM guests those of "
        + "struct hvm_hw_cpu, of PV guests those of vcpu_guest_context and its user_regs.",
      [.property("id", "integer", "The vCPU's number.") { vcpu, frame in frame.push(vcpu.id) }]
        + memoryMethods)
    table.index = { vcpu, frame in
      let (owner, slot) = try vcpu.find(try frame.string(2))
      owner.push(slot, frame)
      return 1
    }
    table.newIndex = { vcpu, frame in
      let (owner, slot) = try vcpu.find(try frame.string(2))
      try owner.assign(slot, frame, 3)
      return 0
    }
    table.toString = { "vCPU \($0.id)" }
    return table
  }
}

/// HVM parameters by name.
package final class LuaParams {
  let record: LuaRecord
  package init(_ record: LuaRecord) { self.record = record }

  /// The names of those that are there.
  package var names: [String] { elements.compactMap { HVMParams.names[$0.index] } }

  private var elements: [(index: UInt64, value: UInt64)] {
    let (bytes, order) = (record.fieldBytes, record.record.context.order)
    return (0..<count).map { position in
      (
        bytes.load(8 + 16 * position, as: UInt64.self, order),
        bytes.load(16 + 16 * position, as: UInt64.self, order)
      )
    }
  }

  /// The place of a parameter's value; nil where it is not there.
  package func place(_ name: String) -> (owner: any FieldOwner, slot: FieldLocation)? {
    guard let index = HVMParams.index(of: name),
      let position = position(index),
      let slot = record.fieldLayout.find("param[\(position)].value", in: record.fieldBytes)
    else { return nil }
    return (record, slot)
  }

  /// A line for each parameter.
  package func overview(_ textStyle: TextStyle) -> String {
    let rows = elements.map { ("\(HVMParams.names[$0.index] ?? "") [\($0.index)]", $0.value) }
    let column = (rows.map(\.0.count).max() ?? 0) + 2
    return rows.isEmpty
      ? "no HVM parameters"
      : rows.map { name, value in
        textStyle.key(name) + String(repeating: " ", count: column - name.count) + value.hex()
      }.joined(separator: "\n")
  }

  private func parameterIndex(_ frame: LuaFrame) throws -> UInt64 {
    if frame.type(2) == .number { return UInt64(bitPattern: try frame.integer(2)) }
    let name = try frame.string(2)
    guard let index = HVMParams.index(of: name) else {
      throw LuaError(
        "no HVM parameter '\(name)'" + didYouMean(name, among: Array(HVMParams.names.values)))
    }
    return index
  }

  /// The last element with this number: a restore takes them in turn. There are as many as the body
  /// holds, whatever its count says.
  private func position(_ index: UInt64) -> Int? {
    let (bytes, order) = (record.fieldBytes, record.record.context.order)
    return (0..<count).last { bytes.load(8 + 16 * $0, as: UInt64.self, order) == index }
  }

  /// Elements that are there.
  private var count: Int {
    let bytes = record.fieldBytes
    guard bytes.count >= 8 else { return 0 }
    let claimed = Int(bytes.load(0, as: UInt32.self, record.record.context.order))
    return min(claimed, (bytes.count - 8) / 16)
  }

  static var table: LuaClass<LuaParams> {
    var table = LuaClass<LuaParams>(
      "HVMParams",
      "HVM parameters by name (STORE_PFN or HVM_PARAM_STORE_PFN) or number. What is not in the image "
        + "is nil; assigning adds it, nil removes it.", [])
    table.index = { params, frame in
      try params.record.checkValid()
      if let position = params.position(try params.parameterIndex(frame)) {
        frame.push(
          params.record.fieldBytes.load(
            16 + 16 * position, as: UInt64.self, params.record.record.context.order))
      } else {
        frame.pushNil()
      }
      return 1
    }
    table.newIndex = { params, frame in
      let index = try params.parameterIndex(frame)
      let order = params.record.record.context.order
      var bytes = params.record.fieldBytes
      let count = params.count
      guard bytes.count >= 8 else {
        throw LuaError("HVM_PARAMS: expected at least 8 bytes, got \(bytes.count)")
      }
      switch (params.position(index), frame.isMissing(3)) {
      case (let position?, true):
        bytes.removeSubrange(8 + 16 * position..<24 + 16 * position)
        bytes.store(0, UInt32(count - 1), order)
      case (let position?, false):
        bytes.store(16 + 16 * position, UInt64(bitPattern: try frame.integer(3)), order)
      case (nil, true): return 0
      case (nil, false):
        var element: [UInt8] = []
        element.append(integer: index, order)
        element.append(integer: UInt64(bitPattern: try frame.integer(3)), order)
        bytes.insert(contentsOf: element, at: 8 + 16 * count)
        bytes.store(0, UInt32(count + 1), order)
      }
      try params.record.setFieldBytes(bytes)
      return 0
    }
    table.length = { params, frame in
      frame.push(params.count)
      return 1
    }
    table.toString = { "\($0.count) HVM parameters" }
    return table
  }
}

/// What CPUID tells the guest.
package final class LuaCPUID {
  let record: LuaRecord
  package init(_ record: LuaRecord) { self.record = record }

  /// The leaves that say something, and the names of the features.
  package func overview(_ textStyle: TextStyle, width: Int) -> String {
    let all = leaves()
    let said = all.filter { leaf in
      CPUIDFeatures.Register.allCases.contains { leaf[$0] != 0 }
    }
    let names = said.map { leaf in
      leaf.leaf.hex() + (leaf.subleaf == CPUIDLeaf.noSubleaf ? "" : ",\(leaf.subleaf)")
    }
    let column = (names.map(\.count).max() ?? 0) + 2
    var lines = zip(said, names).map { leaf, name in
      textStyle.key(name) + String(repeating: " ", count: column - name.count)
        + CPUIDFeatures.Register.allCases.map { register in
          "\(register.rawValue) " + leaf[register].hex(8).dropFirst(2)
        }.joined(separator: "  ")
    }
    if all.count > said.count { lines.append("and \(all.count - said.count) leaves of zeros") }
    let features = features()
    lines.append(textStyle.title("\(features.count) features"))
    lines.append(wrapped(features.joined(separator: " "), indent: 2, width: width))
    while lines.last?.hasSuffix("\n") == true { lines[lines.count - 1].removeLast() }
    return lines.joined(separator: "\n")
  }

  /// The names of all features that are there, sorted.
  func features() -> [String] {
    // Of leaves that stand twice, the first one counts, as in `place`.
    let leaves = leaves()
    let names = CPUIDFeatures.all.filter { bit in
      guard case .cpuid(let leaf, let subleaf, let register) = bit.place,
        let found = leaves.first(where: {
          $0.leaf == leaf && ($0.subleaf == subleaf || $0.subleaf == .max)
        })
      else { return false }
      return UInt64(found[register]) & bit.mask != 0
    }.map(\.name)
    return Set(names).sorted()
  }

  private func leaves() -> [CPUIDLeaf] {
    CPUIDLeaf.all(in: record.fieldBytes, record.record.context)
  }

  private func position(_ leaf: UInt32, _ subleaf: UInt32?) -> Int? {
    leaves().firstIndex {
      $0.leaf == leaf && (subleaf == nil || $0.subleaf == subleaf || $0.subleaf == .max)
    }
  }

  /// The element and register of a feature bit; nil where the policy has no such leaf.
  private func place(_ bit: CPUIDFeatures.Bit) -> String? {
    guard case .cpuid(let leaf, let subleaf, let register) = bit.place,
      let position = position(leaf, subleaf)
    else { return nil }
    return "leaf[\(position)].\(register.rawValue)"
  }

  private static func bit(_ frame: LuaFrame) throws -> CPUIDFeatures.Bit {
    let name = try frame.string(2)
    return try CPUIDFeatures.require(name)
  }

  static var table: LuaClass<LuaCPUID> {
    var table = LuaClass<LuaCPUID>(
      "CPUID", "The CPUID policy of an image: leaves, and feature bits by Xen's names.",
      [
        .method(
          "leaf", "(leaf: integer, subleaf?: integer): Fields?",
          "A leaf with its registers a, b, c, d (eax, ebx, ecx, edx are the same), or nil.",
          example: "print(xs.hex(img.cpuid:leaf(7, 0).ebx))"
        ) { cpuid, frame in
          try cpuid.record.checkValid()
          let leaf = UInt32(try frame.integer(2, in: 0...0xFFFF_FFFF))
          let subleaf = frame.isMissing(3) ? nil : UInt32(try frame.integer(3, in: 0...0xFFFF_FFFF))
          guard let position = cpuid.position(leaf, subleaf) else {
            frame.pushNil()
            return 1
          }
          cpuid.record.push(try cpuid.record.slot("leaf[\(position)]"), frame)
          return 1
        },
        .method(
          "has", "(name: string): boolean", "Whether a feature is there.",
          example: "if img.cpuid:has \"avx512f\" then print \"needs AVX-512\" end"
        ) { cpuid, frame in
          let bit = try bit(frame)
          let word = cpuid.place(bit).flatMap { cpuid.record.record.unsigned($0) } ?? 0
          frame.push(word & bit.mask != 0)
          return 1
        },
        .method(
          "set", "(name: string, on: boolean): boolean",
          "Gives the guest a feature or takes it away. False where the policy has no such leaf.",
          example: "img.cpuid:set(\"avx2\", false)"
        ) { cpuid, frame in
          let bit = try bit(frame)
          guard let place = cpuid.place(bit), let word = cpuid.record.record.unsigned(place) else {
            frame.push(false)
            return 1
          }
          let changed = frame.boolean(3) ? word | bit.mask : word & ~bit.mask
          var bytes = cpuid.record.fieldBytes
          let slot = try cpuid.record.slot(place)
          try slot.set(.unsigned(changed), in: &bytes)
          try cpuid.record.setFieldBytes(bytes)
          frame.push(true)
          return 1
        },
        .method("features", "(): string[]", "The names of all features that are there, sorted.") {
          cpuid, frame in
          frame.push(LuaValue.list(cpuid.features().map { .text($0) }))
          return 1
        },
        .property("record", "Record", "The X86_CPUID_POLICY record itself.") { cpuid, frame in
          frame.push(object: cpuid.record)
        },
      ])
    table.toString = {
      "CPUID policy of \($0.leaves().count) leaves, \($0.features().count) features"
    }
    return table
  }
}

/// The functions of xs.cpuid: feature names without an image.
func cpuidFunctions() -> [LuaModuleFunction] {
  [
    LuaModuleFunction(
      "xs.cpuid", "bit", "(name: string): table",
      "Where a feature is: leaf, subleaf (nil where there are none), register \"a\" to \"d\", bit, "
        + "mask; or msr, bit, mask.",
      example: "xs.cpuid.bit(\"avx2\").leaf  --> 7"
    ) { frame in
      let name = try frame.string(1)
      let bit = try CPUIDFeatures.require(name)
      var fields: [(name: String, value: LuaValue)] = [
        ("bit", .integer(Int64(bit.bit))), ("mask", .unsigned(bit.mask)),
      ]
      switch bit.place {
      case .cpuid(let leaf, let subleaf, let register):
        fields.append(("leaf", .integer(Int64(leaf))))
        if subleaf != CPUIDLeaf.noSubleaf { fields.append(("subleaf", .integer(Int64(subleaf)))) }
        fields.append(("register", .text(register.rawValue)))
      case .msr(let index): fields.append(("msr", .integer(Int64(index))))
      }
      frame.push(LuaValue.table(fields))
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "names", "(leaf: integer, subleaf: integer?, register: string): table",
      "The names of the features in a register, by bit number.",
      example: "xs.cpuid.names(7, 0, \"b\")[5]  --> avx2"
    ) { frame in
      guard let register = CPUIDFeatures.Register(rawValue: try frame.string(3)) else {
        throw LuaError("expected a register \"a\", \"b\", \"c\" or \"d\"")
      }
      let leaf = UInt32(try frame.integer(1, in: 0...0xFFFF_FFFF))
      let subleaf =
        frame.isMissing(2) ? CPUIDLeaf.noSubleaf : UInt32(try frame.integer(2, in: 0...0xFFFF_FFFF))
      let names = CPUIDFeatures.names(leaf: leaf, subleaf: subleaf, register: register)
      frame.pushTable()
      for (bit, name) in names {
        frame.push(name)
        frame.setElement(bit)
      }
      return 1
    },
    LuaModuleFunction(
      "xs.cpuid", "msr_names", "(msr: integer): table",
      "The names of the features in an MSR, by bit number."
    ) { frame in
      frame.pushTable()
      for (bit, name) in CPUIDFeatures.names(msr: UInt32(try frame.integer(1, in: 0...0xFFFF_FFFF)))
      {
        frame.push(name)
        frame.setElement(bit)
      }
      return 1
    },
  ]
}
