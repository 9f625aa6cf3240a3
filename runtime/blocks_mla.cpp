// Multi-head latent attention in its absorbed form (DeepSeek-V2, arXiv 2405.04434, section 2.1):
// the keys and values of all heads are matrices times one latent row per position, so the cache
// holds that row, a head's query goes through its key matrix into the latent space, attention works
// there with one key for all heads, and the head's value matrix takes the result out again.
#include <cstring>
#include <numeric>

#include "runtime/bad_numbers.h"
#include "runtime/blocks_detail.h"

namespace bandwall {
namespace {

// Rows of one head among rows [position][head].
const std::int32_t* rows_of(const Pass& p, std::int64_t head) {
  return p.scratch.head_rows.data() + head * p.n;
}

// The latent row, and the query: of all heads at once, or compressed and normed.
void project_down(Pass& p, const LayerWeights& w) {
  Scratch& s = p.scratch;
  const bool whole = w.q.data != nullptr;
  const Matrix& query = whole ? w.q : w.q_a;
  const ActivationRows x = s.normed.view(0, p.n, any_wants_q8(p, {&query, &w.kv_a}));
  float* to = whole ? s.queries.get() : s.q_raw.get();
  const Product products[2] = {{&query, 0, x, nullptr, p.n, to, query.rows},
                               {&w.kv_a, 0, x, nullptr, p.n, s.k.get(), w.kv_a.rows}};
  for_pieces(
      p, {query.rows, w.kv_a.rows}, piece_rows(p, query.rows + w.kv_a.rows, query.row_bytes, p.n),
      [&](std::int64_t i, std::int64_t b, std::int64_t e) { multiply(p, products[i], b, e); });
  for (const Product& product : products) meter_product(p, product);
  p.meter.floats(p.n * (s.normed.cols + query.rows + w.kv_a.rows));
  if (whole) return;
  norm_rows(p, s.q_raw.get(), p.n, w.q_a_norm, any_wants_q8(p, {&w.q_b}), s.compressed);
}

// The unrotated part of a head's queries into the latent space: the first part of s.q.
void absorb(Pass& p, const LayerWeights& w, std::int64_t head) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const std::int64_t width = s.unrotated.cols;
  const bool q8 = wants_q8(p.kernels, w.k_b.format, w.k_b.cols);
  for (std::int64_t i = 0; i < p.n; ++i) {
    const std::int64_t row = i * h.heads + head;
    s.head_rows[static_cast<std::size_t>(head * p.n + i)] = static_cast<std::int32_t>(row);
    std::memcpy(s.unrotated.f32.get() + row * width, s.queries.get() + row * h.mla_key,
                static_cast<std::size_t>(width) * sizeof(float));
    if (q8) quantize_piece(p, s.unrotated, row, 0, width);
  }
  multiply(p,
           {&w.k_b, head, s.unrotated.view(0, p.n * h.heads, q8), rows_of(p, head), p.n,
            s.q.get() + head * h.head_dim_k, h.q_width()},
           0, w.k_b.rows);
}

// Queries of every head, each taken into the latent space as soon as it is there.
void project_up(Pass& p, const LayerWeights& w) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const bool compressed = w.q_b.data != nullptr;
  const Product query{&w.q_b,
                      0,
                      s.compressed.view(0, p.n, any_wants_q8(p, {&w.q_b})),
                      nullptr,
                      p.n,
                      s.queries.get(),
                      h.heads * h.mla_key};
  for_pieces(p, {h.heads}, 1, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) {
      if (compressed) multiply(p, query, head * h.mla_key, (head + 1) * h.mla_key);
      absorb(p, w, head);
    }
  });
  if (compressed) {
    meter_product(p, query);
    p.meter.floats(p.n * (h.q_rank + h.heads * h.mla_key));
  }
  for (std::int64_t head = 0; head < h.heads; ++head) {
    meter_product(p, {&w.k_b, head, {}, nullptr, p.n, nullptr, 0});
  }
  p.meter.floats(p.n * (h.heads * h.mla_key + h.q_width()));
}

