/* Loops over pages, and their views. See views.h and CLuaView.h. */
#include "CLuaView.h"
#include "views.h"

#include <lauxlib.h>
#include <string.h>

typedef struct {
    const clua_cell *cell; /* the loop's: it lives as long as the loop */
    uint64_t generation;   /* of the cell */
    size_t count, position, capacity;
    uintptr_t slot_bits; /* of the first item's view; 0 where there was no slot left */
    bool is_renewed;     /* by its loop, which keeps it: nobody else may have it */
    clua_item items[];
} item_list;

static const char slots_key = 0;

/* ---- views that need no memory ----
   A loop may make a view of each of a million pages, and most are gone at its next round. Such a
   view is a light userdata: not an address, but the number of an item, of the slot that knows the
   items, and of the slot's generation. A slot is taken again only once the views in it are stale,
   and then has another generation; what is forged, or too old, finds nothing. Where all slots are
   taken, or there are too many items, views are ordinary ones.

     63                                     26 25     20 19                 0 bit
     +----------------------------------------+---------+--------------------+
     | generation of the slot                 | slot    | item               |
     +----------------------------------------+---------+--------------------+ */
enum { item_bits = 20, number_bits = 6, slot_count = 1 << number_bits };

typedef struct {
    clua_cell *cell;
    uint64_t cell_generation, generation;
    const item_list *list;
} slot;

/* What a view of a slot's earlier life has. */
clua_cell clua_nothing;

void clua_make_slots(lua_State *L) {
    slot *slots = lua_newuserdatauv(L, slot_count * sizeof *slots, 0);
    memset(slots, 0, slot_count * sizeof *slots);
    *clua_view_slots(L) = slots;
    lua_rawsetp(L, LUA_REGISTRYINDEX, &slots_key);
}

static bool is_taken(const slot *s) {
    return s->cell != NULL && s->cell->generation == s->cell_generation && s->cell->base != NULL;
}

/* Gives the list at `list` a slot. The registry then has, at the slot's address, what must live as
   long as the slot is taken: the cell, the list and the reasons. */
static void take_slot(lua_State *L, int cell, int list, int reasons) {
    item_list *items = lua_touserdata(L, list);
    slot *slots = *clua_view_slots(L);
    items->slot_bits = 0;
    if (items->count > (size_t)1 << item_bits) return;
    for (uintptr_t number = 0; number < slot_count; number++) {
        slot *s = &slots[number];
        if (is_taken(s)) continue;
        if (lua_rawgetp(L, LUA_REGISTRYINDEX, s) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_createtable(L, 3, 0);
            lua_pushvalue(L, -1);
            lua_rawsetp(L, LUA_REGISTRYINDEX, s);
        }
        lua_pushvalue(L, cell), lua_rawseti(L, -2, 1);
        lua_pushvalue(L, list), lua_rawseti(L, -2, 2);
        lua_pushvalue(L, reasons), lua_rawseti(L, -2, 3);
        lua_pop(L, 1);
        s->cell = lua_touserdata(L, cell);
        s->cell_generation = s->cell->generation;
        s->generation++;
        s->list = items;
        items->slot_bits = (uintptr_t)s->generation << (item_bits + number_bits) | number << item_bits;
        return;
    }
}

/* Pushes the list of a loop that has ended, whose views are stale, if there is one for `count`
   items: records come one after another, and a list for each would soon be garbage. */
static item_list *take_list(lua_State *L, size_t count) {
    slot *slots = *clua_view_slots(L);
    for (slot *s = slots; slots != NULL && s < slots + slot_count; s++) {
        if (s->cell == NULL || is_taken(s) || s->list->is_renewed || s->list->capacity < count ||
            s->list->position < s->list->count) {
            continue;
        }
        lua_rawgetp(L, LUA_REGISTRYINDEX, s);
        lua_rawgeti(L, -1, 2);
        lua_pushnil(L), lua_rawseti(L, -3, 2);
        lua_remove(L, -2);
        s->cell = NULL;
        return lua_touserdata(L, -1);
    }
    return NULL;
}

static slot *slot_of(lua_State *L, uintptr_t bits) {
    return (slot *)*clua_view_slots(L) + (bits >> item_bits) % slot_count;
}

