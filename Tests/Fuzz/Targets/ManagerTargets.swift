// Targets over what xenopsd, xenguest and QEMU send to an emu-manager, and what stands in its settings.

@testable import EmuManager
import JSON
import Live

let managerTargets: [FuzzTarget] = [
  FuzzTarget("emp-messages", limit: 2048, seeds: { reports.map { Array($0.utf8) } }, messages),
  FuzzTarget(
    "control-lines", limit: 256,
    seeds: { ["\u{3}done\nrestore:xenguest\nabort\n", "\u{0}done\ndo"].map { Array($0.utf8) } },
    controlLines),
  FuzzTarget(
    "manager-settings", limit: 512,
    seeds: { ["# a\non-error = stock\r\nstall=3\nxenguest = /a=b\n\n"].map { Array($0.utf8) } },
    settings),
  FuzzTarget(
    "manager-arguments", limit: 256,
    seeds: {
      [
        "-controloutfd 6 -controlinfd 7 -fd 11 -mode hvm_save -domid 7 -dm qemu -live true",
        "-controloutfd 6 -controlinfd=7 --fd 11 -mode restore -domid 7 -store_port 1 -mem_pnode 2",
      ].map { Array($0.utf8) }
    }, arguments),
]

/// The first byte says how the rest is cut.
private let reports = [
  "\u{5}" + #"{"return":{}}{ "error" : "Bad Args" } {"QMP": {"version": {}}}"#,
  "\u{0}" + #"{"event":"MIGRATION","data":{"sent":0,"remaining":262144,"iteration":0}}"#
    + #"{"event":"MIGRATION","data":{"sent":5,"remaining":-1,"iteration":0}}"#
    + #"{"event":"MIGRATION","data":{"sent":262144,"remaining":10,"iteration":1}}"#,
  "\u{1}" + #"{"event":"MIGRATION","data":{"status":"completed","result":"1 2"}}"# + "\n",
]

/// What comes of bytes, in chunks of so many of them: each object, and the failure at the end.
private func objects(_ bytes: [UInt8], chunk: Int) -> [String] {
  var framing = JSONFraming(limit: 512)
  var out: [String] = []
  var start = 0
  while start < bytes.count {
    let end = min(bytes.count, start + chunk)
    framing.append(bytes[start..<end])
    start = end
    do {
      while let object = try framing.next(from: "xenguest") {
        out.append("\(JSONValue.object(object))")
      }
    } catch {
      out.append("\(error.cause)")
      return out
    }
  }
  return out
}

/// However the bytes come, they are the same objects; and no report makes a percentage that is none.
private func messages(_ input: [UInt8]) throws {
  guard let first = input.first else { return }
  let body = Array(input.dropFirst())
  let whole = objects(body, chunk: max(1, body.count))
  let cut = objects(body, chunk: 1 + Int(first) % 40)
  try demand(whole == cut, "\(whole) is \(cut) in chunks")
  var framing = JSONFraming(limit: 512)
  framing.append(body)
  var progress = ManagerProgress()
  let rounds = ManagerRounds(
    ManagerDefaultPolicy(), domain: 1, isPV: false, clock: MonotonicClock())
  while let object = (try? framing.next(from: "xenguest")) ?? nil {
    _ = try? QMPMessage(object)
    guard case .event(let event)? = try? EMPMessage(object) else { continue }
    progress.take(event)
    try demand((0...100).contains(progress.percent), "\(progress.percent) percent")
    if let round = event.round { rounds.take(round) }
  }
}

private func controlLines(_ input: [UInt8]) throws {
  guard let first = input.first else { return }
  let body = Array(input.dropFirst())
  func read(chunk: Int) -> [String] {
    var reader = ControlReader()
    var out: [String] = []
    var start = 0
    while start < body.count {
      let count = min(body.count - start, chunk, reader.room)
      reader.append(body[start..<start + count])
      start += count
      do {
        while let message = try reader.next() { out.append("\(message)") }
      } catch { return out + ["\(error.cause)"] }
    }
    return out
  }
  let (whole, cut) = (read(chunk: 128), read(chunk: 1 + Int(first) % 20))
  try demand(whole == cut, "\(whole) is \(cut) in chunks")
}

private func settings(_ bytes: [UInt8]) throws {
  guard let settings = try? ManagerSettings(parsing: bytes.text, path: "f") else { return }
  let applied = settings.applied(to: ManagerSetup { _, _ in })
  try demand(applied.stock.hasPrefix("/") && applied.xenguest.hasPrefix("/"), "a relative path")
}

/// What is understood has all that a run needs.
private func arguments(_ bytes: [UInt8]) throws {
  let words = bytes.split(separator: 32).map { Array($0).text }
  guard let parsed = try? ManagerArguments(words) else { return }
  try demand(
    parsed.stream >= 0 && parsed.controlIn >= 0 && parsed.controlOut >= 0, "\(words)")
  try demand(
    parsed.isPV == parsed.xenguestArguments.contains(EMPArgument("pv", "true"))
      || words.contains { $0.contains("pv") }, "\(words)")
  _ = EMPCommand.setArguments.text(parsed.xenguestArguments)
}
