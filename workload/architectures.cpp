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
  const std::int64_t d = h.hidden, q = h.q_width(), k = h.k_width(), v = h.v_width();
  const std::int64_t o = h.heads * h.head_dim_v;
  add(list, l, "attn_q.weight", Role::AttnQ, {d, h.q_rows()});
  add(list, l, "attn_k.weight", Role::AttnK, {d, k});
  add(list, l, "attn_v.weight", Role::AttnV, {d, v});
  add(list, l, "attn_output.weight", Role::AttnOut, {o, d});
  add(list, l, "attn_q.bias", Role::AttnQ, {h.q_rows()}, a.attention_bias);
  add(list, l, "attn_k.bias", Role::AttnK, {k}, a.attention_bias);
  add(list, l, "attn_v.bias", Role::AttnV, {v}, a.attention_bias);
  add(list, l, "attn_output.bias", Role::AttnOut, {d}, a.output_bias);
  if ((a.qk_norms == Need::Always ? a.qk_norm : h.qk_norm) != QkNorm::None) {
    const bool whole = a.qk_norm == QkNorm::WholeWidth;
    add(list, l, "attn_q_norm.weight", Role::AttnQNorm, {whole ? q : h.head_dim_k});
    add(list, l, "attn_k_norm.weight", Role::AttnKNorm, {whole ? k : h.head_dim_k});
  }
  add(list, l, "attn_sinks.weight", Role::AttnSinks, {h.heads}, a.sinks);
}

void add_experts(const Architecture& a, const Hyper& h, int l, List& list) {
  const std::int64_t d = h.hidden, e = h.experts, f = h.expert_ffn;
  add(list, l, "ffn_gate_inp.weight", Role::Router, {d, e});
  add(list, l, "ffn_gate_inp.bias", Role::Router, {e}, a.expert_bias);
  if ((a.any_router ? h.router : a.router) == RouterKind::SigmoidBias) {
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
  add(list, l, "ffn_gate.weight", Role::DenseGate, {h.hidden, h.ffn});
  add(list, l, "ffn_up.weight", Role::DenseUp, {h.hidden, h.ffn});
  add(list, l, "ffn_down.weight", Role::DenseDown, {h.ffn, h.hidden});
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
  } else {
    add_dense_ffn(h, l, list);
  }
}

class Checker {
 public:
  Checker(const std::string& where, std::vector<Diagnostic>& problems)
      : where_(where), problems_(problems) {}

  void require(bool holds, std::string message) {
    if (!holds) problems_.push_back({where_, std::move(message)});
  }
  void range(std::string_view what, std::int64_t value, std::int64_t low, std::int64_t high) {
    require(value >= low && value <= high,
            fmt::format("{} is {}, it must be {} to {}", what, value, low, high));
  }

 private:
  const std::string& where_;
  std::vector<Diagnostic>& problems_;
};

// Bounds far above real models and low enough that no product below overflows int64.
constexpr std::int64_t kMaxLayers = 2048, kMaxWidth = 1 << 20, kMaxVocab = 1 << 24;
constexpr std::int64_t kMaxHeads = 1 << 14, kMaxHeadDim = 1 << 13, kMaxExperts = 8192;
constexpr std::int64_t kMaxContext = std::int64_t{1} << 31;

void check_experts(const Hyper& h, Checker& check) {
  check.range("expert_count", h.experts, 1, kMaxExperts);
  check.range("expert_used_count", h.experts_used, 1, std::max<std::int64_t>(h.experts, 1));
  check.range("expert_feed_forward_length", h.expert_ffn, 1, kMaxWidth);
  check.range("expert_shared_feed_forward_length", h.shared_ffn, 0, kMaxWidth);
  check.range("leading_dense_block_count", h.dense_layers, 0, h.layers);
  check.require(std::isfinite(h.router_scale) && h.router_scale > 0,
                fmt::format("expert_weights_scale is {}, it must be positive", h.router_scale));
  if (h.expert_groups == 0) return;
  check.require(
      h.expert_groups > 0 && h.expert_groups <= h.experts / 2 && h.experts % h.expert_groups == 0,
      fmt::format("expert_group_count is {}, it must divide expert_count {} into groups "
                  "of at least 2",
                  h.expert_groups, h.experts));
  check.range("expert_group_used_count", h.expert_groups_used, 1, h.expert_groups);
  check.require(
      h.expert_groups < 1 || h.experts_used <= h.experts / h.expert_groups * h.expert_groups_used,
      fmt::format("expert_used_count {} is more than {} groups hold", h.experts_used,
                  h.expert_groups_used));
}