view *clua_light_view(lua_State *L, int index, view *v) {
    uintptr_t bits = (uintptr_t)lua_touserdata(L, index);
    size_t number = bits % ((uintptr_t)1 << item_bits);
    const slot *s = slot_of(L, bits);
    if (*clua_view_slots(L) == NULL || s->cell == NULL || s->list->slot_bits != bits - number || number >= s->list->count) {
        *v = (view){.cell = &clua_nothing, .length = SIZE_MAX / 2};
        return v;
    }
    const clua_item *item = &s->list->items[number];
    v->cell = s->cell;
    v->generation = s->cell_generation;
    v->address = item->address;
    v->offset = item->offset;
    v->length = item->length;
    v->reason = item->reason;
    v->is_big = false;
    v->is_read_only = item->reason != 0;
    return v;
}

void clua_push_kept(lua_State *L, int index, const view *v, int which) {
    if (!lua_islightuserdata(L, index)) {
        lua_getiuservalue(L, index, which);
        return;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, slot_of(L, (uintptr_t)lua_touserdata(L, index)));
    lua_rawgeti(L, -1, which == 1 ? 1 : 3);
    lua_remove(L, -2);
    if (which == 1) return;
    lua_rawgeti(L, -1, v->reason);
    lua_remove(L, -2);
}

/* ---- loops ---- */

/* Makes a list that of the cell at `index`, as it is now. */
static void begin(lua_State *L, int index, item_list *list) {
    list->cell = lua_touserdata(L, index);
    list->generation = list->cell->generation;
}

/* upvalues: cell, items, reasons, refill */
static int next_item(lua_State *L) {
    for (;;) {
        item_list *list = lua_touserdata(L, lua_upvalueindex(2));
        if (list != NULL && list->position < list->count) {
            const clua_cell *cell = list->cell;
            if (list->generation != cell->generation || cell->base == NULL) {
                return luaL_error(L, "stale loop: the pages that it went over are gone (it is valid "
                                     "until the next record)");
            }
            size_t number = list->position++;
            uintptr_t bits = list->slot_bits;
            clua_item item = list->items[number];
            if (list->position == list->count && lua_isnil(L, lua_upvalueindex(4))) {
                /* The end: the list may be another loop's from now on. */
                lua_pushnil(L);
                lua_replace(L, lua_upvalueindex(2));
            }
            lua_pushinteger(L, (lua_Integer)item.key);
            if (bits) {
                lua_pushlightuserdata(L, (void *)(bits | number));
                return 2;
            }
            if (item.reason) lua_rawgeti(L, lua_upvalueindex(3), (lua_Integer)item.reason);
            clua_push_view(L, lua_upvalueindex(1), item.offset, item.length, item.address,
                           item.reason ? lua_gettop(L) : 0);
            if (item.reason) lua_remove(L, -2);
            return 2;
        }
        if (lua_isnil(L, lua_upvalueindex(4))) return 0;
        lua_pushvalue(L, lua_upvalueindex(4));
        lua_call(L, 0, 1);
        bool more = lua_type(L, -1) == LUA_TUSERDATA;
        if (!more) {
            lua_pushnil(L);
            lua_replace(L, lua_upvalueindex(4));
        }
        lua_replace(L, lua_upvalueindex(2));
        if (!more) return 0;
        item_list *fresh = lua_touserdata(L, lua_upvalueindex(2));
        begin(L, lua_upvalueindex(1), fresh);
        fresh->is_renewed = true;
        take_slot(L, lua_upvalueindex(1), lua_upvalueindex(2), lua_upvalueindex(3));
    }
}

clua_item *clua_push_items(lua_State *L, size_t count) {
    item_list *list = take_list(L, count);
    size_t capacity = list ? list->capacity : count;
    if (list == NULL) list = lua_newuserdatauv(L, sizeof *list + count * sizeof *list->items, 0);
    *list = (item_list){.count = count, .capacity = capacity};
    return list->items;
}

clua_item *clua_renew_items(lua_State *L, int index, size_t count) {
    item_list *list = lua_touserdata(L, index);
    if (list == NULL || list->capacity < count) return NULL;
    *list = (item_list){.count = count, .capacity = list->capacity};
    return list->items;
}

void clua_push_loop(lua_State *L, int cell) {
    cell = lua_absindex(L, cell);
    /* refill, items, reasons -> cell, items, reasons, refill */
    item_list *list = lua_touserdata(L, -2);
    if (list) {
        begin(L, cell, list);
        take_slot(L, cell, lua_absindex(L, -2), lua_absindex(L, -1));
    }
    lua_pushvalue(L, cell);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -6);
    lua_pushcclosure(L, next_item, 4);
    lua_insert(L, -4);
    lua_pop(L, 3);
}
