// What a session waits for, and what comes meanwhile.

internal import Glibc
internal import HelperProtocol
internal import Live
internal import Reports
internal import SaveHelper
internal import SystemIO

extension ManagerSession {
  // MARK: - Commands

  /// Sends xenguest a command and waits for its answer. Events may come before that.
  func call(
    _ command: EMPCommand, _ list: [EMPArgument] = [], passing descriptor: Int32 = -1
  ) throws {
    guard let emp else { throw ManagerFailure.nonsense("there is no xenguest") }
    log(.debug, "to xenguest: \(command.rawValue)")
    try emp.send(command.text(list), passing: descriptor)
    (isCommandPending, refusal) = (true, nil)
    try wait("the answer to \(command.rawValue)", for: setup.limits.command) {
      !self.isCommandPending
    }
    if let refusal {
      throw ManagerFailure.nonsense("xenguest refuses \(command.rawValue): \(refusal)")
    }
  }

  /// The same for QEMU.
  func ask(_ command: QMPCommand) throws {
    guard let qmp else { return }
    try qmp.send(command.text)
    isQEMUPending = true
    try wait("QEMU's answer", for: setup.limits.command) { !self.isQEMUPending }
  }

  /// Asks xenopsd for something and waits until it is done.
  func ask(_ line: ControlLine) throws {
    log(.debug, "to xenopsd: \(String(decoding: line.bytes.dropLast(), as: UTF8.self))")
    try control.ask(line)
    try wait("done of xenopsd", for: setup.limits.answer) { !self.control.isWaiting }
    // What could not be reported while it was at that.
    try report()
  }

  /// Reports how far the save is where that has changed, and xenopsd is not at something else. Without
  /// rounds nothing is known before the end.
  func report() throws {
    guard !arguments.isRestore, arguments.isLive || isComplete, !control.isWaiting,
      let line = progress.line()
    else { return }
    try control.send(line)
  }

  // MARK: - Waits of unknown length

  /// Until the policy wants the guest to be stopped.
  func waitForRounds() throws {
    try waitWhileActive("a round of xenguest") { self.rounds?.verdict != .continuePrecopy }
    if case .abort(let reason)? = rounds?.verdict {
      let text = "the policy gave up" + (reason.isEmpty ? "" : ": " + reason)
      throw ManagerFailure(.own(text), text)
    }
  }

  /// Until xenguest has reported that it is complete, and all of the stream has left the filters.
  func waitForEnd() throws {
    try waitWhileActive("xenguest's completion") {
      self.isComplete && (self.filter == nil || self.isFilterDone)
    }
  }

  private func waitWhileActive(_ what: String, until condition: () -> Bool) throws {
    let limit = arguments.isRestore ? setup.limits.restoreStall : setup.limits.saveStall
    lastActivity = monotonicNanoseconds()
    while !condition() {
      // Looks at what xenguest does once in a while, and no more often than needed for the limit.
      let pause = limit == 0 ? 1_000_000_000 : min(1_000_000_000, max(limit / 8, 1_000_000))
      try wait(what, for: pause, isFinal: false, condition)
      noteActivity()
      if limit > 0, monotonicNanoseconds() > lastActivity + limit {
        throw ManagerFailure.late("\(what): xenguest does nothing", emulator: EMPEvent.emulator)
      }
    }
  }

  private func noteActivity() {
    guard let now = process?.activity, now != activity else { return }
    activity = now
    lastActivity = monotonicNanoseconds()
  }

  // MARK: - The one loop

  /// Takes what comes until `condition` holds. Throws what went wrong meanwhile, and where
  /// `nanoseconds` have passed (nil: never) without it; with `isFinal` false it returns then.
  func wait(
    _ what: String, for nanoseconds: UInt64?, isFinal: Bool = true, _ condition: () -> Bool
  ) throws {
    let end = nanoseconds.map { monotonicNanoseconds() + $0 }
    while !condition() {
      if HelperAbort.wasAsked { throw ManagerFailure(.own("stopped by a signal"), "a signal came") }
      let now = monotonicNanoseconds()
      if let end, now >= end {
        guard isFinal else { return }
        throw ManagerFailure.late("\(what) did not come in time")
      }
      // The kernel may have given a signal to another thread: a second is the longest look away.
      let left = min(1_000_000_000, end.map { $0 - now } ?? .max)
      try poll(milliseconds: Int32((left + 999_999) / 1_000_000))
    }
  }

