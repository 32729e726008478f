/* Debian's Lua 5.4. The macros of these headers do not reach Swift: see CLuaShim. */
#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>
