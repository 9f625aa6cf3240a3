// Attention inside one tile of cells, as templates over Lanes (lanes_*.h); the walk over tiles and
// queries is in attention_lanes.h.
//   scores   s[c][r] = dot(q[r], k[c])                   (q is scaled beforehand)
//   softmax  m' = max(m, max s), p = e^(s - m'), l' = l e^(m - m') + sum p
//   values   out[r] = out[r] e^(m - m') + sum over c of p[c][r] v[c]
// Online softmax: Milakov and Gimelshein 2018.
// The heads of a group are cut into chunks of 4, 2 and 1 rows. A vector
// holds the rows of a chunk side by side, for each a run of neighbouring dimensions: one load that
// repeats such a run of a key serves all rows, and only the run is left to be summed across lanes.
// Scores lie cell after cell with the rows of the chunk side by side: a vector holds several cells
// and the softmax runs down the vectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/kernels.h"
#include "runtime/kernels/vector_lanes.h"

namespace bandwall {

inline constexpr int kAttentionTile = 64;  // cells, counted from cell 0 of the cache
inline constexpr int kKeysPerLine = 32;    // scores ask for a line for so many keys x dimensions
inline constexpr float kLowest = -3.402823466e+38f;

// How values lie in a cell: load_all gives kVecs vectors from dimension d on. Floats have kBytes
// each, blocks of 32 values (kBytes = 0) are read where they are whole.
struct Float32Cells {
  static constexpr int kBytes = 4, kPerLine = 16;
  template <class L, int kVecs>
  static void load_all(const std::byte* cell, std::int64_t d, typename L::Vec* value) {
    for (int j = 0; j < kVecs; ++j) value[j] = load<L>(cell + (d + j * L::kWidth) * kBytes);
  }
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
  static constexpr int kBytes = 2, kPerLine = 32;
  template <class L, int kVecs>
  static void load_all(const std::byte* cell, std::int64_t d, typename L::Vec* value) {
    for (int j = 0; j < kVecs; ++j) value[j] = load<L>(cell + (d + j * L::kWidth) * kBytes);
  }
  template <class L>
  static typename L::Vec load(const std::byte* p) {
    return L::load_f16(p);
  }
  template <class L>
  static typename L::Vec load_partial(const std::byte* p, std::int64_t n) {
    return L::load_f16_partial(p, n);
  }
};

struct Q8Cells {
  static constexpr int kBytes = 0, kPerLine = 32;
  template <class L, int kVecs>
  static void load_all(const std::byte* cell, std::int64_t d, typename L::Vec* value) {
    constexpr int kBlock = 32 / L::kWidth;
    const std::byte* at = cell + d / 32 * 34;
    for (int j = 0; j + kBlock <= kVecs; j += kBlock, at += 34) {
      const auto scale = L::broadcast_f16(at);
      for (int i = 0; i < kBlock; ++i) {
        value[j + i] = L::mul(scale, L::load_i8(at + 2 + i * L::kWidth));
      }
    }
  }
};

struct Q4Cells {
  static constexpr int kBytes = 0, kPerLine = 32;
  template <class L, int kVecs>
  static void load_all(const std::byte* cell, std::int64_t d, typename L::Vec* value) {
    static_assert(L::kWidth == 16);
    alignas(64) static constexpr float kSteps[16] = {-8, -7, -6, -5, -4, -3, -2, -1,
                                                     0,  1,  2,  3,  4,  5,  6,  7};
    const std::byte* at = cell + d / 32 * 18;
    for (int j = 0; j + 2 <= kVecs; j += 2, at += 18) {
      L::look_up_nibbles(at + 2, L::mul(L::broadcast_f16(at), L::load(kSteps)), value + j,
                         value + j + 1);
    }
  }
};

using ExpandCells = void (*)(const CellRun& run, float* rows, std::int64_t row_stride);

struct Cells {  // keys or values of a run of cells
  const std::byte* at;
  std::int64_t stride, dim;
  bool half;               // else float32
  const KvFormat* packed;  // a type that must be expanded by the table's expand_cells, or nullptr
};

// Memory that is read later: a line at `at`, the next one `gap` bytes further, and so on. Asked for
// everywhere at a steady rate: requests in a burst wait for each other, and the loads behind them
// for the requests; while nobody asks, memory rests. No address is wrong here.
struct Ahead {
  const std::byte* at;
  std::int64_t gap;
};

// Inlined by force: GCC 12 takes a function that only prefetches for one without effect and drops
// the call.
template <class L, std::int64_t kLines>
__attribute__((always_inline)) inline void ask(Ahead& ahead) {
  for (std::int64_t i = 0; i < kLines; ++i, ahead.at += ahead.gap) L::prefetch_far(ahead.at);
}

// Rows of the chunk that starts at row `first` of `rows`.
template <class L>
constexpr int chunk_rows(int rows, int first) {
  int chunk = L::kChunkRows;
  while (chunk > rows - first) chunk /= 2;
  return chunk;
}

// For each row of a unit of kRows rows: first row and number of rows of its chunk. A table, so that
// loops over rows unroll to constants.
template <class L, int kRows>
struct ChunkTable {
  int first[kRows] = {}, rows[kRows] = {};
  constexpr ChunkTable() {
    for (int r = 0; r < kRows; ++r) {
      const int before = r == 0 ? 0 : first[r - 1], next = r == 0 ? 0 : before + rows[r - 1];
      first[r] = r == next ? next : before;
      rows[r] = chunk_rows<L>(kRows, first[r]);
    }
  }
};

// Queries of a chunk in the order that score_cells reads: for each run of kWidth / kRows dimensions
// the runs of all rows. `padded` dimensions are written, those beyond `dims` as 0.
template <class L, int kRows>
void pack_queries(const float* q, std::int64_t stride, std::int64_t dims, std::int64_t padded,
                  float scale, float* to) {
  constexpr int kRun = L::kWidth / kRows;
  for (std::int64_t d = 0; d < padded; d += kRun) {
    for (int r = 0; r < kRows; ++r) {
      const float* from = q + r * stride + d;
      float* run = to + d * kRows + r * kRun;
      if (d + kRun <= dims) {
        __builtin_memcpy(run, from, kRun * sizeof(float));
      } else {
        for (int i = 0; i < kRun; ++i) run[i] = d + i < dims ? from[i] : 0.0f;
      }
    }
  }
  for (std::int64_t i = 0; i < padded * kRows; i += L::kWidth) {
    L::store(to + i, L::mul(L::load(to + i), L::set(scale)));
  }
}

// Scores of kVecs chunks of kRows rows (q_step and s_step floats apart) for kCells keys that lie
// kStride floats apart. `more`: adds to the scores that are there. Asks for a line per kKeysPerLine
// values of the keys.
template <class L, int kRows, int kVecs, int kStride>
void score_cells(const float* q, std::int64_t q_step, const float* k, std::int64_t dims, float* s,
                 std::int64_t s_step, bool more, Ahead& asked) {
  using Vec = typename L::Vec;
  constexpr int kRun = L::kWidth / kRows, kCells = L::kWidth * L::kBlocks / kVecs;
  Ahead ahead = asked;
  Vec sum[kVecs][kCells];
  for (int m = 0; m < kVecs; ++m) {
    for (int c = 0; c < kCells; ++c) sum[m][c] = L::zero();
  }
  for (std::int64_t d = 0; d < dims; d += kRun, q += L::kWidth) {
    ask<L, kRun * kCells / kKeysPerLine>(ahead);
    Vec query[kVecs];
    for (int m = 0; m < kVecs; ++m) query[m] = L::load(q + m * q_step);
    for (int c = 0; c < kCells; ++c) {
      const Vec key = L::template load_repeated<kRun>(k + c * kStride + d);
      for (int m = 0; m < kVecs; ++m) sum[m][c] = L::fma(key, query[m], sum[m][c]);
    }
  }
  asked = ahead;
  for (int m = 0; m < kVecs; ++m) {
    for (int c = 0; c < kCells; c += kRun) {
      float* to = s + m * s_step + c * kRows;
      Vec score = L::template add_runs<kRun>(sum[m] + c);
      if (more) score = L::add(score, L::load(to));
      L::store(to, score);
    }
  }
}

// The running softmax of one chunk; lane i belongs to row i modulo the rows of the chunk. factor
// rescales what was summed before the latest tile.
template <class L>
struct AttentionState {
  alignas(4 * L::kWidth) float max[L::kWidth];
  float sum[L::kWidth], factor[L::kWidth];
};

// e^x for x <= 0, and 0 from about -80 on: no sum of weights whose largest is 1 can show those, but
// products with subnormal numbers take the processor a hundred times as long.
template <class L>
typename L::Vec weight_lanes(typename L::Vec x) {
  const auto below = L::min(L::add(x, L::set(80.0f)), L::zero());
  return exp_lanes<L>(L::fma(below, L::set(1000.0f), x));
}

// Turns the scores of cells [from, to) of a tile into weights, those of other cells in the same
// vectors into 0. Asks for a line per vector.
template <class L, int kRows>
void softmax_cells(float* s, int from, int to, AttentionState<L>& state, Ahead& asked) {
  using Vec = typename L::Vec;
  constexpr int kCells = L::kWidth / kRows;
  const int begin = from / kCells * L::kWidth;
  const int end = (to + kCells - 1) / kCells * L::kWidth;
  for (int i = begin; i < from * kRows; ++i) s[i] = -__builtin_inff();
  for (int i = to * kRows; i < end; ++i) s[i] = -__builtin_inff();
  const Vec before = L::load(state.max);
  Vec max = before, other = before;
  for (int i = begin; i < end; i += 2 * L::kWidth) {
    max = L::max(max, L::load(s + i));
    if (i + L::kWidth < end) other = L::max(other, L::load(s + i + L::kWidth));
  }
  max = L::template max_groups<kRows>(L::max(max, other));
  const Vec base = L::max(L::set(kLowest), max);  // finite even when all scores are -infinity
  const Vec change = weight_lanes<L>(L::sub(before, base));
  Vec sum = L::zero();
  Ahead ahead = asked;
#pragma GCC unroll 4
  for (int i = begin; i < end; i += L::kWidth) {
    ask<L, 1>(ahead);
    const Vec p = weight_lanes<L>(L::sub(L::load(s + i), base));
    L::store(s + i, p);
    sum = L::add(sum, p);
  }
  asked = ahead;
  L::store(state.max, max);
  L::store(state.sum, L::fma(L::load(state.sum), change, sum));
  L::store(state.factor, change);
}

// Rows of kQueries units of kRows rows each that add values together. Weights and states of the
// units follow each other.
template <class L, int kRows, int kQueries>
struct ValueRows {
  static constexpr ChunkTable<L, kRows> kChunks{};
  const float* weights;             // kRows x kAttentionTile floats per unit
  const AttentionState<L>* states;  // kRows per unit, used where a chunk starts
  float* outs[kQueries];            // rows of a unit lie v.dim floats apart

