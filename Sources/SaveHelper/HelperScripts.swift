// The configuration of the save helper: /etc/xen/xensave.d/*.lua.

internal import Format
internal import Glibc
package import HelperProtocol
internal import Live
internal import LuaAPI
internal import LuaRuntime
package import PolicyEngine
package import Reports
internal import SystemIO

/// A file of the configuration that speaks for the domain at hand.
package struct HelperScript: Sendable {
  package let path: String
  let text: [UInt8]
  package var hasPolicy = false
  package var hasFilter = false
  /// Where the policy is the name of a shipped one.
  var policyName: String?
  /// Values for the options of that.
  var policyOptions: [String: PolicyOption] = [:]
  /// Where the trace of a live save goes.
  package var trace: HelperTrace?
  /// What becomes of records that nobody knows; nil where the file does not say.
  var unknownRecords: UnknownRecords?
  /// Names by which the domain has asked for this file.
  var hooks: [String] = []

  /// Whether it is of use on this side.
  var hasAnything: Bool { hasPolicy || hasFilter || trace != nil }

  /// Makes the policy; its text is the file's, or that of a shipped one.
  package func policy(
    _ log: @escaping (LogLevel, String) -> Void
  ) throws -> LuaPolicy {
    if let policyName {
      var recipe = PolicyRecipe(source: try PolicyLibrary.find(policyName))
      recipe.options = policyOptions
      return try recipe.make(log: log)
    }
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return try PolicyRecipe(
      source: PolicySource(name: name, path: path, text: text, field: "policy")
    ).make(log: log)
  }

  /// Runs the file in a sandbox, and leaves the table that it returns on the top of the frame.
  func push(_ state: LuaState) throws {
    let frame = state.frame
    try state.load(text, name: "@" + path)
    try state.call(0, results: 1)
    guard frame.type(-1) == .table else {
      throw LuaError("\(path): expected a table to be returned, got \(frame.typeName(-1))")
    }
  }
}

