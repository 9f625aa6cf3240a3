// Recurrent mixers: Mamba-2 (Dao and Gu 2024, arXiv 2405.21060) and gated delta net (Yang et al.
// 2024, arXiv 2412.06464). Both project the normed rows, run a short causal convolution over part
// of them, carry a state per head from token to token, and project back. Heads are shared out to
// threads; each goes through all tokens of the micro-batch with its state in the nearest cache.
#include <algorithm>
#include <cmath>

#include "runtime/blocks.h"

namespace bandwall {
namespace {

// Where the parts of a projected row begin.
struct Projection {
  std::int64_t z = 0, conv = 0, rates = 0, width = 0;
};

bool is_delta_net(const LayerWeights& w) { return w.ssm_gate.data != nullptr; }

Projection projection_of(const Hyper& h, const LayerWeights& w) {
  const std::int64_t inner = h.ssm_inner, conv = h.conv_channels();
  if (is_delta_net(w)) return {conv, 0, conv + inner, conv + inner + 2 * h.ssm_heads};
  return {0, inner, inner + conv, inner + conv + h.ssm_heads};
}

void project(Pass& p, const LayerWeights& w, const Projection& at) {
  Scratch& s = p.scratch;
  const ActivationRows x =
      s.normed.view(0, p.n, any_wants_q8(p, {&w.ssm_in, &w.ssm_gate, &w.ssm_rates}));
  float* y = s.projected.get();
  std::vector<Product> products = {{&w.ssm_in, 0, x, nullptr, p.n, y, at.width}};
  if (is_delta_net(w)) {
    products.push_back({&w.ssm_gate, 0, x, nullptr, p.n, y + at.z, at.width});
    products.push_back({&w.ssm_rates, 0, x, nullptr, p.n, y + at.rates, at.width});
  }
  std::vector<std::int64_t> rows;
  for (const Product& product : products) rows.push_back(product.matrix->rows);
  for_pieces(p, rows, piece_rows(p, at.width, w.ssm_in.row_bytes, p.n),
             [&](std::int64_t i, std::int64_t b, std::int64_t e) {
               multiply(p, products[static_cast<std::size_t>(i)], b, e);
             });
  for (const Product& product : products) meter_product(p, product);
  p.meter.floats(p.n * (p.hyper.hidden + at.width));
}

// Calls work(first row, sequence) for the rows of each sequence.
template <class Work>
void for_sequences(const Pass& p, Work&& work) {
  for (std::int64_t row = 0; row < p.n; row += p.per_sequence) {
    work(row, p.scratch.sequences[static_cast<std::size_t>(row)]);
  }
}

void convolve(Pass& p, std::int64_t layer, const LayerWeights& w, const Projection& at) {
  ConvArgs a;
  a.n = p.per_sequence;
  a.count = p.hyper.ssm_conv;
  a.channels = p.hyper.conv_channels();
  a.x = p.scratch.projected.get() + at.conv;
  a.x_stride = at.width;
  a.taps = w.ssm_taps.data();
  a.bias = w.ssm_conv_bias.data;
  a.y = p.scratch.convolved.get();
  // Pieces of whole cache lines; one token is done before another thread would be awake.
  constexpr std::int64_t kPiece = 512;
  const std::int64_t piece = p.n > 4 ? kPiece : std::max(kPiece, a.channels);
  for_range(p, a.channels, piece, [&](std::int64_t begin, std::int64_t end) {
    ConvArgs part = a;
    part.begin = begin;
    part.end = end;
    for_sequences(p, [&](std::int64_t row, std::int64_t sequence) {
      part.x = a.x + row * a.x_stride;
      part.y = a.y + row * a.channels;
      part.tail = p.states.conv_tail(layer, sequence);
      p.kernels.conv_silu(part);
    });
  });
}

float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

// Heads per piece of work: a few tokens stream states, many compute.
std::int64_t piece_heads(const Pass& p) {
  const Hyper& h = p.hyper;
  const std::int64_t bytes = 8 * h.ssm_state * (h.ssm_inner / h.ssm_heads);
  return p.n > 4 ? 1 : std::max<std::int64_t>(1, kShareBytes / bytes);
}

// Gated by z, then normed in groups, and the 8-bit form made when the output matrix wants it.
void gate_and_norm(Pass& p, const LayerWeights& w, const Projection& at) {
  Scratch& s = p.scratch;
  const std::int64_t inner = p.hyper.ssm_inner, group = inner / p.hyper.ssm_groups;
  const auto eps = static_cast<float>(p.hyper.rms_eps);
  const bool q8 = wants_q8(p.kernels, w.ssm_out.format, w.ssm_out.cols);
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      float* row = s.mixed.f32.get() + t * inner;
      p.kernels.silu_mul(s.projected.get() + t * at.width + at.z, row, inner, row);
      for (std::int64_t c = 0; c < inner; c += group) {
        p.kernels.rms_norm(row + c, w.ssm_norm.data + c, eps, group, row + c);
      }
      if (q8) quantize_piece(p, s.mixed, t, 0, inner);
    }
  });
}

