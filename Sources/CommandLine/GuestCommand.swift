// xensave-lua guest

internal import SystemIO
internal import ArgumentParser
internal import GuestOS
internal import JSON
internal import Jobs
internal import Pages
internal import Reports
internal import Terminal

struct GuestCommand: LongCommand {
  static let name = "guest"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Show what a Linux guest, saved or running, was doing.",
    discussion: """
      WHAT is one of:

        ps                  processes; with --threads, all threads
        dmesg               the kernel's log
        stack [PID | all]   where the vCPUs are, a task, or all of them
        hung [SECONDS]      tasks that wait uninterruptibly for so long (120), with stacks
        modules, mounts     what is loaded and mounted
        blockdevs           disks and partitions: size, read-only or not
        net, sockets        network devices with addresses, and sockets of processes
        files PID           open files of a process
        maps PID            its address space
        mem                 how memory is used
        sym NAME | 0xADDR   addresses of a symbol, or the symbol at an address
        print EXPR          an expression of C over the kernel's variables: init_task.comm,
                            ((struct task_struct *)0xADDR)->mm, per_cpu(runqueues, 0).curr->pid,
                            container_of(modules.next, struct module, list).name

      Without it: kernel, uptime, tasks and memory in short. Needs no file from outside: symbols, types \
      and unwind tables are the guest kernel's own (x86-64, from Linux 4.6 on, with kallsyms; all but \
      dmesg and sym need BTF, which kernels from 5.2 on may have).

      With --domain there is no IMAGE: the domain is paused for as long as it takes, and continues \
      afterwards, by whatever way this program ends. On Xen that is for PVH and HVM domains.
      """)

  @Argument(help: "The image, a file; not with --domain.", completion: .file()) var image: String?
  @Argument(help: "What to show.", completion: .list(GuestCommand.words)) var what: String?
  @Argument(help: "Which one.") var argument: String?
  @Option(help: ArgumentHelp("A domain instead of an image.", valueName: "name"))
  var domain: String?
  @Flag(help: "With ps: all threads.") var threads = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var pages: PageOptions
  @OptionGroup var long: ProgressOptions

  static let words = [
    "ps", "dmesg", "stack", "hung", "modules", "mounts", "blockdevs", "net", "sockets", "files",
    "maps", "mem",
    "sym", "print",
  ]
  private static let needing = ["files": "PID", "maps": "PID", "sym": "NAME", "print": "EXPR"]
  private static let allowing = ["stack", "hung"]

  mutating func validate() throws {
    if domain != nil {
      // The words are those after an image.
      if let argument { throw ValidationError("unexpected \"\(argument)\"") }
      (image, what, argument) = (nil, image, what)
      if pages.cache { throw ValidationError("--cache is for images") }
    } else if image == nil {
      throw ValidationError("expected an image, or --domain NAME")
    }
    guard let what else { return }
    guard Self.words.contains(what) else {
      throw ValidationError(
        "expected one of \(Self.words.joined(separator: ", ")), got \"\(what)\"")
    }
    if let name = Self.needing[what], argument == nil {
      throw ValidationError("\(what): expected \(name)")
    }
    if let argument, Self.needing[what] == nil, !Self.allowing.contains(what) {
      throw ValidationError("\(what): unexpected \"\(argument)\"")
    }
    if threads, what != "ps" { throw ValidationError("--threads is for ps") }
  }

  mutating func execute() throws -> Int32 {
    let sections: [GuestSection]
    if let domain {
      let warn = { (line: String) in writeError("xensave-lua: warning: \(line)\n") }
      sections = try withPausedDomain(domain, warn: warn) { memory, vcpus in
        try answer(GuestReports(try LinuxGuest(memory, vcpus)))
      }
    } else {
      let image = try pages.opening(image ?? "")
      sections = try answer(GuestReports(try LinuxGuest(GuestMemory(image))))
    }
    if json {
      var writer = JSONWriter(style: .pretty)
      writer.beginObject()
      if let domain { writer.member("domain", domain) }
      if let image { writer.member("image", image) }
      for section in sections {
        GuestCell(section.key, .rows(section.rows)).write(to: &writer)
        if let problem = section.problem { writer.member("problem", problem) }
      }
      writer.endObject()
      try writeOut(writer.finish())
    } else {
      try writeOut(sections.map(\.lines).joined())
    }
    for problem in sections.compactMap(\.problem) {
      writeError("xensave-lua: note: there may be more: \(escapeForDisplay(problem))\n")
    }
    return ExitCode.good
  }

  private func answer(_ reports: GuestReports) throws -> [GuestSection] {
    let argument = argument ?? ""
    switch what {
    case "ps": return [try reports.tasks(threads: threads)]
    case "dmesg": return [try reports.log()]
    case "stack": return [try reports.stacks(self.argument)]
    case "hung": return [try reports.hung(self.argument)]
    case "modules": return [try reports.modules()]
    case "mounts": return [try reports.mounts()]
    case "blockdevs": return [try reports.blockDevices()]
    case "net": return [try reports.netDevices()]
    case "sockets": return [try reports.sockets()]
    case "files": return [try reports.files(argument)]
    case "maps": return [try reports.maps(argument)]
    case "mem": return [try reports.memory()]
    case "sym": return [try reports.symbol(argument)]
    case "print": return [try reports.value(argument)]
    default: return reports.summary()
    }
  }
}
