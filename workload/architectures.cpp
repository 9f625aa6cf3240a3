#include "workload/architectures_detail.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace bandwall {
namespace architectures {

void add(List& list, int layer, std::string_view name, Role role, Dims dims, Need need) {
  if (need == Need::Never) return;
  ExpectedTensor t;
  t.required = need == Need::Always;
  t.spec.name = layer < 0 ? std::string(name) : fmt::format("blk.{}.{}", layer, name);
  t.spec.role = role;
  t.spec.layer = layer;
  t.spec.n_dims = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), t.spec.dims);
  // The selection bias of a router is a tensor of its own role, not the companion of a matrix.
  t.spec.is_bias =
      t.spec.name.ends_with(".bias") && role != Role::RouterBias && role != Role::SsmDt;
  list.push_back(std::move(t));
}

void add_attention(const Architecture& a, const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden, q = h.q_width(l), k = h.k_width(l), v = h.v_width(l);
  if (a.fused) {
    add(list, l, "attn_qkv.weight", Role::AttnQ, {d, h.q_rows(l) + k + v});
  } else {
    add(list, l, "attn_q.weight", Role::AttnQ, {d, h.q_rows(l)});
    add(list, l, "attn_k.weight", Role::AttnK, {d, k});
    add(list, l, "attn_v.weight", Role::AttnV, {d, v});
  }
  add(list, l, "attn_output.weight", Role::AttnOut, {h.heads * h.value_dim(l), d});
  add(list, l, "attn_q.bias", Role::AttnQ, {h.q_rows(l)}, a.attention_bias);
  add(list, l, "attn_k.bias", Role::AttnK, {k}, a.attention_bias);
  add(list, l, "attn_v.bias", Role::AttnV, {v}, a.attention_bias);
  add(list, l, "attn_output.bias", Role::AttnOut, {d}, a.output_bias);
  if ((a.qk_norms == Need::Always ? a.qk_norm : h.qk_norm) != QkNorm::None) {
    const bool whole = a.qk_norm == QkNorm::WholeWidth;
    add(list, l, "attn_q_norm.weight", Role::AttnQNorm, {whole ? q : h.key_dim(l)});
    add(list, l, "attn_k_norm.weight", Role::AttnKNorm, {whole ? k : h.key_dim(l)});
  }
  add(list, l, "attn_sinks.weight", Role::AttnSinks, {h.heads}, a.sinks);
}

void add_experts(const Architecture& a, const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden, e = h.experts, f = h.expert_ffn;
  add(list, l, "ffn_gate_inp.weight", Role::Router, {d, e});
  add(list, l, "ffn_gate_inp.bias", Role::Router, {e}, a.expert_bias);
  if (a.selection_bias && (a.any_router ? h.router : a.router) == RouterKind::SigmoidBias) {
    add(list, l, "exp_probs_b.bias", Role::RouterBias, {e});
  }
  add(list, l, "ffn_gate_exps.weight", Role::ExpertGate, {d, f, e});
  add(list, l, "ffn_up_exps.weight", Role::ExpertUp, {d, f, e});
  add(list, l, "ffn_down_exps.weight", Role::ExpertDown, {f, d, e});
  add(list, l, "ffn_gate_exps.bias", Role::ExpertGate, {f, e}, a.expert_bias);
  add(list, l, "ffn_up_exps.bias", Role::ExpertUp, {f, e}, a.expert_bias);
  add(list, l, "ffn_down_exps.bias", Role::ExpertDown, {d, e}, a.expert_bias);
}

void add_shared_expert(const Hyper& h, int l, List& list) {
  add(list, l, "ffn_gate_shexp.weight", Role::SharedGate, {h.hidden, h.shared_ffn});
  add(list, l, "ffn_up_shexp.weight", Role::SharedUp, {h.hidden, h.shared_ffn});
  add(list, l, "ffn_down_shexp.weight", Role::SharedDown, {h.shared_ffn, h.hidden});
}