void mamba(Pass& p, std::int64_t layer, const LayerWeights& w, const Projection& at) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const std::int64_t dim = h.ssm_inner / h.ssm_heads, sharing = h.ssm_heads / h.ssm_groups;
  for_range(p, h.ssm_heads, piece_heads(p), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) {
      float* step = s.rates.get() + 2 * head * p.n;
      float* decay = step + p.n;
      for (std::int64_t t = 0; t < p.n; ++t) {
        step[t] = softplus(s.projected.get()[t * at.width + at.rates + head] + w.ssm_dt.data[head]);
        decay[t] = std::exp(step[t] * w.ssm_a.data[head]);  // files hold A = -exp(A_log)
      }
      const std::int64_t group = head / sharing * h.ssm_state;
      ScanArgs a;
      a.n = p.per_sequence;
      a.state_size = h.ssm_state;
      a.dim = dim;
      a.stride = h.conv_channels();
      a.skip = w.ssm_d.data[head];
      a.y_stride = h.ssm_inner;
      for_sequences(p, [&](std::int64_t first, std::int64_t sequence) {
        const float* row = s.convolved.get() + first * a.stride;
        a.state = p.states.state(layer, sequence) + head * h.ssm_state * dim;
        a.x = row + head * dim;
        a.b = row + h.ssm_inner + group;
        a.c = row + h.ssm_inner + h.ssm_groups * h.ssm_state + group;
        a.step = step + first;
        a.decay = decay + first;
        a.y = s.mixed.f32.get() + first * a.y_stride + head * dim;
        p.kernels.ssm_scan(a);
      });
    }
  });
  gate_and_norm(p, w, at);
  p.meter.flops(5 * p.n * h.ssm_inner * h.ssm_state);
}

// Queries and keys at unit length; queries also scaled as in attention.
void normalise_keys(Pass& p) {
  const Hyper& h = p.hyper;
  const std::int64_t dim = h.ssm_state, keys = h.ssm_groups;
  const auto eps = static_cast<float>(h.rms_eps);
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim)));
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      float* row = p.scratch.convolved.get() + t * h.conv_channels();
      for (std::int64_t i = 0; i < 2 * keys; ++i) {
        p.kernels.l2_norm(row + i * dim, eps, i < keys ? scale : 1.0f, dim, row + i * dim);
      }
    }
  });
  p.meter.flops(4 * p.n * 2 * keys * dim);
}

// Columns of a head's state do not depend on each other and lie in blocks of so many, row after
// row: wider rows would fall on a part of the first-level cache's sets and push each other out.
constexpr std::int64_t kDeltaColumns = 64;

