// What zstd refuses, as an error.

internal import CZstd
internal import SystemIO

/// Throws what a result of zstd's says; its other results are counts.
func checked(_ result: Int) throws -> Int {
  guard ZSTD_isError(result) == 0 else {
    // Safety: the name is a string constant of the library's.
    throw XensaveError(.invalid, unsafe String(cString: ZSTD_getErrorName(result)))
  }
  return result
}
