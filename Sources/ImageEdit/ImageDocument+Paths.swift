// Reading and writing an image by path.

internal import Bytes
public import Format
public import JSON
public import Markup
internal import Stream
internal import SystemIO

/// Where a path leads.
public enum ImagePlace: Sendable {
  /// A field of a header; nil for all of it.
  case header(HeaderKind, FieldLocation?)
  /// A field of a record; nil for all of it.
  case record(Int, FieldLocation?)
  /// A place in the configuration.
  case config(JSONPath)
  /// A place in libvirt's XML or xenopsd's record.
  case text(DomainText, MarkupPath)
}

extension ImageDocument {
  /// The place of a path.
  public func resolve(_ path: ImagePath) throws -> ImagePlace {
    switch path.root {
    case .config:
      do { return .config(try JSONPath(parsing: path.inside)) } catch {
        throw FormatError(.invalid, field: path.text, "\(error)")
      }
    case .text(let kind):
      guard try text(kind) != nil else { throw missing(path, kind.missing) }
      do { return .text(kind, try MarkupPath(parsing: path.inside)) } catch {
        throw FormatError(.invalid, field: path.text, "\(error)")
      }
    case .header(let kind):
      guard let header = header(kind) else { throw missing(path, kind.title) }
      return .header(kind, try slot(path.inside, header.layout, header.bytes, path, kind.title))
    case .recordIndex(let recordIndex):
      guard recordIndex >= 1, recordIndex <= index.entries.count else {
        throw missing(path, "record \(recordIndex) (there are \(index.entries.count))")
      }
      return try place(recordIndex, path.inside, path)
    case .records(let type, let occurrence):
      let indexes = indexes(of: type)
      // HVM_CONTEXT[0] could only be the first record; HVM_CONTEXT.CPU[0] is the entry.
      guard occurrence ?? 0 < indexes.count else { throw missing(path, type.name) }
      return try place(indexes[occurrence ?? 0], path.inside, path)
    case .vcpu(let id): return try vcpu(id ?? 0, path)
    case .hvmParams:
      let recordIndex = try first(.hvmParams, path)
      if path.inside.isEmpty { return .record(recordIndex, nil) }
      // In quotes: a number is a parameter's here, and not its position.
      let name = path.inside.filter { $0 != "[" && $0 != "]" && $0 != "\"" }
      return try place(recordIndex, "param[\"\(name)\"].value", path)
    case .cpuidPolicy: return try place(try first(.x86CPUIDPolicy, path), path.inside, path)
    case .cpuid(let leaf, let subleaf): return try cpuid(leaf, subleaf, path)
    case .msrPolicy:
      let recordIndex = try first(.x86MSRPolicy, path)
      if path.inside.isEmpty { return .record(recordIndex, nil) }
      // In quotes: a number names an MSR here and not a position.
      let name = path.inside.filter { $0 != "[" && $0 != "]" }
      return try place(recordIndex, "msr[\"\(name)\"].value", path)
    }
  }

  /// Whether what is at this place concerns no part of the image but its own: to see what an edit
  /// there does, nothing after it has to be looked at.
  public func isSelfContained(_ place: ImagePlace) -> Bool {
    switch place {
    case .config(let path): !ImageDocument.concernsStream(path)
    case .text: true
    case .header(.domain, let slot?): ["xen_major", "xen_minor"].contains(slot.path)
    case .header: false
    case .record(let recordIndex, _):
      [.x86CPUIDPolicy, .x86MSRPolicy].contains(index.entries[recordIndex - 1].type)
    }
  }

  /// Whether rules hold this place of the configuration against the stream after it.
  private static func concernsStream(_ path: JSONPath) -> Bool {
    guard case .name(let part)? = path.keys.first else { return true }
    guard part == "c_info" || part == "b_info" else { return false }
    guard path.keys.count > 1, case .name(let key) = path.keys[1] else { return true }
    return ["type", "max_vcpus", "target_memkb", "max_memkb"].contains(key)
      || key.hasPrefix("type.") && path.keys.count == 2
  }

  /// Whether what is at this place has nothing to do with the pages: an edit there can be looked at
  /// without them.
  public func isApartFromPages(_ place: ImagePlace) -> Bool {
    guard case .record(let recordIndex, _) = place else { return isSelfContained(place) }
    // The guest's width says how pages are read, the p2m's frames and parameters which have to be there.
    return ![.pageData, .x86PVInfo, .x86PVP2MFrames, .hvmParams].contains(
      index.entries[recordIndex - 1].type)
  }

