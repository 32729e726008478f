// Whether a page is all zeros: asked of every page that is written, counted or sent.

extension RawSpan {
  /// Whether the 4096 bytes at `offset` are all zero. Looks at 64 bytes at a time, so that pages that are
  /// not zero are known by their first.
  ///
  /// - Precondition: The page lies inside the span.
  @inlinable
  @inline(__always)
  public func isZeroPage(at offset: Int) -> Bool {
    precondition(offset >= 0 && byteCount - offset >= 4096)
    var position = offset
    let end = offset + 4096
    while position < end {
      var sum: UInt64 = 0
      for word in 0..<8 {
        // Safety: the precondition holds all bytes of the page inside the span.
        sum |= unsafe unsafeLoadUnaligned(
          fromUncheckedByteOffset: position &+ 8 &* word, as: UInt64.self)
      }
      if sum != 0 { return false }
      position &+= 64
    }
    return true
  }
}
