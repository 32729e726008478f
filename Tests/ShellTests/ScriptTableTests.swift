// Every shipped script over every kind of container: it does its work, or says in one line why not.

import TestKit
import Testing

@Suite final class ScriptTableTests {
  private let folder = Program.temporaryFolder(linking: samples)
  private static let kinds = [
    "xl", "libvirt", "xenopsd", "libxl", "libxc", "legacy", "draftb", "zst", "gz",
  ]

  /// What a script makes.
  private enum Work {
    /// A new image, which differs.
    case image
    /// The same image, where there is nothing to do, and a line that says so.
    case sameImage
    /// An image at the place that it is given.
    case converted
    /// Text, or nothing where two images are the same.
    case text, differences
  }

  private struct Row {
    let words: String
    let work: Work
    /// Exit codes by kind, of an HVM and a PV guest.
    let hvm: String
    let pv: String

    init(_ words: String, _ work: Work, _ hvm: String, _ pv: String? = nil) {
      (self.words, self.work, self.hvm, self.pv) = (words, work, hvm, pv ?? hvm)
    }
  }

  //                                 xl, libvirt, xenopsd, libxl, libxc, legacy, draft B, zstd with a table, gzip
  private static let rows = [
    Row("rename IMG web2", .image, "000111000"),
    Row("retarget IMG --disk=xvda:/dev/new", .image, "001111000"),
    Row("retarget IMG --bridge=br0:br1", .image, "001111000"),
    Row("retarget IMG --disk=xvdz:/dev/new", .image, "111111111"),
    Row("clone IMG web2 --forward=5", .image, "000111000"),
    Row("cpuid-level IMG --without=sse3", .image, "000001002"),
    Row("cpuid-level IMG --named=haswell --check", .text, "111111111"),
    Row("mask-cpuid IMG 1:c:0x1", .image, "000001000"),
    Row("set-version IMG 4.16", .image, "000001100"),
    Row("strip IMG X86_MSR_POLICY", .image, "000001000"),
    Row("strip IMG TOOLSTACK", .sameImage, "000001000"),
    Row("scrub IMG --pages=0..63", .sameImage, "000001000", "111111211"),
    Row("for-xen IMG 4.17 OUT", .converted, "000001000"),
    Row("compare IMG IMG", .differences, "000001001"),
    Row("holds IMG --hex=00", .text, "000001001"),
    Row("kernel IMG", .text, "111111111"),
    Row("pages IMG", .text, "000001001"),
    Row("registers IMG", .text, "000001001"),
    Row("hvm-params IMG", .text, "000001001", "111111111"),
    Row("restores-on IMG --xen=4.17", .text, "000001100"),
    Row("secrets IMG", .text, "000001001"),
    Row("shared-pages IMG IMG", .text, "000001001"),
    Row("summary IMG", .text, "000001001"),
    Row("triage IMG", .text, "111111111"),
    Row("compare-guests IMG IMG", .text, "111111111"),
  ]

  /// Images of each kind, made once: each test links them into a folder of its own.
  private static let samples = Program.samples(
    """
    checkout='\(Program.checkout)'
    cat >make.lua <<'X'
    local xs = require "xensave"
    for _, guest in ipairs { "hvm", "pv" } do
      assert(xs.synth { guest = "x86_" .. guest, pages = 64, vcpus = 2, name = "web", config = {
        disks = { { vdev = "xvda", pdev_path = "/dev/old", format = "raw", backend = "phy",
                    readwrite = 1 } },
        nics = { { bridge = "br0", mac = "00:16:3e:00:00:01" } },
      } }:save(guest .. ".xl"))
    end
    io.open("hvm.legacy", "wb"):write(dofile(arg[1]).hvm()):close()
    X
    cat >web.xml <<'X'
    <domain type='xen'><name>web</name><uuid>c4bf5566-ae09-448b-a079-4fd1ea2a4fc8</uuid><devices>
      <disk type='block' device='disk'><source dev='/dev/old'/><target dev='xvda'/></disk>
      <interface type='bridge'><mac address='00:16:3e:00:00:01'/><source bridge='br0'/></interface>
    </devices></domain>
    X
    cat >web.sexp <<'X'
    \(StreamBuilder.xenopsRecord)
    X
    set -e
    xensave-lua -e "arg = { '$checkout/Tests/Brute/legacy.lua' } dofile 'make.lua'"
    for g in hvm pv; do
      xensave-lua convert $g.xl --to libxl -o $g.libxl -q
      xensave-lua convert $g.xl --to libxc --lossy -o $g.libxc -q
      xensave-lua wrap $g.libxl --in libvirt --config web.xml -o $g.libvirt -q
      xensave-lua wrap $g.libxl --in xenopsd --config web.sexp -o $g.xenopsd -q
      xensave-lua convert $g.xl --to draft-b -o $g.draftb -q
      xensave-lua convert $g.xl --zstd 1 -o $g.zst -q
      python3 -c "import gzip; open('$g.gz', 'wb').write(gzip.compress(open('$g.xl', 'rb').read()))"
    done
    $checkout/scripts/legacy-image pv.xl pv.legacy 2>/dev/null
    """)

