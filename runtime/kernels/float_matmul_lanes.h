// Matrix products with F32, F16 and BF16 weights as a template over Lanes (lanes_*.h).
//   y[i][r] = sum over column blocks of dot(w[r], x[i])      float32 products and sums
// Each dot product runs over lanes within a column block, blocks are added in order: the same
// arithmetic for every y[i][r], however rows are divided among calls and whichever tile holds it.
// Few rows of x read each weight row front to back (memory speed); many take a tile of 4 weight
// rows at a time, expanded to float32 once per panel of x rows that the second-level cache holds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/kernels.h"

namespace bandwall {

inline constexpr std::int64_t kFloatColumns = 1024;  // columns of one block
inline constexpr std::int64_t kFloatPanel = 64;      // rows of x that share an expanded tile
inline constexpr int kFloatTileRows = 4;             // weight rows of a tile
inline constexpr int kFloatAhead = 1024;             // bytes of a row asked for ahead of time

struct Float32Weights {
  static constexpr int kBytes = 4;
  template <class L>
  static typename L::Vec load(const std::byte* p) {
    return L::load(reinterpret_cast<const float*>(p));
  }
  template <class L>
  static typename L::Vec load_partial(const std::byte* p, std::int64_t n) {
    return L::load_partial(reinterpret_cast<const float*>(p), n);
  }
};

struct Float16Weights {
  static constexpr int kBytes = 2;
  template <class L>
  static typename L::Vec load(const std::byte* p) {
    return L::load_f16(p);
  }
  template <class L>
  static typename L::Vec load_partial(const std::byte* p, std::int64_t n) {
    return L::load_f16_partial(p, n);
  }
};

struct Bfloat16Weights {
  static constexpr int kBytes = 2;
  template <class L>
  static typename L::Vec load(const std::byte* p) {
    return L::load_bf16(p);
  }
  template <class L>
  static typename L::Vec load_partial(const std::byte* p, std::int64_t n) {
    return L::load_bf16_partial(p, n);
  }
};

// dots[i * kRows + r] = dot of x[i] and w[r] over `cols` columns.
template <class L, class T, int kInputs, int kRows, int kAhead>
void dot_tile(const float* const* x, const std::byte* const* w, std::int64_t cols, float* dots) {
  using Vec = typename L::Vec;
  constexpr int kSums = L::kWidth * L::kBlocks;
  static_assert(kInputs * kRows <= kSums);
  Vec sum[kSums];
  for (int i = 0; i < kSums; ++i) sum[i] = L::zero();
  const std::int64_t whole = cols / L::kWidth * L::kWidth;
  for (std::int64_t c = 0; c < whole; c += L::kWidth) {
    Vec input[kInputs];
    for (int i = 0; i < kInputs; ++i) input[i] = L::load(x[i] + c);
    for (int r = 0; r < kRows; ++r) {
      const std::byte* at = w[r] + c * T::kBytes;
      if constexpr (kAhead > 0) L::prefetch(at + kAhead);
      const Vec weight = T::template load<L>(at);
      for (int i = 0; i < kInputs; ++i) {
        sum[i * kRows + r] = L::fma(weight, input[i], sum[i * kRows + r]);
      }
    }
  }
  if (whole < cols) {
    Vec input[kInputs];
    for (int i = 0; i < kInputs; ++i) input[i] = L::load_partial(x[i] + whole, cols - whole);
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = T::template load_partial<L>(w[r] + whole * T::kBytes, cols - whole);
      for (int i = 0; i < kInputs; ++i) {
        sum[i * kRows + r] = L::fma(weight, input[i], sum[i * kRows + r]);
      }
    }
  }
  for (int b = 0; b < L::kBlocks; ++b) {
    L::store(dots + b * L::kWidth, L::reduce_block(sum + b * L::kWidth));
  }
}

// A tile of up to kInputs rows of x (indices first...) and up to kRows weight rows, one column
// block; places beyond the end repeat the last row and are dropped.
struct FloatTile {
  const MatmulArgs* args;
  std::int64_t input, inputs;  // used rows of x
  std::int64_t row, rows;      // weight rows
  std::int64_t column, columns;
  const std::byte* w;  // weights of `row` at `column`
  std::int64_t w_stride;
};

