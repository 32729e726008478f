// Where an object store is, and who asks it: by the variables and files of AWS's programs.

internal import SystemIO

/// A key of an object store, and its secret.
struct S3Credentials: Equatable {
  var key: String
  var secret: String
  /// Of a session; nil for a key that does not expire.
  var token: String?
}

/// What is known of the object store. Variables of the environment come before files.
struct S3Settings: Equatable {
  var region = "us-east-1"
  /// nil for AWS's own.
  var endpoint: String?
  /// Whether the bucket stands in the path of a URL; nil: as the endpoint has it.
  var isPathStyle: Bool?
  /// nil: requests are not signed.
  var credentials: S3Credentials?
  /// Certificates of authorities that are trusted; nil for those of the system.
  var authorities: String?

  /// The settings of this process. `variable` is the environment, `file` reads a file of settings.
  init(
    variable: (String) -> String? = Environment.variable,
    file: (String) throws(SystemError) -> SettingsFile = { path throws(SystemError) in
      try SettingsFile(path: path)
    }
  ) throws(SystemError) {
    let home = variable("HOME").map { $0 + "/.aws/" }
    func read(_ name: String, _ usual: String) throws(SystemError) -> SettingsFile {
      guard let path = variable(name) ?? home.map({ $0 + usual }) else { return SettingsFile("") }
      return try file(path)
    }
    let chosen = variable("AWS_PROFILE") ?? variable("AWS_DEFAULT_PROFILE")
    let name = chosen ?? "default"
    let config = try read("AWS_CONFIG_FILE", "config")
    let secrets = try read("AWS_SHARED_CREDENTIALS_FILE", "credentials").sections[name]
    let profile = config.sections[name == "default" ? name : "profile \(name)"]
    if let chosen, secrets == nil, profile == nil {
      throw S3Settings.wrong("AWS_PROFILE: there is no profile '\(chosen)'")
    }

    region =
      variable("AWS_REGION") ?? variable("AWS_DEFAULT_REGION") ?? profile?["region"]
      ?? secrets?["region"] ?? region
    let services = profile?["services"].flatMap { config.sections["services \($0)"] }
    if variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") != "true" {
      endpoint =
        variable("AWS_ENDPOINT_URL_S3") ?? variable("AWS_ENDPOINT_URL")
        ?? services?["s3.endpoint_url"] ?? profile?["endpoint_url"]
    }
    authorities = variable("AWS_CA_BUNDLE") ?? profile?["ca_bundle"]
    switch variable("XENSAVE_S3_STYLE") ?? profile?["s3.addressing_style"] {
    case "path": isPathStyle = true
    case "virtual": isPathStyle = false
    case nil, "auto": break
    case let other?:
      throw S3Settings.wrong("XENSAVE_S3_STYLE: expected path, virtual or auto, got '\(other)'")
    }
    if let endpoint, !["http://", "https://"].contains(where: endpoint.lowercased().hasPrefix) {
      throw S3Settings.wrong("AWS_ENDPOINT_URL: expected http:// or https://, got '\(endpoint)'")
    }
    guard region.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3A && $0 != 0x2F }) else {
      throw S3Settings.wrong("AWS_REGION: no name of a region: '\(region)'")
    }
    credentials = try S3Settings.credentials(variable, secrets, profile, name)
  }

  private static func credentials(
    _ variable: (String) -> String?, _ secrets: [String: String]?, _ profile: [String: String]?,
    _ name: String
  ) throws(SystemError) -> S3Credentials? {
    if let key = variable("AWS_ACCESS_KEY_ID") {
      guard let secret = variable("AWS_SECRET_ACCESS_KEY") else {
        throw wrong("AWS_SECRET_ACCESS_KEY is not set, but AWS_ACCESS_KEY_ID is")
      }
      return S3Credentials(key: key, secret: secret, token: variable("AWS_SESSION_TOKEN"))
    }
    for section in [secrets, profile] {
      guard let section, let key = section["aws_access_key_id"] else { continue }
      guard let secret = section["aws_secret_access_key"] else {
        throw wrong("profile '\(name)' has a key without a secret")
      }
      return S3Credentials(key: key, secret: secret, token: section["aws_session_token"])
    }
    let others = [
      "role_arn", "sso_session", "sso_start_url", "credential_process", "login_session",
    ]
    for other in others where profile?[other] != nil || secrets?[other] != nil {
      throw wrong(
        "profile '\(name)' has its key from \(other), which is not read: "
          + "`aws configure export-credentials --format env` prints the variables that are")
    }
    return nil
  }

  private static func wrong(_ what: String) -> SystemError {
    SystemError("open", Failure.invalid, "s3", what)
  }

  /// The URL of an object, without a query.
  func url(_ bucket: String, _ key: String) -> String {
    let domain = region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
    var base = endpoint ?? "https://s3.\(region).\(domain)"
    while base.hasSuffix("/") { base.removeLast() }
    let start = base.firstRange(of: "://").map(\.upperBound) ?? base.startIndex
    let host = base[start...].prefix { $0 != "/" && $0 != ":" }
    let isAmazon = host.hasSuffix("amazonaws.com") || host.hasSuffix("amazonaws.com.cn")
    // A certificate for all buckets is for one label: not for a name with dots.
    let isPath = isPathStyle ?? (!isAmazon || bucket.contains(".") || bucket.contains("_"))
    let path = RemoteURL.escaped(key)
    return isPath
      ? "\(base)/\(bucket)/\(path)" : "\(base[..<start])\(bucket).\(base[start...])/\(path)"
  }
}
