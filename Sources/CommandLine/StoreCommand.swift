// xensave-lua store: many images whose pages are kept once.

internal import ArgumentParser
internal import Bytes
internal import ContentStore
internal import Jobs
internal import JSON
internal import Reports
internal import SystemIO
internal import Terminal

struct StoreCommand: ShellCommand {
  static let name = "store"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Keep many images so that equal pages are there once.",
    discussion: """
      A store is a folder or s3://BUCKET/PREFIX. Images of like guests share their pages in it, and so do \
      later images of one guest; what is left is packed with zstd. An image comes out byte for byte as it \
      went in.
      """,
    subcommands: [
      StorePut.self, StoreGet.self, StoreList.self, StoreRemove.self, StoreCollect.self,
    ])

  mutating func execute() throws -> Int32 {
    try writeOut(StoreCommand.helpMessage() + "\n")
    return ExitCode.usage
  }
}

struct StorePut: LongCommand {
  static let name = "put"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Add images to a store, and make it where there is none.",
    discussion: """
      Each image is verified first, and has the last part of its path as its name in the store. Memory grows \
      by 50 to 85 bytes for each page that the store has.
      """)

  @Argument(help: "The store: a folder or URL.", completion: .directory) var store: String
  @Argument(help: "The images, files or URLs.", completion: .file()) var images: [String]
  @Option(help: ArgumentHelp("The name in the store, of one image.", valueName: "name"))
  var name: String?
  @Flag(help: "Replace images that have these names.") var replace = false
  @Flag(help: "Take images that would not restore.") var unchecked = false
  @Flag(help: "Print JSON, a line for each image.") var json = false
  @OptionGroup var long: ProgressOptions

  mutating func execute() throws -> Int32 {
    guard name == nil || images.count == 1 else {
      throw XensaveError(.usage, "--name: expected one image, got \(images.count)")
    }
    let names = images.map { name ?? String($0.split(separator: "/").last ?? "") }
    if let twice = Dictionary(grouping: names, by: { $0 }).first(where: { $0.value.count > 1 }) {
      throw XensaveError(.usage, "two images would have the name '\(twice.key)' in the store")
    }
    // A store is not made for nothing.
    for name in names { try ImageStore.check(name) }
    for path in images where !RemoteFiles.isRemote(path) { _ = try Source(image: path) }
    let adder = try ImageStore(store, isNew: true).adding()
    for (path, name) in zip(images, names) {
      let stored = try adder.put(
        Source(image: path), as: name, isReplacing: replace, isUnchecked: unchecked)
      if json {
        try writeOut(StoreList.line(stored))
      } else if !long.quiet {
        try writeOut(
          "\(escapeForDisplay(name)): \(stored.byteCount.byteCount), of which "
            + "\(stored.newByteCount.byteCount) of pages are new\n")
      }
    }
    return ExitCode.good
  }
}

struct StoreGet: LongCommand {
  static let name = "get"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Take an image out of a store.",
    discussion: """
      Each page is compared with the name that it is kept by, and the whole is verified before the output \
      gets its name.
      """)

  @Argument(help: "The store: a folder or URL.", completion: .directory) var store: String
  @Argument(help: "The image's name in the store.") var image: String
  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Write the image here; \"-\" is standard output.", valueName: "out"),
    completion: .file())
  var output: String
  @Flag(help: "Leave out the check of what was written.") var unchecked = false
  @OptionGroup var long: ProgressOptions

  mutating func execute() throws -> Int32 {
    let store = try ImageStore(self.store)
    guard output == "-" || !store.contains(output) else {
      throw XensaveError(.usage, "\(output): the output lies in the store itself")
    }
    let source = try store.open(image)
    let job = OutputJob(destination: Destination(output), isUnchecked: unchecked)
    try job.run(butNot: []) { sink in
      try Progress.phase("writing", of: source.byteCount, done: { sink.position }) {
        guard let count = source.byteCount, try source.move(count, to: sink) == count else {
          throw XensaveError(.changed, "\(source.path): it became shorter while it was read")
        }
      }
    }
    return ExitCode.good
  }
}

struct StoreList: ShellCommand {
  static let name = "ls"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "List the images of a store.")

  @Argument(help: "The store: a folder or URL.", completion: .directory) var store: String
  @Flag(help: "Print JSON, a line for each image.") var json = false

  mutating func execute() throws -> Int32 {
    let (images, damaged) = try ImageStore(store).list()
    if json {
      for image in images { try writeOut(StoreList.line(image)) }
    } else if !images.isEmpty {
      let rows = images.map { image in
        [
          escapeForDisplay(image.name), image.byteCount.byteCount, image.newByteCount.byteCount,
          LocalTime.stamp(at: Double(image.time)), escapeForDisplay(image.domain),
          escapeForDisplay(image.xen),
        ]
      }
      try writeOut(
        Shown.table([["image", "size", "new", "put", "domain", "Xen"]] + rows, right: [1, 2]))
    }
    guard let first = damaged.first else { return ExitCode.good }
    throw XensaveError(
      .findings,
      first.message + (damaged.count > 1 ? " (and \(damaged.count - 1) more)" : ""))
  }

  static func line(_ image: StoredImage) -> [UInt8] {
    var writer = JSONWriter(style: .compact)
    writer.object {
      $0.member("name", image.name)
      $0.member("bytes", image.byteCount)
      $0.member("new_bytes", image.newByteCount)
      $0.member("time", image.time)
      $0.member("domain", image.domain)
      $0.member("xen", image.xen)
    }
    return writer.finish()
  }
}

struct StoreRemove: ShellCommand {
  static let name = "rm"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Remove images from a store.",
    discussion: "Pages that no other image has stay until the next store gc.")

  @Argument(help: "The store: a folder or URL.", completion: .directory) var store: String
  @Argument(help: "The names of the images.") var images: [String]

  mutating func execute() throws -> Int32 {
    let store = try ImageStore(self.store)
    for image in images { try store.remove(image) }
    return ExitCode.good
  }
}

struct StoreCollect: LongCommand {
  static let name = "gc"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Give back the room of pages that no image needs.",
    discussion: """
      Packs of pages of which less than half is needed are written anew, and many small ones become few. \
      Nobody may add or remove images \
      meanwhile: each program has a lease, which is over an hour after the program was killed.
      """)

  @Argument(help: "The store: a folder or URL.", completion: .directory) var store: String
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var long: ProgressOptions

  mutating func execute() throws -> Int32 {
    let done = try ImageStore(store).collect()
    if json {
      try writeOut(
        JSONWriter.document { writer in
          writer.object {
            $0.member("packs", done.packCount)
            $0.member("removed", done.removedPackCount)
            $0.member("rewritten", done.rewrittenPackCount)
            $0.member("damaged", done.damagedPackCount)
            $0.member("bytes_before", done.bytesBefore)
            $0.member("bytes_after", done.bytesAfter)
          }
        })
    } else if !long.quiet {
      try writeOut(
        "\(done.packCount) pack\(done.packCount == 1 ? "" : "s"): \(done.removedPackCount) removed, \(done.rewrittenPackCount) written anew; "
          + "\(done.bytesBefore.byteCount) became \(done.bytesAfter.byteCount)\n")
    }
    guard done.damagedPackCount > 0 else { return ExitCode.good }
    throw XensaveError(
      .findings,
      "\(store): packs with damaged pages that images need, which stay as they are: "
        + "\(done.damagedPackCount) (store get names the images)")
  }
}