  deinit { Program.remove(folder) }

  @Test func theTableHasEveryScript() {
    let listed = Program.run(["run", "--list"]).text.split(separator: "\n").compactMap {
      $0.split(separator: " ").first.map(String.init)
    }
    // These take no image.
    let others: Set = ["best-policy", "make-traces"]
    let known = Set(Self.rows.map { String($0.words.prefix { $0 != " " }) })
    #expect(Set(listed).subtracting(others) == known)
  }

  @Test(arguments: rows.indices) func everyPairWorksOrSaysWhyNot(row: Int) {
    let row = Self.rows[row]
    for (guest, codes) in [("hvm", row.hvm), ("pv", row.pv)] {
      for (kind, code) in zip(Self.kinds, codes) {
        check(row, "\(guest).\(kind)", Int32(String(code)) ?? -1)
      }
    }
  }

  private func check(_ row: Row, _ image: String, _ exitCode: Int32) {
    var words = row.words.replacing("IMG", with: image).replacing("OUT", with: "out")
    if row.work == .image || row.work == .sameImage { words += " -o out" }
    let outcome = Program.shell("cd \(folder); rm -f out; xensave-lua run \(words)")
    let lines = outcome.errors.split(separator: "\n")
    let what = "\(words): \(outcome.errors)"
    #expect(outcome.exitCode == exitCode, "\(what)")
    #expect(
      !outcome.errors.contains("stack traceback") && !outcome.errors.contains(".lua:"), "\(what)")
    let hasOutput = Program.exists(folder + "/out")
    guard outcome.exitCode == 0 else {
      #expect(!hasOutput, "\(what)")
      #expect(!outcome.output.isEmpty || lines.count == 1, "\(what)")
      return
    }
    switch row.work {
    case .image:
      // What comes out of a packed file is not packed.
      let same = Program.shell(
        "cd \(folder); xensave-lua info \(image) >/dev/null && cmp -s out \(image)")
      #expect(hasOutput && same.exitCode != 0, "\(what)")
    case .sameImage: #expect(hasOutput && lines.count >= 2, "\(what)")
    case .converted: #expect(hasOutput, "\(what)")
    case .text: #expect(!outcome.output.isEmpty, "\(what)")
    case .differences: #expect(outcome.output.isEmpty, "\(what)")
    }
  }

  /// Each conversion between two containers: what the result has no place for is said, or refused.
  @Test func conversionsDropNothingWithoutAWord() {
    // The text that each source says of its domain, by which it is known again.
    let described: Set = ["xl", "libvirt", "xenopsd", "draftb", "zst", "gz", "legacy"]
    for guest in ["hvm", "pv"] {
      for kind in Self.kinds where kind != "legacy" || guest == "pv" {
        for target in ["xl", "libvirt", "xenopsd", "libxl", "libxc"] {
          let words = "convert \(guest).\(kind) --to \(target) -o out"
          let outcome = Program.shell("cd \(folder); rm -f out; xensave-lua \(words)")
          let said = outcome.text + outcome.errors
          let hasOutput = Program.exists(folder + "/out")
          #expect([0, 1, 2].contains(outcome.exitCode), "\(words): \(said)")
          #expect(hasOutput == (outcome.exitCode == 0), "\(words): \(said)")
          guard hasOutput else {
            #expect(outcome.errors.split(separator: "\n").count == 1, "\(words): \(said)")
            continue
          }
          let info = Program.shell("cd \(folder); xensave-lua info out --json").text
          let keepsName = info.contains("\"name\": \"web\"")
          if described.contains(kind), !keepsName {
            #expect(said.contains("left out"), "\(words): \(said)")
          }
          if target == "xl", !keepsName {
            #expect(said.contains("`xl restore` has to be given one"), "\(words): \(said)")
          }
          if target == "xenopsd", kind != "xenopsd" {
            #expect(said.contains("Xenops: not written"), "\(words): \(said)")
          }
          // A device model's state is never dropped without --lossy.
          if guest == "hvm", kind != "libxc", kind != "legacy" {
            #expect(target != "libxc", "\(words): \(said)")
          }
        }
      }
    }
  }
}
