// The sections of QEMU's state as places that can be named, read and edited.

internal import Bytes

extension BodySchema {
  /// Magic and version, the sections, and the end of the stream in `slot`. A section is called by
  /// its device, `emulator_ctx["0000:00:01.1/ide"]`; of several of one name those whose instance is
  /// not 0 have it after the name: `["kbd#1"]`.
  func sections(of slot: FieldLocation, in body: [UInt8]) -> [FieldLocation] {
    guard let state = QEMUState(body, from: slot.offset) else { return [] }
    var out: [FieldLocation] = []
    func add(_ field: Field, _ path: String, at offset: Int, _ count: Int) {
      out.append(self.slot(field, path: path, at: offset, count: count, order: .big))
    }
    let start = slot.offset
    add(.text("magic", 4), slot.path + ".magic", at: start, 4)
    add(.u32("version"), slot.path + ".version", at: start + 4, 4)
    let first = state.sections.first?.range.lowerBound ?? state.end.lowerBound
    if first > start + 8 {
      let count = first - start - 8
      add(.bytes("configuration", count), slot.path + ".configuration", at: start + 8, count)
    }
    for section in state.sections {
      let name = section.idstr + (section.instance == 0 ? "" : "#\(section.instance)")
      var field = Field(name, .group(Field.rows(of: section)))
      field.ownOrder = .big
      field.isGuess = !section.isEndCertain
      add(
        field, "\(slot.path)[\"\(name)\"]", at: section.range.lowerBound, section.range.count)
    }
    if !state.end.isEmpty {
      // The mark of the end, and whatever the file had after it.
      add(
        .bytes("end", state.end.count), slot.path + ".end", at: state.end.lowerBound,
        state.end.count)
    }
    return out
  }
}

extension Field {
  /// The rows of one section. QEMU: migration/savevm.c, save_section_header and save_section_footer.
  fileprivate static func rows(of section: QEMUState.Section) -> [Field] {
    var data = Field.bytes("data", section.data.count)
    data.isGuess = !section.isEndCertain
    return [
      .x8("section_type"), .u32("section_id"), .u8("idlen"),
      .text("idstr", section.idstr.utf8.count),
      .u32("instance_id"), .u32("version_id"), data,
    ] + (section.isEndCertain ? [.x8("footer_mark"), .u32("footer_section_id")] : [])
  }
}
