// store: many images whose equal pages are there once, in a folder. In a bucket: RemoteTests.

import JSON
import SystemIO
import TestKit
import Testing

@Suite final class ImageStoreTests {
  private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
  private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"
  private let folder = Program.temporaryFolder()
  private var store: String { folder + "/store" }
  /// Where images are written to.
  private var out: String { folder + "/out" }

  deinit { Program.remove(folder) }

  // MARK: - Helpers

  private func run(_ command: String, _ words: String...) -> Outcome {
    Program.run(["store", command, store] + words)
  }

  private func put(_ words: String...) throws {
    let outcome = Program.run(["store", "put", store] + words)
    try #require(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
  }

  /// The numbers of a JSON object or of its lines.
  private func rows(_ outcome: Outcome) throws -> [JSONValue] {
    try outcome.text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
  }

  private func number(_ value: JSONValue?, _ key: String) -> Int64 {
    value?[key]?.numberValue?.int64 ?? -1
  }

  /// Files below a part of the store.
  private func files(_ part: String = "") -> [String] {
    Program.shell("cd '\(store)/\(part)' && find . -type f | sort").text.split(separator: "\n")
      .map { String($0.dropFirst(2)) }
  }

  private func isSame(_ one: String, _ other: String) -> Bool {
    hasSameBytes(Program.read(one), Program.read(other))
  }

