// Mixture of experts: router, choice of experts, and their matrices over the tokens that chose
// them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/blocks.h"
#include "runtime/moe.h"

namespace bandwall {
namespace {

void softmax(float* x, std::int64_t n) {
  const float max = *std::max_element(x, x + n);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    x[i] = std::exp(x[i] - max);
    sum += x[i];
  }
  for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(x[i] / sum);
}

// The `used` largest of score, falling; equal scores: the lower id first.
void take_largest(const float* score, std::int64_t experts, std::int64_t used, std::int32_t* ids) {
  std::int64_t held = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    std::int64_t at = held;
    while (at > 0 && score[e] > score[ids[at - 1]]) --at;
    if (at >= used) continue;
    held = std::min(used, held + 1);
    for (std::int64_t i = held - 1; i > at; --i) ids[i] = ids[i - 1];
    ids[at] = static_cast<std::int32_t>(e);
  }
}

// Groups of experts by the sum of their two best scores; those of the others are out of reach.
void keep_best_groups(const Hyper& h, float* score) {
  const std::int64_t size = h.experts / h.expert_groups;
  std::vector<float> sums;
  for (const float* group = score; group < score + h.experts; group += size) {
    float best = group[0], second = -std::numeric_limits<float>::infinity();
    for (std::int64_t e = 1; e < size; ++e) {
      second = std::max(second, std::min(best, group[e]));
      best = std::max(best, group[e]);
    }
    sums.push_back(best + second);
  }
  std::vector<std::int32_t> kept(static_cast<std::size_t>(h.expert_groups_used));
  take_largest(sums.data(), h.expert_groups, h.expert_groups_used, kept.data());
  for (std::int64_t g = 0; g < h.expert_groups; ++g) {
    if (std::find(kept.begin(), kept.end(), g) != kept.end()) continue;
    std::fill_n(score + g * size, size, -std::numeric_limits<float>::infinity());
  }
}

}  // namespace

void choose_experts(const Hyper& h, float* scores, const float* selection_bias, std::int32_t* ids,
                    float* weights) {
  const std::int64_t used = h.experts_used;
  if (h.router == RouterKind::SoftmaxAll) softmax(scores, h.experts);
  if (h.router == RouterKind::SigmoidBias) {
    for (std::int64_t e = 0; e < h.experts; ++e) scores[e] = 1.0f / (1.0f + std::exp(-scores[e]));
  }
  // The bias moves the choice only; weights come from the scores without it.
  if (selection_bias != nullptr || h.expert_groups > 0) {
    std::vector<float> biased(scores, scores + h.experts);
    for (std::int64_t e = 0; e < h.experts && selection_bias != nullptr; ++e)
      biased[static_cast<std::size_t>(e)] += selection_bias[e];
    if (h.expert_groups > 0) keep_best_groups(h, biased.data());
    take_largest(biased.data(), h.experts, used, ids);
  } else {
    take_largest(scores, h.experts, used, ids);
  }
  for (std::int64_t i = 0; i < used; ++i) weights[i] = scores[ids[i]];
  if (h.router == RouterKind::SoftmaxSelected) {
    softmax(weights, used);
  } else if (h.router_norm) {
    // All scores may underflow; the smallest normal half keeps the quotient finite.
    constexpr double kSmallest = 6.103515625e-5;
    const double sum = std::max(kSmallest, std::accumulate(weights, weights + used, 0.0));
    for (std::int64_t i = 0; i < used; ++i) weights[i] = static_cast<float>(weights[i] / sum);
  }
  for (std::int64_t i = 0; i < used; ++i) weights[i] *= static_cast<float>(h.router_scale);
}

void group_by_expert(const Hyper& h, std::int64_t n, Choice& c) {
  const auto pairs = static_cast<std::size_t>(n * h.experts_used);
  c.offset.assign(static_cast<std::size_t>(h.experts) + 1, 0);
  for (std::size_t i = 0; i < pairs; ++i) ++c.offset[static_cast<std::size_t>(c.ids[i]) + 1];
  c.active.clear();
  for (std::size_t e = 0; e < static_cast<std::size_t>(h.experts); ++e) {
    if (c.offset[e + 1] > 0) c.active.push_back(static_cast<std::int32_t>(e));
    c.offset[e + 1] += c.offset[e];
  }
  c.tokens.resize(pairs);
  c.pair_of.resize(pairs);
  std::vector<std::int32_t> next(c.offset.begin(), c.offset.end() - 1);
  for (std::size_t i = 0; i < pairs; ++i) {
    const std::int32_t pair = next[static_cast<std::size_t>(c.ids[i])]++;
    c.pair_of[i] = pair;
    c.tokens[static_cast<std::size_t>(pair)] =
        static_cast<std::int32_t>(static_cast<std::int64_t>(i) / h.experts_used);
  }
}