void add_dense_ffn(const Hyper& h, int l, List& list) {
  const std::int64_t f = h.dense_ffn(l);
  add(list, l, "ffn_gate.weight", Role::DenseGate, {h.hidden, f});
  add(list, l, "ffn_up.weight", Role::DenseUp, {h.hidden, f});
  add(list, l, "ffn_down.weight", Role::DenseDown, {f, h.hidden});
}

}  // namespace architectures

namespace {

using namespace architectures;

// Attention, then dense feed-forward or experts, each after its norm.
void transformer_block(const Architecture& a, const Hyper& h, int l, List& list) {
  add(list, l, "attn_norm.weight", Role::AttnNorm, {h.hidden});
  add_attention(a, h, l, list);
  if (a.post_norms) add(list, l, "post_attention_norm.weight", Role::AttnPostNorm, {h.hidden});
  add(list, l, fmt::format("{}.weight", a.ffn_norm), Role::FfnNorm, {h.hidden});
  if (a.post_norms) add(list, l, "post_ffw_norm.weight", Role::FfnPostNorm, {h.hidden});
  if (h.is_moe_layer(l)) {
    add_experts(a, h, l, list);
    if (h.shared_ffn > 0) add_shared_expert(h, l, list);
  } else if (a.fused) {
    add(list, l, "ffn_up.weight", Role::DenseUp, {h.hidden, 2 * h.ffn});
    add(list, l, "ffn_down.weight", Role::DenseDown, {h.ffn, h.hidden});
  } else {
    add_dense_ffn(h, l, list);
  }
}

// Layers of Llama-4 that see all do not rotate; one shared expert is as wide as the others.
void derive_llama4(Hyper& h) {
  if (h.shared_ffn == 0) h.shared_ffn = h.expert_ffn;
  if (h.expert_interval == 1) h.expert_interval = 0;
}

// Scores are not scaled; the tables are, by the root of their width.
void derive_gemma4(Hyper& h) {
  h.embedding_scale = std::sqrt(static_cast<double>(h.hidden));
  h.attention_scale = 1.0;
}

// Queries of the largest model are scaled by hidden / heads, of the others by the head's width
// (google/gemma_pytorch, gemma/config.py).
void derive_gemma3(Hyper& h) {
  constexpr std::int64_t kLayersOf27B = 62;
  h.embedding_scale = std::sqrt(static_cast<double>(h.hidden));
  if (h.layers == kLayersOf27B && h.heads > 0 && h.hidden >= h.heads) {
    h.attention_scale = 1.0 / std::sqrt(static_cast<double>(h.hidden / h.heads));
  }
}

constexpr Architecture kTable[] = {
    {.name = "minimax-m2",
     .qk_norm = QkNorm::WholeWidth,
     .router = RouterKind::SigmoidBias,
     .experts = Need::Always,
     .block = transformer_block},
    {.name = "qwen3moe",
     .qk_norm = QkNorm::PerHead,
     .router = RouterKind::SoftmaxAll,
     .experts = Need::Always,
     .block = transformer_block},
    {.name = "gpt-oss",
     .activation = Activation::ClampedSwiglu,
     .router = RouterKind::SoftmaxSelected,
     .experts = Need::Always,
     .attention_bias = Need::Always,
     .output_bias = Need::Always,
     .expert_bias = Need::Always,
     .sinks = Need::Always,
     .ffn_norm = "post_attention_norm",
     .window_period = 2,
     .block = transformer_block},
    {.name = "llama",
     .rope = RopeKind::Neighbours,
     .router = RouterKind::SoftmaxAll,
     .experts = Need::Optional,
     .expert_ffn_is_ffn = true,
     .block = transformer_block},
    {.name = "qwen3", .qk_norm = QkNorm::PerHead, .block = transformer_block},
    {.name = "qwen2",
     .attention_bias = Need::Always,
     .output_bias = Need::Never,
     .block = transformer_block},
    {.name = "olmoe",
     .qk_norm = QkNorm::WholeWidth,
     .router = RouterKind::SoftmaxAll,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .expert_ffn_is_ffn = true,
     .router_norm = false,
     .block = transformer_block},
    {.name = "glm4moe",
     .qk_norm = QkNorm::PerHead,
     .qk_norms = Need::Optional,
     .router = RouterKind::SigmoidBias,
     .experts = Need::Always,
     .attention_bias = Need::Always,
     .output_bias = Need::Never,
     .ffn_norm = "post_attention_norm",
     .shared_expert = true,
     .block = transformer_block},
    {.name = "gemma3",
     .qk_norm = QkNorm::PerHead,
     .activation = Activation::Gelu,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .post_norms = true,
     .window_period = 6,
     .rope_base_sliding = 10000.0,
     .derive = derive_gemma3,
     .block = transformer_block},
    {.name = "gemma2",
     .activation = Activation::Gelu,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .post_norms = true,
     .runs = false,
     .window_period = 2,
     .block = transformer_block},
    {.name = "gemma4",
     .qk_norm = QkNorm::PerHead,
     .activation = Activation::Gelu,
     .router = RouterKind::SoftmaxAll,
     .experts = Need::Optional,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .post_norms = true,
     .runs = false,
     .window_period = 6,
     .rope_base_sliding = 10000.0,
     .derive = derive_gemma4,
     .block = gemma4_block,
     .tables = gemma4_tables},
    {.name = "llama4",
     .rope = RopeKind::Neighbours,
     .router = RouterKind::SigmoidBias,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .shared_expert = true,
     .router_norm = false,
     .runs = false,
     .selection_bias = false,
     .window_period = 4,
     .window = 8192,
     .chunked = true,
     .derive = derive_llama4,
     .block = transformer_block},
    {.name = "granite",
     .rope = RopeKind::Neighbours,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .runs = false,
     .block = transformer_block},
    {.name = "mistral3",
     .rope = RopeKind::Neighbours,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .runs = false,
     .block = transformer_block},
    {.name = "smollm3",
     .rope = RopeKind::Neighbours,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .runs = false,
     .block = transformer_block},
    {.name = "seed_oss",
     .attention_bias = Need::Always,
     .output_bias = Need::Never,
     .ffn_norm = "post_attention_norm",
     .runs = false,
     .block = transformer_block},
    {.name = "phi3",
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .runs = false,
     .fused = true,
     .block = transformer_block},
    {.name = "lfm2",
     .qk_norm = QkNorm::PerHead,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .runs = false,
     .output_norm = "token_embd_norm",
     .block = convolution_block},
    {.name = "lfm2moe",
     .qk_norm = QkNorm::PerHead,
     .router = RouterKind::SigmoidBias,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .runs = false,
     .output_norm = "token_embd_norm",
     .block = convolution_block},
    {.name = "deepseek2",
     .rope = RopeKind::Neighbours,
     .router = RouterKind::SigmoidBias,
     .any_router = true,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .latent_attention = true,
     .shared_expert = true,
     .router_norm = false,
     .block = latent_block},
    {.name = "nemotron_h_moe",
     .rope = RopeKind::None,
     .activation = Activation::ReluSquared,
     .router = RouterKind::SigmoidBias,
     .experts = Need::Always,
     .shared_expert = true,
     .block = mixer_block},
    {.name = "nemotron_h",
     .rope = RopeKind::None,
     .activation = Activation::ReluSquared,
     .runs = false,
     .block = mixer_block},
    {.name = "qwen3next",
     .qk_norm = QkNorm::PerHead,
     .router = RouterKind::SoftmaxAll,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .attention_gate = true,
     .shared_expert = true,
     .block = delta_block},
    {.name = "qwen35moe",
     .qk_norm = QkNorm::PerHead,
     .router = RouterKind::SoftmaxAll,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .attention_gate = true,
     .shared_expert = true,
     .split_rates = true,
     .mtp_tables = false,
     .runs = false,
     .block = delta_block},
    {.name = "qwen35",
     .qk_norm = QkNorm::PerHead,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .attention_gate = true,
     .split_rates = true,
     .mtp_tables = false,
     .runs = false,
     .block = delta_block},
    {.name = "deepseek32",
     .rope = RopeKind::Neighbours,
     .router = RouterKind::SigmoidBias,
     .any_router = true,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .latent_attention = true,
     .shared_expert = true,
     .mtp_tables = false,
     .runs = false,
     .block = latent_block},
    {.name = "glm-dsa",
     .rope = RopeKind::Neighbours,
     .router = RouterKind::SigmoidBias,
     .experts = Need::Always,
     .attention_bias = Need::Never,
     .output_bias = Need::Never,
     .latent_attention = true,
     .shared_expert = true,
     .mtp_tables = false,
     .runs = false,
     .block = latent_block},
};

}  // namespace