template <class L, class T, int kInputs, int kRows, int kAhead>
void add_tile(const FloatTile& tile) {
  const MatmulArgs& a = *tile.args;
  const float* x[kInputs];
  const std::byte* w[kRows];
  for (int i = 0; i < kInputs; ++i) {
    const std::int64_t used = tile.input + (i < tile.inputs ? i : tile.inputs - 1);
    const std::int64_t index = a.x_rows != nullptr ? a.x_rows[used] : used;
    x[i] = a.x.f32 + index * a.cols + tile.column;
  }
  for (int r = 0; r < kRows; ++r) {
    w[r] = tile.w + (r < tile.rows ? r : tile.rows - 1) * tile.w_stride;
  }
  alignas(64) float dots[L::kWidth * L::kBlocks];
  dot_tile<L, T, kInputs, kRows, kAhead>(x, w, tile.columns, dots);
  for (int i = 0; i < kInputs && i < tile.inputs; ++i) {
    float* y = a.y + (tile.input + i) * a.y_stride + tile.row;
    for (int r = 0; r < kRows && r < tile.rows; ++r) {
      y[r] = tile.column == 0 ? dots[i * kRows + r] : y[r] + dots[i * kRows + r];
    }
  }
}

template <class L, class T, int kInputs>
void few_inputs(const MatmulArgs& a) {
  constexpr int kRows = kInputs == 1 ? 8 : L::kWidth * L::kBlocks / kInputs;
  for (std::int64_t row = a.row_begin; row < a.row_end; row += kRows) {
    const std::int64_t rows = a.row_end - row < kRows ? a.row_end - row : kRows;
    std::int64_t column = 0;
    do {
      const std::int64_t left = a.cols - column;
      add_tile<L, T, kInputs, kRows, kFloatAhead>(
          {&a, 0, a.n_used, row, rows, column, left < kFloatColumns ? left : kFloatColumns,
           a.w + row * a.row_bytes + column * T::kBytes, a.row_bytes});
      column += kFloatColumns;
    } while (column < a.cols);
  }
}

// One column block of up to kFloatPanel rows of x against all weight rows.
template <class L, class T>
void panel_columns(const MatmulArgs& a, std::int64_t input, std::int64_t inputs,
                   std::int64_t column, std::int64_t columns) {
  constexpr int kRows = kFloatTileRows, kInputs = L::kWidth * L::kBlocks / kRows;
  alignas(64) float space[kRows * kFloatColumns];
  for (std::int64_t row = a.row_begin; row < a.row_end; row += kRows) {
    const std::int64_t rows = a.row_end - row < kRows ? a.row_end - row : kRows;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::byte* from = a.w + (row + r) * a.row_bytes + column * T::kBytes;
      float* to = space + r * kFloatColumns;
      std::int64_t c = 0;
      for (; c + L::kWidth <= columns; c += L::kWidth) {
        L::prefetch(from + c * T::kBytes + kFloatAhead);
        L::store(to + c, T::template load<L>(from + c * T::kBytes));
      }
      if (c < columns) {
        L::store_partial(to + c, T::template load_partial<L>(from + c * T::kBytes, columns - c),
                         columns - c);
      }
    }
    for (std::int64_t i = 0; i < inputs; i += kInputs) {
      add_tile<L, Float32Weights, kInputs, kRows, 0>(
          {&a, input + i, inputs - i < kInputs ? inputs - i : kInputs, row, rows, column, columns,
           reinterpret_cast<const std::byte*>(space), kFloatColumns * 4});
    }
  }
}

template <class L, class T>
void many_inputs(const MatmulArgs& a) {
  for (std::int64_t input = 0; input < a.n_used; input += kFloatPanel) {
    const std::int64_t left = a.n_used - input;
    std::int64_t column = 0;
    do {
      const std::int64_t columns = a.cols - column;
      panel_columns<L, T>(a, input, left < kFloatPanel ? left : kFloatPanel, column,
                          columns < kFloatColumns ? columns : kFloatColumns);
      column += kFloatColumns;
    } while (column < a.cols);
  }
}

template <class L, class T>
void float_matmul_of(const MatmulArgs& a) {
  if (a.n_used <= 0 || a.row_begin >= a.row_end) return;
  if (a.n_used == 1) return few_inputs<L, T, 1>(a);
  if (a.n_used == 2) return few_inputs<L, T, 2>(a);
  if (a.n_used <= 4 && L::kWidth * L::kBlocks >= 16) return few_inputs<L, T, 4>(a);
  many_inputs<L, T>(a);
}

template <class L>
void float_matmul_lanes(const MatmulArgs& a) {
  switch (a.format) {
    case Format::F16:
      return float_matmul_of<L, Float16Weights>(a);
    case Format::BF16:
      return float_matmul_of<L, Bfloat16Weights>(a);
    default:
      return float_matmul_of<L, Float32Weights>(a);
  }
}

}  // namespace bandwall
