// The elementwise work of a training step.  A plain C interface: what each function computes, `plain.py` says in torch.
//
// Element types: 0 is float, 1 is bfloat16 (its bits in a uint16_t).  Sizes and strides count elements, not bytes; the last
// dimension is contiguous.  Each row is made by one thread in one order, so results don't depend on the number of threads.
// No loop needs intrinsics: all are written so that compilers vectorize them.  Compiled without contraction of a * b + c,
// so that results are the same everywhere; `fused` says where one is wanted.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#define INLINE inline __attribute__((always_inline))

namespace {

using Bf16 = uint16_t;

INLINE uint32_t bits_of(float x) { uint32_t bits; std::memcpy(&bits, &x, 4); return bits; }
INLINE float float_of(uint32_t bits) { float x; std::memcpy(&x, &bits, 4); return x; }

INLINE float widen(float x) { return x; }
INLINE float widen(Bf16 x) { return float_of(uint32_t(x) << 16); }

INLINE void narrow(float x, float& out) { out = x; }
INLINE void narrow(float x, Bf16& out) {  // to nearest, ties to even; any NaN becomes the quiet one
  uint32_t bits = bits_of(x);
  uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  out = Bf16((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}
template <class T> INLINE float rounded_to(float x) { T out; narrow(x, out); return widen(out); }

INLINE float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// exp to about an ulp; 0 below -87.3, held at exp(88) above; NaN stays NaN.  (Cephes' polynomial.)
INLINE float exponential(float x) {
  float bounded = x > 88.0f ? 88.0f : x;
  bounded = bounded < -87.3f ? -87.3f : bounded;
  float shifted = fused(bounded, 1.44269504f, 12582912.0f);  // 1.5 * 2^23: the integer lands in the low bits
  float whole = shifted - 12582912.0f;
  float rest = fused(whole, 2.12194440e-4f, fused(whole, -0.693359375f, bounded));
  float sum = fused(1.9875691500e-4f, rest, 1.3981999507e-3f);
  sum = fused(sum, rest, 8.3334519073e-3f);
  sum = fused(sum, rest, 4.1665795894e-2f);
  sum = fused(sum, rest, 1.6666665459e-1f);
  sum = fused(sum, rest, 5.0000001201e-1f);
  sum = fused(sum, rest * rest, rest) + 1.0f;
  float power = float_of((bits_of(shifted) << 23) + 0x3f800000u);
  return x < -87.3f ? 0.0f : sum * power;
}

INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

template <class Body> INLINE void in_parallel(int64_t count, int threads, Body body) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t index = 0; index < count; ++index) body(index);
}

template <class Body> INLINE void with_type(int type, Body body) {
  if (type == 0) body(float{}); else body(Bf16{});
}

std::vector<float> widened(const void* values, int type, int64_t count) {
  std::vector<float> result(count);
  with_type(type, [&](auto t) {
    auto from = static_cast<const decltype(t)*>(values);
    for (int64_t i = 0; i < count; ++i) result[i] = widen(from[i]);
  });
  return result;
}

// ---- norm

template <class X, class Y>
INLINE float norm_row(const X* x, const float* weight, float eps, int64_t width, Y* y) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; ++i) squares += widen(x[i]) * widen(x[i]);
  const float rstd = 1.0f / std::sqrt(squares / float(width) + eps);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) narrow(weight[i] * rounded_to<X>(widen(x[i]) * rstd), y[i]);
  return rstd;
}

template <class G, class X>
INLINE void norm_row_backward(const G* grad, const X* x, const float* weight, float rstd, const X* residual,
                              int64_t width, X* grad_x, float* grad_weight) {
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < width; ++i) dot += widen(grad[i]) * weight[i] * (widen(x[i]) * rstd);
  const float mean = dot / float(width);
  if (grad_weight) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) grad_weight[i] += widen(grad[i]) * rounded_to<X>(widen(x[i]) * rstd);
  }
  if (residual) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i)
      narrow(rstd * (widen(grad[i]) * weight[i] - widen(x[i]) * rstd * mean) + widen(residual[i]), grad_x[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i)
      narrow(rstd * (widen(grad[i]) * weight[i] - widen(x[i]) * rstd * mean), grad_x[i]);
  }
}

constexpr int64_t kRowsPerSum = 32;  // a weight's gradient is summed over so many rows first: an order that is always the same

