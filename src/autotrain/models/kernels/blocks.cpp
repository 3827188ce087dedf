// Rows of a batch put together into blocks, head by head, and taken apart again.

#include "elements.h"

extern "C" {

// x: (tokens, heads * width).  rows: (blocks, length), which token each row is; -1: none.  out: (blocks, heads, length, width),
// zero where there is none.
void gather_rows(const void* x_, int64_t x_stride, int type, const int32_t* rows, int64_t blocks, int64_t length,
                 int64_t heads, int64_t width, void* out_, int threads) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    in_parallel(blocks * heads, threads, [&](int64_t part) {
      const int32_t* row = rows + part / heads * length;
      const T* x = static_cast<const T*>(x_) + part % heads * width;
      T* out = static_cast<T*>(out_) + part * length * width;
      for (int64_t i = 0; i < length; ++i, out += width) {
        if (row[i] < 0)
          std::memset(out, 0, width * sizeof(T));
        else
          std::memcpy(out, x + row[i] * x_stride, width * sizeof(T));
      }
    });
  });
}

// The way back: x: (blocks, heads, length, width).  No token is in two rows.
void scatter_rows(const void* x_, int type, const int32_t* rows, int64_t blocks, int64_t length, int64_t heads,
                  int64_t width, void* out_, int64_t out_stride, int threads) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    in_parallel(blocks * heads, threads, [&](int64_t part) {
      const int32_t* row = rows + part / heads * length;
      const T* x = static_cast<const T*>(x_) + part * length * width;
      T* out = static_cast<T*>(out_) + part % heads * width;
      for (int64_t i = 0; i < length; ++i, x += width)
        if (row[i] >= 0) std::memcpy(out + row[i] * out_stride, x, width * sizeof(T));
    });
  });
}

// out += x, a token's rows one after the other: each thread has columns of its own.
void add_rows(const void* x_, int type, const int32_t* rows, int64_t blocks, int64_t length, int64_t heads, int64_t width,
              float* out, int64_t out_stride, int threads) {
  const int64_t parts = std::max<int64_t>(1, threads), size = (width + parts - 1) / parts;
  with_type(type, [&](auto t) {
    using T = decltype(t);
    in_parallel(heads * parts, threads, [&](int64_t part) {
      const int64_t head = part / parts, first = std::min(width, part % parts * size), last = std::min(width, first + size);
      for (int64_t block = 0; block < blocks; ++block) {
        const int32_t* row = rows + block * length;
        const T* x = static_cast<const T*>(x_) + (block * heads + head) * length * width;
        for (int64_t i = 0; i < length; ++i, x += width) {
          if (row[i] < 0) continue;
          float* to = out + row[i] * out_stride + head * width;
#pragma omp simd
          for (int64_t j = first; j < last; ++j) to[j] += widen(x[j]);
        }
      }
    });
  });
}

}  // extern "C"
