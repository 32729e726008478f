// The end of a session: nothing is left running, and the first cause is what is reported.

internal import Glibc
internal import Reports
internal import SaveHelper
internal import SystemIO

extension ManagerSession {
  /// The failure that an error stands for. Of several programs that fail together the one that was first
  /// says more: where xenguest is gone, how it ended, or the filters that took its stream away.
  func cause(of error: any Error) -> ManagerFailure {
    guard let failure = error as? ManagerFailure else {
      return ManagerFailure(own: XensaveError(error))
    }
    guard failure.cause == .disconnected, failure.emulator == EMPEvent.emulator else {
      return failure
    }
    if let filter, !isFilterDone {
      switch filter.failure(within: 2_000_000_000) {
      case .filter(let error): return ManagerFailure(own: error)
      case .stream(let error) where !isOfXenguest(error): return ManagerFailure(own: error)
      case .stream, nil: break
      }
    }
    _ = process?.wait(until: monotonicNanoseconds() + 2_000_000_000)
    return process?.failure ?? failure
  }

  /// Whether the filters' stream failed at xenguest's end of it: a save's ended early, or nobody read what
  /// a restore was to get.
  func isOfXenguest(_ error: XensaveError) -> Bool {
    arguments.isRestore ? error.errno == EPIPE : error.errno == nil
  }

  /// Makes xenguest end: by its protocol, and where that does not help by a signal.
  func close(after failure: ManagerFailure?) {
    qmp?.close()
    qmp = nil
    let limits = setup.limits
    let limit = failure?.isTimeout == true ? limits.exitAfterTimeout : limits.exit
    let end = monotonicNanoseconds() + limit
    if failure != nil, arguments.isRestore || emp == nil { filter?.cut() }
    if let emp, !emp.isAtEnd {
      if failure != nil, !arguments.isRestore { finalCall(.abort, until: end) }
      // Its writes fail from now on, where it waits for the filters.
      if failure != nil { filter?.cut() }
      finalCall(.quit, until: end)
    }
    // Nobody has connected to it, so nobody can make it end in another way.
    if emp == nil { process?.end() }
    emp?.close()
    emp = nil
    if failure != nil { filter?.cut() }
    if let process, !process.wait(until: end) {
      log(.error, "xenguest did not end: it is killed")
      process.end()
    }
    if failure == nil, let late = process?.failure {
      log(.warning, "\(late.detail), after it was complete")
    }
    for line in lines.take() { log(line.level, "filter: \(line.text)") }
  }

  /// Waits for a `done` that is due: xenopsd writes it before it reads anything else, and where it finds
  /// the pipe closed it never reads why.
  func waitForDone() {
    let end = monotonicNanoseconds() + setup.limits.answer
    while control.isWaiting, !control.isLost, !control.isAtEnd {
      let now = monotonicNanoseconds()
      guard now < end else { return }
      var entry = pollfd(fd: control.input, events: Int16(POLLIN), revents: 0)
      guard unsafe poll(&entry, 1, Int32(clamping: (end - now) / 1_000_000 + 1)) > 0 else {
        continue
      }
      do throws(ManagerFailure) {
        try control.receive()
        while try control.next() != nil {}
      } catch { return }
    }
  }

  /// Sends a command whose answer changes nothing, and waits for that.
  private func finalCall(_ command: EMPCommand, until end: UInt64) {
    guard let emp, !emp.isAtEnd else { return }
    let last = min(end, monotonicNanoseconds() + setup.limits.command)
    do throws(ManagerFailure) {
      try emp.send(command.text())
      isCommandPending = true
      while isCommandPending, !emp.isAtEnd {
        let now = monotonicNanoseconds()
        guard now < last else { throw .late("the answer to \(command.rawValue) did not come") }
        var entry = pollfd(fd: emp.fileDescriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&entry, 1, Int32(clamping: (last - now) / 1_000_000 + 1)) > 0 else {
          continue
        }
        try emp.receive()
        while let object = try emp.next() {
          switch try EMPMessage(object) {
          case .acknowledged, .refused: isCommandPending = false
          case .event, .unknown: break
          }
        }
      }
    } catch { log(.warning, "\(command.rawValue): \(error.detail)") }
  }
}
