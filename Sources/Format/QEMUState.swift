// The device model's state inside EMULATOR_CONTEXT, split into sections as far as it can be.

internal import Bytes

/// A migration stream of QEMU, as xen-save-devices-state writes it.
///
///     "QEVM" version
///     { 04 section_id idlen idstr instance_id version_id data }   for each device
///     00
///
/// Integers are big-endian. How long a device's data is stands nowhere: under Xen QEMU writes no
/// section footers. So the next section is looked for, and its start is a guess unless a footer
/// stands before it. Magic, version and the first section's start are certain.
public struct QEMUState: Sendable, Equatable {
  /// A device's section. Ranges count from the start of the body.
  public struct Section: Sendable, Equatable {
    /// Ascending; numbers of devices that are not saved are left out.
    public let id: UInt32
    /// The device: "0000:00:01.1/ide". Printable ASCII.
    public let idstr: String
    /// Which of several devices of this name.
    public let instance: UInt32
    /// The version of the device's own format.
    public let version: UInt32
    /// The section from its first byte to the next one's.
    public let range: Range<Int>
    /// The device's data.
    public let data: Range<Int>
    /// Whether a footer confirms where the section ends. If not, the end is a guess, and with it
    /// the next section's start.
    public let isEndCertain: Bool
  }

  /// Bytes of magic and version.
  public static let headByteCount = 8

  /// The version of the stream; 3.
  public let version: UInt32
  public let sections: [Section]
  /// The final 00 and what lies after it: libxl does not truncate the file that it sends.
  public let end: Range<Int>

  /// Splits `body` from `start` on; EMULATOR_CONTEXT's blob starts at 8. Nil if it is not a stream
  /// of QEMU.
  public init?(_ body: [UInt8], from start: Int = 8) {
    guard QEMUState.exists(body, at: start) else { return nil }
    version = body.load(start + 4, as: UInt32.self, .big)
    var heads: [Head] = []
    var footers: [Bool] = []
    var offset = QEMUState.behindConfiguration(body, start + QEMUState.headByteCount)
    while let head = Head(body, at: offset, after: heads.last) {
      heads.append(head)
      let next = QEMUState.next(after: head, in: body)
      footers.append(next.hasFooter)
      offset = next.offset
    }
    var sections: [Section] = []
    for (index, head) in heads.enumerated() {
      let end = index + 1 < heads.count ? heads[index + 1].offset : offset
      sections.append(
        Section(
          id: head.id, idstr: head.idstr, instance: head.instance, version: head.version,
          range: head.offset..<end, data: head.dataOffset..<end - (footers[index] ? 5 : 0),
          isEndCertain: footers[index]))
    }
    self.sections = sections
    end = offset..<body.count
  }

  /// Whether a stream of QEMU begins at `start`.
  static func exists(_ body: [UInt8], at start: Int) -> Bool {
    start >= 0 && body.count - start >= headByteCount
      && body.load(start, as: UInt32.self, .big) == 0x5145_564D
  }

  // MARK: - Looking for sections

  private static let full: UInt8 = 0x04
  private static let configuration: UInt8 = 0x07
  private static let footer: UInt8 = 0x7E

  /// After the machine's name, where it stands before the sections: never under Xen.
  private static func behindConfiguration(_ body: [UInt8], _ offset: Int) -> Int {
    guard body.count - offset >= 5, body[offset] == configuration else { return offset }
    let count = Int(body.load(offset + 1, as: UInt32.self, .big))
    return body.count - offset - 5 >= count ? offset + 5 + count : offset
  }

  /// Where the section after `header` starts, or where the sections end.
  private static func next(
    after head: Head, in body: [UInt8]
  ) -> (offset: Int, hasFooter: Bool) {
    func hasFooter(before offset: Int) -> Bool {
      offset - head.dataOffset >= 5 && body[offset - 5] == footer
        && body.load(offset - 4, as: UInt32.self, .big) == head.id
    }
    var offset = head.dataOffset
    while offset < body.count {
      if body[offset] == full, Head(body, at: offset, after: head) != nil {
        return (offset, hasFooter(before: offset))
      }
      offset += 1
    }
    // No further section: the stream's last byte is the end mark.
    guard body.count > head.dataOffset, body.last == 0 else { return (body.count, false) }
    return (body.count - 1, hasFooter(before: body.count - 1))
  }

  /// What stands before a device's data.
  private struct Head {
    let offset: Int
    let dataOffset: Int
    let id: UInt32
    let idstr: String
    let instance: UInt32
    let version: UInt32

    /// The header at `offset`, if the bytes there look like one: the number is a little above the
    /// last section's, the name is printable, instance and version are small.
    init?(_ body: [UInt8], at offset: Int, after last: Head?) {
      guard body.count - offset >= 6, body[offset] == QEMUState.full else { return nil }
      id = body.load(offset + 1, as: UInt32.self, .big)
      let nameCount = Int(body[offset + 5])
      guard nameCount >= 2, body.count - offset - 14 >= nameCount, id < 0x1_0000 else {
        return nil
      }
      if let last, id <= last.id || id - last.id > 256 { return nil }
      let name = body[offset + 6..<offset + 6 + nameCount]
      guard name.allSatisfy({ (0x20..<0x7F).contains($0) }), name.first != 0x20 else {
        return nil
      }
      instance = body.load(offset + 6 + nameCount, as: UInt32.self, .big)
      version = body.load(offset + 10 + nameCount, as: UInt32.self, .big)
      guard instance < 0x1_0000, version < 0x1000 else { return nil }
      idstr = String(decoding: name, as: UTF8.self)
      self.offset = offset
      dataOffset = offset + 14 + nameCount
    }
  }
}
