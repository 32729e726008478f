// What people type in a session who think of a command line, and what to say to them.

internal import Terminal

/// Advice about words that are no Lua and no name of the session.
enum Advice {
  /// What does in a session what a command of the program does, by the command's name.
  static let commands: [String: String] = [
    "info": "img, img.config and img.vcpu print what is in the image",
    "verify": "img:verify() checks the image with your changes",
    "dump": "a path is an expression here: img.vcpu[0].rip, img:first \"X86_TSC_INFO\"",
    "set": "assign: img.config.c_info.name = \"web1\"; img:changes() lists, img:save writes",
    "recover": "no edit is open here: !xensave-lua recover IMAGE",
    "diff": "for d in xs.diff(img, \"other.img\") do print(d.path, d.a, d.b) end",
    "convert": "img:convert(\"new.img\", { version = 3 })",
    "wrap": "img:convert(\"new.img\", { layer = \"xl\" })",
    "unwrap": "img:convert(\"new.img\", { layer = \"libxc\" })",
    "compat": "img:compat(\"4.17\")",
    "pages": "img:count { zero = xs.pages.zero }; help \"xs.pages\" lists the selectors",
    "map": "!xensave-lua map IMAGE draws the guest's memory; img:count counts pages",
    "history":
      "the arrow keys and Ctrl-R go through what was typed; !xensave-lua history STREAM draws rounds",
    "report": "!xensave-lua report IMAGE -o report.html",
    "guest": "img.linux:tasks(), img.linux:log(); help \"Linux\"",
    "compact": "img:compact(\"small.img\")",
    "delta": "base:delta(\"monday.delta\", img)",
    "apply": "base:apply(\"new.img\", \"monday.delta\")",
    "export": "img:export(\"vm.core\", \"elf-core\")",
    "policy": "help \"xs.sim\"; policies are replayed by !xensave-lua policy test",
    "host": "!xensave-lua host describes this machine; img:for_xen(\"4.17\", \"new.img\")",
    "helper": "!xensave-lua helper --check NAME TYPE",
    "ssh": "xl migrate -s \"xensave-lua ssh\" DOMAIN HOST, in a shell",
    "each": "for _, path in ipairs(PATHS) do local img <close> = assert(xs.open(path)) end",
    "store": "!xensave-lua store put FOLDER IMAGE keeps images, each page once",
    "emu-manager": "!xensave-lua emu-manager --check NAME TYPE",
    "run":
      "filter = dofile \"script.lua\", xs.rewrite(img, \"out.img\", filter); !xensave-lua run --list",
    "new": "!xensave-lua new filter NAME",
    "test": "!xensave-lua test FOLDER",
    "init": "!xensave-lua init",
  ]

  /// The same of words that other shells and editors have.
  static let words: [String: String] = [
    "open": "img = assert(xs.open \"PATH\")",
    "load": ".load FILE runs Lua; img = assert(xs.open \"PATH\") opens an image",
    "save": "img:save(PATH) writes the image; .save FILE writes what you typed",
    "write": "img:save(PATH) or img:save { in_place = true }",
    "changes": "img:changes()",
    "edit": ".edit opens $EDITOR; fields are assigned to: img.vcpu[0].rip = 0x1000",
    "clear": "Ctrl-L clears the screen",
    "man": "help NAME, or !man xensave-lua",
    "ls": "!ls runs a command of the shell", "cat": "!cat FILE runs a command of the shell",
    "pwd": "!pwd runs a command of the shell",
    "cd": "a session stays in its directory: paths may be absolute",
    "less": "EXPRESSION | less", "grep": "EXPRESSION | grep WORD",
    "xl": "!xl ... runs a command of the shell", "ps": "img.linux:tasks()",
    "dmesg": "img.linux:log()",
  ]

  /// What to say to an input whose first word is none of the session's names; nil for all other words.
  static func text(about word: String) -> String? {
    if let answer = commands[word] {
      return "\(word) is a command of the program, not of a session. Here: \(answer)"
    }
    return words[word].map { "this is Lua. You may want: \($0)" }
  }

  /// Words that leave a session.
  static let farewells: Set<String> = [
    "quit", "exit", "quit()", "exit()", "bye", "q", ":q", ":q!", "\\q", "logout",
  ]
}
