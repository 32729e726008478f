/* The words of the command line: see CSystemArguments.h. */
#include "CSystemArguments.h"

#include <stddef.h>

static int argument_count;
static char **argument_words;

/* glibc gives constructors what it gives main. */
__attribute__((constructor)) static void keep_arguments(int count, char **words) {
    argument_count = count;
    argument_words = words;
}

const char *csystem_argument(int index) {
    return index >= 0 && index < argument_count ? argument_words[index] : NULL;
}
