// Which Linux kernel a guest runs and for how long, without its symbols and types.

internal import Bytes
public import Pages

/// What a short look at a guest's memory tells: for those who look at many guests.
///
/// Symbols and types take some ten milliseconds to read. Two structures of the kernel's data are known
/// by their shape: the names that uname(2) gives, and the clock, whose members fit each other to the
/// nanosecond. Only what the page tables map of the kernel's data is read, and at most `byteLimit` of it.
public struct KernelGlance: Sendable, Equatable {
  /// As uname(1) says it: "6.1.0-18-amd64".
  public private(set) var release = ""
  public private(set) var hostName = ""
  /// Seconds since the start, by the guest's own clock; nil where that was not found.
  public private(set) var uptime: UInt64?

  /// Most bytes that are read of the kernel's data.
  static let byteLimit: UInt64 = 16 << 20
  /// Page tables that are tried: a vCPU in user mode may have others than the kernel's.
  private static let spaceLimit = 8
  private static let rangeLimit = 1 << 12
  /// With what is looked at again, as much as is read in one go.
  private static let chunkByteCount = 60 << 10

  /// Nil where no Linux kernel is found. Linux: include/linux/timekeeper_internal.h (the order of the
  /// clock's members is that of 3.18 and later), include/uapi/linux/utsname.h.
  public init?(_ paged: PagedMemory, _ vcpus: [VCPU]) {
    var left = KernelGlance.byteLimit
    for space in KernelFinder(paged: paged, vcpus: vcpus).spaces.prefix(KernelGlance.spaceLimit) {
      let memory = KernelMemory(paged, space)
      let ranges = paged.mappedRanges(
        space, in: KernelFinder.mapping, limit: KernelGlance.rangeLimit)
      for range in ranges where range.isWritable {
        var done: UInt64 = 0
        while done < range.byteCount, left > 0 {
          let count = min(range.byteCount - done, UInt64(KernelGlance.chunkByteCount), left)
          left -= count
          // What begins at the end of a chunk is looked at again with the next one.
          let more = min(range.byteCount - done - count, UInt64(KernelGlance.nameByteCount))
          look(memory.readWhatIsThere(range.start &+ done, Int(count + more)), Int(count))
          if !release.isEmpty, uptime != nil { return }
          done += count
        }
      }
      if !release.isEmpty { return }
    }
    return nil
  }

  /// Bytes of struct new_utsname: six names of 65.
  private static let nameByteCount = 6 * 65

  /// Looks at the structures that begin in the first `count` of the bytes.
  private mutating func look(_ bytes: [UInt8], _ count: Int) {
    // "Linu", which begins a word or stands in the middle of one.
    let start: UInt64 = 0x756E_694C
    var place = 0
    while place < count, place + 8 <= bytes.count {
      let word = bytes.load(place, as: UInt64.self)
      if word != 0 {
        if release.isEmpty {
          if word & 0xFFFF_FFFF == start { takeNames(bytes, place) }
          if word >> 32 == start { takeNames(bytes, place + 4) }
        }
        // A time in seconds is less than 2^33; a kernel's pointers are far more.
        if uptime == nil, word >> 33 == 0 { takeClock(bytes, place, word) }
      }
      place += 8
    }
  }

  private mutating func takeNames(_ bytes: [UInt8], _ place: Int) {
    guard place + KernelGlance.nameByteCount <= bytes.count else { return }
    func name(_ index: Int) -> String {
      let field = bytes[place + 65 * index..<place + 65 * (index + 1)]
      return String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }
    let version = name(2)
    guard name(0) == "Linux", name(4) == "x86_64", let first = version.utf8.first,
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first)
    else { return }
    release = version
    // What a kernel is built with, until somebody gives it a name.
    hostName = name(1) == "(none)" ? "" : name(1)
  }

  /// The clock: seconds since 1970 and since the start, the time from one to the other in seconds and
  /// nanoseconds, which is negative, the same in nanoseconds, which is not, and how long it was suspended.
  private mutating func takeClock(_ bytes: [UInt8], _ place: Int, _ wall: UInt64) {
    guard place + 48 <= bytes.count else { return }
    let monotonic = bytes.load(place + 8, as: UInt64.self)
    let toMonotonic = bytes.load(place + 16, as: Int64.self)
    guard monotonic <= wall, toMonotonic < 0, toMonotonic > -1 << 33,
      case let sum = Int64(wall) + toMonotonic, monotonic == sum || monotonic == sum + 1
    else { return }
    let nanoseconds = bytes.load(place + 24, as: UInt64.self)
    let toReal = bytes.load(place + 32, as: Int64.self)
    let suspended = bytes.load(place + 40, as: UInt64.self)
    guard nanoseconds < 1_000_000_000, suspended < 1 << 62,
      toReal == -(toMonotonic * 1_000_000_000 + Int64(nanoseconds))
    else { return }
    uptime = monotonic + suspended / 1_000_000_000
  }
}
