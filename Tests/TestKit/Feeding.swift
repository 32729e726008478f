// Files and pipes that hold what a test made.

internal import Glibc

/// A file that goes when this value does.
public final class TemporaryFile {
  public let path: String
  private let number: Int32

  public init(_ bytes: [UInt8] = []) {
    var template = Array("/tmp/xensave-test-XXXXXX".utf8CString)
    // Safety: mkstemp writes into the NUL-terminated array that it is given.
    number = unsafe mkstemp(&template)
    precondition(number >= 0)
    path = String(
      decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    poke(0, bytes)
  }

  deinit {
    close(number)
    unsafe unlink(path)
  }

  /// Overwrites bytes, or appends them.
  public func poke(_ offset: Int, _ bytes: [UInt8]) {
    // Safety: pwrite reads the array's own bytes.
    let written = unsafe bytes.withUnsafeBytes {
      unsafe pwrite(number, $0.baseAddress, $0.count, offset)
    }
    precondition(written == bytes.count)
  }

  /// Cuts the file, or fills it up with a hole.
  public func truncate(_ count: Int) { precondition(ftruncate(number, count) == 0) }
}

/// The reading end of a pipe that a thread writes `bytes` to and then closes. With
/// `inSingleBytes`, no read gives more than one byte.
public func pipe(feeding bytes: [UInt8], inSingleBytes: Bool = false) -> Int32 {
  signal(SIGPIPE, SIG_IGN)
  var ends: [Int32] = [-1, -1]
  precondition(unsafe Glibc.pipe(&ends) == 0)
  shrink(ends[1])
  if inSingleBytes {
    // O_DIRECT (not in Swift's headers): each write is a packet, and a read gives one packet.
    precondition(fcntl(ends[1], F_SETFL, 0o40000) == 0)
  }
  let job = Job(number: ends[1], bytes: bytes, step: inSingleBytes ? 1 : 65536)
  var thread = pthread_t()
  // Safety: the job is passed retained and released by the thread, once.
  let box = unsafe Unmanaged.passRetained(job).toOpaque()
  let result = unsafe pthread_create(
    &thread, nil,
    { raw in
      guard let raw = unsafe raw else { return nil }
      unsafe Unmanaged<Job>.fromOpaque(raw).takeRetainedValue().run()
      return nil
    }, box)
  precondition(result == 0)
  pthread_detach(thread)
  return ends[0]
}

/// A pipe of 4096 bytes, as an ordinary user may get it: the kernel gives no more beyond
/// fs.pipe-user-pages-soft. A thread reads all that comes out of it.
public final class PipeCollector {
  /// The end to write to, which is whoever closes it.
  public let writing: Int32
  private let thread: TestThread
  private let box = Box()

  private final class Box: @unchecked Sendable { var bytes: [UInt8] = [] }

  public init() {
    var ends: [Int32] = [-1, -1]
    precondition(unsafe Glibc.pipe(&ends) == 0)
    shrink(ends[1])
    writing = ends[1]
    thread = TestThread { [number = ends[0], box] in
      var buffer = [UInt8](repeating: 0, count: 65536)
      while case let got = unsafe read(number, &buffer, buffer.count), got > 0 {
        box.bytes += buffer[..<got]
      }
      close(number)
    }
  }

  /// All that was written, once its writing end is closed.
  public func join() -> [UInt8] {
    thread.join()
    return box.bytes
  }
}

/// Makes a pipe as small as it can be (F_SETPIPE_SZ, not in Swift's headers).
private func shrink(_ number: Int32) { _ = fcntl(number, 1031, 4096) }

private final class Job {
  let number: Int32
  let bytes: [UInt8]
  let step: Int

  init(number: Int32, bytes: [UInt8], step: Int) {
    self.number = number
    self.bytes = bytes
    self.step = step
  }

  func run() {
    // Safety: the buffer is read within the closure only.
    unsafe bytes.withUnsafeBytes { raw in
      var offset = 0
      while offset < raw.count {
        let count = min(step, raw.count - offset)
        let written = unsafe write(number, raw.baseAddress.map { unsafe $0 + offset }, count)
        if written <= 0 { break }
        offset += written
      }
    }
    close(number)
  }
}

/// Whether two arrays are equal: a debug build's `==` takes 20 ns for each byte.
public func hasSameBytes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
  guard left.count == right.count else { return false }
  return unsafe left.withUnsafeBytes { left in
    unsafe right.withUnsafeBytes { right in
      guard let here = left.baseAddress, let there = right.baseAddress else {
        return true
      }
      // Safety: memcmp reads as many bytes as both have.
      return unsafe memcmp(here, there, left.count) == 0
    }
  }
}
