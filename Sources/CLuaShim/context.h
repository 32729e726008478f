/* What the shim keeps for each state. Private to CLuaShim. */
#ifndef XENSAVE_CLUASHIM_CONTEXT_H
#define XENSAVE_CLUASHIM_CONTEXT_H

#include "CLuaShim.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct {
    void *slots; /* of views (views.h); the registry keeps them */
    clua_entry entry;
    clua_release release;
    void *host;
    /* Bytes that Lua has; those that Swift keeps for its scripts; what both may have together. */
    size_t used, held, limit;
    size_t held_at_collection;
    void *reserve; /* given up where the system has no memory while Swift runs */
    /* Swift frames that would be jumped over. Not 0 also while only the host's code runs; clua_call
       sets it to 0 for the Lua code that it runs. */
    int swift_depth;
    bool over;    /* the limit was passed while Swift ran */
    bool starved; /* the system had no memory while Swift ran */
    bool is_sandbox;
    /* For tests: allocations that still succeed. */
    bool is_failing;
    uint64_t allocations_left;
    _Atomic bool stopping;
    lua_State *_Atomic running; /* the coroutine that runs now: hooks belong to one */
    lua_State *main;
    int traceback; /* registry reference of the last traceback */
    /* The thread that runs it, and where its stack is nearly at its end. */
    pthread_t thread;
    const char *stack_floor;
    int closing;     /* coroutines that are being closed, one inside the other */
    bool overflowed; /* too many were */
} context;

static inline context *context_of(lua_State *L) { return *(context **)lua_getextraspace(L); }

/* Raises an error where the C stack nears its end. Lua counts C calls, but not all of them: what is
   called here again and again from Lua looks for itself. */
static inline void clua_check_stack(lua_State *L, const context *c) {
    if ((const char *)__builtin_frame_address(0) < c->stack_floor) {
        luaL_error(L, "C stack overflow");
    }
}

void clua_arm(lua_State *L);

/* From here on `was` runs again: a stop that has come meanwhile is meant for it too. */
static inline void clua_run_again(context *c, lua_State *was) {
    atomic_store(&c->running, was);
    if (atomic_load(&c->stopping)) clua_arm(was);
}

/* Replaces the functions that coroutines are run and closed with, and xpcall. Called in protected
   mode, with Lua's own open. */
void clua_open_coroutines(lua_State *L);

#endif
