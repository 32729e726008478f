// What xenopsd starts an emu-manager with.

internal import CSystem
internal import Glibc

/// The words after the program's name. xen-api: ocaml/xenopsd/xc/domain.ml. Names begin with one or two
/// dashes; a value is the next word, or stands after "=".
struct ManagerArguments: Equatable {
  enum Mode: String {
    case hvmSave = "hvm_save"
    case save
    case hvmRestore = "hvm_restore"
    case restore
  }

  var mode: Mode
  var domain: UInt32
  /// Where lines to xenopsd go, and where its answers come from.
  var controlOut: Int32
  var controlIn: Int32
  /// The stream.
  var stream: Int32
  var isLive = false
  /// Whether QEMU is the device model.
  var hasQEMU = false
  /// What xenguest is given by set_args, in the order of the words.
  var xenguestArguments: [EMPArgument] = []

  var isRestore: Bool { mode == .hvmRestore || mode == .restore }
  var isPV: Bool { mode == .save || mode == .restore }

  /// Why words are left to the stock program, which knows more of them, and how to refuse the others.
  struct NotUnderstood: Error, Equatable { let reason: String }

  init(_ words: [String]) throws(NotUnderstood) {
    var values: [String: String] = [:]
    var passed: [EMPArgument] = []
    var index = 0
    while index < words.count {
      let (name, value) = try ManagerArguments.option(words, &index)
      switch name {
      case "controloutfd", "controlinfd", "fd", "mode", "domid", "live", "dm":
        guard values.updateValue(value, forKey: name) == nil else {
          throw NotUnderstood(reason: "-\(name) is given twice")
        }
      case "store_port", "console_port", "mem_pnode": passed.append(EMPArgument(name, value))
      // For a tracer and a caller that are long gone: the stock programs pass over these too.
      case "fork", "traceparent", "tracestate", "trace", "debuglog": break
      default: throw NotUnderstood(reason: "-\(name) is not known")
      }
    }
    guard let mode = values["mode"].flatMap(Mode.init) else {
      throw NotUnderstood(reason: "no -mode that is known")
    }
    self.mode = mode
    domain = UInt32(try ManagerArguments.number(values, "domid"))
    controlOut = try ManagerArguments.number(values, "controloutfd")
    controlIn = try ManagerArguments.number(values, "controlinfd")
    stream = try ManagerArguments.number(values, "fd")
    isLive = try ManagerArguments.flag(values["live"])
    switch values["dm"] {
    case nil: break
    case "qemu": hasQEMU = true
    case let other?: throw NotUnderstood(reason: "-dm \(other) is not known")
    }
    xenguestArguments = passed
    if isPV { xenguestArguments.append(EMPArgument("pv", "true")) }
  }

  /// The option at `index`, which moves after its value.
  private static func option(
    _ words: [String], _ index: inout Int
  ) throws(NotUnderstood) -> (name: String, value: String) {
    let word = words[index]
    let dashes = word.prefix { $0 == "-" }.count
    guard dashes == 1 || dashes == 2, word.count > dashes else {
      throw NotUnderstood(reason: "'\(word)' is no option")
    }
    let text = word.dropFirst(dashes)
    index += 1
    if let equals = text.firstIndex(of: "=") {
      return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }
    guard index < words.count else { throw NotUnderstood(reason: "\(word) has no value") }
    index += 1
    return (String(text), words[index - 1])
  }

  private static func number(
    _ values: [String: String], _ name: String
  ) throws(NotUnderstood) -> Int32 {
    guard let text = values[name], let value = Int32(text), value >= 0 else {
      throw NotUnderstood(reason: "-\(name) is no number")
    }
    return value
  }

  private static func flag(_ text: String?) throws(NotUnderstood) -> Bool {
    switch text {
    case nil, "false": return false
    case "true": return true
    case let other?: throw NotUnderstood(reason: "-live \(other) is not known")
    }
  }

  /// Descriptors that are no such thing, or a stream in which programs could write over each other's
  /// bytes: the stock programs refuse these.
  func checkDescriptors() throws(NotUnderstood) {
    for descriptor in [controlOut, controlIn, stream] where fcntl(descriptor, F_GETFD) < 0 {
      throw NotUnderstood(reason: "descriptor \(descriptor) is not open")
    }
    guard !csystem_has_random_access(stream) else {
      throw NotUnderstood(reason: "the stream is a file that is not opened to append")
    }
  }
}
