// The page of report: whole, harmless, bounded.

import TestKit
import Testing

@Suite final class ReportTests {
  let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
  let folder = Program.temporaryFolder()

  deinit { Program.remove(folder) }

  /// Reads a page as a browser would: elements that are closed in their order, no markup but ours,
  /// nothing from outside, and the script that the page's policy lets run.
  private static let reader = """
    import base64, hashlib, json, re, sys
    from html.parser import HTMLParser
    text = sys.stdin.read()
    void = {"meta", "input", "br"}
    known = set("html head meta title style body a header h1 h2 h3 nav main section p table tbody thead "
                "tr th td details summary pre div span script noscript canvas fieldset legend label input "
                "button ul svg rect line polyline circle text".split())
    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.scripts, self.words, self.ids = [], [], [], []
        def handle_starttag(self, tag, attributes):
            assert tag in known, tag
            a = dict(attributes)
            assert not any(k.startswith("on") or k in ("src", "srcset", "action") for k in a), a
            assert "href" not in a or a["href"].startswith("#"), a
            if "id" in a: self.ids.append(a["id"])
            if tag == "script": self.scripts.append(a.get("type", ""))
            if tag not in void: self.open.append(tag)
        def handle_endtag(self, tag):
            assert self.open and self.open[-1] == tag, (tag, self.open)
            self.open.pop()
        def handle_data(self, data):
            if self.open and self.open[-1] not in ("script", "style"): self.words.append(data)
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open, page.open
    has_map = 'id="map-data"' in text
    assert page.scripts == ["application/json", ""][not has_map:], page.scripts
    assert len(page.ids) == len(set(page.ids)), page.ids
    script = re.search("<script>(.*?)</script>", text, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text, f"the digest has to be {digest}"
    assert "://" not in text, text[text.index("://") - 40:][:80]
    data = {"bands": [], "views": []}
    if has_map: data = json.loads(re.search('id="map-data">(.*?)</script>', text, re.S).group(1))
    cells = sum(band[1] for band in data["bands"])
    for view in data["views"]:
        assert len(view["cells"]) == len(view["facts"]) == len(data["entropy"]) == cells
        assert all(0 <= ord(c) - 64 <= len(view["tints"]) for c in view["cells"])
    words = " ".join(page.words)

    """

  private func check(_ path: String, _ script: String = "") {
    Program.write(Array((ReportTests.reader + script).utf8), to: folder + "/check.py")
    let outcome = Program.shell("python3 '\(folder)/check.py' <'\(path)'")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
  }

  @Test func aPageIsWhole() {
    let out = folder + "/report.html"
    let outcome = Program.run(["report", pv, "-o", out])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(outcome.text == "")
    check(
      out,
      """
      for word in ("Summary", "Findings", "Memory", "Guest", "Records", "good, 14 records", "x86_pv",
                   "X86_TSC_INFO", "khz", "2596097 kHz", "Not told of the guest"):
          assert word in words, word
      assert [v["word"] for v in data["views"]] == ["types", "duplicates", "entropy"]
      assert data["views"][0]["totals"][1] == 546, data["views"][0]["totals"]
      assert len(text) < 500_000, len(text)
      """)
    let again = Program.run(["report", pv, "-o", "-"])
    #expect(again.output == Program.read(out))
  }

