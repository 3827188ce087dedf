// Softmax over keys, and over a vocabulary.

#include "lanes.h"

namespace {

// The keys first .. end-1 that a query sees.
struct Seen { int64_t first, end; };
INLINE Seen seen_by(int64_t position, int64_t keys, int64_t window) {
  const int64_t end = std::max<int64_t>(0, std::min(keys, position + 1));
  return {window > 0 ? std::min(end, std::max<int64_t>(0, position - window + 1)) : 0, end};
}
INLINE Seen seen_in(int64_t block, int64_t query, const int32_t* offsets, const int32_t* lengths, int64_t keys,
                    int64_t window) {
  return query < lengths[block] ? seen_by(offsets[block] + query, keys, window) : Seen{0, 0};
}

template <class X> INLINE float largest(const X* x, int64_t count) {
  float top = -INFINITY;
#pragma omp simd reduction(max : top)
  for (int64_t i = 0; i < count; ++i) top = widen(x[i]) > top ? widen(x[i]) : top;
  return top;
}

template <class T> INLINE void zero_outside(T* row, Seen seen, int64_t keys) {
  std::memset(row, 0, seen.first * sizeof(T));
  std::memset(row + seen.end, 0, (keys - seen.end) * sizeof(T));
}

// space: of `keys` floats, filled up to whole lanes.
template <class T> INLINE void softmax_row(T* scores, Seen seen, int64_t keys, float scale, float* space) {
  T* x = scores + seen.first;
  const int64_t count = seen.end - seen.first, room = keys - seen.first;
  Lanes tops = all(-INFINITY), sums{};
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes value = first_of(count - i, load(x + i, room - i), all(-INFINITY));
    tops = value > tops ? value : tops;
    store(value, space + i);
  }
  const float top = largest_of(tops);
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes value = exponential((load(space + i) - top) * scale);
    sums += value;
    store(value, space + i);
  }
  const float inverse = 1.0f / sum_of(sums);
  for (int64_t i = 0; i < count; i += kLanes) store(load(space + i) * inverse, x + i, room - i);
  zero_outside(scores, seen, keys);
}

template <class P, class G>
INLINE void softmax_row_backward(const P* probabilities, G* grad, Seen seen, int64_t keys, float scale) {
  const P* p = probabilities + seen.first;
  G* g = grad + seen.first;
  const int64_t count = seen.end - seen.first, room = keys - seen.first;
  Lanes dots{};
  for (int64_t i = 0; i < count; i += kLanes)
    dots += first_of(count - i, load(p + i, room - i) * load(g + i, room - i), Lanes{});
  const float dot = sum_of(dots);
  for (int64_t i = 0; i < count; i += kLanes)
    store(load(p + i, room - i) * (load(g + i, room - i) - dot) * scale, g + i, room - i);
  zero_outside(grad, seen, keys);
}

constexpr int64_t kSummed = 4096;  // so many exponentials are summed in float, and their sums in double

// log softmax(x)[target]; with `writes`, x becomes its gradient.
template <class X> INLINE float log_prob_row(X* x, int64_t width, int64_t target, bool writes) {
  const float top = largest(x, width);
  double total = 0;
  for (int64_t start = 0; start < width; start += kSummed) {
    const int64_t end = std::min(width, start + kSummed);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = start; i < end; ++i) sum += exponential(widen(x[i]) - top);
    total += sum;
  }
  const float above = widen(x[target]) - top;
  if (writes) {
    const float inverse = float(-1.0 / total);
    fill(x, width, [&](int64_t i) { return exponential(widen(x[i]) - top) * inverse; });
    narrow(1.0f + exponential(above) * inverse, x[target]);
  }
  return float(above - std::log(total));
}

}  // namespace

extern "C" {

// scores: (blocks, heads, queries, keys), without gaps, written over.  offsets, lengths: (blocks), which of its keys a block's
// first query is itself, and how many queries it has; the other rows become zero.  window: 0 where there is none.
void causal_softmax(void* scores_, int type, const int32_t* offsets, const int32_t* lengths, int64_t blocks, int64_t heads,
                    int64_t queries, int64_t keys, float scale, int64_t window, int threads) {
  const int64_t size = (keys + kLanes - 1) / kLanes * kLanes;
  std::vector<float> space(size * threads);
  with_type(type, [&](auto t) {
    using T = decltype(t);
    in_parallel(threads, threads, [&](int64_t part) {
      for (int64_t row = part; row < blocks * heads * queries; row += threads)
        softmax_row(static_cast<T*>(scores_) + row * keys,
                    seen_in(row / (heads * queries), row % queries, offsets, lengths, keys, window), keys, scale,
                    &space[part * size]);
    });
  });
}

// p, grad: (blocks, heads, queries, keys), without gaps; grad is written over.
void causal_softmax_backward(const void* p_, int p_type, void* grad_, int grad_type, const int32_t* offsets,
                             const int32_t* lengths, int64_t blocks, int64_t heads, int64_t queries, int64_t keys,
                             float scale, int64_t window, int threads) {
  with_type(p_type, [&](auto pt) {
    with_type(grad_type, [&](auto gt) {
      using P = decltype(pt);
      using G = decltype(gt);
      in_parallel(blocks * heads * queries, threads, [&](int64_t row) {
        softmax_row_backward(static_cast<const P*>(p_) + row * keys, static_cast<G*>(grad_) + row * keys,
                             seen_in(row / (heads * queries), row % queries, offsets, lengths, keys, window), keys, scale);
      });
    });
  });
}

// A target outside 0 .. width-1 gets NaN, and its logits stay as they are.
void log_prob(void* logits_, int64_t stride, int type, const int64_t* target, int64_t rows, int64_t width, int writes,
              float* result, int threads) {
  with_type(type, [&](auto t) {
    using X = decltype(t);
    in_parallel(rows, threads, [&](int64_t row) {
      const bool is_there = target[row] >= 0 && target[row] < width;
      result[row] = is_there ? log_prob_row(static_cast<X*>(logits_) + row * stride, width, target[row], writes) : NAN;
    });
  });
}

}  // extern "C"
