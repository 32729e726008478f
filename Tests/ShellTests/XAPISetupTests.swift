// The links by which xenopsd finds the program.

import Testing

@Suite struct XAPISetupTests {
  /// Makes links, refuses what is another's, and leaves nothing.
  @Test func links() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      """
      set -e
      mkdir -p \(folder)/opt/bin
      cp scripts/xapi-setup \(folder)/opt/setup
      touch \(folder)/opt/bin/xensave-lua
      links=\(folder)/lib/alternatives/emu-manager
      export XENSAVE_LUA_LINKS=$links
      setup="sh \(folder)/opt/setup"
      $setup install; $setup install; $setup link scrub; $setup link a.b-c_1
      ls "$links" | tr '\\n' ' '; readlink "$links/scrub" | sed 's|.*/opt/|/opt/|'
      touch "$links/other"; ln -s /bin/true "$links/true"
      for name in other true ../x -x '' 'a b' .hidden; do
        $setup link "$name" 2>/dev/null && echo "made $name"
        $setup unlink "$name" 2>/dev/null && echo "removed $name"
        :
      done
      $setup unlink scrub; ls "$links" | tr '\\n' ' '
      $setup remove; ls "$links" | tr '\\n' ' '
      rm "$links"/*; $setup install; $setup remove
      test ! -e \(folder)/lib && echo nothing
      $setup what 2>/dev/null || echo $?
      """)
    #expect(
      outcome.text == """
        a.b-c_1 scrub xensave-lua /opt/bin/xensave-lua
        a.b-c_1 other true xensave-lua other true nothing
        2

        """, "\(outcome.errors)")
  }
}
