// The arrows between targets go downwards only.

import Testing

@Suite struct LayersTests {
  /// Targets in the order of Package.swift, with what they depend on.
  private let targets: [(name: String, dependencies: [String])] = {
    let text = String(
      decoding: Program.read(Program.checkout + "/Package.swift"), as: UTF8.self)
    let body = text[(text.firstRange(of: "  targets: [")?.upperBound ?? text.startIndex)...]
    var out: [(name: String, dependencies: [String])] = []
    // swift("Name", ["A", "B"]), .target(name: "Name", dependencies: ["A"]), with line breaks.
    for match in body.matches(
      of:
        #/(?:swift\(|\.(?:executableTarget|target|systemLibrary)\()\s*(?:name: )?"([^"]+)"([^\]\)]*)/#
    ) {
      let quoted = match.output.2.matches(of: #/"([A-Za-z]+)"/#).map { String($0.output.1) }
      out.append((String(match.output.1), quoted))
    }
    return out
  }()

  /// Targets below Tests: they stand behind all others and import what they like.
  private let ofTests = ["TestKit", "sim-helper", "xen-victim"]

  @Test func everyArrowPointsDown() {
    #expect(targets.count > 15)
    let order = Dictionary(uniqueKeysWithValues: targets.enumerated().map { ($1.name, $0) })
    for (position, target) in targets.enumerated() where !ofTests.contains(target.name) {
      for name in target.dependencies {
        guard let below = order[name] else { continue }
        #expect(below > position || name == "CLua", "\(target.name) -> \(name)")
      }
    }
  }

  @Test func targetsImportOnlyWhatTheyDeclare() {
    let names = Set(targets.map(\.name))
    for target in targets where !ofTests.contains(target.name) {
      let folder = "\(Program.checkout)/Sources/\(target.name)"
      let imports = Program.shell(
        "grep -rhoE '^(public |internal |package )?import [A-Za-z]+' \(folder) --include=*.swift "
          + "| awk '{print $NF}' | sort -u")
      for name in imports.text.split(separator: "\n").map(String.init) where names.contains(name) {
        #expect(target.dependencies.contains(name), "\(target.name) imports \(name)")
      }
    }
  }
}
