// Outputs: what stands at their path decides how they are written, whoever writes.

import Glibc
import LuaRuntime
import Testing

@testable import CommandLine
@testable import LuaAPI
@testable import REPL

@Suite struct OutputTests {
  /// The files that the writers read, made once; removed when the program ends.
  static let samples = Program.samples(Writers.setup)

  /// Runs a script of the shell in a folder of its own with the files; `run` is the writer, whose
  /// exit code is in $code and whose messages are in the file `said`.
  static func trying(_ writer: Writer, _ script: String) -> Outcome {
    let folder = Program.temporaryFolder(linking: samples)
    defer { Program.remove(folder) }
    return Program.shell(
      """
      cd \(folder) && mkdir place || exit 99
      run() {
        export OUT="$1"
        (\(writer.command)) 2>said; code=$?
      }
      # Whether the messages are one line, and the code is what it is for the system's refusals.
      refused() {
        [ $code = \(writer.isByTheWay ? "${1:-3}" : "3") ] && [ "$(wc -l <said)" = 1 ] && return
        echo "code $code: $(cat said)"
      }
      \(script)
      """)
  }

  @Test(arguments: Writers.all) func aNewFile(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      umask 027; run place/out; echo $code; stat -c %a place/out; ls -A place
      # The umask takes nothing from the mode of a file that is there.
      umask 022; chmod 606 place/out; run place/out; echo $code; stat -c %a place/out; ls -A place
      """)
    let isMemory =
      writer.isImage || writer.name.hasPrefix("report")
      || ["export", "delta", "img:"].contains { writer.name.contains($0) }
    #expect(
      outcome.text == "0\n\(isMemory ? 600 : 640)\nout\n0\n606\nout\n",
      "\(outcome.text) \(outcome.errors)")
  }

  @Test(arguments: Writers.all) func symbolicLinksAreFollowed(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      run place/file; mkdir elsewhere; echo old >elsewhere/old
      ln -s ../elsewhere/old place/link; ln -s $PWD/elsewhere/new place/dangling
      ln -s link place/chain; ln -s loop place/loop
      for name in link dangling chain; do
        run place/$name; echo $code $(readlink place/$name)
      done
      cmp place/file elsewhere/old; cmp place/file elsewhere/new
      run place/loop; refused; ls -A place elsewhere
      """)
    let expected =
      "0 ../elsewhere/old\n0 PWD/elsewhere/new\n0 link\n"
      + "elsewhere:\nnew\nold\n\nplace:\nchain\ndangling\nfile\nlink\nloop\n"
    let text = outcome.text.replacing(#/\/[^ \n]*\/elsewhere/#, with: "PWD/elsewhere")
    #expect(text == expected, "\(outcome.text) \(outcome.errors)")
  }

