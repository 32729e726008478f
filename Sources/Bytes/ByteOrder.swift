// Byte order of a stream, and the loads and stores of integers in it.

/// The byte order that a stream's headers state. Spec: libxc-migration-stream, Image Header, options
/// bit 0. Guest-native contents (pages, contexts) have the guest's order whatever the stream's is.
public enum ByteOrder: Sendable, Equatable {
  case little
  case big

  /// The order that is called "little" or "big"; nil for other names.
  public init?(named name: String) {
    switch name {
    case "little": self = .little
    case "big": self = .big
    default: return nil
    }
  }

  /// The order of this machine.
  public static var native: ByteOrder { 1.littleEndian == 1 ? .little : .big }
}

extension FixedWidthInteger {
  /// This value as it must lie in memory to be read in `order`; its own inverse.
  @inlinable
  public func ordered(_ order: ByteOrder) -> Self {
    switch order {
    case .little: littleEndian
    case .big: bigEndian
    }
  }
}

/// Integers that may be read from raw memory: those of 1, 2, 4 and 8 bytes.
public typealias LoadableInteger = FixedWidthInteger & BitwiseCopyable

extension RawSpan {
  /// The integer at `offset` (bytes from the start of the span).
  ///
  /// A range outside the span is a broken promise of the caller and traps.
  @inlinable
  public func load<T: LoadableInteger>(
    _ offset: Int, as type: T.Type, _ order: ByteOrder = .little
  ) -> T {
    precondition(offset >= 0 && byteCount - offset >= MemoryLayout<T>.size)
    // Safety: the precondition holds all of T's bytes inside the span.
    return unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: type).ordered(order)
  }
}

extension [UInt8] {
  /// The integer at `offset`; traps outside the array.
  @inlinable
  public func load<T: LoadableInteger>(
    _ offset: Int, as type: T.Type, _ order: ByteOrder = .little
  ) -> T {
    // Safety: UInt8 has no padding, so every byte of the span is initialised.
    unsafe self.span.bytes.load(offset, as: type, order)
  }

  /// Appends the bytes of `value` in `order`.
  @inlinable
  public mutating func append<T: LoadableInteger>(
    integer value: T, _ order: ByteOrder = .little
  ) {
    for index in 0..<MemoryLayout<T>.size {
      let shift = 8 * (order == .little ? index : MemoryLayout<T>.size - 1 - index)
      append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }

  /// Writes the bytes of `value` at `offset`; traps outside the array.
  @inlinable
  public mutating func store<T: LoadableInteger>(
    _ offset: Int, _ value: T, _ order: ByteOrder = .little
  ) {
    precondition(offset >= 0 && count - offset >= MemoryLayout<T>.size)
    for index in 0..<MemoryLayout<T>.size {
      let shift = 8 * (order == .little ? index : MemoryLayout<T>.size - 1 - index)
      self[offset + index] = UInt8(truncatingIfNeeded: value >> T(shift))
    }
  }

  /// The unsigned integer of `width` (1, 2, 4 or 8) bytes at `offset`.
  public func unsigned(at offset: Int, width: Int, _ order: ByteOrder = .little) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<width {
      let byte = UInt64(self[offset + (order == .little ? width - 1 - index : index)])
      value = value << 8 | byte
    }
    return value
  }

  /// Writes the low `width` bytes of `value` at `offset`.
  public mutating func set(
    unsigned value: UInt64, at offset: Int, width: Int, _ order: ByteOrder = .little
  ) {
    for index in 0..<width {
      let shift = 8 * (order == .little ? index : width - 1 - index)
      self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(shift))
    }
  }
}

/// `count` rounded up to the next multiple of 8: records are padded to it. Never overflows.
@inlinable
public func paddedTo8(_ count: UInt64) -> UInt64 {
  (count &+ 7) & ~7
}
