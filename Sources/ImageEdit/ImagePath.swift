// Paths of everything in an image, as people write them.

internal import Bytes
public import Format

/// A path inside an image:
///
///     config.c_info.name            the configuration in the xl header
///     domain_header.xen_minor       a header's field
///     X86_TSC_INFO.khz              the first record of a type
///     PAGE_DATA[3].count            the fourth
///     record[17].count              a record by its number (from 1)
///     HVM_CONTEXT.CPU[0].rip        an entry of a record
///     vcpu[0].rip                   a vCPU's registers, whatever the guest
///     hvm_params.STORE_PFN          a parameter by name
///     cpuid[0x7,0].b                a leaf of the CPUID policy
///     msr_policy[0xce]              an MSR of the MSR policy
///     xml.name                      the XML after libvirt's header
///     xml.devices.disk[0].source@file   an attribute in it
///     xenops.vm_str.name            xenopsd's Xenops record
public struct ImagePath: Sendable, Equatable {
  /// What the path begins with.
  public enum Root: Sendable, Equatable {
    case config
    /// libvirt's XML or xenopsd's record.
    case text(DomainText)
    case header(HeaderKind)
    case records(RecordType, occurrence: Int?)
    case recordIndex(Int)
    case vcpu(Int?)
    case hvmParams
    case cpuid(leaf: UInt32, subleaf: UInt32?)
    case cpuidPolicy
    case msrPolicy
  }

  public let text: String
  public let root: Root
  /// The path inside what the root means; "" for all of it.
  public let inside: String

  /// The names that a path may begin with, besides those of record types.
  public static let rootNames =
    ["config", "xml", "xenops", "record", "vcpu", "hvm_params", "cpuid", "msr_policy"]
    + HeaderKind.allCases.map { "\($0.rawValue)_header" }

  public init(_ text: String) throws {
    self.text = text
    let name = String(text.prefix { $0 != "." && $0 != "[" && $0 != "@" })
    var rest = text.dropFirst(name.count)
    func index() throws -> String? {
      guard rest.first == "[" else { return nil }
      guard let close = rest.firstIndex(of: "]") else {
        throw FormatError(.invalid, field: text, "expected ']'")
      }
      defer { rest = rest[rest.index(after: close)...] }
      return String(rest[rest.index(after: rest.startIndex)..<close])
    }
    func number(_ digits: String) throws -> UInt32 {
      let value =
        digits.hasPrefix("0x") ? UInt32(digits.dropFirst(2), radix: 16) : UInt32(digits)
      guard let value else {
        throw FormatError(.invalid, field: text, "expected a number, got '\(digits)'")
      }
      return value
    }
    func occurrence() throws -> Int? {
      guard let digits = try index() else { return nil }
      return Int(try number(digits))
    }
    let root: Root
    switch name {
    // The rest is a path of JSON, XML or S-expressions, which have their own rules.
    case "config": root = .config
    case "xml": root = .text(.xml)
    case "xenops": root = .text(.xenops)
    case "record":
      guard let first = try index() else {
        throw FormatError(.invalid, field: text, "expected record[NUMBER]")
      }
      root = .recordIndex(Int(try number(first)))
    case "vcpu": root = .vcpu(try occurrence())
    case "hvm_params": root = .hvmParams
    case "cpuid":
      if let key = try index() {
        let parts = key.split(separator: ",").map { String($0.drop { $0 == " " }) }
        guard let first = parts.first, parts.count <= 2 else {
          throw FormatError(.invalid, field: text, "expected cpuid[LEAF] or cpuid[LEAF,SUBLEAF]")
        }
        let subleaf = parts.count == 2 ? try number(parts[1]) : nil
        root = .cpuid(leaf: try number(first), subleaf: subleaf)
      } else {
        root = .cpuidPolicy
      }
    case "msr_policy": root = .msrPolicy
    default:
      if let (kind, inside) = ImagePath.text(name, rest) {
        (root, rest) = (.text(kind), inside)
      } else if let kind = HeaderKind.allCases.first(where: { name == "\($0.rawValue)_header" }) {
        root = .header(kind)
      } else if let layout = RecordSchemas.named(name) {
        root = .records(layout.type, occurrence: try occurrence())
      } else if name.hasPrefix("0x"), let wireValue = UInt32(name.dropFirst(2), radix: 16) {
        root = .records(RecordType(.libxc, wireValue), occurrence: nil)
      } else if let recordIndex = Int(name) {
        root = .recordIndex(recordIndex)
      } else {
        throw FormatError(
          .unknownName, field: text,
          "no part '\(name)'" + didYouMean(name, among: ImagePath.rootNames + RecordSchemas.names))
      }
    }
    self.root = root
    inside = String(rest.first == "." ? rest.dropFirst() : rest)
  }

  /// The long ways to what `xml` and `xenops` mean: `libvirt_header.xml.name`, `Xenops.vm_str.name`.
  private static func text(_ name: String, _ rest: Substring) -> (DomainText, Substring)? {
    if name == "\(HeaderKind.libvirt.rawValue)_header", rest.hasPrefix(".xml"), rest.count > 4 {
      return (.xml, rest.dropFirst(4))
    }
    guard name == RecordSchemas.of(.xenops)?.name, !rest.isEmpty, !rest.hasPrefix(".data") else {
      return nil
    }
    return (.xenops, rest)
  }
}
