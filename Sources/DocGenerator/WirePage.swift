// The page of the wire's format.

internal import Format
internal import Wire

extension FormatPage {
  static let wire = FormatPage(
    name: "FormatWire", title: "The wire of xensave-lua ssh",
    abstract:
      "Version \(WireFormat.version): what two of us put around ssh make of a migration stream."
  ) { page in
    page.text(
      """
      All numbers are little-endian. Checksums are XXH64, with seed 0 where nothing else is said. The receiver
      greets first, on the way back; then come the answers of the command, as they are. The sender answers
      on the way there, and then sends frames. Where the first bytes of the way back are no greeting, or
      the marker `89 58 53 50 0D 0A 1A 0A` (which is not handed on), no wire is spoken and everything
      passes as it is.
      """)
    page.heading(2, "Greeting and answer")
    page.text("\(WireFormat.greetingByteCount) bytes.")
    page.rows([
      .bytes("magic", 8).doc("89 58 53 57 0D 0A 1A 0A."),
      .u16("lowest").doc(
        "The first version that the receiver speaks; in an answer the chosen one."),
      .u16("highest").doc("The last one; in an answer the chosen one."), .reserved(4),
      .u64("cache").unit("bytes").doc(
        "What the receiver gives to its cache at most; in an answer what both give, no more than that."
      ),
      .x64("checksum").doc("Of the 24 bytes before it."),
    ])
    page.heading(2, "Frame")
    page.text("A header of 48 bytes, then the three sections in their order, without padding.")
    page.rows([
      .u8("kind").enumeration([1: "data", 2: "end"]),
      .x8("flags").bits([.init("packed", 0)]).doc(
        "`packed`: the packed section is one zstd frame."),
      .reserved(2),
      .u32("sequence").doc("0 for the first frame; one more each time, modulo 2^32."),
      .u32("restored").unit("bytes").doc(
        "What the frame restores: 1 to \(WireFormat.restoredLimit)."),
      .u32("commands").unit("bytes").doc("The first section: 1 to \(WireFormat.commandLimit)."),
      .u32("packed").unit("bytes").doc(
        "The second section as it stands here; less than `unpacked` where it is packed, else the same."
      ),
      .u32("unpacked").unit("bytes").doc("The second section unpacked; at most `restored`."),
      .u32("stored").unit("bytes").doc("The third section; at most `restored`."),
      .reserved(4),
      .x64("checksum").doc(
        "Of the restored bytes, with that of the commands as its seed. In the last frame: how many "
          + "bytes all frames have restored."),
      .x64("header_checksum").doc("Of the 40 bytes before it."),
    ])
    page.text(
      """
      The frame of kind `end` has no sections, and nothing follows it. A connection that ends before it was
      cut: the receiver lets its command read the end of its input, and fails.
      """)
    page.heading(2, "Commands")
    page.text(
      """
      Integers of 7 bits a byte, the lowest first; the last byte has no bit 7. The low three bits say what,
      those above them how many:

      | number | what | |
      |---|---|---|
      | 0 | bytes | from the packed section |
      | 1 | pages of zeros | the cache forgets their keys |
      | 2 | pages as the cache has them | |
      | 3 | changed pages | differences from the packed section, to the pages in the cache, which takes the results |
      | 4 | pages | from the packed section; the cache takes them |
      | 5 | pages | from the stored section; the cache takes them |
      | 6 | key | of the next page (not a count); each page adds one to it, and a frame begins with 0 |
      | 7 | bytes | from the stored section |

      A page has 4096 bytes. Its key is its pfn, below 2^52. All that a frame restores and all of its
      sections have to be used up by its commands.

      A difference is pairs of such integers: how many words of 8 bytes are as they were, and how many
      follow that are not, each as the exclusive or of the old and the new word. It ends where the page
      does: there the second number is missing if all is said by the first.
      """)
    page.heading(2, "Cache")
    page.text(
      """
      Both sides keep the same pages, because both do what the commands say. There are `cache` / 32768 sets
      of eight places, rounded down; with none, commands 2 and 3 do not occur. The set of a key is the
      upper 64 bits of the product of two factors: the key times 0x9E3779B185EBCA87, modulo 2^64, and the
      number of sets.

      A place has an age. A page that is asked for (commands 2 and 3, and 4 and 5 where its key is there) has
      age 0. A page whose key is not there takes the first free place of its set, else the first one of
      age 3; where there is none, all eight grow older by one until there is. It begins with age 2.
      """)
  }
}