namespace {

void route(Pass& p, const LayerWeights& w) {
  const Hyper& h = p.hyper;
  Scratch& s = p.scratch;
  Choice& c = s.choice;
  const Product product{&w.router,      0,        s.normed.view(0, p.n, false), nullptr, p.n,
                        s.scores.get(), h.experts};
  const std::int64_t piece =
      p.n == 1 ? std::max<std::int64_t>(8, kShareBytes / w.router.row_bytes) : 32;
  for_pieces(p, {h.experts}, piece,
             [&](std::int64_t, std::int64_t b, std::int64_t e) { multiply(p, product, b, e); });
  const std::int64_t used = h.experts_used;
  c.ids.resize(static_cast<std::size_t>(p.n * used));
  c.weights.resize(c.ids.size());
  for_range(p, p.n, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      choose_experts(h, s.scores.get() + i * h.experts, w.selection_bias.data,
                     c.ids.data() + i * used, c.weights.data() + i * used);
    }
  });
  group_by_expert(h, p.n, c);
  meter_product(p, product);
  p.meter.weights(w.selection_bias.size * 4);
  p.meter.floats(p.n * (h.hidden + h.experts));
}

// Product of one expert's matrix with the rows of its pairs.
Product expert_product(const Pass& p, const Matrix& m, std::int32_t expert, const ActivationRows& x,
                       float* y) {
  const Choice& c = p.scratch.choice;
  const std::int64_t from = c.offset[static_cast<std::size_t>(expert)];
  const std::int64_t used = c.offset[static_cast<std::size_t>(expert) + 1] - from;
  return {&m, expert, x, c.tokens.data() + from, used, y + from * m.rows, m.rows};
}

// Where the next piece of the active experts' matrices begins.
const std::byte* following(const Choice& c, const Matrix& m, Piece next) {
  if (next.item < 0) return nullptr;
  return m.at(c.active[static_cast<std::size_t>(next.item)], next.begin);
}

// inner = activation(gate x, up x) for every pair; pieces of rows across all active experts.
// Experts of two matrices have no gate.
void gate_and_up(Pass& p, const LayerWeights& w, const ActivationRows& x, bool inner_q8) {
  Scratch& s = p.scratch;
  const Choice& c = s.choice;
  const std::int64_t f = w.expert_up.rows;
  const bool gated = w.expert_gate.data != nullptr;
  float* above = gated ? s.expert_up.get() : s.expert_inner.f32.get();
  const auto experts = static_cast<std::int64_t>(c.active.size());
  const std::int64_t per_expert = p.n * p.hyper.experts_used / experts;
  const std::int64_t piece =
      piece_rows(p, experts * f, w.expert_gate.row_bytes + w.expert_up.row_bytes, per_expert);
  for_pieces(p, std::vector<std::int64_t>(c.active.size(), f), piece,
             [&](std::int64_t item, std::int64_t b, std::int64_t e, Piece next) {
               const std::int32_t expert = c.active[static_cast<std::size_t>(item)];
               if (gated) {
                 multiply(p, expert_product(p, w.expert_gate, expert, x, s.expert_inner.f32.get()),
                          b, e, w.expert_up.at(expert, b));
               }
               const Product up = expert_product(p, w.expert_up, expert, x, above);
               multiply(p, up, b, e, following(c, gated ? w.expert_gate : w.expert_up, next));
               const std::int64_t from = c.offset[static_cast<std::size_t>(expert)];
               for (std::int64_t pair = from; pair < from + up.used; ++pair) {
                 float* inner = s.expert_inner.f32.get() + pair * f + b;
                 activate(p, inner, above + pair * f + b, e - b);
                 if (inner_q8) quantize_piece(p, s.expert_inner, pair, b, e);
               }
             });
}

Product down_product(const Pass& p, const Matrix& m, std::int32_t expert, bool q8) {
  const Choice& c = p.scratch.choice;
  const std::int64_t from = c.offset[static_cast<std::size_t>(expert)];
  const std::int64_t used = c.offset[static_cast<std::size_t>(expert) + 1] - from;
  return {&m,      expert, p.scratch.expert_inner.view(from, used, q8),
          nullptr, used,   p.scratch.expert_out.get() + from * m.rows,
          m.rows};
}

// sums[token] += sum over slots of weight x expert output, always in the order of the slots.
void combine(const Pass& p, float* sums, std::int64_t token, std::int64_t width, std::int64_t b,
             std::int64_t e) {
  const Choice& c = p.scratch.choice;
  float* to = sums + token * width;
  for (std::int64_t slot = 0; slot < p.hyper.experts_used; ++slot) {
    const auto i = static_cast<std::size_t>(token * p.hyper.experts_used + slot);
    const float* from = p.scratch.expert_out.get() + c.pair_of[i] * width;
    p.kernels.add_scaled(to + b, from + b, c.weights[i], e - b);
  }
}

