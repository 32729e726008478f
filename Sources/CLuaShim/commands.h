/* Inside the shim: commands of the shell that scripts start. */
#ifndef XENSAVE_CLUA_COMMANDS_H
#define XENSAVE_CLUA_COMMANDS_H

#include <lua.h>

/* Puts os.execute and io.popen of this program in the place of Lua's: theirs wait for a command
   whatever is asked of the program. */
void clua_open_commands(lua_State *L);

#endif
