// The narrow products of LoRA (arXiv 2106.09685): one side of each matrix is a rank, some tens at most.
//
// Libraries of matrix products are made for wide ones.  Here a narrow matrix is laid out once, in words of 32 bits (a float, or
// two neighbouring bfloat16 where the processor multiplies those), and stays close to the processor, while the wide one
// passes by a single time.

#include <memory>
#include <type_traits>

#include "products.h"

namespace {

#ifdef __AVX512F__
constexpr int64_t kRows = 8;  // or ranks, that are worked on at a time: as many as the processor has registers for
#else
constexpr int64_t kRows = 4;
#endif
constexpr int64_t kRowsPerTask = 64;  // a thread's turn
constexpr int64_t kRowsPerSum = 192;  // a gradient is summed over so many rows at most, then these sums are, in their order
constexpr int64_t kColumns = 64;      // of these sums, at a time

INLINE int64_t rounded_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// Memory that isn't set to anything, which would take as long as a narrow product.
template <class X> struct Free { void operator()(X* at) const { Aligned<X>().deallocate(at, 0); } };
template <class X> using Room = std::unique_ptr<X[], Free<X>>;
inline Room<Word> words(int64_t count) { return Room<Word>(Aligned<Word>().allocate(count)); }
inline Room<float> floats(int64_t count) { return Room<float>(Aligned<float>().allocate(count)); }

// A matrix as the right side of a product: (steps, lanes) words; what is missing is 0.
template <class Units> struct Right {
  int64_t steps, lanes;
  Room<Word> at;

  // values: (depth, width), or turned: (width, depth); rounded to T.  depth is what the product sums over.
  template <class T, class V>
  static Right of(const V* values, bool is_turned, int64_t depth, int64_t width) {
    constexpr int64_t per_word = Units::kPerWord;
    Right right{rounded_up(depth, per_word) / per_word, rounded_up(width, kLanes), nullptr};
    right.at = words(right.steps * right.lanes);
    const int64_t rows = is_turned ? right.lanes : right.steps * per_word, count = is_turned ? depth : width;
    const int64_t room = is_turned ? right.steps * per_word : right.lanes, row_words = room / per_word;
    const auto lines = words(rows * row_words);
    std::vector<T> rounded(count);
    for (int64_t i = 0; i < rows; ++i) {
      if (i >= (is_turned ? width : depth)) {
        std::memset(&lines[i * row_words], 0, row_words * sizeof(Word));
        continue;
      }
      if constexpr (std::is_same_v<V, T>) {
        copy_row<Units>(values + i * count, count, room, &lines[i * row_words]);
      } else {
        for (int64_t j = 0; j < count; ++j) narrow(widen(values[i * count + j]), rounded[j]);
        copy_row<Units>(rounded.data(), count, room, &lines[i * row_words]);
      }
    }
    if (is_turned)
      transpose(lines.get(), right.lanes, row_words, row_words, right.at.get(), right.lanes);
    else
      for (int64_t i = 0; i < rows; i += per_word)
        if constexpr (per_word == 2)
          pair_rows<Units>(&lines[i * row_words], &lines[(i + 1) * row_words], room, &right.at[i / 2 * right.lanes]);
        else
          std::memcpy(&right.at[i * right.lanes], &lines[i * row_words], room * sizeof(Word));
    return right;
  }
};

template <class Units, class T>
Right<Units> right_of(const void* values, int type, bool is_turned, int64_t depth, int64_t width) {
  if (type == 0) return Right<Units>::template of<T>(static_cast<const float*>(values), is_turned, depth, width);
  return Right<Units>::template of<T>(static_cast<const Bf16*>(values), is_turned, depth, width);
}

// `count` rows, at most kRows, as words: where they lie, or else copied to `space`; those that are missing are the last one.
template <class Units, class T> struct Lines {
  const Word* at[kRows];

  INLINE Lines(const T* rows, int64_t stride, int64_t count, int64_t width, int64_t room, Word* space) {
    constexpr int64_t per_word = Units::kPerWord;
    const bool lies_well = sizeof(T) * per_word == sizeof(Word) && width == room;
    for (int64_t r = 0; r < kRows; ++r) {
      const T* row = rows + std::min(r, count - 1) * stride;
      at[r] = reinterpret_cast<const Word*>(row);
      if (lies_well) continue;
      copy_row<Units>(row, width, room, space + r * (room / per_word));
      at[r] = space + r * (room / per_word);
    }
  }
};

INLINE LaneBits word_of(const Word* x) { Word word; std::memcpy(&word, x, sizeof word); return LaneBits{} + word; }

// (kRows, Vectors lanes) of rows times right.  Where there are few sums, even and odd steps have their own: a sum waits for
// the one before it.
template <class Units, int Vectors>
INLINE void shrink_some(const Word* const* rows, const Word* right, int64_t stride, int64_t steps, float* out) {
  constexpr int kChains = Vectors == 1 ? 2 : 1;
  Lanes sums[kChains][kRows][Vectors] = {};
  int64_t step = 0;
  for (; step + kChains <= steps; step += kChains)
#pragma GCC unroll 2
    for (int chain = 0; chain < kChains; ++chain) {
      LaneBits columns[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) columns[v] = load_words(right + (step + chain) * stride + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const LaneBits same = word_of(rows[r] + step + chain);
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) sums[chain][r][v] = Units::multiply(same, columns[v], sums[chain][r][v]);
      }
    }
  for (; step < steps; ++step)
    for (int v = 0; v < Vectors; ++v) {
      const LaneBits columns = load_words(right + step * stride + v * kLanes);
      for (int r = 0; r < kRows; ++r) sums[0][r][v] = Units::multiply(word_of(rows[r] + step), columns, sums[0][r][v]);
    }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      store(kChains == 2 ? sums[0][r][v] + sums[kChains - 1][r][v] : sums[0][r][v], out + r * stride + v * kLanes);
}