// The widths of latent attention follow from each other; files and shapes state them all.
void check_latent(const Hyper& h, Checker& check) {
  check.range("attention.kv_lora_rank", h.kv_rank, 1, kMaxHeadDim);
  check.range("attention.q_lora_rank", h.q_rank, 0, kMaxWidth);
  check.range("attention.key_length_mla", h.mla_key, 1, kMaxHeadDim);
  check.range("attention.value_length_mla", h.mla_value, 1, kMaxHeadDim);
  check.range("attention.indexer.head_count", h.index_heads, 0, kMaxHeads);
  check.range("attention.indexer.key_length", h.index_width, h.index_heads > 0 ? 1 : 0,
              kMaxHeadDim);
  check.require(h.kv_heads == 1,
                fmt::format("attention.head_count_kv is {}, latent attention has 1", h.kv_heads));
  check.require(h.head_dim_k == h.kv_rank + h.rope_dims && h.head_dim_v == h.kv_rank,
                fmt::format("attention.key_length {} and value_length {} must be kv_lora_rank {} "
                            "plus rope.dimension_count {}, and kv_lora_rank",
                            h.head_dim_k, h.head_dim_v, h.kv_rank, h.rope_dims));
  check.require(
      std::isfinite(h.attention_scale) && h.attention_scale >= 0 && h.attention_scale < 1e6,
      fmt::format("the scale of attention scores is {}; rope.scaling.yarn_log_multiplier "
                  "or factor is out of range",
                  h.attention_scale));
  check.require(h.mla_key > h.rope_dims,
                fmt::format("attention.key_length_mla {} must be more than rope.dimension_count {}",
                            h.mla_key, h.rope_dims));
}

// Heads of a recurrent mixer share the inner width, and groups (key heads) share the heads.
void check_recurrence(const Hyper& h, Checker& check) {
  check.range("ssm.inner_size", h.ssm_inner, 1, kMaxWidth);
  check.range("ssm.state_size", h.ssm_state, 1, kMaxHeadDim);
  check.range("ssm.time_step_rank", h.ssm_heads, 1, kMaxHeads);
  check.range("ssm.group_count", h.ssm_groups, 1, kMaxHeads);
  check.range("ssm.conv_kernel", h.ssm_conv, 2, 256);
  check.require(h.ssm_heads < 1 || h.ssm_inner % h.ssm_heads == 0,
                fmt::format("ssm.inner_size {} is not divisible by ssm.time_step_rank {}",
                            h.ssm_inner, h.ssm_heads));
  check.require(h.ssm_groups < 1 || h.ssm_heads % h.ssm_groups == 0,
                fmt::format("ssm.time_step_rank {} is not divisible by ssm.group_count {}",
                            h.ssm_heads, h.ssm_groups));
}

void check_hybrid(const Architecture& a, const Hyper& h, Checker& check) {
  check.range("moe_latent_size", h.expert_latent, 0, kMaxWidth);
  check.require(a.block != delta_block || h.attention_interval > 0,
                "full_attention_interval is 0, it must be at least 1");
  check.require(a.block != delta_block || h.shared_ffn > 0 || h.experts == 0,
                "expert_shared_feed_forward_length is 0, it must be at least 1");
  if (a.block == mixer_block) {
    const bool complete = static_cast<std::int64_t>(h.pattern.size()) == h.layers;
    check.require(complete, fmt::format("the block pattern has {} letters for {} blocks",
                                        h.pattern.size(), h.layers));
    check.require(h.pattern.find_first_not_of("ME*-") == std::string::npos,
                  "the block pattern may hold M, E, * and - only");
    if (!complete) return;
    if (h.pattern.find('-') != std::string::npos) {
      check.range("feed_forward_length", h.ffn, 1, kMaxWidth);
    }
  }
  for (std::int64_t l = 0; l < std::min(h.layers, kMaxLayers); ++l) {
    if (h.recurs(l)) return check_recurrence(h, check);
  }
}

