// The text that a Linux kernel keeps for who looks into its memory after a crash.

/// VMCOREINFO: lines "KEY=value" and "KIND(name)=value". Linux: kernel/crash_core.c.
public struct VMCoreInfo: Sendable, Equatable {
  /// Its lines by what stands before the "=".
  public private(set) var values: [String: String] = [:]

  /// Bytes that its text has at most. Linux: include/linux/crash_core.h, VMCOREINFO_BYTES.
  public static let byteLimit = 4096

  public init(_ text: [UInt8]) {
    for line in text.prefix(VMCoreInfo.byteLimit).prefix(while: { $0 != 0 }).split(separator: 10) {
      guard let equals = line.firstIndex(of: 61) else { continue }
      let key = String(decoding: line[..<equals], as: UTF8.self)
      values[key] = String(decoding: line[(equals + 1)...], as: UTF8.self)
    }
  }

  public var release: String? { values["OSRELEASE"] }

  /// A symbol's address at run time.
  public func symbol(_ name: String) -> UInt64? {
    values["SYMBOL(\(name))"].flatMap { UInt64($0, radix: 16) }
  }
  /// The offset of "struct.member".
  public func offset(_ name: String) -> UInt64? {
    values["OFFSET(\(name))"].flatMap { UInt64($0) }
  }
  public func size(_ name: String) -> Int? {
    values["SIZE(\(name))"].flatMap { Int($0) }
  }
  public func number(_ name: String) -> Int64? {
    values["NUMBER(\(name))"].flatMap { Int64($0) }
  }
}
