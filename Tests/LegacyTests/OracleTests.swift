// Our result beside that of Xen's convert-legacy-stream, record by record.

import Stream
import Testing

@testable import Legacy

/// Where the two differ on purpose. The numbers are those of the faults of Xen's program.
///
///   1  it refuses every xl header, so these tests give it none
///   2  a batch of fillers becomes PAGE_DATA with count 0, which nothing reads: dropped here
///   3  in libxc format it drops TOOLSTACK, and writes the device model's record after END: we
///      write nothing there
///   4  it cannot do compression: RemusTests has no oracle
///   5  HVM_PARAMS come in two records, with what is zero: merged and sorted here
///   6  pages to be verified are replayed as ordinary pages: we write VERIFY before them
///   7  in libxl format it reads the device model's record though it is told to skip it
///   8  without VCPU_INFO it writes no vCPU: not compared
/// And X86_TSC_INFO stands where the chunk stood; ours stands before the tail, as savers write it.
@Suite(.enabled(if: Oracle.convert != nil, "Xen's convert-legacy-stream is not obtainable here"))
struct OracleTests {
  private func theirs(_ bytes: [UInt8], _ kind: Kind, _ format: String) throws -> ParsedStream {
    let folder = Folder()
    let out = folder.file("out")
    let result = shell(
      "\(Oracle.convert ?? "") -i '\(folder.write(bytes))' -o '\(out)' -w \(8 * kind.word) "
        + "-g \(kind.isPV ? "pv" : "hvm") -f \(format)")
    #expect(result.status == 0, "\(result.text)")
    return try ParsedStream(readFile(out))
  }

  /// The records without what may differ.
  private func comparable(_ records: [Parsed]) -> [Parsed] {
    var out: [Parsed] = []
    var pairs: [[UInt64]] = []
    var tsc: [Parsed] = []
    for record in records {
      switch (record.isLibxl, record.type) {
      case (false, 1) where record.body.prefix(4) == [0, 0, 0, 0]: break  // 2
      case (false, 13): break  // 6
      case (false, 8): tsc = [record]
      case (false, 10):  // 5
        let all = words(record.body, from: 8)
        for index in stride(from: 0, to: all.count, by: 2) {
          pairs.append([all[index], all[index + 1]])
        }
      default: out.append(record)
      }
    }
    let params = pairs.filter { $0[1] != 0 }.sorted { $0[0] < $1[0] }
    // Bytes of the pairs, as a record that is at neither place.
    var merged: [UInt8] = []
    for word in params.joined() {
      for byte in 0..<8 { merged.append(UInt8(truncatingIfNeeded: word >> (8 * byte))) }
    }
    return out + tsc + [Parsed(isLibxl: false, type: 10, body: merged)]
  }

  @Test(arguments: Kind.all, ["libxc", "libxl"])
  func agrees(kind: Kind, format: String) throws {
    for verify in [false, true] {
      var bytes = LegacyBuilder.plain(kind, context: realContext, verify: verify)
      // A batch of fillers before the end: after the header and the first chunk.
      var fillers = LegacyBuilder(kind)
      fillers.batch([(0xF, 0), (0xF, 0)])
      var head = LegacyBuilder(kind)
      head.head()
      bytes.insert(contentsOf: fillers.out.bytes, at: head.out.bytes.count)
      var options = LegacyConverter.Options()
      options.wrapping = format == "libxc" ? .libxc : .libxl
      let ours = try ParsedStream(convert(bytes, options).bytes)
      let theirs = try theirs(bytes, kind, format)
      #expect(ours.image == theirs.image)
      #expect(ours.domain == theirs.domain)
      #expect(ours.libxl == theirs.libxl)
      #expect(comparable(ours.records) == comparable(theirs.records))
      #expect(ours.rest.isEmpty)
      if format == "libxc", !kind.isPV {  // 3
        #expect(theirs.rest.starts(with: "DeviceModelRecord0002".utf8))
      }
    }
  }
}
