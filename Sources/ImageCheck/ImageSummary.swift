// The facts of one pass over an image: what `info` prints, and what rules know of what came before.

public import Bytes
public import Format
public import ImageEdit
public import Stream

/// What one pass over the headers of an image has found.
///
/// Bounded whatever the image says: at most 7 headers (fixed parts), 64 record types, 8192 vCPU
/// numbers, and 1 MiB each of configuration, XML and xenopsd's record; about 4 MiB in all.
public struct ImageSummary: Sendable {
  /// How often a record type came.
  public struct Tally: Sendable, Equatable {
    public internal(set) var count: UInt64 = 0
    /// Bytes in the stream: headers, bodies and padding.
    public internal(set) var byteCount: UInt64 = 0

    mutating func add(_ record: Record) {
      count += 1
      byteCount += record.totalByteCount
    }
  }

  /// The configuration in the xl header, or another description of the domain.
  public struct Config: Sendable, Equatable {
    /// Bytes from the start of the source to its first character.
    public let offset: UInt64
    /// Bytes of text, without the NUL after it.
    public let byteCount: Int
    /// The text; empty if it is longer than `ImageSummary.configLimit`.
    public let text: [UInt8]

    init(_ text: [UInt8], at offset: UInt64) {
      self.offset = offset
      byteCount = text.count
      self.text = text.count <= configLimit ? text : []
    }
  }

  /// The longest configuration whose text is kept, in bytes.
  public static let configLimit = 1 << 20
  /// Most vCPUs of a domain; their numbers are smaller. Xen: MAX_VIRT_CPUS.
  public static let vcpuLimit: UInt32 = 8192
  static let typeLimit = 64

  /// The headers, without the xl header's optional data.
  public private(set) var headers: [HeaderKind: Header] = [:]
  public private(set) var config: Config?
  /// Libvirt's XML and xenopsd's record, where there are such.
  public private(set) var texts: [DomainText: Config] = [:]
  /// A UEFI guest's variables: how many, and whether Secure Boot is on (nil: they do not say).
  public private(set) var uefi: (count: Int, secureBoot: Bool?)?
  /// Record types with their numbers; types above the 64th are together in `otherRecords`.
  public private(set) var records: [RecordType: Tally] = [:]
  public private(set) var otherRecords = Tally()
  public private(set) var recordCount = 0
  /// Byte order and guest width of the libxc stream.
  public private(set) var context = BodyContext()
  /// Entries of PAGE_DATA by page type.
  public private(set) var pageTypes = [UInt64](repeating: 0, count: 16)
  /// Entries of PAGE_DATA, with and without contents.
  public private(set) var pageEntryCount: UInt64 = 0
  /// Pages whose contents are in the stream; a page that was sent twice counts twice.
  public private(set) var pageCount: UInt64 = 0
  public private(set) var lowestPFN: UInt64?
  public private(set) var highestPFN: UInt64?
  /// Passes over the guest's memory: a new one begins where pfns do not continue ascending.
  public private(set) var roundCount = 0
  /// Pages of the first pass that a restore allocates.
  public private(set) var firstRoundPageCount: UInt64 = 0
  /// The guest's greatest pfn, as X86_PV_P2M_FRAMES says it.
  public private(set) var maxPFN: UInt64?
  /// Numbers of the vCPUs that have a state in the stream.
  public private(set) var vcpuIDs: Set<UInt32> = []
  /// Checkpoints: CHECKPOINT records.
  public private(set) var checkpointCount = 0
  /// Whether pages are compared from some record on.
  public private(set) var hasVerify = false
  /// What follows the end, or the record that the stream was cut in.
  public private(set) var trailing: TrailingBytes?
  /// How many bytes that is.
  public private(set) var trailingByteCount: UInt64 = 0
  /// How the stream ended; nil where it could not be read to its end.
  public private(set) var ending: StreamReader.EndReason?
  /// Bytes from the start of the source to the end of the last part.
  public private(set) var byteCount: UInt64 = 0
  /// The last record's type.
  public private(set) var lastType: RecordType?

  private var lastPFN: UInt64?

  public init() {}

  // MARK: - What follows from it

