#include "runtime/blocks_detail.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "hwmodel/error.h"
#include "runtime/bad_numbers.h"

namespace bandwall {
namespace {

// Where the next piece of a matrix begins.
const std::byte* following(const Matrix& m, Piece next) {
  return next.item < 0 ? nullptr : m.at(0, next.begin);
}

void project_qkv(Pass& p, const LayerWeights& w) {
  Scratch& s = p.scratch;
  const bool q8 = any_wants_q8(p, {&w.q, &w.k, &w.v});
  const ActivationRows x = s.normed.view(0, p.n, q8);
  float* q = p.hyper.attention_gate ? s.q_and_gate.get() : s.q.get();
  const Product products[3] = {{&w.q, 0, x, nullptr, p.n, q, w.q.rows},
                               {&w.k, 0, x, nullptr, p.n, s.k.get(), w.k.rows},
                               {&w.v, 0, x, nullptr, p.n, s.v.get(), w.v.rows}};
  const std::int64_t rows = w.q.rows + w.k.rows + w.v.rows;
  for_pieces(p, {w.q.rows, w.k.rows, w.v.rows}, piece_rows(p, rows, w.q.row_bytes, p.n),
             [&](std::int64_t i, std::int64_t b, std::int64_t e, Piece next) {
               const Matrix* after = next.item < 0 ? &w.o : products[next.item].matrix;
               multiply(p, products[i], b, e, after->at(0, next.begin));
             });
  for (const Product& product : products) {
    meter_product(p, product);
    p.meter.floats(p.n * product.matrix->rows);
  }
  p.meter.floats(p.n * s.normed.cols);
}

// Each head of the projected row is its query and then its gate.
void split_gates(const Pass& p, std::int64_t i) {
  const Hyper& h = p.hyper;
  const std::int64_t dim = h.head_dim_k;
  const auto bytes = static_cast<std::size_t>(dim) * sizeof(float);
  const float* from = p.scratch.q_and_gate.get() + i * h.q_rows();
  for (std::int64_t j = 0; j < h.heads; ++j, from += 2 * dim) {
    std::memcpy(p.scratch.q.get() + i * h.q_width() + j * dim, from, bytes);
    std::memcpy(p.scratch.gates.get() + i * h.q_width() + j * dim, from + dim, bytes);
  }
}

void norm_heads(Pass& p, float* row, std::int64_t width, std::int64_t dim, const Vector& weight) {
  if (weight.data == nullptr) return;
  const auto eps = static_cast<float>(p.hyper.rms_eps);
  // A weight as wide as the row norms all heads together, one as wide as a head each head alone.
  const std::int64_t span = p.hyper.qk_norm == QkNorm::WholeWidth ? width : dim;
  for (std::int64_t at = 0; at < width; at += span) {
    p.kernels.rms_norm(row + at, weight.data, eps, span, row + at);
  }
}

void turn(const Pass& p, const KvRotation& rotation, float* x, std::int64_t n) {
  if (rotation.size > 0) p.kernels.rotate(rotation, x, n);
}

// Rotations of this layer, one row of rope.dims() floats per position.
const float* angles_of(const Pass& p, std::int64_t layer) {
  const bool own = p.hyper.slides(layer) && p.hyper.rope_base_sliding > 0;
  return own ? p.scratch.sliding_angles.get() : p.scratch.angles.get();
}

void rotate_and_store(Pass& p, std::int64_t layer, const LayerWeights& w) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const float* all_angles = angles_of(p, layer);
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (h.attention_gate) split_gates(p, i);
      float* q = s.q.get() + i * h.q_width();
      float* k = s.k.get() + i * h.k_width();
      float* v = s.v.get() + i * h.v_width();
      const float* angles = all_angles + i * p.rope.dims();
      norm_heads(p, q, h.q_width(), h.head_dim_k, w.q_norm);
      norm_heads(p, k, h.k_width(), h.head_dim_k, w.k_norm);
      for (std::int64_t j = 0; j < h.heads; ++j) p.rope.rotate(angles, q + j * h.head_dim_k);
      const std::int64_t sequence = s.sequences[static_cast<std::size_t>(i)];
      const std::int64_t cell = p.cache.place(layer, s.positions[static_cast<std::size_t>(i)]);
      for (std::int64_t j = 0; j < h.kv_heads; ++j) {
        p.rope.rotate(angles, k + j * h.head_dim_k);
      }
      turn(p, p.cache.k_rotation(), q, h.q_width());
      turn(p, p.cache.k_rotation(), k, h.k_width());
      turn(p, p.cache.v_rotation(), v, h.v_width());
      for (std::int64_t j = 0; j < h.kv_heads; ++j) {
        p.kernels.pack_cell(p.cache.k_type(), k + j * h.head_dim_k, h.head_dim_k,
                            p.cache.k(layer, j, sequence) + cell * p.cache.k_stride());
        p.kernels.pack_cell(p.cache.v_type(), v + j * h.head_dim_v, h.head_dim_v,
                            p.cache.v(layer, j, sequence) + cell * p.cache.v_stride());
      }
      watch(p, q, h.q_width());
      watch(p, k, h.k_width());
      watch(p, v, h.v_width());
    }
  });
  if (w.q_norm.data != nullptr) {
    p.meter.weights((w.q_norm.size + w.k_norm.size) * 4);
    p.meter.flops(4 * p.n * (h.q_width() + h.k_width()));
  }
  p.meter.flops(3 * p.n * (h.heads + h.kv_heads) * p.rope.dims());
  p.meter.floats(p.n * (2 * h.q_rows() + h.k_width() + h.v_width()));
  p.meter.kv_written(p.n * h.kv_heads * (p.cache.k_stride() + p.cache.v_stride()));
}

