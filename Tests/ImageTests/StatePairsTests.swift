// State of real domains: our names and values against what Xen's own tools print.

import Format
import Stream
import SystemIO
import Testing

@testable import ImageEdit

@Suite struct StatePairsTests {
  private static let folder =
    #filePath.replacing("ImageTests/StatePairsTests.swift", with: "Fixtures/pairs/")

  private static func lines(_ name: String) throws -> [String] {
    let bytes = try Source(opening: folder + name).read(1 << 20)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// One entry of xen-hvmctx's output: type, instance, and its lines as words.
  struct Entry {
    let type: Int
    let instance: Int
    var lines: [[String]] = []
  }

  /// The entries; what stands around numbers is dropped: "(0x0 + 0xfff /" becomes 0x0, 0xfff.
  static func toolEntries(_ name: String) throws -> [Entry] {
    var out: [Entry] = []
    for line in try lines(name) {
      let words = line.split(whereSeparator: { " ,()+/:".contains($0) }).map(String.init)
      if words.first == "Entry" {
        let type = try #require(Int(words[3]))
        out.append(Entry(type: type, instance: try #require(Int(words[5]))))
      } else if !out.isEmpty {
        out[out.count - 1].lines.append(words)
      }
    }
    return out
  }

  /// Decimal "0", or hexadecimal with or without 0x, as the tool mixes them.
  static func number(_ word: String) -> UInt64? {
    UInt64(word.hasPrefix("0x") ? String(word.dropFirst(2)) : word, radix: 16)
  }

  struct Facts {
    let document: ImageDocument
    let record: Record

    init(_ guest: String) throws {
      document = try ImageDocument(try Source(opening: folder + guest + ".xlsave"))
      record = try document.record(document.indexes(of: .hvmContext)[0])
    }

    func value(_ path: String) -> UInt64? { record.unsigned(path) }
  }

  /// Holds "name value" pairs of the tool against our fields; gives how many there were.
  static func compare(
    _ facts: Facts, _ pairs: [(field: String, word: String)], _ entry: String
  ) -> Int {
    for (field, word) in pairs {
      let wanted = number(word)
      let got = facts.value("\(entry).\(field)")
      #expect(
        wanted != nil && got == wanted, "\(entry).\(field): \(String(describing: got)), \(word)")
    }
    return pairs.count
  }

  @Test(arguments: ["pvh", "hvm"]) func registersAgreeWithTheTool(guest: String) throws {
    let facts = try Facts(guest)
    let plain: Set<String> = [
      "rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", "r8", "r9", "r10", "r11", "r12",
      "r13",
      "r14", "r15", "rip", "rflags", "cr0", "cr2", "cr3", "cr4", "dr0", "dr1", "dr2", "dr3", "dr6",
      "dr7",
    ]
    let msrs = [
      "efer": "msr_efer", "lstar": "msr_lstar", "cstar": "msr_cstar", "star": "msr_star",
      "sfmask": "msr_syscall_mask", "fcw": "fpu_regs.fcw", "fsw": "fpu_regs.fsw",
      "mxcsr": "fpu_regs.mxcsr",
    ]
    let segments: Set<String> = ["cs", "es", "ds", "fs", "gs", "ss", "tr", "ldtr"]
    var seen = 0
    for entry in try Self.toolEntries(guest + ".hvmctx") where entry.type == 2 {
      let place = "CPU[\(entry.instance)]"
      var pairs: [(String, String)] = []
      for words in entry.lines {
        guard let first = words.first else { continue }
        if first == "sysenter" {
          pairs += [
            ("sysenter_cs", words[2]), ("sysenter_eip", words[4]), ("sysenter_esp", words[6]),
          ]
        } else if first == "shadow" {
          pairs += [("shadow_gs", words[2]), ("msr_efer", words[4])]
        } else if segments.contains(first) {
          for (suffix, word) in zip(["sel", "base", "limit", "arbytes"], words.dropFirst()) {
            pairs.append(("\(first)_\(suffix)", word))
          }
        } else if first == "idtr" || first == "gdtr" {
          pairs += [("\(first)_base", words[1]), ("\(first)_limit", words[2])]
        } else if first.hasPrefix("xmm"), let index = Int(first.dropFirst(3)) {
          // The tool prints the number, we the bytes: the lowest first.
          let slot = try facts.record.layout.slot(
            "\(place).fpu_regs.xmm[\(index)]", in: facts.record.body)
          let bytes = facts.record.body[slot.offset..<slot.offset + slot.byteCount].reversed()
          let digits = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
          #expect("0x" + digits == words[1], "\(place).xmm[\(index)]")
          seen += 1
        } else {
          for (name, word) in zip(words, words.dropFirst()) {
            if let field = plain.contains(name) ? name : msrs[name] { pairs.append((field, word)) }
          }
        }
      }
      // libxl wakes the saved guest with "not restored" in rax; its kernel has not run since.
      if entry.instance == 0 {
        #expect(pairs.first { $0.0 == "rax" }?.1 == "0x0000000000000001")
        #expect(facts.value("\(place).rax") == 0)
        pairs.removeAll { $0.0 == "rax" }
      }
      seen += Self.compare(facts, pairs, place)
    }
    #expect(seen > 2 * 90, "\(seen) values compared")
  }

  @Test(arguments: ["pvh", "hvm"]) func interruptControllersAgreeWithTheTool(guest: String) throws {
    let facts = try Facts(guest)
    var seen = 0
    for entry in try Self.toolEntries(guest + ".hvmctx") {
      switch entry.type {
      case 5:
        let words = entry.lines[0]
        seen += Self.compare(
          facts,
          [
            ("apic_base_msr", words[2]), ("disabled", words[4]), ("timer_divisor", words[6]),
          ], "LAPIC[\(entry.instance)]")
      case 6:
        // Pairs of offset and value. The tool prints them for the first vCPU only.
        let place = "LAPIC_REGS[\(entry.instance)]"
        let slot = try facts.record.layout.slot(place, in: facts.record.body)
        for words in entry.lines.dropFirst() {
          for index in stride(from: 0, to: words.count - 1, by: 2) {
            let offset = slot.offset + Int(try #require(Self.number(words[index])))
            let bytes = facts.record.body[offset..<offset + 4].reversed()
            let value = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            #expect(value == Self.number(words[index + 1]), "\(place) +\(words[index])")
            seen += 1
          }
        }
        guard entry.instance == 0 else { continue }
        let named = [
          0x20: "id", 0x30: "version", 0x80: "tpr", 0xD0: "ldr", 0xE0: "dfr", 0xF0: "svr",
        ]
        for (offset, name) in named {
          let found = try facts.record.layout.slot("\(place).\(name)", in: facts.record.body)
          #expect(found.offset == slot.offset + offset, "\(name)")
        }
      case 14:
        let place = "MTRR[\(entry.instance)]"
        var pairs: [(String, String)] = []
        for words in entry.lines {
          switch words.first {
          case "MTRR":
            pairs += [
              ("msr_pat_cr", words[2]), ("msr_mtrr_cap", words[4]),
              ("msr_mtrr_def_type", words[6]),
            ]
          case "var":
            let index = Int(try #require(Self.number(words[1])))
            pairs += [
              ("msr_mtrr_var[\(2 * index)]", words[2]),
              ("msr_mtrr_var[\(2 * index + 1)]", words[3]),
            ]
          case "fixed":
            pairs.append(
              ("msr_mtrr_fixed[\(try #require(Self.number(words[1])))]", words[2]))
          default: break
          }
        }
        seen += Self.compare(facts, pairs, place)
      case 18:
        seen += Self.compare(
          facts, [("caps", entry.lines[0][2])], "VMCE_VCPU[\(entry.instance)]")
      case 19:
        seen += Self.compare(
          facts, [("tsc_adjust", entry.lines[0][2])], "TSC_ADJUST[\(entry.instance)]")
      case 3:
        let words = entry.lines.flatMap { $0 }
        var pairs: [(String, String)] = [("irq_base", words[3])]
        for (name, word) in zip(words, words.dropFirst())
        where ["irr", "imr", "isr", "elcr", "auto_eoi", "is_master", "int_output"].contains(name) {
          pairs.append((name, word))
        }
        seen += Self.compare(facts, pairs, "PIC[\(entry.instance)]")
      case 4:
        var pairs: [(String, String)] = [("base_address", entry.lines[0][2])]
        for words in entry.lines.dropFirst() {
          pairs.append(("redirtbl[\(Int(words[1])!)]", words[2]))
        }
        seen += Self.compare(facts, pairs, "IOAPIC[0]")
      default: break
      }
    }
    #expect(seen > 150, "\(seen) values compared")
  }

  /// Every entry of the tool is one of ours, in its order, with its length.
  @Test(arguments: ["pvh", "hvm"]) func entriesAgreeWithTheTool(guest: String) throws {
    let facts = try Facts(guest)
    let ours = entries(of: HVMRecords.chain, in: facts.record.body, 0..<facts.record.body.count)
    let theirs = try Self.lines(guest + ".hvmctx").filter { $0.hasPrefix("Entry") }
    #expect(
      ours.enumerated().map {
        "Entry \($0): type \($1.type) instance \($1.instance), length \($1.byteCount)"
      } == theirs)
  }

  @Test(arguments: ["pvh", "hvm"]) func parametersAgreeWithXen(guest: String) throws {
    let facts = try Facts(guest)
    let number = try #require(facts.document.indexes(of: .hvmParams).first)
    let record = try facts.document.record(number)
    var xen: [UInt64: UInt64] = [:]
    for line in try Self.lines(guest + ".params") {
      let words = line.split(separator: " ").map(String.init)
      xen[UInt64(words[0])!] = Self.number(words[1])
    }
    // Names and numbers of xen/include/public/hvm/params.h.
    let names: [(String, UInt64)] = [
      ("STORE_PFN", 1), ("IOREQ_PFN", 5), ("BUFIOREQ_PFN", 6), ("IDENT_PT", 12),
      ("CONSOLE_PFN", 17), ("ACPI_IOPORTS_LOCATION", 19), ("PAGING_RING_PFN", 27),
      ("MONITOR_RING_PFN", 28), ("SHARING_RING_PFN", 29), ("IOREQ_SERVER_PFN", 32),
      ("NR_IOREQ_SERVER_PAGES", 33), ("VM86_TSS_SIZED", 37),
    ]
    var count: UInt64 = 0
    for (name, index) in names {
      // Parameters that are 0 are not saved.
      let mine = record.unsigned("param[\"\(name)\"].value")
      #expect(mine ?? 0 == xen[index], "\(name)")
      if mine != nil { count += 1 }
    }
    #expect(record.unsigned("count") == count)
    #expect(count >= 7)
  }
}
