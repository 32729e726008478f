/* See CLuaShim.h. */
#define _GNU_SOURCE /* pthread_getattr_np */
#include "CLuaShim.h"
#include "views.h"

#include "commands.h"
#include "context.h"
#include "sandbox.h"
#include "views.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local lua_State *own; /* the state of this thread, for its stop signal */

/* ---- memory ----
   A script that needs more than it may have gets an error, and so it does where the system has no
   more. Not so while Swift is on the stack, which no error may jump over: what Swift asks for then
   it gets, if need be from the reserve, and the error comes when it has returned. */

enum { reserve_size = 256 << 10 };

/* Whether a finalizer runs: without memory for its call, what an object holds would never be given
   up. In a sandbox all are ours, and need next to nothing. */
static bool is_finalizing(const context *c) {
    return c->main && lua_gc(c->main, LUA_GCISRUNNING) != 1;
}

static bool may_fail(const context *c) { return c->swift_depth == 0 && !is_finalizing(c); }

static void *grow(context *c, void *block, size_t size) {
    if (c->is_failing) {
        if (c->allocations_left == 0) {
            if (may_fail(c)) return NULL;
            c->starved |= c->swift_depth > 0;
        } else {
            c->allocations_left--;
        }
    }
    void *result = realloc(block, size);
    if (result || c->swift_depth == 0) return result;
    c->starved = true;
    free(c->reserve);
    c->reserve = NULL;
    result = realloc(block, size);
    if (result) return result;
    fputs("xensave-lua: not enough memory\n", stderr);
    _exit(70);
}

static void *allocate(void *ud, void *block, size_t old, size_t new) {
    context *c = ud;
    if (block == NULL) old = 0;
    if (new == 0) {
        free(block);
        c->used -= old;
        return NULL;
    }
    if (new <= old) {
        void *result = realloc(block, new);
        if (result) c->used -= old - new;
        return result ? result : block;
    }
    if (c->limit && c->used + c->held + (new - old) > c->limit) {
        if (may_fail(c)) return NULL;
        c->over |= c->swift_depth > 0;
    }
    void *result = grow(c, block, new);
    if (result) c->used += new - old;
    return result;
}

static bool is_full(const context *c) { return c->limit && c->used + c->held > c->limit; }

static void collect(lua_State *L, context *c) {
    lua_gc(L, LUA_GCCOLLECT);
    c->held_at_collection = c->held;
}

bool clua_hold(lua_State *L, size_t count) {
    context *c = context_of(L);
    if (c->limit && count > c->limit) return false;
    c->held += count;
    if (!is_full(c)) return true;
    collect(L, c);
    if (!is_full(c)) return true;
    c->held -= count;
    return false;
}

void clua_let_go(lua_State *L, size_t count) { context_of(L)->held -= count; }

size_t clua_room(lua_State *L) {
    context *c = context_of(L);
    if (!c->limit) return PTRDIFF_MAX;
    return is_full(c) ? 0 : c->limit - c->used - c->held;
}

void clua_fail_allocations(lua_State *L, uint64_t count) {
    context *c = context_of(L);
    c->is_failing = count != UINT64_MAX;
    c->allocations_left = count;
}

static int panic(lua_State *L) {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    fprintf(stderr, "xensave-lua: internal error: unprotected Lua error: %s\n", text);
    exit(70);
}

/* ---- calling Swift ---- */

/* What Swift has taken for the script, and what it keeps for it, counts when it has returned. Lua's
   collector does not see what Swift keeps: it is called where much has come to it. */
static void settle(lua_State *L, context *c) {
    bool starved = c->starved;
    if (c->over || starved || c->held > c->held_at_collection + c->limit / 8) collect(L, c);
    if (!c->reserve) c->reserve = malloc(reserve_size);
    bool over = c->over && is_full(c);
    c->over = c->starved = false;
    if (over || starved) luaL_error(L, "not enough memory");
}

int clua_call_swift(lua_State *L, intptr_t number) {
    context *c = context_of(L);
    clua_check_stack(L, c);
    lua_State *was = atomic_load_explicit(&c->running, memory_order_relaxed);
    atomic_store_explicit(&c->running, L, memory_order_relaxed);
    c->swift_depth++;
    int results = c->entry(L, number, c->host);
    c->swift_depth--;
    atomic_store_explicit(&c->running, was, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&c->stopping, memory_order_relaxed)) clua_arm(L);
    if (c->limit | c->starved) settle(L, c);
    if (results >= 0) return results;
    if (results == -1 && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int trampoline(lua_State *L) {
    return clua_call_swift(L, (intptr_t)lua_tointeger(L, lua_upvalueindex(1)));
}

void clua_push_function(lua_State *L, intptr_t number) {
    lua_pushinteger(L, number);
    lua_pushcclosure(L, trampoline, 1);
}

/* ---- classes ----
   An object is a box of its Swift object and of what that keeps for the script.
   metatable: { __name, __metatable = false, __gc, __index = closure(members, metatable, name,
   fallback), __newindex = closure(setters, ...), ... }. members[name] is a function (a method) or
   an integer (the getter of a property). */

typedef struct {
    void *object;
    size_t weight;
} box;

/* What an object takes besides. */
enum { base_weight = 96 };

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
    return clua_call_swift(L, (intptr_t)lua_tointeger(L, lua_upvalueindex(1)));
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
    return clua_call_swift(L, number);
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
    return clua_call_swift(L, number);
}

