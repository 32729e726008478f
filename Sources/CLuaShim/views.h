/* What view.c and loop.c share. Private to CLuaShim. */
#ifndef XENSAVE_CLUASHIM_VIEWS_H
#define XENSAVE_CLUASHIM_VIEWS_H

#include "CLuaView.h"

typedef struct {
    clua_cell *cell;
    uint64_t generation, address;
    size_t offset, length;
    uint32_t reason; /* of a view in a loop: the element of the loop's table of reasons */
    bool is_big, is_read_only;
} view;

/* Where loop.c keeps the slots of a state's views; NULL at first. It is the first member of what
   shim.c keeps for each state. */
static inline void **clua_view_slots(lua_State *L) { return *(void ***)lua_getextraspace(L); }

void clua_make_slots(lua_State *L);

/* The cell of views that are too old for anybody to know what they showed. */
extern clua_cell clua_nothing;
/* Fills in the view that the light userdata at `index` stands for. */
view *clua_light_view(lua_State *L, int index, view *v);
/* Calls function `number` of Swift's in the frame that is running; its results. */
int clua_call_swift(lua_State *L, intptr_t number);
/* Pushes what keeps a view's memory (1), or why it cannot be written (2). */
void clua_push_kept(lua_State *L, int index, const view *v, int which);

#endif
