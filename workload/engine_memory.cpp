#include "workload/engine_memory.h"

#include <algorithm>

namespace bandwall {
namespace {

// Bytes of a position in the buffers that only latent attention has.
double latent_row(const Hyper& h) {
  if (h.kv_rank == 0) return 0.0;
  const std::int64_t unrotated = h.heads * (h.mla_key - h.rope_dims);
  return 5.3 * static_cast<double>(h.q_rank + unrotated + h.out_width()) +
         4.0 * static_cast<double>(h.q_rank + h.heads * h.mla_key + h.heads);
}

}  // namespace

double scratch_bytes(const Hyper& h, std::int64_t rows) {
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
  return per_token * static_cast<double>(rows);
}

std::int64_t padded_state_values(const Hyper& h) {
  const auto padded = [](std::int64_t n) { return (n + 15) / 16 * 16; };
  return padded(h.conv_tail_values()) + padded(h.ssm_state * h.ssm_inner);
}

}  // namespace bandwall
