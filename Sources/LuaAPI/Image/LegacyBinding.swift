// Legacy images (Xen 4.5 and older) in a script's hands.

internal import Bytes
internal import Format
internal import Legacy
internal import LuaRuntime
internal import Stream
internal import SystemIO

/// The options of `xs.open` for legacy images.
struct LegacyOptions {
  var options = LegacyConverter.Options()

  /// Nil where the table at `index` is none, or does not ask for a legacy image.
  init?(_ frame: LuaFrame, _ index: Int) throws {
    guard !frame.isMissing(index) else { return nil }
    guard frame.type(index) == .table else {
      throw frame.argumentError(index, "expected a table of options")
    }
    var isLegacy = false
    for (name, _) in try frame.fieldNames(index) {
      frame.pushField(index, name)
      defer { frame.pop() }
      switch name {
      case "layer":
        let layer = frame.text(-1)
        guard layer == "legacy" || layer == "auto" else {
          throw LuaError("layer: expected \"legacy\" or \"auto\", got \"\(layer)\"")
        }
        isLegacy = layer == "legacy"
      case "width":
        switch frame.text(-1) {
        case "32": options.width = .bits32
        case "64": options.width = .bits64
        case "auto": break
        default: throw LuaError("width: expected 32, 64 or \"auto\", got \(frame.text(-1))")
        }
      default:
        throw LuaError(
          "open has no option '\(name)'" + didYouMean(name, among: ["layer", "width"]))
      }
    }
    guard isLegacy else {
      if options.width != nil { throw LuaError("width is for layer = \"legacy\"") }
      return nil
    }
  }
}

/// The version 3 image that a legacy one becomes, in a file without a name.
func importedLegacy(
  _ source: Source, _ options: LegacyConverter.Options
) throws -> Source {
  let scratch = try ScratchFile()
  _ = try LegacyConverter(source, options: options).run(to: try scratch.sink(as: source.path))
  return try scratch.source(as: source.path)
}

/// The guest of a legacy image in a file, as far as its first bytes tell; nil where they do not.
func legacyGuest(_ source: Source) -> GuestType? {
  switch try? LegacyForm.detect(source) {
  case .bare(_, let guest)?: return guest
  case .xl?:
    guard source.isFile, (try? source.peek(48)) == 48 else { return nil }
    let count = UInt64(source.integer(44, as: UInt32.self, .little))
    source.seek(source.position + 48 + count)
    guard case .bare(_, let guest)? = try? LegacyForm.detect(source) else { return nil }
    return guest
  default: return nil
  }
}
