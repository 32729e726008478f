/* Stops, and the functions of Lua's library that would get around them. */
#include "context.h"

/* ---- stops ---- */

static const char stopped_key = 0;

static void stop_hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    context *c = context_of(L);
    if (!atomic_load(&c->stopping)) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    /* Armed again before the error: a pcall in the script gets it once more, at once. */
    clua_arm(L);
    luaL_error(L, "interrupted");
}

void clua_arm(lua_State *L) {
    lua_sethook(L, stop_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/* Those that wait for the running coroutine are armed when they run again (clua_run_again). */
void clua_stop(lua_State *L) {
    context *c = context_of(L);
    atomic_store(&c->stopping, true);
    lua_State *running = atomic_load(&c->running);
    clua_arm(running);
    if (running != c->main) clua_arm(c->main);
}

void clua_end_stop(lua_State *L) {
    context *c = context_of(L);
    atomic_store(&c->stopping, false);
    lua_sethook(c->main, NULL, 0, 0);
}

bool clua_is_stopping(lua_State *L) { return atomic_load(&context_of(L)->stopping); }

/* ---- coroutines that a stop has ended ----
   The error of a hook leaves a coroutine with hooks switched off: what closing it runs could not be
   stopped. So nothing is run there ever again. */

static void note_stopped(lua_State *L, lua_State *co) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &stopped_key);
    lua_pushthread(co);
    lua_xmove(co, L, 1);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static bool was_stopped(lua_State *L, lua_State *co) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &stopped_key);
    lua_pushthread(co);
    lua_xmove(co, L, 1);
    bool was = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return was;
}

/* ---- coroutine.resume, wrap and close ----
   They note which coroutine runs: a hook set on another state would not stop it. The results are
   those of Lua's own functions. */

static int resume(lua_State *L, lua_State *co, int arguments) {
    context *c = context_of(L);
    clua_check_stack(L, c);
    if (!lua_checkstack(co, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, arguments);
    lua_State *was = atomic_load(&c->running);
    atomic_store(&c->running, co);
    if (atomic_load(&c->stopping)) clua_arm(co);
    int results;
    int status = lua_resume(co, L, arguments, &results);
    clua_run_again(c, was);
    if (status == LUA_OK || status == LUA_YIELD) {
        if (!lua_checkstack(L, results + 1)) {
            lua_pop(co, results);
            lua_pushliteral(L, "too many results to resume");
            return -1;
        }
        lua_xmove(co, L, results);
        return results;
    }
    lua_xmove(co, L, 1);
    if (atomic_load(&c->stopping)) note_stopped(L, co);
    return -1;
}

static lua_State *check_coroutine(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static int co_resume(lua_State *L) {
    lua_State *co = check_coroutine(L);
    int results = resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, results >= 0);
    if (results < 0) {
        lua_insert(L, -2);
        return 2;
    }
    lua_insert(L, -(results + 1));
    return results + 1;
}

/* Lua 5.4.4 does not count the C calls of lua_resetthread, and each may close the next. */
enum { closing_limit = 190 };

/* Closes what is still to be closed in it: code of the script, on its own stack. Its result, or the
   error, is on the top of the coroutine's. */
static int close_coroutine(lua_State *L, lua_State *co) {
    context *c = context_of(L);
    if (atomic_load(&c->stopping)) luaL_error(L, "interrupted");
    if (was_stopped(L, co)) luaL_error(L, "cannot close a coroutine that was stopped");
    clua_check_stack(L, c);
    if (c->closing == closing_limit) {
        c->overflowed = true;
        luaL_error(L, "C stack overflow");
    }
    lua_State *was = atomic_load(&c->running);
    atomic_store(&c->running, co);
    c->closing++;
    int status = lua_resetthread(co);
    c->closing--;
    clua_run_again(c, was);
    /* Not an error of the coroutine's that its closer may pass over. */
    bool overflowed = c->overflowed;
    if (c->closing == 0) c->overflowed = false;
    if (overflowed) luaL_error(L, "C stack overflow");
    if (status != LUA_OK && atomic_load(&c->stopping)) note_stopped(L, co);
    return status;
}

static int co_close(lua_State *L) {
    lua_State *co = check_coroutine(L);
    lua_Debug ar;
    bool is_suspended = lua_status(co) == LUA_YIELD ||
                        (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar) == 0);
    if (co == L || (!is_suspended && lua_status(co) == LUA_OK)) {
        return luaL_error(L, "cannot close a %s coroutine", co == L ? "running" : "normal");
    }
    if (close_coroutine(L, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

static int wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int results = resume(L, co, lua_gettop(L));
    if (results >= 0) return results;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD && !atomic_load(&context_of(L)->stopping)) {
        /* What is to be closed gets the error, and may put its own in its place. */
        lua_xmove(L, co, 1);
        status = close_coroutine(L, co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int co_wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/* ---- xpcall ----
   The handler does not run once a stop is under way: the error of a hook calls handlers while hooks
   are off, so that a handler that loops could not be stopped. The results are those of Lua's own
   function. */

static int guarded_handler(lua_State *L) {
    if (atomic_load(&context_of(L)->stopping)) return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int finish_xpcall(lua_State *L, int status, lua_KContext extra) {
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_pushboolean(L, 0);
        lua_pushvalue(L, -2);
        return 2;
    }
    return lua_gettop(L) - (int)extra;
}

static int guarded_xpcall(lua_State *L) {
    int count = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, guarded_handler, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);
    int status = lua_pcallk(L, count - 2, LUA_MULTRET, 2, 2, finish_xpcall);
    return finish_xpcall(L, status, 2);
}

void clua_open_coroutines(lua_State *L) {
    lua_newtable(L);
    lua_newtable(L);
    lua_pushliteral(L, "k"), lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &stopped_key);
    lua_getglobal(L, LUA_COLIBNAME);
    lua_pushcfunction(L, co_resume), lua_setfield(L, -2, "resume");
    lua_pushcfunction(L, co_wrap), lua_setfield(L, -2, "wrap");
    lua_pushcfunction(L, co_close), lua_setfield(L, -2, "close");
    lua_pop(L, 1);
    lua_pushcfunction(L, guarded_xpcall), lua_setglobal(L, "xpcall");
}
