// Reading lines without a terminal that can be edited on.

internal import Glibc

extension LineEditor {
  /// Bytes accepted in one line.
  private static let lineLimit = 64 << 20

  /// Reads lines until they are a complete block or the input ends.
  func readPlainBlock() throws(TerminalError) -> Line {
    var block: [UInt8] = []
    var prompt = options.prompt
    while true {
      showPlainPrompt(prompt)
      switch try readPlainLine(into: &block) {
      case .interrupted: return .interrupted
      case .end(let isEmpty):
        if isEmpty && block.isEmpty { return .endOfInput }
        if block.last == 0x0A { block.removeLast() }
        return .text(String(decoding: block, as: UTF8.self))
      case .line:
        let text = String(decoding: block, as: UTF8.self)
        if options.isComplete(text) { return .text(text) }
        block.append(0x0A)
        prompt = options.continuationPrompt
      }
    }
  }

  private enum PlainResult {
    case line
    case end(isEmpty: Bool)
    case interrupted
  }

  /// Appends one line without its line break to `block`. Reads byte by byte: what follows the
  /// line belongs to whoever reads the input next.
  private func readPlainLine(into block: inout [UInt8]) throws(TerminalError) -> PlainResult {
    let start = block.count
    var byte: UInt8 = 0
    while true {
      // Safety: one byte is written, into `byte`.
      let count = unsafe read(input, &byte, 1)
      if count == 1 {
        if byte == 0x0A { return .line }
        guard block.count < Self.lineLimit else {
          throw TerminalError(call: "read", code: EMSGSIZE)
        }
        block.append(byte)
      } else if count == 0 {
        return .end(isEmpty: block.count == start)
      } else if errno == EINTR {
        if options.isInterrupted() { return .interrupted }
      } else if errno == EAGAIN {
        var wanted = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
        // Safety: poll is told of one `pollfd`, and `wanted` is one.
        if unsafe poll(&wanted, 1, -1) < 0, options.isInterrupted() { return .interrupted }
      } else if errno == EIO {
        return .end(isEmpty: block.count == start)
      } else {
        throw .last("read")
      }
    }
  }

  /// Shows a prompt to someone who types, on the output or else on the error output.
  private func showPlainPrompt(_ prompt: Prompt) {
    guard isatty(input) == 1 else { return }
    guard let descriptor = [output, 2].first(where: { isatty($0) == 1 }) else { return }
    try? writeAll(Array(escapeForDisplay(prompt.text).utf8), to: descriptor)
  }
}
