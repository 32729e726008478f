/* The sandbox's Lua side. What cannot be seen to here (a search that takes for ever inside one C
   function) is left to the deadline of the thread, and what Lua itself may get wrong to the seccomp
   filter of the thread: see csystem_seal_thread. */
#include "sandbox.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { subject_limit = 1 << 16, pattern_limit = 1 << 8 };

/* Calls the function that this one stands for (upvalue 1) with all arguments. */
static int call_original(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* Finalizers run with hooks off, where nothing can stop them. */
static int safe_setmetatable(lua_State *L) {
    if (lua_type(L, 2) == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "__gc is not allowed in a sandbox");
        lua_pop(L, 1);
    }
    return call_original(L);
}

static int safe_rawset(lua_State *L) {
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) {
        return luaL_error(L, "this table is read-only");
    }
    return call_original(L);
}

/* Text only: a precompiled chunk can do anything to the machine that runs it. */
static int safe_load(lua_State *L) {
    if (lua_gettop(L) < 2) lua_settop(L, 2);
    lua_pushliteral(L, "t");
    if (lua_gettop(L) == 3) {
        return call_original(L);
    }
    lua_replace(L, 3);
    return call_original(L);
}

static int safe_collectgarbage(lua_State *L) {
    const char *what = luaL_optstring(L, 1, "collect");
    if (strcmp(what, "count") != 0) {
        return luaL_error(L, "collectgarbage: only \"count\" is allowed in a sandbox");
    }
    lua_pushnumber(L, (lua_Number)lua_gc(L, LUA_GCCOUNT) +
                          (lua_Number)lua_gc(L, LUA_GCCOUNTB) / 1024);
    return 1;
}

/* tostring without addresses, which say where things are in the memory of this process. */
void clua_push_plain_text(lua_State *L, int index) {
    switch (lua_type(L, index)) {
    case LUA_TTABLE:
    case LUA_TFUNCTION:
    case LUA_TUSERDATA:
    case LUA_TLIGHTUSERDATA:
    case LUA_TTHREAD:
        if (luaL_callmeta(L, index, "__tostring")) {
            if (!lua_isstring(L, -1)) luaL_error(L, "'__tostring' must return a string");
            return;
        }
        if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING) return;
        lua_pushstring(L, luaL_typename(L, index));
        return;
    default: luaL_tolstring(L, index, NULL);
    }
}

static int safe_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    clua_push_plain_text(L, 1);
    return 1;
}

static int safe_format(lua_State *L) {
    size_t length;
    const char *format = luaL_checklstring(L, 1, &length);
    for (const char *c = format, *end = format + length; c < end; c++) {
        if (*c != '%') continue;
        c++;
        while (c < end && strchr("-+#0 .123456789", *c) && *c) c++;
        if (c < end && *c == 'p') return luaL_error(L, "format: %%p is not allowed in a sandbox");
    }
    for (int i = 2, count = lua_gettop(L); i <= count; i++) {
        switch (lua_type(L, i)) {
        case LUA_TTABLE:
        case LUA_TFUNCTION:
        case LUA_TUSERDATA:
        case LUA_TLIGHTUSERDATA:
        case LUA_TTHREAD:
            clua_push_plain_text(L, i);
            lua_replace(L, i);
        }
    }
    return call_original(L);
}

/* find, match, gmatch, gsub: hooks do not run inside them. */
static int safe_match(lua_State *L) {
    size_t subject, pattern;
    luaL_checklstring(L, 1, &subject);
    luaL_checklstring(L, 2, &pattern);
    if (subject > subject_limit || pattern > pattern_limit) {
        return luaL_error(L, "a sandbox searches %d bytes for patterns of %d bytes at most",
                          (int)subject_limit, (int)pattern_limit);
    }
    return call_original(L);
}

/* ---- functions of C that can continue for ever, or for as good as ever ----
   Hooks do not run inside them: what they go over is limited. */

enum { item_limit = 1 << 24 };

static void check_items(lua_State *L, lua_Integer first, lua_Integer last) {
    if (last >= first && (lua_Unsigned)last - (lua_Unsigned)first >= item_limit) {
        luaL_error(L, "a sandbox goes over %d items at most", (int)item_limit);
    }
}

