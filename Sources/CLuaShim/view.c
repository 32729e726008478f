/* See CLuaView.h. Everything here runs in Lua's own frames and may raise, but for the functions
   that the header declares: those are called from Swift and do not. */
#include "CLuaView.h"
#include "CLuaShim.h"
#include "views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char class_key = 0;

/* ---- views ---- */

/* The view before the ':'; `light` is room for one that has no memory. */
static view *self(lua_State *L, view *light) {
    if (lua_islightuserdata(L, 1)) return clua_light_view(L, 1, light);
    view *v = lua_touserdata(L, 1);
    if (v == NULL || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(1))) {
        luaL_error(L, "expected a View before the ':', got %s", luaL_typename(L, 1));
    }
    lua_pop(L, 1);
    return v;
}

static view *view_at(lua_State *L, int index, view *light) {
    if (lua_islightuserdata(L, index)) return clua_light_view(L, index, light);
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? lua_touserdata(L, index) : NULL;
}

static bool is_live(const view *v) {
    return v->cell->generation == v->generation && v->cell->base != NULL;
}

/* Lets Swift move bytes of the view at `index` into its cell, or out of it. */
static void move(lua_State *L, int index, const view *v, size_t offset, size_t count, bool out) {
    int top = lua_gettop(L);
    clua_push_kept(L, index, v, 1);
    lua_getiuservalue(L, -1, 1);
    lua_rotate(L, -2, 1);
    lua_pushinteger(L, (lua_Integer)(v->offset + offset));
    lua_pushinteger(L, (lua_Integer)count);
    lua_pushboolean(L, out);
    clua_call_swift(L, v->cell->source);
    lua_settop(L, top);
}

/* `count` bytes of the view at `index`, from `offset` on. */
static inline uint8_t *load(lua_State *L, int index, const view *v, size_t offset, size_t count) {
    if (!is_live(v)) {
        luaL_error(L, "stale view: what it showed is gone (a view is valid until the next record or "
                      "batch; view:bytes() makes a copy)");
    }
    if (v->cell->has_source) move(L, index, v, offset, count, false);
    return v->cell->base + v->offset + offset;
}

/* Bytes from `offset` to the end of the view: none where that lies outside, which `place` refuses.
   What a script gives may be any integer: it is compared before anything is computed from it. */
static lua_Integer rest_of(const view *v, lua_Integer offset) {
    if (offset < 0 || (lua_Unsigned)offset > v->length) return 0;
    return (lua_Integer)(v->length - (size_t)offset);
}

static size_t place(lua_State *L, const view *v, lua_Integer offset, lua_Integer count) {
    if (offset < 0 || count < 0 || (lua_Unsigned)offset > v->length ||
        (lua_Unsigned)count > v->length - (size_t)offset) {
        luaL_error(L, "bytes %I..%I are outside this view of %I bytes", offset,
                   (lua_Integer)((lua_Unsigned)offset + (lua_Unsigned)count),
                   (lua_Integer)v->length);
    }
    return (size_t)offset;
}

