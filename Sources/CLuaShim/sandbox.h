/* What is taken from a state whose scripts nobody trusts. Private to CLuaShim. */
#ifndef XENSAVE_CLUASHIM_SANDBOX_H
#define XENSAVE_CLUASHIM_SANDBOX_H

#include <lua.h>

/* Called in protected mode, with the harmless libraries open. */
void clua_restrict(lua_State *L);
/* Pushes what tostring() gives in a sandbox: nothing with an address. May raise. */
void clua_push_plain_text(lua_State *L, int index);

#endif
