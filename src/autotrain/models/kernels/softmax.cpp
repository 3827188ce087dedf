// Softmax over a vocabulary.

#include "elements.h"

namespace {

template <class X> INLINE float largest(const X* x, int64_t count) {
  float top = -INFINITY;
#pragma omp simd reduction(max : top)
  for (int64_t i = 0; i < count; ++i) top = widen(x[i]) > top ? widen(x[i]) : top;
  return top;
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
