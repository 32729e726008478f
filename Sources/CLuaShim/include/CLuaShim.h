/* Lua 5.4 for Swift. The rule: no longjmp over a Swift frame.

   Lua calls C here, C calls Swift through one entry point, Swift returns, and only C raises. While
   a Swift frame is on the stack the allocator never fails: going over the memory limit is
   remembered and raised by C once Swift has returned, and so is that the system had no memory (a
   reserve helps out; where that is not enough, the program ends as Swift's own would). Swift calls Lua code only through
   clua_call, which is protected.

   Values of a class written in Swift are userdata of one pointer; a class is a metatable whose
   member names are looked up here, in C, before Swift is entered. */
#ifndef XENSAVE_CLUASHIM_H
#define XENSAVE_CLUASHIM_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Swift's side: runs function `number`, with its arguments on the stack of L. Returns how many
   results it pushed, or -1 with an error value on top (-2: raise a message without adding where,
   because it says that already). */
typedef int (*clua_entry)(lua_State *L, intptr_t number, void *host);
/* Swift's side: gives up the reference that a userdata held. */
typedef void (*clua_release)(void *object);

typedef enum {
    clua_harmless_libraries, /* none of io, os, debug and package */
    clua_all_libraries,
    clua_sandbox, /* harmless ones that cannot be changed, without what scripts that nobody trusts
                     must not have; see sandbox.c */
} clua_libraries;

/* A state with these libraries. memory_limit in bytes, 0 for none. NULL when there is no memory. */
lua_State *clua_new(size_t memory_limit, clua_entry entry, clua_release release, void *host,
                    clua_libraries libraries);
void clua_close(lua_State *L);

/* Pushes a Lua function that calls Swift's function `number`. */
void clua_push_function(lua_State *L, intptr_t number);
/* The same; `object`, of class `name`, is given up when nothing can call the function any more. */
void clua_push_owned_function(lua_State *L, intptr_t number, const char *name, void *object);

/* ---- classes ----
   clua_new_class pushes nothing; afterwards the registry knows `name`. `index` and `newindex` are
   the Swift functions for names that are no members (-1: an error says so), `length`, `tostring`,
   `call`, `close` and `equal` those for the metamethods (-1: none). */
typedef struct {
    intptr_t index, newindex, length, tostring, call, close, equal;
} clua_metamethods;
void clua_new_class(lua_State *L, const char *name, const clua_metamethods *metamethods);
/* A metamethod of its own name ("__band"), for operators. */
void clua_add_metamethod(lua_State *L, const char *class_name, const char *name, intptr_t number);
void clua_add_method(lua_State *L, const char *class_name, const char *name, intptr_t number);
/* setter -1: read-only. */
void clua_add_property(lua_State *L, const char *class_name, const char *name, intptr_t getter,
                       intptr_t setter);
/* Pushes a userdata of class `name` that owns `object`, which keeps `weight` bytes for the script. */
void clua_push_object(lua_State *L, const char *name, void *object, size_t weight);
/* What `object` keeps now, if it is the one at `index` and not closed. */
void clua_set_weight(lua_State *L, int index, const void *object, size_t weight);
/* The object at `index` if it is of class `name` and not closed, else NULL. */
void *clua_object(lua_State *L, int index, const char *name);

/* ---- calls ---- */
/* lua_pcall with a handler that keeps the traceback of the error (clua_traceback). */
int clua_call(lua_State *L, int arguments, int results);
/* The traceback of the last error, or NULL. Valid until the next call. */
const char *clua_traceback(lua_State *L);
/* luaL_loadbufferx with text chunks only. Status as there; the function or message is pushed. */
int clua_load(lua_State *L, const char *text, size_t count, const char *chunk_name);

/* ---- memory ----
   What Swift keeps for a script counts against the limit of its state. */
/* Counts so many bytes more; false, and nothing counted, where they would pass the limit. */
bool clua_hold(lua_State *L, size_t count);
void clua_let_go(lua_State *L, size_t count);
/* Bytes below the limit; PTRDIFF_MAX where there is none. */
size_t clua_room(lua_State *L);
/* For tests: after `count` more allocations the system has no memory; UINT64_MAX: it has again. */
void clua_fail_allocations(lua_State *L, uint64_t count);

/* ---- interruption ---- */
/* Stops the running script with the error "interrupted", which no pcall of it can outlast.
   Async-signal-safe. Ends with clua_end_stop. */
void clua_stop(lua_State *L);
void clua_end_stop(lua_State *L);
bool clua_is_stopping(lua_State *L);
/* Which state clua_stop_active stops: for signal handlers. */
void clua_set_active(lua_State *L);
/* None, if it is L. */
void clua_clear_active(lua_State *L);
void clua_stop_active(void);

/* The signal that stops the state of the thread which it is sent to. */
int clua_stop_signal(void);
/* Makes the calling thread the one of L (NULL: of none), and lets the signal through. */
void clua_take_thread(lua_State *L);

/* The descriptor of the open file handle (io.open) at `index`, with what was buffered written out;
   -1 for anything else. */
int clua_file_descriptor(lua_State *L, int index);

/* ---- the macros and variadic functions of lua.h ---- */
void clua_pop(lua_State *L, int count);
const char *clua_string(lua_State *L, int index, size_t *count); /* of strings only */
int clua_upvalue_index(int index);
int clua_registry_index(void);
void clua_collect(lua_State *L);
size_t clua_memory(lua_State *L);
/* Pushes the text that tostring() gives, calling __tostring protected. */
void clua_push_text(lua_State *L, int index);
/* Where the Lua function `level` is: "file:line:", or "" where there is none. Pushed. */
void clua_push_where(lua_State *L, int level);
/* lua_next in protected mode is not needed for raw tables; this is lua_next itself. */
int clua_next(lua_State *L, int index);

#include "CLuaView.h"

#endif
