// xensave-lua ssh: between a program that writes a stream and ssh, which a script stands in for here.

import Glibc
import TestKit
import Testing

@Suite struct SSHTests {
  private let folder = Program.temporaryFolder()
  private let image = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

  /// Writes a stand-in for ssh: options, the host, and one word for the other host's shell. It carries
  /// bytes both ways until the other side ends, and keeps in files the host, its own process and what went
  /// over the wire.
  private func writeSSH() {
    let script = """
      #!/usr/bin/env python3
      import os, subprocess, sys, threading
      words = sys.argv[1:]
      while words[0].startswith("-"): words = words[2 if words[0] in ("-p", "-o") else 1:]
      open("\(folder)/host", "w").write(words[0] + "\\n")
      open("\(folder)/carrier", "w").write(str(os.getpid()))
      child = subprocess.Popen(["sh", "-c", " ".join(words[1:])], bufsize=0,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
      def forward():
          with open("\(folder)/wire", "wb", buffering=0) as wire:
              try:
                  while data := os.read(0, 4096):
                      wire.write(data)
                      child.stdin.write(data)
              except OSError:
                  os.close(0)
              child.stdin.close()
      threading.Thread(target=forward, daemon=True).start()
      while data := child.stdout.read(4096): os.write(1, data)
      os._exit(child.wait())
      """
    Program.write(Array(script.utf8), to: folder + "/ssh")
    chmod(folder + "/ssh", 0o755)
  }

  private func run(_ command: String, input: [UInt8] = []) -> Outcome {
    Program.shell("PATH='\(folder)':\"$PATH\"; export PATH; \(command)", input: input)
  }

  @Test func streamAndAnswersPass() {
    writeSSH()
    let outcome = run(
      "xensave-lua ssh --verbose -p 22 -oFoo=bar there \"cat >'\(folder)/out'; echo 'it'\\''s done'\" "
        + "<'\(image)'")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(outcome.text == "it's done\n")
    #expect(outcome.errors.contains(" zero, "), "\(outcome.errors)")
    #expect(Program.read(folder + "/host") == Array("there\n".utf8))
    #expect(Program.read(folder + "/out") == Program.read(image))
    let (wire, whole) = (Program.read(folder + "/wire").count, Program.read(image).count)
    #expect(wire > 0 && wire < whole * 3 / 10, "\(wire) of \(whole)")
    Program.remove(folder)
  }

  /// The other host has no xensave-lua, or one without this command.
  @Test(arguments: ["no-such-program", "true --", "false"]) func plainWhereThereIsNone(
    remote: String
  ) {
    writeSSH()
    let outcome = run(
      "xensave-lua ssh --verbose --remote '\(remote)' there \"cat >'\(folder)/out'; echo done\" "
        + "<'\(image)'")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(outcome.text == "done\n")
    #expect(outcome.errors == "wire: the other side has none, the stream passed as it is\n")
    #expect(Program.read(folder + "/out") == Program.read(image))
    #expect(Program.read(folder + "/wire") == Program.read(image))
    Program.remove(folder)
  }

  /// A host that runs something else whatever it is asked for, as with a forced command.
  @Test func plainWhereOthersAnswer() {
    let outcome = run(
      "printf 'abc' | xensave-lua ssh --connect 'echo ready; cat' there xl migrate-receive")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(outcome.text == "ready\nabc")
    // A greeting of one byte less than a wire's is no greeting.
    let short = run("xensave-lua ssh --connect \"printf '\\\\211XSW\\\\r\\\\n\\\\032'\" there true")
    #expect(short.exitCode == 0)
    #expect(short.output == [0x89, 0x58, 0x53, 0x57, 0x0D, 0x0A, 0x1A])
    Program.remove(folder)
  }

