// Tables against a C compiler's view of Xen's headers (Debian: libxen-dev), where both are there.

import Bytes
import Glibc
import Testing

@testable import Format
import func TestKit.runShell

@Suite(
  .enabled(
    if: XenHeaders.areInstalled,
    "needs a C compiler called cc and the headers of libxen-dev in /usr/include/xen"))
struct XenHeadersTests {
  /// Tables and the C type that they describe.
  static let types: [(table: String, type: String, fields: [Field], byteCount: Int)] = [
    ("context64", "struct vcpu_guest_context_x86_64", X86PVState.context64, 5168),
    ("context32", "struct vcpu_guest_context_x86_32", X86PVState.context32, 2800),
    ("extended", "struct xen_domctl_ext_vcpucontext", X86PVState.extended, 64),
    ("sharedInfo64", "struct shared_info_x86_64", X86PVState.sharedInfo64, 3136),
    ("sharedInfo32", "struct shared_info_x86_32", X86PVState.sharedInfo32, 2344),
    ("startInfo64", "struct start_info_x86_64", X86PVState.startInfo64, 1168),
    ("startInfo32", "struct start_info_x86_32", X86PVState.startInfo32, 1112),
    ("CPU 1016", "struct hvm_hw_cpu_compat", HVMRecords.cpu.fields(byteCount: 1016), 1016),
    ("CPU_XSAVE", "struct hvm_hw_cpu_xsave", X86XState.hvmFields, 600),
    ("MSR", "struct hvm_msr", HVMRecords.cpuMSR.fields, 8 + 16),
    (
      "CPUID", "struct xen_cpuid_leaf_array { xen_cpuid_leaf_t leaf[1]; }",
      LibxcRecords.x86CPUIDPolicy.forms[0].fields, 24
    ),
  ]

  /// What C does not name as the tables do: FXSAVE areas, which are opaque there, bytes after a
  /// table, bit-fields, and members that 4.17's headers do not have yet.
  static let unnamed = [
    "fpu_ctxt.", "fpu_regs.", "fpu_sse.", "save_area.components", "excess",
  ]

  @Test func offsetsAndSizes() throws {
    var program = XenHeaders.prelude
    var expected: [String] = []
    for (table, type, fields, byteCount) in Self.types {
      let name = type.split(separator: " ").prefix(2).joined(separator: " ")
      if type.contains("{") { program.declarations += type + ";\n" }
      program.print("\(table) sizeof", "sizeof(\(name))")
      expected.append("\(table) sizeof \(table == "MSR" ? 8 : byteCount)")
      let layout = BodySchema(fields, BodyContext())
      let body = [UInt8](repeating: 1, count: byteCount)
      layout.walk(body) { leaf in
        guard let path = Self.path(inC: leaf.path) else { return }
        program.print("\(table) \(leaf.path)", "offsetof(\(name), \(path))")
        expected.append("\(table) \(leaf.path) \(leaf.offset)")
        program.print("\(table) \(leaf.path) bytes", "sizeof(((\(name) *)0)->\(path))")
        expected.append("\(table) \(leaf.path) bytes \(leaf.byteCount)")
      }
    }
    #expect(expected.count > 4000)
    compare(try program.run(), expected)
  }

  /// Devices of HVM_CONTEXT: number and length of each type, offsets of its members.
  @Test func savedTypes() throws {
    var program = XenHeaders.prelude
    var expected: [String] = []
    for entry in HVMRecords.all where entry.type != 0 && !entry.lengths.isEmpty {
      program.print("\(entry.name) code", "HVM_SAVE_CODE(\(entry.name))")
      expected.append("\(entry.name) code \(entry.type)")
      // The headers may be older than the tables.
      program.print("\(entry.name) bytes", "HVM_SAVE_LENGTH(\(entry.name))")
      let layout = BodySchema(entry.fields, BodyContext())
      let body = [UInt8](repeating: 1, count: Field.fixedByteCount(of: entry.fields) ?? 0)
      layout.walk(body) { leaf in
        guard let path = Self.path(inC: leaf.path), leaf.path != "init", leaf.path != "mode",
          leaf.path != "pending_esr", entry.name != "LAPIC_REGS"
        else { return }
        program.print(
          "\(entry.name) \(leaf.path)", "offsetof(HVM_SAVE_TYPE(\(entry.name)), \(path))")
        expected.append("\(entry.name) \(leaf.path) \(leaf.offset)")
      }
    }
    let lines = try program.run()
    compare(lines.filter { !$0.contains(" bytes ") }, expected)
    for line in lines where line.contains(" bytes ") {
      let words = line.split(separator: " ")
      let entry = try #require(HVMRecords.all.first { $0.name == words[0] })
      #expect(entry.lengths.map(String.init).contains(String(words[2])), "\(line)")
    }
  }

  /// The path of C's member for a place of a table; nil where C has no such member.
  private static func path(inC path: String) -> String? {
    if unnamed.contains(where: { path.contains($0) }) { return nil }
    guard let last = path.split(separator: ".").last else { return nil }
    // C names some padding itself; the numbers of the others are the tables' own.
    if last.hasPrefix("_"), last != "_rsvd" { return nil }
    return path
  }

