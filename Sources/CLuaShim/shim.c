/* See CLuaShim.h. */
#include "CLuaShim.h"

#include "commands.h"
#include "sandbox.h"
#include "views.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    void *slots; /* of views (views.h); the registry keeps them */
    clua_entry entry;
    clua_release release;
    void *host;
    size_t used, limit;
    /* Swift frames that would be jumped over. Not 0 also while only the host's code runs; clua_call
       sets it to 0 for the Lua code that it runs. */
    int swift_depth;
    bool over;              /* the limit was passed while Swift ran */
    volatile sig_atomic_t stopping;
    lua_State *volatile running; /* the coroutine that runs now: hooks belong to one */
    lua_State *main;
    int traceback;          /* registry reference of the last traceback */
} context;

static _Thread_local lua_State *own; /* the state of this thread, for its stop signal */

static context *context_of(lua_State *L) { return *(context **)lua_getextraspace(L); }

static void *allocate(void *ud, void *block, size_t old, size_t new) {
    context *c = ud;
    if (block == NULL) old = 0;
    if (new == 0) {
        free(block);
        c->used -= old;
        return NULL;
    }
    if (c->limit && new > old && c->used + (new - old) > c->limit) {
        if (c->swift_depth == 0) return NULL;
        c->over = true;
    }
    void *result = realloc(block, new);
    if (result) c->used += new - old;
    return result;
}

static int panic(lua_State *L) {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    fprintf(stderr, "xensave-lua: internal error: unprotected Lua error: %s\n", text);
    exit(70);
}

/* ---- calling Swift ---- */

static int raise_over(lua_State *L, context *c) {
    c->over = false;
    lua_gc(L, LUA_GCCOLLECT);
    return luaL_error(L, "not enough memory");
}

static int call_swift(lua_State *L, intptr_t number) {
    context *c = context_of(L);
    lua_State *was = c->running;
    c->running = L;
    c->swift_depth++;
    int results = c->entry(L, number, c->host);
    c->swift_depth--;
    c->running = was;
    if (c->over && c->used > c->limit) return raise_over(L, c);
    c->over = false;
    if (results >= 0) return results;
    if (results == -1 && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int trampoline(lua_State *L) {
    return call_swift(L, (intptr_t)lua_tointeger(L, lua_upvalueindex(1)));
}

void clua_push_function(lua_State *L, intptr_t number) {
    lua_pushinteger(L, number);
    lua_pushcclosure(L, trampoline, 1);
}

/* ---- classes ----
   metatable: { __name, __metatable = false, __gc, __index = closure(members, metatable, name,
   fallback), __newindex = closure(setters, ...), ... }. members[name] is a function (a method) or
   an integer (the getter of a property). */

static bool is_object(lua_State *L, int index, int metatable) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return false;
    bool same = lua_rawequal(L, -1, metatable);
    lua_pop(L, 1);
    return same;
}

static void check_self(lua_State *L, int metatable, int name, const char *what) {
    if (!is_object(L, 1, metatable)) {
        luaL_error(L, "%s: expected a %s before the ':', got %s", what, lua_tostring(L, name),
                   luaL_typename(L, 1));
    }
    if (*(void **)lua_touserdata(L, 1) == NULL) {
        luaL_error(L, "%s: this %s is closed", what, lua_tostring(L, name));
    }
}

/* upvalues: number, metatable, class name, method name */
static int method(lua_State *L) {
    check_self(L, lua_upvalueindex(2), lua_upvalueindex(3),
               lua_tostring(L, lua_upvalueindex(4)));
    return call_swift(L, (intptr_t)lua_tointeger(L, lua_upvalueindex(1)));
}

/* upvalues: members, metatable, class name, fallback */
static int index_member(lua_State *L) {
    lua_pushvalue(L, 2);
    int type = lua_rawget(L, lua_upvalueindex(1));
    if (type == LUA_TFUNCTION) return 1;
    check_self(L, lua_upvalueindex(2), lua_upvalueindex(3), "index");
    intptr_t number = type == LUA_TNUMBER ? (intptr_t)lua_tointeger(L, -1)
                                          : (intptr_t)lua_tointeger(L, lua_upvalueindex(4));
    lua_pop(L, 1);
    if (number < 0) {
        return luaL_error(L, "%s has no member '%s'", lua_tostring(L, lua_upvalueindex(3)),
                          lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2)
                                                        : luaL_typename(L, 2));
    }
    return call_swift(L, number);
}

