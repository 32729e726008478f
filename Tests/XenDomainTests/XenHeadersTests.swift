// Our declarations of Xen's libraries against Xen's own headers, where those are installed.

import Glibc
import Testing
import func TestKit.runShell

@Suite(
  .enabled(
    if: access("/usr/include/xenguest.h", R_OK) == 0 && FakeXen.hasCompiler,
    "needs a C compiler called cc and libxen-dev"))
struct XenHeadersTests {
  static let declarations =
    #filePath.replacing(
      "Tests/XenDomainTests/XenHeadersTests.swift", with: "Sources/CXen/xen_abi.h")
  static let headers = """
    #define _GNU_SOURCE
    #include <stdio.h>
    #include <xenctrl.h>
    #include <xenguest.h>
    #include <xenforeignmemory.h>
    #include <xenstore.h>

    """

  func run(_ program: String) throws -> String {
    var template = Array("/tmp/xensave-lua-headers.XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { runShell("rm -r '\(folder)'") }
    let file = try #require(fopen(folder + "/t.c", "w"))
    fputs(program, file)
    fclose(file)
    let pipe = try #require(popen("cd '\(folder)' && cc -w -std=gnu11 t.c -o t 2>&1 && ./t", "r"))
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 {
      text += buffer[..<count]
    }
    let status = pclose(pipe)
    let output = String(decoding: text, as: UTF8.self)
    #expect(status == 0, "\(output)")
    return output
  }

  /// The release of the installed headers.
  func minor() throws -> Int {
    // __XEN_LATEST_INTERFACE_VERSION__ stands at 4.14 since: the name of the library says it.
    let pipe = try #require(
      popen("readlink /usr/lib/*-linux-gnu/libxenctrl.so | sed 's/.*[.]//'", "r"))
    var digits = [CChar](repeating: 0, count: 16)
    fgets(&digits, Int32(digits.count), pipe)
    pclose(pipe)
    let text = String(
      decoding: digits.prefix { $0 > 32 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return try #require(Int(text, radix: 10))
  }

  /// Each function's prototype is that of the headers.
  @Test func prototypes() throws {
    let minor = try minor()
    let program =
      Self.headers + """
        #define CXEN_AGAINST_HEADERS
        #include "\(Self.declarations)"
        /* Exported, but in no header. */
        int xc_get_pfn_type_batch(xc_interface *, uint32_t, unsigned, xen_pfn_t *);
        #define IS(first, last) (\(minor) >= first && \(minor) <= last)
        #define X(library, field, symbol, first, last, result, parameters) \\
          if (IS(first, last)) { \\
            n++; \\
            if (!__builtin_types_compatible_p(__typeof__(&symbol), result(*) parameters)) \\
              printf("%s is not " #result " " #parameters "\\n", #symbol); }
        #define X_(...) X(__VA_ARGS__)
        /* Not in these headers: other releases' functions. */
        #if !IS(14, 15)
        int absent;
        #define xc_get_cpu_policy_size absent
        #define xc_get_domain_cpu_policy absent
        #define xc_get_system_cpu_policy absent
        #endif
        int main(void) { int n = 0; CXEN_FUNCTIONS(X_) printf("%d", n); }
        """
    // 43 rows, of which 4.16 and later do not have four.
    #expect(try run(program) == "39")
  }

  /// Sizes and offsets of what is passed in memory.
  @Test func layouts() throws {
    let fields: [(type: String, fields: [String])] = [
      ("xentoollog_logger", ["vmessage", "progress", "destroy"]),
      ("xc_hypercall_buffer_t", ["hbuf", "param_shadow", "dir", "ubuf", "sz"]),
      ("xc_shadow_op_stats_t", ["fault_count", "dirty_count"]),
      ("xc_vcpuinfo_t", ["vcpu", "online", "blocked", "running", "cpu_time", "cpu"]),
      ("xen_cpuid_leaf_t", ["leaf", "subleaf", "a", "b", "c", "d"]),
      ("xen_msr_entry_t", ["idx", "flags", "val"]),
      ("struct precopy_stats", ["iteration", "total_written", "dirty_count"]),
      (
        "struct save_callbacks",
        [
          "suspend", "precopy_policy", "postcopy", "checkpoint", "wait_checkpoint",
          "switch_qemu_logdirty", "data",
        ]
      ),
      (
        "struct restore_callbacks",
        [
          "static_data_done", "suspend", "postcopy", "checkpoint", "wait_checkpoint",
          "restore_results", "data",
        ]
      ), ("xen_pfn_t", []), ("xs_transaction_t", []), ("xc_stream_type_t", []),
      ("xc_domaininfo_t", []),
    ]
    var body = "int main(void) {\n"
    for (type, names) in fields {
      body += "printf(\"%s %zu\\n\", \"\(type)\", sizeof(\(type)));\n"
      for name in names {
        body +=
          "printf(\"\(type).\(name) %zu %zu\\n\", __builtin_offsetof(\(type), \(name)), "
          + "sizeof(((\(type) *)0)->\(name)));\n"
      }
    }
    body += "}\n"
    let theirs = try run(Self.headers + body)
    let ours = try run("#include <stdio.h>\n#include \"\(Self.declarations)\"\n" + body)
    #expect(theirs == ours)
    #expect(theirs.split(separator: "\n").count > 50)
  }

  @Test func numbers() throws {
    let text = try run(
      Self.headers + "#define CXEN_AGAINST_HEADERS\n#include \"\(Self.declarations)\"\n" + """
        int main(void) {
          printf("%d", CXEN_SHADOW_OP_OFF == XEN_DOMCTL_SHADOW_OP_OFF
            && CXEN_SHADOW_OP_ENABLE_LOGDIRTY == XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY
            && CXEN_SHADOW_OP_CLEAN == XEN_DOMCTL_SHADOW_OP_CLEAN
            && CXEN_SHADOW_OP_PEEK == XEN_DOMCTL_SHADOW_OP_PEEK
            && CXEN_SHADOW_LOGDIRTY_FINAL == XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL
            && SHUTDOWN_suspend == 2 && XENVER_version == 0);
        }
        """)
    #expect(text == "1")
  }

  /// Where cxen.c reads in xc_domaininfo_t, whose fields it does not declare.
  @Test func domainInfo() throws {
    let places = [
      "domain 0", "flags 4", "tot_pages 8", "max_pages 16", "cpu_time 56", "nr_online_vcpus 64",
      "max_vcpu_id 68", "handle 76", "arch_config 104",
    ]
    let names = places.map { $0.split(separator: " ")[0] }
    let text = try run(
      Self.headers + "int main(void) {\n"
        + names.map {
          "printf(\"\($0) %zu\\n\", __builtin_offsetof(xc_domaininfo_t, \($0)));\n"
        }.joined() + "}\n")
    #expect(text.split(separator: "\n").map(String.init) == places)
  }
}