  @Test func twoImagesAreCompared() {
    let (other, out) = (folder + "/other", folder + "/report.html")
    #expect(
      Program.run([
        "set", pv, "config.c_info.name=web2", "X86_TSC_INFO.khz=5", "-o", other, "-q",
      ]).exitCode == 0)
    let outcome = Program.run(["report", pv, other, "-o", out, "--json"])
    #expect(outcome.exitCode == 0)
    #expect(outcome.text.contains("\"differences\": 2"), "\(outcome.text)")
    check(
      out,
      """
      for word in ("Differences", "config.c_info.name", "web2", "X86_TSC_INFO.khz", "5 kHz"):
          assert word in words, word
      assert data["views"][0]["word"] == "differences"
      """)
  }

  @Test func policiesAreReported() {
    let (one, two, out) = (folder + "/one<b>.trace", folder + "/two.trace", folder + "/report.html")
    let code =
      "local d <close> = xs.sim { pages = 64 }; "
      + "assert(assert(d:migrate \"cat >/dev/null\").trace:save(arg[1]))"
    for path in [one, two] { #expect(Program.run(["-e", code, pv, path]).exitCode == 0) }
    Program.write(Array("return function(s) error 'so' end".utf8), to: folder + "/bad.lua")
    let outcome = Program.run([
      "policy", "test", "give-up", folder + "/bad.lua", "--trace", one, two, "--report", out,
    ])
    #expect(outcome.exitCode == 1, "\(outcome.errors)")
    check(
      out,
      """
      for word in ("Back-tests of migration policies", "Summary", "Chart", "Decisions", "one<b>.trace",
                   "two.trace", "builtin", "give-up", "downtime", "64 pages", "final", "stop",
                   "calls failed; Xen's own policy answered instead"):
          assert word in words or word in text, word
      assert page.words.count("Back-tests of migration policies") == 4, page.words
      assert not has_map
      """)
    let over = Program.run(["policy", "test", "--trace", one, "--report", one])
    #expect(
      over.exitCode == 2 && over.errors.contains("--report: '\(one)' is one of the traces"),
      "\(over.errors)")
  }

  /// Names, values of xenstore and of a guest are text, whatever they look like.
  @Test func hostileTextIsText() {
    let evil = "</title></pre></script><script>alert(1)</script><img src=x onerror=alert(2)>'\\\"&"
    var image = StreamBuilder.hvm()
    let config = StreamBuilder.config().replacing("\"guest\"", with: "\"\(evil)\"")
    image["xl"] = StreamBuilder.xl(config: Array("\(config)\0".utf8)).bytes
    image["EMULATOR_XENSTORE_DATA"] =
      StreamBuilder.xenstore(["<script>x</script>", "\u{1B}[31m<b>\u{202E}"]).bytes
    let (path, out) = (folder + "/<img src=x>&'.img", folder + "/report.html")
    Program.write(image.bytes, to: path)
    let outcome = Program.run(["report", path, path, "-o", out])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    check(
      out,
      """
      assert "<script>alert(1)</script><img src=x onerror=alert(2)>'" in words
      assert "<img src=x>&'.img" in words
      assert "<script>x</script>" in words
      assert not any(ord(c) < 32 and c not in "\\n\\t" or c == "\\u202e" for c in text)
      """)
  }

  /// What a guest tells is there; the one that lies makes no page of any length.
  @Test func aLinuxGuestIsTold() {
    let (path, out) = (folder + "/guest", folder + "/report.html")
    Program.write(GuestCommandTests.guest.image, to: path)
    let outcome = Program.run(["report", path, "-o", out])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    check(
      out,
      """
      for word in ("9.8.7-synthetic", "swapper/0", "hangs -v a b", "a line at the end"):
          assert word in words, word
      """)
  }

  /// A guest of 4 GiB has a million pages, and a page of no more than others; so have many records.
  @Test func pagesAreBounded() {
    var image = StreamBuilder.hvm()
    let types: [UInt64] = [0xE, 0xF, 0xD, 0xF]
    for first in stride(from: UInt64(0x1000), to: 0x100_000, by: 8192) {
      image.insert(
        StreamBuilder.pages(
          (first..<first + 8192).map { pfn in types[Int(pfn * 7 / 5 % 4)] << 60 | pfn }),
        before: "X86_TSC_INFO")
    }
    for _ in 0..<400 {
      image.insert(
        StreamBuilder.record("unknown", 0x8000_0077, [UInt8](repeating: 0x3C, count: 2000)),
        before: "X86_TSC_INFO")
    }
    let (path, out) = (folder + "/large", folder + "/report.html")
    Program.write(image.bytes, to: path)
    let outcome = Program.run(["report", path, "-o", out])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    check(
      out,
      """
      assert 100_000 < len(text.encode()) < 2_000_000, len(text)
      assert cells <= 8192 and cells > 2048, cells
      assert "more records are not shown" in words
      """)
  }
}