void down_and_combine(Pass& p, const LayerWeights& w, bool inner_q8, float* sums) {
  const Choice& c = p.scratch.choice;
  const Matrix& m = w.expert_down;
  const auto experts = static_cast<std::int64_t>(c.active.size());
  if (p.n == 1) {
    // One token: a piece of rows of all its experts is combined at once.
    const std::int64_t piece = piece_rows(p, m.rows, m.row_bytes * experts, 1);
    for_pieces(p, {m.rows}, piece, [&](std::int64_t, std::int64_t b, std::int64_t e, Piece next) {
      for (std::size_t i = 0; i < c.active.size(); ++i) {
        const std::byte* after = i + 1 < c.active.size() ? m.at(c.active[i + 1], b)
                                 : next.item < 0         ? nullptr
                                                         : m.at(c.active[0], next.begin);
        multiply(p, down_product(p, m, c.active[i], inner_q8), b, e, after);
      }
      combine(p, sums, 0, m.rows, b, e);
    });
    return;
  }
  const std::int64_t piece =
      piece_rows(p, experts * m.rows, m.row_bytes, p.n * p.hyper.experts_used / experts);
  for_pieces(p, std::vector<std::int64_t>(c.active.size(), m.rows), piece,
             [&](std::int64_t item, std::int64_t b, std::int64_t e) {
               multiply(p, down_product(p, m, c.active[static_cast<std::size_t>(item)], inner_q8),
                        b, e);
             });
  for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token)
      combine(p, sums, token, m.rows, 0, m.rows);
  });
}

// latent = W normed, and its 8-bit form when the experts want it.
void enter_latent(Pass& p, const LayerWeights& w, bool normed_q8, bool latent_q8) {
  Scratch& s = p.scratch;
  const Matrix& m = w.latent_down;
  const Product product{
      &m, 0, s.normed.view(0, p.n, normed_q8), nullptr, p.n, s.latent.f32.get(), m.rows};
  for_pieces(p, {m.rows}, piece_rows(p, m.rows, m.row_bytes, p.n),
             [&](std::int64_t, std::int64_t b, std::int64_t e) {
               multiply(p, product, b, e);
               for (std::int64_t i = 0; latent_q8 && i < p.n; ++i)
                 quantize_piece(p, s.latent, i, b, e);
             });
  meter_product(p, product);
  p.meter.floats(p.n * m.rows);
}

// residual += W latent, the sums of the experts.
void leave_latent(Pass& p, const LayerWeights& w) {
  Scratch& s = p.scratch;
  const WantedForm form = any_wants_q8(p, {&w.latent_up});
  s.latent.chunk_scales = form.chunk_scales;
  if (form.q8) {
    for_range(p, p.n, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) quantize_piece(p, s.latent, i, 0, s.latent.cols);
    });
  }
  add_product(p, w.latent_up, s.latent);
  p.meter.floats(p.n * s.latent.cols);
}

void meter_experts(Pass& p, const LayerWeights& w) {
  for (const std::int32_t expert : p.scratch.choice.active) {
    if (w.expert_gate.data != nullptr)
      meter_product(p, expert_product(p, w.expert_gate, expert, {}, nullptr));
    meter_product(p, expert_product(p, w.expert_up, expert, {}, nullptr));
    meter_product(p, down_product(p, w.expert_down, expert, false));
  }
  const std::int64_t inner = w.expert_gate.data != nullptr ? 3 : 2;
  p.meter.floats(p.n * p.hyper.experts_used * (inner * w.expert_up.rows + w.expert_down.rows));
}

}  // namespace

void route_to_experts(Pass& p, std::int64_t layer) {
  Scratch& s = p.scratch;
  const LayerWeights& w = p.weights.layers[static_cast<std::size_t>(layer)];
  const bool narrow = w.latent_down.data != nullptr;
  const WantedForm expert_q8 = any_wants_q8(p, {&w.expert_gate, &w.expert_up});
  const WantedForm normed_q8 =
      narrow ? any_wants_q8(p, {&w.shared_gate, &w.shared_up, &w.latent_down})
             : any_wants_q8(p, {&w.expert_gate, &w.expert_up, &w.shared_gate, &w.shared_up});
  norm_rows(p, s.residual.get(), p.n, w.ffn_norm, normed_q8, s.normed);
  p.meter.close(OpKind::FfnNorm, layer);
  route(p, w);
  p.meter.close(OpKind::Router, layer);

  const WantedForm inner_q8 = any_wants_q8(p, {&w.expert_down});
  s.expert_inner.chunk_scales = inner_q8.chunk_scales;
  s.latent.chunk_scales = expert_q8.chunk_scales;
  if (narrow) enter_latent(p, w, normed_q8, expert_q8);
  gate_and_up(p, w, (narrow ? s.latent : s.normed).view(0, p.n, expert_q8), inner_q8);
  float* sums = s.residual.get();
  if (narrow) {
    sums = s.latent.f32.get();  // its input has been used
    std::fill(sums, sums + p.n * s.latent.cols, 0.0f);
  }
  down_and_combine(p, w, inner_q8, sums);
  if (narrow) leave_latent(p, w);
  meter_experts(p, w);
  p.meter.floats(p.n * (narrow ? 1 : 3) * p.hyper.hidden);
  p.meter.close(OpKind::Experts, layer);
  if (w.shared_up.data != nullptr) shared_expert(p, layer, normed_q8);
}

}  // namespace bandwall
