// What all kernels share.  Each .cpp here has a plain C interface: what a function computes, `plain.py` says in torch.
//
// Element types: 0 is float, 1 is bfloat16 (its bits in a uint16_t).  Sizes and strides count elements, not bytes; the last
// dimension is contiguous.  Each row is made by one thread in one order, so results don't depend on the number of threads.
// All loops but one are written so that compilers vectorize them.  Compiled without contraction of a * b + c,
// so that results are the same everywhere; `fused` says where one is wanted.

#pragma once

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

INLINE bool is_nan(float x) { return x != x; }

// The bits of the nearest bfloat16, ties to even; any NaN becomes the quiet one.
INLINE uint32_t narrow_bits(float x) {
  const uint32_t bits = bits_of(x), rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return is_nan(x) ? 0x7fc0u : rounded;
}
INLINE void narrow(float x, float& out) { out = x; }
INLINE void narrow(float x, Bf16& out) { out = Bf16(narrow_bits(x)); }
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

}  // namespace
