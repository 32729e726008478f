// Xen's libraries as Tests/Fixtures/fake-xen.c makes them.

import Glibc
import Live
import XenDomain
import func TestKit.runShell

/// The fake libraries of one release, built for the time of a test.
final class FakeXen {
  static let hasCompiler = runShell("command -v cc >/dev/null 2>&1") == 0
  static let source =
    #filePath.replacing("XenDomainTests/FakeXen.swift", with: "Fixtures/fake-xen.c")

  let minor: Int
  let folder: String
  private let handle: UnsafeMutableRawPointer

  struct Failed: Error { let what: String }

  /// `isShared`: all processes that load the libraries see one domain.
  init(minor: Int, isShared: Bool = false) throws {
    self.minor = minor
    var template = Array("/tmp/xensave-lua-xen.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failed(what: "mkdtemp") }
    folder =
      String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/"
    // Each library is the same file under its release's name.
    let store = minor < 16 ? "libxenstore.so.3.0" : "libxenstore.so.4"
    let share = isShared ? "truncate -s 4096 state && " : ""
    let command =
      "cd \(folder) && \(share)cc -shared -fPIC -w -DMINOR=\(minor) '\(FakeXen.source)' -o fake && "
      + "for name in libxenctrl.so.4.\(minor) libxenguest.so.4.\(minor) "
      + "libxenforeignmemory.so.1 \(store); do ln -s fake $name; done"
    guard runShell(command) == 0, let handle = dlopen(folder + "fake", RTLD_NOW) else {
      throw Failed(what: command)
    }
    self.handle = handle
  }

  deinit {
    dlclose(handle)
    runShell("rm -r '\(folder)'")
  }

  /// A number that the libraries hold: log_dirty, mappings, interfaces, paused, suspended, resumed, cap;
  /// calls: of the function that was to fail.
  func number(_ name: String) -> Int {
    typealias Function = @convention(c) () -> Int32
    guard let symbol = dlsym(handle, "fake_" + name) else { return -1 }
    return Int(unsafeBitCast(symbol, to: Function.self)())
  }

  /// Has `function` fail with EIO from now on; none where it is empty.
  func fail(_ function: String) {
    typealias Function = @convention(c) (UnsafePointer<CChar>) -> Void
    guard let symbol = dlsym(handle, "fake_fail") else { return }
    unsafeBitCast(symbol, to: Function.self)(function)
  }

  /// Has one call of `function` fail with EIO, counted from now on.
  func fail(_ function: String, at call: Int) {
    typealias Function = @convention(c) (UnsafePointer<CChar>, Int32) -> Void
    guard let symbol = dlsym(handle, "fake_fail_at") else { return }
    unsafeBitCast(symbol, to: Function.self)(function, Int32(call))
  }

  /// Gives the domain a scheduler (0: credit2, 1: credit, 2: one without caps) and a cap.
  func schedule(_ kind: Int, cap: Int) {
    typealias Function = @convention(c) (Int32, Int32) -> Void
    guard let symbol = dlsym(handle, "fake_schedule") else { return }
    unsafeBitCast(symbol, to: Function.self)(Int32(kind), Int32(cap))
  }

  /// Has xc_domain_save send rounds in the order of Xen's own loop, at most `limit` of them.
  func setGuest(_ guest: RoundsGuest, limit: Int) {
    typealias Sent = @convention(c) (UnsafeMutableRawPointer?, UInt) -> Void
    typealias Clean = @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<Int>?) -> Int
    typealias Function = @convention(c) (Sent, Clean, UnsafeMutableRawPointer, Int32) -> Void
    guard let symbol = dlsym(handle, "fake_guest") else { return }
    let sent: Sent = { data, pages in RoundsGuest.of(data).send(Int(pages)) }
    let clean: Clean = { data, told in
      let (pages, known) = RoundsGuest.of(data).clean()
      told?.pointee = known ?? -1
      return pages
    }
    unsafeBitCast(symbol, to: Function.self)(
      sent, clean, Unmanaged.passUnretained(guest).toOpaque(), Int32(limit))
  }

  /// Has the guest write to a frame.
  func write(_ frame: Int) {
    typealias Function = @convention(c) (UInt32) -> Void
    guard let symbol = dlsym(handle, "fake_write") else { return }
    unsafeBitCast(symbol, to: Function.self)(UInt32(frame))
  }

  func byte(_ frame: Int, _ offset: Int) -> UInt8 {
    typealias Function = @convention(c) (UInt32) -> UnsafeMutablePointer<UInt8>?
    guard let symbol = dlsym(handle, "fake_page") else { return 0 }
    return unsafeBitCast(symbol, to: Function.self)(UInt32(frame))?[offset] ?? 0
  }

  func host(
    _ messages: @escaping (XenMessage) -> Void = { _ in },
    _ progress: @escaping (XenProgress) -> Void = { _ in }
  ) throws -> XenHost {
    try XenHost(message: messages, progress: progress, release: minor, folder: folder)
  }
}