// ---- softmax

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
  P* y = out + seen.first;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) narrow(space[i] * inverse, y[i]);
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
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) narrow(scale * widen(p[i]) * (widen(g[i]) - dot), g[i]);
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
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) narrow(exponential(widen(x[i]) - top) * inverse, x[i]);
    narrow(1.0f + exponential(above) * inverse, x[target]);
  }
  return float(above - std::log(total));
}

// ---- dropout

constexpr int64_t kDrawn = 2048;  // elements whose random numbers are made at a time

INLINE uint32_t hashed(uint32_t index, uint32_t first_key, uint32_t second_key) {
  uint32_t word = index + first_key;
  word = (word ^ (word >> 17)) * 0xED5AD4BBu;
  word = ((word ^ (word >> 11)) + second_key) * 0xAC4C1B51u;
  word = (word ^ (word >> 15)) * 0x31848BABu;
  return word ^ (word >> 14);
}

}  // namespace

extern "C" {

// delta, total: null where there is nothing to add; otherwise total = x + delta is written, and normed.
void rms_norm(const void* x_, int64_t x_stride, const void* delta_, int64_t delta_stride, void* total_, int x_type,
              const void* weight_, int weight_type, float eps, int64_t rows, int64_t width, void* y_, int y_type,
              float* rstd, int threads) {
  const std::vector<float> weight = widened(weight_, weight_type, width);
  with_type(x_type, [&](auto xt) {
    with_type(y_type, [&](auto yt) {
      using X = decltype(xt);
      using Y = decltype(yt);
      in_parallel(rows, threads, [&](int64_t row) {
        const X* x = static_cast<const X*>(x_) + row * x_stride;
        if (delta_) {
          const X* delta = static_cast<const X*>(delta_) + row * delta_stride;
          X* total = static_cast<X*>(total_) + row * width;
#pragma omp simd
          for (int64_t i = 0; i < width; ++i) narrow(widen(x[i]) + widen(delta[i]), total[i]);
          x = total;
        }
        rstd[row] = norm_row(x, weight.data(), eps, width, static_cast<Y*>(y_) + row * width);
      });
    });
  });
}

// residual, grad_weight: may be null.  grad_weight (width): written.
void rms_norm_backward(const void* grad_, int64_t grad_stride, int grad_type, const void* x_, int64_t x_stride, int x_type,
                       const void* weight_, int weight_type, const float* rstd, const void* residual_,
                       int64_t residual_stride, int64_t rows, int64_t width, void* grad_x_, float* grad_weight,
                       int threads) {
  const std::vector<float> weight = widened(weight_, weight_type, width);
  const int64_t groups = (rows + kRowsPerSum - 1) / kRowsPerSum;
  std::vector<float> sums(grad_weight ? groups * width : 0, 0.0f);
  with_type(grad_type, [&](auto gt) {
    with_type(x_type, [&](auto xt) {
      using G = decltype(gt);
      using X = decltype(xt);
      in_parallel(groups, threads, [&](int64_t group) {
        const int64_t end = std::min(rows, (group + 1) * kRowsPerSum);
        for (int64_t row = group * kRowsPerSum; row < end; ++row)
          norm_row_backward(static_cast<const G*>(grad_) + row * grad_stride, static_cast<const X*>(x_) + row * x_stride,
                            weight.data(), rstd[row],
                            residual_ ? static_cast<const X*>(residual_) + row * residual_stride : nullptr, width,
                            static_cast<X*>(grad_x_) + row * width, grad_weight ? &sums[group * width] : nullptr);
      });
    });
  });
  if (!grad_weight) return;
  std::memset(grad_weight, 0, width * sizeof(float));
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t i = 0; i < width; ++i) grad_weight[i] += sums[group * width + i];
}

void swiglu(const void* gate_, int64_t gate_stride, const void* up_, int64_t up_stride, int type, int64_t rows,
            int64_t width, void* product_, int threads) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    in_parallel(rows, threads, [&](int64_t row) {
      const T* gate = static_cast<const T*>(gate_) + row * gate_stride;
      const T* up = static_cast<const T*>(up_) + row * up_stride;
      T* product = static_cast<T*>(product_) + row * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) narrow(widen(gate[i]) * sigmoid(widen(gate[i])) * widen(up[i]), product[i]);
    });
  });
}

