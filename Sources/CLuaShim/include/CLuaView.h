/* Memory that scripts read and write without a copy.

   A cell says where the memory is; a view is a part of it in a script's hands. Views have no
   finalizer: they are small, and a script may make one a page. Instead each holds the generation
   that the cell had when it was made, and every access compares: once the cell has moved on, the
   view is stale and says so. All of a view that scripts use often is C; those of loops take no
   memory at all.

   The bytes of a record or header are Swift's and may be elsewhere after each change. The cell of
   their views has room for them, and a function of Swift's fills in what is read before it is, and
   takes what was written. */
#ifndef XENSAVE_CLUAVIEW_H
#define XENSAVE_CLUAVIEW_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLUA_WRITTEN_WORDS = 128 };
typedef struct {
    uint8_t *base; /* NULL once the memory is gone */
    size_t length;
    uint64_t generation;
    bool is_written; /* a script has written through a view */
    /* Of lent memory: a bit for each 4096 bytes of its first 32 MiB that were written to. */
    uint64_t *written;
    /* Whether the bytes are Swift's: the function that moves them. */
    bool has_source;
    intptr_t source;
} clua_cell;

/* A view in a pairs-like loop over pages: what the loop's first value is, and where its bytes
   are. `reason` is the element of the loop's table that says why it cannot be written, or 0. */
typedef struct {
    uint64_t key, address;
    size_t offset;
    uint32_t length, reason;
} clua_item;

/* Makes the class known, with the name that scripts see. */
void clua_new_view_class(lua_State *L, const char *name);
/* Adds a method that Swift has: function `number`. */
void clua_add_view_method(lua_State *L, const char *name, intptr_t number);
/* Pushes a cell. With `owned` > 0 it has that much memory of its own, zeroed; else `base` stays
   NULL until it is set. */
clua_cell *clua_push_cell(lua_State *L, size_t owned);
/* Pops an object of Swift's and pushes a view of its `length` bytes. Function `source` is called with
   the object, the cell, an offset, a count and whether to write on top of the stack: it moves these bytes
   into the cell, or from there to the object; errors end the access. */
void clua_push_source_view(lua_State *L, intptr_t source, size_t length);
/* Pushes the object and the cell of the view at `index` where it has a source, and says where in the
   object's bytes the view is; else false, and nothing is pushed. */
bool clua_push_source(lua_State *L, int index, size_t *offset, size_t *length);
/* Pushes a view of the cell at `cell`. `reason`: the index of a string that says why it cannot be
   written, or 0. The range lies in the cell. */
void clua_push_view(lua_State *L, int cell, size_t offset, size_t length, uint64_t address,
                    int reason);
/* Pushes `count` items for clua_push_loop; the caller fills them in. */
clua_item *clua_push_items(lua_State *L, size_t count);
/* The items at `index`, which were pushed so, for `count` others; NULL where they are fewer. Views of
   the earlier ones must be stale. */
clua_item *clua_renew_items(lua_State *L, int index, size_t count);
/* Pops a table of reasons, items and (below them) a function that gives the next items or nil (nil
   itself where there are no more), and pushes the function of a loop over the cell at `cell`, whose
   values are (key, view). */
void clua_push_loop(lua_State *L, int cell);
/* The bytes of the view at `index`, or NULL where it is none or is stale. */
uint8_t *clua_view(lua_State *L, int index, size_t *length, uint64_t *address);

#endif
