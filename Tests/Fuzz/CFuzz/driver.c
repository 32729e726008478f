// Starts libFuzzer's driver. SwiftPM renames the main function of an executable: this is it.
#include <stdbool.h>

#include "cfuzz.h"

extern bool fuzz_prepare(void);
extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*run)(const uint8_t *, size_t));
int xensave_fuzz_main(int argc, char **argv);

int xensave_fuzz_main(int argc, char **argv) {
  if (fuzz_prepare()) return 0;
  return LLVMFuzzerRunDriver(&argc, &argv, LLVMFuzzerTestOneInput);
}