/* Bytes of the view before the ':' that are to be written; says why where they cannot be. */
static uint8_t *writable(lua_State *L, view *v, size_t offset, size_t count) {
    if (v->is_read_only) {
        clua_push_kept(L, 1, v, 2);
        luaL_error(L, "this view cannot be written: %s",
                   lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
    }
    return load(L, 1, v, offset, count);
}

/* What is done when they have been. */
static void note_written(lua_State *L, view *v, size_t offset, size_t count) {
    if (v->cell->has_source) {
        move(L, 1, v, offset, count, true);
        return;
    }
    v->cell->is_written = true;
    if (v->cell->written == NULL || count == 0) return;
    size_t first = (v->offset + offset) >> 12, last = (v->offset + offset + count - 1) >> 12;
    for (size_t page = first; page <= last && page < 64 * CLUA_WRITTEN_WORDS; page++) {
        v->cell->written[page >> 6] |= (uint64_t)1 << (page & 63);
    }
}

/* Reads an integer, or writes it first. Its upvalue is the metatable. Written out for each width,
   with no more calls of Lua than it takes: scripts call it for each page. */
static inline __attribute__((always_inline)) int number(lua_State *L, size_t width,
                                                        bool is_signed) {
    view light, *v = self(L, &light);
    int is_integer;
    lua_Integer wanted = lua_tointegerx(L, 2, &is_integer);
    if (!is_integer) wanted = luaL_checkinteger(L, 2);
    size_t offset = place(L, v, wanted, (lua_Integer)width);
    uint8_t *start;
    uint64_t value = 0;
    if (lua_isnoneornil(L, 3)) {
        start = load(L, 1, v, offset, width);
    } else {
        lua_Integer given = luaL_checkinteger(L, 3);
        int bits = (int)(8 * width);
        if (width < 8 && (given < -((lua_Integer)1 << (bits - 1)) ||
                          given >= (lua_Integer)1 << bits)) {
            return luaL_error(L, "expected a value of %d bits, got %I", bits, given);
        }
        start = writable(L, v, offset, width);
        for (size_t i = 0; i < width; i++) {
            size_t shift = 8 * (v->is_big ? width - 1 - i : i);
            start[i] = (uint8_t)((uint64_t)given >> shift);
        }
        note_written(L, v, offset, width);
    }
    if (v->is_big) {
        for (size_t i = 0; i < width; i++) value = value << 8 | start[i];
    } else {
        for (size_t i = 0; i < width; i++) value |= (uint64_t)start[i] << (8 * i);
    }
    if (is_signed && width < 8 && value >> (8 * width - 1)) value |= ~(uint64_t)0 << (8 * width);
    lua_pushinteger(L, (lua_Integer)value);
    return 1;
}

static int u8(lua_State *L) { return number(L, 1, false); }
static int u16(lua_State *L) { return number(L, 2, false); }
static int u32(lua_State *L) { return number(L, 4, false); }
static int u64(lua_State *L) { return number(L, 8, false); }
static int i8(lua_State *L) { return number(L, 1, true); }
static int i16(lua_State *L) { return number(L, 2, true); }
static int i32(lua_State *L) { return number(L, 4, true); }
static int i64(lua_State *L) { return number(L, 8, true); }

static bool is_zero(const uint8_t *start, size_t count) {
    while (count >= 64) {
        uint64_t words[8], sum = 0;
        memcpy(words, start, 64);
        for (int i = 0; i < 8; i++) sum |= words[i];
        if (sum) return false;
        start += 64, count -= 64;
    }
    for (size_t i = 0; i < count; i++) {
        if (start[i]) return false;
    }
    return true;
}

static int iszero(lua_State *L) {
    view light, *v = self(L, &light);
    lua_pushboolean(L, is_zero(load(L, 1, v, 0, v->length), v->length));
    return 1;
}

static int bytes(lua_State *L) {
    view light, *v = self(L, &light);
    lua_Integer offset = luaL_optinteger(L, 2, 0);
    lua_Integer count = luaL_optinteger(L, 3, rest_of(v, offset));
    size_t start = place(L, v, offset, count);
    lua_pushlstring(L, (const char *)load(L, 1, v, start, (size_t)count), (size_t)count);
    return 1;
}

static int put(lua_State *L) {
    view light, *v = self(L, &light);
    size_t count;
    lua_Integer offset = luaL_checkinteger(L, 2);
    luaL_checktype(L, 3, LUA_TSTRING);
    const char *text = lua_tolstring(L, 3, &count);
    size_t start = place(L, v, offset, (lua_Integer)count);
    memcpy(writable(L, v, start, count), text, count);
    note_written(L, v, start, count);
    return 0;
}

static int fill(lua_State *L) {
    view light, *v = self(L, &light);
    lua_Integer byte = luaL_checkinteger(L, 2);
    luaL_argcheck(L, byte >= 0 && byte <= 255, 2, "expected a byte from 0 to 255");
    memset(writable(L, v, 0, v->length), (int)byte, v->length);
    note_written(L, v, 0, v->length);
    return 0;
}

static int equal(lua_State *L) {
    view light, *v = self(L, &light);
    const uint8_t *mine = load(L, 1, v, 0, v->length);
    view other_light, *other = view_at(L, 2, &other_light);
    size_t count;
    const uint8_t *theirs;
    if (other) {
        theirs = load(L, 2, other, 0, other->length);
        count = other->length;
    } else {
        luaL_checktype(L, 2, LUA_TSTRING);
        theirs = (const uint8_t *)lua_tolstring(L, 2, &count);
    }
    lua_pushboolean(L, count == v->length && memcmp(mine, theirs, count) == 0);
    return 1;
}

static int find(lua_State *L) {
    view light, *v = self(L, &light);
    size_t count;
    luaL_checktype(L, 2, LUA_TSTRING);
    const char *text = lua_tolstring(L, 2, &count);
    lua_Integer from = luaL_optinteger(L, 3, 0);
    size_t start = place(L, v, from, 0);
    size_t left = v->length - start;
    const uint8_t *rest = load(L, 1, v, start, left), *base = rest - start;
    while (left >= count) {
        const uint8_t *hit = count == 0 ? rest : memchr(rest, text[0], left - count + 1);
        if (hit == NULL) break;
        if (memcmp(hit, text, count) == 0) {
            lua_pushinteger(L, hit - base);
            return 1;
        }
        left -= (size_t)(hit + 1 - rest);
        rest = hit + 1;
    }
    lua_pushnil(L);
    return 1;
}

/* Pushes a view of a part, or with another byte order. */
static int derived(lua_State *L, const view *v, size_t offset, size_t length, bool is_big) {
    load(L, 1, v, offset, 0);
    view *part = lua_newuserdatauv(L, sizeof *part, v->is_read_only ? 2 : 1);
    *part = *v;
    part->offset += offset;
    part->address += offset;
    part->length = length;
    part->is_big = is_big;
    for (int i = 1; i <= (v->is_read_only ? 2 : 1); i++) {
        clua_push_kept(L, 1, v, i);
        lua_setiuservalue(L, -2, i);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_setmetatable(L, -2);
    return 1;
}

static int sub(lua_State *L) {
    view light, *v = self(L, &light);
    lua_Integer offset = luaL_checkinteger(L, 2);
    lua_Integer count = luaL_optinteger(L, 3, rest_of(v, offset));
    size_t start = place(L, v, offset, count);
    return derived(L, v, start, (size_t)count, v->is_big);
}

static int big_endian(lua_State *L) {
    view light, *v = self(L, &light);
    return derived(L, v, 0, v->length, true);
}

static int little_endian(lua_State *L) {
    view light, *v = self(L, &light);
    return derived(L, v, 0, v->length, false);
}

/* upvalues: metatable, string.unpack as it was when the state was made */
static int unpack(lua_State *L) {
    view light, *v = self(L, &light);
    luaL_checktype(L, 2, LUA_TSTRING);
    lua_Integer offset = luaL_optinteger(L, 3, 0);
    size_t start = place(L, v, offset, 0);
    /* What string.unpack may look at is copied; formats of more bytes are not what it is for. */
    size_t rest = v->length - start < 65536 ? v->length - start : 65536;
    const uint8_t *base = load(L, 1, v, start, rest);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 2);
    lua_pushlstring(L, (const char *)base, rest);
    lua_call(L, 2, LUA_MULTRET);
    /* Its last result counts from 1 in the copy; ours from 0 in the view. */
    lua_Integer next = lua_tointeger(L, -1) - 1 + offset;
    lua_pop(L, 1);
    lua_pushinteger(L, next);
    return lua_gettop(L) - 1;
}

static int length(lua_State *L) {
    view light, *v = self(L, &light);
    load(L, 1, v, 0, 0); /* of a stale view it is not known */
    lua_pushinteger(L, (lua_Integer)v->length);
    return 1;
}

static int text(lua_State *L) {
    view light, *v = self(L, &light);
    if (v->cell == &clua_nothing) {
        lua_pushliteral(L, "stale view");
        return 1;
    }
    char out[80];
    int count = snprintf(out, sizeof out, "%sview of %zu bytes", is_live(v) ? "" : "stale ", v->length);
    if (!v->cell->has_source) {
        snprintf(out + count, sizeof out - (size_t)count, " at 0x%llx", (unsigned long long)v->address);
    }
    lua_pushstring(L, out);
    return 1;
}

/* ---- for Swift ---- */

void clua_push_owned_function(lua_State *L, intptr_t number, const char *name, void *object) {
    clua_push_function(L, number);
    lua_CFunction call = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    lua_pushinteger(L, number);
    clua_push_object(L, name, object, 128);
    lua_pushcclosure(L, call, 2);
}

static void add(lua_State *L, int members, int metatable, const char *name,
                lua_CFunction function) {
    lua_pushstring(L, name);
    lua_pushvalue(L, metatable);
    lua_pushcclosure(L, function, 1);
    lua_rawset(L, members);
}

static int no_member(lua_State *L) {
    return luaL_error(L, "View has no member '%s'",
                      lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

void clua_new_view_class(lua_State *L, const char *name) {
    luaL_checkstack(L, 12, NULL);
    clua_metamethods none = {-1, -1, -1, -1, -1, -1, -1};
    clua_new_class(L, name, &none);
    lua_getfield(L, LUA_REGISTRYINDEX, name);
    int metatable = lua_gettop(L);
    lua_pushnil(L), lua_setfield(L, metatable, "__gc");
    lua_pushvalue(L, metatable);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &class_key);
    clua_make_slots(L);
    lua_pushlightuserdata(L, NULL);
    lua_pushvalue(L, metatable);
    lua_setmetatable(L, -2); /* of all light userdata: scripts get no others */
    lua_pop(L, 1);
    add(L, metatable, metatable, "__len", length);
    add(L, metatable, metatable, "__tostring", text);
    lua_getfield(L, metatable, "members");
    int members = lua_gettop(L);
    /* All members are methods: they are looked up without a call. */
    lua_pushvalue(L, members), lua_setfield(L, metatable, "__index");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, no_member), lua_setfield(L, -2, "__index");
    lua_setmetatable(L, members);
    static const struct {
        const char *name;
        lua_CFunction function;
    } methods[] = {{"iszero", iszero}, {"bytes", bytes},   {"put", put},
                   {"fill", fill},     {"equal", equal},   {"find", find},
                   {"sub", sub},       {"be", big_endian}, {"le", little_endian},
                   {"u8", u8},         {"u16", u16},       {"u32", u32},
                   {"u64", u64},       {"i8", i8},         {"i16", i16},
                   {"i32", i32},       {"i64", i64}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        add(L, members, metatable, methods[i].name, methods[i].function);
    }
    lua_pushstring(L, "unpack");
    lua_pushvalue(L, metatable);
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_getfield(L, -1, "unpack");
    lua_remove(L, -2);
    lua_pushcclosure(L, unpack, 2);
    lua_rawset(L, members);
    lua_settop(L, metatable - 1);
}

void clua_add_view_method(lua_State *L, const char *name, intptr_t number) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key);
    lua_getfield(L, -1, "members");
    lua_pushstring(L, name);
    clua_push_function(L, number);
    lua_rawset(L, -3);
    lua_pop(L, 2);
}