AttentionArgs attention_args(const Pass& p, std::int64_t layer, std::int64_t head,
                             const LayerWeights& w, std::int64_t from, std::int64_t n) {
  const Hyper& h = p.hyper;
  const std::int64_t group = h.heads / h.kv_heads;
  AttentionArgs a;
  a.k_type = &p.cache.k_type();
  a.v_type = &p.cache.v_type();
  const std::int64_t sequence = p.scratch.sequences[static_cast<std::size_t>(from)];
  a.k = p.cache.k(layer, head, sequence);
  a.v = p.cache.v(layer, head, sequence);
  a.k_stride = p.cache.k_stride();
  a.v_stride = p.cache.v_stride();
  a.ring = p.cache.ring(layer);
  if (h.kv_rank > 0) {  // the values are the first part of the keys
    a.v_type = a.k_type;
    a.v = a.k;
    a.v_stride = a.k_stride;
  }
  a.head_dim_k = h.head_dim_k;
  a.head_dim_v = h.head_dim_v;
  a.group = group;
  a.n = n;
  a.q = p.scratch.q.get() + (from * h.heads + head * group) * h.head_dim_k;
  a.q_stride = h.q_width();
  a.first = p.scratch.first.data() + from;
  a.last = p.scratch.last.data() + from;
  a.scale = static_cast<float>(h.attention_scale > 0
                                   ? h.attention_scale
                                   : 1.0 / std::sqrt(static_cast<double>(h.head_dim_k)));
  a.sinks = w.sinks.data == nullptr ? nullptr : w.sinks.data + head * group;
  a.out_stride = h.heads * h.head_dim_v;
  a.out = p.scratch.attended.f32.get() + (from * h.heads + head * group) * h.head_dim_v;
  return a;
}

// Few queries: the cells of each head are split into parts, so that every thread has work.
constexpr std::int64_t kSplitQueries = 4, kPartCells = 512, kMostParts = 64, kTile = 64;
// Many queries: blocks of them, each over all its cells. Few heads take more positions, because the
// cells of a tile are expanded once per block.
constexpr std::int64_t kLeastQueries = 32, kBlockRows = 128;

// How the rows [row, row + per_sequence) of one sequence divide their cells; the same whatever
// other sequences are in the step.
struct Parts {
  std::int64_t row = 0, begin = 0, cells = 0, count = 0;
};

Parts parts_of(const Pass& p, std::int64_t row) {
  const std::int64_t low = p.scratch.first[static_cast<std::size_t>(row)];
  const std::int64_t high = p.scratch.last[static_cast<std::size_t>(row + p.per_sequence - 1)];
  Parts parts{row, low / kTile * kTile, 0, 0};
  const std::int64_t even = ((high - parts.begin) / kMostParts + kTile) / kTile * kTile;
  parts.cells = std::max(kPartCells, even);
  parts.count = (high - parts.begin + parts.cells - 1) / parts.cells;
  // Parts are kept as floats; the reference rounds once, so that its bits do not depend on n.
  if (&p.kernels == &reference_kernels()) parts.count = 1;
  return parts;
}

