// A store of images: each page is there once.

internal import Bytes
internal import ImageCheck
internal import Jobs
internal import Synchronization
public import SystemIO

/// Many images, in a folder or in a bucket, whose pages are there once however many images have them:
/// hundreds of like guests, and checkpoints of one guest.
///
/// | object | |
/// |---|---|
/// | `format` | one line: what this is |
/// | `images/NAME` | an image: which bytes it consists of |
/// | `packs/ID` | pages, 64 to a zstd frame |
/// | `index/ID` | the lengths of the pack's frames, and the names of its pages |
/// | `leases/ID` | who works in the store |
///
/// No object changes but `images/NAME`, which is replaced as a whole, and leases. An image is written after
/// all that it needs, and a pack is removed after all that need it: whatever fails, and wherever, what the
/// store lists is whole.
public struct ImageStore: Sendable {
  let place: StorePlace
  private static let format = "xensave-lua store 1\n"

  /// The store at a folder or URL.
  ///
  /// - Throws: `notFound` where there is none and `isNew` does not ask to make one; `invalid` where it is
  ///   one of another version.
  public init(_ root: String, isNew: Bool = false) throws {
    place = StorePlace(root)
    guard !root.isEmpty else { throw XensaveError(.usage, "'': expected a folder or a URL") }
    do {
      let bytes = try place.read("format", limit: 4096)
      guard bytes == Array(ImageStore.format.utf8) else {
        throw XensaveError(
          .invalid,
          "\(place.path("format")): expected '\(ImageStore.format.dropLast())', got "
            + "'\(bytes.prefix(40).printable)'")
      }
    } catch  where XensaveError(error).errno == 2 {
      guard isNew else {
        throw XensaveError(.notFound, "\(place.root): no store of images (store put makes one)")
      }
      try make()
    }
  }

  private func make() throws {
    if !place.isRemote {
      try makeFolder(place.root)
      // Another program may be making it, too.
      let names = FileSystem.names(in: place.root)
      guard names?.allSatisfy({ (ImageStore.folders + ["format"]).contains($0) }) == true else {
        throw XensaveError(
          .refused, "\(place.root): no store is made of it: expected an empty folder")
      }
      for folder in ImageStore.folders { try makeFolder(place.path(folder)) }
    }
    try place.write("format", Array(ImageStore.format.utf8), .replacing)
  }

  private func makeFolder(_ path: String) throws {
    do { try FileSystem.createFolder(path) } catch  where error.errno == 17 {
      guard FileSystem.isFolder(path) else { throw error }
    }
  }

  static let folders = ["images", "index", "leases", "packs"]

  /// - Throws: `usage` where a name cannot be that of an image.
  public static func check(_ name: String) throws {
    let isPlain = name.unicodeScalars.allSatisfy {
      $0.value >= 0x20 && $0.value != 0x7F && $0 != "/"
    }
    guard isPlain, !name.isEmpty, !name.hasPrefix("."), name.utf8.count <= 200 else {
      throw XensaveError(
        .usage,
        "'\(Array(name.utf8).printable)' cannot be the name of an image: expected 1 to 200 bytes "
          + "without / and control characters, that do not begin with a dot")
    }
  }

  /// Whether a file or object is one of the store's own.
  public func contains(_ path: String) -> Bool { place.contains(path) }

  // MARK: - Reading

  func manifest(_ name: String) throws -> Manifest {
    try ImageStore.check(name)
    let bytes: [UInt8]
    do { bytes = try place.read("images/" + name, limit: Manifest.byteLimit) } catch
      where XensaveError(error).errno == 2
    {
      throw XensaveError(.notFound, "\(place.root): it has no image '\(name)'")
    }
    return try Manifest(bytes, path: place.path("images/" + name))
  }

  /// An image, to be read at any offset.
  public func open(_ name: String) throws -> Source {
    try Source(StoredImageReader(place, manifest(name)))
  }

  /// The images, sorted by their names, and why others cannot be listed.
  public func list() throws -> (images: [StoredImage], damaged: [XensaveError]) {
    let names = try names()
    let all = try gathered(names.count) { [place] index -> Result<StoredImage, XensaveError>? in
      let path = place.path("images/" + names[index])
      do {
        var image = try StoredImage(Source(opening: path).read(Manifest.headLimit), path: path)
        image.name = names[index]
        return .success(image)
      } catch {
        let error = XensaveError(error)
        // Somebody has removed it meanwhile.
        if error.errno == 2 { return nil }
        guard error.code == .invalid else { throw error }
        return .failure(error)
      }
    }
    var (images, damaged): ([StoredImage], [XensaveError]) = ([], [])
    for case let one? in all {
      switch one {
      case .success(let image): images.append(image)
      case .failure(let error): damaged.append(error)
      }
    }
    return (images, damaged)
  }

  func names() throws -> [String] { try place.names(in: "images") }

  /// Removes an image. Its pages stay until garbage is collected.
  public func remove(_ name: String) throws {
    try ImageStore.check(name)
    let lease = try StoreLease(place, .shared)
    defer { lease.release() }
    guard try place.exists("images/" + name) else {
      throw XensaveError(.notFound, "\(place.root): it has no image '\(name)'")
    }
    try place.remove("images/" + name)
  }

  // MARK: - Adding

  /// Begins to add images. Until the result is gone no garbage is collected.
  ///
  /// - Throws: `busy` where garbage is being collected.
  public func adding() throws -> ImageAdder { try ImageAdder(self) }

  /// Adds one image (`ImageAdder.put`).
  public func put(
    _ source: Source, as name: String, isReplacing: Bool = false, isUnchecked: Bool = false
  ) throws -> StoredImage {
    try adding().put(source, as: name, isReplacing: isReplacing, isUnchecked: isUnchecked)
  }

  /// The packs that have an index. Not all of them need be there: then the store is damaged.
  func packs() throws -> [PackID] {
    try place.names(in: "index").map { name in
      guard let id = PackID(name) else {
        throw XensaveError(.invalid, "\(place.path("index/" + name)): no name of a pack")
      }
      return id
    }
  }

  /// The indexes of packs, in their order.
  func indexes(_ ids: [PackID]) throws -> [PackIndex] {
    try gathered(ids.count) { [place] index in
      let name = "index/" + ids[index].text
      return try PackIndex(place.read(name, limit: PackIndex.byteLimit), path: place.path(name))
    }
  }

  /// What `body` gives for each of 0..<count. Objects of a bucket are fetched several at a time: each is
  /// waited for longer than it takes.
  private func gathered<T: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> T
  ) throws -> [T] {
    let results = Results<T>(count)
    try Crew.run(count, jobs: place.isRemote ? 8 : Environment.coreCount) {
      results.set($0, try body($0))
    }
    return results.all
  }

  private final class Results<T: Sendable>: Sendable {
    private let values: Mutex<[T?]>

    init(_ count: Int) { values = Mutex([T?](repeating: nil, count: count)) }

    func set(_ index: Int, _ value: T) { values.withLock { $0[index] = value } }
    var all: [T] { values.withLock { $0.compactMap { $0 } } }
  }
}
