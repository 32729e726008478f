// Collecting garbage: packs that no image needs, and what is left of those that few pages are needed of.

internal import Bytes
internal import Jobs
internal import SystemIO

/// What a collection has done.
public struct CollectionReport: Sendable, Equatable {
  public internal(set) var packCount = 0
  public internal(set) var removedPackCount = 0
  /// Packs whose pages were written anew, because few of them are needed.
  public internal(set) var rewrittenPackCount = 0
  /// Packs that stay because a page of them that is needed is damaged.
  public internal(set) var damagedPackCount = 0
  /// Bytes of packs, before and after.
  public internal(set) var bytesBefore: UInt64 = 0
  public internal(set) var bytesAfter: UInt64 = 0
}

extension ImageStore {
  /// Removes the pages that no image needs. A pack of which less than half is needed is written anew, and
  /// so are small ones where there are many.
  ///
  /// Nothing is removed before all images that needed it are there without it; what is killed on the way
  /// leaves garbage for the next collection.
  ///
  /// - Throws: `busy` where somebody else works in the store; `invalid` where it is damaged: then nothing is
  ///   removed.
  public func collect() throws -> CollectionReport {
    let lease = try StoreLease(place, .alone)
    defer { lease.release() }
    return try GarbageCollection(self, lease).run()
  }
}

private final class GarbageCollection {
  private let store: ImageStore
  private let lease: StoreLease
  private var report = CollectionReport()
  /// So many small packs are put together: each costs everybody who adds an image a read.
  private static let smallLimit = 16
  /// The pages of each pack that images need.
  private var needed: [PackID: Bitmap] = [:]

  private struct Bitmap {
    let pack: Manifest.Pack
    var bits: [Bool]
    var count = 0

    init(_ pack: Manifest.Pack, _ count: Int) {
      self.pack = pack
      bits = [Bool](repeating: false, count: count)
    }

    mutating func insert(_ range: Range<Int>) {
      for slot in range where !bits[slot] {
        bits[slot] = true
        count += 1
      }
    }
  }

  init(_ store: ImageStore, _ lease: StoreLease) { (self.store, self.lease) = (store, lease) }

  func run() throws -> CollectionReport {
    let contents = try store.place.names(in: "packs")
    let packs = try store.packs()
    var indexes: [PackID: PackIndex] = [:]
    for (id, index) in zip(packs, try store.indexes(packs)) {
      indexes[id] = index
      report.bytesBefore += index.packByteCount
    }
    report.packCount = packs.count
    let names = try store.names()
    let there = Set(contents)
    for name in names { try note(store.manifest(name), indexes, there) }
    let garbage = packs.filter { needed[$0] == nil }
    let small = Set(packs.filter { needed[$0] != nil && indexes[$0]?.isSmall == true })
    let sparse = packs.filter { id in
      needed[id].map { 2 * $0.count < $0.bits.count } ?? false
        || small.count >= GarbageCollection.smallLimit && small.contains(id)
    }
    let rewritten = sparse.isEmpty ? [] : try rewrite(sparse, names)
    try lease.check()
    for id in garbage + rewritten { try remove(id) }
    // What was killed before it had an index.
    for name in contents where PackID(name).map({ indexes[$0] == nil }) ?? true {
      try store.place.remove("packs/" + name)
    }
    report.removedPackCount = garbage.count
    report.rewrittenPackCount = rewritten.count
    let gone = Set(garbage + rewritten)
    for (id, index) in indexes where !gone.contains(id) {
      report.bytesAfter += index.packByteCount
    }
    return report
  }

  private func note(
    _ manifest: Manifest, _ indexes: [PackID: PackIndex], _ there: Set<String>
  ) throws {
    for pack in manifest.packs {
      guard let index = indexes[pack.id], there.contains(pack.id.text), index.hash == pack.hash
      else { throw damaged(manifest, "pack \(pack.id.text), which is not there") }
      if needed[pack.id] == nil { needed[pack.id] = Bitmap(pack, index.pageCount) }
    }
    for piece in manifest.pieces where piece.kind == .pages {
      let pack = manifest.packs[piece.pack]
      guard let index = indexes[pack.id], piece.slot + piece.count <= index.pageCount else {
        throw damaged(manifest, "pages that pack \(pack.id.text) does not have")
      }
      needed[pack.id]?.insert(piece.slot..<piece.slot + piece.count)
    }
    try lease.renew()
  }

  private func damaged(_ manifest: Manifest, _ what: String) -> XensaveError {
    XensaveError(
      .invalid,
      "\(store.place.root): damaged: image '\(manifest.head.name)' needs \(what); nothing was removed"
    )
  }

  /// Writes the needed pages of packs anew, and then all images that need them. Gives the packs that
  /// nobody needs any more: one with a damaged page stays as it is.
  private func rewrite(_ sparse: [PackID], _ names: [String]) throws -> [PackID] {
    var hashes: [PackID: [UInt8]] = [:]
    var bytes: UInt64 = 0
    let writer = try PackWriter(store.place) { id, index, hash in
      hashes[id] = hash
      bytes += index.packByteCount
    }
    let reader = try PackReader(store.place)
    var places: [PackID: [Int: (pack: PackID, slot: Int)]] = [:]
    for id in sparse {
      guard let bitmap = needed[id] else { continue }
      let slots = bitmap.bits.indices.filter { bitmap.bits[$0] }
      // All of them are looked at before one is written.
      do {
        for slot in slots { _ = try reader.frame(of: slot, in: bitmap.pack) }
      } catch {
        guard XensaveError(error).code == .invalid else { throw error }
        report.damagedPackCount += 1
        continue
      }
      var moved: [Int: (pack: PackID, slot: Int)] = [:]
      for slot in slots {
        let frame = try reader.frame(of: slot, in: bitmap.pack)
        moved[slot] = try writer.add(
          frame.bytes, 4096 * (slot - frame.firstSlot), frame.name(of: slot))
        try Interrupt.check(store.place.root)
      }
      places[id] = moved
      try lease.renew()
    }
    try writer.finish()
    for name in names {
      let manifest = try store.manifest(name)
      guard manifest.packs.contains(where: { places[$0.id] != nil }) else { continue }
      let moved = try manifest.moved { id, slot in
        guard let moved = places[id] else { return nil }
        guard let (pack, slot) = moved[slot], let hash = hashes[pack] else {
          throw XensaveError(
            .changed,
            "\(store.place.root): image '\(name)' was replaced by a program without a lease")
        }
        return (Manifest.Pack(id: pack, hash: hash), slot)
      }
      try lease.check()
      try store.place.write("images/" + name, moved.encoded(), .replacing)
    }
    report.bytesAfter += bytes
    return sparse.filter { places[$0] != nil }
  }

  /// Its index first: a pack without one is nothing.
  private func remove(_ id: PackID) throws {
    try store.place.remove("index/" + id.text)
    try store.place.remove("packs/" + id.text)
  }
}