  private func missing(_ path: ImagePath, _ what: String) -> FormatError {
    FormatError(.unknownName, field: path.text, "the image has no \(what)")
  }

  private func first(_ type: RecordType, _ path: ImagePath) throws -> Int {
    guard let recordIndex = indexes(of: type).first else { throw missing(path, type.name) }
    return recordIndex
  }

  private func place(
    _ recordIndex: Int, _ inside: String, _ path: ImagePath
  ) throws -> ImagePlace {
    let record = try record(recordIndex)
    return .record(
      recordIndex, try slot(inside, record.layout, record.body, path, record.type.name))
  }

  private func slot(
    _ inside: String, _ layout: BodySchema, _ body: [UInt8], _ path: ImagePath, _ title: String
  ) throws -> FieldLocation? {
    if inside.isEmpty { return nil }
    do { return try layout.slot(inside, in: body) } catch {
      if error.kind == .absent {
        throw FormatError(.absent, "\(title) \(error.problem)")
      }
      throw FormatError(error.kind, field: path.text, error.problem)
    }
  }

  /// A vCPU's registers: an HVM guest's in HVM_CONTEXT, a PV guest's in its BASIC record, where
  /// those that are not at the top of the context are looked for in user_regs.
  private func vcpu(_ id: Int, _ path: ImagePath) throws -> ImagePlace {
    if index.end.guest == .x86HVM {
      let recordIndex = try first(.hvmContext, path)
      let inside = "CPU[\(id)]" + (path.inside.isEmpty ? "" : ".\(path.inside)")
      return try place(recordIndex, inside, path)
    }
    // The last record of a vCPU counts: that is what a restore takes.
    for recordIndex in indexes(where: \.hasPVRegisters).reversed() {
      let record = try record(recordIndex)
      guard record.unsigned("vcpu_id") == UInt64(id) else { continue }
      if path.inside.isEmpty { return .record(recordIndex, nil) }
      for prefix in ["", "user_regs."] {
        if let slot = record.layout.find(prefix + path.inside, in: record.body) {
          return .record(recordIndex, slot)
        }
      }
      return .record(
        recordIndex,
        try slot("user_regs." + path.inside, record.layout, record.body, path, record.type.name))
    }
    throw missing(path, "vCPU \(id)")
  }

  private func cpuid(
    _ leaf: UInt32, _ subleaf: UInt32?, _ path: ImagePath
  ) throws -> ImagePlace {
    let recordIndex = try first(.x86CPUIDPolicy, path)
    let record = try record(recordIndex)
    let leaves = CPUIDLeaf.all(in: record.body, record.context)
    let position = leaves.firstIndex {
      $0.leaf == leaf && (subleaf == nil || $0.subleaf == subleaf || $0.subleaf == .max)
    }
    guard let position else {
      throw missing(path, "CPUID leaf \(leaf.hex())\(subleaf.map { ", subleaf \($0)" } ?? "")")
    }
    let inside = "leaf[\(position)]" + (path.inside.isEmpty ? "" : ".\(path.inside)")
    return try place(recordIndex, inside, path)
  }

  // MARK: - Values

  /// The configuration as a document; nil where there is none in JSON.
  public func config() throws -> JSONDocument? {
    guard let header = header(.xl), XLConfig.isJSON(header), let text = XLConfig.text(header)
    else { return nil }
    do { return try JSONDocument(text) } catch {
      throw FormatError(.invalid, field: "config", "\(error)")
    }
  }

  /// Libvirt's XML or xenopsd's record as text; nil where there is none.
  public func text(_ kind: DomainText) throws -> [UInt8]? {
    switch kind {
    case .xml: return header(.libvirt).flatMap { DomainText.text($0) }
    case .xenops:
      guard let recordIndex = indexes(of: .xenops).first else { return nil }
      let record = try record(recordIndex)
      guard let text = DomainText.text(record) else {
        throw
          FormatError(
            .outOfRange, field: kind.rawValue,
            "expected at most \(StreamReader.Limit.blob) bytes, got \(record.length)")
      }
      return text
    }
  }

