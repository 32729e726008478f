// Writing images to an object store: all of one is there, or nothing.

import Glibc
import TestKit
import Testing

@Suite(.enabled(if: FakeStore.isPossible, "libcurl is not installed")) struct WriteTests {
  private let image = FakeStore.image
  /// Writes an image of five parts and a little to the store.
  private let writing = "exec xensave-lua -e 'return {}' big -o s3://images/out -q"

  /// Runs `body` in a folder with an image of more than 40 MB, called "big".
  private func withBig(_ body: (String) throws -> Void) throws {
    try FakeStore.inFolder { folder in
      let made = runShell(
        "'\(FakeStore.checkout)/scripts/make-image' --memory 44MiB --zero 0 '\(folder)/big'")
      try #require(made == 0)
      try body(folder)
    }
  }

  @Test func oneRequestForASmallImage() throws {
    try FakeStore.inFolder { folder in
      let run = try FakeStore.run(
        folder, [],
        "xensave-lua run rename '\(image)' web -o s3://images/out -q && "
          + "xensave-lua run rename '\(image)' web -o out -q")
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(run.count("PUT") == 1 && run.count("CREATE") == 0)
      let object = try #require(run.objects["out"])
      #expect(hasSameBytes(FakeStore.bytes(object.file), FakeStore.bytes(folder + "/out")))
    }
  }

  @Test func partsBecomeOneObject() throws {
    try withBig { folder in
      let run = try FakeStore.run(
        folder, [], "(\(writing)) && xensave-lua info s3://images/out >/dev/null")
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(run.count("PART") >= 5 && run.count("CREATE") == 1 && run.count("COMPLETE") == 1)
      #expect(run.uploads.isEmpty)
      let object = try #require(run.objects["out"])
      #expect(hasSameBytes(FakeStore.bytes(object.file), FakeStore.bytes(folder + "/big")))
    }
  }

  /// From one object to another, by every command that writes an image.
  @Test func commandsWriteObjects() throws {
    try FakeStore.inFolder { folder in
      let source = "s3://images/image"
      for words in [
        "set \(source) config.c_info.name=x", "convert \(source) --to xl", "compact \(source)",
        "run rename \(source) y", "export \(source) --format raw", "delta \(source) \(source)",
        "-e 'assert(img:save(arg[1]))' \(source) s3://images/out",
      ] {
        let output = words.hasSuffix("/out") ? "" : " -o s3://images/out"
        let local =
          words.hasSuffix("/out")
          ? words.replacing("s3://images/out", with: "out") : words + " -o out"
        let run = try FakeStore.run(
          folder, ["--put", "image=\(image)"],
          "xensave-lua \(words)\(output) >&2 && xensave-lua \(local) >&2")
        #expect(run.exitCode == 0, "\(words): \(run.errors)")
        let object = run.objects["out"]
        #expect(
          hasSameBytes(
            FakeStore.bytes(object?.file ?? ""), FakeStore.bytes(folder + "/out")), "\(words)")
        #expect(run.uploads.isEmpty, "\(words)")
        runShell("rm -f '\(folder)/out'")
      }
    }
  }

  @Test func onceIsNoError() throws {
    try withBig { folder in
      for fault in [
        "PART,1,1,500", "PART,2,2,503", "PART,3,1,cut-early", "PART,2,1,cut-request",
        "PART,2,1,stall", "CREATE,1,1,503", "COMPLETE,1,1,500", "COMPLETE,1,1,slow-200",
        "COMPLETE,1,1,cut-after", "COMPLETE,1,1,cut-early", "PART,1,2,delay",
      ] {
        let run = try FakeStore.run(
          folder, ["--fault", fault], writing, ["XENSAVE_REMOTE_TIMEOUT": "1"])
        #expect(run.exitCode == 0, "\(fault): \(run.errors)")
        #expect(run.uploads.isEmpty, "\(fault)")
        let object = try #require(run.objects["out"], "\(fault)")
        #expect(
          hasSameBytes(FakeStore.bytes(object.file), FakeStore.bytes(folder + "/big")), "\(fault)")
      }
    }
  }

  /// What does not pass: one error, no object, and no upload that is left.
  @Test func failuresLeaveNothing() throws {
    try withBig { folder in
      for (fault, words) in [
        ("PART,2,all,500", "InternalError"), ("PART,2,all,cut-early", "cut"),
        ("PART,1,all,expired", "ExpiredToken"), ("PART,2,all,stall", "does not answer"),
        ("PART,2,1,noetag", "no ETag"), ("PART,2,1,forgotten", "not known to the server"),
        ("CREATE,1,all,503", "SlowDown"), ("CREATE,1,1,expired", "ExpiredToken"),
        ("COMPLETE,1,1,error-200", "AccessDenied: not after all"),
        ("COMPLETE,1,all,500", "InternalError"), ("COMPLETE,1,1,region", "moon-1"),
      ] {
        let run = try FakeStore.run(
          folder, ["--fault", fault], writing, ["XENSAVE_REMOTE_TIMEOUT": "1"])
        #expect(run.exitCode == 3, "\(fault): \(run.exitCode)")
        #expect(run.hasOneError && run.errors.contains(words), "\(fault): \(run.errors)")
        #expect(run.objects.isEmpty && run.uploads.isEmpty, "\(fault): \(run.uploads)")
      }
    }
  }

  @Test func whatIsLeftIsNamed() throws {
    try withBig { folder in
      let part = "PART,3,all,expired"
      let left = try FakeStore.run(
        folder, ["--fault", part, "--fault", "ABORT,1,all,500"], writing)
      #expect(left.exitCode == 3 && left.hasOneError)
      #expect(left.errors.contains("ExpiredToken"), "\(left.errors)")
      #expect(left.errors.contains("could not be removed (upload upload/1"), "\(left.errors)")
      #expect(left.objects.isEmpty && left.uploads.count == 1)
      let tried = try FakeStore.run(folder, ["--fault", part, "--fault", "ABORT,1,1,500"], writing)
      #expect(tried.uploads.isEmpty && !tried.errors.contains("could not be removed"))
      // The name is what an upload needs.
      let nameless = try FakeStore.run(folder, ["--fault", "CREATE,1,1,nameless"], writing)
      #expect(nameless.exitCode == 3 && nameless.hasOneError, "\(nameless.errors)")
      #expect(nameless.errors.contains("UploadId") && nameless.objects.isEmpty)
    }
  }

  @Test func stopsAbort() throws {
    try withBig { folder in
      for place in ["PART,1,all", "PART,4,all", "CREATE,1,1", "COMPLETE,1,all"] {
        for (how, code) in [("term", 143), ("interrupt", 130)] {
          let run = try FakeStore.run(folder, ["--fault", "\(place),\(how)"], writing)
          #expect(run.exitCode == Int32(code), "\(place): \(run.exitCode) \(run.errors)")
          #expect(run.objects.isEmpty && run.uploads.isEmpty, "\(place): \(run.uploads)")
        }
      }
    }
  }

  /// What would not restore is not there, whatever was there before stays; --unchecked writes it.
  @Test func whatIsWrongIsNotWritten() throws {
    let dropping =
      "-e 'return { X86_PV_INFO = function() return false end, "
      + "HVM_PARAMS = function() return false end }'"
    try FakeStore.inFolder { folder in
      let script = "exec xensave-lua \(dropping) '\(image)' -o s3://images/out"
      let run = try FakeStore.run(folder, ["--put", "out=\(image)"], script)
      #expect(run.exitCode == 1 && run.hasOneError, "\(run.errors)")
      #expect(run.errors.contains("would not restore"), "\(run.errors)")
      #expect(run.objects["out"]?.file == image && run.count("PUT") == 0)
      let unchecked = try FakeStore.run(
        folder, ["--put", "out=\(image)"], script + " --unchecked -q")
      #expect(unchecked.exitCode == 0, "\(unchecked.errors)")
      #expect(unchecked.objects["out"]?.file != image)
    }
    try withBig { folder in
      let run = try FakeStore.run(
        folder, [], "exec xensave-lua \(dropping) big -o s3://images/out")
      #expect(run.exitCode == 1 && run.hasOneError, "\(run.errors)")
      #expect(run.objects.isEmpty && run.uploads.isEmpty && run.count("PART") > 0)
      // A script that fails in the middle.
      let failing = try FakeStore.run(
        folder, [],
        "exec xensave-lua -e 'return { END = function() error \"no\" end }' big -o s3://images/out")
      #expect(failing.exitCode == 1)
      #expect(failing.objects.isEmpty && failing.uploads.isEmpty && failing.count("ABORT") == 1)
    }
  }

  // MARK: - Ranges that stay on the server

  private let renaming = "xensave-lua run rename s3://images/big web -o s3://images/out -q"

  /// Most of an object of the same server is not moved; what comes of it is the same.
  @Test func rangesStayOnTheServer() throws {
    try FakeStore.inFolder { folder in
      let made = runShell(
        "'\(FakeStore.checkout)/scripts/make-image' --memory 140MiB --zero 0 '\(folder)/big'")
      try #require(made == 0)
      let run = try FakeStore.run(
        folder, ["--put", "big=\(folder)/big"],
        "\(renaming) && xensave-lua run rename big web -o there -q")
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(run.count("COPY") >= 2 && run.uploads.isEmpty)
      let object = try #require(run.objects["out"])
      #expect(hasSameBytes(FakeStore.bytes(object.file), FakeStore.bytes(folder + "/there")))
      #expect(run.byteCount < 16 << 20, "\(run.byteCount)")

      // A store that compares other tags than it says, as Swift does: we compare them before and after.
      let other = ["--put", "big=\(folder)/big", "--fault", "COPY,1,all,other-tag"]
      let unmatched = try FakeStore.run(folder, other, "exec \(renaming)")
      #expect(unmatched.exitCode == 0, "\(unmatched.errors)")
      #expect(unmatched.objects["out"]?.hash == object.hash && unmatched.byteCount < 16 << 20)
      #expect(unmatched.count("COPY") == run.count("COPY") + 1)
      for look in [1, 2] {
        let changed = try FakeStore.run(
          folder, other + ["--fault", "HEAD,\(look),1,changed"], "exec \(renaming)")
        #expect(changed.exitCode == 3 && changed.hasOneError, "\(look): \(changed.errors)")
        #expect(changed.errors.contains("has changed"), "\(look): \(changed.errors)")
        #expect(changed.objects["out"] == nil && changed.uploads.isEmpty, "\(look)")
      }

      // A store that does not do that gets the bytes; one that has changed is an error; so is a stop.
      for (fault, code) in [
        ("COPY,2,all,unsupported", 0), ("COPY,1,1,500", 0), ("COPY,1,all,error-200", 0),
        ("COPY,2,1,changed", 3), ("COPY,2,all,500", 3), ("COPY,2,all,term", 143),
      ] {
        let run = try FakeStore.run(
          folder, ["--put", "big=\(folder)/big", "--fault", fault], "exec \(renaming)")
        #expect(run.exitCode == Int32(code), "\(fault): \(run.errors)")
        #expect(run.uploads.isEmpty, "\(fault)")
        if code == 0 {
          #expect(run.objects["out"]?.hash == object.hash, "\(fault)")
        } else {
          #expect(run.objects["out"] == nil && run.hasOneError, "\(fault): \(run.errors)")
        }
      }

      // What would not restore is not completed.
      let wrong = try FakeStore.run(
        folder, ["--put", "big=\(folder)/big"],
        "exec xensave-lua -e 'return { HVM_PARAMS = function() return false end }' s3://images/big "
          + "-o s3://images/out")
      #expect(wrong.exitCode == 1 && wrong.errors.contains("would not restore"), "\(wrong.errors)")
      #expect(wrong.objects["out"] == nil && wrong.uploads.isEmpty)
    }
  }

  /// The first part of a large object is filled up with zeros: no page is fetched for it, also where that
  /// was done before.
  @Test func noPageIsFetched() throws {
    try FakeStore.inFolder { folder in
      let made = runShell(
        "'\(FakeStore.checkout)/scripts/make-image' --memory 260MiB --no-data-sparse '\(folder)/big'"
      )
      try #require(made == 0)
      let run = try FakeStore.run(
        folder, ["--put", "s=\(folder)/big"],
        """
        xensave-lua run rename s3://images/s first -o s3://images/first && \
        xensave-lua run rename s3://images/first second -o s3://images/second -q && \
        xensave-lua verify s3://images/second
        """)
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(run.errors.contains("1 inserted"), "\(run.errors)")
      #expect(run.output.contains("second: good"), "\(run.output)")
      // Three reads of all the lists of pages.
      #expect(run.byteCount < 3 << 20, "\(run.byteCount)")
      // There is one such record, and nothing else differs.
      let (first, second) = (
        try #require(run.objects["first"]), try #require(run.objects["second"])
      )
      #expect(first.byteCount + 4096 > second.byteCount && first.byteCount > 265 << 20)
      let compared = try FakeStore.run(
        folder, [],
        """
        xensave-lua compact '\(second.file)' -o compact -q && \
        ! xensave-lua verify compact | grep 80005850 && \
        xensave-lua diff '\(first.file)' '\(second.file)'
        """)
      #expect(compared.exitCode == 1 && compared.output.contains("config.c_info.name"))
      #expect(!compared.output.contains("80005850:") && !compared.output.contains("PAGE_DATA"))
    }
  }

  /// Memory does not grow with what is read and written.
  @Test func memoryIsBounded() throws {
    try FakeStore.inFolder { folder in
      let made = runShell(
        "'\(FakeStore.checkout)/scripts/make-image' --memory 300MiB --zero 0 --no-data-sparse "
          + "'\(folder)/big'")
      try #require(made == 0)
      let run = try FakeStore.run(
        folder, ["--put", "image=\(folder)/big"],
        """
        python3 -c '
        import resource, subprocess, sys
        code = subprocess.run(["xensave-lua", "-e", "return {}", "s3://images/image", "-o", "s3://images/out", "-q"]).returncode
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
        sys.exit(code)'
        """)
      #expect(run.exitCode == 0, "\(run.errors)")
      let kibibytes = try #require(Int(run.output.trimmingPrefix(" ").prefix { $0.isNumber }))
      #expect(kibibytes < 200 << 10, "\(kibibytes) KiB")
      #expect(run.objects["out"]?.byteCount == run.objects["image"]?.byteCount)
    }
  }
}
