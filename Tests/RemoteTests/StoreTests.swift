// A store of images in a bucket: what it lists is whole, whatever fails.

import JSON
import SystemIO
import TestKit
import Testing

@Suite(.enabled(if: FakeStore.isPossible, "libcurl is not installed")) struct StoreTests {
  private let names = ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"]
  /// Puts both images.
  private let putting =
    "xensave-lua store put $store \"$fixtures\"/pv-4m-1v-tiny.xlsave "
    + "\"$fixtures\"/pvh-4m-1v-tiny.xlsave -q"
  /// Gets all that the store lists, and prints the names of those that are as they were.
  private let getting = """
    xensave-lua store ls $store --json 2>>rest | sed 's/.*"name":"\\([^"]*\\)".*/\\1/' >listed
    while read -r name; do
      xensave-lua store get $store "$name" -o got -q 2>>rest && cmp got "$fixtures/$name" >>rest &&
        echo "$name"
    done <listed
    """

  private func run(
    _ folder: String, _ options: [String], _ script: String
  ) throws -> StoreRun {
    try FakeStore.run(
      folder, options,
      "store=s3://images/store; fixtures='\(FakeStore.fixtures)'; \(script)")
  }

  private func number(_ path: String, _ key: String) -> Int64? {
    (try? JSONValue(parsing: FakeStore.text(path)))?[key]?.numberValue?.int64
  }

  private func lines(_ text: String) -> [String] {
    text.split(separator: "\n").map(String.init)
  }

  @Test func imagesComeAndGo() throws {
    try FakeStore.inFolder { folder in
      let run = try run(
        folder, [],
        """
        set -e; \(putting); \(getting)
        xensave-lua store rm $store pvh-4m-1v-tiny.xlsave; xensave-lua store gc $store --json >first
        \(getting)
        xensave-lua store rm $store pv-4m-1v-tiny.xlsave; xensave-lua store gc $store --json >second
        """)
      #expect(run.exitCode == 0 && run.errors.isEmpty, "\(run.errors) \(run.output)")
      #expect(lines(run.output) == names + [names[0]], "\(FakeStore.text(folder + "/rest"))")
      // The pages that only one had are gone with it, and so is each lease.
      #expect(number(folder + "/first", "packs") == 2 && number(folder + "/first", "removed") == 1)
      #expect(number(folder + "/second", "removed") == 1)
      #expect(run.objects.keys.sorted() == ["store/format"] && run.uploads.isEmpty)
      #expect(run.count("DELETE") > 6 && run.requests.allSatisfy(\.isSigned))
    }
  }

  /// Writes in their order: format, lease, and for each image pack, index, lease, image.
  @Test(arguments: [
    ("PUT,3,1,500", 0), ("PUT,3,1,cut-request", 0), ("PUT,2,1,expired", 3), ("PUT,4,1,expired", 3),
    ("PUT,6,1,expired", 3), ("PUT,10,1,expired", 3), ("LIST,1,1,503", 0), ("LIST,2,1,words", 3),
    ("GET,1,1,expired", 3), ("DELETE,1,1,500", 0), ("DELETE,1,1,cut-after", 0),
    ("PUT,1,all,no-conditions", 0),
  ]) func puttingUnderFaults(fault: String, exitCode: Int32) throws {
    try FakeStore.inFolder { folder in
      let run = try run(
        folder, ["--fault", fault], "\(putting); code=$?; \(getting)\nexit $code")
      #expect(run.exitCode == exitCode, "\(run.errors)")
      let listed = lines(FakeStore.text(folder + "/listed"))
      #expect(lines(run.output) == listed, "\(FakeStore.text(folder + "/rest"))")
      if exitCode == 0 {
        #expect(listed == names && run.errors.isEmpty, "\(run.errors)")
      } else {
        #expect(listed == (fault.hasPrefix("PUT,10,") ? [names[0]] : []))
        #expect(run.hasOneError, "\(run.errors)")
      }
      #expect(!run.objects.keys.contains { $0.contains("/leases/") } && run.uploads.isEmpty)
    }
  }

  /// A lease that cannot be removed keeps garbage from being collected, and nothing else.
  @Test func aLeaseThatStays() throws {
    try FakeStore.inFolder { folder in
      let run = try run(
        folder, ["--fault", "DELETE,1,all,expired"],
        "set -e; \(putting); \(getting)\nexec xensave-lua store gc $store")
      #expect(run.exitCode == ErrorCode.busy.exitCode && run.hasOneError, "\(run.errors)")
      #expect(run.errors.contains("somebody adds to it (leases/"), "\(run.errors)")
      #expect(lines(run.output) == names)
    }
  }

  /// Who is asked to stop takes his lease with him, and the parts of a pack.
  @Test(arguments: ["PUT,3,1,term", "PART,2,all,interrupt", "PART,2,all,expired"])
  func whatIsStoppedLeavesNothing(fault: String) throws {
    try FakeStore.inFolder { folder in
      // An image whose pack is sent in parts.
      let size = fault.hasPrefix("PART") ? 44 : 8
      let made = runShell(
        "'\(FakeStore.checkout)/scripts/make-image' --memory \(size)MiB --zero 0 '\(folder)/image'")
      try #require(made == 0)
      let run = try run(
        folder, ["--fault", fault], "exec xensave-lua store put $store image")
      let codes: [Substring: Int32] = ["term": 143, "interrupt": 130, "expired": 3]
      #expect(run.exitCode == fault.split(separator: ",").last.flatMap { codes[$0] })
      #expect(run.hasOneError && run.uploads.isEmpty, "\(run.errors) \(run.uploads)")
      #expect(run.objects.keys.sorted() == ["store/format"])
    }
  }

  /// A collection that fails has not removed what an image needs; the next one does the rest.
  @Test func collectingUnderFaults() throws {
    try FakeStore.inFolder { folder in
      let made = runShell(
        """
        PATH='\(BuiltPrograms.directory)':"$PATH"; cd '\(folder)'
        '\(FakeStore.checkout)/scripts/make-image' --guest hvm --memory 8MiB --zero 0.3 big &&
        xensave-lua -e 'return { PAGE_DATA = function(r) r:fill("sample(3/4) and has_data", 7) end }' \
          big -o small -q --unchecked
        """)
      try #require(made == 0)
      // Each time one step further: the new pack, its index, the lease, the image that needs it, and the
      // pack that nobody needs any more, after its index.
      let faults = ["PUT,13,1", "PUT,16,1", "PUT,20,1", "PUT,25,1", "DELETE,13,1"]
      let run = try run(
        folder, faults.flatMap { ["--fault", "\($0),expired"] },
        """
        xensave-lua store put $store big small --unchecked -q && xensave-lua store rm $store big
        for i in 1 2 3 4 5 6 7 8; do
          xensave-lua store gc $store -q 2>>said; code=$?
          xensave-lua store get $store small -o got -q --unchecked && cmp got small && echo $code
          [ $code != 0 ] || break
        done
        xensave-lua store gc $store --json >last
        """)
      #expect(run.exitCode == 0 && run.errors.isEmpty, "\(run.errors)")
      let said = FakeStore.text(folder + "/said")
      #expect(lines(run.output) == ["3", "3", "3", "3", "3", "0"], "\(run.output) \(said)")
      #expect(lines(said).count == 5 && lines(said).allSatisfy { $0.contains("ExpiredToken") })
      // Nothing that nobody needs is left.
      let last = folder + "/last"
      #expect(number(last, "removed") == 0 && number(last, "rewritten") == 0)
      let packs = run.objects.filter { $0.key.hasPrefix("store/packs/") }
      #expect(number(last, "packs") == Int64(packs.count))
      #expect(packs.values.map(\.byteCount).reduce(0, +) < 2 << 20)
      #expect(run.objects.count == 2 + 2 * packs.count && run.uploads.isEmpty)
    }
  }

  /// Leases of others, and places without a store.
  @Test func whoElseIsThere() throws {
    try FakeStore.inFolder { folder in
      FakeStore.write("xensave-lua store 1\n", to: folder + "/format")
      let leases = [
        ("alone", "{\"kind\":\"alone\",\"until\":9999999999}"),
        ("shared", "{\"kind\":\"shared\",\"until\":9999999999}"),
        ("over", "{\"kind\":\"alone\",\"until\":1}"),
      ]
      var options: [String] = []
      for (name, text) in leases {
        FakeStore.write(text, to: folder + "/" + name)
        options += ["--put", "\(name)/format=\(folder)/format"]
        options += ["--put", "\(name)/leases/x=\(folder)/\(name)"]
      }
      let run = try run(
        folder, options,
        """
        for place in images/alone images/shared images/over images/none nobodys/none; do
          for words in "ls $place" "gc $place -q" "put $place $fixtures/pv-4m-1v-tiny.xlsave -q"; do
            set -- $words; command=$1; shift
            xensave-lua store $command "s3://$@" >>out 2>said; echo $place $command $? $(cat said)
          done
        done
        """)
      func found(_ place: String, _ command: String) -> String {
        let begin = "\(place) \(command) "
        return lines(run.output).first { $0.hasPrefix(begin) }.map {
          String($0.dropFirst(begin.count))
        } ?? ""
      }
      let busy = "\(ErrorCode.busy.exitCode) xensave-lua: s3://images/"
      for (place, command, words) in [
        ("images/alone", "ls", "0"), ("images/alone", "gc", busy + "alone: garbage is"),
        ("images/alone", "put", busy + "alone: garbage is"),
        ("images/shared", "ls", "0"), ("images/shared", "put", "0"),
        ("images/shared", "gc", busy + "shared: somebody adds"),
        ("images/over", "gc", "0"), ("images/over", "put", "0"),
        ("images/none", "ls", "1 xensave-lua: s3://images/none: no store of images"),
        ("images/none", "gc", "1 xensave-lua: s3://images/none: no store of images"),
        ("images/none", "put", "0"),
        ("nobodys/none", "ls", "1 xensave-lua: s3://nobodys/none: no store of images"),
        ("nobodys/none", "put", "3 xensave-lua: s3://nobodys/none/format: there is no such object"),
      ] {
        #expect(
          found(place, command).hasPrefix(words), "\(place) \(command): \(found(place, command))")
      }
      let left = run.objects.keys.filter { $0.contains("/leases/") }.sorted()
      #expect(left == ["alone/leases/x", "shared/leases/x"])
      #expect(!run.objects.keys.contains { $0.hasPrefix("alone/images/") })
    }
  }
}
