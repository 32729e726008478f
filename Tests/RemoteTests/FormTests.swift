// URLs, settings, and what is asked for before it is needed.

import Bytes
import Hash
import SystemIO
import Testing

@testable import Remote

@Suite struct FormTests {
  @Test func urls() {
    #expect(RemoteURL("s3://b/k") == .s3(bucket: "b", key: "k"))
    #expect(RemoteURL("S3://b/a/b c+ü") == .s3(bucket: "b", key: "a/b c+ü"))
    #expect(RemoteURL("s3://b//k") == .s3(bucket: "b", key: "/k"))
    #expect(RemoteURL("https://h:1/p?q=1#x") == .web("https://h:1/p?q=1"))
    for wrong in [
      "s3://", "s3://b", "s3://b/", "s3:///k", "s3://../k", "s3://b d/k", "https://", "https:///x",
      "ftp://h/x",
      "http://h/a b", "s3://b/\n", "http://h/\u{7F}", "s3:b/k", "",
      "s3://b/" + String(repeating: "k", count: 10000),
    ] { #expect(RemoteURL(wrong) == nil, "\(wrong)") }
    #expect(RemoteURL("https://me:secret@h/p?signature=1")?.shown == "https://h/p")
    #expect(RemoteURL("https://h?signature=1")?.shown == "https://h")
    #expect(RemoteURL.escaped("a b/ü+~._-") == "a%20b/%C3%BC%2B~._-")
    for (path, isRemote) in [
      ("s3://b/k", true), ("HTTPS://h", true), ("http://h", true), ("s3:/b", false),
      ("./s3://b/k", false), ("/tmp/s3://b", false), ("", false), ("-", false), ("ftp://h", false),
    ] { #expect(RemoteFiles.isRemote(path) == isRemote, "\(path)") }
  }

  @Test func contentRanges() {
    #expect(ContentRange("bytes 0-99/1000")?.range == 0..<100)
    #expect(ContentRange("bytes 0-99/1000")?.total == 1000)
    #expect(ContentRange("Bytes 5-5/*")?.range == 5..<6)
    #expect(ContentRange("bytes */7")?.total == 7)
    #expect(ContentRange("bytes */7")?.range.isEmpty == true)
    for wrong in [
      "", "bytes", "bytes 0-99", "bytes 9-0/10", "bytes a-b/c", "items 0-1/2", "bytes 0-1/x",
      "bytes 0-18446744073709551615/1", "bytes -1-2/3", "bytes 1-2/3/4", "bytes 0-1/2 x",
    ] { #expect(ContentRange(wrong) == nil, "\(wrong)") }
  }

  // MARK: - Signatures

  /// The examples of AWS's documentation, "Authenticating Requests: Using the Authorization Header".
  @Test(
    arguments: [
      (
        "GET", "test.txt", ["Range: bytes=0-9"], "",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
      ),
      (
        "PUT", "test%24file.text",
        ["Date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class: REDUCED_REDUNDANCY"],
        "Welcome to Amazon S3.",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
      ),
      (
        "GET", "?lifecycle", [], "",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
      ),
      (
        "GET", "?prefix=J&max-keys=2", [], "",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
      ),
    ] as [(String, String, [String], String, String)])
  func requestsAreSigned(
    method: String, place: String, headers: [String], body: String, signature: String
  ) throws {
    let url = "https://examplebucket.s3.amazonaws.com:443/" + place
    let signed = try #require(
      S3Signature.headers(
        of: method, url, headers, payload: SHA256.hash(Array(body.utf8)).hexDigits,
        region: "us-east-1",
        S3Credentials(
          key: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        at: 1_369_353_600))
    #expect(signed.prefix(headers.count) == headers[...])
    #expect(signed.contains("Host: examplebucket.s3.amazonaws.com"))
    #expect(signed.last?.hasSuffix("Signature=" + signature) == true, "\(signed)")
  }

  // MARK: - Settings

  private func settings(
    _ variables: [String: String], config: String = "", credentials: String = ""
  ) throws(SystemError) -> S3Settings {
    let variables = variables.merging(["HOME": "/home/me"]) { first, _ in first }
    return try S3Settings(variable: { variables[$0] }) { path throws(SystemError) in
      switch path {
      case "/home/me/.aws/config", "/c": SettingsFile(config)
      case "/home/me/.aws/credentials", "/s": SettingsFile(credentials)
      default: SettingsFile("")
      }
    }
  }

  private let config = """
    # comment
    [default]
    region = home-1
    endpoint_url=http://store.local:9000/   ; where it is
    [profile lab]
    region=lab-2
    services = near
    s3 =
      addressing_style = path
      max_concurrent_requests = 7
    ca_bundle = /etc/lab.pem
    [services near]
    ec2 =
      endpoint_url = http://wrong
    s3 =
      endpoint_url = https://s3.lab
    [profile   sso]
    sso_session = x
    """
  private let secrets = """
    [default]\r
    aws_access_key_id = AK\r
    aws_secret_access_key = se cret#=\r
    [lab]
    aws_access_key_id=LK
    aws_secret_access_key=LS
    aws_session_token=LT
    [half]
    aws_access_key_id=HK
    """

  @Test func settingsComeFromVariablesAndFiles() throws {
    let none = try settings([:])
    #expect(none == (try settings(["AWS_CONFIG_FILE": "/nothing"])))
    #expect(none.region == "us-east-1")
    #expect(none.credentials == nil && none.endpoint == nil)

    var found = try settings([:], config: config, credentials: secrets)
    #expect(found.region == "home-1")
    #expect(found.endpoint == "http://store.local:9000/")
    #expect(found.credentials == S3Credentials(key: "AK", secret: "se cret#="))
    found = try settings(["AWS_PROFILE": "lab"], config: config, credentials: secrets)
    #expect(found.region == "lab-2")
    #expect(found.endpoint == "https://s3.lab")
    #expect(found.isPathStyle == true)
    #expect(found.authorities == "/etc/lab.pem")
    #expect(found.credentials == S3Credentials(key: "LK", secret: "LS", token: "LT"))
    found = try settings(
      [
        "AWS_PROFILE": "lab", "AWS_REGION": "r", "AWS_ENDPOINT_URL": "http://a",
        "AWS_ENDPOINT_URL_S3": "http://b", "AWS_ACCESS_KEY_ID": "VK",
        "AWS_SECRET_ACCESS_KEY": "VS", "XENSAVE_S3_STYLE": "virtual", "AWS_CA_BUNDLE": "/ca",
      ], config: config, credentials: secrets)
    #expect(found.region == "r" && found.endpoint == "http://b" && found.isPathStyle == false)
    #expect(found.credentials == S3Credentials(key: "VK", secret: "VS"))
    #expect(found.authorities == "/ca")
    found = try settings(
      [
        "AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/s",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
      ], config: config, credentials: secrets)
    #expect(found.endpoint == nil && found.credentials?.key == "AK")
  }

  @Test func wrongSettingsAreNamed() {
    for (variables, words) in [
      (["AWS_PROFILE": "none"], "no profile 'none'"),
      (["AWS_PROFILE": "half"], "a key without a secret"),
      (["AWS_PROFILE": "sso"], "sso_session, which is not read"),
      (["AWS_ACCESS_KEY_ID": "x"], "AWS_SECRET_ACCESS_KEY is not set"),
      (["AWS_ENDPOINT_URL": "ftp://x"], "expected http:// or https://"),
      (["XENSAVE_S3_STYLE": "odd"], "expected path, virtual or auto"),
      (["AWS_REGION": "a:b"], "no name of a region"),
    ] {
      do throws(SystemError) {
        _ = try settings(variables, config: config, credentials: secrets)
        Issue.record("\(variables) is taken")
      } catch { #expect("\(error)".contains(words), "\(error)") }
    }
  }

  @Test func urlsOfObjects() throws {
    func url(_ variables: [String: String], _ bucket: String, _ key: String = "a/k y") throws
      -> String
    { try settings(variables).url(bucket, key) }
    #expect(try url([:], "b") == "https://b.s3.us-east-1.amazonaws.com/a/k%20y")
    #expect(try url([:], "b.c") == "https://s3.us-east-1.amazonaws.com/b.c/a/k%20y")
    #expect(
      try url(["AWS_REGION": "cn-north-1"], "b")
        == "https://b.s3.cn-north-1.amazonaws.com.cn/a/k%20y")
    #expect(
      try url(["XENSAVE_S3_STYLE": "path"], "b") == "https://s3.us-east-1.amazonaws.com/b/a/k%20y")
    let near = ["AWS_ENDPOINT_URL": "http://h:9000/"]
    #expect(try url(near, "b") == "http://h:9000/b/a/k%20y")
    let virtual = near.merging(["XENSAVE_S3_STYLE": "virtual"]) { $1 }
    #expect(try url(virtual, "b") == "http://b.h:9000/a/k%20y")
  }

  // MARK: - Reading ahead

  /// Bytes that the reads of a plan ask for, each once.
  private func asked(_ plan: inout ReadPlan, _ reads: [Range<UInt64>], of size: UInt64) -> UInt64 {
    var cache = RangeCache<Int>(byteLimit: .max, countLimit: .max)
    for read in reads {
      for want in plan.read(read, of: size) {
        for part in cache.missing(want) { cache.insert(part, 0) }
      }
      plan.got(read)
      #expect(cache.missing(read).isEmpty, "\(read) was not asked for")
    }
    return cache.byteCount
  }

  @Test func headersFarApartCostLittle() {
    let header: UInt64 = 8208
    let size: UInt64 = 4 << 30
    let record = header + 4 << 20
    var plan = ReadPlan()
    let regular = (0..<size / record).map { $0 * record..<$0 * record + header }
    let cost = asked(&plan, regular, of: size)
    #expect(cost <= UInt64(regular.count + 33) * header)
    // Several are asked for at once.
    var ahead = ReadPlan()
    let wants = regular.prefix(12).map { read in
      let wants = ahead.read(read, of: size)
      ahead.got(read)
      return wants.count
    }
    #expect(wants.max() ?? 0 > 8, "\(wants)")

    // Records of lengths that nobody can guess: at most as much again.
    var random = SystemRandomNumberGenerator()
    var place: UInt64 = 0
    var odd: [Range<UInt64>] = []
    while place + header < size {
      odd.append(place..<place + header)
      place += header + UInt64.random(in: 16...1024, using: &random) * 4096
    }
    var other = ReadPlan()
    #expect(asked(&other, odd, of: size) <= UInt64(odd.count + 100) * header * 2)
  }

  @Test func whatFollowsIsReadAhead() {
    let size: UInt64 = 64 << 20
    var plan = ReadPlan()
    let chunk: UInt64 = 256 << 10
    let reads = (0..<size / chunk).map { (index: UInt64) -> Range<UInt64> in
      index * chunk..<(index + 1) * chunk
    }
    #expect(asked(&plan, reads, of: size) == size)
    var other = ReadPlan()
    var longest = 0
    for read in reads {
      longest = max(longest, other.read(read, of: size).first?.count ?? 0)
      other.got(read)
    }
    #expect(longest > 4 << 20 && longest <= 16 << 20)
    // A few reads beside each other are no reason for it.
    var third = ReadPlan()
    #expect(asked(&third, [5000..<9000, 9000..<13000], of: size) < 20000)
    // What was announced is not exceeded.
    var fourth = ReadPlan()
    fourth.expect(1000..<3_000_000)
    #expect(asked(&fourth, [1000..<2000, 2000..<9000], of: size) == 2_999_000)
    // Chunks that are announced one by one are read ahead, too.
    var fifth = ReadPlan()
    let small = (0..<size / 65536).map { (chunk: UInt64) -> Range<UInt64> in
      chunk << 16..<(chunk + 1) << 16
    }
    let lengths = small.map { read in
      fifth.expect(read)
      defer { fifth.got(read) }
      return fifth.read(read, of: size).first?.count ?? 0
    }
    #expect(lengths[0] == 65536 && lengths.max() ?? 0 > 4 << 20)
  }

  @Test func whatLiesTogetherIsReadTogether() {
    let size: UInt64 = 64 << 20
    // Every other page of 16 blocks, in an order that nobody can guess, and pages that lie alone.
    var random = SystemRandomNumberGenerator()
    var places = (0..<128).map { (page: UInt64) -> UInt64 in page / 8 * 1_048_576 + page % 8 * 8192
    }
    places += (0..<16).map { (block: UInt64) -> UInt64 in block * 1_048_576 + 500_000 }
    places.shuffle(using: &random)
    var plan = ReadPlan()
    var cache = RangeCache<Int>(byteLimit: .max, countLimit: .max)
    var waits = 0
    for place in places {
      let read = place..<place + 4096
      plan.expect(read)
      let missing = plan.read(read, of: size).flatMap { cache.missing($0) }
      if missing.contains(where: { $0.overlaps(read) }) { waits += 1 }
      for part in missing { cache.insert(part, 0) }
      plan.got(read)
      #expect(cache.missing(read).isEmpty, "\(read) was not asked for")
    }
    // A page that lies alone is now and then read with its neighbours.
    #expect((40...48).contains(waits))
    #expect(cache.byteCount <= 16 * (65536 + 4096) * 11 / 10)
  }

  @Test func theCacheIsBounded() {
    var cache = RangeCache<UInt64>(byteLimit: 1000, countLimit: 20)
    for place in 0..<UInt64(100) { cache.insert(place * 50..<place * 50 + 50, place) }
    #expect(cache.byteCount <= 1000 && cache.entries.count <= 20)
    #expect(cache.entry(at: 99 * 50 + 3)?.content == 99)
    #expect(cache.entry(at: 3) == nil)
    #expect(cache.missing(0..<50) == [0..<50])
    // What is used stays.
    for place in 100..<UInt64(300) {
      #expect(cache.entry(at: 99 * 50)?.content == 99)
      cache.insert(place * 50..<place * 50 + 50, place)
    }
    #expect(cache.missing(99 * 50..<100 * 50).isEmpty)
    var gaps = RangeCache<Int>(byteLimit: 1000, countLimit: 20)
    gaps.insert(10..<20, 1)
    gaps.insert(30..<40, 2)
    #expect(gaps.missing(0..<50) == [0..<10, 20..<30, 40..<50])
    #expect(gaps.missing(12..<18) == [])
    #expect(gaps.missing(15..<35) == [20..<30])
  }

  @Test func partsReachHundredsOfGigabytes() {
    let all = (0..<10_000).reduce(0) { $0 + RemoteUpload.partByteCount($1) }
    #expect(all >= 500 << 30)
    #expect((0..<9_999).allSatisfy { RemoteUpload.partByteCount($0) >= 5 << 20 })
  }

  @Test func whatServersSayIsOneLine() {
    var answer = HTTPAnswer()
    answer.status = 418
    answer.said = Failure.shown("a\u{1B}[31m\nb" + String(repeating: "x", count: 1000))
    let text = Failure.of(answer, expected: [200])?.text ?? ""
    #expect(text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F } && text.utf8.count < 300)
  }
}
