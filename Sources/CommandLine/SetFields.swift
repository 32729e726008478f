// xensave-lua set

internal import ArgumentParser
internal import Bytes
internal import Format
internal import ImageEdit
internal import JSON
internal import Jobs
internal import Pages
internal import Reports
internal import Stream
internal import SystemIO

struct SetFields: LongCommand {
  static let name = "set"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Change fields of an image without a script.",
    usage: "xensave-lua set IMAGE PATH=VALUE... (-o OUT | --in-place | --dry-run)",
    discussion: """
      Paths are those of `dump`: config.c_info.name=web1, vcpu[0].rip=0x1000, \
      hvm_params.STORE_PFN=0xfeffc, cpuid[7,0].b=0, domain_header.xen_minor=18, \
      xml.name=web1 in libvirt's XML, xenops.vm_str.name=web1 in xenopsd's record. Values are numbers \
      (decimal or 0x), names of values, text, hex:00ff, or JSON for the configuration.

      In place, only what changes is written. A journal beside the \
      image (.NAME.undo) holds what was there until the image is safe on the disk; after a crash, \
      `xensave-lua recover IMAGE` puts it back. What comes before the pages may change its length: \
      zeros after the configuration take it up, which restores skip (--pad leaves more of them), and \
      where they do not suffice, a block is inserted at the front of the file (ext4, XFS), so that no \
      page is moved. Where that cannot be done, and where what comes after the pages changes its \
      length, the file is replaced as a whole, which keeps \
      its owner, group, mode and extended attributes; a line says why. The image is locked meanwhile: a second edit is \
      refused (exit code 3), and so is one of an image whose last edit was interrupted (exit code 1). \
      An edit of \
      the configuration, of domain_header.xen_major or xen_minor, or of the CPUID and MSR policies \
      reads nothing after it, whatever the size of the image. What lies after the pages is found \
      by the index beside the image (.NAME.index), for which --cache asks: then such an edit reads \
      nothing of the pages either. Without it, only the chain of headers leads there.
      """)

  @Argument(help: "The image: a file.", completion: .file()) var image: String
  @Argument(help: "PATH=VALUE.") var edits: [String]
  @Option(
    name: .shortAndLong, help: "Where to write the changed image; \"-\" is standard output.",
    completion: .file())
  var output: String?
  @Flag(help: "Change the image itself.") var inPlace = false
  @Flag(help: "Print what would change.") var dryRun = false
  @Flag(help: "Leave out the check of the result.") var unchecked = false
  @Flag(
    help:
      "Keep an index beside the image (.NAME.index), by which later edits in place find their place."
  )
  var cache = false
  @Option(
    help: "Leave at least so many bytes of room after the configuration, for later edits in place.")
  var pad: Int?
  @Flag(help: "Print the report as JSON.") var json = false
  @OptionGroup var color: ColorOption
  @OptionGroup var long: ProgressOptions

  mutating func validate() throws {
    guard [output != nil, inPlace, dryRun].filter({ $0 }).count == 1 else {
      throw ValidationError("expected one of -o OUT, --in-place and --dry-run")
    }
    if let pad, !(0...EditJob.roomLimit).contains(pad) {
      throw ValidationError("--pad: expected 0 to \(EditJob.roomLimit), got \(pad)")
    }
  }

  mutating func execute() throws -> Int32 {
    let source = try inPlace ? Source(editing: image) : Source(image: image)
    guard source.isFile else {
      throw XensaveError(
        .usage, "\(image): only a file can be edited by path" + source.unpackingHint)
    }
    if cache {
      _ = try PageImage(caching: image) { writeError("xensave-lua: \($0)\n") }
    }
    let kept = inPlace ? try keptDocument(source) : nil
    let document = try editedDocument(source, kept)
    let edits = EditJob(document: document, isUnchecked: unchecked, room: pad ?? 0)
    if let edit = source.edit {
      switch try edits.inPlace(edit, keepsIndex: kept != nil) {
      case .written(let written): return try report(written)
      case .newFile(let reason):
        if !long.quiet { writeError("xensave-lua: \(image): written anew: \(reason)\n") }
      }
    } else if let output, output != "-", let written = try edits.clone(to: output) {
      return try show(written.report)
    }
    try edits.leaveRoom()
    let destination: Destination =
      dryRun ? .none : inPlace ? .inPlace : Destination(output ?? "-")
    let job = RewriteJob(destination: destination, isUnchecked: unchecked)
    return try show(job.run(source.duplicate(), document.edits))
  }

  private func show(_ report: ChangeReport) throws -> Int32 {
    if json, output != "-" {
      try writeOut(report.json)
    } else if dryRun {
      try writeOut(color.textStyle.report(report) + "\n")
    } else if !long.quiet {
      writeError("xensave-lua: \(report.text)\n")
    }
    return ExitCode.good
  }

  private func report(_ written: EditJob.Written) throws -> Int32 {
    if json {
      var writer = JSONWriter(style: .pretty)
      writer.beginObject()
      writer.member("image", image)
      writer.member("octets_changed_in_place", written.byteCount)
      writer.member("octets_inserted", written.inserted)
      writer.endObject()
      try writeOut(writer.finish())
    } else if !long.quiet {
      let inserted = written.inserted
      writeError(
        "xensave-lua: \(image): \(written.byteCount) bytes changed in place"
          + (inserted > 0 ? ", a block of \(inserted) inserted before them\n" : "\n"))
    }
    return ExitCode.good
  }

  /// The image as the index beside it knows it; nil where there is none that leads after the pages.
  private func keptDocument(_ source: Source) throws -> ImageDocument? {
    let spots: [RecordLocation]?
    do {
      spots = try IndexCache(of: image).recordsAfterPages(of: source)
    } catch {
      if XensaveError(error).code == .interrupted { throw error }
      spots = nil
    }
    guard let spots, let first = spots.first else { return nil }
    let front = try RecordIndex(source.duplicate(), frontOnly: true)
    return ImageDocument(
      try source.duplicate(),
      RecordIndex(front, tail: first.index, spots.map { ($0.offset, $0.type) }))
  }

  /// The image with the edits made. The chain of headers is followed to its end only where an edit
  /// needs it; `kept` is what is known without.
  private func editedDocument(_ source: Source, _ kept: ImageDocument?) throws -> ImageDocument {
    let isLeftAlone = inPlace || (output ?? "-") != "-" && source.cloneUnit > 0
    if isLeftAlone, let front = try? ImageDocument(source.duplicate(), frontOnly: true),
      leads(front, { front.isSelfContained($0) })
    {
      for edit in edits { try apply(edit, to: front) }
      return front
    }
    if let kept, leads(kept, { kept.isApartFromPages($0) }) {
      for edit in edits { try apply(edit, to: kept) }
      return kept
    }
    let document = try ImageDocument(source)
    for edit in edits { try apply(edit, to: document) }
    return document
  }

  /// Whether all edits are at places of a document that is only partly known, and are such.
  private func leads(_ document: ImageDocument, _ isSuch: (ImagePlace) -> Bool) -> Bool {
    edits.allSatisfy { edit in
      guard let path = try? ImagePath(String(edit.prefix { $0 != "=" })),
        let place = try? document.resolve(path)
      else { return false }
      return isSuch(place)
    }
  }

  private func apply(_ edit: String, to document: ImageDocument) throws {
    guard let equals = edit.firstIndex(of: "=") else {
      throw XensaveError(.usage, "\(edit): expected PATH=VALUE")
    }
    do {
      let path = try ImagePath(String(edit[..<equals]))
      try document.set(path, text: String(edit[edit.index(after: equals)...]))
    } catch let error as FormatError {
      throw XensaveError(.usage, "\(image): \(error)")
    }
  }
}

struct Recover: ShellCommand {
  static let name = "recover"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Undo an edit in place that was interrupted.",
    discussion: """
      Writes back what the journal beside the image (.NAME.undo) holds, where the image still has \
      bytes from before or after the edit. A journal of another file that had this name is removed, and \
      nothing is written. Exit codes: 0 done, or nothing to undo; 1 refused, because the journal or the \
      image is not what that edit left; 3 a system call failed, or the edit is still continuing.
      """)

  @Argument(help: "The image.", completion: .file()) var image: String
  @Flag(help: "Print JSON.") var json = false

  mutating func execute() throws -> Int32 {
    let recovery = try FileEdit.recover(image)
    if case .void(let line) = recovery { writeError("xensave-lua: note: \(line)\n") }
    let wrote = recovery == .undone
    if json {
      var writer = JSONWriter(style: .pretty)
      writer.beginObject()
      writer.member("image", image)
      writer.member("undone", wrote)
      writer.endObject()
      try writeOut(writer.finish())
      return ExitCode.good
    }
    try writeOut(
      "\(image): \(wrote ? "the interrupted edit was undone" : "there was nothing to undo")\n")
    return ExitCode.good
  }
}
