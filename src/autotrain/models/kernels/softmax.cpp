// Softmax over keys, and over a vocabulary.

#include "elements.h"

namespace {

// The keys first .. end-1 that a query sees.
struct Seen { int64_t first, end; };
INLINE Seen seen_by(int64_t position, int64_t keys, int64_t window) {
  const int64_t end = std::max<int64_t>(0, std::min(keys, position + 1));
  return {window > 0 ? std::min(end, std::max<int64_t>(0, position - window + 1)) : 0, end};
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

// space: of `keys` floats.
template <class S, class P>
INLINE void softmax_row(const S* scores, Seen seen, int64_t keys, float scale, float* space, P* out) {
  const S* x = scores + seen.first;
  const int64_t count = seen.end - seen.first;
  const float top = largest(x, count);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    const float e = exponential((widen(x[i]) - top) * scale);
    space[i] = e;
    sum += e;
  }
  const float inverse = 1.0f / sum;
  fill(out + seen.first, count, [&](int64_t i) { return space[i] * inverse; });
  zero_outside(out, seen, keys);
}

template <class P, class G>
INLINE void softmax_row_backward(const P* probabilities, G* grad, const float* delta, Seen seen, int64_t keys, float scale) {
  const P* p = probabilities + seen.first;
  G* g = grad + seen.first;
  const int64_t count = seen.end - seen.first;
  float dot = 0;
  if (delta) {
    dot = *delta;
  } else {
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < count; ++i) dot += widen(p[i]) * widen(g[i]);
  }
  fill(g, count, [&](int64_t i) { return scale * widen(p[i]) * (widen(g[i]) - dot); });
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

// scores, out: (blocks, queries, keys).  window: 0 where there is none.  out may be the scores themselves.
void causal_softmax(const void* scores_, int64_t scores_block, int64_t scores_stride, int scores_type, void* out_,
                    int64_t out_block, int64_t out_stride, int out_type, int64_t blocks, int64_t queries, int64_t keys,
                    float scale, int64_t offset, int64_t window, int threads) {
  std::vector<float> space(keys * threads);
  with_type(scores_type, [&](auto st) {
    with_type(out_type, [&](auto ot) {
      using S = decltype(st);
      using P = decltype(ot);
      in_parallel(threads, threads, [&](int64_t part) {
        for (int64_t row = part; row < blocks * queries; row += threads) {
          const int64_t block = row / queries, query = row % queries;
          softmax_row(static_cast<const S*>(scores_) + block * scores_block + query * scores_stride,
                      seen_by(offset + query, keys, window), keys, scale, &space[part * keys],
                      static_cast<P*>(out_) + block * out_block + query * out_stride);
        }
      });
    });
  });
}

// delta: (blocks, queries), or null.
void causal_softmax_backward(const void* p_, int64_t p_block, int64_t p_stride, int p_type, void* grad_,
                             int64_t grad_block, int64_t grad_stride, int grad_type, const float* delta, int64_t blocks,
                             int64_t queries, int64_t keys, float scale, int64_t offset, int64_t window, int threads) {
  with_type(p_type, [&](auto pt) {
    with_type(grad_type, [&](auto gt) {
      using P = decltype(pt);
      using G = decltype(gt);
      in_parallel(blocks * queries, threads, [&](int64_t row) {
        const int64_t block = row / queries, query = row % queries;
        softmax_row_backward(static_cast<const P*>(p_) + block * p_block + query * p_stride,
                             static_cast<G*>(grad_) + block * grad_block + query * grad_stride,
                             delta ? delta + row : nullptr, seen_by(offset + query, keys, window), keys, scale);
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
