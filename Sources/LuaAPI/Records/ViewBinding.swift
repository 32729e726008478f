// Views of pages, of guest memory, and of what records and headers have.

internal import Bytes
internal import Format
internal import LuaRuntime
internal import Pages
internal import Reports

extension ShellContext {
  func bindViews() {
    state.registerViews(
      "Bytes of a page, of the guest's memory, or of a record or header. Offsets count from 0. A view "
        + "of a record's page is valid until the next record; in a filter it may be written to, where "
        + "the page may change.",
      [
        LuaViewMethod(
          "address", "(): integer",
          "The guest's address of the first byte; of a record or header, its offset there."
        ) { _, address, frame in
          frame.push(address)
          return 1
        },
        LuaViewMethod(
          "hexdump", "(options?: table): string",
          "Lines of addresses, hexadecimal bytes and text. Options: width (bytes a line, 16), base "
            + "(what the first byte's address is instead of view:address()).",
          example: "print(view:sub(0, 64):hexdump())"
        ) { bytes, address, frame in
          let options = try OptionTable(frame, 2, "hexdump", ["width", "base"])
          let width = try options.integer("width", 1...256) ?? 16
          let base =
            try options.integer("base", .min ... .max).map { UInt64(bitPattern: Int64($0)) }
            ?? address
          guard bytes.byteCount <= 1 << 20 else {
            throw LuaError("hexdump: at most 1 MiB, got \(bytes.byteCount) bytes")
          }
          frame.push(hexdump(array(bytes), base: base, width: width))
          return 1
        },
        LuaViewMethod(
          "hash", "(): integer",
          "A hash of a page's 4096 bytes, as P.hash_in takes it. Not cryptographic."
        ) { bytes, _, frame in
          guard bytes.byteCount == pageByteCount else {
            throw LuaError("hash: expected a whole page, got \(bytes.byteCount) bytes")
          }
          frame.push(PageLoops.hash(bytes, at: 0))
          return 1
        },
        LuaViewMethod(
          "entropy", "(): number",
          "Bits of entropy a byte of a whole page: 0 of one value only, near 8 of what is compressed "
            + "or encrypted."
        ) { bytes, _, frame in
          guard bytes.byteCount == pageByteCount else {
            throw LuaError("entropy: expected a whole page, got \(bytes.byteCount) bytes")
          }
          frame.push(Entropy().bits(bytes, at: 0))
          return 1
        },
      ])
  }
}

private func array(_ bytes: RawSpan) -> [UInt8] {
  (0..<bytes.byteCount).map { bytes.load($0, as: UInt8.self) }
}
