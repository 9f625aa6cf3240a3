// Attention as a template over Lanes (lanes_*.h): walks the tiles of cells that a slice of queries
// sees; what happens inside a tile is in attention_tile_lanes.h.
//   attention_lanes<avx512::Lanes>(args, expand_cells);
// A unit is up to kMaxRows query heads of one position. All units of a slice share each pass over
// keys and values: keys are expanded to float32 a few cells at a time, values too when there are
// several units. The arithmetic of one query depends on its own cells only: neither on n nor on how
// queries are divided among calls.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/attention_tile_lanes.h"
#include "runtime/kernels/kernels.h"

namespace bandwall {

inline constexpr int kAttentionRows = 128;              // query heads x positions that share a tile
inline constexpr int kAttentionHeads = 32;              // query heads that share a tile
inline constexpr int kAttentionKeyDims = kMostKeyDims;  // of keys that are multiplied at once
inline constexpr int kAttentionQueryFloats = 32768;     // of a slice: 128 KiB
inline constexpr int kAttentionBlock = 16;              // cells whose keys are expanded at once
inline constexpr int kAttentionKeyFloats = kAttentionBlock * 592;
inline constexpr int kAttentionValueDims = kMostValueDims;  // widest values that are expanded

// Cells [from, to) of `cells`, dimensions [first, first + dims), as rows of `padded` floats that
// start `stride` floats apart at row `from`; beyond `dims` they are 0. The one place that knows how
// keys and values are stored, besides the direct loads of values. Asks for a line per cell of a
// plain type.
template <class L>
void expand_rows(ExpandCells expand, const Cells& cells, int from, int to, std::int64_t first,
                 std::int64_t dims, std::int64_t padded, float* rows, std::int64_t stride,
                 Ahead& ahead) {
  if (cells.packed != nullptr) {
    const std::byte* at = cells.at + from * cells.stride;
    expand({cells.packed, at, cells.stride, to - from, first, dims}, rows + from * stride, stride);
    for (int c = from; c < to && dims < padded; ++c) {
      for (std::int64_t i = dims; i < padded; ++i) rows[c * stride + i] = 0.0f;
    }
    return;
  }
  for (int c = from; c < to; ++c) {
    const std::byte* cell = cells.at + c * cells.stride + first * (cells.half ? 2 : 4);
    float* row = rows + c * stride;
    ask<L, 1>(ahead);
    std::int64_t d = 0;
    if (cells.half) {
      for (; d + L::kWidth <= dims; d += L::kWidth) L::store(row + d, L::load_f16(cell + d * 2));
    } else {
      for (; d + L::kWidth <= dims; d += L::kWidth) {
        L::store(row + d, Float32Cells::load<L>(cell + d * 4));
      }
    }
    if (d == dims) continue;
    for (std::int64_t i = d; i < padded; ++i) row[i] = 0.0f;
    const auto tail = cells.half ? L::load_f16_partial(cell + d * 2, dims - d)
                                 : Float32Cells::load_partial<L>(cell + d * 4, dims - d);
    L::store_partial(row + d, tail, dims - d);
  }
}

static std::int64_t visible_begin(const AttentionArgs& a, std::int64_t query) {
  const std::int64_t first = a.first[query];
  return a.part_end >= 0 && a.part_begin > first ? a.part_begin : first;
}

static std::int64_t visible_end(const AttentionArgs& a, std::int64_t query) {
  const std::int64_t last = a.last[query];
  return a.part_end >= 0 && a.part_end < last ? a.part_end : last;
}

static Cells cells_of(const std::byte* at, const KvFormat& type, std::int64_t stride,
                      std::int64_t dim) {
  const bool plain = type.storage == Format::F16 || type.storage == Format::F32;
  const bool packed = type.index_bits > 0 || !plain;
  return {at, stride, dim, type.storage == Format::F16, packed ? &type : nullptr};
}

// Positions from `query` and heads from `head` of the group.
struct AttentionSlice {
  std::int64_t query, queries, head, heads;
};

// Units of equal rows, `step` apart.
struct UnitClass {
  int rows, first, step;
};

template <class L>
int rows_of_unit(std::int64_t heads) {
  return heads < L::kMaxRows ? static_cast<int>(heads) : L::kMaxRows;
}

template <class L>
int units_of_heads(std::int64_t heads) {
  return static_cast<int>((heads + L::kMaxRows - 1) / L::kMaxRows);
}

template <class L>
std::int64_t padded_dims(std::int64_t dims) {
  return (dims + L::kWidth - 1) / L::kWidth * L::kWidth;
}

template <class L>
std::int64_t query_dims(const AttentionArgs& a) {
  return padded_dims<L>(a.head_dim_k < kAttentionKeyDims ? a.head_dim_k : kAttentionKeyDims);
}

// All state of one slice while its cells go by, tile after tile.
template <class L>
struct AttentionWork {
  AttentionWork(const AttentionArgs& args, const AttentionSlice& part, ExpandCells expand_packed)
      : a(args),
        expand(expand_packed),
        slice(part),
        k(cells_of(args.k, *args.k_type, args.k_stride, args.head_dim_k)),
        v(cells_of(args.v, *args.v_type, args.v_stride, args.head_dim_v)),
        unit_rows(rows_of_unit<L>(part.heads)),
        blocks(units_of_heads<L>(part.heads)),
        units(static_cast<int>(part.queries) * blocks),
        q_dims(query_dims<L>(args)) {}

