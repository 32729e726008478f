// Requests that are made again, after a while, where their failure may pass.

internal import SystemIO

/// When a request is made again.
struct Retry {
  /// Tries in all.
  static let limit = 6
  private(set) var tries = 0
  /// When it may be made, by the clock that only goes forward.
  private(set) var due: UInt64 = 0

  /// Notes a failure; false where there were enough.
  mutating func failed() -> Bool {
    tries += 1
    guard tries < Retry.limit else { return false }
    // 0.1 s, then twice as long each time, and a part of it by lot: many programs that were refused
    // together do not come back together.
    let pause = UInt64(100_000_000) << UInt64(tries - 1)
    due = Environment.nanoseconds &+ UInt64.random(in: pause / 2...pause)
    return true
  }

  /// Milliseconds until it may be made.
  var milliseconds: Int {
    let now = Environment.nanoseconds
    return due > now ? Int(clamping: (due - now) / 1_000_000 + 1) : 0
  }
}

/// A request that is made again where it fails.
protocol RetriedRequest {
  /// nil between two tries.
  var exchange: HTTPExchange? { get set }
  var retry: Retry { get }
}

extension HTTPSession {
  /// Begins those of the requests whose time has come, and lets all continue; waits so long at most until
  /// one has ended.
  func run<Request: RetriedRequest>(
    _ requests: inout [Request], milliseconds: Int,
    _ begin: (Request) throws(SystemError) -> HTTPExchange
  ) throws(SystemError) {
    var pause = milliseconds
    for index in requests.indices where requests[index].exchange == nil {
      let left = requests[index].retry.milliseconds
      if left == 0 {
        requests[index].exchange = try begin(requests[index])
      } else {
        pause = min(pause, left)
      }
    }
    run(milliseconds: pause)
  }

  /// How long a wait for servers is at most, in milliseconds, before a request to stop is looked for: a
  /// signal that this thread takes ends it at once.
  static let wait = 100

  /// Makes one request until it has an answer of `expected`, and gives it. `isStubborn`: also while the
  /// program is to stop, and for some seconds at most.
  func perform(
    _ request: HTTPRequest, expected: Set<Int>, _ name: String, isStubborn: Bool = false
  ) throws(SystemError) -> HTTPExchange {
    let outcome = try attempt(request, name, isStubborn: isStubborn) {
      Failure.of($0, expected: expected)
    }
    switch outcome {
    case .success(let exchange): return exchange
    case .failure(let failure): throw failure.error(name)
    }
  }

  enum Outcome {
    case success(HTTPExchange)
    case failure(Failure)
  }

  /// The same, but a failure is no error. `problem` says what is wrong with an answer.
  func attempt(
    _ request: HTTPRequest, _ name: String, isStubborn: Bool = false,
    _ problem: (HTTPAnswer) -> Failure?
  ) throws(SystemError) -> Outcome {
    var retry = Retry()
    let end = Environment.nanoseconds &+ 5_000_000_000
    while true {
      let exchange = try start(request, name)
      while !exchange.hasEnded {
        if !isStubborn {
          try Interrupt.check(name)
        } else if Environment.nanoseconds > end {
          return .failure(Failure(errno: 110, text: "the server does not answer"))
        }
        run(milliseconds: HTTPSession.wait)
      }
      guard let failure = problem(exchange.answer) else { return .success(exchange) }
      guard failure.mayPass, retry.failed(), !isStubborn || Environment.nanoseconds < end else {
        return .failure(failure)
      }
      while retry.milliseconds > 0 {
        if !isStubborn { try Interrupt.check(name) }
        run(milliseconds: min(retry.milliseconds, HTTPSession.wait))
      }
    }
  }
}