// The parts of every head of every sequence: tasks that threads take.
class AttentionParts {
 public:
  AttentionParts(Pass& p, std::int64_t layer, const LayerWeights& w)
      : p_(p),
        layer_(layer),
        w_(w),
        group_(p.hyper.heads / p.hyper.kv_heads),
        outs_(p.per_sequence * group_ * p.hyper.head_dim_v),
        states_(p.per_sequence * group_ * 2) {
    for (std::int64_t row = 0; row < p.n; row += p.per_sequence) {
      all_.push_back(parts_of(p, row));
      first_task_.push_back(first_task_.back() + p.hyper.kv_heads * all_.back().count);
    }
    left_ = std::vector<std::atomic<std::int64_t>>(all_.size() *
                                                   static_cast<std::size_t>(p.hyper.kv_heads));
    for (std::size_t i = 0; i < left_.size(); ++i)
      left_[i] = all_[i / static_cast<std::size_t>(p.hyper.kv_heads)].count;
    p.scratch.parts.resize(tasks() * outs_);
    p.scratch.part_states.resize(tasks() * states_);
  }
  std::int64_t tasks() const { return first_task_.back(); }

  // One part; the last one of its head also merges them. next: task that probably follows here, or
  // tasks().
  void attend(std::int64_t task, std::int64_t next) {
    const Place at = locate(task);
    AttentionArgs a = arguments(at);
    if (next < tasks()) {
      const Place after = locate(next);
      const AttentionArgs b = arguments(after);
      a.next = b.k + begin_of(after) % b.ring * b.k_stride;
    }
    const Parts& parts = all_[at.which];
    if (parts.count == 1) return p_.kernels.attention(a);
    a.part_begin = begin_of(at);
    a.part_end = a.part_begin + parts.cells;
    a.out = p_.scratch.parts.get() + task * outs_;
    a.out_stride = group_ * p_.hyper.head_dim_v;
    a.partial = p_.scratch.part_states.get() + task * states_;
    p_.kernels.attention(a);
    const auto heads = static_cast<std::size_t>(p_.hyper.kv_heads);
    const std::size_t mine = at.which * heads + static_cast<std::size_t>(at.head);
    if (left_[mine].fetch_sub(1, std::memory_order_acq_rel) == 1) merge(task - at.part, at);
  }

 private:
  struct Place {
    std::size_t which;  // of all_
    std::int64_t head, part;
  };

  Place locate(std::int64_t task) const {
    const auto after = std::upper_bound(first_task_.begin(), first_task_.end(), task);
    const auto which = static_cast<std::size_t>(after - first_task_.begin()) - 1;
    const std::int64_t inside = task - first_task_[which];
    return {which, inside / all_[which].count, inside % all_[which].count};
  }
  std::int64_t begin_of(const Place& at) const {
    return all_[at.which].begin + at.part * all_[at.which].cells;
  }
  AttentionArgs arguments(const Place& at) const {
    return attention_args(p_, layer_, at.head, w_, all_[at.which].row, p_.per_sequence);
  }
  void merge(std::int64_t first, const Place& at) {
    const std::int64_t count = all_[at.which].count;
    std::array<const float*, kMostParts> out_of, state_of;
    BANDWALL_CHECK(count <= kMostParts);
    for (std::int64_t part = 0; part < count; ++part) {
      out_of[static_cast<std::size_t>(part)] = p_.scratch.parts.get() + (first + part) * outs_;
      state_of[static_cast<std::size_t>(part)] =
          p_.scratch.part_states.get() + (first + part) * states_;
    }
    const AttentionArgs a = arguments(at);
    merge_attention_parts(out_of.data(), state_of.data(), static_cast<int>(count), p_.per_sequence,
                          group_, p_.hyper.head_dim_v, a.sinks, a.out, a.out_stride);
  }

  Pass& p_;
  std::int64_t layer_;
  const LayerWeights& w_;
  std::int64_t group_, outs_, states_;  // floats of a task: its sums, their maxima and weights
  std::vector<Parts> all_;              // of each sequence
  std::vector<std::int64_t> first_task_ = {0};
  std::vector<std::atomic<std::int64_t>> left_;  // parts to come, for each head of each sequence
};