  /// Libvirt's XML or xenopsd's record as a document; nil where there is none.
  public func document(_ kind: DomainText) throws -> (any MarkupDocument)? {
    guard let text = try text(kind) else { return nil }
    do { return try kind.document(text) } catch {
      throw FormatError(.invalid, field: kind.rawValue, "\(error)")
    }
  }

  /// What else describes the domain, for a message that there is no configuration.
  public var descriptionHint: String {
    for kind in DomainText.allCases where (try? text(kind)) ?? nil != nil {
      return " (\(kind.title) is found as \(kind.rawValue), its name as "
        + "\(kind.rawValue).\(kind.namePath))"
    }
    return ""
  }

  private func setText(
    _ kind: DomainText, _ place: MarkupPath, _ new: String, _ path: ImagePath
  ) throws {
    // The whole of it may be replaced even where it cannot be read.
    var text = Array(new.utf8)
    let old = try place.steps.isEmpty ? nil : self.text(kind)
    do throws(MarkupError) {
      var document = try kind.document(old ?? text)
      if !place.steps.isEmpty { try document.set(place, to: new) }
      text = document.text
    } catch {
      throw FormatError(.invalid, field: path.text, "\(error.problem)")
    }
    switch kind {
    case .xml:
      guard var header = header(.libvirt) else { return }
      DomainText.setText(text, in: &header)
      setBytes(header.bytes, of: .libvirt)
    case .xenops:
      guard let recordIndex = indexes(of: .xenops).first else { return }
      try setBody(text, ofRecord: recordIndex)
    }
  }

  /// Sets the place of `path` to what `text` means there: a number (decimal, hexadecimal, or the
  /// name of a value), bytes as hexadecimal digits ("hex:00ff"), text, or JSON for the
  /// configuration (plain words are strings).
  public func set(_ path: ImagePath, text: String) throws {
    switch try resolve(path) {
    case .config(let place): try setConfig(place, text, path)
    case .text(let kind, let place): try setText(kind, place, text, path)
    case .header(let kind, let slot?):
      guard var bytes = header(kind)?.bytes else { return }
      try set(slot, text, &bytes, path)
      setBytes(bytes, of: kind)
    case .record(let recordIndex, let slot?):
      var body = try record(recordIndex).body
      try set(slot, text, &body, path)
      try setBody(body, ofRecord: recordIndex)
    default:
      throw FormatError(.invalid, field: path.text, "expected the path of one field")
    }
  }

  private func set(
    _ slot: FieldLocation, _ text: String, _ body: inout [UInt8], _ path: ImagePath
  ) throws {
    var value = FieldValue.text(text)
    if text.hasPrefix("hex:") {
      guard let bytes = [UInt8](hexDigits: text.dropFirst(4)) else {
        throw
          FormatError(.invalid, field: path.text, "expected pairs of hexadecimal digits")
      }
      value = .bytes(bytes)
    }
    do { try slot.set(value, in: &body) } catch {
      throw FormatError(error.kind, field: path.text, error.problem)
    }
  }

  private func setConfig(
    _ place: JSONPath, _ text: String, _ path: ImagePath
  ) throws {
    guard var document = try config(), var header = header(.xl) else {
      throw missing(path, "configuration in JSON" + descriptionHint)
    }
    let value: JSONValue
    // A string stays a string: "name=12" is a name. Everything else is taken as JSON where it is.
    if case .string? = document[place] {
      value = .string(text)
    } else {
      value = (try? JSONValue(parsing: text)) ?? .string(text)
    }
    do { try document.set(place, to: value) } catch {
      throw FormatError(.invalid, field: path.text, "\(error)")
    }
    XLConfig.setText(document.text, in: &header)
    setBytes(header.bytes, of: .xl)
  }
}

extension [UInt8] {
  /// The bytes of pairs of hexadecimal digits; nil for anything else.
  init?(hexDigits text: some StringProtocol) {
    let digits = Array<UInt8>(text.utf8)
    guard digits.count % 2 == 0 else { return nil }
    self = []
    for index in stride(from: 0, to: digits.count, by: 2) {
      let pair = String(decoding: digits[index..<index + 2], as: UTF8.self)
      guard let byte = UInt8(pair, radix: 16), pair.first != "+" else { return nil }
      append(byte)
    }
  }
}