clua_cell *clua_push_cell(lua_State *L, size_t owned) {
    size_t head = (sizeof(clua_cell) + 15) & ~(size_t)15;
    size_t bits = owned ? 0 : CLUA_WRITTEN_WORDS * sizeof(uint64_t);
    clua_cell *cell = lua_newuserdatauv(L, head + owned + bits, 0);
    *cell = (clua_cell){.generation = 1};
    uint8_t *rest = (uint8_t *)cell + head;
    memset(rest, 0, owned + bits);
    if (owned) {
        cell->base = rest;
        cell->length = owned;
    } else {
        cell->written = (uint64_t *)(void *)rest;
    }
    return cell;
}

void clua_push_view(lua_State *L, int cell, size_t offset, size_t length, uint64_t address,
                    int reason) {
    cell = lua_absindex(L, cell);
    if (reason) reason = lua_absindex(L, reason);
    clua_cell *c = lua_touserdata(L, cell);
    view *v = lua_newuserdatauv(L, sizeof *v, reason ? 2 : 1);
    *v = (view){.cell = c, .generation = c->generation, .address = address, .offset = offset,
                .length = length, .is_read_only = reason != 0};
    lua_pushvalue(L, cell);
    lua_setiuservalue(L, -2, 1);
    if (reason) {
        lua_pushvalue(L, reason);
        lua_setiuservalue(L, -2, 2);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key);
    lua_setmetatable(L, -2);
}

void clua_push_source_view(lua_State *L, intptr_t source, size_t length) {
    size_t head = (sizeof(clua_cell) + 15) & ~(size_t)15;
    clua_cell *cell = lua_newuserdatauv(L, head + length, 1);
    *cell = (clua_cell){.base = (uint8_t *)cell + head, .length = length, .generation = 1,
                        .has_source = true, .source = source};
    lua_rotate(L, -2, 1);
    lua_setiuservalue(L, -2, 1);
    clua_push_view(L, -1, 0, length, 0, 0);
    lua_remove(L, -2);
}

bool clua_push_source(lua_State *L, int index, size_t *offset, size_t *length) {
    view light, *v = view_at(L, index, &light);
    if (v == NULL || !v->cell->has_source) return false;
    *offset = v->offset;
    *length = v->length;
    clua_push_kept(L, index, v, 1);
    lua_getiuservalue(L, -1, 1);
    lua_rotate(L, -2, 1);
    return true;
}

uint8_t *clua_view(lua_State *L, int index, size_t *length, uint64_t *address) {
    view light, *v = view_at(L, index, &light);
    if (v == NULL || !is_live(v)) return NULL;
    *length = v->length;
    *address = v->address;
    return v->cell->base + v->offset;
}