template <class Units>
INLINE void shrink_rows(const Word* const* rows, const Right<Units>& right, float* out) {
  for (int64_t v = 0; v < right.lanes / kLanes;) {
    const int64_t left = right.lanes / kLanes - v;
    const Word* at = &right.at[v * kLanes];
    if (left >= 3)
      shrink_some<Units, 3>(rows, at, right.lanes, right.steps, out + v * kLanes), v += 3;
    else if (left == 2)
      shrink_some<Units, 2>(rows, at, right.lanes, right.steps, out + v * kLanes), v += 2;
    else
      shrink_some<Units, 1>(rows, at, right.lanes, right.steps, out + v * kLanes), v += 1;
  }
}

// Rows of a wide matrix times a narrow one, with the space that this takes.
template <class Units, class T> struct Shrink {
  const Right<Units>& right;
  const int64_t width, rank;
  const float scale;
  Room<Word> space;
  Room<float> sums;

  Shrink(const Right<Units>& r, int64_t w, int64_t k, float s)
      : right(r), width(w), rank(k), scale(s), space(words(kRows * r.steps)), sums(floats(kRows * r.lanes)) {}

  INLINE void run(const T* wide, int64_t wide_stride, int64_t count, T* narrow, int64_t narrow_stride) {
    for (int64_t row = 0; row < count; row += kRows) {
      const int64_t some = std::min(kRows, count - row);
      const Lines<Units, T> lines(wide + row * wide_stride, wide_stride, some, width, right.steps * Units::kPerWord,
                                  space.get());
      shrink_rows<Units>(lines.at, right, sums.get());
      for (int64_t r = 0; r < some; ++r) {
        float* mine = &sums[r * right.lanes];
        for (int64_t i = 0; i < right.lanes; i += kLanes) store(load(mine + i) * scale, mine + i);
        narrow_all(mine, rank, narrow + (row + r) * narrow_stride);
      }
    }
  }
};

