// What libFuzzer calls: one target, chosen by FUZZ_TARGET. Without it the program lists the targets,
// or writes their seeds (FUZZ_SEEDS=DIRECTORY).

import CFuzz
import Glibc

private func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

private let target: FuzzTarget = {
  let name = variable("FUZZ_TARGET") ?? ""
  guard let target = FuzzTarget.named(name) else {
    say("no target '\(name)'; there are: \(FuzzTarget.all.map(\.name).joined(separator: " "))")
    exit(2)
  }
  return target
}()

private func say(_ text: String) {
  let bytes = Array((text + "\n").utf8)
  _ = write(2, bytes, bytes.count)
}

/// Lists the targets with their longest inputs, or writes seeds: true where that was asked for.
@_cdecl("fuzz_prepare")
public func prepare() -> Bool {
  if variable("FUZZ_LIST") != nil {
    for target in FuzzTarget.all { print(target.name, target.byteLimit) }
    return true
  }
  if let directory = variable("FUZZ_SEEDS") {
    for (number, seed) in target.seeds().enumerated() {
      guard let file = fopen("\(directory)/seed\(number)", "w") else {
        say("\(directory): cannot be written to")
        exit(3)
      }
      fwrite(seed, 1, seed.count, file)
      fclose(file)
    }
    return true
  }
  // Lua's print and help write to standard output: nobody reads that here.
  let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
  if null >= 0 { dup2(null, 1) }
  atexit { if LuaMachine.callCount > 0 { say("stat::lua_api_calls: \(LuaMachine.callCount)") } }
  return false
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  do {
    try target.run(Array(UnsafeBufferPointer(start: data, count: count)))
  } catch {
    say("\(target.name): a promise is broken: \(error)")
    abort()
  }
  return 0
}

@_cdecl("LLVMFuzzerCustomMutator")
public func mutate(
  _ data: UnsafeMutablePointer<UInt8>?, _ count: Int, _ limit: Int, _ seed: UInt32
) -> Int { fuzz_mutate(data, count, limit, seed) }