void attention_in_parts(Pass& p, std::int64_t layer, const LayerWeights& w,
                        std::int64_t seen_cells) {
  AttentionParts parts(p, layer, w);
  const std::int64_t tasks = parts.tasks();
  const std::int64_t cell_bytes = p.cache.k_stride() + p.cache.v_stride();
  const bool small = seen_cells * p.hyper.kv_heads * cell_bytes < kShareBytes;
  for_pieces(p, {tasks}, small ? tasks : 1,
             [&](std::int64_t, std::int64_t from, std::int64_t to, Piece next) {
               const std::int64_t after = next.item < 0 ? tasks : next.begin;
               for (std::int64_t task = from; task < to; ++task)
                 parts.attend(task, task + 1 < to ? task + 1 : after);
             });
}

// Cells that each row sees; the sum of them over rows, and of the distinct ones over sequences.
VisibleCells find_cells(const Pass& p, std::int64_t layer) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  VisibleCells seen;
  for (std::int64_t i = 0; i < p.n; ++i) {
    const auto row = static_cast<std::size_t>(i);
    s.last[row] = s.positions[static_cast<std::size_t>(p.from + i)] + 1;
    s.first[row] = h.slides(layer) ? std::max<std::int64_t>(0, s.last[row] - h.window) : 0;
    seen.pairs += s.last[row] - s.first[row];
    // Positions follow each other: together the rows of a sequence see from the first on.
    const bool begins = i % p.per_sequence == 0;
    seen.distinct += s.last[row] - (begins ? s.first[row] : s.last[row - 1]);
  }
  return seen;
}

void gate_heads(Pass& p) {
  const std::int64_t width = p.hyper.q_width();
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* row = p.scratch.attended.f32.get() + i * width;
      p.kernels.sigmoid_mul(p.scratch.gates.get() + i * width, row, width, row);
    }
  });
  p.meter.floats(p.n * width);
}

// What was attended is a sum of rotated values.
void turn_back(Pass& p) {
  KvRotation back = p.cache.v_rotation();
  back.back = true;
  const std::int64_t width = p.hyper.heads * p.hyper.head_dim_v;
  for_range(p, p.n, 4, [&](std::int64_t from, std::int64_t to) {
    turn(p, back, p.scratch.attended.f32.get() + from * width, (to - from) * width);
  });
}

}  // namespace

void attention(Pass& p, std::int64_t layer, const LayerWeights& w) {
  const Hyper& h = p.hyper;
  const VisibleCells seen = find_cells(p, layer);
  if (p.per_sequence <= kSplitQueries) {
    attention_in_parts(p, layer, w, seen.distinct);
  } else {
    const std::int64_t block = std::max(kLeastQueries, kBlockRows / (h.heads / h.kv_heads));
    const std::int64_t blocks = (p.n + block - 1) / block;
    for_range(p, h.kv_heads * blocks, 1, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t task = from; task < to; ++task) {
        // Late blocks see most cells; they go first.
        const std::int64_t at = (blocks - 1 - task / h.kv_heads) * block;
        p.kernels.attention(
            attention_args(p, layer, task % h.kv_heads, w, at, std::min(block, p.n - at)));
      }
    });
  }
  if (p.cache.v_rotation().size > 0) turn_back(p);
  if (h.attention_gate) gate_heads(p);
  const std::int64_t out = h.heads * h.head_dim_v;
  p.meter.kv_read(seen.distinct * h.kv_heads * (p.cache.k_stride() + p.cache.v_stride()));
  p.meter.weights(w.sinks.size * 4);
  p.meter.floats(p.n * (h.q_width() + out));
  p.meter.flops(2 * seen.pairs * (h.q_width() + out));
}

void quantize_rows(Pass& p, const Matrix& m, Rows& x) {
  const WantedForm form = any_wants_q8(p, {&m});
  x.chunk_scales = form.chunk_scales;
  if (!form.q8) return;
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) quantize_piece(p, x, i, 0, x.cols);
  });
}