  float* out(int i, std::int64_t dim) const { return outs[i / kRows] + i % kRows * dim; }
  const float* factor(int i) const {
    const int r = i % kRows, first = kChunks.first[r];
    return states[i - r + first].factor + (r - first);
  }
  const float* weight(int i, int cell) const {
    const int r = i % kRows, first = kChunks.first[r];
    return weights + (i - r + first) * kAttentionTile + cell * kChunks.rows[r] + (r - first);
  }
};

template <class L, class T, int kVecs, int kRows, int kQueries>
void value_columns(const ValueRows<L, kRows, kQueries>& rows, const Cells& v, int from, int to,
                   std::int64_t d, Ahead& asked) {
  using Vec = typename L::Vec;
  constexpr int kAll = kRows * kQueries;
  constexpr std::int64_t kLines = kVecs * L::kWidth / T::kPerLine;
  Vec sum[kAll][kVecs];
  for (int i = 0; i < kAll; ++i) {
    const Vec factor = L::broadcast(rows.factor(i));
    for (int j = 0; j < kVecs; ++j) {
      sum[i][j] = L::mul(L::load(rows.out(i, v.dim) + d + j * L::kWidth), factor);
    }
  }
  const std::byte* cell = v.at + from * v.stride;
  Ahead ahead = asked;
  for (int c = from; c < to; ++c, cell += v.stride) {
    ask<L, kLines>(ahead);
    Vec value[kVecs];
    T::template load_all<L, kVecs>(cell, d, value);
    for (int i = 0; i < kAll; ++i) {
      const Vec weight = L::broadcast(rows.weight(i, c));
      for (int j = 0; j < kVecs; ++j) sum[i][j] = L::fma(weight, value[j], sum[i][j]);
    }
  }
  asked = ahead;
  for (int i = 0; i < kAll; ++i) {
    for (int j = 0; j < kVecs; ++j) L::store(rows.out(i, v.dim) + d + j * L::kWidth, sum[i][j]);
  }
}

template <class L, class T, int kVecs, int kRows, int kQueries>
std::int64_t value_blocks(const ValueRows<L, kRows, kQueries>& rows, const Cells& v, int from,
                          int to, std::int64_t d, Ahead& ahead) {
  for (; d + kVecs * L::kWidth <= v.dim; d += kVecs * L::kWidth) {
    value_columns<L, T, kVecs>(rows, v, from, to, d, ahead);
  }
  constexpr bool kHalves = kVecs > 1 && (T::kBytes > 0 || kVecs * L::kWidth > 32);
  if constexpr (kHalves) return value_blocks<L, T, kVecs / 2>(rows, v, from, to, d, ahead);
  return d;
}

// Dimensions from d on, fewer than a vector.
template <class L, class T, int kRows, int kQueries>
void add_tail(const ValueRows<L, kRows, kQueries>& rows, const Cells& v, int from, int to,
              std::int64_t d) {
  for (int i = 0; i < kRows * kQueries; ++i) {
    float* out = rows.out(i, v.dim) + d;
    auto sum = L::mul(L::load_partial(out, v.dim - d), L::broadcast(rows.factor(i)));
    for (int c = from; c < to; ++c) {
      const auto value =
          T::template load_partial<L>(v.at + c * v.stride + d * T::kBytes, v.dim - d);
      sum = L::fma(L::broadcast(rows.weight(i, c)), value, sum);
    }
    L::store_partial(out, sum, v.dim - d);
  }
}

// Adds the values of cells [from, to) to all rows, and asks for a line per line of them.
template <class L, class T, int kRows, int kQueries>
void add_values(const ValueRows<L, kRows, kQueries>& rows, const Cells& v, int from, int to,
                Ahead& ahead) {
  constexpr int kAll = kRows * kQueries, kPadded = kAll > 4 ? 8 : kAll > 2 ? 4 : kAll;
  constexpr int kVecs = kPadded == 1 ? 8 : L::kWidth * L::kBlocks / kPadded;
  const std::int64_t d = value_blocks<L, T, kVecs>(rows, v, from, to, 0, ahead);
  if (d == v.dim) return;
  if constexpr (T::kBytes > 0) add_tail<L, T>(rows, v, from, to, d);
}

}  // namespace bandwall
