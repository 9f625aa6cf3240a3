// Where each part's weights lie in the mapping, resolved once from the tensors' roles.
//   ModelWeights w = resolve_weights(model);   w.layers[3].q.data
// A missing part has data == nullptr. Nothing is copied but the factors NAME.scale of NVFP4 files,
// which therefore are, like rotary factors, no traffic of a step, and the taps of convolutions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/engine.h"

namespace bandwall {

struct Vector {
  const float* data = nullptr;
  std::int64_t size = 0;
};

// rows x cols, or `count` such matrices one after the other (experts); bias: rows per matrix.
struct Matrix {
  Format format = Format::F32;
  const std::byte* data = nullptr;
  std::int64_t cols = 0, rows = 0, count = 1, row_bytes = 0;
  const float* bias = nullptr;
  std::vector<float> scales;  // factors of the products, one per matrix; empty = 1 (NVFP4 files)
  const std::byte* at(std::int64_t expert) const { return data + expert * rows * row_bytes; }
  const std::byte* at(std::int64_t expert, std::int64_t row) const {
    return data + (expert * rows + row) * row_bytes;
  }
  const float* bias_at(std::int64_t e) const { return bias == nullptr ? nullptr : bias + e * rows; }
};

struct LayerWeights {
  Vector attn_norm, q_norm, k_norm, sinks, ffn_norm, selection_bias;
  Vector attn_post_norm, ffn_post_norm, q_a_norm, kv_a_norm;
  Matrix q, k, v, o, router, expert_gate, expert_up, expert_down, gate, up, down;
  Matrix shared_router, shared_gate, shared_up, shared_down, latent_down, latent_up;
  Matrix q_a, q_b, kv_a, k_b, v_b;  // latent attention; k_b and v_b: one matrix per head
  // Recurrent mixers. Taps: one row of channels per tap, oldest first; files hold them by channel.
  Matrix ssm_in, ssm_gate, ssm_rates, ssm_out;
  Vector ssm_conv_bias, ssm_dt, ssm_a, ssm_d, ssm_norm;
  std::vector<float> ssm_taps;
};

struct ModelWeights {
  Matrix embedding, head;
  Vector output_norm, rope_factors;
  std::vector<LayerWeights> layers;
};

ModelWeights resolve_weights(const LoadedModel& model);

}  // namespace bandwall
