// Attention as a template over Lanes (lanes_*.h): walks the tiles of cells that a slice of queries
// sees; what happens inside a tile is in attention_tile_lanes.h.
//   attention_lanes<avx512::Lanes>(args);
// The query heads of a group share each pass over keys and values; with many query positions a
// tile is expanded to float32 once for all of them. The arithmetic of one query depends on its own
// cells only: neither on n nor on how queries are divided among calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/kernels/attention_tile_lanes.h"
#include "runtime/kernels/kernels.h"

namespace bandwall {

// True for "f16", false for "f32"; anything else is a bug. In attention_reference.cpp.
bool kv_type_is_half(std::string_view type);

inline constexpr int kAttentionQueries = 32;     // query positions that share a tile
inline constexpr int kAttentionHeads = 32;       // query heads that share a tile
inline constexpr int kAttentionExpandDim = 256;  // widest head that is expanded
inline constexpr int kAttentionExpandFrom = 4;   // passes over a tile that make expanding pay

template <class L>
Cells expand_cells(const Cells& cells, std::int64_t count, float* to) {
  for (std::int64_t c = 0; c < count; ++c) {
    const std::byte* from = cells.at + c * cells.stride;
    float* row = to + c * cells.dim;
    std::int64_t d = 0;
    for (; d + L::kWidth <= cells.dim; d += L::kWidth) L::store(row + d, L::load_f16(from + d * 2));
    if (d == cells.dim) continue;
    L::store_partial(row + d, L::load_f16_partial(from + d * 2, cells.dim - d), cells.dim - d);
  }
  return {reinterpret_cast<const std::byte*>(to), cells.dim * 4, cells.dim, false};
}

static std::int64_t visible_begin(const AttentionArgs& a, std::int64_t query) {
  const std::int64_t first = a.first[query];
  return a.part_end >= 0 && a.part_begin > first ? a.part_begin : first;
}

static std::int64_t visible_end(const AttentionArgs& a, std::int64_t query) {
  const std::int64_t last = a.last[query];
  return a.part_end >= 0 && a.part_end < last ? a.part_end : last;
}

// Up to kAttentionQueries positions from `query` and kAttentionHeads heads from `head`.
struct AttentionSlice {
  std::int64_t query, queries, head, heads;
};

template <class L>
void finish_rows(const AttentionArgs& a, std::int64_t query, std::int64_t head, int rows,
                 const AttentionState<L>& state, float* out) {
  const int padded = padded_rows(rows);
  for (int r = 0; r < rows; ++r) {
    float sum = 0.0f;
    for (int i = r; i < L::kWidth; i += padded) sum += state.sum[i];
    float max = state.max[r];
    if (a.part_end >= 0) {
      float* partial = a.partial + (query * a.group + head + r) * 2;
      partial[0] = max;
      partial[1] = sum;
      continue;
    }
    float factor = 1.0f;
    if (a.sinks != nullptr) {
      alignas(64) float change[L::kWidth];
      const float sink = a.sinks[head + r];
      const float top = sink > max ? sink : max, base = top > kLowest ? top : kLowest;
      L::store(change, exp_lanes<L>(L::set(max - base)));
      factor = change[0];
      L::store(change, exp_lanes<L>(L::set(sink - base)));
      sum = sum * factor + change[0];
    }
    factor = sum == 0.0f ? 0.0f : factor / sum;
    float* row = out + r * a.head_dim_v;
    for (std::int64_t d = 0; d < a.head_dim_v; ++d) row[d] *= factor;
  }
}

// All state of one slice while its cells go by, tile after tile.
template <class L>
struct AttentionWork {
  static constexpr int kBlocks = (kAttentionHeads + L::kMaxRows - 1) / L::kMaxRows;
  AttentionState<L> states[kAttentionQueries * kBlocks];
  std::int64_t begin, end;  // cells that some query of the slice sees
  alignas(64) float k_space[kAttentionTile * kAttentionExpandDim];
  alignas(64) float v_space[kAttentionTile * kAttentionExpandDim];
};

template <class L>
std::int64_t row_blocks(std::int64_t heads) {
  return (heads + L::kMaxRows - 1) / L::kMaxRows;
}

template <class L>
int rows_of_block(std::int64_t heads, std::int64_t block) {
  const std::int64_t left = heads - block * L::kMaxRows;
  return static_cast<int>(left < L::kMaxRows ? left : L::kMaxRows);
}

template <class L>
void start_slice(const AttentionArgs& a, const AttentionSlice& slice, AttentionWork<L>& work) {
  work.begin = INT64_MAX;
  work.end = 0;
  for (std::int64_t i = 0; i < slice.queries; ++i) {
    const std::int64_t from = visible_begin(a, slice.query + i);
    const std::int64_t to = visible_end(a, slice.query + i);
    float* out = a.out + (slice.query + i) * a.out_stride + slice.head * a.head_dim_v;
    for (std::int64_t d = 0; d < slice.heads * a.head_dim_v; ++d) out[d] = 0.0f;
    if (from >= to) continue;
    if (from < work.begin) work.begin = from;
    if (to > work.end) work.end = to;
  }
  for (std::int64_t b = 0; b < row_blocks<L>(slice.heads) * slice.queries; ++b) {
    L::store(work.states[b].max, L::set(-__builtin_inff()));
    L::store(work.states[b].sum, L::zero());
  }
}

// All queries of the slice over the cells [cell, next), whose keys and values are k and v.
template <class L>
void attend_tile(const AttentionArgs& a, const AttentionSlice& slice, AttentionWork<L>& work,
                 std::int64_t cell, std::int64_t next, const Cells& k, const Cells& v,
                 const Ahead& next_k) {
  const std::int64_t blocks = row_blocks<L>(slice.heads);
  for (std::int64_t i = 0; i < slice.queries; ++i) {
    const std::int64_t query = slice.query + i;
    std::int64_t from = visible_begin(a, query), to = visible_end(a, query);
    if (from < cell) from = cell;
    if (to > next) to = next;
    if (from >= to) continue;
    const Cells own_k{k.at + (from - cell) * k.stride, k.stride, k.dim, k.half};
    const Cells own_v{v.at + (from - cell) * v.stride, v.stride, v.dim, v.half};
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t head = slice.head + b * L::kMaxRows;
      attend_block<L>(rows_of_block<L>(slice.heads, b),
                      a.q + query * a.q_stride + head * a.head_dim_k, own_k, own_v,
                      static_cast<int>(to - from), a.scale, work.states[i * blocks + b],
                      a.out + query * a.out_stride + head * a.head_dim_v, next_k);
    }
  }
}

