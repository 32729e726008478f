// The reference of the Lua API as a Markdown page.

internal import SystemIO
internal import Bytes
internal import Format
internal import LuaRuntime
internal import REPL

/// Writes LuaReference.md from the declarations and the record tables.
struct ReferencePage {
  static func text(_ state: LuaState) -> String {
    var out = """
      # Lua reference

      What scripts can use. Made from the program's declarations by `scripts/docs`;
      a test compares the two. In a session, `help "NAME"` says the same.

      Failures of the world outside (a missing file, a stream that is cut off) are returned as `nil`
      and an error, whose fields say more; mistakes of a script are raised. Unsigned values of 64 bits
      have the same bits as Lua's integers: `xs.hex` and `xs.u64` print them. What says no other
      release (Since) is there since \(LuaDeclaration.firstRelease).

      What Xen numbers counts from 0, as Xen does: vCPUs, pages, bytes, checkpoints; and so does what
      stands in the brackets of a path, as in `config.disks[0]`. Lists that are Lua's count from 1, as
      all of Lua's do: `img.config.disks[1]` is the same disk.

      """
    out += errors
    for module in state.declarations where module.kind == .module {
      out += "\n## Module \(module.name)\n\n\(module.doc)\n"
      for member in state.members(of: module.name) { out += entry(member) }
    }
    for table in state.declarations where table.kind == .class {
      out += "\n## Class \(table.name)\n\n\(table.doc)\n"
      let members = state.members(of: table.name)
      let properties = members.filter { $0.kind == .property }
      if !properties.isEmpty {
        out += "\n| property | type | |\n|---|---|---|\n"
        for member in properties {
          let type = member.type.replacing("|", with: "\\|")
          out +=
            "| `\(member.name)` | `\(type)` | \(member.fullDoc.replacing("|", with: "\\|")) |\n"
        }
      }
      for member in members where member.kind != .property { out += entry(member) }
    }
    return out + records
  }

  /// The table of error codes.
  private static var errors: String {
    var out = """

      ## Errors

      The fields of an error: `message` and `code`, and where they are known `path`, `offset` (bytes),
      `record`, `errno`, `stage` (of a save or restore), `hint`, `exit_code` (of another program) and
      `aftermath` (what could not be put back). `code` is a word of this table. The exit code is that
      of the program where the error ends a run.

      | code | exit code | |
      |---|---|---|

      """
    for code in ErrorCode.allCases {
      out += "| `\(code.rawValue)` | \(code.exitCode) | \(code.row.meaning) |\n"
    }
    return out
  }

  private static func entry(_ member: LuaDeclaration) -> String {
    var out = "\n### `\(member.call)`\n\n\(member.fullDoc)\n"
    if !member.example.isEmpty { out += "\n```lua\n\(member.example)\n```\n" }
    return out
  }

  private static var records: String {
    var out = "\n## Record types\n\nTheir fields are members of a Record, by these names.\n"
    for layout in RecordSchemas.all {
      let typeText = "\(layout.type.layer.rawValue) \(layout.type.wireValue.hex())"
      out +=
        "\n### \(layout.name) (\(typeText))\n\n\(layout.doc) Body: \(layout.length.description).\n"
      out += table(layout.forms.last?.fields ?? [])
    }
    out += "\n## Entries of HVM_CONTEXT\n\n"
    out += "`rec:each \"CPU\"` iterates over those of one type.\n"
    for entry in HVMRecords.all {
      out += "\n### \(entry.name) (type \(entry.type))\n\n\(entry.doc)\n"
      out += table(entry.fields)
    }
    return out
  }

  private static func table(_ fields: [Field]) -> String {
    let shown = fields.filter {
      if case .reserved = $0.kind { return false }
      return !$0.name.isEmpty && !$0.name.hasPrefix("_")
    }
    guard !shown.isEmpty else { return "" }
    var out = "\n| field | kind | |\n|---|---|---|\n"
    for field in shown {
      let unit = field.unit.isEmpty ? "" : " (\(field.unit))"
      out += "| `\(field.name)` | \(field.kindName)\(unit) | \(field.doc) |\n"
      for child in field.children where !child.name.isEmpty && !child.name.hasPrefix("_") {
        if case .reserved = child.kind { continue }
        out += "| `\(field.name)[].\(child.name)` | \(child.kindName) | \(child.doc) |\n"
      }
    }
    return out
  }
}
