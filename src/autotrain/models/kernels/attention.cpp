// Attention of a forest, whole: no score leaves the processor's caches (arXiv 2205.14135).
//
// A block is some queries of one text, at most 64, and the keys on their path.  Its scores are made tile by tile, 64 keys at a
// time, transposed: a lane is a query.  So softmax goes down lanes, and what it makes is laid out as the next product
// takes it.  Products are of words of 32 bits: a float, or two neighbouring bfloat16 where the processor multiplies those.

#include "forest.h"

namespace {

// A score that isn't seen: finite, so that no NaN comes of two of them, and a power of two, so that products with it are exact.
constexpr float kUnseen = -0x1p100f;

constexpr float kLog2e = 1.44269504f;

// 2^x, to about an ulp, for numbers that don't go over.
INLINE Lanes power_of_two(Lanes x) {
#ifdef __AVX512F__
  const Lanes rest = Lanes(_mm512_sub_ps(__m512(x), _mm512_roundscale_ps(__m512(x), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)));
  Lanes sum = fused(all(1.8775766578e-3f), rest, all(8.9893401326e-3f));
  sum = fused(sum, rest, all(5.5826318018e-2f));
  sum = fused(sum, rest, all(2.4015361706e-1f));
  sum = fused(sum, rest, all(6.9315307320e-1f));
  sum = fused(sum, rest, all(9.9999992506e-1f));
  return Lanes(_mm512_scalef_ps(__m512(sum), __m512(x)));
#else
  return exponential(x * 0.693147181f);
#endif
}

// Of a tile, (keys, lanes) = rows of keys times turned queries, for those vectors that any of the keys is seen in.
template <class Units>
INLINE void multiply_seen(const Block& block, int64_t tile, const Word* keys, const Word* queries, int64_t words, float* out) {
  for (int64_t key = 0; key < kTile; key += 16) {
    const int64_t first = block.first_vector(tile * kTile + key), lane = first * kLanes;
    multiply<Units>(16, block.num_vectors - first, {keys + key * words, words, 1}, queries + lane, kTile, words,
                    out + key * kTile + lane, kTile, false);
  }
}

// (room, lanes) (+)= pairs of keys, a step each, times right (keys / kPerWord, kTile), as far as keys are seen.
template <class Units>
INLINE void multiply_keys(const Block& block, int64_t tile, int64_t room, const Word* pairs, const Word* right, float* out,
                          bool adds) {
  const Left left{pairs + tile * kTile * (room / Units::kPerWord), 1, room};
  if (block.num_seen(tile, 0) == kTile)
    return multiply<Units>(room, block.num_vectors, left, right, kTile, kTile / Units::kPerWord, out, kTile, adds);
  for (int64_t v = 0; v < block.num_vectors; ++v)
    multiply<Units>(room, 1, left, right + v * kLanes, kTile, block.num_seen(tile, v) / Units::kPerWord, out + v * kLanes,
                    kTile, adds);
}

// (keys, room) (+)= left (keys, lanes / kPerWord) times right (lanes / kPerWord, room), from the first lane that sees a key.
template <class Units>
INLINE void multiply_lanes(const Block& block, int64_t tile, const Word* left, const Word* right, int64_t room, float* out,
                           bool adds) {
  constexpr int64_t stride = kTile / Units::kPerWord, in_vector = kLanes / Units::kPerWord;
  for (int64_t key = 0; key < kTile; key += 16) {
    const int64_t skipped = block.first_vector(tile * kTile + key) * in_vector;
    multiply<Units>(16, room / kLanes, {left + key * stride + skipped, stride, 1}, right + skipped * room, room,
                    block.num_vectors * in_vector - skipped, out + key * room, room, adds);
  }
}

INLINE void scale_column(float* column, int64_t rows, Lanes by) {
  for (int64_t i = 0; i < rows; ++i) store(load(column + i * kTile) * by, column + i * kTile);
}

template <class T> struct Forward {
  using Units = typename UnitsOf<T>::Units;
  const Problem& problem;
  Rows<const T> query, key, value;
  Rows<T> out;
  float* log_sums;  // (query heads, tokens), to the base 2, for the way back

  Packed<Units> keys, values;
  Buffer<Word> rows, turned, weights;
  Buffer<float> scores, result, space;
  Lanes top[kVectors], sum[kVectors];  // of the queries' softmax, as far as it has come

  Forward(const Problem& p, Rows<const T> q, Rows<const T> k, Rows<const T> v, Rows<T> o, float* logs)
      : problem(p), query(q), key(k), value(v), out(o), log_sums(logs), rows(kTile * p.width.room), turned(rows.size()),
        weights(kTile * kTile), scores(kTile * kTile), result(kTile * p.value_width.room), space(result.size()) {}

  // Weights of a tile, in pairs of keys; what came of the tiles before shrinks.
  INLINE void weigh(const Block& block, int64_t tile) {
    const bool is_whole = block.all_see(tile, problem.window);
    const float scale = problem.scale * kLog2e;
    for (int64_t v = 0; v < block.num_vectors; ++v) {
      float* column = scores.data() + v * kLanes;
      const int64_t count = block.num_seen(tile, v);
      Lanes new_top = top[v];
      for (int64_t i = 0; i < count; ++i) {
        Lanes score = load(column + i * kTile);
        if (!is_whole) {
          score = block.see(tile * kTile + i, v, problem.window) ? score : all(kUnseen);
          store(score, column + i * kTile);
        }
        new_top = score > new_top ? score : new_top;
      }
      const Lanes above = new_top * -scale, shrink = power_of_two(fused(top[v], all(scale), above));
      top[v] = new_top, sum[v] *= shrink;
      if (tile > 0) scale_column(&result[v * kLanes], problem.value_width.room, shrink);
      for (int64_t i = 0; i < count; i += 2) {
        const Lanes first = power_of_two(fused(load(column + i * kTile), all(scale), above));
        const Lanes second = power_of_two(fused(load(column + (i + 1) * kTile), all(scale), above));
        sum[v] += first + second;
        Units::store_pairs(first, second, &weights[i / Units::kPerWord * kTile + v * kLanes], kTile);
      }
    }
  }

  void run(const Block& block, int64_t key_head) {
    const int64_t words = problem.width.room / Units::kPerWord, room = problem.value_width.room;
    keys.fill(block, key, key_head, false);
    values.fill(block, value, key_head, true);
    for (int64_t head = key_head * problem.group(); head < (key_head + 1) * problem.group(); ++head) {
      take_queries<Units>(block, query, head, rows.data(), turned.data());
      for (int64_t v = 0; v < kVectors; ++v) top[v] = all(kUnseen), sum[v] = Lanes{};
      for (int64_t tile = 0; tile < block.num_tiles; ++tile) {
        multiply_seen<Units>(block, tile, &keys.rows[tile * kTile * words], turned.data(), words, scores.data());
        weigh(block, tile);
        multiply_keys<Units>(block, tile, room, values.pairs.data(), weights.data(), result.data(), tile > 0);
      }
      float logs[kTile];
      for (int64_t v = 0; v < block.num_vectors; ++v) {
        scale_column(&result[v * kLanes], room, 1.0f / sum[v]);
        for (int64_t lane = 0; lane < kLanes; ++lane)
          logs[v * kLanes + lane] = top[v][lane] * problem.scale * kLog2e + std::log2(sum[v][lane]);
      }
      std::memcpy(log_sums + head * problem.num_tokens + block.first_token, logs, block.num_queries * sizeof(float));
      put_queries(block, result.data(), space.data(), out, head);
    }
  }
};

template <class T> struct Backward {
  using Units = typename UnitsOf<T>::Units;
  const Problem& problem;
  Rows<const T> query, key, value, out, grad;
  const float* log_sums;
  Rows<T> by_query;
  Rows<float> by_key, by_value;  // of the total of the part that is worked on

  // Of all queries that share the key head: one after the other.
  struct Queries {
    Buffer<Word> turned, paired;
    Queries(int64_t group, int64_t room) : turned(group * kTile * room), paired(turned.size()) {}
  };

  Packed<Units> keys, values;
  Queries queries, grads;
  Buffer<Word> rows, weights, by_scores, by_scores_paired;
  Buffer<float> scores, by_weights, of_keys, of_values, of_queries, space, logs, deltas;

  Backward(const Problem& p, Rows<const T> q, Rows<const T> k, Rows<const T> v, Rows<const T> o, Rows<const T> g,
           const float* sums, Rows<T> to_query, Rows<float> to_key, Rows<float> to_value)
      : problem(p), query(q), key(k), value(v), out(o), grad(g), log_sums(sums), by_query(to_query), by_key(to_key),
        by_value(to_value), queries(p.group(), p.width.room), grads(p.group(), p.value_width.room),
        rows(kTile * std::max(p.width.room, p.value_width.room)), weights(kTile * kTile), by_scores(kTile * kTile),
        by_scores_paired(kTile * kTile), scores(kTile * kTile), by_weights(kTile * kTile), of_keys(kTile * p.width.room),
        of_values(kTile * p.value_width.room), of_queries(p.group() * kTile * p.width.room), space(kTile * p.width.room),
        logs(p.group() * kTile), deltas(p.group() * kTile) {}

  INLINE void take(const Block& block, Rows<const T> from, int64_t head, Queries& to, int64_t member) {
    const int64_t room = from.width.room, words = room / Units::kPerWord, first = member * kTile * room;
    take_queries<Units>(block, from, head, rows.data(), &to.turned[first]);
    for (int64_t i = 0; i < block.num_vectors * kLanes; i += 2)
      pair_rows<Units>(&rows[i * words], &rows[(i + 1) * words], room, &to.paired[first + i * words]);
  }

  // What a gradient of a score lacks: the products of output and gradient, added up.  Lanes without a query have zeros.
  INLINE void take_sums(const Block& block, int64_t head, float* to_logs, float* to_deltas) {
    std::fill(to_logs, to_logs + kTile, 0.0f);
    std::fill(to_deltas, to_deltas + kTile, 0.0f);
    std::memcpy(to_logs, log_sums + head * problem.num_tokens + block.first_token, block.num_queries * sizeof(float));
    for (int64_t i = 0; i < block.num_queries; ++i) {
      const T *x = out.row(block.first_token + i, head), *y = grad.row(block.first_token + i, head);
      const int64_t count = out.width.numbers;
      Lanes dots{};
      for (int64_t d = 0; d < count; d += kLanes) dots = fused(load(x + d, count - d), load(y + d, count - d), dots);
      to_deltas[i] = sum_of(dots);
    }
  }

  // Weights and gradients of scores, each as the products take them.
  INLINE void weigh(const Block& block, int64_t tile, const float* my_logs, const float* my_deltas) {
    constexpr int64_t stride = kTile / Units::kPerWord;
    const bool is_whole = block.all_see(tile, problem.window);
    for (int64_t v = 0; v < block.num_vectors; ++v) {
      const Lanes log_sum = load(my_logs + v * kLanes), delta = load(my_deltas + v * kLanes);
      const int64_t count = block.num_seen(tile, v);
      for (int64_t i = 0; i < kTile; i += 2) {
        Lanes weight[2] = {}, by_score[2] = {};
        for (int64_t one = 0; one < (i < count ? 2 : 0); ++one) {
          const int64_t at = (i + one) * kTile + v * kLanes;
          weight[one] = power_of_two(fused(load(&scores[at]), all(problem.scale * kLog2e), -log_sum));
          by_score[one] = weight[one] * (load(&by_weights[at]) - delta) * problem.scale;
          if (!is_whole) {
            const LaneNumbers sees = block.see(tile * kTile + i + one, v, problem.window);
            weight[one] = sees ? weight[one] : Lanes{};
            by_score[one] = sees ? by_score[one] : Lanes{};
          }
        }
        const int64_t at = i * stride + v * kLanes / Units::kPerWord;
        Units::store_rows(weight[0], weight[1], &weights[at], stride);
        Units::store_rows(by_score[0], by_score[1], &by_scores[at], stride);
        Units::store_pairs(by_score[0], by_score[1], &by_scores_paired[i / Units::kPerWord * kTile + v * kLanes], kTile);
      }
    }
  }

  static INLINE void add(const Block& block, int64_t tile, const float* rows, Rows<float> to, int64_t head) {
    const int64_t count = std::min(kTile, block.num_keys - tile * kTile), numbers = to.width.numbers;
    for (int64_t i = 0; i < count; ++i, rows += to.width.room) {
      float* sum = to.row(block.keys[tile * kTile + i], head);
      for (int64_t d = 0; d < numbers; d += kLanes)
        store(load(sum + d, numbers - d) + load(rows + d), sum + d, numbers - d);
    }
  }

  void run(const Block& block, int64_t key_head) {
    const int64_t room = problem.width.room, value_room = problem.value_width.room, size = kTile * room;
    const int64_t words = room / Units::kPerWord, value_words = value_room / Units::kPerWord;
    keys.fill(block, key, key_head, true);
    values.fill(block, value, key_head, false);
    for (int64_t member = 0; member < problem.group(); ++member) {
      const int64_t head = key_head * problem.group() + member;
      take(block, query, head, queries, member);
      take(block, grad, head, grads, member);
      take_sums(block, head, &logs[member * kTile], &deltas[member * kTile]);
    }
    for (int64_t tile = 0; tile < block.num_tiles; ++tile) {
      const Word *tile_keys = &keys.rows[tile * kTile * words], *tile_values = &values.rows[tile * kTile * value_words];
      for (int64_t member = 0; member < problem.group(); ++member) {
        const int64_t first = member * size, first_grad = member * kTile * value_room;
        multiply_seen<Units>(block, tile, tile_keys, &queries.turned[first], words, scores.data());
        multiply_seen<Units>(block, tile, tile_values, &grads.turned[first_grad], value_words, by_weights.data());
        weigh(block, tile, &logs[member * kTile], &deltas[member * kTile]);
        multiply_lanes<Units>(block, tile, weights.data(), &grads.paired[first_grad], value_room, of_values.data(), member > 0);
        multiply_lanes<Units>(block, tile, by_scores.data(), &queries.paired[first], room, of_keys.data(), member > 0);
        multiply_keys<Units>(block, tile, room, keys.pairs.data(), by_scores_paired.data(), &of_queries[first], tile > 0);
      }
      add(block, tile, of_keys.data(), by_key, key_head);
      add(block, tile, of_values.data(), by_value, key_head);
    }
    for (int64_t member = 0; member < problem.group(); ++member)
      put_queries(block, &of_queries[member * size], space.data(), by_query, key_head * problem.group() + member);
  }
};

// Each thread makes a worker, enters it into each part's total, and runs its blocks: parts and key heads are shared out as
// threads become free.
template <class Make, class Enter>
INLINE void over_parts(const Problem& problem, [[maybe_unused]] int threads, Make make, Enter enter) {
#pragma omp parallel num_threads(threads)
  {
    auto worker = make();
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < problem.num_parts * problem.key_heads; ++item) {
      const int32_t* part = problem.parts + 3 * (item / problem.key_heads);
      worker.keys.forget(), worker.values.forget();
      enter(worker, part[2]);
      for (int64_t index = part[0]; index < part[1]; ++index) worker.run(Block(problem, index), item % problem.key_heads);
    }
  }
}

}  // namespace