// Sums of gradients, each of a group of rows: (groups, rank, width), with room for whole lanes.
struct Sums {
  const int64_t groups, rank, width, stride, size;
  Room<float> at;

  Sums(int64_t g, int64_t k, int64_t w)
      : groups(g), rank(k), width(w), stride(rounded_up(w, 2 * kLanes)), size(rounded_up(k, kRows) * stride),
        at(floats(g * size)) {}
  float* of(int64_t group) const { return &at[group * size]; }

  // To `total` (rank, width), or turned.
  void add_up(float scale, bool is_turned, float* total, int threads) const {
    in_parallel((width + kColumns - 1) / kColumns, threads, [&](int64_t part) {
      const int64_t column = part * kColumns, count = std::min(kColumns, width - column), whole = rounded_up(count, kLanes);
      float row[kColumns], turned[kColumns * kLanes];
      Room<float> lines = is_turned ? floats(kLanes * kColumns) : nullptr;
      for (int64_t k = 0; k < rank; ++k) {
        for (int64_t i = 0; i < whole; i += kLanes) {
          Lanes sum{};
          for (int64_t group = 0; group < groups; ++group) sum += load(of(group) + k * stride + column + i);
          store(sum * scale, row + i);
        }
        if (!is_turned) {
          std::memcpy(total + k * width + column, row, count * sizeof(float));
          continue;
        }
        std::memcpy(&lines[k % kLanes * kColumns], row, whole * sizeof(float));
        if (k % kLanes == kLanes - 1 || k == rank - 1) {
          const int64_t first = k / kLanes * kLanes;
          transpose(lines.get(), kLanes, whole, kColumns, turned, kLanes);
          for (int64_t i = 0; i < count; ++i)
            std::memcpy(total + (column + i) * rank + first, turned + i * kLanes, (k - first + 1) * sizeof(float));
        }
      }
    });
  }
};