  /// The layers, outermost first.
  public var layers: [String] {
    var out: [String] = []
    for kind in [HeaderKind.xl, .libvirt, .xenopsd] where headers[kind] != nil {
      out.append(kind.rawValue)
    }
    if headers[.libxl] != nil { out.append("libxl") }
    if headers[.image] != nil { out.append("libxc") }
    return out
  }

  /// The libxc stream's version.
  public var version: Int? { headers[.image]?.unsigned("version").map { Int($0) } }
  public var guest: GuestType? {
    (headers[.domain] ?? headers[.draftDomain])?.unsigned("type")
      .map { GuestType(rawValue: UInt32(truncatingIfNeeded: $0)) }
  }
  /// The release of the Xen that saved it; 0 for the major number of a converted stream.
  public var xenVersion: (major: UInt64, minor: UInt64)? {
    guard let header = headers[.domain], let major = header.unsigned("xen_major"),
      let minor = header.unsigned("xen_minor")
    else { return nil }
    return (major, minor)
  }
  /// Whether a converter made it from a legacy stream.
  public var isConverted: Bool { xenVersion?.major == 0 }
  public var libxcOrder: ByteOrder? { (headers[.domain] ?? headers[.draftDomain])?.order }
  public var libxlOrder: ByteOrder? {
    headers[.libxl]?.unsigned("options").map { $0 & 1 == 0 ? .little : .big }
  }
  /// Bytes of the guest's memory: the pages of the first pass.
  public var memoryByteCount: UInt64 { firstRoundPageCount * UInt64(pageByteCount) }
  public func count(_ type: RecordType) -> UInt64 { records[type]?.count ?? 0 }
}

extension ImageSummary {
  /// Adds one part, in the order of the stream.
  public mutating func add(_ part: StreamElement) {
    switch part {
    case .header(let header): add(header)
    case .record(let record): add(record, RecordContents(record))
    case .trailing(let trailing): add(trailing, byteCount: UInt64(trailing.first.count))
    }
  }

  /// Says how the stream ended (nil: not regularly), and how far its source was read.
  public mutating func finish(_ ending: StreamReader.EndReason?, at position: UInt64) {
    self.ending = ending
    // The last record may be longer than what there is of it.
    byteCount = min(byteCount, position)
  }

  mutating func add(_ header: Header) {
    byteCount = header.offset + UInt64(header.bytes.count)
    guard headers[header.kind] == nil else { return }
    headers[header.kind] = Header(
      header.kind, offset: header.offset, bytes: Array(header.bytes.prefix(header.kind.byteCount)),
      order: header.order)
    if header.kind == .xl { config = ImageSummary.config(of: header) }
    if let text = DomainText.text(header) {
      texts[.xml] = Config(text, at: header.offset + UInt64(header.kind.byteCount))
    }
    if header.kind == .domain || header.kind == .draftDomain { context.order = header.order }
  }

  /// The xl header's optional data begin with the configuration's length and text.
  private static func config(of header: Header) -> Config? {
    let start = header.kind.byteCount
    guard header.bytes.count >= start + 4 else { return nil }
    let claimed = Int(header.bytes.load(start, as: UInt32.self, header.order))
    let there = min(claimed, header.bytes.count - start - 4)
    let text = header.bytes[(start + 4)..<(start + 4 + there)].prefix { $0 != 0 }
    guard !text.isEmpty else { return nil }
    return Config(Array(text), at: header.offset + UInt64(start + 4))
  }