const std::vector<Architecture>& all_architectures() {
  static const std::vector<Architecture> table(std::begin(kTable), std::end(kTable));
  return table;
}

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& a : all_architectures()) {
    if (a.name == name) return &a;
  }
  return nullptr;
}

std::vector<std::string> known_architectures() {
  std::vector<std::string> names;
  for (const Architecture& a : all_architectures()) {
    if (a.runs) names.emplace_back(a.name);
  }
  return names;
}

std::vector<std::string> counted_architectures() {
  std::vector<std::string> names;
  for (const Architecture& a : all_architectures()) {
    if (!a.runs) names.emplace_back(a.name);
  }
  return names;
}

std::vector<ExpectedTensor> expected_tensors(const Architecture& a, const Hyper& h) {
  List list;
  add(list, -1, "token_embd.weight", Role::TokenEmbedding, {h.hidden, h.vocab});
  add(list, -1, fmt::format("{}.weight", a.output_norm), Role::OutputNorm, {h.hidden});
  if (a.tables != nullptr) a.tables(a, h, list);
  if (!h.tied_head) add(list, -1, "output.weight", Role::OutputHead, {h.hidden, h.vocab});
  if (h.rope_dims > 0) {
    add(list, -1, "rope_freqs.weight", Role::RopeFactors, {h.rope_dims / 2}, Need::Optional);
  }
  for (int l = 0; l < h.layers; ++l) a.block(a, h, l, list);
  return list;
}

