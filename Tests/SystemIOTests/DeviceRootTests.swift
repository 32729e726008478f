// Sources and sinks that only root can make: devices by mknod, and files that are block devices by loop.

import Glibc
import SystemIO
import TestKit
import Testing

/// Runs a command of the shell; its output and exit code.
private func shell(_ command: String) -> (text: String, code: Int32) {
  guard let stream = popen(command + " 2>&1", "r") else { return ("", -1) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while case let got = fread(&buffer, 1, buffer.count, stream), got > 0 { bytes += buffer[..<got] }
  let text = String(decoding: bytes, as: UTF8.self)
  return (text.split(separator: "\n").first.map(String.init) ?? "", pclose(stream) >> 8 & 0xFF)
}

/// A loop device over a file, with a node of its own: /dev stays as it is.
private final class Loop {
  let directory = TemporaryDirectory()
  let device: String
  var path: String { directory.path + "/loop" }
  var file: String { directory.path + "/disk" }

  init?(_ bytes: [UInt8]) {
    let descriptor = creat(directory.path + "/disk", 0o600)
    let isWritten =
      bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == bytes.count
    close(descriptor)
    let found = shell("losetup --find --show \(directory.path)/disk")
    device = found.text
    guard isWritten, found.code == 0 else { return nil }
    guard shell("mknod \(directory.path)/loop b $(stat -c '0x%t 0x%T' \(device))").code == 0 else {
      return nil
    }
  }

  deinit {
    if device.hasPrefix("/dev/loop") { _ = shell("losetup --detach \(device)") }
  }
}

private let noNode: Bool = {
  guard geteuid() == 0 else { return true }
  let directory = TemporaryDirectory()
  return shell("mknod \(directory.path)/null c 1 3 && : >\(directory.path)/null").code != 0
}()
private let noLoop: Bool = geteuid() != 0 || Loop(pattern(65_536)) == nil

@Suite struct DeviceRootTests {
  @Test(.enabled(if: !noNode, "only root can make devices")) func characterDevices() throws {
    let directory = TemporaryDirectory()
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7)] {
      #expect(shell("mknod \(directory.path)/\(name) c 1 \(minor)").code == 0)
    }
    let zero = try Source(opening: directory.path + "/zero")
    #expect(!zero.isFile && zero.byteCount == nil)
    let bytes = try zero.read(100_000)
    let isZero = bytes == [UInt8](repeating: 0, count: 100_000)
    #expect(isZero)
    let got = try Destination.file.collect { sink in
      let moved = try zero.move(300_000, to: sink)
      #expect(moved == 300_000)
    }
    #expect(got?.count == 300_000)

    let null = try OutputFile(directory.path + "/null", .memory)
    try null.sink.write(bytes)
    try null.sink.writeHole(5000)
    try null.commit()
    let full = try OutputFile(directory.path + "/full", .memory)
    let error = #expect(throws: SystemError.self) { try full.sink.write([1]) }
    #expect(error?.errno == ENOSPC)
    var status = stat()
    precondition(lstat(directory.path + "/null", &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFCHR)
  }

  /// A block device is a file: it has a size, is read anywhere, and zeros are written over what is on it.
  @Test(.enabled(if: !noLoop, "only root has loop devices")) func blockDevices() throws {
    let old = pattern(1 << 20)
    let loop = try #require(Loop(old))
    let source = try Source(opening: loop.path)
    #expect(source.isFile && source.byteCount == 1 << 20)
    source.seek(500_000)
    let isSame = try source.read(1000) == Array(old[500_000..<501_000])
    #expect(isSame)
    for strategy in [TransferStrategy?.none, .shareExtents, .copyRange, .splice, .copy] {
      source.seek(1000)
      let got = try Destination.file.collect { sink in
        let moved = try source.move(.max, to: sink, forcing: strategy)
        #expect(moved == 1 << 20 - 1000)
      }
      let isSame = got == Array(old.dropFirst(1000))
      #expect(isSame, "\(strategy.map { "\($0)" } ?? "the table's")")
    }

    let output = try OutputFile(loop.path, .memory)
    #expect(output.isBlockDevice && !output.isStream)
    try output.sink.write([1, 2, 3])
    try output.sink.writeHole(10_000)
    let input = TemporaryFile(pattern(50_000))
    let copied = try Source(opening: input.path).move(.max, to: output.sink)
    #expect(copied == 50_000)
    try output.commit()
    let reading = try #require(output.readingPath)
    let wanted = [1, 2, 3] + [UInt8](repeating: 0, count: 10_000) + pattern(50_000)
    let isWritten = contents(reading) == wanted + old.dropFirst(wanted.count)
    #expect(isWritten)
    // In other hands: nobody else writes to it meanwhile.
    let other = #expect(throws: SystemError.self) { _ = try OutputFile(loop.path, .memory) }
    #expect(other?.errno == EBUSY)
    #expect(OutputFile.isSame(loop.path, as: [source.identity]))
  }

  @Test(.enabled(if: !noLoop, "only root has loop devices")) func aBlockDeviceThatIsTooSmall()
    throws
  {
    let loop = try #require(Loop(pattern(65_536)))
    let output = try OutputFile(loop.path, .memory)
    let input = TemporaryFile(pattern(100_000))
    let error = #expect(throws: SystemError.self) {
      _ = try Source(opening: input.path).move(.max, to: output.sink)
    }
    #expect(error?.errno == ENOSPC)
  }
}