  mutating func add(_ record: Record, _ contents: RecordContents) {
    recordCount += 1
    byteCount = record.endOffset
    lastType = record.type
    if records.count < ImageSummary.typeLimit || records[record.type] != nil {
      records[record.type, default: Tally()].add(record)
    } else {
      otherRecords.add(record)
    }
    switch record.type {
    case .pageData: if let pages = contents.pages { add(record, pages) }
    case .hvmContext:
      for entry in contents.entries where entry.type == HVMContextType.cpu {
        let id = UInt32(entry.instance)
        if id < ImageSummary.vcpuLimit { vcpuIDs.insert(id) }
      }
    case .x86PVInfo:
      if let width = record.body.first, width == 4 || width == 8 { context.guestWidth = Int(width) }
    case .x86PVP2MFrames:
      if record.body.count >= 8 {
        let end = UInt64(record.body.load(4, as: UInt32.self, record.context.order))
        maxPFN = max(maxPFN ?? 0, end)
      }
    case .xenops:
      if texts[.xenops] == nil, let text = DomainText.text(record) {
        texts[.xenops] = Config(text, at: record.bodyOffset)
      }
    case .varstored:
      if let list = UEFIVariables(record.body) {
        uefi = (list.variables.count, list.flag("SecureBoot", in: record.body))
      }
    case .checkpoint: checkpointCount += 1
    case .verify: hasVerify = true
    default:
      if RecordSchemas.of(record.type)?.perVCPU == true, let id = record.vcpuID, record.length > 8,
        id < ImageSummary.vcpuLimit
      {
        vcpuIDs.insert(id)
      }
    }
  }

  private mutating func add(_ record: Record, _ pages: PageTableSummary) {
    let count = pages.counts.reduce(0, +)
    guard count > 0 else { return }
    for type in 0..<16 { pageTypes[type] += UInt64(pages.counts[type]) }
    pageEntryCount += UInt64(count)
    pageCount += UInt64(pages.dataCount)
    lowestPFN = min(lowestPFN ?? .max, pages.lowestPFN)
    highestPFN = max(highestPFN ?? 0, pages.highestPFN)
    let first = record.pageEntry(0).pfn
    if let lastPFN, first > lastPFN {
    } else {
      roundCount += 1
    }
    lastPFN = record.pageEntry(count - 1).pfn
    if roundCount == 1 {
      firstRoundPageCount += UInt64(pages.dataCount + pages.counts[Int(PageType.xalloc.rawValue)])
    }
  }

  mutating func add(_ trailing: TrailingBytes, byteCount: UInt64) {
    self.trailing = trailing
    trailingByteCount = byteCount
    self.byteCount = trailing.offset + byteCount
  }
}

/// What a record's body holds, read once for the summary and the rules.
struct RecordContents {
  /// Of PAGE_DATA with a complete table.
  var pages: PageTableSummary?
  /// Of HVM_CONTEXT.
  var entries: [ChainEntry] = []

  init(_ record: Record) {
    switch record.type {
    case .pageData: pages = record.pageTable
    case .hvmContext:
      entries = Format.entries(
        of: HVMRecords.chain, in: record.body, 0..<record.body.count)
    default: break
    }
  }
}

extension Record {
  /// The number at the beginning of the vCPU records.
  var vcpuID: UInt32? { body.count >= 4 ? body.load(0, as: UInt32.self, context.order) : nil }
}

/// Type numbers of HVM_CONTEXT's entries that rules know.
/// Xen: xen/include/public/arch-x86/hvm/save.h.
package enum HVMContextType {
  package static let end: UInt16 = 0
  static let header: UInt16 = 1
  static let cpu: UInt16 = 2
  static let pic: UInt16 = 3
  static let lapic: UInt16 = 5
  static let pciLink: UInt16 = 9
  static let pit: UInt16 = 10
  static let mtrr: UInt16 = 14
  static let viridianDomain: UInt16 = 15
  static let cpuXsave: UInt16 = 16
  static let viridianVCPU: UInt16 = 17
  static let vmce: UInt16 = 18
  static let cpuMSR: UInt16 = 20
  /// HVM_SAVE_CODE_MAX: Xen refuses greater ones.
  static let greatest: UInt16 = 20
  /// CPU entries of before Xen 3.4, without msr_tsc_aux and flags.
  static let oldCPUByteCount = 1016
  /// Those of 4.7 and later, with flags.
  static let cpuByteCount = 1032
  /// Whose instance is the number of a vCPU.
  static let ofVCPU: Set<UInt16> = [2, 5, 6, 14, 16, 17, 18, 19, 20]
  /// Of which every vCPU has one, those that are down too.
  static let ofEveryVCPU: Set<UInt16> = [5, 6, 14, 18, 19]
  /// Devices that PVH guests do not have: PIC, IOAPIC, PIT, RTC, HPET, PMTIMER.
  static let ofPlatform: Set<UInt16> = [3, 4, 10, 11, 12, 13]
}