std::vector<ExpectedTensor> mtp_tensors(const Architecture& a, const Hyper& h) {
  List list;
  Hyper block = h;
  if (h.attention_interval > 0) block.attention_interval = 1;  // those of hybrids attend
  for (std::int64_t i = 0; i < h.mtp_layers; ++i) {
    const int l = static_cast<int>(h.layers + i);
    a.block(a, block, l, list);
    add(list, l, "nextn.eh_proj.weight", Role::Other, {2 * h.hidden, h.hidden});
    const Need tables = a.mtp_tables ? Need::Always : Need::Optional;
    add(list, l, "nextn.embed_tokens.weight", Role::Other, {h.hidden, h.vocab}, tables);
    add(list, l, "nextn.shared_head_head.weight", Role::Other, {h.hidden, h.vocab}, tables);
    for (const char* norm : {"nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm"}) {
      add(list, l, fmt::format("{}.weight", norm), Role::Other, {h.hidden});
    }
  }
  return list;
}

void set_facts(const Architecture& a, Hyper& h) {
  h.rope = a.rope;
  if (a.qk_norms == Need::Always) h.qk_norm = a.qk_norm;
  h.activation = a.activation;
  h.attention_gate = a.attention_gate;
  const bool said = a.any_router && h.router != RouterKind::None;
  if (!said || h.experts == 0) h.router = h.experts > 0 ? a.router : RouterKind::None;
  if (h.window_period == 0) h.window_period = a.window_period;
  h.chunked = a.chunked;
  if (h.rope_base_sliding == 0) h.rope_base_sliding = a.rope_base_sliding;
  if (a.derive != nullptr) a.derive(h);
}

}  // namespace bandwall
