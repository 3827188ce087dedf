// A forest as its attention takes it: blocks of queries, the keys on their path, and their numbers as words.

#pragma once

#include "products.h"

namespace {

constexpr int64_t kTile = 64;                  // keys of a tile, and queries of a block
constexpr int64_t kVectors = kTile / kLanes;   // of lanes, in a row of a tile

// How many numbers a head has; in room they are filled up with zeros, to whole lanes of 16.
struct Width {
  int64_t numbers, room;
  explicit Width(int64_t count) : numbers(count), room((count + 15) / 16 * 16) {}
};

struct Problem {
  const int32_t* paths;   // tokens, path after path
  const int32_t* blocks;  // (where its keys begin in paths, how many they are, how many queries) of each
  const int32_t* parts;   // (first block, end, which of the totals) of each
  int64_t num_parts, query_heads, key_heads;
  Width width, value_width;
  float scale;
  int64_t window;  // 0 where there is none
  int64_t num_tokens;

  INLINE int64_t group() const { return query_heads / key_heads; }
};

// Rows of the batch, head by head.
template <class T> struct Rows {
  T* at;
  int64_t stride;
  Width width;
  INLINE T* row(int64_t token, int64_t head) const { return at + token * stride + head * width.numbers; }
};

// The queries are the last of the keys, and neighbours in the batch.
struct Block {
  const int32_t* keys;
  int64_t num_keys, num_queries, offset, num_vectors, num_tiles, first_token;

  INLINE Block(const Problem& problem, int64_t index) {
    const int32_t* told = problem.blocks + 3 * index;
    keys = problem.paths + told[0], num_keys = told[1], num_queries = told[2];
    offset = num_keys - num_queries, first_token = keys[offset];
    num_vectors = (num_queries + kLanes - 1) / kLanes, num_tiles = (num_keys + kTile - 1) / kTile;
  }

  // Which lanes of a vector see key `key`.
  INLINE LaneNumbers see(int64_t key, int64_t vector, int64_t window) const {
    const LaneNumbers after = kNumbers + int32_t(vector * kLanes + offset - key);
    const int32_t most = window > 0 ? int32_t(window) : INT32_MAX;
    return (after >= 0) & (after < most);
  }
  INLINE bool all_see(int64_t tile, int64_t window) const {
    const int64_t key = tile * kTile;
    return key + kTile - 1 <= offset && (window == 0 || key > num_keys - 1 - window);
  }
  // The first vector of which any lane sees one of 16 keys, from `key` on.
  INLINE int64_t first_vector(int64_t key) const { return std::clamp<int64_t>((key - offset) / kLanes, 0, num_vectors); }
  // How many keys of a tile any lane of a vector sees, up to the next 16.
  INLINE int64_t num_seen(int64_t tile, int64_t vector) const {
    const int64_t end = offset + (vector + 1) * kLanes - tile * kTile;
    return std::clamp<int64_t>((end + 15) / 16 * 16, 0, kTile);
  }
};

// Keys, or values, of a path as words: by rows (key, room / kPerWord), and in pairs (key / kPerWord, room).
// What the block before has left is taken up: blocks of a text come after each other, and see the same and more.
template <class Units> struct Packed {
  Buffer<Word> rows, pairs;
  const int32_t* path = nullptr;
  int64_t count = 0;

  void forget() { path = nullptr, count = 0; }

  template <class T> void fill(const Block& block, Rows<const T> from, int64_t head, bool wants_pairs) {
    const int64_t words = from.width.room / Units::kPerWord;
    if (path != block.keys) path = block.keys, count = 0;
    if (count >= block.num_keys) return;
    const int64_t end = block.num_tiles * kTile;
    rows.resize(std::max<size_t>(rows.size(), end * words));
    if (wants_pairs) pairs.resize(std::max<size_t>(pairs.size(), end * words));
    for (int64_t key = count / kTile * kTile; key < end; key += 2) {
      for (int64_t one = key; one < key + 2; ++one) {
        if (one < block.num_keys)
          copy_row<Units>(from.row(block.keys[one], head), from.width.numbers, from.width.room, &rows[one * words]);
        else
          std::memset(&rows[one * words], 0, words * sizeof(Word));
      }
      if (wants_pairs) pair_rows<Units>(&rows[key * words], &rows[(key + 1) * words], from.width.room, &pairs[key * words]);
    }
    count = block.num_keys;
  }
};

// Rows of a block's queries as words, in `rows` (kTile, room / kPerWord), and turned (room / kPerWord, kTile).
template <class Units, class T>
INLINE void take_queries(const Block& block, Rows<const T> from, int64_t head, Word* rows, Word* turned) {
  const int64_t words = from.width.room / Units::kPerWord, count = block.num_vectors * kLanes;
  for (int64_t i = 0; i < block.num_queries; ++i)
    copy_row<Units>(from.row(block.first_token + i, head), from.width.numbers, from.width.room, rows + i * words);
  std::memset(rows + block.num_queries * words, 0, (count - block.num_queries) * words * sizeof(Word));
  transpose(rows, count, words, words, turned, kTile);
}

// What was made for a block's queries, turned (room, kTile), to their rows.  space: (kTile, room).
template <class T>
INLINE void put_queries(const Block& block, const float* turned, float* space, Rows<T> to, int64_t head) {
  const int64_t room = to.width.room;
  transpose(turned, room, block.num_vectors * kLanes, kTile, space, room);
  for (int64_t i = 0; i < block.num_queries; ++i)
    narrow_all(space + i * room, to.width.numbers, to.row(block.first_token + i, head));
}

}  // namespace