// Two vectors of columns of a step: numbers of a row, or those of two rows below each other.
template <class Units, class T> INLINE void load_step(const T* row, const T* next, LaneBits* columns) {
#ifdef __AVX512BF16__
  if constexpr (Units::kPerWord == 2) {
    typedef uint16_t Places __attribute__((vector_size(64)));
    constexpr Places first = {0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39,
                              8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    constexpr Places second = first + 16;
    const __m512i a = _mm512_loadu_si512(row), b = _mm512_loadu_si512(next);
    columns[0] = LaneBits(_mm512_permutex2var_epi16(a, __m512i(first), b));
    columns[1] = LaneBits(_mm512_permutex2var_epi16(a, __m512i(second), b));
    return;
  }
#endif
  columns[0] = LaneBits(load(row)), columns[1] = LaneBits(load(row + kLanes));
}

// sums (kRows, 2 lanes) (+)= left (steps, room), turned, times rows of wide.  count: of rows.
template <class Units, class T>
INLINE void gradient_some(const Word* left, int64_t room, const T* wide, int64_t wide_stride, int64_t count, float* out,
                          int64_t out_stride, bool adds) {
  constexpr int64_t per_word = Units::kPerWord;
  Lanes sums[kRows][2];
#pragma GCC unroll 8
  for (int k = 0; k < kRows; ++k)
    for (int v = 0; v < 2; ++v) sums[k][v] = adds ? load(out + k * out_stride + v * kLanes) : Lanes{};
  for (int64_t row = 0; row < count; row += per_word) {
    const T* at = wide + row * wide_stride;
    LaneBits columns[2];
    load_step<Units>(at, row + per_word <= count ? at + (per_word - 1) * wide_stride : at, columns);
#pragma GCC unroll 8
    for (int k = 0; k < kRows; ++k) {
      const LaneBits same = word_of(left + row / per_word * room + k);
      for (int v = 0; v < 2; ++v) sums[k][v] = Units::multiply(same, columns[v], sums[k][v]);
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < kRows; ++k)
    for (int v = 0; v < 2; ++v) store(sums[k][v], out + k * out_stride + v * kLanes);
}

// What at most kRowsPerTask rows add to a gradient.
template <class Units, class T> struct Gradient {
  static constexpr int64_t kPerWord = Units::kPerWord, kWide = 2 * kLanes;
  const int64_t width, rank, room;
  Room<Word> left, line;
  std::unique_ptr<T[]> edge;

  Gradient(int64_t w, int64_t k)
      : width(w), rank(k), room(rounded_up(k, kRows)), left(words(kRowsPerTask * room)), line(words(2 * room)),
        edge(new T[kRowsPerTask * kWide]) {}

  INLINE void run(const T* narrow, int64_t narrow_stride, const T* wide, int64_t wide_stride, int64_t count, float* sums,
                  int64_t stride, bool adds) {
    for (int64_t row = 0; row < count; row += 2) {
      copy_row<Units>(narrow + row * narrow_stride, rank, room, line.get());
      Word* second = &line[room / kPerWord];
      std::memset(second, 0, room / kPerWord * sizeof(Word));
      if (row + 1 < count) copy_row<Units>(narrow + (row + 1) * narrow_stride, rank, room, second);
      pair_rows<Units>(line.get(), second, room, &left[row / kPerWord * room]);
    }
    for (int64_t column = 0; column < width; column += kWide) {
      const T* from = wide + column;
      int64_t from_stride = wide_stride;
      if (column + kWide > width) {
        for (int64_t row = 0; row < count; ++row) {
          std::fill(&edge[row * kWide], &edge[(row + 1) * kWide], T{});
          std::memcpy(&edge[row * kWide], from + row * wide_stride, (width - column) * sizeof(T));
        }
        from = edge.get(), from_stride = kWide;
      }
      for (int64_t k = 0; k < rank; k += kRows)
        gradient_some<Units>(&left[k], room, from, from_stride, count, sums + k * stride + column, stride, adds);
    }
  }
};

// out (rows, Vectors lanes) += scale times left (steps, kRows), turned, times right.
template <class Units, int Vectors, class T>
INLINE void expand_some(const Word* left, const Right<Units>& right, int64_t column, float scale, T* out, int64_t out_stride,
                        int64_t rows, int64_t room) {
  Lanes sums[kRows][Vectors] = {};
  for (int64_t step = 0; step < right.steps; ++step) {
    LaneBits columns[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) columns[v] = load_words(&right.at[step * right.lanes + column + v * kLanes]);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const LaneBits same = word_of(left + step * kRows + r);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sums[r][v] = Units::multiply(same, columns[v], sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (r >= rows) break;
    T* to = out + r * out_stride;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v, to += kLanes)
      if (Vectors > 1 || room >= kLanes)
        store(fused(sums[r][v], all(scale), load(to)), to);
      else
        store(fused(sums[r][v], all(scale), load(to, room)), to, room);
  }
}

}  // namespace

extern "C" {

// narrow (rows, rank) = scale * wide (rows, width) times matrix (rank, width), turned.  is_turned: the matrix lies
// (width, rank).
void lora_shrink(const void* wide_, int64_t wide_stride, int type, const void* matrix, int matrix_type, int is_turned,
                 int64_t rows, int64_t width, int64_t rank, float scale, void* narrow_, int64_t narrow_stride, int threads) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    using Units = typename UnitsOf<T>::Units;
    const auto right = right_of<Units, T>(matrix, matrix_type, !is_turned, width, rank);
    in_parallel((rows + kRowsPerTask - 1) / kRowsPerTask, threads, [&](int64_t task) {
      const int64_t row = task * kRowsPerTask;
      Shrink<Units, T>(right, width, rank, scale)
          .run(static_cast<const T*>(wide_) + row * wide_stride, wide_stride, std::min(kRowsPerTask, rows - row),
               static_cast<T*>(narrow_) + row * narrow_stride, narrow_stride);
    });
  });
}

