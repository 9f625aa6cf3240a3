#include "runtime/pass.h"

#include "runtime/host.h"

namespace bandwall {

void throw_no_buffer(double bytes) {
  throw_no_memory("engine", "a buffer", bytes,
                  "a smaller micro-batch (-ub) or context (-c) needs smaller buffers");
}

void Rows::resize(std::int64_t rows, std::int64_t width) {
  cols = width;
  f32.resize(rows * width);
  q8.resize(rows * width);
  scale.resize(rows * (width / 32 + 1));
  sums16.resize(rows * (width / 16 + 1));
  const std::int64_t blocks = rows * ((width + kQuantBlock - 1) / kQuantBlock);
  arrived.resize(blocks);
  for (std::int64_t i = 0; i < blocks; ++i) new (arrived.get() + i) std::atomic<std::int32_t>(0);
}

ActivationRows Rows::view(std::int64_t from, std::int64_t n, bool quantized) const {
  ActivationRows x;
  x.n = n;
  x.cols = cols;
  x.f32 = f32.get() + from * cols;
  if (quantized && cols % 32 == 0) {
    x.q8 = q8.get() + from * cols;
    x.scale = scale.get() + from * (cols / 32);
    x.sums16 = sums16.get() + from * (cols / 16);
    x.chunk_scales = chunk_scales;
  }
  return x;
}

namespace {

// Bytes of a position in the buffers that only latent attention has.
double latent_row(const Hyper& h) {
  if (h.kv_rank == 0) return 0.0;
  const std::int64_t unrotated = h.heads * (h.mla_key - h.rope_dims);
  return 5.3 * static_cast<double>(h.q_rank + unrotated + h.out_width()) +
         4.0 * static_cast<double>(h.q_rank + h.heads * h.mla_key + h.heads);
}

}  // namespace

double Scratch::size(const Hyper& h, std::int64_t n_ubatch) {
  const auto row = [](std::int64_t width) { return static_cast<double>(width) * 5.3; };
  const auto plain = [](std::int64_t width) { return static_cast<double>(width) * 4.0; };
  const double pairs = static_cast<double>(h.experts_used);
  const bool recurs = h.state_values() > 0;
  const double recurrent =
      recurs ? plain(h.conv_channels() + h.ssm_inner + 2 * h.ssm_heads) +  // projected, rates
                   plain(h.conv_channels() + 2 * h.ssm_heads) + row(h.ssm_inner)
             : 0.0;
  const double gates = h.attention_gate ? plain(3 * h.q_width()) : 0.0;
  const double per_token =
      row(h.hidden) + plain(2 * h.hidden + 2 * h.rope_dims) +
      plain(h.q_width() + h.k_width() + h.v_width()) + row(h.heads * h.head_dim_v) + row(h.ffn) +
      row(h.shared_ffn) + plain(std::max(h.ffn, h.shared_ffn)) + plain(h.experts) + recurrent +
      gates + latent_row(h) + row(h.expert_latent) +
      pairs *
          (row(h.expert_ffn) + plain(h.expert_ffn) + plain(std::max(h.hidden, h.expert_latent)));
  return per_token * static_cast<double>(n_ubatch);
}

Scratch::Scratch(const Hyper& h, std::int64_t n) {
  residual.resize(n * h.hidden);
  product.resize(n * h.hidden);
  angles.resize(n * h.rope_dims);
  if (h.rope_base_sliding > 0) sliding_angles.resize(n * h.rope_dims);
  normed.resize(n, h.hidden);
  if (h.kv_rank > 0) {
    attended.resize(n * h.heads, h.head_dim_v);
    q_raw.resize(n * h.q_rank);
    compressed.resize(n, h.q_rank);
    queries.resize(n * h.heads * h.mla_key);
    unrotated.resize(n * h.heads, h.mla_key - h.rope_dims);
    values.resize(n, h.out_width());
    head_rows.resize(static_cast<std::size_t>(n * h.heads));
  } else {
    attended.resize(n, h.heads * h.head_dim_v);
  }
  q.resize(n * h.q_width());
  k.resize(n * h.k_width());
  v.resize(n * h.v_width());
  if (h.ffn > 0) inner.resize(n, h.ffn);
  if (h.shared_ffn > 0) shared_inner.resize(n, h.shared_ffn);
  up.resize(n * std::max(h.ffn, h.shared_ffn));
  if (h.attention_gate) {
    q_and_gate.resize(n * h.q_rows());
    gates.resize(n * h.q_width());
  }
  if (h.ffn > 0) inner.resize(n, h.ffn);
  if (h.shared_ffn > 0) shared_inner.resize(n, h.shared_ffn);
  up.resize(n * std::max(h.ffn, h.shared_ffn));
  if (h.expert_latent > 0) latent.resize(n, h.expert_latent);
  if (h.state_values() > 0) {
    projected.resize(n * (h.conv_channels() + h.ssm_inner + 2 * h.ssm_heads));
    convolved.resize(n * h.conv_channels());
    rates.resize(n * 2 * h.ssm_heads);
    mixed.resize(n, h.ssm_inner);
  }
  if (h.experts > 0) {
    const std::int64_t pairs = n * h.experts_used;
    expert_inner.resize(pairs, h.expert_ffn);
    expert_up.resize(pairs * h.expert_ffn);
    expert_out.resize(pairs * std::max(h.hidden, h.expert_latent));
    scores.resize(n * h.experts);
  }
  sequences.resize(static_cast<std::size_t>(n));
  positions.resize(static_cast<std::size_t>(n));
  first.resize(static_cast<std::size_t>(n));
  last.resize(static_cast<std::size_t>(n));
}

std::vector<PieceRange> divide(const std::vector<std::int64_t>& sizes, std::int64_t piece,
                               PieceSizes how, int threads) {
  const auto pieces_of = [&](std::int64_t size) { return (size + piece - 1) / piece; };
  std::int64_t left = 0;
  for (const std::int64_t size : sizes) left += pieces_of(size);
  std::vector<PieceRange> all;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    for (std::int64_t begin = 0; begin < sizes[i];) {
      const std::int64_t most =
          how == PieceSizes::Shrinking ? std::max<std::int64_t>(1, left / (2 * threads)) : 1;
      const std::int64_t end = std::min(sizes[i], begin + most * piece);
      all.push_back({static_cast<std::int64_t>(i), begin, end});
      left -= pieces_of(end - begin);
      begin = end;
    }
  }
  return all;
}

