// swift-tools-version: 6.2
// Targets in layer order: each may import only those below it (Tests/ShellTests/LayersTests).
import PackageDescription

/// The settings of every Swift target of this package.
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
]

/// Debug builds optimise these targets, too. Their loops over bytes, pages and records are generic code,
/// which an unoptimised build does not specialise: they took half of the tests' processor time.
let optimizedInDebug: Set = [
  "Bytes", "Hash", "JSON", "Format", "SystemIO", "Stream", "Zstd", "Wire", "Pages", "ImageCheck",
]
let optimization = SwiftSetting.unsafeFlags(["-O"], .when(configuration: .debug))

func swift(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(
    name: name, dependencies: dependencies,
    swiftSettings: settings + (optimizedInDebug.contains(name) ? [optimization] : []))
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  // Tests call C as they like: strict memory safety is for what users run.
  .testTarget(name: name, dependencies: dependencies, swiftSettings: Array(settings.dropFirst()))
}

/// The fuzzer's program is only built where XENSAVE_FUZZ is set (scripts/fuzz): it needs libFuzzer.
/// In all other builds the same targets are part of a test, which runs them on known inputs.
let fuzzed: [Target.Dependency] = [
  "ScriptHost", "EmuManager", "REPL", "LuaAPI", "ContentStore", "PolicyEngine", "LuaRuntime",
  "Pages", "Legacy", "Convert",
  "HelperProtocol", "SimDomain", "Live", "GuestOS", "Terminal", "ImageCheck", "ImageEdit",
  "Stream", "Format", "JSON", "Markup", "Wire", "Unpack", "Zstd", "Hash", "SystemIO", "Bytes",
  "CSystem", "TestKit",
]
let fuzz: [Target] =
  Context.environment["XENSAVE_FUZZ"] == nil
  ? [
    .testTarget(
      name: "FuzzTests", dependencies: fuzzed, path: "Tests/Fuzz",
      exclude: ["CFuzz", "Program"], sources: ["Targets", "Tests"],
      swiftSettings: Array(settings.dropFirst()))
  ]
  : [
    .target(name: "CFuzz", path: "Tests/Fuzz/CFuzz"),
    .executableTarget(
      name: "xensave-fuzz", dependencies: fuzzed + ["CFuzz"], path: "Tests/Fuzz",
      exclude: ["CFuzz", "Tests"], sources: ["Targets", "Program"],
      swiftSettings: Array(settings.dropFirst()) + [.unsafeFlags(["-parse-as-library"])]),
  ]

