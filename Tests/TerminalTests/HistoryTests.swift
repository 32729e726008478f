import Glibc
import TestKit
import Testing

@testable import Terminal

@Suite struct HistoryTests {
  private let directory = TemporaryDirectory()
  private var path: String { directory.path + "/state/app/history" }

  @Test func `keeps blocks over two runs`() {
    let blocks = [
      "one", "for i = 1, 2 do\n  print(\"a\\n\\\\\")\nend", "\\", "世界 \\n", "tab\there",
    ]
    var first = History(path: path)
    for block in blocks { first.add(block) }
    #expect(first.error == nil)
    let second = History(path: path)
    #expect(second.entries == blocks)
    #expect(second.error == nil)
    #expect(lines(path).count == blocks.count)
  }

  @Test func `is for the owner only`() {
    var history = History(path: path)
    history.add("secret")
    #expect(permissions(path) == 0o600)
    #expect(permissions(directory.path + "/state") == 0o700)
    _ = unsafe chmod(path, 0o644)
    history.add("another")
    #expect(permissions(path) == 0o600)
  }

  @Test func `drops duplicates and blanks`() {
    var history = History(path: path)
    for block in ["a", "b", "a", " \n\t", "", "a"] { history.add(block) }
    #expect(history.entries == ["b", "a"])
    #expect(History(path: path).entries == ["b", "a"])
  }

  @Test func `tells blocks apart that Unicode calls equal`() {
    var history = History()
    history.add("\u{E9}")
    history.add("e\u{301}")
    #expect(history.entries.count == 2)
  }

  @Test func `keeps no more than the limit`() {
    var history = History(path: path, limit: 10)
    for number in 0..<100 {
      history.add("block \(number)")
      #expect(lines(path).count <= 15)
    }
    #expect(history.entries == (90..<100).map { "block \($0)" })
    #expect(History(path: path, limit: 10).entries == history.entries)
    #expect(permissions(path) == 0o600)
    #expect(History(path: path, limit: 3).entries.count == 3)
    #expect(History(limit: -1).limit == 1)
  }

  @Test func `loses nothing when several write at once`() {
    let path = path
    let threads = (0..<4).map { writer in
      TestThread {
        for number in 0..<50 {
          // A new history each time also loads and, with the small limit, rewrites the file.
          var history = History(path: path, limit: 250)
          history.add("writer \(writer) block \(number)\nsecond line")
          if let error = history.error { Issue.record("\(error)") }
        }
      }
    }
    for thread in threads { thread.join() }
    let entries = History(path: path, limit: 250).entries
    #expect(entries.count == 200)
    for writer in 0..<4 {
      let mine = entries.filter { $0.hasPrefix("writer \(writer) ") }
      #expect(mine == (0..<50).map { "writer \(writer) block \($0)\nsecond line" })
    }
  }

  @Test func `rewrites the file while others append`() {
    let path = path
    let threads = (0..<4).map { writer in
      TestThread {
        var history = History(path: path, limit: 20)
        for number in 0..<100 { history.add("\(writer) \(number)") }
        if let error = history.error { Issue.record("\(error)") }
      }
    }
    for thread in threads { thread.join() }
    let all = lines(path)
    #expect(all.allSatisfy { $0.split(separator: " ").count == 2 })
    // The last line of each writer is the last of its lines in the file.
    for writer in 0..<4 {
      let mine = all.filter { $0.hasPrefix("\(writer) ") }.compactMap { Int($0.dropFirst(2)) }
      #expect(mine == mine.sorted())
    }
    #expect(all.last?.hasSuffix(" 99") == true)
  }

  @Test func `mends a line that another process did not finish`() {
    write("whole\ncut of", to: directory.path + "/h")
    var history = History(path: directory.path + "/h")
    #expect(history.entries == ["whole", "cut of"])
    history.add("next")
    #expect(lines(directory.path + "/h") == ["whole", "cut of", "next"])
  }

  @Test func `reads any bytes`() {
    write("a\\qb\\\n\u{1B}[2J\r\nx\\\\n\n\n", to: directory.path + "/h")
    let history = History(path: directory.path + "/h")
    #expect(history.entries == ["a\\qb\\", "\u{1B}[2J\n", "x\\n"])
  }

  @Test func `follows a symbolic link when it rewrites`() {
    let real = directory.path + "/real"
    let link = directory.path + "/link"
    write("", to: real)
    // Safety: both are strings that end in NUL.
    #expect(unsafe symlink(real, link) == 0)
    var history = History(path: link, limit: 2)
    for number in 0..<20 { history.add("\(number)") }
    #expect(lines(real).last == "19")
    var status = stat()
    #expect(unsafe lstat(link, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
  }

  @Test func `tells of a file that cannot be used and continues`() {
    var history = History(path: directory.path)
    history.add("block")
    #expect(history.entries == ["block"])
    #expect(history.error?.code == EISDIR)
    #expect(history.error?.description.contains(directory.path) == true)
    var device = History(path: "/dev/full")
    device.add("block")
    #expect(device.error?.code == ENOSPC)
    #expect(device.entries == ["block"])
  }

  @Test func `keeps huge blocks in memory only`() {
    var history = History(path: path)
    history.add(String(repeating: "x", count: HistoryFile.blockLimit + 1))
    history.add("small")
    #expect(history.entries.count == 2)
    #expect(lines(path) == ["small"])
  }
}
