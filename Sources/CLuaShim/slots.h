/* Where view.c keeps the slots of a state's views. Private to CLuaShim. */
#ifndef XENSAVE_CLUASHIM_SLOTS_H
#define XENSAVE_CLUASHIM_SLOTS_H

#include <lua.h>

/* A pointer of view.c's own for this state; NULL at first. It is the first member of what shim.c
   keeps for each state. */
static inline void **clua_view_slots(lua_State *L) { return *(void ***)lua_getextraspace(L); }

#endif
