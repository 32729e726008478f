// The configuration inside the xl header's optional data.

internal import Bytes
internal import Format
internal import JSON
public import Stream

/// The domain's configuration as xl saved it. Xen: tools/xl/xl_saverestore.c, save_domain_core_writeconfig.
///
///     +-----------------------+-------------------------------------+---------------+
///     | config_len (L), u32   | config, L bytes with its last NUL  | anything else |
///     +-----------------------+-------------------------------------+---------------+
public enum XLConfig {
  /// The bytes of the configuration without its NUL; nil where there is none.
  public static func text(_ header: Header) -> [UInt8]? {
    guard let range = range(header) else { return nil }
    return [UInt8](header.bytes[range].prefix { $0 != 0 })
  }

  /// Whether the configuration is JSON (Xen 4.5 and later) and not xl.cfg text.
  public static func isJSON(_ header: Header) -> Bool {
    header.kind == .xl && (header.unsigned("mandatory_flags") ?? 0) & 1 != 0
  }

  /// Replaces the configuration: its bytes, a NUL after them, and both lengths. What follows it
  /// in the optional data stays.
  public static func setText(_ text: [UInt8], in header: inout Header) {
    let old = range(header)
    let rest = old.map { [UInt8](header.bytes[$0.upperBound...]) } ?? []
    let length = text.count + 1
    var bytes = [UInt8](header.bytes.prefix(HeaderKind.xl.byteCount))
    bytes.store(44, UInt32(4 + length + rest.count), header.order)
    bytes.append(integer: UInt32(length), header.order)
    bytes += text
    bytes.append(0)
    header.bytes = bytes + rest
  }

  /// The bytes of the configuration with its NUL, as far as they are there.
  static func range(_ header: Header) -> Range<Int>? {
    let start = HeaderKind.xl.byteCount + 4
    guard header.kind == .xl, header.bytes.count >= start else { return nil }
    let length = Int(header.bytes.load(start - 4, as: UInt32.self, header.order))
    return start..<start + min(length, header.bytes.count - start)
  }

  /// Notes in `report` how a header changed: fields, and lines of the configuration.
  static func noteChange(in report: inout ChangeReport, _ before: Header, _ after: Header) {
    // The lengths of the configuration and of the XML differ with them.
    let followers: Set<String> =
      switch before.kind {
      case .xl where text(before) != text(after): ["optional_data_len", "optional_data"]
      case .libvirt where DomainText.text(before) != DomainText.text(after): ["xml_len", "xml"]
      default: []
      }
    report.noteFields(before, after, ignoring: followers)
    if before.kind == .libvirt {
      return report.noteText(
        .xml, before.kind.title, before.offset, DomainText.text(before), DomainText.text(after))
    }
    guard let old = text(before), let new = text(after), old != new else { return }
    if isJSON(before), isJSON(after), let one = try? JSONDocument(old),
      let other = try? JSONDocument(new)
    {
      JSONDifference.forEach(one.root, other.root) { difference in
        report.note(
          ChangeReport.Change(
            kind: .changed, place: before.kind.title, offset: before.offset,
            path: difference.title, before: difference.before ?? "",
            after: difference.after ?? ""))
      }
      return
    }
    let oldLines = old.split(separator: 10)
    let newLines = new.split(separator: 10)
    // The lines between the common beginning and the common end.
    let head = zip(oldLines, newLines).prefix { $0 == $1 }.count
    let tail = zip(oldLines.dropFirst(head).reversed(), newLines.dropFirst(head).reversed())
      .prefix { $0 == $1 }.count
    func lines(_ lines: [ArraySlice<UInt8>]) -> String {
      let changed = lines.dropFirst(head).dropLast(tail)
      let shown = changed.prefix(4).map { $0.drop { $0 == 32 }.printable }
      return shown.joined(separator: " ") + (changed.count > 4 ? " ..." : "")
    }
    report.note(
      ChangeReport.Change(
        kind: .changed, place: before.kind.title, offset: before.offset, path: "config",
        before: lines(oldLines), after: lines(newLines)))
  }
}
