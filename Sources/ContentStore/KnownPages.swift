// The pages that a store has: where each lies.

internal import Bytes

/// All pages of a store by their names. Takes 50 to 85 bytes a page.
struct KnownPages {
  private var packs: [Pack] = []
  private var packOrder = PackOrder()
  /// An open table: the first 8 bytes of a name, and one more than its place; 0 where it is free.
  private var keys = [UInt64](repeating: 0, count: 1 << 12)
  private var places = [UInt64](repeating: 0, count: 1 << 12)
  private var count = 0

  private struct Pack {
    let id: PackID
    /// The names of its pages.
    var names: [UInt8]
  }

  /// Where a page lies: a pack of those that were added, and the page in it.
  struct Place: Equatable {
    let pack: PackID
    let slot: Int
  }

  /// Adds all pages of a pack; of one that is known already, none.
  mutating func add(_ id: PackID, _ index: PackIndex) {
    let pack = packOrder.position(of: id)
    guard pack == packs.count else { return }
    packs.append(Pack(id: id, names: index.names))
    for slot in 0..<index.pageCount { insert(pack, slot) }
  }

  /// Adds a page of a pack that is being written, the next one of it.
  mutating func add(_ name: ArraySlice<UInt8>, at place: Place) {
    let pack = packOrder.position(of: place.pack)
    if pack == packs.count { packs.append(Pack(id: place.pack, names: [])) }
    precondition(packs[pack].names.count == place.slot * PageName.byteCount)
    packs[pack].names += name
    insert(pack, place.slot)
  }

  /// Where the page of this name lies; nil where the store does not have it.
  func place(of name: ArraySlice<UInt8>) -> Place? {
    let key = KnownPages.key(name)
    var position = Int(truncatingIfNeeded: key) & (keys.count - 1)
    while places[position] != 0 {
      if keys[position] == key {
        let (pack, slot) = KnownPages.parts(places[position])
        let start = slot * PageName.byteCount
        if packs[pack].names[start..<start + PageName.byteCount] == name {
          return Place(pack: packs[pack].id, slot: slot)
        }
      }
      position = (position + 1) & (keys.count - 1)
    }
    return nil
  }

  private mutating func insert(_ pack: Int, _ slot: Int) {
    if 2 * (count + 1) > keys.count { grow() }
    let start = slot * PageName.byteCount
    let name = packs[pack].names[start..<start + PageName.byteCount]
    put(KnownPages.key(name), UInt64(pack) << 32 | UInt64(slot) + 1)
    count += 1
  }

  private mutating func put(_ key: UInt64, _ place: UInt64) {
    var position = Int(truncatingIfNeeded: key) & (keys.count - 1)
    while places[position] != 0 { position = (position + 1) & (keys.count - 1) }
    keys[position] = key
    places[position] = place
  }

  private mutating func grow() {
    let (oldKeys, oldPlaces) = (keys, places)
    keys = [UInt64](repeating: 0, count: 2 * oldKeys.count)
    places = keys
    for index in oldKeys.indices where oldPlaces[index] != 0 {
      put(oldKeys[index], oldPlaces[index])
    }
  }

  private static func parts(_ place: UInt64) -> (pack: Int, slot: Int) {
    (Int(place >> 32), Int(place & 0xFFFF_FFFF) - 1)
  }

  /// Names are hashes already.
  private static func key(_ name: ArraySlice<UInt8>) -> UInt64 {
    var key: UInt64 = 0
    for byte in name.prefix(8) { key = key << 8 | UInt64(byte) }
    return key
  }
}