  const AttentionArgs& a;
  ExpandCells expand;
  AttentionSlice slice;
  Cells k, v;             // of the tile; cell c of the tile at index c
  int unit_rows, blocks;  // rows per unit at most, units per position
  int units;
  std::int64_t q_dims;      // padded dimensions of q_space
  std::int64_t begin, end;  // cells that some query of the slice sees
  Ahead ahead;              // values of the tile while scores are made, then keys of the next tile
  int lo, hi;               // the same within the tile
  int from[kAttentionRows], to[kAttentionRows];  // cells of the tile that a position sees
  AttentionState<L> states[kAttentionRows];      // of the chunk that starts at a row
  alignas(64) float s_space[kAttentionRows * kAttentionTile];
  alignas(64) float q_space[kAttentionQueryFloats];
  alignas(64) float k_space[kAttentionKeyFloats];
  alignas(64) float v_space[kAttentionTile * kAttentionValueDims];

  float* scores(int unit, int row) { return s_space + (unit * unit_rows + row) * kAttentionTile; }
  float* queries(int unit, int row) { return q_space + (unit * unit_rows + row) * q_dims; }
  AttentionState<L>& state(int unit, int row) { return states[unit * unit_rows + row]; }
  std::int64_t query_of(int unit) const { return slice.query + unit / blocks; }
  std::int64_t head_of(int unit) const { return slice.head + unit % blocks * L::kMaxRows; }
  bool sees(int unit, int first, int last) const {
    return from[unit / blocks] < last && to[unit / blocks] > first;
  }
  float* out(int unit) const {
    return a.out + query_of(unit) * a.out_stride + head_of(unit) * a.head_dim_v;
  }
};

// Calls work(UnitClass) for every class of the slice: one when all units have as many rows.
template <class L, class Work>
void for_classes(const AttentionWork<L>& w, const Work& work) {
  const int heads = static_cast<int>(w.slice.heads);
  if (heads % w.unit_rows == 0) return work(UnitClass{w.unit_rows, 0, 1});
  for (int b = 0; b < w.blocks; ++b) {
    const int left = heads - b * L::kMaxRows;
    work(UnitClass{left < L::kMaxRows ? left : L::kMaxRows, b, w.blocks});
  }
}

template <int kRows>
struct RowCount {
  static constexpr int value = kRows;
};

// Calls work(first row, RowCount) for the chunks of a unit of `rows` rows.
template <class L, class Work>
void for_chunks(int rows, const Work& work) {
  int chunk = 0;
  for (int first = 0; first < rows; first += chunk) {
    chunk = chunk_rows<L>(rows, first);
    if (chunk == 1) work(first, RowCount<1>{});
    if (chunk == 2) work(first, RowCount<2>{});
    if constexpr (L::kChunkRows == 4) {
      if (chunk == 4) work(first, RowCount<4>{});
    }
  }
}

template <class L>
void pack_slice(AttentionWork<L>& w, std::int64_t first, std::int64_t dims, std::int64_t padded) {
  for_classes<L>(w, [&](const UnitClass& c) {
    for (int unit = c.first; unit < w.units; unit += c.step) {
      const float* q =
          w.a.q + w.query_of(unit) * w.a.q_stride + w.head_of(unit) * w.a.head_dim_k + first;
      for_chunks<L>(c.rows, [&](int row, auto rows) {
        pack_queries<L, decltype(rows)::value>(q + row * w.a.head_dim_k, w.a.head_dim_k, dims,
                                               padded, w.a.scale, w.queries(unit, row));
      });
    }
  });
}

template <class L>
void start_slice(AttentionWork<L>& w) {
  const AttentionArgs& a = w.a;
  const AttentionSlice& slice = w.slice;
  w.begin = INT64_MAX;
  w.end = 0;
  for (std::int64_t i = slice.query; i < slice.query + slice.queries; ++i) {
    const std::int64_t from = visible_begin(a, i), to = visible_end(a, i);
    float* out = a.out + i * a.out_stride + slice.head * a.head_dim_v;
    for (std::int64_t d = 0; d < slice.heads * a.head_dim_v; ++d) out[d] = 0.0f;
    if (from >= to) continue;
    if (from < w.begin) w.begin = from;
    if (to > w.end) w.end = to;
  }
  for (std::int64_t row = 0; row < w.units * w.unit_rows; ++row) {
    L::store(w.states[row].max, L::set(-__builtin_inff()));
    L::store(w.states[row].sum, L::zero());
  }
}

// Scores of one chunk, or of two (where `other` is not nullptr), for keys [begin, end) of the tile,
// which lie in k_space.
template <class L, int kRows, int kVecs, int kStride>
void score_strip(AttentionWork<L>& w, const float* q, const float* other, int begin, int end,
                 std::int64_t dims, bool more) {
  constexpr int kCells = L::kWidth * L::kBlocks / kVecs;
  const std::int64_t row = (q - w.q_space) / w.q_dims, rows = other == nullptr ? 0 : other - q;
  Ahead none{reinterpret_cast<const std::byte*>(w.k_space), 0};
  Ahead& ahead = q == w.q_space ? w.ahead : none;  // one strip asks for all
  for (int cell = begin; cell < end; cell += kCells) {
    const float* k = w.k_space + (cell - begin) * kStride;
    score_cells<L, kRows, kVecs, kStride>(q, rows, k, dims,
                                          w.s_space + row * kAttentionTile + cell * kRows,
                                          rows / w.q_dims * kAttentionTile, more, ahead);
  }
}

// Scores of one chunk of all units of a class; two units share a pass where there are two.
template <class L, int kRows, int kStride>
void score_chunk(AttentionWork<L>& w, const UnitClass& c, int row, int begin, int end,
                 std::int64_t dims, bool more) {
  constexpr int kVecs = kRows * L::kBlocks >= 2 ? 2 : 1;  // one row takes all sums of a block
  int next = 0;
  for (int unit = c.first; unit < w.units; unit = next) {
    next = unit + c.step;
    if (!w.sees(unit, begin, end)) continue;
    const float* q = w.queries(unit, row);
    if (kVecs == 2 && next < w.units && w.sees(next, begin, end)) {
      score_strip<L, kRows, kVecs, kStride>(w, q, w.queries(next, row), begin, end, dims, more);
      next += c.step;
    } else {
      score_strip<L, kRows, 1, kStride>(w, q, nullptr, begin, end, dims, more);
    }
  }
}

template <class L, int kStride>
void score_class(AttentionWork<L>& w, const UnitClass& c, int begin, int end, std::int64_t dims,
                 bool more) {
  if (c.rows < 2 * L::kChunkRows) {
    return for_chunks<L>(c.rows, [&](int row, auto rows) {
      score_chunk<L, decltype(rows)::value, kStride>(w, c, row, begin, end, dims, more);
    });
  }
  for (int unit = c.first; unit < w.units; unit += c.step) {
    if (!w.sees(unit, begin, end)) continue;
    score_strip<L, L::kChunkRows, 2, kStride>(w, w.queries(unit, 0), w.queries(unit, L::kChunkRows),
                                              begin, end, dims, more);
  }
}

// Scores of all units for the cells of the tile, over key dimensions [first, first + dims).
template <class L, int kStride>
void score_tile(AttentionWork<L>& w, std::int64_t first, std::int64_t dims, std::int64_t padded) {
  static_assert(kStride * kAttentionBlock <= kAttentionKeyFloats);
  for (int begin = w.lo / kAttentionBlock * kAttentionBlock; begin < w.hi;
       begin += kAttentionBlock) {
    const int end = begin + kAttentionBlock;
    const int lo = w.lo > begin ? w.lo : begin, hi = w.hi < end ? w.hi : end;
    float* rows = w.k_space - begin * kStride;
    w.ahead.at = w.v.at + lo * w.v.stride;
    expand_rows<L>(w.expand, w.k, lo, hi, first, dims, padded, rows, kStride, w.ahead);
    for (int c = begin; c < end; ++c) {  // cells that nobody sees may hold anything
      if (c >= lo && c < hi) continue;
      for (std::int64_t d = 0; d < padded; ++d) rows[c * kStride + d] = 0.0f;
    }
    for_classes<L>(w, [&](const UnitClass& c) {
      score_class<L, kStride>(w, c, begin, end, padded, first > 0);
    });
  }
}

template <class L>
void score_all(AttentionWork<L>& w) {
  const std::int64_t all = w.a.head_dim_k;
  for (std::int64_t first = 0; first < all; first += kAttentionKeyDims) {
    const std::int64_t dims = all - first < kAttentionKeyDims ? all - first : kAttentionKeyDims;
    const std::int64_t padded = padded_dims<L>(dims);
    if (all > kAttentionKeyDims) pack_slice<L>(w, first, dims, padded);
    if (padded <= 128) {
      score_tile<L, 144>(w, first, dims, padded);
    } else if (padded <= 256) {
      score_tile<L, 272>(w, first, dims, padded);
    } else {
      score_tile<L, 592>(w, first, dims, padded);
    }
  }
}

template <class L>
void soften_tile(AttentionWork<L>& w) {
  for_classes<L>(w, [&](const UnitClass& c) {
    for (int unit = c.first; unit < w.units; unit += c.step) {
      const int from = w.from[unit / w.blocks], to = w.to[unit / w.blocks];
      if (from >= to) continue;
      for_chunks<L>(c.rows, [&](int row, auto rows) {
        softmax_cells<L, decltype(rows)::value>(w.scores(unit, row), from, to, w.state(unit, row),
                                                w.ahead);
      });
    }
  });
}

// Values of the tile for all units of a class. Positions with few heads that see the same cells
// share a pass when values are float32.
template <class L, class T, int kRows>
void value_units(AttentionWork<L>& w, const UnitClass& c, const Cells& v) {
  constexpr int kTogether = T::kBytes == 4 ? L::kMaxRows / kRows : 1;
  int next = 0;
  for (int unit = c.first; unit < w.units; unit = next) {
    next = unit + c.step;
    const int from = w.from[unit / w.blocks], to = w.to[unit / w.blocks];
    if (from >= to) continue;
    if constexpr (kTogether > 1) {
      bool same = w.blocks == 1 && unit + kTogether <= w.units;
      for (int i = 1; i < kTogether && same; ++i) {
        same = w.from[unit + i] == from && w.to[unit + i] == to;
      }
      if (same) {
        ValueRows<L, kRows, kTogether> rows{w.scores(unit, 0), &w.state(unit, 0), {}};
        for (int i = 0; i < kTogether; ++i) rows.outs[i] = w.out(unit + i);
        add_values<L, T>(rows, v, from, to, w.ahead);
        w.ahead.gap = 0;
        next = unit + kTogether;
        continue;
      }
    }
    const ValueRows<L, kRows, 1> rows{w.scores(unit, 0), &w.state(unit, 0), {w.out(unit)}};
    add_values<L, T>(rows, v, from, to, w.ahead);
    w.ahead.gap = 0;  // one unit asks for all
  }
}

template <class L, class T, int kRows>
void value_class(AttentionWork<L>& w, const UnitClass& c, const Cells& v) {
  if (c.rows == kRows) return value_units<L, T, kRows>(w, c, v);
  if constexpr (kRows < L::kMaxRows) value_class<L, T, kRows + 1>(w, c, v);
}

// Values of the tile that a single unit reads where they are, without a copy of floats; false:
// there is no such way. Several units share the copy.
template <class L>
bool values_in_place(const AttentionWork<L>& w) {
  if (!L::kValueBlocks || w.units > 1 || w.v.packed == nullptr) return false;
  const KvFormat& type = *w.v.packed;
  return type.index_bits == 0 && (type.storage == Format::Q8_0 || type.storage == Format::Q4_0);
}

template <class L>
void value_tile(AttentionWork<L>& w) {
  if constexpr (L::kValueBlocks) {
    if (values_in_place(w)) {
      const UnitClass only{static_cast<int>(w.slice.heads), 0, 1};
      return w.v.packed->storage == Format::Q8_0 ? value_class<L, Q8Cells, 1>(w, only, w.v)
                                                 : value_class<L, Q4Cells, 1>(w, only, w.v);
    }
  }
  Cells v = w.v;
  const bool shared = w.units > 1 && v.half && v.dim <= kAttentionValueDims;
  if (shared || v.packed != nullptr) {
    expand_rows<L>(w.expand, v, w.lo, w.hi, 0, v.dim, v.dim, w.v_space, v.dim, w.ahead);
    v = Cells{reinterpret_cast<const std::byte*>(w.v_space), v.dim * 4, v.dim, false, nullptr};
  }
  for_classes<L>(w, [&](const UnitClass& c) {
    if (v.half) {
      value_class<L, Float16Cells, 1>(w, c, v);
    } else {
      value_class<L, Float32Cells, 1>(w, c, v);
    }
  });
}

// One row: its sum, the sink, the division; or the state of a part.
template <class L>
void finish_row(const AttentionArgs& a, std::int64_t query, std::int64_t head, float max, float sum,
                float* out) {
  if (a.part_end >= 0) {
    float* partial = a.partial + (query * a.group + head) * 2;
    partial[0] = max;
    partial[1] = sum;
    return;
  }
  float factor = 1.0f;
  if (a.sinks != nullptr) {
    alignas(64) float change[L::kWidth];
    const float sink = a.sinks[head];
    const float top = sink > max ? sink : max, base = top > kLowest ? top : kLowest;
    L::store(change, exp_lanes<L>(L::set(max - base)));
    factor = change[0];
    L::store(change, exp_lanes<L>(L::set(sink - base)));
    sum = sum * factor + change[0];
  }
  factor = sum == 0.0f ? 0.0f : factor / sum;
  for (std::int64_t d = 0; d < a.head_dim_v; ++d) out[d] *= factor;
}

template <class L>
void finish_slice(AttentionWork<L>& w) {
  for_classes<L>(w, [&](const UnitClass& c) {
    for (int unit = c.first; unit < w.units; unit += c.step) {
      for_chunks<L>(c.rows, [&](int first, auto rows) {
        const AttentionState<L>& state = w.state(unit, first);
        for (int row = 0; row < rows.value; ++row) {
          float sum = 0.0f;
          for (int i = row; i < L::kWidth; i += rows.value) sum += state.sum[i];
          finish_row<L>(w.a, w.query_of(unit), w.head_of(unit) + first + row, state.max[row], sum,
                        w.out(unit) + (first + row) * w.a.head_dim_v);
        }
      });
    }
  });
}

// From one request for keys of the next tile to the next: softmax and values of one unit ask for
// all of them.
template <class L>
std::int64_t next_gap(const AttentionWork<L>& w) {
  const bool floats = !values_in_place(w) && (!w.v.half || w.units > 1);
  const std::int64_t lines = w.v.dim * (floats ? 4 : 2) + w.unit_rows * kAttentionTile / L::kWidth;
  return w.k.stride * kAttentionTile / lines;
}

// The tile of cells from `base` on.
template <class L>
void attend_tile(AttentionWork<L>& w, std::int64_t base) {
  const AttentionArgs& a = w.a;
  w.lo = kAttentionTile;
  w.hi = 0;
  for (int i = 0; i < w.slice.queries; ++i) {
    const std::int64_t from = visible_begin(a, w.slice.query + i) - base;
    const std::int64_t to = visible_end(a, w.slice.query + i) - base;
    w.from[i] = static_cast<int>(from < 0 ? 0 : from > kAttentionTile ? kAttentionTile : from);
    w.to[i] = static_cast<int>(to < 0 ? 0 : to > kAttentionTile ? kAttentionTile : to);
    if (w.from[i] >= w.to[i]) continue;
    if (w.from[i] < w.lo) w.lo = w.from[i];
    if (w.to[i] > w.hi) w.hi = w.to[i];
  }
  if (w.lo >= w.hi) return;
  const std::int64_t place = base % a.ring, ahead = (base + kAttentionTile) % a.ring;
  w.k.at = a.k + place * a.k_stride;
  w.v.at = a.v + place * a.v_stride;
  // Per cell: one request while keys of a plain type are expanded, the others by scores.
  const std::int64_t expanding = w.k.packed == nullptr ? kKeysPerLine : 0;
  w.ahead.gap = w.v.stride * kKeysPerLine / (w.q_dims + expanding);
  score_all<L>(w);
  const std::byte* next = base + kAttentionTile < w.end ? a.k + ahead * a.k_stride : a.next;
  w.ahead = next == nullptr ? Ahead{w.v.at, 0} : Ahead{next, next_gap<L>(w)};
  soften_tile<L>(w);
  value_tile<L>(w);
}

template <class L>
void attend_slice(const AttentionArgs& a, const AttentionSlice& slice, ExpandCells expand) {
  AttentionWork<L> w(a, slice, expand);
  start_slice<L>(w);
  if (w.begin < w.end) {
    w.ahead = {a.k + w.begin % a.ring * a.k_stride, 64};
    for (std::int64_t i = 0; i < a.k_stride; ++i) ask<L, 1>(w.ahead);  // of 64 cells
  }
  if (a.head_dim_k <= kAttentionKeyDims) pack_slice<L>(w, 0, a.head_dim_k, w.q_dims);
  for (std::int64_t cell = w.begin; cell < w.end;) {
    const std::int64_t base = cell / kAttentionTile * kAttentionTile;
    attend_tile<L>(w, base);
    cell = base + kAttentionTile;
  }
  finish_slice<L>(w);
}

template <class L>
void attention_lanes(const AttentionArgs& a, ExpandCells expand) {
  for (std::int64_t head = 0; head < a.group; head += kAttentionHeads) {
    const std::int64_t heads = a.group - head < kAttentionHeads ? a.group - head : kAttentionHeads;
    const std::int64_t rows = rows_of_unit<L>(heads) * units_of_heads<L>(heads);
    const std::int64_t fit = kAttentionQueryFloats / (rows * query_dims<L>(a));
    std::int64_t most = kAttentionRows / rows;
    if (fit < most) most = fit;
    for (std::int64_t query = 0; query < a.n; query += most) {
      const std::int64_t left = a.n - query;
      attend_slice<L>(a, {query, left < most ? left : most, head, heads}, expand);
    }
  }
}

}  // namespace bandwall
