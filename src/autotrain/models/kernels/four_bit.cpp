// Weights in 4 bits, as bitsandbytes packs them: the first of two neighbours in a byte's high half.

#include "elements.h"

namespace {

// Two numbers a byte, looked up among the block's 16 possible ones.
INLINE void expand(const uint8_t* packed, int64_t bytes, const float* levels, float* out) {
  for (int64_t i = 0; i < bytes; ++i) {
    out[2 * i] = levels[packed[i] >> 4];
    out[2 * i + 1] = levels[packed[i] & 15];
  }
}

INLINE void expand(const uint8_t* packed, int64_t bytes, const float* levels, Bf16* out) {
  alignas(64) uint32_t first[16], second[16];  // as the low and as the high half of a pair
#pragma omp simd
  for (int level = 0; level < 16; ++level) {
    first[level] = narrow_bits(levels[level]);
    second[level] = first[level] << 16;
  }
  int64_t i = 0;
#ifdef __AVX512F__
  const __m512i firsts = _mm512_load_si512(first), seconds = _mm512_load_si512(second);
  for (; i + 16 <= bytes; i += 16) {
    const __m512i pairs = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + i)));
    // A permutation reads the low 4 bits of an index only.
    const __m512i low = _mm512_permutexvar_epi32(_mm512_srli_epi32(pairs, 4), firsts);
    const __m512i high = _mm512_permutexvar_epi32(pairs, seconds);
    _mm512_storeu_si512(out + 2 * i, _mm512_or_si512(low, high));
  }
#endif
  for (; i < bytes; ++i) {
    const uint32_t pair = first[packed[i] >> 4] | second[packed[i] & 15];
    std::memcpy(out + 2 * i, &pair, 4);
  }
}

constexpr int64_t kBlocksAtATime = 256;

}  // namespace

extern "C" {

// packed: (count / 2).  code: the 16 levels.  A block's numbers are levels times its scale.  scales: float; or, where they
// are quantized in turn, null, and scale b is bytes_code[bytes[b]] * byte_scales[b / bytes_per_scale] + offset.
void dequantize_4bit(const uint8_t* packed, int64_t count, int64_t block_size, const float* code, const float* scales,
                     const uint8_t* bytes, const float* bytes_code, const float* byte_scales, int64_t bytes_per_scale,
                     float offset, void* out_, int out_type, int threads) {
  const int64_t blocks = (count + block_size - 1) / block_size;
  with_type(out_type, [&](auto t) {
    using T = decltype(t);
    in_parallel((blocks + kBlocksAtATime - 1) / kBlocksAtATime, threads, [&](int64_t part) {
      for (int64_t block = part * kBlocksAtATime; block < std::min(blocks, (part + 1) * kBlocksAtATime); ++block) {
        const float scale =
            scales ? scales[block] : bytes_code[bytes[block]] * byte_scales[block / bytes_per_scale] + offset;
        alignas(64) float levels[16];
#pragma omp simd
        for (int level = 0; level < 16; ++level) levels[level] = code[level] * scale;
        const int64_t start = block * block_size, size = std::min(block_size, count - start);
        expand(packed + start / 2, size / 2, levels, static_cast<T*>(out_) + start);
      }
    });
  });
}

}  // extern "C"
