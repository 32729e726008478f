// Making an image from its base and a delta.

internal import Bytes
internal import Format
internal import Stream
public import SystemIO

extension PageDelta {
  /// Writes the image that `delta` makes of `base`. Before anything is written, the delta's steps
  /// and the base's contents are checked; after it, what was written is compared to the delta's
  /// hash, and where that fails `sink` must not be committed.
  ///
  /// `delta` and `base` are files. Memory: 10 MiB, whatever the delta says.
  public static func apply(
    _ delta: Source, to base: Source, _ sink: Sink
  ) throws -> Report {
    for source in [delta, base] where !source.isFile {
      throw XensaveError(
        .usage, "\(source.path): expected a file, not a pipe" + source.unpackingHint)
    }
    let head = try readHead(delta)
    try Progress.phase("checking the delta", of: delta.byteCount, done: { delta.position }) {

      try forEachStep(DeltaBody(delta, head), head) { step, body in
        if step.isLiteral { try body.skip(step.count) }
      }
    }
    guard base.byteCount == head.baseByteCount, try ContentHash.of(base, "base") == head.baseHash
    else {
      throw XensaveError(
        .invalid, "\(base.path): is not the image that \(delta.path) was made from")
    }
    var report = Report()
    report.changedPages = head.changedPages
    var hash = ContentHash()
    let buffer = PageAlignedBuffer(capacity: 1 << 20)
    try Progress.phase("writing", of: head.newByteCount, done: { sink.position }) {

      try forEachStep(DeltaBody(delta, head), head) { step, body in
        if step.isLiteral { report.literal += step.count } else { report.copied += step.count }
        var done: UInt64 = 0
        while done < step.count {
          let chunk = Int(min(step.count - done, UInt64(buffer.capacity)))
          if step.isLiteral {
            try body.read(into: buffer, 0..<chunk)
          } else {
            base.seek(step.offset + done)
            let got = try base.read(into: buffer, 0..<chunk)
            guard got == chunk else { throw shorter(base) }
          }
          buffer.withBytes(0..<chunk) { hash.add($0) }
          try sink.write(buffer, 0..<chunk)
          done += UInt64(chunk)
        }
      }
    }
    guard hash.finished() == head.newHash else {
      throw XensaveError(
        .invalid,
        "\(delta.path): is damaged: what it makes of \(base.path) is not what was saved")
    }
    report.bytesWritten = sink.position
    return report
  }

  static func damaged(_ delta: Source, _ problem: String) -> XensaveError {
    XensaveError(.invalid, "\(delta.path): offset \(delta.position.hex()): \(problem)")
  }

  static func readHead(_ delta: Source) throws -> Head {
    delta.seek(0)
    let bytes = try delta.read(headByteCount)
    guard bytes.count >= 8, bytes.load(0, as: UInt64.self) == magic else {
      throw XensaveError(.invalid, "\(delta.path): is no delta (expected \"XSLDELTA\")")
    }
    guard bytes.count == headByteCount else { throw damaged(delta, "the delta ends in its header") }
    let foundVersion = bytes.load(8, as: UInt32.self)
    guard foundVersion == version else {
      throw damaged(delta, "delta version: expected \(version), got \(foundVersion)")
    }
    guard bytes.load(56, as: UInt64.self) == hash(Array(bytes[0..<56])) else {
      throw damaged(delta, "the header is damaged (its hash does not fit)")
    }
    let flags = bytes.load(12, as: UInt32.self)
    guard flags & ~packedFlag == 0 else {
      throw damaged(delta, "flags: expected 0 or \(packedFlag), got \(UInt64(flags).hex())")
    }
    return Head(
      baseByteCount: bytes.load(16, as: UInt64.self), baseHash: bytes.load(24, as: UInt64.self),
      newByteCount: bytes.load(32, as: UInt64.self), newHash: bytes.load(40, as: UInt64.self),
      changedPages: bytes.load(48, as: UInt64.self), isPacked: flags & packedFlag != 0)
  }

  struct Step {
    let isLiteral: Bool
    let count: UInt64
    /// Where the bytes stand in the base; 0 for literals.
    let offset: UInt64
  }

  /// Calls `visit` for each step, after checking that it lies inside the base and the new image. Of a
  /// literal it takes all bytes from the body.
  private static func forEachStep(
    _ body: DeltaBody, _ head: Head, _ visit: (Step, DeltaBody) throws -> Void
  ) throws {
    var made: UInt64 = 0
    while true {
      let first = try body.word()
      if first == 0 { break }
      let count = first & ~literalBit
      guard count > 0, count <= head.newByteCount - made else {
        throw body.damaged(
          "a step of \(count) bytes exceeds the image of \(head.newByteCount)")
      }
      if first & literalBit != 0 {
        try visit(Step(isLiteral: true, count: count, offset: 0), body)
        try body.skip(paddedTo8(count) - count)
      } else {
        let from = try body.word()
        guard from <= head.baseByteCount, count <= head.baseByteCount - from else {
          throw body.damaged("a step copies from \(from.hex()), after the end of the base")
        }
        try visit(Step(isLiteral: false, count: count, offset: from), body)
      }
      made += count
    }
    guard made == head.newByteCount else {
      throw body.damaged("the steps make \(made) bytes: expected \(head.newByteCount)")
    }
    try body.finish()
  }
}