void norm_rotate_and_store(Pass& p, std::int64_t layer, const LayerWeights& w) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const auto eps = static_cast<float>(h.rms_eps);
  const std::int64_t unrotated = h.mla_key - h.rope_dims;
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* angles = s.angles.get() + i * h.rope_dims;
      float* row = s.k.get() + i * h.head_dim_k;
      p.kernels.rms_norm(row, w.kv_a_norm.data, eps, h.kv_rank, row);
      p.rope.rotate(angles, row + h.kv_rank);
      const auto at_row = static_cast<std::size_t>(i);
      const std::int64_t cell = p.cache.place(layer, s.positions[at_row]);
      p.kernels.pack_cell(p.cache.k_type(), row, h.head_dim_k,
                          p.cache.k(layer, 0, s.sequences[at_row]) + cell * p.cache.k_stride());
      for (std::int64_t head = 0; head < h.heads; ++head) {
        const std::int64_t at = i * h.heads + head;
        float* q = s.q.get() + at * h.head_dim_k + h.kv_rank;
        std::memcpy(q, s.queries.get() + at * h.mla_key + unrotated,
                    static_cast<std::size_t>(h.rope_dims) * sizeof(float));
        p.rope.rotate(angles, q);
      }
      watch(p, row, h.head_dim_k);
      watch(p, s.q.get() + i * h.q_width(), h.q_width());
    }
  });
  p.meter.weights(w.kv_a_norm.size * 4);
  p.meter.floats(p.n * (h.head_dim_k + 2 * h.heads * h.rope_dims));
  p.meter.flops(p.n * (4 * h.kv_rank + 3 * (h.heads + 1) * h.rope_dims));
  p.meter.kv_written(p.n * p.cache.k_stride());
}

// What attention gave each head, out of the latent space.
void take_values(Pass& p, const LayerWeights& w) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const bool q8 = wants_q8(p.kernels, w.v_b.format, w.v_b.cols);
  s.attended.chunk_scales = false;
  const ActivationRows x = s.attended.view(0, p.n * h.heads, q8);
  for_pieces(p, {h.heads}, 1, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) {
      for (std::int64_t i = 0; i < p.n; ++i) {
        const std::int64_t row = i * h.heads + head;
        s.head_rows[static_cast<std::size_t>(head * p.n + i)] = static_cast<std::int32_t>(row);
        if (q8) quantize_piece(p, s.attended, row, 0, s.attended.cols);
      }
      multiply(p,
               {&w.v_b, head, x, rows_of(p, head), p.n, s.values.f32.get() + head * h.mla_value,
                h.out_width()},
               0, w.v_b.rows);
    }
  });
  for (std::int64_t head = 0; head < h.heads; ++head) {
    meter_product(p, {&w.v_b, head, {}, nullptr, p.n, nullptr, 0});
  }
  p.meter.floats(p.n * (h.heads * h.head_dim_v + h.out_width()));
}

}  // namespace

void attend_latent(Pass& p, std::int64_t layer) {
  Scratch& s = p.scratch;
  const LayerWeights& w = p.weights.layers[static_cast<std::size_t>(layer)];
  norm_rows(p, s.residual.get(), p.n, w.attn_norm, any_wants_q8(p, {&w.q, &w.q_a, &w.kv_a}),
            s.normed);
  p.meter.close(OpKind::AttnNorm, layer);
  project_down(p, w);
  project_up(p, w);
  p.meter.close(OpKind::QkvProj, layer);
  norm_rotate_and_store(p, layer, w);
  p.meter.close(OpKind::RopeKv, layer);
  const std::int64_t gone = keep_rows(p);
  if (p.n == 0) return;
  move_rows(s.q.get(), gone, p.n, p.hyper.q_width());
  attention(p, layer, w);
  p.meter.close(OpKind::Attention, layer);
  take_values(p, w);
  quantize_rows(p, w.o, s.values);
  add_product(p, w.o, s.values);
  p.meter.floats(p.n * s.values.cols);
  p.meter.close(OpKind::AttnOut, layer);
}

}  // namespace bandwall
