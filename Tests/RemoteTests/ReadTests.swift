// Reading images of servers, right ones and wrong ones.

import Glibc
import TestKit
import Testing

@Suite(.enabled(if: FakeStore.isPossible, "libcurl is not installed")) struct ReadTests {
  private let image = FakeStore.image
  private var put: [String] { ["--put", "image=\(image)"] }

  /// A copy of the image by a filter that keeps everything: all bytes are read.
  private let copying = "exec xensave-lua -e 'return {}' s3://images/image -o copy"

  /// What the same words print for the file and for the object.
  @Test func commandsSayTheSame() throws {
    try FakeStore.inFolder { folder in
      for words in [
        "verify @", "verify --pages @", "verify --json @", "info @", "dump @ config.c_info.name",
        "dump --json @", "compat --xen 4.17 @", "pages @ --zero --duplicates",
        "-e 'print(#img, img.guest, img.size)' @",
        "-e 'for r in img:records() do print(r.type, #r) end' @",
        "convert @ --to xl -o - | cksum", "export @ --format raw -o - | cksum",
        "run summary @", "each verify --json -- @",
      ] {
        let local = words.replacing("@", with: "image")
        let remote = words.replacing("@", with: "s3://images/image")
        let run = try FakeStore.run(
          folder, put,
          """
          ln -sf '\(image)' image
          xensave-lua \(local) >local 2>&1; echo $? >>local
          xensave-lua \(remote) 2>&1 | sed 's,s3://images/image,image,g; s/"seconds":[0-9.]*//' >remote
          sed 's/"seconds":[0-9.]*//' local >there
          xensave-lua \(remote) >/dev/null 2>&1; echo $? >>remote
          diff there remote
          """)
        #expect(run.exitCode == 0, "\(words): \(run.output)\(run.errors)")
        #expect(run.requests.allSatisfy { $0.isSigned && $0.status == 206 }, "\(words)")
      }
    }
  }

  @Test func differencesAndDeltas() throws {
    try FakeStore.inFolder { folder in
      let run = try FakeStore.run(
        folder, put,
        """
        set -e
        xensave-lua diff '\(image)' s3://images/image
        xensave-lua run rename '\(image)' other -o renamed --quiet
        xensave-lua delta s3://images/image renamed -o delta --quiet
        xensave-lua apply s3://images/image delta -o result --quiet
        cmp renamed result
        echo 'print(#img)' | xensave-lua -i s3://images/image | grep -q 14
        """)
      #expect(run.exitCode == 0, "\(run.output)\(run.errors)")
    }
  }

  /// The processes of a guest, which are read here and there.
  @Test func guests() throws {
    try FakeStore.inFolder { folder in
      let bytes = SyntheticLinux().image
      let file = try #require(fopen(folder + "/linux", "wb"))
      fwrite(bytes, 1, bytes.count, file)
      fclose(file)
      let run = try FakeStore.run(
        folder, ["--put", "linux=\(folder)/linux"],
        "xensave-lua guest linux ps >there; xensave-lua guest s3://images/linux ps | diff there -")
      #expect(run.exitCode == 0, "\(run.output)\(run.errors)")
      #expect(FakeStore.bytes(folder + "/there").count > 100)
    }
  }

  /// A big image is verified by its headers alone.
  @Test func verifyReadsHeadersOnly() throws {
    try FakeStore.inFolder { folder in
      let made = runShell(
        "'\(FakeStore.checkout)/scripts/make-image' --memory 4GiB --zero 0 --no-data-sparse "
          + "'\(folder)/big' 2>'\(folder)/made'")
      try #require(made == 0, "\(FakeStore.text(folder + "/made"))")
      let run = try FakeStore.run(
        folder, ["--put", "big=\(folder)/big"], "exec xensave-lua verify s3://images/big")
      #expect(run.exitCode == 0, "\(run.output)\(run.errors)")
      let size = try #require(run.objects["big"]?.byteCount)
      #expect(size > 4 << 30)
      #expect(run.byteCount * 200 < size, "\(run.byteCount) of \(size) bytes")
      #expect(run.requests.allSatisfy { $0.byteCount <= 1 << 20 })
    }
  }

  // MARK: - Where and who

  @Test func keysAreEscapedAndSigned() throws {
    try FakeStore.inFolder { folder in
      for key in ["a b+c/ü&=?#%41.save", "/twice//x", "~'();:@$,!*[]", "a/../b/./c"] {
        let quoted = key.replacing("'", with: "'\\''")
        let run = try FakeStore.run(
          folder, ["--put", "\(key)=\(image)"],
          "exec xensave-lua verify -q 's3://images/\(quoted)'")
        #expect(run.exitCode == 0, "\(key): \(run.errors)")
      }
    }
  }

  @Test func credentialsAndPlaces() throws {
    try FakeStore.inFolder { folder in
      let verify = "exec xensave-lua verify -q s3://images/image"
      // Of a session.
      var run = try FakeStore.run(folder, put + ["--token"], verify)
      #expect(run.exitCode == 0, "\(run.errors)")
      // The bucket in the name of the host.
      run = try FakeStore.run(
        folder, put + ["--virtual"], verify, ["XENSAVE_S3_STYLE": "virtual"])
      #expect(run.exitCode == 0, "\(run.errors)")
      // Nobody in particular.
      run = try FakeStore.run(folder, put + ["--open", "--keyless"], verify)
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(run.requests.allSatisfy { !$0.isSigned })
      run = try FakeStore.run(folder, put + ["--keyless"], verify)
      #expect(run.exitCode == 3 && run.hasOneError && run.errors.contains("AccessDenied"))
      // Files of a profile.
      let files = """
        mkdir -p .aws; printf '[lab]\\naws_access_key_id=AKIDTEST\\n' >.aws/credentials
        echo 'aws_secret_access_key=secret/of+the:test' >>.aws/credentials
        """
      run = try FakeStore.run(
        folder, put + ["--keyless"], files + "\n" + verify, ["AWS_PROFILE": "lab"])
      #expect(run.exitCode == 0, "\(run.errors)")
      // A wrong secret.
      run = try FakeStore.run(folder, put, verify, ["AWS_SECRET_ACCESS_KEY": "wrong"])
      #expect(run.exitCode == 3 && run.hasOneError)
      #expect(run.errors.contains("SignatureDoesNotMatch"), "\(run.errors)")
      // The option before all others.
      run = try FakeStore.run(
        folder, put,
        "exec xensave-lua --endpoint http://127.0.0.1:{port} verify -q s3://images/image",
        ["AWS_ENDPOINT_URL": "http://127.0.0.1:1"])
      #expect(run.exitCode == 0, "\(run.errors)")
    }
  }

  @Test func otherServers() throws {
    try FakeStore.inFolder { folder in
      let base = "http://127.0.0.1:{port}"
      for (options, url) in [
        ([], "\(base)/images/image"), ([], "\(base)/images/image?versionId=1#x"),
        ([], "\(base)/moved"), (["--noranges"], "\(base)/images/image"),
        (["--tags", "weak"], "\(base)/images/image"), (["--tags", "none"], "\(base)/images/image"),
      ] {
        let run = try FakeStore.run(
          folder, put + ["--open"] + options,
          "xensave-lua -e 'return {}' '\(url)' -o copy && cmp copy '\(image)'")
        #expect(run.exitCode == 0, "\(options) \(url): \(run.errors)\(run.output)")
      }
      FakeStore.write("", to: folder + "/empty")
      let run = try FakeStore.run(
        folder, ["--open", "--put", "empty=\(folder)/empty"],
        "xensave-lua verify \(base)/images/empty; xensave-lua verify empty")
      #expect(run.output.isEmpty == false || run.errors.contains("empty"))
      #expect(run.exitCode == 1)
    }
  }

  /// TLS: who cannot show a certificate that is trusted is not spoken to.
  @Test func certificatesAreLookedAt() throws {
    try FakeStore.inFolder { folder in
      let verify = "exec xensave-lua verify -q s3://images/image"
      var run = try FakeStore.run(folder, put + ["--tls"], verify)
      #expect(run.exitCode == 3 && run.hasOneError, "\(run.errors)")
      #expect(run.errors.contains("certificate"), "\(run.errors)")
      #expect(run.requests.isEmpty)
      run = try FakeStore.run(
        folder, put + ["--tls"], verify, ["AWS_CA_BUNDLE": FakeStore.fixtures + "fake-s3.pem"])
      #expect(run.exitCode == 0, "\(run.errors)")
    }
  }

  @Test func refusals() throws {
    try FakeStore.inFolder { folder in
      for (words, code, text) in [
        ("set s3://images/image config.c_info.name=x --in-place", 2, "needs a file"),
        ("-e 'return {}' s3://images/image --in-place", 2, "needs a file"),
        ("recover s3://images/image", 2, "needs a file"),
        ("pages --cache s3://images/image", 2, "needs a file"),
        ("s3://images/script.lua '\(image)'", 2, "needs a file"),
        ("verify s3://images/none", 3, "NoSuchKey"),
        ("verify s3://elsewhere/none", 3, "NoSuchBucket"),
        ("verify s3://images", 3, "no URL"),
        ("verify http://127.0.0.1:1/x", 3, "connect"),
        ("-e 'return {}' '\(image)' -o http://127.0.0.1:1/x", 3, "only s3://"),
        ("-e 'return {}' s3://images/image -o s3://images/image", 2, "is the image itself"),
        ("--endpoint nowhere verify s3://images/image", 2, "--endpoint"),
      ] {
        let run = try FakeStore.run(folder, put, "exec xensave-lua \(words)")
        #expect(run.exitCode == Int32(code), "\(words): \(run.exitCode)")
        #expect(run.hasOneError && run.errors.contains(text), "\(words): \(run.errors)")
        #expect(run.objects.count == 1 && run.uploads.isEmpty, "\(words)")
      }
      let run = try FakeStore.run(
        folder, put, "exec xensave-lua verify s3://images/image", ["XENSAVE_LIBCURL": "/none"])
      #expect(run.exitCode == 3 && run.hasOneError && run.errors.contains("install libcurl4"))
      let script = try FakeStore.run(
        folder, put, "exec xensave-lua -e 'print(select(2, xs.open(\"s3://images/none\")).code)'")
      #expect(script.output == "enoent\n", "\(script.output)\(script.errors)")
    }
  }

  // MARK: - Faults

  /// What passes by itself: the result is right.
  @Test(arguments: [
    "cut", "cut-early", "500", "503", "503-plain", "truncate", "delay", "stall",
  ])
  func onceIsNoError(_ fault: String) throws {
    try FakeStore.inFolder { folder in
      for place in ["GET,1,1", "GET,2,1", "GET,3,2"] {
        let run = try FakeStore.run(
          folder, put + ["--fault", "\(place),\(fault)"], "(\(copying)) && cmp copy '\(image)'",
          ["XENSAVE_REMOTE_TIMEOUT": "1"])
        #expect(run.exitCode == 0, "\(place): \(run.errors)\(run.output)")
        #expect(run.requests.allSatisfy { $0.isSigned })
      }
    }
  }

  /// What does not pass: one error, a bounded number of requests, and nothing written.
  @Test(arguments: [
    ("GET,1,all,cut", "cut"), ("GET,2,all,cut", "cut"), ("GET,1,all,503", "SlowDown"),
    ("GET,2,all,500", "InternalError"), ("GET,2,all,503-plain", "503"),
    ("GET,2,all,truncate", "expected"), ("GET,1,all,cut-early", ""),
    ("GET,2,all,stall", "does not answer"),
    ("GET,2,all,repeat", "more bytes than were asked for"),
    ("GET,1,1,repeat", "more bytes than were asked for"),
    ("GET,2,all,endless", "more bytes than were asked for"),
    ("GET,1,all,endless", "more bytes than were asked for"),
    ("GET,2,all,lie", "other bytes than were asked for"),
    ("GET,1,all,lie", "other bytes than were asked for"),
    ("GET,2,all,lie-total", "has changed"), ("GET,2,all,lie-words", "which bytes it sent"),
    ("GET,1,all,lie-words", "how long the object is"),
    ("GET,2,all,etag", "ETag was"), ("GET,2,1,changed", "has changed"),
    ("GET,3,1,changed", "has changed"), ("GET,2,all,unmatched", "has changed"),
    ("GET,2,all,noranges", "gives no ranges"),
    ("GET,1,all,loop", "redirects"), ("GET,2,all,region", "moon-1 (AWS_REGION)"),
    ("GET,1,1,expired", "ExpiredToken"), ("GET,2,all,expired", "ExpiredToken"),
  ])
  func wrongAnswersAreErrors(_ fault: String, _ words: String) throws {
    try FakeStore.inFolder { folder in
      let run = try FakeStore.run(
        folder, put + ["--fault", fault], copying, ["XENSAVE_REMOTE_TIMEOUT": "1"])
      #expect(run.exitCode == 3, "\(run.exitCode)")
      #expect(run.hasOneError && run.errors.contains(words), "\(run.errors)")
      #expect(run.errors.contains("s3://images/image: "), "\(run.errors)")
      #expect(run.requests.count <= 60, "\(run.requests.count)")
      #expect(!FakeStore.exists(folder + "/copy"))
    }
  }

  @Test func redirectsEnd() throws {
    try FakeStore.inFolder { folder in
      let run = try FakeStore.run(
        folder, put + ["--open", "--fault", "GET,1,all,loop"],
        "exec xensave-lua verify http://127.0.0.1:{port}/images/image")
      #expect(run.exitCode == 3 && run.hasOneError && run.errors.contains("again and again"))
      #expect(run.requests.count <= 8)
    }
  }

  /// A request to stop ends the wait for an answer that never comes.
  @Test(arguments: ["GET,1,all", "GET,2,all"], ["term", "interrupt"])
  func stopsEndWaits(_ place: String, _ how: String) throws {
    try FakeStore.inFolder { folder in
      let run = try FakeStore.run(folder, put + ["--fault", "\(place),\(how)"], copying)
      #expect(run.exitCode == (how == "term" ? 143 : 130), "\(run.exitCode) \(run.errors)")
      #expect(!FakeStore.exists(folder + "/copy"))
    }
  }
}