template <class L>
void attend_slice(const AttentionArgs& a, const AttentionSlice& slice, bool half_k, bool half_v) {
  AttentionWork<L> work;
  start_slice<L>(a, slice, work);
  const std::int64_t blocks = row_blocks<L>(slice.heads);
  const bool expand = blocks * slice.queries >= kAttentionExpandFrom &&
                      a.head_dim_k <= kAttentionExpandDim && a.head_dim_v <= kAttentionExpandDim;
  std::int64_t next = 0;
  for (std::int64_t cell = work.begin; cell < work.end; cell = next) {
    next = (cell / kAttentionTile + 1) * kAttentionTile;
    if (next > work.end) next = work.end;
    const std::int64_t place = cell % a.ring, next_place = next % a.ring;
    Cells k{a.k + place * a.k_stride, a.k_stride, a.head_dim_k, half_k};
    Cells v{a.v + place * a.v_stride, a.v_stride, a.head_dim_v, half_v};
    Ahead next_k{a.k + next_place * a.k_stride, a.k_stride, work.end - next,
                 a.head_dim_k * (half_k ? 2 : 4)};
    if (expand) {
      if (half_k) k = expand_cells<L>(k, next - cell, work.k_space);
      if (half_v) v = expand_cells<L>(v, next - cell, work.v_space);
      next_k = Ahead{nullptr, 0, 0, 0};
    }
    attend_tile<L>(a, slice, work, cell, next, k, v, next_k);
  }
  for (std::int64_t i = 0; i < slice.queries; ++i) {
    const std::int64_t query = slice.query + i;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t head = slice.head + b * L::kMaxRows;
      finish_rows<L>(a, query, head, rows_of_block<L>(slice.heads, b), work.states[i * blocks + b],
                     a.out + query * a.out_stride + head * a.head_dim_v);
    }
  }
}

template <class L>
void attention_lanes(const AttentionArgs& a) {
  const bool half_k = kv_type_is_half(a.k_type), half_v = kv_type_is_half(a.v_type);
  for (std::int64_t head = 0; head < a.group; head += kAttentionHeads) {
    const std::int64_t heads = a.group - head < kAttentionHeads ? a.group - head : kAttentionHeads;
    for (std::int64_t query = 0; query < a.n; query += kAttentionQueries) {
      const std::int64_t left = a.n - query;
      attend_slice<L>(a, {query, left < kAttentionQueries ? left : kAttentionQueries, head, heads},
                      half_k, half_v);
    }
  }
}

}  // namespace bandwall