namespace {

// residual += norm(W x): the norm needs whole rows first.
void add_normed_product(Pass& p, const Matrix& m, Rows& x, const Vector& norm) {
  Scratch& s = p.scratch;
  const auto eps = static_cast<float>(p.hyper.rms_eps);
  const bool q8 = wants_q8(p.kernels, m.format, m.cols);
  const Product product{&m, 0, x.view(0, p.n, q8), nullptr, p.n, s.product.get(), m.rows};
  for_pieces(p, {m.rows}, piece_rows(p, m.rows, m.row_bytes, p.n),
             [&](std::int64_t, std::int64_t b, std::int64_t e, Piece next) {
               multiply(p, product, b, e, following(m, next));
             });
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* row = s.product.get() + i * m.rows;
      p.kernels.rms_norm(row, norm.data, eps, m.rows, row);
      p.kernels.add(s.residual.get() + i * m.rows, row, m.rows);
    }
  });
  meter_product(p, product);
  p.meter.weights(norm.size * 4);
  p.meter.floats(4 * p.n * m.rows);
  p.meter.flops(4 * p.n * m.rows);
}

void add_output(Pass& p, const Matrix& m, Rows& x, const Vector& post_norm) {
  if (post_norm.data == nullptr)
    add_product(p, m, x);
  else
    add_normed_product(p, m, x, post_norm);
}

struct FfnWeights {
  const Matrix& gate;  // without data: the activation is of up alone
  const Matrix& up;
  const Matrix& down;
  const Vector& post_norm;
  Rows& inner;
  bool quantized;                 // the normed rows have their 8-bit form
  const float* scales = nullptr;  // of the rows that are added; not together with post_norm
};

// residual += down(activation(gate x) up x) over the normed rows x.
void feed_forward_rows(Pass& p, const FfnWeights& w) {
  Scratch& s = p.scratch;
  const bool gated = w.gate.data != nullptr;
  const WantedForm inner_q8 = any_wants_q8(p, {&w.down});
  w.inner.chunk_scales = inner_q8.chunk_scales;
  const ActivationRows x = s.normed.view(0, p.n, w.quantized);
  const std::int64_t f = w.up.rows;
  float* above = gated ? s.up.get() : w.inner.f32.get();
  const Product gate{&w.gate, 0, x, nullptr, p.n, w.inner.f32.get(), f};
  const Product up{&w.up, 0, x, nullptr, p.n, above, f};
  const std::int64_t piece = piece_rows(p, f, w.gate.row_bytes + w.up.row_bytes, p.n);
  for_pieces(p, {f}, piece, [&](std::int64_t, std::int64_t b, std::int64_t e, Piece next) {
    if (gated) multiply(p, gate, b, e, w.up.at(0, b));
    multiply(p, up, b, e, following(gated ? w.gate : w.up, next));
    for (std::int64_t i = 0; i < p.n; ++i) {
      float* inner = w.inner.f32.get() + i * f + b;
      activate(p, inner, above + i * f + b, e - b);
      if (inner_q8) quantize_piece(p, w.inner, i, b, e);
    }
  });
  if (gated) meter_product(p, gate);
  meter_product(p, up);
  if (w.post_norm.data != nullptr) {
    add_normed_product(p, w.down, w.inner, w.post_norm);
  } else {
    add_product(p, w.down, w.inner, w.scales);
  }
  p.meter.floats(p.n * (s.normed.cols + (gated ? 3 : 2) * f));
}

}  // namespace

void embed(Pass& p, const std::int32_t* tokens) {
  const Matrix& m = p.weights.embedding;
  float* to = p.scratch.residual.get();
  const auto factor =
      static_cast<float>(p.hyper.embedding_scale) * (m.scales.empty() ? 1.0f : m.scales[0]);
  for_range(p, p.n, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      dequantize(m.format, m.data + tokens[i] * m.row_bytes, m.cols, to + i * m.cols);
      if (factor == 1.0f) continue;
      for (std::int64_t c = 0; c < m.cols; ++c) to[i * m.cols + c] *= factor;
    }
  });
  p.meter.weights(p.n * m.row_bytes);
  p.meter.floats(p.n * m.cols);
  p.meter.close(OpKind::Embedding, -1);
}

