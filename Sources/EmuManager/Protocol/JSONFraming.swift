// JSON objects that follow one another without anything in between.

internal import Glibc
internal import JSON

/// Cuts a stream of bytes into JSON objects: neither EMP nor QMP has another frame. The cost is linear,
/// however the bytes come.
struct JSONFraming {
  /// Bytes of an object. The stock clients take less than 1024; QEMU's greeting may grow.
  let limit: Int
  private var buffer: [UInt8] = []
  /// Bytes that have been looked at, and where the object begins.
  private var position = 0
  private var start = 0
  private var depth = 0
  private var isInString = false
  private var isEscaped = false

  init(limit: Int) { self.limit = limit }

  mutating func append(_ bytes: some Sequence<UInt8>) { buffer += bytes }

  /// The next whole object; nil where its end has not come yet. Throws a failure of `emulator` for what
  /// is no object, and for one that is too long.
  mutating func next(from emulator: String) throws(ManagerFailure) -> JSONObject? {
    while position < buffer.count {
      let byte = buffer[position]
      if depth == 0 {
        if byte == UInt8(ascii: "{") {
          (start, depth) = (position, 1)
        } else if ![0x20, 0x09, 0x0A, 0x0D].contains(byte) {
          throw .nonsense("expected a JSON object", emulator: emulator)
        }
      } else if look(at: byte) {
        position += 1
        return try take(from: emulator)
      }
      position += 1
      guard depth == 0 || position - start <= limit else {
        throw ManagerFailure(
          .system(EMSGSIZE), emulator: emulator, "an object of more than \(limit) bytes")
      }
    }
    if depth == 0 { drop() }
    return nil
  }

  /// Looks at a byte inside an object; true where it is the last one.
  private mutating func look(at byte: UInt8) -> Bool {
    if isInString {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else if byte == UInt8(ascii: "\"") {
        isInString = false
      }
      return false
    }
    switch byte {
    case UInt8(ascii: "\""): isInString = true
    case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
    case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
    default: break
    }
    return depth == 0
  }

  private mutating func take(from emulator: String) throws(ManagerFailure) -> JSONObject {
    let bytes = Array(buffer[start..<position])
    drop()
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue(parsing: bytes, options: JSONOptions(byteLimit: limit))
    } catch { throw .nonsense("\(error)", emulator: emulator) }
    guard let object = value.objectValue else {
      throw .nonsense("expected a JSON object", emulator: emulator)
    }
    return object
  }

  /// Forgets what has been looked at.
  private mutating func drop() {
    buffer.removeFirst(position)
    (position, start) = (0, 0)
  }
}
