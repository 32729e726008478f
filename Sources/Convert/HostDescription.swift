// What is known of a host that is to restore an image: its Xen, its processor, its device model.

public import Bytes
public import Format
internal import JSON

/// A host, as `xensave-lua host` prints it there and `--for-host` reads it here.
public struct HostDescription: Sendable {
  /// The most that guests of one kind can get of the processor.
  public struct Policy: Sendable {
    public var leaves: [CPUIDLeaf]
    public var msrs: [UInt32: UInt64]

    public init(leaves: [CPUIDLeaf], msrs: [UInt32: UInt64]) {
      self.leaves = leaves
      self.msrs = msrs
    }
  }

  /// Who said what the processor has.
  public enum Origin: String, Sendable {
    /// Xen: what it can give to guests.
    case xen
    /// The CPUID instruction: what the processor has, of which Xen may give less. It says no MSRs.
    case cpuid
  }

  /// "4.17.7", "4.20.5-pre"; nil where no Xen was found.
  public var xen: String?
  public var origin: Origin
  /// Bytes of memory, and how many of them are free for new domains; nil where that is not known.
  public var byteCount: UInt64?
  public var freeByteCount: UInt64?
  /// The version of QEMU that Xen starts there: "7.2.15"; nil where none was found.
  public var deviceModel: String?
  public var pv: Policy?
  public var hvm: Policy?

  public init(origin: Origin) { self.origin = origin }

  /// Its release: of "4.20.5-pre" 4.20.5.
  public var release: XenRelease? { xen.flatMap(HostDescription.release) }

  private static func release(_ text: String) -> XenRelease? {
    XenRelease(String(text.prefix { $0.isNumber || $0 == "." }))
  }

  /// What it can give to an HVM or PVH guest, or to a PV guest.
  public func policy(isHVM: Bool) -> Policy? { isHVM ? hvm : pv }

  // MARK: - JSON

  private static let format = "xensave-host-1"
  /// The longest text that is read, in bytes.
  public static let byteLimit = 1 << 20

  /// As JSON, with a line feed at the end.
  public var json: [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("format", HostDescription.format)
    writer.member("origin", origin.rawValue)
    if let xen { writer.member("xen", xen) }
    if let byteCount { writer.member("memory_bytes", byteCount) }
    if let freeByteCount { writer.member("memory_free_bytes", freeByteCount) }
    if let deviceModel { writer.member("device_model", deviceModel) }
    for (name, policy) in [("pv", pv), ("hvm", hvm)] {
      guard let policy else { continue }
      writer.key(name)
      HostDescription.write(policy, to: &writer)
    }
    writer.endObject()
    return writer.finish()
  }

  private static func write(_ policy: Policy, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("features")
    writer.beginArray()
    let has = CPUPolicy(leaves: policy.leaves, msrs: policy.msrs)
    for bit in CPUIDFeatures.all where has.has(bit.name) == true { writer.value(bit.name) }
    writer.endArray()
    writer.key("leaves")
    writer.beginArray()
    for leaf in policy.leaves {
      writer.beginObject()
      writer.member("leaf", hex: UInt64(leaf.leaf))
      if leaf.subleaf != CPUIDLeaf.noSubleaf { writer.member("subleaf", hex: UInt64(leaf.subleaf)) }
      for (name, value) in [("a", leaf.a), ("b", leaf.b), ("c", leaf.c), ("d", leaf.d)] {
        writer.member(name, hex: UInt64(value))
      }
      writer.endObject()
    }
    writer.endArray()
    writer.key("msrs")
    writer.beginArray()
    for (index, value) in policy.msrs.sorted(by: { $0.key < $1.key }) {
      writer.beginObject()
      writer.member("index", hex: UInt64(index))
      writer.member("value", hex: value)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }

  /// Reads what `json` has written. Members that are not known are passed over.
  public init(json text: [UInt8]) throws(FormatError) {
    let root: JSONValue
    do { root = try JSONDocument(text, options: JSONOptions(byteLimit: Self.byteLimit)).root } catch
    {
      throw FormatError(.invalid, "no JSON: \(error)")
    }
    guard root["format"]?.stringValue == HostDescription.format,
      let origin = root["origin"]?.stringValue.flatMap(Origin.init(rawValue:))
    else {
      throw FormatError(
        .invalid,
        "expected what `xensave-lua host` prints (\"format\": \"\(HostDescription.format)\")")
    }
    self.init(origin: origin)
    xen = try HostDescription.text(root, "xen")
    if let xen, HostDescription.release(xen) == nil {
      throw FormatError(
        .invalid, field: "xen", "expected a release such as 4.17.7, got '\(xen.utf8.printable)'")
    }
    deviceModel = try HostDescription.text(root, "device_model")
    byteCount = try HostDescription.number(root, "memory_bytes", .max, "")
    freeByteCount = try HostDescription.number(root, "memory_free_bytes", .max, "")
    pv = try HostDescription.policy(root, "pv")
    hvm = try HostDescription.policy(root, "hvm")
  }

  private static func policy(_ root: JSONValue, _ name: String) throws(FormatError) -> Policy? {
    guard let value = root[name] else { return nil }
    var policy = Policy(leaves: [], msrs: [:])
    for (index, leaf) in try list(value, "leaves", name).enumerated() {
      let place = "\(name).leaves[\(index)]"
      func word(_ key: String, _ missing: UInt32?) throws(FormatError) -> UInt32 {
        guard let found = try number(leaf, key, UInt64(UInt32.max), place) else {
          guard let missing else {
            throw FormatError(.invalid, field: place, "expected a member '\(key)'")
          }
          return missing
        }
        return UInt32(truncatingIfNeeded: found)
      }
      policy.leaves.append(
        CPUIDLeaf(
          leaf: try word("leaf", nil), subleaf: try word("subleaf", CPUIDLeaf.noSubleaf),
          a: try word("a", 0), b: try word("b", 0), c: try word("c", 0), d: try word("d", 0)))
    }
    for (index, msr) in try list(value, "msrs", name).enumerated() {
      let place = "\(name).msrs[\(index)]"
      guard let which = try number(msr, "index", UInt64(UInt32.max), place),
        let value = try number(msr, "value", .max, place)
      else { throw FormatError(.invalid, field: place, "expected members 'index' and 'value'") }
      policy.msrs[UInt32(truncatingIfNeeded: which)] = value
    }
    return policy
  }

  private static func list(
    _ value: JSONValue, _ name: String, _ outer: String
  ) throws(FormatError) -> [JSONValue] {
    guard let list = value[name]?.arrayValue, list.count <= 4096 else {
      throw FormatError(.invalid, field: "\(outer).\(name)", "expected an array of at most 4096")
    }
    return list
  }

  private static func text(_ root: JSONValue, _ name: String) throws(FormatError) -> String? {
    guard let value = root[name] else { return nil }
    guard let text = value.stringValue else {
      throw FormatError(.invalid, field: name, "expected a string")
    }
    return text
  }

  /// A number, or one in hexadecimal as text.
  private static func number(
    _ value: JSONValue, _ name: String, _ limit: UInt64, _ place: String
  ) throws(FormatError) -> UInt64? {
    guard let member = value[name] else { return nil }
    let text = member.stringValue ?? ""
    let found =
      member.numberValue?.uint64
      ?? (text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : nil)
    guard let found, found <= limit else {
      throw FormatError(
        .invalid, field: place.isEmpty ? name : "\(place).\(name)",
        "expected a number up to \(limit.hex())")
    }
    return found
  }
}