/* upvalues: number, metatable, class name */
static int metamethod(lua_State *L) {
    return clua_call_swift(L, (intptr_t)lua_tointeger(L, lua_upvalueindex(1)));
}

static int release(lua_State *L) {
    box *b = lua_touserdata(L, 1);
    void *object = b->object;
    if (object) {
        b->object = NULL;
        context *c = context_of(L);
        c->held -= b->weight;
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

void clua_push_object(lua_State *L, const char *name, void *object, size_t weight) {
    box *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (box){object, base_weight + weight};
    context *c = context_of(L);
    c->held += b->weight;
    c->over |= is_full(c);
    push_metatable(L, name);
    lua_setmetatable(L, -2);
}

void clua_set_weight(lua_State *L, int index, const void *object, size_t weight) {
    box *b = lua_type(L, index) == LUA_TUSERDATA ? lua_touserdata(L, index) : NULL;
    if (!b || b->object != object) return;
    context *c = context_of(L);
    c->held += base_weight + weight - b->weight;
    b->weight = base_weight + weight;
    c->over |= is_full(c);
}

void *clua_object(lua_State *L, int index, const char *name) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
    push_metatable(L, name);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? *(void **)lua_touserdata(L, index) : NULL;
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
    clua_open_coroutines(L);
    if (lua_tointeger(L, 1) == clua_sandbox) clua_restrict(L);
    return 0;
}

/* Notes the thread that runs a state now, and where its stack ends: at the latest a quarter before
   its end (of small ones half) nothing new is begun. Between two looks Lua's own count of 200 C
   calls holds. */
static void note_thread(context *c) {
    const char *here = __builtin_frame_address(0);
    size_t size = 0;
    c->thread = pthread_self();
    if (getpid() == (pid_t)syscall(SYS_gettid)) {
        /* Asking for the attributes of the first thread reads a file. */
        struct rlimit limit;
        getrlimit(RLIMIT_STACK, &limit);
        size = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 64 << 20 ? 64 << 20 : limit.rlim_cur;
        /* Words and environment are above us. */
        size -= size / 8;
    } else {
        pthread_attr_t attributes;
        void *low = NULL;
        if (pthread_getattr_np(c->thread, &attributes) == 0) {
            pthread_attr_getstack(&attributes, &low, &size);
            pthread_attr_destroy(&attributes);
            size = (size_t)(here - (const char *)low);
        } else {
            size = 512 << 10;
        }
    }
    size_t margin = size / 4;
    if (margin < 1 << 20) margin = size / 2 < 1 << 20 ? size / 2 : 1 << 20;
    c->stack_floor = here - (size - margin);
}

lua_State *clua_new(size_t memory_limit, clua_entry entry, clua_release release_function,
                    void *host, clua_libraries libraries) {
    context *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->entry = entry;
    c->release = release_function;
    c->host = host;
    c->swift_depth = 1;
    c->is_sandbox = libraries == clua_sandbox;
    c->reserve = malloc(reserve_size);
    lua_State *L = lua_newstate(allocate, c);
    if (!L) {
        free(c->reserve);
        free(c);
        return NULL;
    }
    *(context **)lua_getextraspace(L) = c;
    c->main = L;
    atomic_store(&c->running, L);
    note_thread(c);
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
    clua_fail_allocations(L, UINT64_MAX);
    atomic_store(&c->stopping, false);
    lua_close(L);
    free(c->reserve);
    free(c);
}

static int handler(lua_State *L) {
    context *c = context_of(L);
    luaL_traceback(L, L, NULL, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, c->traceback);
    c->traceback = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 1);
    return 1;
}

int clua_call(lua_State *L, int arguments, int results) {
    context *c = context_of(L);
    if (!pthread_equal(c->thread, pthread_self())) note_thread(c);
    if (is_full(c)) collect(L, c);
    int base = lua_gettop(L) - arguments;
    lua_pushcfunction(L, handler);
    lua_insert(L, base);
    int depth = c->swift_depth;
    lua_State *was = atomic_load(&c->running);
    atomic_store(&c->running, L);
    c->swift_depth = 0;
    /* What has gone over so far is not the fault of what is called. */
    bool over = c->over, starved = c->starved;
    c->over = c->starved = false;
    if (atomic_load(&c->stopping)) clua_arm(L);
    int status = lua_pcall(L, arguments, results, base);
    c->swift_depth = depth;
    c->over |= over;
    c->starved |= starved;
    clua_run_again(c, was);
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
    /* It is protected: what the text needs is limited. */
    context *c = context_of(L);
    if (is_full(c)) collect(L, c);
    int depth = c->swift_depth;
    c->swift_depth = 0;
    int status = luaL_loadbufferx(L, text, count, chunk_name, "t");
    c->swift_depth = depth;
    return status;
}

/* ---- small ones ---- */

void clua_pop(lua_State *L, int count) { lua_pop(L, count); }

const char *clua_string(lua_State *L, int index, size_t *count) {
    return lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, count) : NULL;
}

int clua_upvalue_index(int index) { return lua_upvalueindex(index); }
int clua_registry_index(void) { return LUA_REGISTRYINDEX; }
void clua_collect(lua_State *L) { collect(L, context_of(L)); }
size_t clua_memory(lua_State *L) { return context_of(L)->used + context_of(L)->held; }

static int to_text(lua_State *L) {
    if (context_of(L)->is_sandbox) {
        clua_push_plain_text(L, 1);
    } else {
        luaL_tolstring(L, 1, NULL);
    }
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
