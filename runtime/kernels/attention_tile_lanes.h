// Attention inside one tile of cells, for one block of rows (query heads of one position), as
// templates over Lanes (lanes_*.h); the walk over tiles is in attention_lanes.h.
//   scores   s[c][r] = scale * dot(q[r], k[c])
//   softmax  m' = max(m, max s), p = e^(s - m'), l' = l e^(m - m') + sum p
//   values   out[r] = out[r] e^(m - m') + sum over c of p[c][r] v[c]
// Online softmax: Milakov and Gimelshein 2018. Scores lie cell after cell, rows padded to a power
// of 2, so that one vector holds several cells and the softmax runs down the vectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/vector_lanes.h"

namespace bandwall {

inline constexpr int kAttentionTile = 64;  // cells, counted from cell 0 of the cache
inline constexpr float kLowest = -3.402823466e+38f;

struct Float32Cells {
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

struct Float16Cells {
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

struct Cells {  // keys or values of a run of cells
  const std::byte* at;
  std::int64_t stride, dim;
  bool half;
};

// Bytes that a pass asks for ahead of time: rows of cells that the next pass reads.
struct Ahead {
  const std::byte* at;
  std::int64_t stride, count, bytes;
};

// Inlined by force: GCC 12 takes a function that only prefetches for one without effect and drops
// the call.
template <class L>
__attribute__((always_inline)) inline void ask_ahead(const Ahead& ahead, std::int64_t cell,
                                                     std::int64_t from, std::int64_t to) {
  if (cell >= ahead.count) return;
  if (to > ahead.bytes) to = ahead.bytes;
  for (std::int64_t b = from; b < to; b += 64) L::prefetch(ahead.at + cell * ahead.stride + b);
}

static constexpr int padded_rows(int rows) { return rows > 4 ? 8 : rows > 2 ? 4 : rows; }

// s[c * padded + r] for `count` cells, lanes beyond them minus infinity up to a whole vector.
template <class L, class T, int kRows>
void score_cells(const float* q, const Cells& k, int count, float scale, float* s,
                 const Ahead& ahead) {
  using Vec = typename L::Vec;
  constexpr int kPadded = padded_rows(kRows), kSums = L::kWidth * L::kBlocks;
  constexpr int kStep = kSums / kPadded;
  const std::int64_t dim = k.dim, whole = dim / L::kWidth * L::kWidth;
  for (int c = 0; c < count; c += kStep) {
    const std::byte* cell[kStep];
    for (int j = 0; j < kStep; ++j) {
      cell[j] = k.at + (c + j < count ? c + j : count - 1) * k.stride;
      ask_ahead<L>(ahead, c + j, 0, ahead.bytes);
    }
    Vec sum[kSums];
    for (int i = 0; i < kSums; ++i) sum[i] = L::zero();
    for (std::int64_t d = 0; d < whole; d += L::kWidth) {
      Vec query[kRows];
      for (int r = 0; r < kRows; ++r) {
        query[r] = L::load(q + r * dim + d);
        if constexpr (kStep > 1) L::keep_in_register(query[r]);  // GCC would load it kStep times
      }
      for (int j = 0; j < kStep; ++j) {
        const Vec key = T::template load<L>(cell[j] + d * T::kBytes);
        for (int r = 0; r < kRows; ++r) {
          sum[j * kPadded + r] = L::fma(key, query[r], sum[j * kPadded + r]);
        }
      }
    }
    if (whole < dim) {
      for (int j = 0; j < kStep; ++j) {
        const Vec key = T::template load_partial<L>(cell[j] + whole * T::kBytes, dim - whole);
        for (int r = 0; r < kRows; ++r) {
          const Vec query = L::load_partial(q + r * dim + whole, dim - whole);
          sum[j * kPadded + r] = L::fma(key, query, sum[j * kPadded + r]);
        }
      }
    }
    for (int b = 0; b < L::kBlocks; ++b) {
      L::store(s + c * kPadded + b * L::kWidth,
               L::mul(L::reduce_block(sum + b * L::kWidth), L::set(scale)));
    }
  }
  const int used = count * kPadded, end = (used + L::kWidth - 1) / L::kWidth * L::kWidth;
  for (int i = used; i < end; ++i) s[i] = -__builtin_inff();
}

// Turns scores into weights; max and sum are the running state, one vector each (lane i belongs to
// row i modulo padded rows); factor rescales what was summed before.
template <class L, int kPadded>
void softmax_cells(float* s, int count, float* max_state, float* sum_state, float* factor) {
  using Vec = typename L::Vec;
  const int end = count * kPadded;
  const Vec before = L::load(max_state);
  Vec max = before;
  for (int i = 0; i < end; i += L::kWidth) max = L::max(max, L::load(s + i));
  max = L::template max_groups<kPadded>(max);
  const Vec base = L::max(L::set(kLowest), max);  // finite even when all scores are -infinity
  const Vec change = exp_lanes<L>(L::sub(before, base));
  Vec sum = L::zero();
  for (int i = 0; i < end; i += L::kWidth) {
    const Vec p = exp_lanes<L>(L::sub(L::load(s + i), base));
    L::store(s + i, p);
    sum = L::add(sum, p);
  }
  L::store(max_state, max);
  L::store(sum_state, L::fma(L::load(sum_state), change, sum));
  L::store(factor, change);
}

template <class L, class T, int kRows, int kVecs>
void value_columns(const float* p, const Cells& v, int count, const float* factor, float* out,
                   std::int64_t d, const Ahead& ahead) {
  using Vec = typename L::Vec;
  constexpr int kPadded = padded_rows(kRows);
  constexpr std::int64_t kSpan = kVecs * L::kWidth * T::kBytes;
  Vec sum[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kVecs; ++j) {
      sum[r][j] = L::mul(L::load(out + r * v.dim + d + j * L::kWidth), L::broadcast(factor + r));
    }
  }
  const std::byte* cell = v.at + d * T::kBytes;
  for (int c = 0; c < count; ++c, cell += v.stride) {
    ask_ahead<L>(ahead, c, d * T::kBytes, d * T::kBytes + kSpan);
    Vec value[kVecs];
    for (int j = 0; j < kVecs; ++j) {
      value[j] = T::template load<L>(cell + j * L::kWidth * T::kBytes);
    }
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = L::broadcast(p + c * kPadded + r);
      for (int j = 0; j < kVecs; ++j) sum[r][j] = L::fma(weight, value[j], sum[r][j]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kVecs; ++j) L::store(out + r * v.dim + d + j * L::kWidth, sum[r][j]);
  }
}

template <class L, class T, int kRows>
void add_values(const float* p, const Cells& v, int count, const float* factor, float* out,
                const Ahead& ahead) {
  constexpr int kPadded = padded_rows(kRows);
  constexpr int kVecs = kPadded == 1 ? 8 : L::kWidth * L::kBlocks / kPadded;
  std::int64_t d = 0;
  for (; d + kVecs * L::kWidth <= v.dim; d += kVecs * L::kWidth) {
    value_columns<L, T, kRows, kVecs>(p, v, count, factor, out, d, ahead);
  }
  for (; d + L::kWidth <= v.dim; d += L::kWidth) {
    value_columns<L, T, kRows, 1>(p, v, count, factor, out, d, ahead);
  }
  if (d == v.dim) return;
  for (int r = 0; r < kRows; ++r) {
    float* to = out + r * v.dim + d;
    auto sum = L::mul(L::load_partial(to, v.dim - d), L::broadcast(factor + r));
    for (int c = 0; c < count; ++c) {
      const auto value =
          T::template load_partial<L>(v.at + c * v.stride + d * T::kBytes, v.dim - d);
      sum = L::fma(L::broadcast(p + c * kPadded + r), value, sum);
    }
    L::store_partial(to, sum, v.dim - d);
  }
}

// The running softmax of one block of rows: query heads of one position.
template <class L>
struct AttentionState {
  float max[L::kWidth];
  float sum[L::kWidth];
};

template <class L, int kRows>
void attend_rows(const float* q, const Cells& k, const Cells& v, int count, float scale,
                 AttentionState<L>& state, float* out, const Ahead& next_k) {
  constexpr int kPadded = padded_rows(kRows);
  alignas(64) float s[kAttentionTile * kPadded + L::kWidth * L::kBlocks];
  alignas(64) float factor[L::kWidth];
  // Values of this tile are asked for while its keys are read, keys of the next while values are.
  const std::int64_t value_bytes = next_k.at == nullptr ? 0 : v.dim * (v.half ? 2 : 4);
  const Ahead values{v.at, v.stride, count, value_bytes};
  if (k.half) {
    score_cells<L, Float16Cells, kRows>(q, k, count, scale, s, values);
  } else {
    score_cells<L, Float32Cells, kRows>(q, k, count, scale, s, values);
  }
  softmax_cells<L, kPadded>(s, count, state.max, state.sum, factor);
  if (v.half) {
    add_values<L, Float16Cells, kRows>(s, v, count, factor, out, next_k);
  } else {
    add_values<L, Float32Cells, kRows>(s, v, count, factor, out, next_k);
  }
}

template <class L>
void attend_block(int rows, const float* q, const Cells& k, const Cells& v, int count, float scale,
                  AttentionState<L>& state, float* out, const Ahead& next_k) {
  switch (rows) {
    case 1:
      return attend_rows<L, 1>(q, k, v, count, scale, state, out, next_k);
    case 2:
      return attend_rows<L, 2>(q, k, v, count, scale, state, out, next_k);
    case 3:
      return attend_rows<L, 3>(q, k, v, count, scale, state, out, next_k);
    case 4:
      return attend_rows<L, 4>(q, k, v, count, scale, state, out, next_k);
    default:
      break;
  }
  if constexpr (L::kMaxRows > 4) {
    switch (rows) {
      case 5:
        return attend_rows<L, 5>(q, k, v, count, scale, state, out, next_k);
      case 6:
        return attend_rows<L, 6>(q, k, v, count, scale, state, out, next_k);
      case 7:
        return attend_rows<L, 7>(q, k, v, count, scale, state, out, next_k);
      default:
        return attend_rows<L, 8>(q, k, v, count, scale, state, out, next_k);
    }
  }
}

}  // namespace bandwall