  @Test func features() throws {
    var program = XenHeaders.prelude
    program.declarations += """
      struct feature { const char *name; unsigned value; };
      #define XEN_CPUFEATURE(name, value) { #name, value },
      static const struct feature features[] = {
      #include <xen/arch-x86/cpufeatureset.h>
      };

      """
    program.statements += """
        for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++)
          printf("%s %u\\n", features[i].name, features[i].value);

      """
    let lines = try program.run()
    #expect(lines.count > 200)
    for line in lines {
      let words = line.split(separator: " ")
      let bit = try #require(CPUIDFeatures.bit(named: String(words[0])), "\(line)")
      let value = try #require(Int(words[1]))
      #expect(bit.bit == (bit.place == .msr(0x10A) ? value - 16 * 32 : value % 32), "\(line)")
      #expect(Self.words[bit.place] == value / 32 || bit.place == .msr(0x10A), "\(line)")
    }
  }

  /// Xen's numbers of the feature words.
  static let words: [CPUIDFeatures.Place: Int] = [
    .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .d): 0,
    .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .c): 1,
    .cpuid(leaf: 0x8000_0001, subleaf: CPUIDLeaf.noSubleaf, .d): 2,
    .cpuid(leaf: 0x8000_0001, subleaf: CPUIDLeaf.noSubleaf, .c): 3,
    .cpuid(leaf: 0xD, subleaf: 1, .a): 4, .cpuid(leaf: 7, subleaf: 0, .b): 5,
    .cpuid(leaf: 7, subleaf: 0, .c): 6,
    .cpuid(leaf: 0x8000_0007, subleaf: CPUIDLeaf.noSubleaf, .d): 7,
    .cpuid(leaf: 0x8000_0008, subleaf: CPUIDLeaf.noSubleaf, .b): 8,
    .cpuid(leaf: 7, subleaf: 0, .d): 9, .cpuid(leaf: 7, subleaf: 1, .a): 10,
    .cpuid(leaf: 0x8000_0021, subleaf: CPUIDLeaf.noSubleaf, .a): 11,
    .cpuid(leaf: 7, subleaf: 1, .b): 12, .cpuid(leaf: 7, subleaf: 2, .d): 13,
    .cpuid(leaf: 7, subleaf: 1, .c): 14, .cpuid(leaf: 7, subleaf: 1, .d): 15,
    .cpuid(leaf: 0x8000_0021, subleaf: CPUIDLeaf.noSubleaf, .c): 18,
  ]

  private func compare(_ lines: [String], _ expected: [String]) {
    #expect(lines.count == expected.count)
    for (line, wanted) in zip(lines, expected) where line != wanted {
      Issue.record("C has \(line), the table \(wanted)")
    }
  }
}

/// A C program that includes Xen's headers and prints numbers.
struct XenHeaders {
  var declarations: String
  var statements = ""

  static var prelude: XenHeaders {
    XenHeaders(
      declarations: """
        #define __XEN_TOOLS__ 1
        #include <stddef.h>
        #include <stdint.h>
        #include <stdio.h>
        #include <xen/xen.h>
        #include <xen/domctl.h>
        #include <xen/foreign/x86_64.h>
        #include <xen/foreign/x86_32.h>
        #include <xen/hvm/save.h>

        """)
  }

  static let areInstalled =
    unsafe access("/usr/include/xen/hvm/save.h", R_OK) == 0
    && access("/usr/include/xen/foreign/x86_32.h", R_OK) == 0
    && runShell("command -v cc >/dev/null 2>&1") == 0

  mutating func print(_ label: String, _ expression: String) {
    statements += "  printf(\"%s %zu\\n\", \"\(label)\", (size_t)(\(expression)));\n"
  }

  struct Failed: Error, CustomStringConvertible { let description: String }

  /// Compiles and runs the program; the lines that it prints.
  func run() throws -> [String] {
    var name = Array("/tmp/xensave-lua-headers.XXXXXX".utf8CString)
    guard unsafe mkdtemp(&name) != nil else { throw Failed(description: "mkdtemp failed") }
    let folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { runShell("rm -r '\(folder)'") }
    let source = declarations + "int main(void)\n{\n" + statements + "  return 0;\n}\n"
    guard let file = unsafe fopen(folder + "/t.c", "w") else {
      throw Failed(description: "cannot write \(folder)/t.c")
    }
    unsafe fputs(source, file)
    unsafe fclose(file)
    let command = "cd '\(folder)' && cc -w -O0 -o t t.c && ./t"
    guard let pipe = unsafe popen(command, "r") else { throw Failed(description: "popen failed") }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe fread(&buffer, 1, buffer.count, pipe)
      if count == 0 { break }
      output += buffer[..<count]
    }
    guard unsafe pclose(pipe) == 0 else { throw Failed(description: "the C program failed") }
    return String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}
