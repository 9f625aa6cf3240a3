// Tensors of hybrids: recurrent mixers in some blocks, attention in others.
#include "workload/architectures_detail.h"

namespace bandwall::architectures {
namespace {

// Experts of two matrices, which may work in a space narrower than the hidden state.
void add_plain_experts(const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden, e = h.experts, f = h.expert_ffn;
  const std::int64_t x = h.expert_latent > 0 ? h.expert_latent : d;
  add(list, l, "ffn_gate_inp.weight", Role::Router, {d, e});
  add(list, l, "exp_probs_b.bias", Role::RouterBias, {e});
  if (h.expert_latent > 0) {
    add(list, l, "ffn_latent_down.weight", Role::LatentDown, {d, x});
    add(list, l, "ffn_latent_up.weight", Role::LatentUp, {x, d});
  }
  add(list, l, "ffn_up_exps.weight", Role::ExpertUp, {x, f, e});
  add(list, l, "ffn_down_exps.weight", Role::ExpertDown, {f, x, e});
  if (h.shared_ffn == 0) return;
  add(list, l, "ffn_up_shexp.weight", Role::SharedUp, {d, h.shared_ffn});
  add(list, l, "ffn_down_shexp.weight", Role::SharedDown, {h.shared_ffn, d});
}

// Mamba-2 (Dao and Gu 2024): one matrix gives z, x, B, C and the time steps.
void add_mamba(const Hyper& h, int l, List& list) {
  const std::int64_t conv = h.conv_channels();
  add(list, l, "ssm_in.weight", Role::SsmIn, {h.hidden, h.ssm_inner + conv + h.ssm_heads});
  add(list, l, "ssm_conv1d.weight", Role::SsmConv, {h.ssm_conv, conv});
  add(list, l, "ssm_conv1d.bias", Role::SsmConv, {conv});
  add(list, l, "ssm_dt.bias", Role::SsmDt, {h.ssm_heads});
  add(list, l, "ssm_a", Role::SsmA, {1, h.ssm_heads});
  add(list, l, "ssm_d", Role::SsmD, {1, h.ssm_heads});
  add(list, l, "ssm_norm.weight", Role::SsmNorm, {h.ssm_inner / h.ssm_groups, h.ssm_groups});
  add(list, l, "ssm_out.weight", Role::SsmOut, {h.ssm_inner, h.hidden});
}

// Gated delta net (Yang et al. 2024): q k v, z, and beta and alpha of every value head.
void add_delta_net(const Architecture& a, const Hyper& h, int l, List& list) {
  const std::int64_t conv = h.conv_channels();
  add(list, l, "attn_qkv.weight", Role::SsmIn, {h.hidden, conv});
  add(list, l, "attn_gate.weight", Role::SsmGate, {h.hidden, h.ssm_inner});
  if (a.split_rates) {
    add(list, l, "ssm_beta.weight", Role::SsmRates, {h.hidden, h.ssm_heads});
    add(list, l, "ssm_alpha.weight", Role::SsmRates, {h.hidden, h.ssm_heads});
  } else {
    add(list, l, "ssm_ba.weight", Role::SsmRates, {h.hidden, 2 * h.ssm_heads});
  }
  add(list, l, "ssm_conv1d.weight", Role::SsmConv, {h.ssm_conv, conv});
  add(list, l, "ssm_dt.bias", Role::SsmDt, {h.ssm_heads});
  add(list, l, "ssm_a", Role::SsmA, {h.ssm_heads});
  add(list, l, "ssm_norm.weight", Role::SsmNorm, {h.ssm_inner / h.ssm_heads});
  add(list, l, "ssm_out.weight", Role::SsmOut, {h.ssm_inner, h.hidden});
}

}  // namespace

void mixer_block(const Architecture& a, const Hyper& h, int l, List& list) {
  const char letter = h.pattern[static_cast<std::size_t>(l)];
  const bool feeds_forward = letter == 'E' || letter == '-';
  add(list, l, "attn_norm.weight", feeds_forward ? Role::FfnNorm : Role::AttnNorm, {h.hidden});
  if (letter == '*') add_attention(a, h, l, list);
  if (letter == 'M') add_mamba(h, l, list);
  if (letter == 'E') add_plain_experts(h, l, list);
  if (letter == '-') {
    add(list, l, "ffn_up.weight", Role::DenseUp, {h.hidden, h.ffn});
    add(list, l, "ffn_down.weight", Role::DenseDown, {h.ffn, h.hidden});
  }
}

void delta_block(const Architecture& a, const Hyper& h, int l, List& list) {
  add(list, l, "attn_norm.weight", Role::AttnNorm, {h.hidden});
  if (h.attends(l)) {
    add_attention(a, h, l, list);
  } else {
    add_delta_net(a, h, l, list);
  }
  add(list, l, "post_attention_norm.weight", Role::FfnNorm, {h.hidden});
  if (!h.is_moe_layer(l)) return add_dense_ffn(h, l, list);
  add_experts(a, h, l, list);
  add(list, l, "ffn_gate_inp_shexp.weight", Role::SharedRouter, {h.hidden});
  add(list, l, "ffn_gate_shexp.weight", Role::SharedGate, {h.hidden, h.shared_ffn});
  add(list, l, "ffn_up_shexp.weight", Role::SharedUp, {h.hidden, h.shared_ffn});
  add(list, l, "ffn_down_shexp.weight", Role::SharedDown, {h.shared_ffn, h.hidden});
}

// Input gate, channels and output gate from one matrix; a convolution over the last positions.
void convolution_block(const Architecture& a, const Hyper& h, int l, List& list) {
  add(list, l, "attn_norm.weight", Role::AttnNorm, {h.hidden});
  if (h.attends(l)) {
    add_attention(a, h, l, list);
  } else {
    add(list, l, "shortconv.conv.weight", Role::SsmConv, {h.ssm_conv, h.ssm_inner});
    add(list, l, "shortconv.in_proj.weight", Role::SsmIn, {h.hidden, 3 * h.ssm_inner});
    add(list, l, "shortconv.out_proj.weight", Role::SsmOut, {h.ssm_inner, h.hidden});
  }
  add(list, l, "ffn_norm.weight", Role::FfnNorm, {h.hidden});
  if (h.is_moe_layer(l)) return add_experts(a, h, l, list);
  add_dense_ffn(h, l, list);
}

}  // namespace bandwall::architectures
