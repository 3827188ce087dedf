// Small products of matrices that lie close to the processor, in words of 32 bits: a float, or two neighbouring bfloat16
// where the processor multiplies those.

#pragma once

#include "lanes.h"

namespace {

using Word = uint32_t;

struct Singles {  // floats, one in a word
  static constexpr int64_t kPerWord = 1;
  static INLINE Lanes multiply(LaneBits a, LaneBits b, Lanes sum) { return fused(Lanes(a), Lanes(b), sum); }
  static INLINE void store_rows(Lanes first, Lanes second, Word* to, int64_t stride) {
    store(first, reinterpret_cast<float*>(to));
    store(second, reinterpret_cast<float*>(to + stride));
  }
  static INLINE void store_pairs(Lanes first, Lanes second, Word* to, int64_t stride) { store_rows(first, second, to, stride); }
};

#ifdef __AVX512BF16__
struct Pairs {  // bfloat16, two in a word
  static constexpr int64_t kPerWord = 2;
  static INLINE Lanes multiply(LaneBits a, LaneBits b, Lanes sum) {
    return Lanes(_mm512_dpbf16_ps(__m512(sum), __m512bh(a), __m512bh(b)));
  }
  // Two rows of numbers, neighbours within a row in one word.
  static INLINE void store_rows(Lanes first, Lanes second, Word* to, int64_t stride) {
    store(first, reinterpret_cast<Bf16*>(to));
    store(second, reinterpret_cast<Bf16*>(to + stride));
  }
  // Two rows of numbers, those below each other in one word.
  static INLINE void store_pairs(Lanes first, Lanes second, Word* to, int64_t) {
    typedef uint16_t Places __attribute__((vector_size(64)));
    constexpr Places turn = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                             8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512bh both = _mm512_cvtne2ps_pbh(__m512(second), __m512(first));
    const __m512i paired = _mm512_permutexvar_epi16(__m512i(turn), __m512i(both));
    std::memcpy(to, &paired, sizeof paired);
  }
};
template <class T> struct UnitsOf { using Units = Singles; };
template <> struct UnitsOf<Bf16> { using Units = Pairs; };
#else
template <class T> struct UnitsOf { using Units = Singles; };
#endif

INLINE LaneBits load_words(const Word* x) { LaneBits lanes; std::memcpy(&lanes, x, sizeof lanes); return lanes; }

// A matrix of words: the word of row r and step s is at[r * row + s * step].
struct Left { const Word* at; int64_t row, step; };

// out (+)= left x right: `Rows` rows of `Vectors` vectors of lanes.  right: (steps, stride), a word for each lane.
template <class Units, int Rows, int Vectors>
INLINE void multiply_some(Left left, const Word* right, int64_t stride, int64_t steps, float* out, int64_t out_stride,
                          bool adds) {
  Lanes sums[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sums[r][v] = adds ? load(out + r * out_stride + v * kLanes) : Lanes{};
  for (int64_t step = 0; step < steps; ++step) {
    LaneBits columns[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) columns[v] = load_words(right + step * stride + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const LaneBits same = LaneBits{} + left.at[r * left.row + step * left.step];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sums[r][v] = Units::multiply(same, columns[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(sums[r][v], out + r * out_stride + v * kLanes);
}

template <class Units, int Rows, int Vectors>
INLINE void multiply_rows(int64_t rows, Left left, const Word* right, int64_t stride, int64_t steps, float* out,
                          int64_t out_stride, bool adds) {
  for (int64_t r = 0; r < rows; r += Rows)
    multiply_some<Units, Rows, Vectors>({left.at + r * left.row, left.row, left.step}, right, stride, steps,
                                        out + r * out_stride, out_stride, adds);
}

// rows: a multiple of kLanes.  columns: of kLanes each.  As many sums at a time as the processor has registers for.
template <class Units>
void multiply(int64_t rows, int64_t columns, Left left, const Word* right, int64_t stride, int64_t steps, float* out,
              int64_t out_stride, bool adds) {
#ifdef __AVX512F__
  constexpr int64_t kAtOnce = Units::kPerWord == 2 ? 4 : 2;
#else
  constexpr int64_t kAtOnce = 2;
#endif
  for (int64_t v = 0; v < columns; v += kAtOnce) {
    const int64_t count = std::min(kAtOnce, columns - v);
    const Word* b = right + v * kLanes;
    float* c = out + v * kLanes;
#ifdef __AVX512F__
    if (count == 4) multiply_rows<Units, 4, 4>(rows, left, b, stride, steps, c, out_stride, adds);
    if (count == 3) multiply_rows<Units, 4, 3>(rows, left, b, stride, steps, c, out_stride, adds);
    if (count == 2) multiply_rows<Units, 8, 2>(rows, left, b, stride, steps, c, out_stride, adds);
    if (count == 1) multiply_rows<Units, 16, 1>(rows, left, b, stride, steps, c, out_stride, adds);
#else
    if (count == 2) multiply_rows<Units, 4, 2>(rows, left, b, stride, steps, c, out_stride, adds);
    if (count == 1) multiply_rows<Units, 8, 1>(rows, left, b, stride, steps, c, out_stride, adds);
#endif
  }
}

// kLanes x kLanes words, rows for columns.
template <class X> INLINE void transpose_square(const X* from, int64_t from_stride, X* to, int64_t to_stride) {
#ifdef __AVX512F__
  __m512i a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(from + i * from_stride);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
    b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
    b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88);
    a[i + 8] = _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd);
    a[i + 4] = _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + i * to_stride, a[i]);
#else
  for (int64_t i = 0; i < kLanes; ++i)
    for (int64_t j = 0; j < kLanes; ++j) to[j * to_stride + i] = from[i * from_stride + j];
#endif
}

// (rows, columns) to (columns, rows), of words or floats; rows: a multiple of kLanes.
template <class X> INLINE void transpose(const X* from, int64_t rows, int64_t columns, int64_t from_stride, X* to, int64_t to_stride) {
  for (int64_t i = 0; i < rows; i += kLanes) {
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes)
      transpose_square(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    for (; j < columns; ++j)
      for (int64_t k = i; k < i + kLanes; ++k) to[j * to_stride + k] = from[k * from_stride + j];
  }
}

// One row of `count` numbers as words, filled up with zeros to `room`.
template <class Units, class T> INLINE void copy_row(const T* from, int64_t count, int64_t room, Word* to) {
  if constexpr (Units::kPerWord == 2 || sizeof(T) == sizeof(Word))
    std::memcpy(to, from, count * sizeof(T));
  else
    for (int64_t i = 0; i < count; ++i) to[i] = Word(from[i]) << 16;
  if (count < room)
    std::memset(reinterpret_cast<char*>(to) + count * sizeof(Word) / Units::kPerWord, 0,
                (room - count) * sizeof(Word) / Units::kPerWord);
}

// Two rows, the numbers below each other as neighbours: in one word, or in two rows of words.
template <class Units> INLINE void pair_rows(const Word* first, const Word* second, int64_t width, Word* to) {
  if constexpr (Units::kPerWord == 2) {
    for (int64_t i = 0; i < width / 2; ++i) {
      to[2 * i] = (first[i] & 0xffffu) | second[i] << 16;
      to[2 * i + 1] = first[i] >> 16 | (second[i] & 0xffff0000u);
    }
  } else {
    std::memcpy(to, first, width * sizeof(Word));
    std::memcpy(to + width, second, width * sizeof(Word));
  }
}

}  // namespace
