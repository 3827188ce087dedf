// What all kernels share.  Each .cpp here has a plain C interface: what a function computes, `plain.py` says in torch.
//
// Element types: 0 is float, 1 is bfloat16 (its bits in a uint16_t).  Sizes and strides count elements, not bytes; the last
// dimension is contiguous.  Each row is made by one thread in one order, so results don't depend on the number of threads.
// Where a loop has no intrinsics, compilers vectorize it.  Compiled without contraction of a * b + c,
// so that results are the same everywhere; `fused` says where one is wanted.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

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

// A float32 product of bfloat16 numbers, rounded to T.  A NaN among them has no low bits that could carry it away.
template <class T> INLINE float rounded_to(float x);
template <> INLINE float rounded_to<float>(float x) { return x; }
template <> INLINE float rounded_to<Bf16>(float x) {
  const uint32_t bits = bits_of(x);
  return float_of((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

#ifdef __AVX512BF16__
// The processor's own instruction, several times as fast; numbers below 1e-38 become 0.
INLINE void narrow_all(const float* from, int64_t count, Bf16* to) {
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m512bh pair = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
    std::memcpy(to + i, &pair, sizeof pair);
  }
  for (; i < count; ++i) narrow(from[i], to[i]);
}
#else
INLINE void narrow_all(const float* from, int64_t count, Bf16* to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) narrow(from[i], to[i]);
}
#endif

INLINE void narrow_all(const float* from, int64_t count, float* to) { std::memcpy(to, from, count * sizeof(float)); }

// Memory where a vector of lanes lies within one line of the caches: one that lies across two takes twice as long to read.
constexpr std::align_val_t kLine{64};

template <class X> struct Aligned {
  using value_type = X;
  Aligned() = default;
  template <class Y> Aligned(const Aligned<Y>&) {}
  X* allocate(std::size_t count) { return static_cast<X*>(::operator new(count * sizeof(X), kLine)); }
  void deallocate(X* at, std::size_t) { ::operator delete(at, kLine); }
  friend bool operator==(const Aligned&, const Aligned&) { return true; }
  friend bool operator!=(const Aligned&, const Aligned&) { return false; }
};
template <class X> using Buffer = std::vector<X, Aligned<X>>;

constexpr int64_t kPart = 256;  // elements of a row that are worked on at a time: they stay close to the processor

// to[i] = value(i).  A value may read what is overwritten, at its own i.
template <class F> INLINE void fill(float* to, int64_t count, F value) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = value(i);
}
template <class F> INLINE void fill(Bf16* to, int64_t count, F value) {
  float space[kPart];
  for (int64_t start = 0; start < count; start += kPart) {
    const int64_t size = std::min(kPart, count - start);
    fill(space, size, [&](int64_t i) { return value(start + i); });
    narrow_all(space, size, to + start);
  }
}

INLINE float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// exp(x) for x <= 88, to about an ulp; 0 below -87.3, NaN for NaN.  (Cephes' polynomial.)
INLINE float exponential(float x) {
  const float shifted = fused(x, 1.44269504f, 12582912.0f);  // 1.5 * 2^23: the integer lands in the low bits
  const float whole = shifted - 12582912.0f;
  const float rest = fused(whole, 2.12194440e-4f, fused(whole, -0.693359375f, x));
  float sum = fused(1.9875691500e-4f, rest, 1.3981999507e-3f);
  sum = fused(sum, rest, 8.3334519073e-3f);
  sum = fused(sum, rest, 4.1665795894e-2f);
  sum = fused(sum, rest, 1.6666665459e-1f);
  sum = fused(sum, rest, 5.0000001201e-1f);
  sum = fused(sum, rest * rest, rest) + 1.0f;
  const float power = float_of((bits_of(shifted) << 23) + 0x3f800000u);
  return x < -87.3f ? 0.0f : sum * power;
}

INLINE float sigmoid(float x) { return x < -88.0f ? 0.0f : 1.0f / (1.0f + exponential(-x)); }

template <class Body> INLINE void in_parallel(int64_t count, [[maybe_unused]] int threads, Body body) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t index = 0; index < count; ++index) body(index);
}

template <class Body> INLINE void with_type(int type, Body body) {
  if (type == 0) body(float{}); else body(Bf16{});
}

inline std::vector<float> widened(const void* values, int type, int64_t count) {
  std::vector<float> result(count);
  with_type(type, [&](auto t) {
    auto from = static_cast<const decltype(t)*>(values);
    for (int64_t i = 0; i < count; ++i) result[i] = widen(from[i]);
  });
  return result;
}

}  // namespace
