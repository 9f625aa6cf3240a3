// Tensors of models with multi-head latent attention (DeepSeek-V2, -V3 and models of their shape).
#include "workload/architectures_detail.h"

namespace bandwall::architectures {
namespace {

// Keys and values of all heads come from kv_rank values of a position; k_b takes the unrotated part
// of a head's query into that space, v_b takes what attention gives back out of it.
void add_latent_attention(const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden, q = h.heads * h.mla_key;
  if (h.q_rank > 0) {
    add(list, l, "attn_q_a.weight", Role::AttnQA, {d, h.q_rank});
    add(list, l, "attn_q_a_norm.weight", Role::AttnQANorm, {h.q_rank});
    add(list, l, "attn_q_b.weight", Role::AttnQB, {h.q_rank, q});
  } else {
    add(list, l, "attn_q.weight", Role::AttnQ, {d, q});
  }
  add(list, l, "attn_kv_a_mqa.weight", Role::AttnKvA, {d, h.kv_rank + h.rope_dims});
  add(list, l, "attn_kv_a_norm.weight", Role::AttnKvANorm, {h.kv_rank});
  add(list, l, "attn_k_b.weight", Role::AttnKB, {h.mla_key - h.rope_dims, h.kv_rank, h.heads});
  add(list, l, "attn_v_b.weight", Role::AttnVB, {h.kv_rank, h.mla_value, h.heads});
  add(list, l, "attn_output.weight", Role::AttnOut, {h.out_width(), d});
}

// Scores every position by a few narrow heads; attention then reads the best of them.
void add_indexer(const Hyper& h, int l, List& list) {
  const std::int64_t n = h.index_heads, w = h.index_width;
  add(list, l, "indexer.proj.weight", Role::Indexer, {h.hidden, n});
  add(list, l, "indexer.attn_k.weight", Role::Indexer, {h.hidden, w});
  add(list, l, "indexer.attn_q_b.weight", Role::Indexer, {h.q_rank, n * w});
  add(list, l, "indexer.k_norm.weight", Role::Indexer, {w});
  add(list, l, "indexer.k_norm.bias", Role::Indexer, {w});
}

}  // namespace

void latent_block(const Architecture& a, const Hyper& h, int l, List& list) {
  add(list, l, "attn_norm.weight", Role::AttnNorm, {h.hidden});
  add_latent_attention(h, l, list);
  if (h.index_heads > 0) add_indexer(h, l, list);
  add(list, l, "ffn_norm.weight", Role::FfnNorm, {h.hidden});
  if (!h.is_moe_layer(l)) return add_dense_ffn(h, l, list);
  add_experts(a, h, l, list);
  if (h.shared_ffn > 0) add_shared_expert(h, l, list);
}

}  // namespace bandwall::architectures
