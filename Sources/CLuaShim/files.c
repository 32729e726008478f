/* Lua's open files, for Swift. See CLuaShim.h. */
#include "CLuaShim.h"

#include <stdio.h>

int clua_file_descriptor(lua_State *L, int index) {
    luaL_Stream *stream = luaL_testudata(L, index, LUA_FILEHANDLE);
    if (!stream || !stream->closef || !stream->f || fflush(stream->f) != 0) return -1;
    return fileno(stream->f);
}
