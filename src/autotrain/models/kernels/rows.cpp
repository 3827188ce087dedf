// Norm, SwiGLU, rotation and dropout: rows of hidden states.

#include "elements.h"

namespace {

// ---- norm

template <class X, class Y>
INLINE float norm_row(const X* x, const float* weight, float eps, int64_t width, Y* y) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; ++i) squares += widen(x[i]) * widen(x[i]);
  const float rstd = 1.0f / std::sqrt(squares / float(width) + eps);
  fill(y, width, [&](int64_t i) { return weight[i] * rounded_to<X>(widen(x[i]) * rstd); });
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
  const auto value = [&](int64_t i) { return rstd * (widen(grad[i]) * weight[i] - widen(x[i]) * rstd * mean); };
  if (residual)
    fill(grad_x, width, [&](int64_t i) { return value(i) + widen(residual[i]); });
  else
    fill(grad_x, width, value);
}

constexpr int64_t kRowsPerSum = 32;  // a weight's gradient is summed over so many rows first: an order that is always the same

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
          fill(total, width, [&](int64_t i) { return widen(x[i]) + widen(delta[i]); });
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
      fill(product, width, [&](int64_t i) { return widen(gate[i]) * sigmoid(widen(gate[i])) * widen(up[i]); });
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
      for (int64_t start = 0; start < width; start += kPart) {
        const int64_t size = std::min(kPart, width - start);
        float products[kPart], for_gate[kPart], for_up[kPart];
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) {
          const float g = widen(gate[start + i]), u = widen(up[start + i]), d = widen(grad[start + i]);
          const float s = sigmoid(g), silu = g * s;
          products[i] = silu * u;
          for_gate[i] = d * u * (s + silu * (1.0f - s));
          for_up[i] = d * silu;
        }
        narrow_all(products, size, product + start);
        narrow_all(for_gate, size, grad_gate + start);
        narrow_all(for_up, size, grad_up + start);
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
        const auto value = [&](int64_t i) {
          const float scaled = widen(x[i]) * scale;
          return uint32_t(mine[i]) >= threshold ? scaled : 0.0f;
        };
        if (adds)
          fill(out, count, [&](int64_t i) { return widen(out[i]) + value(i); });
        else
          fill(out, count, value);
      });
    });
  });
}

}  // extern "C"
