// Room for a configuration to grow: zeros after it, which readers skip.

internal import Bytes
internal import Format
public import Stream

/// Zeros after the configuration of an xl header (inside optional_data_len) or after the NUL of libvirt's
/// XML (inside xml_len). Xen: tools/xl/xl_vmcontrol.c, create_domain looks at the configuration only.
/// libvirt: src/libxl/libxl_domain.c, libxlDomainSaveImageOpen parses the XML as a C string. Real ones
/// restore such files.
public enum HeaderRoom {
  /// Bytes of room; nil where the header can have none: it has no configuration, or something else
  /// follows it.
  public static func byteCount(_ header: Header) -> Int? {
    guard let start = start(header), header.bytes[start...].allSatisfy({ $0 == 0 }) else {
      return nil
    }
    return header.bytes.count - start
  }

  /// Makes the room so many bytes. False, and nothing is changed, where there can be none or not so
  /// much.
  public static func set(_ count: Int, in header: inout Header) -> Bool {
    guard byteCount(header) != nil, let start = start(header), count >= 0,
      count <= StreamReader.Limit.head - start
    else { return false }
    let place = header.kind == .xl ? 44 : 20
    header.bytes.removeSubrange(start...)
    header.bytes += [UInt8](repeating: 0, count: count)
    header.bytes.store(
      place, UInt32(header.bytes.count - header.kind.byteCount), header.order)
    return true
  }

  /// Where the room begins.
  private static func start(_ header: Header) -> Int? {
    let fixed = header.kind.byteCount
    switch header.kind {
    case .xl:
      guard header.bytes.count >= fixed + 4 else { return nil }
      let length = Int(header.bytes.load(fixed, as: UInt32.self, header.order))
      guard length > 0, length <= header.bytes.count - fixed - 4 else { return nil }
      return fixed + 4 + length
    case .libvirt:
      return header.bytes[fixed...].firstIndex(of: 0).map { $0 + 1 }
    default: return nil
    }
  }
}