  @Test(arguments: Writers.all) func fifosAreWrittenTo(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      run place/file; mkfifo place/fifo
      cat place/fifo >got & run place/fifo; wait; echo $code; cat said
      cmp got place/file; [ -p place/fifo ] && ls -A place
      """)
    #expect(outcome.text == "0\nfifo\nfile\n", "\(outcome.text) \(outcome.errors)")
  }

  /// Nobody reads: a signal ends the wait.
  @Test(arguments: ["set", "compact", "policy test --svg", "PageSet:save"])
  func aWaitForAReaderCanBeEnded(name: String) throws {
    let writer = try #require(Writers.all.first { $0.name == name || $0.uses == [name] })
    let outcome = OutputTests.trying(
      writer,
      """
      mkfifo place/fifo
      export OUT=place/fifo
      \(writer.command.replacing("xensave-lua", with: "timeout --preserve-status -s TERM 1 xensave-lua"))
      echo $?; ls -A place
      """)
    #expect(outcome.text == "143\nfifo\n", "\(outcome.text) \(outcome.errors)")
  }

  @Test(.enabled(if: Program.shell("command -v python3").exitCode == 0), arguments: Writers.all)
  func socketsAreWrittenTo(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      run place/file
      python3 -c '
      import socket
      listener = socket.socket(socket.AF_UNIX)
      listener.bind("place/socket")
      listener.listen()
      open("ready", "w").close()
      with listener.accept()[0] as one, open("got", "wb") as out:
          while data := one.recv(65536):
              out.write(data)
      ' & while [ ! -e ready ]; do sleep 0.02; done
      run place/socket; echo $code; cat said; wait; cmp got place/file; ls -A place
      """)
    #expect(outcome.text == "0\nfile\nsocket\n", "\(outcome.text) \(outcome.errors)")
  }

  @Test(arguments: Writers.all) func foldersAndWhatIsNotThere(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      mkdir place/folder
      run place/folder; refused; run place/folder/; refused; run place/none/out; refused
      run place/new/; refused; run in/out; refused; find place
      """)
    #expect(outcome.text == "place\nplace/folder\n", "\(outcome.text) \(outcome.errors)")
  }

  /// A folder that may not be written to, also by who is root here: as nobody.
  @Test(arguments: Writers.all) func foldersThatMayNotBeWrittenTo(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      chmod 755 .; chmod 644 in new delta libxl config old trace; chmod 555 place
      as=; [ $(id -u) != 0 ] || as="setpriv --reuid 65534 --regid 65534 --clear-groups"
      $as test -x "$(command -v xensave-lua)" || exit 0
      export OUT=$PWD/place/out
      $as sh -c '\(writer.command.replacing("'", with: "'\\''"))' 2>said; code=$?
      refused; ls -A place; chmod 755 place
      """)
    #expect(outcome.text == "", "\(outcome.text) \(outcome.errors)")
  }

  /// A limit to the size of files acts as a full disk does (a full one: OutputRootTests). It holds
  /// for a simulated domain's memory, too.
  @Test(arguments: Writers.all.filter { !$0.command.contains("xs.sim") })
  func limitsOfFileSizes(writer: Writer) {
    let outcome = OutputTests.trying(
      writer,
      """
      export OUT=place/out
      # Messages go through pipes, which have no limit.
      { sh -c 'ulimit -f 0; \(writer.command.replacing("'", with: "'\\''"))'; echo code $?; } 2>&1 |
        cat >all
      grep -v '^code' all >said; code=$(sed -n 's/^code //p' all)
      refused 0; ls -A place
      """)
    #expect(outcome.text == "", "\(outcome.text) \(outcome.errors)")
  }

  /// The input itself, by other names too, is a mistake of the command line: 2, and nothing happens.
  @Test(arguments: Writers.all.filter { !$0.input.isEmpty }) func theInputItself(writer: Writer) {
    let input = writer.input
    let outcome = OutputTests.trying(
      writer,
      """
      cp \(input) before; ln \(input) place/hard; ln -s ../\(input) place/soft
      for out in \(input) place/hard place/soft ./place/../\(input); do
        run $out; [ $code = 2 ] && [ $(wc -l <said) = 1 ] || echo "$out: $code $(cat said)"
      done
      cmp before \(input); ls -A place
      """)
    #expect(outcome.text == "hard\nsoft\n", "\(outcome.text) \(outcome.errors)")
  }

  /// Standard output by one of its names is the descriptor: nothing there is replaced.
  @Test func standardOutputByItsNames() {
    let writer = Writers.all[0]
    let outcome = OutputTests.trying(
      writer,
      """
      run place/file
      for name in /dev/stdout /dev/fd/1 /proc/self/fd/1; do
        inode=$(touch got; stat -c %i got); : >got; run $name >got; echo $code; cmp got place/file
        [ $inode = $(stat -c %i got) ] || echo replaced; run $name | cmp - place/file
      done
      printf head >got; run /dev/stdout >>got; { printf head; cat place/file; } | cmp - got
      """)
    #expect(outcome.text == "0\n0\n0\n", "\(outcome.text) \(outcome.errors)")
  }

  /// A hole is left only where a file has nothing yet: what the shell opened over old data, or to
  /// append to, gets its zeros written.
  @Test(arguments: ["compact in - --aligned", "export in - --format raw"])
  func holesOnlyWhereNothingWas(command: String) {
    let outcome = OutputTests.trying(
      Writer("", "xensave-lua \(command)", uses: []),
      """
      xensave-lua \(command) >good; size=$(stat -c %s good)
      ones() { head -c $1 /dev/zero | tr '\\0' '\\377'; }
      for count in $((size + 5000)) $((size / 2 + 7)) 1; do
        ones $count >there; run - 1<>there; cmp -n $size there good; echo $code
        [ $count -le $size ] || tail -c +$((size + 1)) there | tr -d '\\377' | wc -c
      done
      : >there; run - >>there; cmp there good; ones 4096 >there; run - >>there; tail -c +4097 there | cmp - good
      # New files have holes.
      [ $(($(stat -c %b good) * 512)) -lt $size ] || echo no holes
      """)
    #expect(outcome.text == "0\n0\n0\n0\n", "\(outcome.text) \(outcome.errors)")
  }

  /// What only makes new files leaves all that is there, and no half of one.
  @Test(arguments: [
    "xensave-lua new filter place/name", "xensave-lua init place -q",
    "printf '.save place/name.lua\\n' | xensave-lua -i >/dev/null",
  ])
  func newFilesReplaceNothing(command: String) {
    let name = command.contains(" init ") ? ".luarc.json" : "name.lua"
    let outcome = OutputTests.trying(
      Writer("", command, uses: []),
      """
      run -; [ -f place/\(name) ] && echo \(name); rm -f place/* place/.l*
      mkfifo fifo; ln -s ../elsewhere dangling; ln -s ../in link
      for there in fifo dangling link; do
        mv $there place/\(name); run -; [ ! -e elsewhere ] || echo followed
        [ -h place/\(name) ] || [ -p place/\(name) ] || echo replaced; mv place/\(name) $there
        rm -f place/* place/.l*
      done
      cmp in \(Program.fixtures)/pv-4m-1v-tiny.xlsave
      { sh -c 'ulimit -f 0; \(command.replacing("'", with: "'\\''"))' | cat; } >/dev/null 2>&1
      ls -A place
      """)
    #expect(outcome.text == "\(name)\n", "\(outcome.text) \(outcome.errors)")
  }

  /// The index beside an image is nobody's wish: what is no file there is left alone, and not read.
  @Test(arguments: ["mkfifo .in.index", "mkdir .in.index", "ln -s /nonexistent/x .in.index"])
  func theIndexIsKeptInFilesOnly(making: String) {
    let outcome = OutputTests.trying(
      Writer("", "timeout 20 xensave-lua pages in --cache >/dev/null", uses: []),
      "\(making); sleep 0.1; stat -c %F%i .in.index >a; run -; echo $code; "
        + "stat -c %F%i .in.index | cmp a")
    #expect(outcome.text == "0\n", "\(outcome.text) \(outcome.errors)")
  }

  // MARK: - Completeness

  private func source(_ name: String) -> String {
    String(decoding: Program.read(Program.checkout + "/Sources/" + name), as: UTF8.self)
  }

  /// Every file that an argument or option of a command names is an input or has its row.
  @Test func everyCommandThatWritesHasItsRow() {
    let uses = Set(Writers.all.flatMap(\.uses))
    var found: Set<String> = []
    for name in Program.names(in: Program.checkout + "/Sources/CommandLine") {
      var owner = ""
      var isFile = false
      for line in source("CommandLine/" + name).split(separator: "\n") {
        if let match = line.firstMatch(of: #/^(?:private )?struct (\w+)/#) {
          owner = String(match.1)
        }
        if line.contains("var target: OutputOption") { found.insert("\(owner).output") }
        if line.contains("completion: .file()") { isFile = true }
        guard isFile, let match = line.firstMatch(of: #/var (\w+)/#) else { continue }
        isFile = false
        let place = "\(owner).\(match.1)"
        found.insert(place)
        #expect(
          Writers.inputs.contains(place) || uses.contains(place),
          "\(place): is it an input, or does it want a row in Writers.all?")
      }
    }
    for use in uses where use.contains(".") && !use.hasPrefix("xs.") {
      #expect(found.contains(use), "\(use)")
    }
    for place in found where place.hasSuffix(".output") && !place.hasPrefix("OutputOption") {
      #expect(uses.contains(place), "\(place) wants a row in Writers.all")
    }
  }

  /// OUT is -o everywhere; as a last word it still works, and nothing speaks of it.
  @Test(arguments: [
    "convert in%--to libxl", "wrap libxl%--in xl --config config", "unwrap in%", "compact in%",
    "delta in new%", "apply in delta%", "export in%--format raw",
  ])
  func everyOutIsAnOption(command: String) {
    let parts = command.split(separator: "%", omittingEmptySubsequences: false).map(String.init)
    let name = String(parts[0].prefix { $0 != " " })
    let outcome = OutputTests.trying(
      Writer("", ":", uses: []),
      """
      xensave-lua \(parts[0]) -o a \(parts[1]) -q; xensave-lua \(parts[0]) b \(parts[1]) -q
      xensave-lua \(parts[0]) \(parts[1]) --output=c -q; [ -s a ] && cmp a b && cmp a c && echo same
      xensave-lua \(parts[0]) d -o e \(parts[1]) -q; echo $?; xensave-lua \(parts[0]) \(parts[1]); echo $?
      ls -d d e 2>/dev/null
      """)
    #expect(outcome.text == "same\n2\n2\n", "\(outcome.text) \(outcome.errors)")
    #expect(outcome.errors.contains("expected -o OUT"), "\(outcome.errors)")
    let help = Program.run([name, "--help"]).text
    #expect(help.contains("-o"), "\(help)")
    #expect(!help.lowercased().contains("last-word"), "\(help)")
  }

  /// And every function of scripts that takes a path.
  @Test func everyFunctionThatWritesHasItsRow() throws {
    let shell = try ShellContext(SessionExplainer())
    try shell.bind()
    defer { shell.state.close() }
    let uses = Set(Writers.all.flatMap(\.uses))
    for declaration in shell.state.declarations
    where declaration.type.contains(#/\b(path|destination|to|file): string/#) {
      #expect(
        Writers.reading.contains(declaration.fullName) || uses.contains(declaration.fullName),
        "\(declaration.call): does it read, or does it want a row in Writers.all?")
    }
  }

  /// Nothing opens an output but `OutputFile`, and who calls it is known.
  @Test func everyPlaceThatWritesIsKnown() {
    let files = Program.shell("cd Sources && find . -name '*.swift' | sort").text
    var sites: Set<String> = []
    for name in files.split(separator: "\n").map({ String($0.dropFirst(2)) }) {
      let text = source(name)
      if text.contains("OutputFile(") || text.contains("OutputFile.write("),
        !Writers.others.contains(name)
      {
        sites.insert(name)
      }
      let makes = text.contains(
        #/\bO_CREAT\b|\bO_TRUNC\b|\brename\(|csystem_create\(|\blinkat\(|\bmkfifo\(|\bcreat\(/#)
      #expect(!makes || Writers.others.contains(name), "\(name): use OutputFile")
    }
    #expect(sites == Set(Writers.sites.keys))
  }
}
