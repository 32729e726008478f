// Making an image from its base and a delta.

internal import Bytes
internal import Format
internal import Stream
public import SystemIO

extension PageDelta {
  /// Writes the image that `delta` makes of `base`. Before anything is written, the delta's steps
  /// and the base's contents are checked; behind it, what was written is compared to the delta's
  /// hash, and where that fails `sink` must not be committed.
  ///
  /// `delta` and `base` are files. Memory: 1 MiB, whatever the delta says.
  public static func apply(
    _ delta: Source, to base: Source, _ sink: Sink
  ) throws(PagesError) -> Report {
    for source in [delta, base] where !source.isFile {
      throw PagesError(.usage, "\(source.path): expected a file, not a pipe")
    }
    let head = try readHead(delta)
    try forEachStep(delta, head) { _ throws(PagesError) in }
    guard base.byteCount == head.baseByteCount, try ContentHash.of(base, "base") == head.baseHash
    else {
      throw PagesError(
        .invalid, "\(base.path): is not the image that \(delta.path) was made from")
    }
    var report = Report()
    report.changedPages = head.changedPages
    var hash = ContentHash()
    let arena = Arena(capacity: 1 << 20)
    try Progress.phase("writing", of: head.newByteCount, done: { sink.position }) {
      () throws(PagesError) in
      try forEachStep(delta, head) { step throws(PagesError) in
        let source = step.isLiteral ? delta : base
        if step.isLiteral { report.literal += step.count } else { report.copied += step.count }
        var done: UInt64 = 0
        while done < step.count {
          let piece = Int(min(step.count - done, UInt64(arena.capacity)))
          source.seek(step.offset + done)
          let got = try io { () throws(SystemError) in
            try source.read(into: arena, 0..<piece)
          }
          guard got == piece else { throw shorter(source) }
          arena.withBytes(0..<piece) { hash.add($0) }
          try io { () throws(SystemError) in try sink.write(arena, 0..<piece) }
          done += UInt64(piece)
        }
      }
    }
    guard hash.finished() == head.newHash else {
      throw PagesError(
        .invalid,
        "\(delta.path): is damaged: what it makes of \(base.path) is not what was saved")
    }
    report.octetsWritten = sink.position
    return report
  }

  private static func damaged(_ delta: Source, _ problem: String) -> PagesError {
    PagesError(.invalid, "\(delta.path): offset \(delta.position.hex()): \(problem)")
  }

  static func readHead(_ delta: Source) throws(PagesError) -> Head {
    delta.seek(0)
    let bytes = try io { () throws(SystemError) in try delta.read(headByteCount) }
    guard bytes.count >= 8, bytes.load(0, as: UInt64.self) == magic else {
      throw PagesError(.invalid, "\(delta.path): is no delta (expected \"XSLDELTA\")")
    }
    guard bytes.count == headByteCount else { throw damaged(delta, "the delta ends in its head") }
    let number = bytes.load(8, as: UInt32.self)
    guard number == version else {
      throw damaged(delta, "delta version: expected \(version), got \(number)")
    }
    guard bytes.load(56, as: UInt64.self) == hash(Array(bytes[0..<56])) else {
      throw damaged(delta, "the head is damaged (its hash does not fit)")
    }
    return Head(
      baseByteCount: bytes.load(16, as: UInt64.self), baseHash: bytes.load(24, as: UInt64.self),
      newByteCount: bytes.load(32, as: UInt64.self), newHash: bytes.load(40, as: UInt64.self),
      changedPages: bytes.load(48, as: UInt64.self))
  }

  struct Step {
    let isLiteral: Bool
    let count: UInt64
    /// In the delta for literals, else in the base.
    let offset: UInt64
  }

  /// Calls `body` for each step, after checking that it lies inside its file and the new image.
  private static func forEachStep(
    _ delta: Source, _ head: Head, _ body: (Step) throws(PagesError) -> Void
  ) throws(PagesError) {
    var offset = UInt64(headByteCount)
    var made: UInt64 = 0
    let size = delta.byteCount ?? 0
    func word() throws(PagesError) -> UInt64 {
      delta.seek(offset)
      let bytes = try io { () throws(SystemError) in try delta.read(8) }
      guard bytes.count == 8 else { throw damaged(delta, "the delta ends without its last step") }
      offset += 8
      return bytes.load(0, as: UInt64.self)
    }
    while true {
      let first = try word()
      if first == 0 { break }
      let count = first & ~literalBit
      guard count > 0, count <= head.newByteCount - made else {
        throw damaged(
          delta, "a step of \(count) octets exceeds the image of \(head.newByteCount)")
      }
      if first & literalBit != 0 {
        guard count <= size - offset else {
          throw damaged(delta, "the delta ends inside a step of \(count) octets")
        }
        try body(Step(isLiteral: true, count: count, offset: offset))
        offset += paddedTo8(count)
      } else {
        let from = try word()
        guard from <= head.baseByteCount, count <= head.baseByteCount - from else {
          throw damaged(delta, "a step copies from \(from.hex()), behind the end of the base")
        }
        try body(Step(isLiteral: false, count: count, offset: from))
      }
      made += count
    }
    guard made == head.newByteCount else {
      throw damaged(
        delta, "the steps make \(made) octets: expected \(head.newByteCount)")
    }
    guard offset == size else { throw damaged(delta, "octets behind the last step") }
  }
}