std::int64_t piece_rows(const Pass& p, std::int64_t total_rows, std::int64_t row_bytes,
                        std::int64_t used) {
  constexpr std::int64_t kGranule = 32, kManyRows = 8;
  const std::int64_t threads = p.pool.size();
  std::int64_t rows = 0;
  if (used <= kManyRows) {
    rows = kShareBytes / std::max<std::int64_t>(1, row_bytes);
  } else {
    rows = std::min<std::int64_t>(total_rows / (threads * 8), 1024);
  }
  return std::max<std::int64_t>(1, (rows + kGranule / 2) / kGranule) * kGranule;
}

void multiply(const Pass& p, const Product& product, std::int64_t begin, std::int64_t end,
              const std::byte* next) {
  const Matrix& m = *product.matrix;
  MatmulArgs a;
  a.format = m.format;
  a.w = m.at(product.expert);
  a.row_bytes = m.row_bytes;
  a.cols = m.cols;
  a.row_begin = begin;
  a.row_end = end;
  a.x = product.x;
  if (!wants_q8(p.kernels, m.format, m.cols)) a.x.q8 = nullptr;
  a.x_rows = product.x_rows;
  a.n_used = product.used;
  a.y = product.y;
  a.y_stride = product.stride;
  a.next = next;
  p.kernels.matmul(a);
  if (!m.scales.empty()) {
    const float factor = m.scales[static_cast<std::size_t>(product.expert)];
    for (std::int64_t i = 0; i < product.used; ++i) {
      float* y = product.y + i * product.stride;
      for (std::int64_t r = begin; r < end; ++r) y[r] *= factor;
    }
  }
  if (const float* bias = m.bias_at(product.expert)) {
    for (std::int64_t i = 0; i < product.used; ++i) {
      p.kernels.add(product.y + i * product.stride + begin, bias + begin, end - begin);
    }
  }
}

void meter_product(Pass& p, const Product& product) {
  const Matrix& m = *product.matrix;
  p.meter.weights(m.rows * m.row_bytes);
  if (m.bias != nullptr) p.meter.weights(m.rows * 4);
  p.meter.flops(2 * m.rows * m.cols * product.used);
}

WantedForm any_wants_q8(const Pass& p, std::initializer_list<const Matrix*> matrices,
                        std::int64_t n) {
  bool any = false, chunks = true;
  for (const Matrix* m : matrices) {
    if (m->data == nullptr || !wants_q8(p.kernels, m->format, m->cols)) continue;
    any = true;
    chunks = chunks && wants_chunk_scales(p.kernels, m->format, m->cols, n);
  }
  return {any, any && chunks};
}

void quantize_piece(const Pass& p, Rows& rows, std::int64_t row, std::int64_t begin,
                    std::int64_t end) {
  const std::int64_t blocks = (rows.cols + kQuantBlock - 1) / kQuantBlock;
  const auto quantize = rows.chunk_scales ? p.kernels.quantize_chunks : p.kernels.quantize_rows;
  for (std::int64_t from = begin; from < end;) {
    const std::int64_t block = from / kQuantBlock, first = block * kQuantBlock;
    const std::int64_t size = std::min(kQuantBlock, rows.cols - first);
    const std::int64_t part = std::min(end, first + size) - from;
    from += part;
    if (part < size) {
      std::atomic<std::int32_t>& arrived = rows.arrived.get()[row * blocks + block];
      const auto more = static_cast<std::int32_t>(part);
      if (arrived.fetch_add(more, std::memory_order_acq_rel) + more < size) continue;
      arrived.store(0, std::memory_order_relaxed);
    }
    const std::int64_t at = row * rows.cols + first;
    quantize(rows.f32.get() + at, 1, size, rows.q8.get() + at, rows.scale.get() + at / 32,
             rows.sums16.get() + at / 16);
  }
}

void activate(const Pass& p, float* x, const float* y, std::int64_t n) {
  switch (p.hyper.activation) {
    case Activation::Silu:
      return p.kernels.silu_mul(x, y, n, x);
    case Activation::ClampedSwiglu:
      return p.kernels.clamped_swiglu(x, y, n, x);
    case Activation::Gelu:
      return p.kernels.gelu_mul(x, y, n, x);
    case Activation::ReluSquared:
      return p.kernels.relu_squared(y, n, x);
  }
}

void norm_rows(Pass& p, const float* x, std::int64_t n, const Vector& weight, WantedForm form,
               Rows& to) {
  to.chunk_scales = form.chunk_scales;
  const auto eps = static_cast<float>(p.hyper.rms_eps);
  for_range(p, n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      p.kernels.rms_norm(x + i * to.cols, weight.data, eps, to.cols, to.f32.get() + i * to.cols);
      if (form.q8) quantize_piece(p, to, i, 0, to.cols);
    }
  });
  p.meter.weights(weight.size * 4);
  p.meter.floats(2 * n * to.cols);
  p.meter.flops(4 * n * to.cols);
}

}  // namespace bandwall
