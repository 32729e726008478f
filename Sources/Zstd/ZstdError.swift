// Why octets could not be packed or unpacked.

internal import CZstd
public import SystemIO

/// What zstd refuses, or the system below it.
public enum ZstdError: Error, Sendable {
  case system(SystemError)
  /// What is wrong with the frame, in a few words.
  case frame(String)
}

/// Throws what a result of zstd's says; its other results are counts.
func checked(_ result: Int) throws(ZstdError) -> Int {
  guard ZSTD_isError(result) == 0 else {
    // Safety: the name is a string constant of the library's.
    throw .frame(unsafe String(cString: ZSTD_getErrorName(result)))
  }
  return result
}

/// Runs `body`; what the system refuses becomes a `ZstdError`.
func system<R>(_ body: () throws(SystemError) -> R) throws(ZstdError) -> R {
  do { return try body() } catch { throw .system(error) }
}