/// What the configuration has for one domain.
package struct HelperConfiguration: Sendable {
  /// The files that speak for it, by name.
  package var scripts: [HelperScript] = []
  /// Of the names by which the domain asks for files, those that a file for it has.
  package private(set) var hooks: Set<String> = []

  /// Of several the first decides.
  package var policy: HelperScript? { scripts.first { $0.hasPolicy } }
  /// All of them filter, one after the other.
  package var filters: [HelperScript] { scripts.filter(\.hasFilter) }

  /// What all filters together want done with records that nobody knows: `rule` where no file says it.
  package func unknownRecords(otherwise rule: UnknownRecords) -> UnknownRecords {
    let rules = filters.map { $0.unknownRecords ?? rule }
    return rules.contains(.refuse) ? .refuse : rules.contains(.show) ? .show : .pass
  }

  /// Where the trace of a live save goes: of several files the first that says it.
  package var trace: HelperScript? { scripts.first { $0.trace != nil } }

  package static let folder = "/etc/xen/xensave.d"
  package init() {}

  /// Reads the files of `folder`; there need not be one. A file that is not to be trusted or that
  /// fails is an error, and not passed over: it might have held a filter for this domain. `deadline`:
  /// milliseconds that a file may take to say whom it speaks for.
  package init(
    folder: String, _ facts: HelperFacts, _ side: HelperSide,
    deadline: UInt64 = ScriptDeadlines.standard.configuration
  ) throws {
    let files = try HelperConfiguration.files(folder)
    guard !files.isEmpty else { return }
    do throws(LuaError) {
      let modules = HelperModules.texts
      let sandbox = try SandboxThread<LuaReference>(
        deadline: deadline * 1_000_000
      ) { state in
        try SandboxModule.bind(state, modules)
      } make: { state in
        try state.load(Array(HelperConfiguration.question.utf8), name: "=xensave-lua")
        defer { state.frame.pop() }
        return state.frame.reference(-1)
      }
      for file in files {
        let found = try sandbox.call(deadline: deadline * 1_000_000) {
          question, state throws in
          try HelperConfiguration.ask(question, state, file, facts, side)
        }
        guard let found else { continue }
        hooks.formUnion(found.hooks)
        if found.hasAnything { scripts.append(found) }
      }
    } catch {
      throw XensaveError(.unsuitable, "\(folder): \(error.message)")
    }
  }

  private static func ask(
    _ question: LuaReference, _ state: LuaState, _ file: HelperScript, _ facts: HelperFacts,
    _ side: HelperSide
  ) throws -> HelperScript? {
    let frame = state.frame
    let before = frame.count
    defer { frame.pop(frame.count - before) }
    frame.push(question)
    try file.push(state)
    for word in [facts.name, facts.type, side == .save ? "save" : "restore", facts.uuid] {
      frame.push(word)
    }
    frame.push(.list(facts.hooks.map { .text($0) }))
    do throws(LuaError) { try state.call(6, results: 8) } catch {
      throw LuaError("\(file.path): \(error.message)", kind: error.kind, code: error.code)
    }
    guard frame.boolean(-8) else { return nil }
    var script = file
    (script.hasPolicy, script.hasFilter) = (frame.boolean(-7), frame.boolean(-6))
    script.policyName = frame.beginning(-5, 4096)
    script.hooks = (frame.beginning(-1, 4096) ?? "").split(separator: "\0").map(String.init)
    switch frame.beginning(-2, 10) {
    case "refuse": script.unknownRecords = .refuse
    case "pass": script.unknownRecords = .pass
    default: break
    }
    if let template = frame.beginning(-3, 4096) {
      do { script.trace = try HelperTrace(template) } catch {
        throw LuaError("\(file.path): \(LuaError(raising: error).message)")
      }
    }
    let options: (value: LuaValue?, size: Int)
    do throws(LuaError) {
      options = try frame.sizedValue(-4)
      // It stays: with the configuration, and with what it makes.
      try state.hold(options.size)
    } catch { throw LuaError("\(file.path): opts: \(error.message)", kind: error.kind) }
    guard case .table(let fields)? = options.value else {
      throw LuaError("\(file.path): opts: expected a table of names and plain values")
    }
    for (name, value) in fields { script.policyOptions[name] = .value(value) }
    return script
  }

  /// Whether a table speaks for a domain, and what it has for it.
  private static let question = #"""
    local file, name, type_, side, uuid, hooks = ...
    local keys = { match = "table", policy = false, filter = false, side = "string",
      opts = "table", trace = "string", unknown_records = "string", name = "string",
      description = "string" }
    for key, value in pairs(file) do
      local wanted = keys[key]
      if wanted == nil then
        error(("unknown key '%s': expected match, policy, filter, side, opts, trace, unknown_records, "
          .. "name or description"):format(tostring(key)), 0)
      elseif wanted and type(value) ~= wanted then
        error(("%s: expected a %s, got a %s"):format(key, wanted, type(value)), 0)
      end
    end
    local sides = { save = true, restore = true, both = true }
    if file.side and not sides[file.side] then
      error(("side: expected save, restore or both, got '%s'"):format(file.side), 0)
    end
    local unknown = file.unknown_records
    if unknown and unknown ~= "refuse" and unknown ~= "pass" then
      error(("unknown_records: expected refuse or pass, got '%s'"):format(unknown), 0)
    end
    local function any(wanted, test, what)
      if wanted == nil then return true end
      if type(wanted) == "string" then wanted = { wanted } end
      if type(wanted) ~= "table" then
        error(("match.%s: expected a string or a list of them"):format(what), 0)
      end
      for _, word in ipairs(wanted) do
        if type(word) ~= "string" then
          error(("match.%s: expected a string, got a %s"):format(what, type(word)), 0)
        end
        if test(word) then return true end
      end
      return false
    end
    local match = file.match or {}
    local known = { name = true, type = true, pattern = true, uuid = true, hook = true }
    for key in pairs(match) do
      if not known[key] then
        error(("match: unknown key '%s': expected name, type, pattern, uuid or hook")
          :format(tostring(key)), 0)
      end
    end
    local asked = {}
    local function is_hook(word)
      for _, hook in ipairs(hooks) do
        if word == hook then
          asked[#asked + 1] = hook
          return true
        end
      end
      return false
    end
    local is_ours = any(match.name, function(word) return word == name end, "name")
      and any(match.type, function(word) return word == type_ end, "type")
      and any(match.pattern, function(word) return name:find(word) ~= nil end, "pattern")
      and any(match.uuid, function(word) return uuid ~= "" and word:lower() == uuid end, "uuid")
      and any(match.hook, is_hook, "hook")
    local at = file.side or "save"
    local policy = file.policy
    if policy ~= nil and type(policy) ~= "string" and type(policy) ~= "table"
      and type(policy) ~= "function" then
      error(("policy: expected a name, a table or a function, got a %s"):format(type(policy)), 0)
    end
    return is_ours, policy ~= nil and side == "save",
      file.filter ~= nil and (at == "both" or at == side),
      type(policy) == "string" and policy or nil, file.opts or {},
      side == "save" and file.trace or nil, unknown, table.concat(asked, "\0")
    """#

  // MARK: - Files

  /// The files of the folder, by name; none where there is no such folder. One that is there and
  /// cannot be read, or leads nowhere, is an error: it might hold a filter for this domain.
  package static func files(_ folder: String) throws -> [HelperScript] {
    var status = stat()
    if unsafe lstat(folder, &status) != 0 {
      guard errno == ENOENT else { throw unreadable(folder, errno) }
      return []
    }
    try checkOwner(folder, isFolder: true)
    guard let names = FileSystem.names(in: folder) else {
      throw XensaveError(.unsuitable, "\(folder): cannot be read")
    }
    var files: [HelperScript] = []
    for name in names where name.hasSuffix(".lua") && !name.hasPrefix(".") {
      let path = "\(folder)/\(name)"
      files.append(HelperScript(path: path, text: try read(path)))
    }
    return files
  }

  private static func read(_ path: String) throws -> [UInt8] {
    // Not to wait for the other end of a FIFO: what is no file is refused below.
    let fileDescriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard fileDescriptor >= 0 else { throw unreadable(path, errno) }
    defer { _ = close(fileDescriptor) }
    var status = stat()
    guard unsafe fstat(fileDescriptor, &status) == 0 else { throw unreadable(path, errno) }
    try check(status, path, isFolder: false)
    guard status.st_size <= 1 << 20 else {
      throw XensaveError(
        .unsuitable, "\(path): expected at most 1 MiB, got \(status.st_size) bytes")
    }
    let source = try Source(
      Descriptor(taking: fileDescriptor, path: path, isOwned: false), path: path)
    return try source.read(Int(status.st_size))
  }

  /// A file of the folder that is no script; nil where there is none.
  package static func text(_ path: String) throws -> [UInt8]? {
    var status = stat()
    if unsafe lstat(path, &status) != 0 {
      guard errno == ENOENT else { throw unreadable(path, errno) }
      return nil
    }
    return try read(path)
  }

  static func checkOwner(_ path: String, isFolder: Bool) throws {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw unreadable(path, errno) }
    try check(status, path, isFolder: isFolder)
  }

  /// What somebody else could have written must not run with our rights.
  private static func check(
    _ status: stat, _ path: String, isFolder: Bool
  ) throws {
    guard status.st_mode & S_IFMT == (isFolder ? S_IFDIR : S_IFREG) else {
      throw XensaveError(.unsuitable, "\(path): expected a \(isFolder ? "folder" : "file")")
    }
    guard status.st_uid == 0 || status.st_uid == geteuid() else {
      throw XensaveError(
        .unsuitable, "\(path): expected it to be root's, got user \(status.st_uid)'s")
    }
    guard status.st_mode & 0o022 == 0 else {
      throw XensaveError(
        .unsuitable,
        "\(path): expected that only its owner may write it, got mode "
          + String(status.st_mode & 0o777, radix: 8))
    }
  }

  private static func unreadable(_ path: String, _ errno: Int32) -> XensaveError {
    let error = SystemError("open", errno, path)
    return XensaveError(error, "\(error)")
  }
}

/// What `require` finds in the sandboxes of a helper: the shipped modules, where only root could have
/// written them.
enum HelperModules {
  static let texts: [String: [UInt8]] = {
    var texts: [String: [UInt8]] = [:]
    for folder in ModulePaths.shipped { collect(folder + "/xensave", "xensave.", &texts) }
    return texts
  }()

  private static func collect(
    _ folder: String, _ prefix: String, _ texts: inout [String: [UInt8]]
  ) {
    guard let files = try? HelperConfiguration.files(folder) else { return }
    for file in files {
      guard let name = file.path.split(separator: "/").last?.dropLast(4) else { continue }
      texts[prefix + name] = texts[prefix + name] ?? file.text
    }
    for name in FileSystem.names(in: folder) ?? []
    where FileSystem.isFolder("\(folder)/\(name)") {
      collect("\(folder)/\(name)", prefix + name + ".", &texts)
    }
  }
}