  /// Expects one line that says so, and the exit code of this failure.
  private func expect(
    _ outcome: Outcome, _ code: ErrorCode, _ words: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let isLine =
      outcome.errors.hasPrefix("xensave-lua: ") && outcome.errors.split(separator: "\n").count == 1
    #expect(
      outcome.exitCode == code.exitCode && outcome.output.isEmpty && isLine
        && outcome.errors.contains(words),
      "\(outcome.exitCode): \(outcome.errors)", sourceLocation: sourceLocation)
  }

  /// Changes a byte in the middle of a file.
  private func damage(_ path: String) {
    var bytes = Program.read(path)
    bytes[bytes.count / 2] ^= 0x5A
    Program.write(bytes, to: path)
  }

  // MARK: - What it is for

  @Test func imagesComeOutAsTheyWent() throws {
    let made = run("put", pv, pvh)
    #expect(made.exitCode == 0 && made.errors.isEmpty, "\(made.errors)")
    let lines = made.text.split(separator: "\n")
    #expect(
      lines.count == 2
        && lines[0] == "pv-4m-1v-tiny.xlsave: 4.0 MiB, of which 1.8 MiB of pages are new",
      "\(made.text)")
    for image in [pv, pvh] {
      let name = String(image.split(separator: "/").last ?? "")
      Program.remove(out)
      let got = run("get", name, "-o", out)
      #expect(got.exitCode == 0 && got.output.isEmpty && got.errors.isEmpty, "\(got.errors)")
      #expect(isSame(out, image))
      // Memory of a guest is for its owner.
      #expect(Program.shell("stat -c %a '\(store)'/*/* '\(out)' | sort -u").text == "600\n")
      #expect(hasSameBytes(run("get", name, "-o", "-").output, Program.read(image)))
      // It is there by now, and replaced.
      Program.write([1, 2, 3], to: out)
      #expect(run("get", name, "-o", out, "--unchecked").exitCode == 0 && isSame(out, image))
    }
    #expect(files("leases").isEmpty)
  }

  @Test func imagesAreListed() throws {
    try put(pvh, pv, "-q")
    let text = run("ls")
    let lines = text.text.split(separator: "\n")
    #expect(text.exitCode == 0 && lines.count == 3, "\(text.errors)")
    #expect(lines[0].hasPrefix("image ") && lines[0].hasSuffix("Xen"), "\(lines[0])")
    // Sorted by names, whatever the order they came in.
    #expect(lines[1].contains(#/^pv-4m-1v-tiny\.xlsave +4\.0 MiB .* tpv +4\.17$/#), "\(lines[1])")
    #expect(lines[2].contains(#/^pvh-4m-1v-tiny\.xlsave .* tpvh +4\.17$/#), "\(lines[2])")
    let rows = try rows(run("ls", "--json"))
    #expect(rows.count == 2)
    #expect(rows.first?["name"]?.stringValue == "pv-4m-1v-tiny.xlsave")
    #expect(rows.first?["domain"]?.stringValue == "tpv")
    #expect(rows.first?["xen"]?.stringValue == "4.17")
    #expect(number(rows.first, "bytes") == Int64(Program.read(pv).count))
    #expect(number(rows.first, "time") > 1_700_000_000)
    // What put prints is what is listed later.
    let another = try self.rows(run("put", pv, "--name", "another", "--json"))
    let listed = try self.rows(run("ls", "--json"))
    #expect(another.count == 1 && another.first == listed.first)
  }

  @Test func equalPagesAreThereOnce() throws {
    let first = try rows(run("put", pv, "--json"))
    #expect(number(first.first, "new_bytes") == 478 * 4096)
    let again = try rows(run("put", pv, "--name", "again", "--json"))
    #expect(number(again.first, "new_bytes") == 0 && again.first?["name"]?.stringValue == "again")
    #expect(files("packs").count == 1 && files("index") == files("packs"))
    // Another image of it, with a few bytes that differ.
    let other = folder + "/other"
    let words = ["set", pv, "config.c_info.name=web1", "-o", other, "-q"]
    #expect(Program.run(words).exitCode == 0)
    let changed = try rows(run("put", other, "--json"))
    #expect(number(changed.first, "new_bytes") == 0)
    #expect(changed.first?["domain"]?.stringValue == "web1")
    for (name, image) in [("again", pv), ("other", other)] {
      #expect(run("get", name, "-o", out, "-q").exitCode == 0 && isSame(out, image))
    }
  }

  @Test func garbageIsCollected() throws {
    try put(pv, pvh, "-q")
    let nothing = run("gc")
    #expect(nothing.text.hasPrefix("2 packs: 0 removed, 0 written anew; "), "\(nothing.errors)")
    #expect(run("gc", "-q").output.isEmpty)
    // Pages that were new with it have a pack of their own.
    #expect(run("rm", "pvh-4m-1v-tiny.xlsave").output.isEmpty)
    #expect(files("images") == ["pv-4m-1v-tiny.xlsave"] && files("packs").count == 2)
    let done = try JSONValue(parsing: run("gc", "--json").text)
    #expect(number(done, "packs") == 2 && number(done, "removed") == 1)
    #expect(number(done, "rewritten") == 0)
    let size = Int64(Program.read(store + "/packs/\(files("packs").first ?? "")").count)
    #expect(number(done, "bytes_after") == size && number(done, "bytes_before") > size)
    #expect(run("get", "pv-4m-1v-tiny.xlsave", "-o", out).exitCode == 0 && isSame(out, pv))
    // What was killed before its index is garbage, too.
    Program.write([1], to: store + "/packs/00000000000000000000000000000000")
    #expect(run("rm", "pv-4m-1v-tiny.xlsave").exitCode == 0)
    #expect(run("gc", "-q").exitCode == 0)
    #expect(files() == ["format"])
    let empty = run("ls")
    #expect(empty.exitCode == 0 && empty.output.isEmpty && empty.errors.isEmpty)
  }

  @Test func packsOfFewNeededPagesAreWrittenAnew() throws {
    let made = Program.shell(
      """
      scripts/make-image --guest hvm --layer xl --memory 8MiB --zero 0.3 '\(folder)/big' &&
      xensave-lua -e 'return { PAGE_DATA = function(r) r:fill("sample(3/4) and has_data", 7) end }' \
        '\(folder)/big' -o '\(folder)/small' -q --unchecked
      """)
    try #require(made.exitCode == 0, "\(made.errors)")
    try put(folder + "/big", folder + "/small", "--unchecked", "-q")
    #expect(run("rm", "big").exitCode == 0)
    let before = files("packs")
    let done = try JSONValue(parsing: run("gc", "--json").text)
    #expect(number(done, "packs") == 2 && number(done, "removed") == 0)
    #expect(number(done, "rewritten") == 1)
    #expect(number(done, "bytes_after") < number(done, "bytes_before") / 2)
    let after = files("packs")
    #expect(after.count == 2 && after != before && files("index") == after)
    let got = run("get", "small", "-o", out, "--unchecked")
    #expect(got.exitCode == 0 && isSame(out, folder + "/small"), "\(got.errors)")
    // The pages are found where they are now.
    let again = try rows(run("put", folder + "/small", "--name", "2", "--unchecked", "--json"))
    #expect(number(again.first, "new_bytes") == 0)
    #expect(run("gc").text.hasPrefix("2 packs: 0 removed, 0 written anew; "))
  }

  @Test func severalMayAddAtOnce() throws {
    try put(pvh, "-q")
    let outcome = Program.shell(
      """
      cd '\(folder)'; for i in 1 2 3 4; do
        { xensave-lua store put store '\(pv)' --name "n$i" -q || echo failed; } &
      done; wait
      for i in 1 2 3 4; do xensave-lua store get store "n$i" -o - | cmp - '\(pv)'; done
      """)
    #expect(outcome.output.isEmpty && outcome.errors.isEmpty, "\(outcome.text) \(outcome.errors)")
    #expect(files("images").count == 5 && files("leases").isEmpty)
  }

  // MARK: - Mistakes

  @Test func aloneItPrintsItsHelp() {
    let outcome = Program.run(["store"])
    #expect(outcome.exitCode == 2 && outcome.errors.isEmpty)
    for word in ["put", "get", "ls", "rm", "gc"] {
      #expect(outcome.text.contains("\n  \(word) "), "\(outcome.text)")
    }
    let wrong = Program.run(["store", "list", store])
    #expect(wrong.exitCode == 2 && wrong.errors.split(separator: "\n").count == 1)
  }

  @Test func wrongWordsAreUsage() throws {
    try put(pv, "-q")
    let before = files()
    let long = String(repeating: "x", count: 201)
    let name = "cannot be the name of an image"
    expect(run("put", pv, pvh, "--name", "x"), .usage, "--name: expected one image, got 2")
    expect(
      run("put", pv, folder + "/../" + pv), .usage, "two images would have the name 'pv-4m-1v-tiny")
    for word in ["a/b", "", ".a", "..", "a\nb", "a\u{1B}[31m", long] {
      expect(run("put", pv, "--name", word), .usage, name)
      expect(run("rm", word), .usage, name)
      expect(run("get", word, "-o", out), .usage, name)
    }
    expect(run("get", "pv-4m-1v-tiny.xlsave"), .usage, "--output")
    expect(run("put"), .usage, "<images>")
    expect(run("rm"), .usage, "<images>")
    #expect(files() == before && Program.names(in: folder) == ["store"])
  }

  @Test func pipesAreNotTaken() throws {
    try put(pv, "-q")
    let before = files()
    for image in ["-", "'\(folder)/fifo'"] {
      let outcome = Program.shell(
        """
        mkfifo '\(folder)/fifo' 2>/dev/null; exec 9<>'\(folder)/fifo'
        head -c 4096 '\(pv)' >&9; cat '\(pv)' | xensave-lua store put '\(store)' \(image) --name x
        """)
      expect(outcome, .usage, "a store takes files and URLs, not pipes")
    }
    // Standard input may be a file.
    let outcome = Program.shell("xensave-lua store put '\(store)' - --name x -q <'\(pv)'")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(files() == (before + ["images/x"]).sorted())
  }

  @Test func namesAreTaken() throws {
    try put(pv, "--name", "x", "-q")
    expect(run("put", pvh, "--name", "x"), .refused, "it has an image 'x' already (--replace")
    #expect(run("get", "x", "-o", out).exitCode == 0 && isSame(out, pv))
    try put(pvh, "--name", "x", "--replace", "-q")
    #expect(run("get", "x", "-o", out).exitCode == 0 && isSame(out, pvh))
    // Where there is none yet it is put as usual.
    try put(pv, "--name", "y", "--replace", "-q")
    #expect(files("images") == ["x", "y"] && files("leases").isEmpty)
  }

  @Test func imagesThatAreNotThere() throws {
    try put(pv, "-q")
    let before = files()
    expect(run("get", "none", "-o", out), .notFound, "store: it has no image 'none'")
    expect(run("rm", "none"), .notFound, "store: it has no image 'none'")
    expect(run("put", folder + "/none"), .system, "none: open: No such file")
    #expect(files() == before && !Program.exists(out))
    // The first ones are removed.
    expect(run("rm", "pv-4m-1v-tiny.xlsave", "none"), .notFound, "'none'")
    #expect(files("images").isEmpty)
  }

  @Test func whatWouldNotRestoreIsNotPut() throws {
    let bad = folder + "/bad"
    let made = Program.run([
      "-e", "return { X86_PV_INFO = function() return false end }", pv, "-o", bad, "--unchecked",
      "-q",
    ])
    try #require(made.exitCode == 0, "\(made.errors)")
    expect(run("put", bad), .rejected, "bad: not put: it would not restore: ")
    #expect(files().filter { $0 != "format" }.isEmpty)
    try put(bad, "--unchecked", "-q")
    expect(run("get", "bad", "-o", out), .rejected, "the result would not restore")
    #expect(!Program.exists(out))
    #expect(run("get", "bad", "-o", out, "--unchecked").exitCode == 0 && isSame(out, bad))
  }

  /// --unchecked takes what the message says that it takes.
  @Test func whatIsCutIsNotPut() throws {
    let cut = folder + "/cut"
    Program.write(Array(Program.read(pv).prefix(1_000_000)), to: cut)
    expect(run("put", cut), .rejected, "[stream.truncated]; --unchecked puts it all the same")
    let outcome = run("put", cut, "--unchecked", "-q")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(run("get", "cut", "-o", out, "--unchecked").exitCode == 0 && isSame(out, cut))
  }

  // MARK: - What is no store

  @Test(arguments: ["missing", "empty"]) func whereThereIsNoStore(name: String) {
    let place = folder + "/" + name
    if name == "empty" { _ = Program.shell("mkdir '\(place)'") }
    for words in [["ls"], ["gc"], ["rm", "x"], ["get", "x", "-o", out]] {
      let outcome = Program.run(["store", words[0], place] + words.dropFirst())
      expect(outcome, .notFound, "\(name): no store of images (store put makes one)")
    }
    #expect(!Program.exists(out) && Program.names(in: place).isEmpty)
    let made = Program.run(["store", "put", place + "//", pv, "-q"])
    #expect(made.exitCode == 0, "\(made.errors)")
    #expect(Program.names(in: place) == ["format", "images", "index", "leases", "packs"])
  }

  @Test func whatIsSomethingElseIsRefused() {
    let other = folder + "/other"
    _ = Program.shell("mkdir '\(other)' && echo mine >'\(other)/file'")
    expect(Program.run(["store", "put", other, pv]), .refused, "expected an empty folder")
    #expect(Program.names(in: other) == ["file"])
    for command in ["put", "ls"] {
      let outcome = Program.run(
        ["store", command, other + "/file"] + (command == "put" ? [pv] : []))
      expect(outcome, .system, "Not a directory")
    }
    #expect(Program.read(other + "/file") == Array("mine\n".utf8))
  }

  @Test func anotherVersionIsRefused() throws {
    try put(pv, "-q")
    let before = files()
    for text in ["xensave-lua store 2\n", "", "xensave-lua store 1\nmore"] {
      Program.write(Array(text.utf8), to: store + "/format")
      for words in [
        ["put", pvh], ["ls"], ["gc"], ["rm", "pv-4m-1v-tiny.xlsave"],
        ["get", "pv-4m-1v-tiny.xlsave", "-o", out],
      ] {
        let outcome = Program.run(["store", words[0], store] + words.dropFirst())
        expect(outcome, .invalid, "format: expected 'xensave-lua store 1', got '")
      }
    }
    #expect(files() == before && !Program.exists(out))
  }

  // MARK: - Damage

  @Test(arguments: ["packs", "index", "images"]) func whatIsDamagedDoesNotComeOut(
    part: String
  ) throws {
    try put(pv, "-q")
    let before = files()
    damage("\(store)/\(part)/\(files(part).first ?? "")")
    let name = "pv-4m-1v-tiny.xlsave"
    let words =
      ["packs": "packs/", "index": "its SHA-256 is another one"][part]
      ?? "images/\(name): no image of a store"
    // What comes of packs is read as a file is, and fails as one.
    let code: ErrorCode = part == "images" ? .invalid : .system
    expect(run("get", name, "-o", out), code, words)
    #expect(!Program.exists(out) && Program.names(in: folder) == ["store"])
    // What was there stays.
    Program.write(Array("before".utf8), to: out)
    expect(run("get", name, "-o", out, "--unchecked"), code, words)
    #expect(Program.read(out) == Array("before".utf8))
    #expect(Program.names(in: folder) == ["out", "store"])
    if part != "packs" { expect(run("gc"), .invalid, words) }
    #expect(files() == before)
  }

  @Test func nothingIsRemovedWhereAPackIsMissing() throws {
    try put(pv, "-q")
    let needed = files("packs").first ?? ""
    try put(pvh, "-q")
    #expect(run("rm", "pvh-4m-1v-tiny.xlsave").exitCode == 0)
    Program.remove("\(store)/index/\(needed)")
    let before = files()
    expect(run("gc"), .invalid, "needs pack \(needed), which is not there; nothing was removed")
    #expect(files() == before)
    let got = run("get", "pv-4m-1v-tiny.xlsave", "-o", out)
    #expect(got.exitCode != 0 && got.errors.contains(needed) && !Program.exists(out))
  }

  /// Numbers that a store of somebody else's may have.
  @Test func numbersOfStrangersAreNoTraps() throws {
    try put(pv, "-q")
    let script = """
      import hashlib, struct, sys
      def number(n):
          out = b""
          while n > 127:
              out, n = out + bytes([n & 127 | 128]), n >> 7
          return out + bytes([n])
      def image(name, head, pieces, count):
          body = struct.pack("<II", 0, count) + pieces
          head = ('{"name":"%s",%s}' % (name, head)).encode()
          data = b"XSIMAGE1" + struct.pack("<I", len(head)) + head
          data += struct.pack("<QI", len(body), len(body)) + body
          with open(sys.argv[1] + "/images/" + name, "wb") as out:
              out.write(data + hashlib.sha256(data).digest())
      most = 2**64 - 1
      zeros = b"\\1" + number(2**49 - 1)
      image("long", f'"bytes":{most},"time":1', zeros * 10, 10)
      image("head", f'"bytes":4096,"time":{most},"new_pages":{most}', b"\\1\\1", 1)
      image("none", '"bytes":0,"time":0', b"", 0)
      image("pack", '"bytes":4096,"time":1', b"\\2\\1" + number(2**49 - 1) + b"\\0", 1)
      image("count", '"bytes":4096,"time":1', b"\\1\\1", 2**32 - 1)
      """
    Program.write(Array(script.utf8), to: folder + "/write.py")
    let made = Program.shell("python3 '\(folder)/write.py' '\(store)'")
    try #require(made.exitCode == 0, "\(made.errors)")
    for name in ["long", "pack", "count"] {
      expect(run("get", name, "-o", out, "--unchecked"), .invalid, "no image of a store: ")
      #expect(!Program.exists(out))
    }
    for (name, count) in [("head", 4096), ("none", 0)] {
      let got = run("get", name, "-o", out, "--unchecked")
      #expect(got.exitCode == 0 && Program.read(out).count == count, "\(got.errors)")
    }
    for words in [["ls"], ["ls", "--json"], ["gc"]] {
      let outcome = Program.run(["store", words[0], store] + words.dropFirst())
      #expect(
        [0, 1].contains(outcome.exitCode) && outcome.errors.split(separator: "\n").count < 2,
        "\(words): \(outcome.exitCode) \(outcome.errors)")
    }
  }

  // MARK: - Leases

  @Test func leasesKeepOthersAway() throws {
    try put(pv, "-q")
    let lease = store + "/leases/x"
    func write(_ text: String) { Program.write(Array(text.utf8), to: lease) }
    write("{\"kind\":\"alone\",\"until\":9999999999}")
    expect(run("put", pvh), .busy, "garbage is being collected (leases/x, ")
    expect(run("rm", "pv-4m-1v-tiny.xlsave"), .busy, "garbage is being collected (leases/x, ")
    expect(run("gc"), .busy, "garbage is being collected (leases/x, ")
    // Who only reads has none.
    #expect(run("ls").exitCode == 0)
    #expect(run("get", "pv-4m-1v-tiny.xlsave", "-o", out).exitCode == 0 && isSame(out, pv))
    write("{\"kind\":\"shared\",\"until\":9999999999}")
    try put(pvh, "-q")
    expect(run("gc"), .busy, "somebody adds to it (leases/x, ")
    #expect(files("leases") == ["x"])
    // One that is over, or no lease at all, is in nobody's way.
    for text in [
      "{\"kind\":\"shared\",\"until\":1}", "{\"kind\":\"alone\",\"until\":1}", "", "no",
    ] {
      write(text)
      try put(pv, "--replace", "-q")
      #expect(files("leases") == ["x"])
      #expect(run("gc", "-q").exitCode == 0 && files("leases").isEmpty)
    }
  }
}
