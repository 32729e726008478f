// Images as Lua sees them.

internal import Bytes
package import Format
internal import GuestOS
package import ImageEdit
internal import JSON
package import Legacy
package import LuaRuntime
package import Pages
internal import Stream
package import SystemIO

/// An open image. From a file any record can be read at any time; from a pipe only in order.
package final class LuaImage {
  package let path: String
  package private(set) var source: Source?
  private(set) var cachedDocument: ImageDocument?
  /// What `editCount` of the document was when its edits were written.
  private var savedEditCount = 0
  /// Gets a line where edits are lost: the image is closed, or nothing can reach it any more.
  package var onLoss: ((String) -> Void)?
  /// Where scripts use it.
  weak var state: LuaState?
  /// What the records that a script asks for read their payloads from.
  private var recordSource: Source?
  private var cachedPages: PageImage?
  private var cachedHistory: PageIndex?
  private var cachedMemory: GuestMemory?
  /// The Linux guest, where it was asked for.
  package private(set) var cachedLinux: LuaLinux?
  private var vcpuRecords: [Int: Int] = [:]
  /// Whether a pipe's bytes have been taken already.
  private(set) var isConsumed = false

  /// How a legacy image is read, until it is seen as the image that it becomes; nil for others.
  package private(set) var legacy: LegacyConverter.Options?

  package init(_ source: Source, legacy: LegacyConverter.Options? = nil) {
    path = source.path
    self.source = source
    self.legacy = legacy
  }

  /// Puts the version 3 image in the place of a legacy one.
  package func importLegacy() throws {
    guard let legacy, source != nil else { return }
    let imported = try importedLegacy(try takeLegacy(), legacy)
    self.legacy = nil
    isConsumed = false
    source = imported
  }

  /// The legacy image's own bytes, for one pass.
  func takeLegacy() throws -> Source {
    let options = legacy
    legacy = nil
    defer { legacy = options }
    return try takeSource()
  }

  deinit { reportLoss() }

  /// Says that changes are lost, where they are.
  package func reportLoss() {
    guard hasUnsavedEdits else { return }
    onLoss?(
      "\(path): its changes were not saved (img:save(PATH) or img:save { in_place = true } writes "
        + "them)")
  }

  package func close() {
    reportLoss()
    cachedDocument = nil
    source = nil
    recordSource = nil
    cachedPages = nil
    cachedHistory = nil
    cachedMemory = nil
    cachedLinux = nil
  }

  /// The guest's memory; only for files.
  package func memory() throws -> GuestMemory {
    if let cachedMemory { return cachedMemory }
    let memory = try GuestMemory(asPages())
    cachedMemory = memory
    return memory
  }

  /// The Linux guest in it; only for files.
  func linux() throws -> LuaLinux {
    if let cachedLinux { return cachedLinux }
    let linux = LuaLinux(try LinuxGuest(memory()))
    cachedLinux = linux
    return linux
  }

  /// The index of all occurrences of its pages; only for files.
  func historyIndex() throws -> PageIndex {
    if let cachedHistory { return cachedHistory }
    let pass: Source
    do { pass = try takeSource() } catch {
      throw XensaveError(.usage, LuaError(raising: error).message)
    }
    let index = try PageIndex(pass, options: PageIndex.Options(keepsHistory: true))
    cachedHistory = index
    return index
  }

  /// That a file is needed. How an image was packed is no mistake of the script.
  private func needsFile(_ problem: String) -> LuaError {
    let isPacked = source?.isPacked == true
    return LuaError(
      "\(path): \(problem)" + (source?.unpackingHint ?? ""),
      code: isPacked ? ErrorCode.unsupported.rawValue : "")
  }

  /// The image by its pages; only for files.
  package func pages() throws -> PageImage {
    if let cachedPages { return cachedPages }
    guard source?.isFile == true else {
      throw needsFile("only an image in a file has an index of its pages")
    }
    let pass = try takeSource()
    let pages = try PageImage(pass)
    cachedPages = pages
    return pages
  }

  /// The source, for one pass from its start.
  package func takeSource() throws -> Source {
    if legacy != nil { try importLegacy() }
    guard let source else { throw LuaError("the image is closed") }
    if source.isFile {
      guard let state else { return try source.duplicate() }
      return try state.opening { () throws(SystemError) in try source.duplicate() }
    }
    guard !isConsumed else {
      throw needsFile("a pipe can be read only once")
    }
    isConsumed = true
    return source
  }

  /// The image with its index and the edits made to it; only for files.
  package func document() throws -> ImageDocument {
    if let cachedDocument { return cachedDocument }
    if legacy != nil { try importLegacy() }
    guard let source else { throw LuaError("the image is closed") }
    guard source.isFile else {
      throw needsFile("only an image in a file has an index (use img:records() on a pipe)")
    }
    let pass = try takeSource()
    let document = try ImageDocument(pass)
    cachedDocument = document
    return document
  }

  package func index() throws -> RecordIndex { try document().index }

  /// Whether the script changed the image itself.
  package var isEdited: Bool { cachedDocument?.isEdited == true }
  /// Whether it has changes that were written nowhere.
  package var hasUnsavedEdits: Bool {
    guard let cachedDocument, cachedDocument.isEdited else { return false }
    return cachedDocument.editCount != savedEditCount
  }
  /// Notes that the edits so far were written, or are no longer wanted.
  package func markSaved() { savedEditCount = cachedDocument?.editCount ?? 0 }

  /// Opens the image's file again after it was written to: the edits are in it now.
  func reopen() throws(SystemError) {
    var opened = try Source(image: path)
    // The right to edit the file stays where it was taken for all of the program's time.
    if let source, source.edit != nil, source.identity == opened.identity {
      opened = try source.duplicate()
    }
    cachedDocument = nil
    source = nil
    (cachedPages, cachedHistory, cachedMemory, cachedLinux) = (nil, nil, nil, nil)
    recordSource = nil
    vcpuRecords = [:]
    savedEditCount = 0
    source = opened
  }

  /// The source for work that reads the file and nothing else: refused where it has not what the script
  /// changed.
  func takeUneditedSource(_ work: String) throws -> Source {
    guard !isEdited else {
      throw LuaError(
        "\(path): \(work) reads the file, which has not the changes: img:save them, and open what "
          + "was written")
    }
    return try takeSource()
  }
  /// The changes as a filter; nil where there are none.
  package var edits: (any RewriteFilter)? { isEdited ? cachedDocument?.edits : nil }

  /// Record `recordIndex` (from 1), read again; changes to it are the image's.
  package func record(_ recordIndex: Int) throws -> LuaRecord {
    let document = try document()
    let record = try document.record(recordIndex)
    // Each reads at a place of its own, one after the other: a descriptor for all of them.
    let source = try recordSource ?? takeSource()
    recordSource = source
    let object = LuaRecord(
      EditableRecord(reading: record, from: source) {
        (buffer: PageAlignedBuffer, count: Int) in
        var reader = document.index.reader(at: recordIndex, source)
        _ = try reader.next()
        try reader.loadWholePayload(count, into: buffer)
      })
    noteChanges(of: object, recordIndex)
    return object
  }

  /// Makes changes to record `recordIndex` the image's. It may have been saved and opened again since.
  private func noteChanges(of object: LuaRecord, _ recordIndex: Int) {
    object.onChange = { [unowned object] () in
      let document = try self.document()
      try document.setBody(object.editable.body, ofRecord: recordIndex)
    }
  }

  /// A record of a pass over the image, with its edits. Of a file, changes to it are the image's; what
  /// comes from a pipe is read once, and changing it would change nothing.
  fileprivate func passing(_ object: LuaRecord) {
    let recordIndex = object.record.index
    guard source?.isFile == true else {
      let path = path
      object.onChange = {
        throw LuaError("\(path): a pipe is only read here (xs.rewrite changes what passes)")
      }
      return
    }
    noteChanges(of: object, recordIndex)
  }

  /// The number in a record of a PV vCPU.
  func vcpuID(_ recordIndex: Int) throws -> Int? {
    let document = try document()
    return try document.record(recordIndex).unsigned("vcpu_id").map { Int($0) }
  }

  /// The last record with a PV vCPU's registers, which is the one that a restore takes.
  func vcpuRecord(_ id: Int) throws -> Int? {
    if let recordIndex = vcpuRecords[id], try vcpuID(recordIndex) == id { return recordIndex }
    // Not known yet, or a script has changed numbers since.
    vcpuRecords = [:]
    for recordIndex in try document().indexes(where: \.hasPVRegisters) {
      if let id = try vcpuID(recordIndex) { vcpuRecords[id] = recordIndex }
    }
    return vcpuRecords[id]
  }

  /// The first record of a type, or nil.
  package func first(_ type: RecordType) throws -> LuaRecord? {
    guard let recordIndex = try document().indexes(of: type).first else { return nil }
    return try record(recordIndex)
  }

  package func header(_ kind: HeaderKind) throws -> LuaHeader? {
    let document = try document()
    return document.header(kind).map { header in
      let object = LuaHeader(header)
      object.onChange = { header in
        try self.document().setBytes(header.bytes, of: kind)
      }
      return object
    }
  }

  /// Whether records can be looked at without a pass over the image.
  package var hasIndex: Bool { cachedDocument != nil }

  /// Whether looking at records takes no time that somebody at a keyboard sees.
  package var isQuicklyIndexed: Bool {
    guard !hasIndex else { return true }
    guard legacy == nil, let source, source.isFile, let count = source.byteCount else {
      return false
    }
    return count <= 64 << 20
  }

  /// What the image is, in a few words, as far as it can be told without consuming a pipe.
  package var overview: String {
    guard let source else { return "closed image \(path)" }
    guard source.isFile, let index = try? index() else { return "image \(path)" }
    let end = index.end
    return "image \(path): \(end.guest?.name ?? "unknown guest"), version \(end.version ?? 0), "
      + "\(index.entries.count) records"
  }

  /// The number of a record type given by name or number, for searches.
  package static func types(_ frame: LuaFrame, _ index: Int) throws -> [RecordType]? {
    if frame.isMissing(index) { return nil }
    return try recordTypes(frame, index)
  }

  package static var table: LuaClass<LuaImage> {
    var table = LuaClass<LuaImage>(
      "Image", "A saved domain that is open for reading. `local img <close> = xs.open(path)`.",
      allMembers)
    table.index = { image, frame in
      guard frame.type(2) == .number else {
        let names = LuaImage.allMembers.map(\.name)
        let name = frame.text(2)
        throw LuaError("no member '\(name)' in Image" + didYouMean(name, among: names))
      }
      let recordIndex = try frame.integer(2)
      guard recordIndex >= 1, recordIndex <= (try image.index()).entries.count else {
        frame.pushNil()
        return 1
      }
      frame.push(object: try image.record(Int(recordIndex)))
      return 1
    }
    table.length = { image, frame in
      frame.push(try image.index().entries.count)
      return 1
    }
    table.toString = { "image \($0.path)" }
    table.close = { image, _ in
      image.close()
      return 0
    }
    return table
  }

  private static var allMembers: [LuaMember<LuaImage>] {
    properties + methods + savingMethods + convertMethods + pageMethods + memoryMethods
      + fileMethods
  }

  private static var properties: [LuaMember<LuaImage>] {
    [
      .property("path", "string", "The file's name, as it was given.") { image, frame in
        frame.push(image.path)
      },
      .property("guest", "string", "\"x86_pv\", or \"x86_hvm\" for HVM and PVH guests.") {
        image, frame in
        frame.push(try image.guestName())
      },
      .property("version", "integer", "Version of the libxc stream: 2 or 3.") {
        image, frame in frame.push(try image.index().end.version ?? 0)
      },
      .property(
        "layer", "string",
        "The outermost layer: \"xl\", \"libvirt\", \"xenopsd\", \"libxl\" or \"libxc\"; \"legacy\" "
          + "before anything else was asked of such an image."
      ) {
        image, frame in
        if image.legacy != nil { return frame.push("legacy") }
        switch try image.index().end.container {
        case .xl: frame.push("xl")
        case .libxl: frame.push("libxl")
        case .libvirt: frame.push("libvirt")
        case .xenopsd: frame.push("xenopsd")
        default: frame.push("libxc")
        }
      },
      .property(
        "vcpu", "VCPUs", "The vCPUs by number, with their registers.",
        example: "print(xs.hex(img.vcpu[0].rip))"
      ) { image, frame in frame.push(object: LuaVCPUs(image)) },
      .property(
        "linux", "Linux",
        "What its Linux guest was doing. Raises an error where there is none, or the image lacks its "
          + "pages.",
        example: "for _, task in ipairs(img.linux:tasks()) do print(task) end"
      ) { image, frame in
        frame.push(object: try image.linux())
      },
      .property(
        "hvm_params", "HVMParams?", "The HVM parameters by name; nil for PV guests.",
        example: "print(xs.hex(img.hvm_params.STORE_PFN))"
      ) { image, frame in
        if let record = try image.first(.hvmParams) {
          frame.push(object: LuaParams(record))
        } else {
          frame.pushNil()
        }
      },
      .property(
        "cpuid", "CPUID?", "What CPUID tells the guest; nil where the image has no policy."
      ) { image, frame in
        if let record = try image.first(.x86CPUIDPolicy) {
          frame.push(object: LuaCPUID(record))
        } else {
          frame.pushNil()
        }
      },
      header("xl_header", .xl, "The xl header, or nil."),
      header("libxl_header", .libxl, "The libxl stream header, or nil."),
      header("image_header", .image, "The libxc image header."),
      header("domain_header", .domain, "The libxc domain header."),
      header("libvirt_header", .libvirt, "libvirt's header, or nil."),
      header("draft_domain_header", .draftDomain, "The domain header of draft B, or nil."),
      .property(
        "config", "Config?",
        "The domain's configuration in the xl header, as a table that writes back.",
        example: "img.config.c_info.name = \"web1\""
      ) { image, frame in
        guard let header = try image.header(.xl), try header.config() != nil else {
          frame.pushNil()
          return
        }
        frame.push(object: LuaConfig(header, JSONPath([])))
      },
      .property(
        "xml", "Tree?", "The domain's XML in libvirt's header, as a tree that writes back.",
        example: "img.xml.name = \"web1\""
      ) { image, frame in
        if let tree = try image.header(.libvirt)?.tree() {
          frame.push(object: tree)
        } else {
          frame.pushNil()
        }
      },
      .property(
        "xenops", "Tree?", "What xenopsd's Xenops record says, as a tree that writes back."
      ) { image, frame in
        if let tree = try image.first(.xenops)?.tree() {
          frame.push(object: tree)
        } else {
          frame.pushNil()
        }
      },
    ]
  }

  private static func header(
    _ name: String, _ kind: HeaderKind, _ doc: String
  ) -> LuaMember<LuaImage> {
    .property(name, "Header?", doc) { image, frame in
      if let header = try image.header(kind) { frame.push(object: header) } else { frame.pushNil() }
    }
  }

  private static var methods: [LuaMember<LuaImage>] {
    [
      .method(
        "records", "(type?: string|integer): fun(): Record",
        "Iterates over the records (of one type) in the order of the stream. Each is valid until the "
          + "next.",
        example: "for rec in img:records() do print(rec) end"
      ) { image, frame in
        let wanted = try LuaImage.types(frame, 2)
        var reader = StreamReader(try image.takeSource())
        var current: LuaRecord?
        let reading = PageGuard()
        frame.push(function: "records") { frame in
          current?.pages.end()
          current?.editable.invalidate()
          while let part = try reader.next() {
            guard case .record(let record) = image.cachedDocument?.editing(part) ?? part else {
              continue
            }
            if let wanted, !wanted.contains(record.type) { continue }
            let next = LuaRecord(
              EditableRecord(reading: record, from: reader.source) {
                (buffer: PageAlignedBuffer, count: Int) in
                try reader.loadWholePayload(count, into: buffer)
              }, reading: reading)
            image.passing(next)
            current = next
            frame.state.place = { "\(record.place) at \(record.offset.hex())" }
            frame.push(object: next)
            return 1
          }
          frame.state.place = nil
          frame.pushNil()
          return 1
        }
        return 1
      },
      .method(
        "first", "(type: string|integer): Record?", "The first record of a type, or nil.",
        example: "local params = img:first \"HVM_PARAMS\""
      ) { image, frame in
        let wanted = try recordTypes(frame, 2)
        guard
          let entryIndex = try image.index().entries.firstIndex(where: { wanted.contains($0.type) })
        else {
          frame.pushNil()
          return 1
        }
        frame.push(object: try image.record(entryIndex + 1))
        return 1
      },
      .method(
        "verify", "(): Verification", "Checks the image with the changes made to it; see xs.verify."
      ) { image, frame in
        try pushVerification(of: image, frame)
      },
      .method("close", "()", "Closes the file. Later use of the image raises.") { image, _ in
        image.close()
        return 0
      },
    ]
  }
}

/// The record types that a script means by a name or a number. A number means both layers.
func recordTypes(_ frame: LuaFrame, _ index: Int) throws -> [RecordType] {
  if frame.type(index) == .string, let name = frame.stringIfAny(index) {
    let found = RecordSchemas.all.filter { $0.name == name }.map(\.type)
    if !found.isEmpty { return found }
    if !name.hasPrefix("0x"), UInt32(name) == nil {
      throw LuaError("no record type '\(name)'" + didYouMean(name, among: RecordSchemas.names))
    }
  }
  let wireValue = UInt32(truncatingIfNeeded: try frame.integer(index, in: 0...0xFFFF_FFFF))
  return [RecordType(.libxc, wireValue), RecordType(.libxl, wireValue)]
}
