/* Debian's libzstd: its stable interface. */
#include <zstd.h>
