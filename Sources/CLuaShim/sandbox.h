/* What is taken from a state whose scripts nobody trusts. Private to CLuaShim. */
#ifndef XENSAVE_CLUASHIM_SANDBOX_H
#define XENSAVE_CLUASHIM_SANDBOX_H

#include <lua.h>

/* Called in protected mode, with the harmless libraries open. */
void clua_restrict(lua_State *L);

#endif