// grad_gate and grad_up may be gate and up themselves.
void swiglu_backward(const void* grad_, int64_t grad_stride, const void* gate_, int64_t gate_stride, const void* up_,
                     int64_t up_stride, int type, int64_t rows, int64_t width, void* grad_gate_, int64_t grad_gate_stride,
                     void* grad_up_, int64_t grad_up_stride, void* product_, int threads) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    in_parallel(rows, threads, [&](int64_t row) {
      const T* grad = static_cast<const T*>(grad_) + row * grad_stride;
      const T* gate = static_cast<const T*>(gate_) + row * gate_stride;
      const T* up = static_cast<const T*>(up_) + row * up_stride;
      T* grad_gate = static_cast<T*>(grad_gate_) + row * grad_gate_stride;
      T* grad_up = static_cast<T*>(grad_up_) + row * grad_up_stride;
      T* product = static_cast<T*>(product_) + row * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const float g = widen(gate[i]), u = widen(up[i]), d = widen(grad[i]);
        const float s = sigmoid(g), silu = g * s;
        narrow(silu * u, product[i]);
        narrow(d * u * (s + silu * (1.0f - s)), grad_gate[i]);
        narrow(d * silu, grad_up[i]);
      }
    });
  });
}

// x: (rows, heads, width), turned where it lies.
void rope(void* x_, int64_t x_stride, int x_type, const void* cos_, int64_t cos_stride, const void* sin_,
          int64_t sin_stride, int angle_type, int64_t rows, int64_t heads, int64_t width, int inverse, int threads) {
  const int64_t half = width / 2;
  with_type(x_type, [&](auto xt) {
    with_type(angle_type, [&](auto at) {
      using X = decltype(xt);
      using A = decltype(at);
      in_parallel(rows, threads, [&](int64_t row) {
        const A* cos = static_cast<const A*>(cos_) + row * cos_stride;
        const A* sin = static_cast<const A*>(sin_) + row * sin_stride;
        // What the other half is multiplied by, for the first half and for the second.
        const A *into_first = inverse ? sin + half : sin, *into_second = inverse ? sin : sin + half;
        const float sign = inverse ? -1.0f : 1.0f;
        for (int64_t head = 0; head < heads; ++head) {
          X* first = static_cast<X*>(x_) + row * x_stride + head * width;
          X* second = first + half;
#pragma omp simd
          for (int64_t i = 0; i < half; ++i) {
            const float a = widen(first[i]), b = widen(second[i]);
            narrow(a * widen(cos[i]) - sign * b * widen(into_first[i]), first[i]);
            narrow(b * widen(cos[half + i]) + sign * a * widen(into_second[i]), second[i]);
          }
        }
      });
    });
  });
}

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

// x: (rows, width); element (row, i) has the number row * width + i.  out: the result, or what it is added to.
void dropout(const void* x_, int64_t x_stride, int x_type, int64_t rows, int64_t width, uint32_t threshold, float scale,
             uint32_t first_key, uint32_t second_key, void* out_, int64_t out_stride, int out_type, int adds, int threads) {
  const int64_t parts = (width + kDrawn - 1) / kDrawn;
  with_type(x_type, [&](auto xt) {
    with_type(out_type, [&](auto ot) {
      using X = decltype(xt);
      using O = decltype(ot);
      in_parallel(rows * parts, threads, [&](int64_t part) {
        const int64_t row = part / parts, start = part % parts * kDrawn, count = std::min(kDrawn, width - start);
        const int64_t index = row * width + start;
        uint32_t words[kDrawn / 2 + 1];
        const uint32_t pair = uint32_t(index / 2);
        for (uint32_t i = 0; i < kDrawn / 2 + 1; ++i) words[i] = hashed(pair + i, first_key, second_key);
        uint16_t drawn[kDrawn + 2];
        std::memcpy(drawn, words, sizeof words);
        const uint16_t* mine = drawn + index % 2;
        const X* x = static_cast<const X*>(x_) + row * x_stride + start;
        O* out = static_cast<O*>(out_) + row * out_stride + start;
        if (adds) {
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) {
            const float scaled = widen(x[i]) * scale;
            narrow(widen(out[i]) + (uint32_t(mine[i]) >= threshold ? scaled : 0.0f), out[i]);
          }
        } else {
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) {
            const float scaled = widen(x[i]) * scale;
            narrow(uint32_t(mine[i]) >= threshold ? scaled : 0.0f, out[i]);
          }
        }
      });
    });
  });
}

}  // extern "C"
