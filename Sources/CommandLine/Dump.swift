// xensave-lua dump

internal import ArgumentParser
internal import Bytes
internal import Format
internal import ImageEdit
internal import JSON
internal import Markup
internal import Reports
internal import Stream
internal import SystemIO

struct Dump: ShellCommand {
  static let name = "dump"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Print headers and records with their fields.",
    discussion: """
      A PART is a path: a record type (HVM_PARAMS), a record by number (record[17]), a header \
      (domain_header), a field of one of them (X86_TSC_INFO.khz, HVM_CONTEXT.LAPIC[1]), or vcpu[0], \
      vcpu[0].rip, hvm_params.STORE_PFN, cpuid[7,0], msr_policy[0xce], config.disks; of an image of \
      virsh save xml.name, xml.devices.disk[0].source@file; of xenopsd's xenops.vm_str.name. Without one, \
      everything is printed; of PAGE_DATA only the counts.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @Argument(help: "What to print.") var parts: [String] = []
  @Flag(help: "Print JSON: one array of headers and records.") var json = false
  @OptionGroup var color: ColorOption
  @Flag(help: "Print the bytes in hexadecimal too.") var hex = false
  @Flag(help: "Print arrays whole, however long.") var all = false

  mutating func execute() throws -> Int32 {
    var dumper: any Dumping =
      json
      ? JSONDumper() : TextDumper(showsHex: hex, showsAll: all, textStyle: color.textStyle)
    let source = try Source(image: image)
    if parts.isEmpty {
      try dumpAll(source, &dumper)
    } else {
      guard source.isFile else {
        throw XensaveError(
          .usage, "\(image): parts can be picked only from a file" + source.unpackingHint)
      }
      try dumpParts(ImageDocument(source), &dumper)
    }
    try writeOut(dumper.finish())
    return ExitCode.good
  }

  private func dumpAll(_ source: Source, _ dumper: inout any Dumping) throws {
    var reader = StreamReader(source)
    while let part = try reader.next() {
      dumper.add(part)
      try writeOut(dumper.take())
    }
  }

  private func dumpParts(_ document: ImageDocument, _ dumper: inout any Dumping) throws {
    for text in parts {
      let path: ImagePath
      do { path = try ImagePath(text) } catch {
        throw XensaveError(.usage, "\(image): \(error)")
      }
      do {
        // A type by itself means all its records.
        if case .records(let type, nil) = path.root, path.inside.isEmpty,
          document.indexes(of: type).count > 1
        {
          for recordIndex in document.indexes(of: type) {
            dumper.add(DumpItem(try document.record(recordIndex)))
          }
        } else {
          try add(try document.resolve(path), path, document, &dumper)
        }
      } catch let error as FormatError {
        throw XensaveError(.findings, "\(image): \(error)")
      }
      try writeOut(dumper.take())
    }
  }

  private func add(
    _ place: ImagePlace, _ path: ImagePath, _ document: ImageDocument,
    _ dumper: inout any Dumping
  ) throws {
    switch place {
    case .config(let path):
      guard let config = try document.config() else {
        throw XensaveError(
          .findings, "\(image): no configuration in JSON\(document.descriptionHint)")
      }
      guard let value = config[path] else {
        throw XensaveError(.findings, "\(image): no config.\(path)")
      }
      dumper.add(value, path: "config" + (path.keys.isEmpty ? "" : ".\(path)"))
    case .text(let kind, let place):
      guard let found = try document.document(kind) else { return }
      guard let value = found.value(at: place) else {
        throw XensaveError(.findings, "\(image): no \(kind.title(place))")
      }
      dumper.add(value, found.leaves(at: place), path: kind.title(place))
    case .header(let kind, let slot):
      guard let header = document.header(kind) else { return }
      dumper.add(DumpItem(header, only: slot))
    case .record(let recordIndex, let slot):
      let record = try document.record(recordIndex)
      var item = DumpItem(record, only: slot)
      // Asked for by its name, a parameter is called by it, and not by its place in the record.
      if path.root == .hvmParams, let slot {
        item.label = record.layout.paramTitle(of: slot, in: record.body)
      }
      dumper.add(item)
    }
  }
}

extension MarkupDocument {
  /// The texts inside a place, with paths from there.
  fileprivate func leaves(at place: MarkupPath) -> [(path: MarkupPath, text: String)] {
    let count = place.steps.count
    return leaves(limit: 10_000).compactMap { leaf in
      guard leaf.path.steps.starts(with: place.steps) else { return nil }
      return (MarkupPath(Array(leaf.path.steps.dropFirst(count))), leaf.text)
    }
  }
}
