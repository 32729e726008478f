/* os.execute and io.popen whose waits a request to stop ends. */
#define _GNU_SOURCE
#include "CLuaShim.h"
#include "CSystem.h"
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts the shell with `from` as its descriptor `to`; -1 for neither. 0 and *process, or an errno. */
static int start(const char *command, int from, int to, pid_t *process) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (from >= 0) posix_spawn_file_actions_adddup2(&actions, from, to);
    int error = csystem_spawn_command(command, &actions, process);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Waits for a command; -1 (errno) where a request to stop came first. Where the command lived on after
   Ctrl-C, that was not meant for us. */
static int wait_for(lua_State *L, pid_t process) {
    int status = 0;
    bool was_interrupted;
    if (csystem_wait_for_command(process, &status, &was_interrupted) != 0) return -1;
    if (was_interrupted && WIFEXITED(status)) clua_end_stop(L);
    if (was_interrupted && WIFSIGNALED(status)) raise(SIGINT);
    errno = 0; /* luaL_execresult takes a stale one for the reason of a status that is not 0 */
    return status;
}

static int os_execute(lua_State *L) {
    const char *command = luaL_optstring(L, 1, NULL);
    if (!command) {
        lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
        return 1;
    }
    pid_t process;
    int error = start(command, -1, -1, &process);
    if (error) {
        errno = error;
        return luaL_fileresult(L, 0, NULL);
    }
    return luaL_execresult(L, wait_for(L, process));
}

typedef struct {
    luaL_Stream stream; /* what Lua's io takes it for */
    pid_t process;
} command_file;

static int close_command(lua_State *L) {
    command_file *file = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    fclose(file->stream.f);
    return luaL_execresult(L, wait_for(L, file->process));
}

static int io_popen(lua_State *L) {
    const char *command = luaL_checkstring(L, 1);
    const char *mode = luaL_optstring(L, 2, "r");
    luaL_argcheck(L, (mode[0] == 'r' || mode[0] == 'w') && mode[1] == 0, 2, "invalid mode");
    command_file *file = lua_newuserdatauv(L, sizeof *file, 0);
    file->stream.f = NULL;
    file->stream.closef = NULL; /* closed, until it is open */
    luaL_setmetatable(L, LUA_FILEHANDLE);
    fflush(NULL);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return luaL_fileresult(L, 0, command);
    int own = mode[0] == 'w';
    int error = start(command, ends[!own], !own, &file->process);
    close(ends[!own]);
    file->stream.f = error ? NULL : fdopen(ends[own], mode);
    if (!file->stream.f) {
        close(ends[own]);
        errno = error ? error : errno;
        return luaL_fileresult(L, 0, command);
    }
    file->stream.closef = close_command;
    return 1;
}

void clua_open_commands(lua_State *L) {
    lua_getglobal(L, LUA_OSLIBNAME);
    lua_pushcfunction(L, os_execute), lua_setfield(L, -2, "execute");
    lua_getglobal(L, LUA_IOLIBNAME);
    lua_pushcfunction(L, io_popen), lua_setfield(L, -2, "popen");
    lua_pop(L, 2);
}