void attend(Pass& p, std::int64_t layer) {
  Scratch& s = p.scratch;
  const LayerWeights& w = p.weights.layers[static_cast<std::size_t>(layer)];
  norm_rows(p, s.residual.get(), p.n, w.attn_norm, any_wants_q8(p, {&w.q, &w.k, &w.v}), s.normed);
  p.meter.close(OpKind::AttnNorm, layer);
  project_qkv(p, w);
  p.meter.close(OpKind::QkvProj, layer);
  rotate_and_store(p, layer, w);
  p.meter.close(OpKind::RopeKv, layer);
  const std::int64_t gone = keep_rows(p);
  if (p.n == 0) return;
  move_rows(s.q.get(), gone, p.n, p.hyper.q_width());
  if (p.hyper.attention_gate) move_rows(s.gates.get(), gone, p.n, p.hyper.q_width());
  attention(p, layer, w);
  p.meter.close(OpKind::Attention, layer);
  quantize_rows(p, w.o, s.attended);
  add_output(p, w.o, s.attended, w.attn_post_norm);
  p.meter.floats(p.n * s.attended.cols);
  p.meter.close(OpKind::AttnOut, layer);
}

void feed_forward(Pass& p, std::int64_t layer) {
  Scratch& s = p.scratch;
  const LayerWeights& w = p.weights.layers[static_cast<std::size_t>(layer)];
  const WantedForm q8 = any_wants_q8(p, {&w.gate, &w.up});
  norm_rows(p, s.residual.get(), p.n, w.ffn_norm, q8, s.normed);
  p.meter.close(OpKind::FfnNorm, layer);
  feed_forward_rows(p, {w.gate, w.up, w.down, w.ffn_post_norm, s.inner, q8});
  p.meter.close(OpKind::DenseFfn, layer);
}

void shared_expert(Pass& p, std::int64_t layer, bool quantized) {
  Scratch& s = p.scratch;
  const LayerWeights& w = p.weights.layers[static_cast<std::size_t>(layer)];
  const Vector none;
  float* scales = nullptr;
  if (w.shared_router.data != nullptr) {
    scales = s.scores.get();  // the choice of experts no longer needs them
    const Product score{&w.shared_router, 0, s.normed.view(0, p.n, false), nullptr, p.n, scales, 1};
    multiply(p, score, 0, 1);
    for (std::int64_t i = 0; i < p.n; ++i) scales[i] = 1.0f / (1.0f + std::exp(-scales[i]));
    p.meter.weights(w.shared_router.row_bytes);
  }
  feed_forward_rows(
      p, {w.shared_gate, w.shared_up, w.shared_down, none, s.shared_inner, quantized, scales});
  p.meter.close(OpKind::SharedExpert, layer);
}

void add_product(Pass& p, const Matrix& m, const Rows& x, const float* scales) {
  Scratch& s = p.scratch;
  const bool q8 = wants_q8(p.kernels, m.format, m.cols);
  const Product product{&m, 0, x.view(0, p.n, q8), nullptr, p.n, s.product.get(), m.rows};
  // In one go per piece of rows.
  for_pieces(p, {m.rows}, piece_rows(p, m.rows, m.row_bytes, p.n),
             [&](std::int64_t, std::int64_t b, std::int64_t e, Piece next) {
               multiply(p, product, b, e, following(m, next));
               for (std::int64_t i = 0; i < p.n; ++i) {
                 float* to = s.residual.get() + i * m.rows + b;
                 const float* from = s.product.get() + i * m.rows + b;
                 if (scales == nullptr)
                   p.kernels.add(to, from, e - b);
                 else
                   p.kernels.add_scaled(to, from, scales[i], e - b);
               }
             });
  meter_product(p, product);
  p.meter.floats(2 * p.n * m.rows);
}

void head(Pass& p, std::int64_t rows, float* logits) {
  Scratch& s = p.scratch;
  const Matrix& m = p.weights.head;
  const WantedForm q8 = any_wants_q8(p, {&m}, rows);
  norm_rows(p, s.residual.get() + (p.n - rows) * s.normed.cols, rows, p.weights.output_norm, q8,
            s.normed);
  p.meter.close(OpKind::OutputNorm, -1);
  const Product product{&m, 0, s.normed.view(0, rows, q8), nullptr, rows, logits, m.rows};
  for_pieces(p, {m.rows}, piece_rows(p, m.rows, m.row_bytes, rows),
             [&](std::int64_t, std::int64_t b, std::int64_t e, Piece next) {
               multiply(p, product, b, e, following(m, next));
               for (std::int64_t i = 0; i < rows; ++i) watch(p, logits + i * m.rows + b, e - b);
             });
  meter_product(p, product);
  p.meter.floats(rows * (m.cols + m.rows));
  p.meter.close(OpKind::Head, -1);
}

}  // namespace bandwall