// One value head through all tokens, then its norm, gated by z.
void delta_head(Pass& p, std::int64_t layer, const LayerWeights& w, const Projection& at,
                std::int64_t head) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const std::int64_t dim = h.ssm_inner / h.ssm_heads, sharing = h.ssm_heads / h.ssm_groups;
  const std::int64_t key = head / sharing, key_width = h.ssm_groups * h.ssm_state;
  // The rates of a key head lie together: beta of each of its value heads, then alpha of each.
  const std::int64_t rates = at.rates + 2 * key * sharing + head % sharing;
  float* beta = s.rates.get() + 2 * head * p.n;
  float* decay = beta + p.n;
  for (std::int64_t t = 0; t < p.n; ++t) {
    const float* row = s.projected.get() + t * at.width + rates;
    beta[t] = 1.0f / (1.0f + std::exp(-row[0]));
    decay[t] = std::exp(w.ssm_a.data[head] * softplus(row[sharing] + w.ssm_dt.data[head]));
  }
  DeltaArgs a;
  a.n = p.per_sequence;
  a.key_dim = h.ssm_state;
  a.stride = h.conv_channels();
  a.y_stride = h.ssm_inner;
  for_sequences(p, [&](std::int64_t first, std::int64_t sequence) {
    const float* row = s.convolved.get() + first * a.stride;
    a.q = row + key * h.ssm_state;
    a.k = a.q + key_width;
    a.beta = beta + first;
    a.decay = decay + first;
    for (std::int64_t column = head * dim; column < (head + 1) * dim; column += a.value_dim) {
      a.value_dim = std::min(kDeltaColumns, (head + 1) * dim - column);
      a.state = p.states.state(layer, sequence) + column * h.ssm_state;
      a.v = row + 2 * key_width + column;
      a.y = s.mixed.f32.get() + first * a.y_stride + column;
      p.kernels.delta_rule(a);
    }
  });
  const auto eps = static_cast<float>(h.rms_eps);
  for (std::int64_t t = 0; t < p.n; ++t) {
    float* y = s.mixed.f32.get() + t * a.y_stride + head * dim;
    p.kernels.rms_norm(y, w.ssm_norm.data, eps, dim, y);
    p.kernels.silu_mul(s.projected.get() + t * at.width + at.z + head * dim, y, dim, y);
  }
}

void delta_net(Pass& p, std::int64_t layer, const LayerWeights& w, const Projection& at) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  normalise_keys(p);
  for_range(p, h.ssm_heads, piece_heads(p), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) delta_head(p, layer, w, at, head);
  });
  if (wants_q8(p.kernels, w.ssm_out.format, w.ssm_out.cols)) {
    for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) quantize_piece(p, s.mixed, t, 0, h.ssm_inner);
    });
  }
  p.meter.flops(7 * p.n * h.ssm_inner * h.ssm_state);
}

}  // namespace

void recur(Pass& p, std::int64_t layer) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  const LayerWeights& w = p.weights.layers[static_cast<std::size_t>(layer)];
  const Projection at = projection_of(h, w);
  norm_rows(p, s.residual.get(), p.n, w.attn_norm,
            any_wants_q8(p, {&w.ssm_in, &w.ssm_gate, &w.ssm_rates}), s.normed);
  p.meter.close(OpKind::AttnNorm, layer);
  project(p, w, at);
  p.meter.close(OpKind::SsmIn, layer);

  convolve(p, layer, w, at);
  if (is_delta_net(w)) {
    delta_net(p, layer, w, at);
  } else {
    mamba(p, layer, w, at);
  }
  const auto taps = static_cast<std::int64_t>(w.ssm_taps.size());
  p.meter.weights(4 * (taps + w.ssm_conv_bias.size + w.ssm_dt.size + w.ssm_a.size + w.ssm_d.size +
                       w.ssm_norm.size));
  p.meter.state(2 * 4 * h.layer_state_values() * (p.n / p.per_sequence));
  p.meter.floats(p.n * (at.width + h.conv_channels() + h.ssm_inner));
  p.meter.flops(p.n * (2 * taps + 4 * h.ssm_inner));
  p.meter.close(OpKind::Ssm, layer);

  const std::int64_t gone = keep_rows(p);
  if (p.n == 0) return;
  s.mixed.move(gone, p.n);
  add_product(p, w.ssm_out, s.mixed);
  p.meter.floats(p.n * h.ssm_inner);
  p.meter.close(OpKind::SsmOut, layer);
}

}  // namespace bandwall