let package = Package(
  name: "xensave-lua",
  products: [.executable(name: "xensave-lua", targets: ["xensave-lua"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .executableTarget(
      name: "xensave-lua", dependencies: ["CommandLine", "EmuManager", "SaveHelper", "SystemIO"],
      swiftSettings: settings),
    // Prints the documents that are made from the declarations; it is not shipped.
    .executableTarget(
      name: "DocGenerator",
      dependencies: [
        "CommandLine", "ScriptHost", "REPL", "LuaAPI", "Reports", "LuaRuntime", "Legacy", "Wire",
        "Terminal", "Format", "SystemIO", "Bytes",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),
    swift(
      "CommandLine",
      [
        "ScriptHost", "EmuManager", "SaveHelper", "REPL", "LuaAPI", "ContentStore", "Jobs",
        "PolicyEngine", "Reports", "LuaRuntime", "GuestOS", "Pages", "Legacy", "Convert",
        "XenDomain", "HelperProtocol", "Live", "Wire", "Terminal", "ImageCheck", "ImageEdit",
        "Stream", "Format",
        "JSON", "Markup", "Remote", "Unpack", "Zstd",
        "SystemIO", "Bytes",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    swift(
      "ScriptHost",
      [
        "REPL", "LuaAPI", "Jobs", "PolicyEngine", "Reports", "LuaRuntime", "Terminal", "ImageEdit",
        "Stream", "Format", "JSON", "SystemIO", "Bytes",
      ]),
    swift(
      "REPL",
      [
        "LuaAPI", "PolicyEngine", "Reports", "LuaRuntime", "Terminal", "ImageCheck", "ImageEdit",
        "Stream", "Format", "JSON", "SystemIO", "Bytes",
      ]),
    swift(
      "EmuManager",
      [
        "SaveHelper", "Jobs", "PolicyEngine", "Reports", "LuaRuntime", "HelperProtocol", "Live",
        "Format", "JSON", "SystemIO", "Bytes", "CSystem",
      ]),
    swift(
      "SaveHelper",
      [
        "LuaAPI", "Jobs", "PolicyEngine", "Reports", "LuaRuntime", "XenDomain", "HelperProtocol",
        "Live", "ImageEdit", "Stream", "Format", "SystemIO", "CSystem",
      ]),
    swift(
      "LuaAPI",
      [
        "Jobs", "PolicyEngine", "Reports", "LuaRuntime", "GuestOS", "Pages", "Legacy", "Convert",
        "SimDomain", "Live", "Terminal", "ImageCheck", "ImageEdit", "Stream", "Format", "JSON",
        "Markup", "SystemIO", "Bytes",
      ]),
    swift(
      "ContentStore",
      ["Jobs", "ImageCheck", "Stream", "Format", "JSON", "Zstd", "Hash", "SystemIO", "Bytes"]),
    swift(
      "Jobs",
      [
        "Reports", "Pages", "Legacy", "Convert", "XenDomain", "SimDomain", "Live", "ImageCheck",
        "ImageEdit", "Stream", "Format", "JSON", "Zstd", "SystemIO", "Bytes",
      ]),
    swift(
      "PolicyEngine", ["Reports", "LuaRuntime", "Live", "Format", "SystemIO", "Bytes"]),
    swift(
      "Reports",
      [
        "GuestOS", "Pages", "Legacy", "Convert", "Terminal", "ImageCheck", "ImageEdit",
        "Stream", "Format", "JSON", "Markup", "SystemIO", "Bytes",
      ]),
    swift("LuaRuntime", ["SystemIO", "CLuaShim", "CLua", "CSystem"]),
    swift("GuestOS", ["Pages", "SystemIO", "Bytes"]),
    swift("Pages", ["ImageCheck", "ImageEdit", "Stream", "Format", "Zstd", "SystemIO", "Bytes"]),
    swift("Legacy", ["ImageEdit", "Stream", "Format", "SystemIO", "Bytes"]),
    swift("Convert", ["ImageCheck", "ImageEdit", "Stream", "Format", "JSON", "SystemIO", "Bytes"]),
    swift("XenDomain", ["Live", "Format", "SystemIO", "Bytes", "CXen"]),
    swift("HelperProtocol", ["Live", "Format", "SystemIO", "Bytes", "CSystem"]),
    swift("SimDomain", ["Live", "Format", "SystemIO", "Bytes"]),
    swift("Live", ["Stream", "Format", "SystemIO", "Bytes"]),
    swift("Wire", ["Format", "Zstd", "SystemIO", "Bytes"]),
    swift("Terminal"),
    swift("ImageCheck", ["ImageEdit", "Stream", "Format", "JSON", "Markup", "SystemIO", "Bytes"]),
    swift("ImageEdit", ["Stream", "Format", "JSON", "Markup", "SystemIO", "Bytes"]),
    swift("Stream", ["Format", "SystemIO", "Bytes"]),
    swift("Format", ["Bytes"]),
    swift("JSON"),
    swift("Markup"),
    swift("Unpack", ["Zstd", "SystemIO", "Bytes", "CUnpack"]),
    swift("Zstd", ["SystemIO", "Bytes", "CZstd"]),
    swift("Remote", ["SystemIO", "Hash", "Bytes", "CCurl"]),
    swift("SystemIO", ["Bytes", "CSystem"]),
    swift("Hash", ["Bytes", "CHash"]),
    swift("Bytes"),
    .target(name: "CLuaShim", dependencies: ["CLua", "CSystem"]),
    .systemLibrary(
      name: "CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
    .target(name: "CXen", linkerSettings: [.linkedLibrary("dl")]),
    .target(name: "CCurl", linkerSettings: [.linkedLibrary("dl")]),
    .target(name: "CUnpack", linkerSettings: [.linkedLibrary("dl")]),
    .systemLibrary(
      name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "CHash"),
    .target(name: "CSystem"),

    // What tests of several targets share.
    .target(
      name: "TestKit", dependencies: ["Terminal", "Live", "Format", "SystemIO"],
      path: "Tests/TestKit",
      swiftSettings: Array(settings.dropFirst())),
    tests(
      "ShellTests",
      [
        "CommandLine", "DocGenerator", "REPL", "LuaAPI", "Jobs", "PolicyEngine", "Reports",
        "LuaRuntime", "GuestOS", "Pages",
        "Terminal", "SimDomain", "Live", "ImageCheck", "ImageEdit", "Stream", "Format", "JSON",
        "SystemIO", "Bytes", "TestKit",
        "sim-helper", "xensave-lua",
      ]),
    tests(
      "PagesTests",
      ["Pages", "ImageCheck", "ImageEdit", "Stream", "Format", "SystemIO", "Bytes", "TestKit"]),
    tests("GuestOSTests", ["GuestOS", "Pages", "SystemIO", "Bytes", "TestKit"]),
    tests("LuaRuntimeTests", ["LuaRuntime", "CLuaShim", "CSystem"]),
    tests(
      "ImageTests", ["ImageCheck", "ImageEdit", "Stream", "Format", "SystemIO", "Bytes", "TestKit"]),
    // Defines system calls of the C library, so that tests can make each of them fail.
    .target(name: "CSystemCalls", path: "Tests/CSystemCalls"),
    tests("BytesTests", ["Bytes"]),
    tests("HashTests", ["Hash", "CHash", "Bytes"]),
    tests(
      "RemoteTests", ["Remote", "JSON", "SystemIO", "Hash", "Bytes", "TestKit", "xensave-lua"]),
    tests("SystemIOTests", ["SystemIO", "Bytes", "CSystem", "TestKit", "CSystemCalls"]),
    tests(
      "ContentStoreTests",
      [
        "ContentStore", "ImageCheck", "Stream", "Format", "SystemIO", "Hash", "Bytes", "TestKit",
        "CSystemCalls",
      ]),
    tests("UnpackTests", ["Unpack", "SystemIO", "Bytes", "TestKit"]),
    tests("ZstdTests", ["Zstd", "SystemIO", "Bytes", "TestKit", "CSystemCalls"]),
    tests(
      "SimDomainTests", ["SimDomain", "Live", "Stream", "Format", "SystemIO", "Bytes", "TestKit"]),
    tests("WireTests", ["Wire", "Format", "Zstd", "SystemIO", "Bytes", "TestKit"]),
    tests("StreamTests", ["Stream", "Format", "SystemIO", "Bytes", "TestKit"]),
    tests(
      "ConvertTests",
      [
        "Convert", "ImageCheck", "ImageEdit", "Stream", "Format", "Zstd", "SystemIO", "Bytes",
        "TestKit",
      ]),
    tests(
      "LiveTests",
      [
        "SimDomain", "Live", "ImageCheck", "ImageEdit", "Stream", "Format", "SystemIO", "Bytes",
        "TestKit",
      ]),
    tests(
      "HelperProtocolTests",
      ["HelperProtocol", "SimDomain", "Live", "Format", "SystemIO", "Bytes", "TestKit"]),
    // The save helper over a simulated domain, for tests that send it signals.
    .executableTarget(
      name: "sim-helper",
      dependencies: [
        "SaveHelper", "XenDomain", "HelperProtocol", "SimDomain", "Live", "Format", "SystemIO",
        "TestKit",
      ],
      path: "Tests/SimHelper", swiftSettings: Array(settings.dropFirst())),
    tests(
      "HelperTests",
      [
        "SaveHelper", "LuaAPI", "PolicyEngine", "LuaRuntime", "HelperProtocol", "SimDomain", "Live",
        "ImageCheck", "ImageEdit", "Stream", "Format", "SystemIO", "Bytes", "TestKit", "sim-helper",
        "xensave-lua",
      ]),
    // The emu-manager on a host that a test plays, and the stand-in for xenguest.
    .executableTarget(
      name: "sim-emu-manager",
      dependencies: ["EmuManager", "Reports", "SystemIO", "CSystem", "TestKit"],
      path: "Tests/SimEmuManager", swiftSettings: Array(settings.dropFirst())),
    tests(
      "EmuManagerTests",
      [
        "EmuManager", "SaveHelper", "LuaAPI", "PolicyEngine", "LuaRuntime", "Reports", "SimDomain",
        "Live", "ImageCheck", "ImageEdit", "Stream", "Format", "JSON", "SystemIO", "Bytes",
        "CSystem", "TestKit", "sim-emu-manager",
      ]),
    // A program that is killed with a domain of the fake Xen in its hands.
    .executableTarget(
      name: "xen-victim", dependencies: ["XenDomain", "Live", "SystemIO"], path: "Tests/XenVictim",
      swiftSettings: Array(settings.dropFirst())),
    tests(
      "XenDomainTests",
      [
        "LuaAPI", "Jobs", "PolicyEngine", "LuaRuntime", "XenDomain", "SimDomain", "Live",
        "ImageCheck", "Format", "SystemIO", "CXen", "TestKit", "xen-victim",
      ]),
    tests("TerminalTests", ["Terminal", "TestKit"]),
    tests("JSONTests", ["JSON"]),
    tests("MarkupTests", ["Markup"]),
    tests("FormatTests", ["Format", "Bytes", "TestKit"]),
    tests("LegacyTests", ["Legacy", "ImageCheck", "Stream", "Format", "SystemIO", "TestKit"]),
  ] + fuzz,
  swiftLanguageModes: [.v6]
)