// wide (rows, width) += scale * narrow (rows, rank) times matrix (rank, width).  is_turned: the matrix lies (width, rank).
void lora_expand(void* wide_, int64_t wide_stride, int type, const void* narrow_, int64_t narrow_stride, const void* matrix,
                 int matrix_type, int is_turned, int64_t rows, int64_t width, int64_t rank, float scale, int threads) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    using Units = typename UnitsOf<T>::Units;
    const auto right = right_of<Units, T>(matrix, matrix_type, is_turned, rank, width);
    in_parallel((rows + kRowsPerTask - 1) / kRowsPerTask, threads, [&](int64_t task) {
      const int64_t end = std::min(rows, (task + 1) * kRowsPerTask), steps = right.steps;
      const auto left = words(kRows * steps), line = words(steps);
      for (int64_t row = task * kRowsPerTask; row < end; row += kRows) {
        const int64_t count = std::min(kRows, end - row);
        for (int64_t r = 0; r < kRows; ++r) {
          copy_row<Units>(static_cast<const T*>(narrow_) + (row + std::min(r, count - 1)) * narrow_stride, rank,
                          steps * Units::kPerWord, line.get());
          for (int64_t step = 0; step < steps; ++step) left[step * kRows + r] = line[step];
        }
        T* wide = static_cast<T*>(wide_) + row * wide_stride;
        int64_t column = 0;
        for (; column + 3 * kLanes <= width; column += 3 * kLanes)
          expand_some<Units, 3>(left.get(), right, column, scale, wide + column, wide_stride, count, kLanes);
        for (; column < width; column += kLanes)
          expand_some<Units, 1>(left.get(), right, column, scale, wide + column, wide_stride, count, width - column);
      }
    });
  });
}

// by_narrow (rows, rank) = scale * grad (rows, width) times matrix (rank, width), turned, unless matrix is null;
// by_matrix (rank, width) = scale * narrow (rows, rank), turned, times grad.  is_turned: both matrices lie (width, rank).
void lora_backward(const void* grad_, int64_t grad_stride, int type, const void* narrow_, int64_t narrow_stride,
                   const void* matrix, int matrix_type, int is_turned, int64_t rows, int64_t width, int64_t rank, float scale,
                   void* by_narrow_, int64_t by_narrow_stride, float* by_matrix, int threads) {
  with_type(type, [&](auto t) {
    using T = decltype(t);
    using Units = typename UnitsOf<T>::Units;
    const T *grad = static_cast<const T*>(grad_), *narrow = static_cast<const T*>(narrow_);
    T* by_narrow = static_cast<T*>(by_narrow_);
    Right<Units> right{0, 0, nullptr};
    if (matrix) right = right_of<Units, T>(matrix, matrix_type, !is_turned, width, rank);
    const int64_t groups = 2 * ((rows + 2 * kRowsPerSum - 1) / (2 * kRowsPerSum));
    const int64_t in_group = rounded_up((rows + groups - 1) / groups, kRowsPerTask);
    const Sums sums(groups, rank, width);
    in_parallel(groups, threads, [&](int64_t group) {
      const int64_t end = std::min(rows, (group + 1) * in_group);
      Shrink<Units, T> shrink(right, width, rank, scale);
      Gradient<Units, T> gradient(width, rank);
      float* sum = sums.of(group);
      if (group * in_group >= end) std::memset(sum, 0, sums.size * sizeof(float));
      for (int64_t row = group * in_group; row < end; row += kRowsPerTask) {
        const int64_t count = std::min(kRowsPerTask, end - row);
        const T* mine = grad + row * grad_stride;
        if (matrix) shrink.run(mine, grad_stride, count, by_narrow + row * by_narrow_stride, by_narrow_stride);
        gradient.run(narrow + row * narrow_stride, narrow_stride, mine, grad_stride, count, sum, sums.stride,
                     row > group * in_group);
      }
    });
    sums.add_up(scale, is_turned, by_matrix, threads);
  });
}

}  // extern "C"