/* rep: nothing, any number of times. */
static int safe_rep(lua_State *L) {
    size_t length, separator;
    luaL_checklstring(L, 1, &length);
    luaL_optlstring(L, 3, "", &separator);
    if (length == 0 && separator == 0) {
        luaL_checkinteger(L, 2);
        lua_pushliteral(L, "");
        return 1;
    }
    return call_original(L);
}

/* insert, remove, sort and concat believe __len, which may say anything. */
static int safe_by_length(lua_State *L) {
    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL) {
        return luaL_error(L, "a sandbox has no __len in the functions of table");
    }
    return call_original(L);
}

static int safe_concat(lua_State *L) {
    if (!lua_isnoneornil(L, 4)) {
        check_items(L, luaL_optinteger(L, 3, 1), luaL_checkinteger(L, 4));
        return call_original(L);
    }
    return safe_by_length(L);
}

static int safe_move(lua_State *L) {
    check_items(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return call_original(L);
}

/* Without a seed it would take an address for one, and it would tell the seed. */
static int safe_randomseed(lua_State *L) {
    if (lua_isnone(L, 1)) lua_pushinteger(L, 1);
    call_original(L);
    return 0;
}

static int refuse_write(lua_State *L) {
    return luaL_error(L, "attempt to change '%s', which is read-only",
                      lua_tostring(L, lua_upvalueindex(1)));
}

/* Replaces field `name` of the table on the top by `function`, which gets the old one. */
static void wrap(lua_State *L, const char *name, lua_CFunction function) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

static void remove_field(lua_State *L, const char *name) {
    lua_pushnil(L);
    lua_setfield(L, -2, name);
}

/* Puts a table that only reads the one on the top in its place. */
static void protect(lua_State *L, const char *name) {
    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, -3), lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_pushcclosure(L, refuse_write, 1), lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0), lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* os.time, clock, date and difftime: they read clocks. */
static void push_clocks(lua_State *L) {
    static const char *const names[] = {"time", "clock", "date", "difftime"};
    luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, 0);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lua_getfield(L, -2, names[i]);
        lua_setfield(L, -2, names[i]);
    }
    lua_remove(L, -2);
    /* The zone's file is read now: a sandboxed thread opens none. */
    tzset();
}

void clua_restrict(lua_State *L) {
    lua_pushglobaltable(L);
    wrap(L, "setmetatable", safe_setmetatable);
    wrap(L, "rawset", safe_rawset);
    wrap(L, "load", safe_load);
    wrap(L, "collectgarbage", safe_collectgarbage);
    wrap(L, "tostring", safe_tostring);
    remove_field(L, "dofile");
    remove_field(L, "loadfile");
    remove_field(L, "print");
    remove_field(L, "warn");

    lua_getfield(L, -1, LUA_STRLIBNAME);
    remove_field(L, "dump");
    wrap(L, "format", safe_format);
    wrap(L, "find", safe_match);
    wrap(L, "match", safe_match);
    wrap(L, "gmatch", safe_match);
    wrap(L, "gsub", safe_match);
    wrap(L, "rep", safe_rep);
    lua_pop(L, 1);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0), lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);

    lua_getfield(L, -1, LUA_TABLIBNAME);
    wrap(L, "insert", safe_by_length);
    wrap(L, "remove", safe_by_length);
    wrap(L, "sort", safe_by_length);
    wrap(L, "concat", safe_concat);
    wrap(L, "move", safe_move);
    lua_pop(L, 1);

    /* The same choices each time: a policy can be replayed. */
    lua_getfield(L, -1, LUA_MATHLIBNAME);
    wrap(L, "randomseed", safe_randomseed);
    lua_getfield(L, -1, "randomseed");
    lua_call(L, 0, 0);
    lua_pop(L, 1);

    push_clocks(L);
    lua_setfield(L, -2, LUA_OSLIBNAME);
    static const char *const libraries[] = {LUA_STRLIBNAME, LUA_TABLIBNAME,  LUA_MATHLIBNAME,
                                            LUA_UTF8LIBNAME, LUA_COLIBNAME, LUA_OSLIBNAME};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        lua_getfield(L, -1, libraries[i]);
        protect(L, libraries[i]);
        lua_setfield(L, -2, libraries[i]);
    }
    lua_pop(L, 1);
}