/* upvalues: setters, metatable, class name, fallback */
static int set_member(lua_State *L) {
    lua_pushvalue(L, 2);
    int type = lua_rawget(L, lua_upvalueindex(1));
    check_self(L, lua_upvalueindex(2), lua_upvalueindex(3), "assignment");
    intptr_t number = type == LUA_TNUMBER ? (intptr_t)lua_tointeger(L, -1)
                                          : (intptr_t)lua_tointeger(L, lua_upvalueindex(4));
    lua_pop(L, 1);
    if (number < 0) {
        const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
        return luaL_error(L, "'%s' of %s cannot be assigned to", name,
                          lua_tostring(L, lua_upvalueindex(3)));
    }
    return call_swift(L, number);
}

/* upvalues: number, metatable, class name */
static int metamethod(lua_State *L) {
    context *c = context_of(L);
    (void)c;
    return call_swift(L, (intptr_t)lua_tointeger(L, lua_upvalueindex(1)));
}

static int release(lua_State *L) {
    void **box = lua_touserdata(L, 1);
    void *object = *box;
    if (object) {
        *box = NULL;
        context *c = context_of(L);
        c->swift_depth++;
        c->release(object);
        c->swift_depth--;
    }
    return 0;
}

static void push_metatable(lua_State *L, const char *name) {
    lua_getfield(L, LUA_REGISTRYINDEX, name);
}

static void set_closure(lua_State *L, int metatable, const char *event, lua_CFunction function,
                        intptr_t number, const char *name) {
    lua_pushstring(L, event);
    lua_pushinteger(L, number);
    lua_pushvalue(L, metatable);
    lua_pushstring(L, name);
    lua_pushcclosure(L, function, 3);
    lua_rawset(L, metatable);
}

void clua_new_class(lua_State *L, const char *name, const clua_metamethods *m) {
    luaL_checkstack(L, 12, NULL);
    lua_newtable(L);
    int metatable = lua_gettop(L);
    lua_pushvalue(L, metatable);
    lua_setfield(L, LUA_REGISTRYINDEX, name);
    lua_pushstring(L, name), lua_setfield(L, metatable, "__name");
    lua_pushboolean(L, 0), lua_setfield(L, metatable, "__metatable");
    lua_pushcfunction(L, release), lua_setfield(L, metatable, "__gc");
    lua_newtable(L); /* members */
    lua_pushvalue(L, -1), lua_setfield(L, metatable, "members");
    lua_pushvalue(L, metatable);
    lua_pushstring(L, name);
    lua_pushinteger(L, m->index);
    lua_pushcclosure(L, index_member, 4);
    lua_setfield(L, metatable, "__index");
    lua_newtable(L); /* setters */
    lua_pushvalue(L, -1), lua_setfield(L, metatable, "setters");
    lua_pushvalue(L, metatable);
    lua_pushstring(L, name);
    lua_pushinteger(L, m->newindex);
    lua_pushcclosure(L, set_member, 4);
    lua_setfield(L, metatable, "__newindex");
    if (m->length >= 0) set_closure(L, metatable, "__len", metamethod, m->length, name);
    if (m->tostring >= 0) set_closure(L, metatable, "__tostring", metamethod, m->tostring, name);
    if (m->call >= 0) set_closure(L, metatable, "__call", metamethod, m->call, name);
    if (m->close >= 0) set_closure(L, metatable, "__close", metamethod, m->close, name);
    if (m->equal >= 0) set_closure(L, metatable, "__eq", metamethod, m->equal, name);
    lua_pop(L, 1);
}

void clua_add_metamethod(lua_State *L, const char *class_name, const char *name,
                         intptr_t number) {
    push_metatable(L, class_name);
    set_closure(L, lua_gettop(L), name, metamethod, number, class_name);
    lua_pop(L, 1);
}