extern "C" {

// query: (tokens, query_heads * width).  key: (tokens, key_heads * width).  value: (tokens, key_heads * value_width).
// out: (tokens, query_heads * value_width).  log_sums: (query_heads, tokens).  Of tokens in no block nothing is written.
void attention(const void* query, int64_t query_stride, const void* key, int64_t key_stride, const void* value,
               int64_t value_stride, int type, const int32_t* paths, const int32_t* blocks, const int32_t* parts,
               int64_t num_parts, int64_t query_heads, int64_t key_heads, int64_t width, int64_t value_width, float scale,
               int64_t window, int64_t num_tokens, void* out, int64_t out_stride, float* log_sums, int threads) {
  const Width w(width), v(value_width);
  const Problem problem{paths, blocks, parts, num_parts, query_heads, key_heads, w, v, scale, window, num_tokens};
  with_type(type, [&](auto t) {
    using T = decltype(t);
    const auto make = [&] {
      return Forward<T>(problem, {static_cast<const T*>(query), query_stride, w}, {static_cast<const T*>(key), key_stride, w},
                        {static_cast<const T*>(value), value_stride, v}, {static_cast<T*>(out), out_stride, v}, log_sums);
    };
    over_parts(problem, threads, make, [](auto&, int64_t) {});
  });
}

// by_key: (totals, tokens, key_heads * width), by_value: (totals, tokens, key_heads * value_width), without gaps; added to.
void attention_backward(const void* query, int64_t query_stride, const void* key, int64_t key_stride, const void* value,
                        int64_t value_stride, const void* out, int64_t out_stride, const void* grad, int64_t grad_stride,
                        int type, const int32_t* paths, const int32_t* blocks, const int32_t* parts, int64_t num_parts,
                        int64_t query_heads, int64_t key_heads, int64_t width, int64_t value_width, float scale,
                        int64_t window, int64_t num_tokens, const float* log_sums, void* by_query, int64_t by_query_stride,
                        float* by_key, float* by_value, int threads) {
  const Width w(width), v(value_width);
  const Problem problem{paths, blocks, parts, num_parts, query_heads, key_heads, w, v, scale, window, num_tokens};
  with_type(type, [&](auto t) {
    using T = decltype(t);
    const int64_t key_size = key_heads * width, value_size = key_heads * value_width;
    const auto make = [&] {
      return Backward<T>(problem, {static_cast<const T*>(query), query_stride, w}, {static_cast<const T*>(key), key_stride, w},
                         {static_cast<const T*>(value), value_stride, v}, {static_cast<const T*>(out), out_stride, v},
                         {static_cast<const T*>(grad), grad_stride, v}, log_sums,
                         {static_cast<T*>(by_query), by_query_stride, w}, {by_key, key_size, w}, {by_value, value_size, v});
    };
    over_parts(problem, threads, make, [&](auto& worker, int64_t total) {
      worker.by_key.at = by_key + total * num_tokens * key_size;
      worker.by_value.at = by_value + total * num_tokens * value_size;
    });
  });
}

}  // extern "C"
