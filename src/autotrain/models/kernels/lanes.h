// As many floats at a time as the processor takes, said outright where compilers don't see by themselves that a loop
// can be taken so.

#pragma once

#include "elements.h"

namespace {

#ifdef __AVX512F__
constexpr int64_t kLanes = 16;
#define NUMBERS {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
#elif defined(__AVX__)
constexpr int64_t kLanes = 8;
#define NUMBERS {0, 1, 2, 3, 4, 5, 6, 7}
#else
constexpr int64_t kLanes = 4;
#define NUMBERS {0, 1, 2, 3}
#endif
typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef uint32_t LaneBits __attribute__((vector_size(4 * kLanes)));
typedef int32_t LaneNumbers __attribute__((vector_size(4 * kLanes)));
typedef Bf16 HalfLanes __attribute__((vector_size(2 * kLanes)));
constexpr LaneNumbers kNumbers = NUMBERS;
#undef NUMBERS

INLINE Lanes all(float x) { return Lanes{} + x; }

INLINE Lanes load(const float* x) { Lanes lanes; std::memcpy(&lanes, x, sizeof lanes); return lanes; }
INLINE Lanes load(const Bf16* x) {
  HalfLanes half;
  std::memcpy(&half, x, sizeof half);
  return Lanes(__builtin_convertvector(half, LaneBits) << 16);
}
// room: how many may be read; what is missing is 0.
template <class T> INLINE Lanes load(const T* x, int64_t room) {
  if (room >= kLanes) return load(x);
  T space[kLanes] = {};
  std::memcpy(space, x, room * sizeof(T));
  return load(space);
}

INLINE void store(Lanes lanes, float* to) { std::memcpy(to, &lanes, sizeof lanes); }
INLINE void store(Lanes lanes, Bf16* to) {
#ifdef __AVX512BF16__
  const __m256bh half = _mm512_cvtneps_pbh(__m512(lanes));
  std::memcpy(to, &half, sizeof half);
#else
  for (int64_t i = 0; i < kLanes; ++i) narrow(lanes[i], to[i]);
#endif
}
template <class T> INLINE void store(Lanes lanes, T* to, int64_t room) {
  if (room >= kLanes) return store(lanes, to);
  T space[kLanes];
  store(lanes, space);
  std::memcpy(to, space, room * sizeof(T));
}

INLINE float sum_of(Lanes lanes) {
#ifdef __AVX512F__
  return _mm512_reduce_add_ps(__m512(lanes));  // in the same order
#endif
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
INLINE Lanes fused(Lanes a, Lanes b, Lanes c) {
#ifdef __AVX512F__
  return Lanes(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#elif defined(__AVX__) && defined(__FMA__)
  return Lanes(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
#else
  for (int64_t i = 0; i < kLanes; ++i) a[i] = fused(a[i], b[i], c[i]);
  return a;
#endif
}

// `exponential` of each.
INLINE Lanes exponential(Lanes x) {
  const Lanes shifted = fused(x, all(1.44269504f), all(12582912.0f));
  const Lanes whole = shifted - 12582912.0f;
  const Lanes rest = fused(whole, all(2.12194440e-4f), fused(whole, all(-0.693359375f), x));
  Lanes sum = fused(all(1.9875691500e-4f), rest, all(1.3981999507e-3f));
  sum = fused(sum, rest, all(8.3334519073e-3f));
  sum = fused(sum, rest, all(4.1665795894e-2f));
  sum = fused(sum, rest, all(1.6666665459e-1f));
  sum = fused(sum, rest, all(5.0000001201e-1f));
  sum = fused(sum, rest * rest, rest) + 1.0f;
  const Lanes power = Lanes((LaneBits(shifted) << 23) + 0x3f800000u);
  return x < -87.3f ? Lanes{} : sum * power;
}

}  // namespace