void clua_add_method(lua_State *L, const char *class_name, const char *name, intptr_t number) {
    push_metatable(L, class_name);
    lua_getfield(L, -1, "members");
    lua_pushstring(L, name);
    lua_pushinteger(L, number);
    lua_pushvalue(L, -4);
    lua_pushstring(L, class_name);
    lua_pushstring(L, name);
    lua_pushcclosure(L, method, 4);
    lua_rawset(L, -3);
    lua_pop(L, 2);
}

static void add_accessor(lua_State *L, const char *class_name, const char *table, const char *name,
                         intptr_t number) {
    push_metatable(L, class_name);
    lua_getfield(L, -1, table);
    lua_pushstring(L, name);
    lua_pushinteger(L, number);
    lua_rawset(L, -3);
    lua_pop(L, 2);
}

void clua_add_property(lua_State *L, const char *class_name, const char *name, intptr_t getter,
                       intptr_t setter) {
    add_accessor(L, class_name, "members", name, getter);
    add_accessor(L, class_name, "setters", name, setter);
}

void clua_push_object(lua_State *L, const char *name, void *object) {
    void **box = lua_newuserdatauv(L, sizeof(void *), 0);
    *box = object;
    push_metatable(L, name);
    lua_setmetatable(L, -2);
}

void *clua_object(lua_State *L, int index, const char *name) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
    push_metatable(L, name);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? *(void **)lua_touserdata(L, index) : NULL;
}

/* ---- interruption ---- */

static void stop_hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    context *c = context_of(L);
    if (!c->stopping) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    /* Armed again before the error: a pcall in the script gets it once more, at once. */
    lua_sethook(L, stop_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
    luaL_error(L, "interrupted");
}