  /// Waits for anything to come, and takes it.
  private func poll(milliseconds: Int32) throws {
    let readable = Int16(POLLIN)
    let all: [Int32] = [
      control.input, process?.output ?? -1, emp?.fileDescriptor ?? -1, qmp?.fileDescriptor ?? -1,
      isFilterDone ? -1 : filter?.progress ?? -1,
    ]
    var entries = all.map { pollfd(fd: $0, events: readable, revents: 0) }
    // Safety: poll is given as many entries as there are; it passes over those below 0.
    let count = unsafe Glibc.poll(&entries, nfds_t(entries.count), milliseconds)
    for line in lines.take() { log(line.level, "filter: \(line.text)") }
    guard count > 0 else { return }
    // Xenguest before the filters: where both have failed, the filters noticed what xenguest did.
    if entries[0].revents != 0 { try takeControl() }
    if entries[1].revents != 0, try process?.readGreeting() == true { isReady = true }
    if entries[2].revents != 0 { try takeEvents() }
    if entries[3].revents != 0 { try takeQEMU() }
    if entries[4].revents != 0 { try takeFilter() }
  }

  private func takeControl() throws {
    control.isLost = true
    try control.receive()
    while let message = try control.next() {
      switch message {
      case .abort: throw ManagerFailure(.aborted, "xenopsd has cancelled the task")
      case .restore(EMPEvent.emulator) where arguments.isRestore && !isRestoreWanted:
        isRestoreWanted = true
      case .restore(let name): throw ManagerFailure.nonsense("restore:\(name) where none is due")
      case .done: break
      }
    }
    if control.isAtEnd { throw ManagerFailure(.system(EPIPE), "xenopsd is gone") }
    control.isLost = false
  }

  private func takeEvents() throws {
    guard let emp else { return }
    try emp.receive()
    while let object = try emp.next() {
      lastActivity = monotonicNanoseconds()
      switch try EMPMessage(object) {
      case .acknowledged:
        guard isCommandPending else {
          throw ManagerFailure.nonsense(
            "an answer where none was due", emulator: EMPEvent.emulator)
        }
        isCommandPending = false
      case .refused(let reason):
        guard isCommandPending else {
          throw ManagerFailure.nonsense(
            "an error where no answer was due: \(reason.prefix(200))", emulator: EMPEvent.emulator)
        }
        (isCommandPending, refusal) = (false, reason)
      case .event(let event): try take(event)
      case .unknown(let what): log(.warning, "xenguest sent what is not known here: \(what)")
      }
    }
    if emp.isAtEnd {
      throw ManagerFailure(.disconnected, emulator: emp.emulator, "xenguest is gone")
    }
  }

  private func take(_ event: EMPEvent) throws {
    if let status = event.status {
      guard status == "completed" else {
        throw ManagerFailure(
          .erroneous, emulator: EMPEvent.emulator, "xenguest's status is \(status.prefix(60))")
      }
      isComplete = true
      if !arguments.isLive { progress.complete() }
    }
    result = event.result ?? result
    progress.take(event)
    if let round = event.round { rounds?.take(round) }
    try report()
  }

  private func takeQEMU() throws {
    guard let qmp else { return }
    try qmp.receive()
    while let object = try qmp.next() {
      switch try QMPMessage(object) {
      case .greeting: hasGreeting = true
      case .acknowledged: isQEMUPending = false
      case .refused(let reason):
        throw ManagerFailure.nonsense("QEMU refuses: \(reason.prefix(200))")
      case .event: break
      }
    }
    if qmp.isAtEnd { throw ManagerFailure(.disconnected, emulator: qmp.emulator, "QEMU is gone") }
  }

  private func takeFilter() throws {
    // The thread has ended, or is about to: this does not wait for anybody else.
    guard let failure = filter?.failure(within: 2_000_000_000) else {
      isFilterDone = true
      return
    }
    switch failure {
    // Cut off because xenguest has gone: how it ended says more.
    case .stream(let error) where isOfXenguest(error):
      throw ManagerFailure(.disconnected, emulator: EMPEvent.emulator, error.description)
    case .filter(let error), .stream(let error): throw ManagerFailure(own: error)
    }
  }
}