void check_rope(const Hyper& h, Checker& check) {
  check.require(h.rope_dims >= 0 && h.rope_dims <= h.head_dim_k && h.rope_dims % 2 == 0,
                fmt::format("rope.dimension_count is {}, it must be even and at most key_length {}",
                            h.rope_dims, h.head_dim_k));
  check.require(std::isfinite(h.rope_base) && h.rope_base > 1,
                fmt::format("rope.freq_base is {}, it must be more than 1", h.rope_base));
  check.require(std::isfinite(h.rope_scale) && h.rope_scale > 0,
                fmt::format("rope.scaling.factor is {}, it must be positive", h.rope_scale));
  if (!h.yarn) return;
  check.require(std::isfinite(h.yarn_factor) && h.yarn_factor > 0,
                fmt::format("rope.scaling.factor is {}, it must be positive", h.yarn_factor));
  check.range("rope.scaling.original_context_length", h.yarn_original_context, 1, kMaxContext);
  for (const double x : {h.yarn_attn_factor, h.yarn_beta_fast, h.yarn_beta_slow}) {
    check.require(std::isfinite(x) && x > 0 && x < 1e6,
                  fmt::format("a YaRN parameter is {}, it must be positive", x));
  }
}

void check_window(const Architecture& a, const Hyper& h, Checker& check) {
  check.range("attention.sliding_window", h.window, 0, kMaxContext);
  check.require(a.window_period == 0 || h.window > 0,
                "attention.sliding_window is missing; this architecture cannot run without it");
  check.range("attention.sliding_window_pattern", h.window_period, 0, kMaxLayers);
  check.require(
      h.rope_base_sliding == 0 || (std::isfinite(h.rope_base_sliding) && h.rope_base_sliding > 1),
      fmt::format("rope.freq_base_swa is {}, it must be more than 1", h.rope_base_sliding));
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
  add(list, -1, "output_norm.weight", Role::OutputNorm, {h.hidden});
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
  h.window_period = a.window_period;
  if (h.rope_base_sliding == 0) h.rope_base_sliding = a.rope_base_sliding;
  if (a.derive != nullptr) a.derive(h);
}

void check_hyper(const Architecture& a, const Hyper& h, const std::string& where,
                 std::vector<Diagnostic>& problems) {
  Checker check(where, problems);
  check.range("block_count", h.layers, 1, kMaxLayers);
  check.range("nextn_predict_layers", h.mtp_layers, 0, kMaxLayers);
  check.range("embedding_length", h.hidden, 1, kMaxWidth);
  check.range("vocabulary size", h.vocab, 1, kMaxVocab);
  check.range("context_length", h.context_train, 1, kMaxContext);
  check.range("attention.head_count", h.heads, 1, kMaxHeads);
  check.range("attention.head_count_kv", h.kv_heads, 1, std::max<std::int64_t>(h.heads, 1));
  check.range("attention.key_length", h.head_dim_k, 1, kMaxHeadDim);
  check.range("attention.value_length", h.head_dim_v, 1, kMaxHeadDim);
  check.range("feed_forward_length", h.ffn, 0, kMaxWidth);
  check_window(a, h, check);
  check.require(h.kv_heads < 1 || h.heads % h.kv_heads == 0,
                fmt::format("attention.head_count {} is not divisible by head_count_kv {}", h.heads,
                            h.kv_heads));
  check.require(
      std::isfinite(h.rms_eps) && h.rms_eps >= 0 && h.rms_eps < 1,
      fmt::format("attention.layer_norm_rms_epsilon is {}, it must be 0 to 1", h.rms_eps));
  const bool has_experts = h.experts > 0;
  check.require(!has_experts || a.experts != Need::Never,
                fmt::format("{} models have no experts, this one has {}", a.name, h.experts));
  if (has_experts || a.experts == Need::Always) check_experts(h, check);
  if (h.pattern.empty() && (!has_experts || h.dense_layers > 0)) {
    check.range("feed_forward_length", h.ffn, 1, kMaxWidth);
  }
  check.require(h.pattern.empty() || a.block == mixer_block,
                fmt::format("{} models have no block pattern", a.name));
  check.require(h.attention_interval == 0 || a.block == delta_block,
                fmt::format("{} models have no full_attention_interval", a.name));
  if (a.block == mixer_block || a.block == delta_block) check_hybrid(a, h, check);
  if (a.latent_attention) check_latent(h, check);
  check.require(a.latent_attention || h.kv_rank == 0,
                fmt::format("{} models have no attention.kv_lora_rank", a.name));
  check_rope(h, check);
}

}  // namespace bandwall
