// A mutator that knows records: it changes types, lengths, fields, the order and number of records
// and of the entries inside them, and keeps lengths right where libFuzzer's own would break them.
#include <stdbool.h>
#include <string.h>

#include "cfuzz.h"

extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

enum { record_limit = 256, piece_limit = 8192 };

struct piece {
  size_t offset, size;
};

static const uint32_t values[] = {
    0,          1,          2,          3,          4,          7,          8,          9,
    15,         16,         24,         39,         40,         63,         64,         127,
    128,        255,        256,        511,        512,        1023,       1024,       1025,
    4095,       4096,       4097,       65535,      65536,      0x7fffffff, 0x80000000, 0xffffffff,
    0xfffffff8, 0xfffffff9, 0xfffff000, 0x1000000,  0xffffff,   0x8000000,  0x8000001,  0x10000000,
    0xc0000000, 0x000fffff, 0x00100000, 0x0000000d, 0xd0000000, 0xe0000000, 0xf0000000,
};

static uint32_t state;
static uint32_t draw(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return below ? state % below : 0;
}

static uint32_t value(void) { return values[draw(sizeof values / sizeof *values)]; }

static uint32_t load(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store(uint8_t *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}

// Records from `start` on, as long as lengths lead from one to the next within the data.
static size_t walk(const uint8_t *data, size_t size, size_t start, struct piece *out, size_t count) {
  for (size_t at = start; at + 8 <= size && count < record_limit;) {
    size_t whole = 8 + (((size_t)load(data + at + 4) + 7) & ~(size_t)7);
    bool is_whole = whole <= size - at;
    out[count++] = (struct piece){at, is_whole ? whole : size - at};
    if (!is_whole) break;
    at += whole;
  }
  return count;
}

// Entries of a HVM context (type, instance, length) in a record's body.
static size_t entries(const uint8_t *data, struct piece record, struct piece *out) {
  size_t count = 0, end = record.offset + record.size;
  for (size_t at = record.offset + 8; at + 8 <= end && count < record_limit;) {
    size_t whole = 8 + (size_t)load(data + at + 4);
    if (whole > end - at) break;
    out[count++] = (struct piece){at, whole};
    at += whole;
  }
  return count;
}

static size_t find(const uint8_t *data, size_t size, struct piece *out) {
  static const uint8_t marker[8] = {255, 255, 255, 255, 255, 255, 255, 255};
  size_t count = 0;
  for (size_t i = 0; i + 24 <= size; i++) {
    if (!memcmp(data + i, marker, 8) && !memcmp(data + i + 8, "XENF", 4)) {
      count = walk(data, size, i + 40, out, count);
      i += 39;
    } else if (!memcmp(data + i, "LibxlFmt", 8)) {
      count = walk(data, size, i + 16, out, count);
      i += 15;
    }
  }
  return count;
}

// Puts `piece` (a copy) at `offset`, if there is room.
static size_t insert(uint8_t *data, size_t size, size_t max, size_t offset, const uint8_t *piece,
                     size_t count) {
  if (count > max - size) return size;
  memmove(data + offset + count, data + offset, size - offset);
  memcpy(data + offset, piece, count);
  return size + count;
}

static size_t cut(uint8_t *data, size_t size, size_t offset, size_t count) {
  memmove(data + offset, data + offset + count, size - offset - count);
  return size - count;
}

static const char *const numbers[] = {
    "0", "1", "-1", "32", "33", "128", "65536", "2147483647", "2147483648", "-2147483648", "4294967295",
    "4294967296", "9007199254740993", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e30", "0.5",
};

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

// Another number in place of one that is written in digits, as in a configuration. The lengths in an xl
// header follow. Data without a digit from some place on are left as they are.
static size_t renumber(uint8_t *data, size_t size, size_t max) {
  size_t start = draw((uint32_t)size), end;
  while (start < size && !is_digit(data[start])) start++;
  for (end = start; end < size && is_digit(data[end]);) end++;
  if (start == size) return size;
  const char *number = numbers[draw(sizeof numbers / sizeof *numbers)];
  size_t length = strlen(number);
  if (size - (end - start) + length > max) return size;
  memmove(data + start + length, data + end, size - end);
  memcpy(data + start, number, length);
  uint32_t change = (uint32_t)length - (uint32_t)(end - start);
  if (start >= 52 && !memcmp(data, "Xen saved domain, xl format", 27))
    for (int at = 44; at <= 48; at += 4) store(data + at, load(data + at) + change);
  return size - (end - start) + length;
}

size_t fuzz_mutate(uint8_t *data, size_t size, size_t max, uint32_t seed) {
  static struct piece records[record_limit], inner[record_limit];
  static uint8_t copy[piece_limit];
  state = seed | 1;
  for (int i = 0; i < 4; i++) draw(2);
  if (size > 0 && size <= max && draw(12) == 0) return renumber(data, size, max);
  if (size < 40 || size > max || draw(3) == 0) return LLVMFuzzerMutate(data, size, max);
  size_t count = find(data, size, records);
  if (count == 0) return LLVMFuzzerMutate(data, size, max);
  struct piece chosen = records[draw((uint32_t)count)], other = records[draw((uint32_t)count)];
  uint8_t *p = data + chosen.offset;
  switch (draw(12)) {
  case 0: store(p + 4, value()); return size;
  case 1: store(p, draw(3) ? draw(0x14) : value()); return size;
  case 2: // twice
    if (chosen.size > piece_limit) return size;
    memcpy(copy, p, chosen.size);
    return insert(data, size, max, chosen.offset, copy, chosen.size);
  case 3: return cut(data, size, chosen.offset, chosen.size);
  case 4: // another record moves here
    if (other.size > piece_limit) return size;
    memcpy(copy, data + other.offset, other.size);
    size = cut(data, size, other.offset, other.size);
    return insert(data, size, max, chosen.offset <= size ? chosen.offset : size, copy, other.size);
  case 5:
  case 6: // a word of the body
    if (chosen.size >= 12) store(p + 8 + 4 * draw((uint32_t)(chosen.size - 8) / 4), value());
    return size;
  case 7: // longer, and its length says so
    memset(copy, (int)draw(256), 8);
    store(p + 4, load(p + 4) + 8);
    return insert(data, size, max, chosen.offset + chosen.size, copy, 8);
  case 8: // shorter
    if (chosen.size < 16) return size;
    store(p + 4, load(p + 4) - 8);
    return cut(data, size, chosen.offset + chosen.size - 8, 8);
  case 9: // a bit
    p[draw((uint32_t)chosen.size)] ^= (uint8_t)(1u << draw(8));
    return size;
  case 10: { // an entry of the body: twice, away, of another type or instance
    size_t found = entries(data, chosen, inner);
    if (found == 0) return size;
    struct piece entry = inner[draw((uint32_t)found)];
    uint8_t *e = data + entry.offset;
    switch (draw(4)) {
    case 0:
      if (entry.size > piece_limit || entry.size > max - size) return size;
      memcpy(copy, e, entry.size);
      store(p + 4, load(p + 4) + (uint32_t)entry.size);
      return insert(data, size, max, entry.offset, copy, entry.size);
    case 1:
      store(p + 4, load(p + 4) - (uint32_t)entry.size);
      return cut(data, size, entry.offset, entry.size);
    case 2: e[0] = (uint8_t)draw(22); return size;
    default: e[2] = (uint8_t)value(); return size;
    }
  }
  default: // the end of the stream comes here
    return chosen.offset > 40 ? chosen.offset : size;
  }
}
