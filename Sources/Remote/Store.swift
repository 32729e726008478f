// What opens URLs, for a program that registers it.

internal import Bytes
public import SystemIO

/// Images by URL: those of an object store are read and written, those of other servers are read.
///
/// What the environment says of the store is read with each image: a session may change it.
public struct RemoteImages: RemoteStore {
  public init() {}

  public func open(_ url: String) throws(SystemError) -> any RemoteReader {
    let (request, location) = try self.request(url)
    if case .s3(_, let key) = location, key.hasSuffix("/") {
      throw SystemError(
        "open", RemoteFiles.unsupported, location.shown,
        "this is how the names of many images begin (xensave-lua each COMMAND -- URL takes them all)"
      )
    }
    return ObjectReader(
      try RemoteObject(request, location.shown, RemoteImages.identity(request.url)))
  }

  public func create(_ url: String, isNew: Bool) throws(SystemError) -> any RemoteWriter {
    let (request, location) = try self.request(url)
    guard case .s3 = location else {
      throw SystemError(
        "open", RemoteFiles.unsupported, location.shown,
        "only s3:// is written to, not other URLs")
    }
    return try RemoteUpload(request, location.shown, isNew: isNew)
  }

  public func remove(_ url: String) throws(SystemError) {
    let (target, location) = try self.request(url)
    let name = location.shown
    guard case .s3(_, let key) = location else {
      throw SystemError(
        "unlink", RemoteFiles.unsupported, name, "only objects of s3:// are removed")
    }
    guard !key.hasSuffix("/") else {
      throw SystemError(
        "unlink", RemoteFiles.unsupported, name,
        "this is how the names of many images begin: expected the name of one")
    }
    var request = target
    request.method = "DELETE"
    let session = try HTTPSession(name)
    // Somebody may be waiting for it to go: a lease, after Ctrl-C.
    let outcome = try session.attempt(request, name, isStubborn: Interrupt.isRequested) { answer in
      // A bucket that is not there is a 404, too: most likely its name is wrong.
      answer.status == 404 && answer.said.hasPrefix("NoSuchKey")
        ? nil : Failure.of(answer, expected: [200, 204])
    }
    if case .failure(let failure) = outcome { throw failure.error(name) }
  }

  public func identity(of url: String) throws(SystemError) -> FileIdentity {
    RemoteImages.identity(try request(url).0.url)
  }

  private static func identity(_ url: String) -> FileIdentity {
    // No device of a machine has this number.
    FileIdentity(device: .max - 1, inode: XXH64.hash(Array(url.utf8)))
  }

  /// A request for the object at a URL.
  private func request(_ text: String) throws(SystemError) -> (HTTPRequest, RemoteURL) {
    guard let location = RemoteURL(text) else {
      throw SystemError(
        "open", Failure.invalid, String(text.prefix { $0 != "?" }),
        "no URL: expected s3://BUCKET/KEY or https://HOST/PATH")
    }
    switch location {
    case .web(let url):
      var request = HTTPRequest(url: url)
      request.followsRedirects = true
      request.authorities = Environment.variable("AWS_CA_BUNDLE")
      return (request, location)
    case .s3(let bucket, let key):
      let settings = try S3Settings()
      var request = HTTPRequest(url: settings.url(bucket, key))
      request.credentials = settings.credentials
      request.region = settings.region
      request.authorities = settings.authorities
      request.place = ObjectPlace(
        endpoint: settings.endpoint, path: "/\(bucket)/\(RemoteURL.escaped(key))")
      return (request, location)
    }
  }
}