static void arm(lua_State *L) {
    lua_sethook(L, stop_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

void clua_stop(lua_State *L) {
    context *c = context_of(L);
    c->stopping = 1;
    arm(c->running);
    if (c->running != c->main) arm(c->main);
}

void clua_end_stop(lua_State *L) {
    context *c = context_of(L);
    c->stopping = 0;
    lua_sethook(c->main, NULL, 0, 0);
}

bool clua_is_stopping(lua_State *L) { return context_of(L)->stopping; }

/* coroutine.resume and coroutine.wrap that note which coroutine runs: a hook set on another state
   would not stop it. The results are those of Lua's own functions. */
static int resume(lua_State *L, lua_State *co, int arguments) {
    context *c = context_of(L);
    if (!lua_checkstack(co, arguments)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, arguments);
    lua_State *was = c->running;
    c->running = co;
    if (c->stopping) arm(co);
    int results;
    int status = lua_resume(co, L, arguments, &results);
    c->running = was;
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

/* Closes what is still to be closed in it: code of the script, on its own stack. */
static int close_coroutine(lua_State *L, lua_State *co) {
    context *c = context_of(L);
    lua_State *was = c->running;
    c->running = co;
    if (c->stopping) arm(co);
    int status = lua_resetthread(co);
    c->running = was;
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
    if (status != LUA_OK && status != LUA_YIELD) close_coroutine(L, co);
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

/* xpcall whose handler does not run once a stop is under way: the error of a hook calls handlers
   while hooks are off, so that a handler that loops could not be stopped. The results are those of
   Lua's own function. */
static int guarded_handler(lua_State *L) {
    if (context_of(L)->stopping) return 1;
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

/* ---- states and calls ---- */

static int open_libraries(lua_State *L) {
    static const luaL_Reg harmless[] = {{LUA_GNAME, luaopen_base},
                                        {LUA_COLIBNAME, luaopen_coroutine},
                                        {LUA_TABLIBNAME, luaopen_table},
                                        {LUA_STRLIBNAME, luaopen_string},
                                        {LUA_MATHLIBNAME, luaopen_math},
                                        {LUA_UTF8LIBNAME, luaopen_utf8}};
    if (lua_tointeger(L, 1) == clua_all_libraries) {
        luaL_openlibs(L);
        clua_open_commands(L);
    } else {
        for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
            luaL_requiref(L, harmless[i].name, harmless[i].func, 1);
            lua_pop(L, 1);
        }
    }
    lua_getglobal(L, LUA_COLIBNAME);
    lua_pushcfunction(L, co_resume), lua_setfield(L, -2, "resume");
    lua_pushcfunction(L, co_wrap), lua_setfield(L, -2, "wrap");
    lua_pushcfunction(L, co_close), lua_setfield(L, -2, "close");
    lua_pop(L, 1);
    lua_pushcfunction(L, guarded_xpcall), lua_setglobal(L, "xpcall");
    if (lua_tointeger(L, 1) == clua_sandbox) clua_restrict(L);
    return 0;
}

lua_State *clua_new(size_t memory_limit, clua_entry entry, clua_release release_function,
                    void *host, clua_libraries libraries) {
    context *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->entry = entry;
    c->release = release_function;
    c->host = host;
    c->swift_depth = 1;
    lua_State *L = lua_newstate(allocate, c);
    if (!L) {
        free(c);
        return NULL;
    }
    *(context **)lua_getextraspace(L) = c;
    c->main = c->running = L;
    c->traceback = LUA_NOREF;
    lua_atpanic(L, panic);
    lua_pushcfunction(L, open_libraries);
    lua_pushinteger(L, libraries);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        clua_close(L);
        return NULL;
    }
    c->limit = memory_limit;
    return L;
}

void clua_close(lua_State *L) {
    if (own == L) own = NULL;
    context *c = context_of(L);
    c->stopping = 0;
    lua_close(L);
    free(c);
}

static int handler(lua_State *L) {
    context *c = context_of(L);
    const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
    (void)text;
    luaL_traceback(L, L, NULL, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, c->traceback);
    c->traceback = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 1);
    return 1;
}

int clua_call(lua_State *L, int arguments, int results) {
    context *c = context_of(L);
    int base = lua_gettop(L) - arguments;
    lua_pushcfunction(L, handler);
    lua_insert(L, base);
    int depth = c->swift_depth;
    lua_State *was = c->running;
    c->running = L;
    c->swift_depth = 0;
    if (c->stopping) arm(L);
    int status = lua_pcall(L, arguments, results, base);
    c->swift_depth = depth;
    c->running = was;
    lua_remove(L, base);
    return status;
}

const char *clua_traceback(lua_State *L) {
    context *c = context_of(L);
    if (c->traceback == LUA_NOREF) return NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->traceback);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

int clua_load(lua_State *L, const char *text, size_t count, const char *chunk_name) {
    return luaL_loadbufferx(L, text, count, chunk_name, "t");
}

/* ---- small ones ---- */

void clua_pop(lua_State *L, int count) { lua_pop(L, count); }

const char *clua_string(lua_State *L, int index, size_t *count) {
    return lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, count) : NULL;
}

int clua_upvalue_index(int index) { return lua_upvalueindex(index); }
int clua_registry_index(void) { return LUA_REGISTRYINDEX; }
void clua_collect(lua_State *L) { lua_gc(L, LUA_GCCOLLECT); }
size_t clua_memory(lua_State *L) { return context_of(L)->used; }

static int to_text(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

void clua_push_text(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    if (clua_call(L, 1, 1) != LUA_OK) {
        lua_pop(L, 1);
        lua_pushfstring(L, "(%s whose __tostring failed)", luaL_typename(L, index));
    }
}

void clua_push_where(lua_State *L, int level) { luaL_where(L, level); }
int clua_next(lua_State *L, int index) { return lua_next(L, index); }

/* The state that SIGINT stops. */
static lua_State *_Atomic active;
void clua_set_active(lua_State *L) { atomic_store(&active, L); }
void clua_clear_active(lua_State *L) { atomic_compare_exchange_strong(&active, &L, NULL); }
void clua_stop_active(void) {
    lua_State *L = atomic_load(&active);
    if (L) clua_stop(L);
}

/* ---- the thread of a state ---- */

static void on_stop(int number) {
    (void)number;
    lua_State *L = own;
    if (L) clua_stop(L);
}

int clua_stop_signal(void) { return SIGRTMIN + 5; }

void clua_take_thread(lua_State *L) {
    own = L;
    if (!L) return;
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(clua_stop_signal(), &action, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, clua_stop_signal());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
