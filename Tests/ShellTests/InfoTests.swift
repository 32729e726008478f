// What several images hold: a line each.

import TestKit
import Testing

private let pv = "Tests/Fixtures/pv-4m-1v-tiny.xlsave"
private let pvh = "Tests/Fixtures/pvh-4m-1v-tiny.xlsave"

@Suite struct InfoTests {
  @Test func severalImagesAreATable() {
    let outcome = Program.run(["info", pv, pvh])
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    #expect(
      outcome.text
        == """
        file                                  name  type  vcpus  mib  xen   kernel  uptime  layers          complete
        Tests/Fixtures/pv-4m-1v-tiny.xlsave   tpv   pv        1    4  4.17  -            -  xl>libxl>libxc  yes
        Tests/Fixtures/pvh-4m-1v-tiny.xlsave  tpvh  pvh       1    4  4.17  -            -  xl>libxl>libxc  yes

        """,
      "\(outcome.text)")
  }

  @Test func spreadsheetsAndPrograms() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let path = folder + "/a,\"b\".img"
    Program.write(Program.read(Program.checkout + "/" + pv), to: path)
    let csv = Program.run(["info", "--csv", path])
    #expect(
      csv.text == """
        file,name,type,vcpus,mib,xen,kernel,uptime,layers,complete
        "\(folder)/a,""b"".img",tpv,pv,1,4,4.17,,,xl>libxl>libxc,yes

        """, "\(csv.errors)")
    let json = Program.run(["info", "--json", pv, pvh])
    #expect(json.text.hasPrefix("[\n  {\n    \"image\": \"\(pv)\",\n"), "\(json.text)")
    #expect(json.text.contains("\"image\": \"\(pvh)\""))
    #expect(Program.run(["info", "--json", "--csv", pv]).exitCode == 2)
  }

  /// Of a Linux guest in a file, its kernel; a pipe is read once, and a part of an image has no pages.
  @Test func kernel() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let path = folder + "/guest"
    let image = GuestCommandTests.guest.image
    Program.write(image, to: path)
    let text = Program.run(["info", path]).text
    #expect(text.contains("\n  kernel      Linux 9.8.7-synthetic, up 16 min\n"), "\(text)")
    #expect(text.contains("\n  host name   synthetic-host\n"), "\(text)")
    let json = Program.run(["info", "--json", path]).text
    #expect(json.contains("\"kernel\": \"9.8.7-synthetic\",\n  \"uptime\": 1005,\n"), "\(json)")
    #expect(Program.run(["info", "--csv", path]).text.contains(",9.8.7-synthetic,1005,"))
    let pipe = Program.shell("cat '\(path)' | xensave-lua info -")
    #expect(pipe.exitCode == 0 && !pipe.text.contains("kernel"), "\(pipe.errors)")
    Program.write(Array(image.prefix(image.count / 8)), to: path)
    #expect(!Program.run(["info", path]).text.contains("kernel"))
  }

  @Test func whatCannotBeReadIsLeftOutAndSaid() {
    let outcome = Program.run(["info", "nothing", pv, "README.md"])
    #expect(outcome.exitCode == 3, "\(outcome.errors)")
    #expect(outcome.text.split(separator: "\n").count == 2, "\(outcome.text)")
    let lines = outcome.errors.split(separator: "\n")
    #expect(lines.count == 2, "\(outcome.errors)")
    #expect(lines.first?.hasPrefix("xensave-lua: nothing: ") == true, "\(outcome.errors)")
    let other = Program.run(["info", "README.md", "nothing"])
    #expect(other.exitCode == 1 && other.text.isEmpty, "\(other.errors)")
  }
}