  @Test(arguments: [0, 1, 7, 255]) func exitCodeIsTheCommands(code: Int32) {
    writeSSH()
    #expect(run("xensave-lua ssh there 'exit \(code)' </dev/null").exitCode == code)
    #expect(
      Program.shell("printf '' | xensave-lua ssh --receive sh -c 'exit \(code)'").exitCode == code)
    Program.remove(folder)
  }

  @Test func wrongWords() {
    for words in [
      ["ssh"], ["ssh", "host"], ["ssh", "-p", "22", "host"], ["ssh", "--receive"],
      ["ssh", "--no-option", "host", "true"],
      ["ssh", "--cache", "much", "host", "true"], ["ssh", "--level", "20", "host", "true"],
      ["ssh", "--threads", "65", "host", "true"],
      ["ssh", "--cache", "9999999999G", "host", "true"],
    ] {
      let outcome = Program.run(words)
      #expect(outcome.exitCode == 2, "\(words): \(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1)
    }
    #expect(Program.run(["ssh", "--help"]).text.contains("xl migrate -s"))
    let missing = Program.run(["ssh", "--receive", "no-such-program"])
    #expect(missing.exitCode == 3, "\(missing.errors)")
    Program.remove(folder)
  }

  @Test func reportForPrograms() {
    writeSSH()
    let outcome = run(
      "xensave-lua ssh --json there cat <'\(image)' 2>&1 >/dev/null | python3 -c 'import json, sys; "
        + "t = json.load(sys.stdin); print(t[\"wire\"], t[\"restored\"])'")
    #expect(outcome.text == "True \(Program.read(image).count)\n", "\(outcome.errors)")
    Program.remove(folder)
  }

  /// xl's side of `xl migrate -s "xensave-lua ssh"`: it waits for the banner, sends the stream, waits for
  /// an answer, sends 44 bytes and waits again, all with its end of the pipe open.
  @Test func handshake() {
    writeSSH()
    let count = Program.read(image).count
    let receiver = """
      printf 'xl migration receiver ready, send binary domain data.\\n'
      head -c \(count) >'\(folder)/out'
      printf 'domain received, ready to unpause\\0'
      head -c 44 >'\(folder)/go'
      printf 'my copy unpause results are as follows\\0\\0'
      """
    Program.write(Array(receiver.utf8), to: folder + "/receiver")
    let sender = """
      import subprocess, sys
      child = subprocess.Popen(
          ["sh", "-c", "exec xensave-lua ssh there sh '\(folder)/receiver'"],
          stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
      def expect(text):
          got = b""
          while len(got) < len(text):
              more = child.stdout.read(len(text) - len(got))
              if not more: break
              got += more
          if got != text: sys.exit("got %r" % got)
      expect(b"xl migration receiver ready, send binary domain data.\\n")
      stream = open("\(image)", "rb").read()
      child.stdin.write(stream[:100])
      for place in range(100, len(stream), 50000): child.stdin.write(stream[place:place + 50000])
      expect(b"domain received, ready to unpause\\0")
      child.stdin.write(b"domain is yours, you are cleared to unpause\\0")
      expect(b"my copy unpause results are as follows\\0\\0")
      if child.stdout.read(1): sys.exit("more than was sent")
      child.stdin.close()
      sys.exit(child.wait())
      """
    Program.write(Array(sender.utf8), to: folder + "/sender")
    let outcome = run("python3 '\(folder)/sender'")
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(Program.read(folder + "/out") == Program.read(image))
    #expect(
      Program.read(folder + "/go") == Array("domain is yours, you are cleared to unpause\0".utf8))
    Program.remove(folder)
  }

  /// Whoever goes, nobody waits for ever, and the receiver reads an end and no made-up bytes.
  @Test(arguments: ["sender", "carrier", "receiver", "command"]) func someoneIsKilled(who: String) {
    writeSSH()
    // The command copies what comes to a file. The writer leaves its pipe open and sends one part only.
    let script = """
      mkfifo '\(folder)/fifo'
      sleep 60 >'\(folder)/fifo' & keep=$!
      ( head -c 3000000 '\(image)' >'\(folder)/fifo' ) &
      xensave-lua ssh there "echo \\$\\$ >'\(folder)/command'; cat >'\(folder)/out'" \
        <'\(folder)/fifo' & sender=$!
      while [ "$(stat -c %s '\(folder)/out' 2>/dev/null || echo 0)" -lt 3000000 ]; do sleep 0.02; done
      command=$(cat '\(folder)/command')
      receiver=$(ps -o ppid= -p "$command" | tr -d ' ')
      carrier=$(cat '\(folder)/carrier')
      kill -KILL "$\(who)"
      wait "$sender"; code=$?
      kill "$keep"
      for process in $command $receiver; do
        while kill -0 "$process" 2>/dev/null; do sleep 0.02; done
      done
      echo "code $code"
      """
    let outcome = run(script)
    #expect(outcome.text.hasPrefix("code "), "\(outcome.errors)")
    #expect(outcome.text != "code 0\n")
    let out = Program.read(folder + "/out")
    #expect(out == Array(Program.read(image).prefix(3_000_000)))
    Program.remove(folder)
  }

  /// SIGTERM ends both sides.
  @Test func terminated() {
    writeSSH()
    let script = """
      mkfifo '\(folder)/fifo'
      sleep 60 >'\(folder)/fifo' & keep=$!
      xensave-lua ssh there "echo \\$\\$ >'\(folder)/command'; cat >/dev/null" <'\(folder)/fifo' &
      sender=$!
      while ! [ -s '\(folder)/command' ]; do sleep 0.02; done
      kill -TERM "$sender"
      wait "$sender"; code=$?
      kill "$keep"
      while kill -0 "$(cat '\(folder)/command')" 2>/dev/null; do sleep 0.02; done
      echo "code $code"
      """
    let outcome = run(script)
    #expect(outcome.text == "code 143\n", "\(outcome.errors)")
    Program.remove(folder)
  }

  /// After the end of the stream, too, while the command still runs.
  @Test func terminatedAtTheEnd() {
    writeSSH()
    let script = """
      xensave-lua ssh there "cat >/dev/null; echo ended >'\(folder)/command'; sleep 60" </dev/null & sender=$!
      while ! [ -s '\(folder)/command' ]; do sleep 0.02; done
      kill -TERM "$sender"
      wait "$sender"; code=$?
      while kill -0 "$(cat '\(folder)/carrier')" 2>/dev/null; do sleep 0.02; done
      echo "code $code"
      """
    let outcome = run(script)
    #expect(outcome.text == "code 143\n", "\(outcome.errors)")
    Program.remove(folder)
  }

  /// A wire that is cut or damaged: the command reads an end, and the exit code says that it was not good.
  @Test func damagedWire() {
    writeSSH()
    _ = run("xensave-lua ssh there \"cat >/dev/null\" <'\(image)'")
    var wire = Program.read(folder + "/wire")
    let whole = Program.read(image)
    for (name, change) in [
      ("cut", { wire.removeLast(100_000) }), ("flipped", { wire[90_000] ^= 1 }),
    ] as [(String, () -> Void)] {
      change()
      let outcome = Program.shell(
        "xensave-lua ssh --receive sh -c 'cat >\(folder)/out'", input: wire)
      #expect(outcome.exitCode == 1, "\(name): \(outcome.errors)")
      #expect(outcome.errors.contains("wire: "), "\(outcome.errors)")
      let out = Program.read(folder + "/out")
      #expect(out.count < whole.count && whole.starts(with: out))
    }
    Program.remove(folder)
  }
}
