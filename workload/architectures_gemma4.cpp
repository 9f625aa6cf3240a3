// Tensors of Gemma-4: layers that slide and layers that see all have heads of different width and
// number, the latter may take their keys as values, the last layers may borrow keys and values, and
// a layer may add a row of a table of its own. Names and shapes: ggml-org/llama.cpp
// src/models/gemma4.cpp.
#include "workload/architectures_detail.h"

namespace bandwall::architectures {
namespace {

void add_heads(const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden, width = h.key_dim(l);
  const bool own = h.owns_kv(l);
  add(list, l, "attn_q.weight", Role::AttnQ, {d, h.q_width(l)});
  if (own) add(list, l, "attn_k.weight", Role::AttnK, {d, h.k_width(l)});
  const bool values = own && (h.slides(l) || !h.key_is_value);
  if (values) add(list, l, "attn_v.weight", Role::AttnV, {d, h.v_width(l)});
  add(list, l, "attn_output.weight", Role::AttnOut, {h.heads * h.value_dim(l), d});
  add(list, l, "attn_q_norm.weight", Role::AttnQNorm, {width});
  if (own) add(list, l, "attn_k_norm.weight", Role::AttnKNorm, {width});
}

// The dense part works beside the experts, each after and before norms of its own.
void add_experts_beside(const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden, e = h.experts, f = h.expert_ffn;
  add(list, l, "ffn_gate.weight", Role::SharedGate, {d, h.shared_ffn});
  add(list, l, "ffn_up.weight", Role::SharedUp, {d, h.shared_ffn});
  add(list, l, "ffn_down.weight", Role::SharedDown, {h.shared_ffn, d});
  add(list, l, "ffn_gate_inp.weight", Role::Router, {d, e});
  add(list, l, "ffn_gate_inp.scale", Role::Router, {d});
  add(list, l, "pre_ffw_norm_2.weight", Role::FfnNorm, {d});
  add(list, l, "post_ffw_norm_1.weight", Role::FfnPostNorm, {d});
  add(list, l, "post_ffw_norm_2.weight", Role::FfnPostNorm, {d});
  add(list, l, "ffn_gate_up_exps.weight", Role::ExpertGate, {d, 2 * f, e});
  add(list, l, "ffn_down_exps.weight", Role::ExpertDown, {f, d, e});
  add(list, l, "ffn_down_exps.scale", Role::ExpertDown, {e});
}

}  // namespace

void gemma4_block(const Architecture&, const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden;
  add(list, l, "attn_norm.weight", Role::AttnNorm, {d});
  add_heads(h, l, list);
  add(list, l, "post_attention_norm.weight", Role::AttnPostNorm, {d});
  add(list, l, "ffn_norm.weight", Role::FfnNorm, {d});
  if (h.is_moe_layer(l)) {
    add_experts_beside(h, l, list);
  } else {
    add_dense_ffn(h, l, list);
  }
  add(list, l, "post_ffw_norm.weight", Role::FfnPostNorm, {d});
  add(list, l, "layer_output_scale.weight", Role::LayerInput, {1});
  if (h.layer_embedding == 0) return;
  add(list, l, "inp_gate.weight", Role::LayerInput, {d, h.layer_embedding});
  add(list, l, "proj.weight", Role::LayerInput, {h.layer_embedding, d});
  add(list, l, "post_norm.weight", Role::LayerInput, {d});
}

void gemma4_tables(const Architecture&, const Hyper& h, List& list) {
  if (h.layer_embedding == 0) return;
  const std::int64_t all = h.layer_embedding * h.layers;
  add(list, -1, "per_layer_token_embd.weight", Role::LayerEmbedding, {all, h.vocab});
  add(list, -1, "per_layer_model_proj.weight", Role::LayerInput, {h.hidden, all});
  add(list, -1, "per_layer_proj_norm.weight", Role::LayerInput, {h.layer_embedding});
}

}  // namespace bandwall::architectures
