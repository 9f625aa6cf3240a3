#include "workload/hf_config.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hwmodel/error.h"
#include "hwmodel/suggest.h"
#include "workload/gguf.h"

namespace bandwall {
namespace {

using Json = nlohmann::json;
using Names = std::initializer_list<const char*>;

constexpr HfName kBlockSparse[] = {
    {"ffn_gate_inp", "block_sparse_moe.gate"},
    {"exp_probs_b.bias", "block_sparse_moe.e_score_correction_bias"},
    {"ffn_gate_exps", "block_sparse_moe.experts.#.w1"},
    {"ffn_up_exps", "block_sparse_moe.experts.#.w3"},
    {"ffn_down_exps", "block_sparse_moe.experts.#.w2"},
};
constexpr HfName kGptOss[] = {
    {"ffn_gate_inp", "mlp.router"},
    {"attn_sinks.weight", "self_attn.sinks"},
    {"ffn_gate_exps", "mlp.experts.gate_up_proj"},
    {"ffn_up_exps", "mlp.experts.gate_up_proj"},
    {"ffn_down_exps", "mlp.experts.down_proj"},
};
constexpr HfName kGemma3[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
};
constexpr HfName kGemma4[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
    {"pre_ffw_norm_2", "pre_feedforward_layernorm_2"},
    {"post_ffw_norm_1", "post_feedforward_layernorm_1"},
    {"post_ffw_norm_2", "post_feedforward_layernorm_2"},
    {"ffn_gate_inp", "router.proj"},
    {"ffn_gate_inp.scale", "router.scale"},
    {"ffn_gate_up_exps", "experts.gate_up_proj"},
    {"ffn_down_exps", "experts.down_proj"},
    {"ffn_down_exps.scale", "router.per_expert_scale"},
    {"layer_output_scale.weight", "layer_scalar"},
    {"inp_gate", "per_layer_input_gate"},
    {"proj", "per_layer_projection"},
    {"post_norm", "post_per_layer_input_norm"},
    {"per_layer_token_embd", "embed_tokens_per_layer"},
    {"per_layer_model_proj", "per_layer_model_projection"},
    {"per_layer_proj_norm", "per_layer_projection_norm"},
};
constexpr HfName kLlama4[] = {
    {"ffn_gate_inp", "feed_forward.router"},
    {"ffn_gate_exps", "feed_forward.experts.gate_up_proj"},
    {"ffn_up_exps", "feed_forward.experts.gate_up_proj"},
    {"ffn_down_exps", "feed_forward.experts.down_proj"},
    {"ffn_gate_shexp", "feed_forward.shared_expert.gate_proj"},
    {"ffn_up_shexp", "feed_forward.shared_expert.up_proj"},
    {"ffn_down_shexp", "feed_forward.shared_expert.down_proj"},
    {"ffn_gate", "feed_forward.gate_proj"},
    {"ffn_up", "feed_forward.up_proj"},
    {"ffn_down", "feed_forward.down_proj"},
};
constexpr HfName kPhi3[] = {
    {"attn_qkv", "self_attn.qkv_proj"},
    {"ffn_up", "mlp.gate_up_proj"},
};
constexpr HfName kQwen3Next[] = {
    {"attn_qkv", "linear_attn.in_proj_qkvz"},
    {"attn_gate", "linear_attn.in_proj_qkvz"},
    {"ssm_ba", "linear_attn.in_proj_ba"},
    {"ssm_conv1d", "linear_attn.conv1d"},
    {"ssm_dt.bias", "linear_attn.dt_bias"},
    {"ssm_a", "linear_attn.A_log"},
    {"ssm_norm", "linear_attn.norm"},
    {"ssm_out", "linear_attn.out_proj"},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
};
constexpr HfName kQwen35[] = {
    {"attn_qkv", "linear_attn.in_proj_qkv"},
    {"attn_gate", "linear_attn.in_proj_z"},
    {"ssm_beta", "linear_attn.in_proj_b"},
    {"ssm_alpha", "linear_attn.in_proj_a"},
    {"ssm_conv1d", "linear_attn.conv1d"},
    {"ssm_dt.bias", "linear_attn.dt_bias"},
    {"ssm_a", "linear_attn.A_log"},
    {"ssm_norm", "linear_attn.norm"},
    {"ssm_out", "linear_attn.out_proj"},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
};
constexpr HfName kNemotron[] = {
    {"token_embd", "embeddings"},
    {"output_norm", "norm_f"},
    {"attn_norm", "norm"},
    {"attn_q", "mixer.q_proj"},
    {"attn_k", "mixer.k_proj"},
    {"attn_v", "mixer.v_proj"},
    {"attn_output", "mixer.o_proj"},
    {"ffn_gate_inp", "mixer.gate"},
    {"exp_probs_b.bias", "mixer.gate.e_score_correction_bias"},
    {"ffn_latent_down", "mixer.fc1_latent_proj"},
    {"ffn_latent_up", "mixer.fc2_latent_proj"},
    {"ffn_up_exps", "mixer.experts.#.up_proj"},
    {"ffn_down_exps", "mixer.experts.#.down_proj"},
    {"ffn_up_shexp", "mixer.shared_experts.up_proj"},
    {"ffn_down_shexp", "mixer.shared_experts.down_proj"},
    {"ffn_up", "mixer.up_proj"},
    {"ffn_down", "mixer.down_proj"},
    {"ssm_in", "mixer.in_proj"},
    {"ssm_conv1d", "mixer.conv1d"},
    {"ssm_dt.bias", "mixer.dt_bias"},
    {"ssm_a", "mixer.A_log"},
    {"ssm_d", "mixer.D"},
    {"ssm_norm", "mixer.norm"},
    {"ssm_out", "mixer.out_proj"},
};

constexpr Format kF32 = Format::F32;
constexpr HfRow::Defaults kGemma3Defaults = {8, 4, 256, 262208, 131072};
constexpr HfRow kRows[] = {
    {.model_type = "llama", .architecture = "llama"},
    {.model_type = "mistral", .architecture = "llama"},
    {.model_type = "mixtral",
     .architecture = "llama",
     .names = {kBlockSparse},
     .expert_ffn_is_ffn = true},
    {.model_type = "qwen2", .architecture = "qwen2"},
    {.model_type = "qwen3", .architecture = "qwen3"},
    {.model_type = "qwen3_vl_text", .architecture = "qwen3"},
    {.model_type = "qwen3_moe", .architecture = "qwen3moe"},
    {.model_type = "qwen3_vl_moe_text", .architecture = "qwen3moe"},
    {.model_type = "qwen3_next", .architecture = "qwen3next", .names = {kQwen3Next, true}},
    {.model_type = "qwen3_5_moe", .architecture = "qwen35moe", .names = {kQwen35, true}},
    {.model_type = "qwen3_5_moe_text", .architecture = "qwen35moe", .names = {kQwen35, true}},
    {.model_type = "qwen3_5", .architecture = "qwen35", .names = {kQwen35, true}},
    {.model_type = "qwen3_5_text", .architecture = "qwen35", .names = {kQwen35, true}},
    {.model_type = "olmoe", .architecture = "olmoe", .expert_ffn_is_ffn = true},
    {.model_type = "gpt_oss",
     .architecture = "gpt-oss",
     .names = {kGptOss},
     .expert_ffn_is_ffn = true},
    {.model_type = "minimax_m2",
     .architecture = "minimax-m2",
     .names = {kBlockSparse},
     .expert_ffn_is_ffn = true},
    {.model_type = "minimax",
     .why = "its lightning attention is not known; MiniMax-M2 and later are model_type minimax_m2"},
    {.model_type = "glm4_moe", .architecture = "glm4moe", .shared_of = 1, .router_bias = kF32},
    {.model_type = "glm_moe_dsa", .architecture = "glm-dsa", .shared_of = 1, .router_bias = kF32},
    {.model_type = "gemma3",
     .architecture = "gemma3",
     .names = {kGemma3},
     .tied = true,
     .defaults = kGemma3Defaults},
    {.model_type = "gemma3_text",
     .architecture = "gemma3",
     .names = {kGemma3},
     .tied = true,
     .defaults = kGemma3Defaults},
    {.model_type = "deepseek_v2", .architecture = "deepseek2", .shared_of = 1},
    {.model_type = "deepseek_v3", .architecture = "deepseek2", .shared_of = 1, .router_bias = kF32},
    {.model_type = "kimi_k2", .architecture = "deepseek2", .shared_of = 1, .router_bias = kF32},
    {.model_type = "kimi_k25", .architecture = "deepseek2", .shared_of = 1, .router_bias = kF32},
    {.model_type = "nemotron_h",
     .architecture = "nemotron_h_moe",
     .names = {kNemotron, true},
     .router_bias = kF32},
    {.model_type = "gemma2", .architecture = "gemma2", .names = {kGemma3}, .tied = true},
    {.model_type = "gemma4", .architecture = "gemma4", .names = {kGemma4}, .tied = true},
    {.model_type = "gemma4_text", .architecture = "gemma4", .names = {kGemma4}, .tied = true},
    {.model_type = "gemma4_unified", .architecture = "gemma4", .names = {kGemma4}, .tied = true},
    {.model_type = "gemma4_unified_text",
     .architecture = "gemma4",
     .names = {kGemma4},
     .tied = true},
    {.model_type = "llama4",
     .architecture = "llama4",
     .names = {kLlama4},
     .expert_ffn_is_ffn = true},
    {.model_type = "llama4_text",
     .architecture = "llama4",
     .names = {kLlama4},
     .expert_ffn_is_ffn = true},
    {.model_type = "glm4_moe_lite",
     .architecture = "deepseek2",
     .shared_of = 1,
     .router_bias = kF32},
    {.model_type = "granite", .architecture = "granite"},
    {.model_type = "ministral3", .architecture = "mistral3"},
    {.model_type = "smollm3", .architecture = "smollm3"},
    {.model_type = "seed_oss", .architecture = "seed_oss"},
    {.model_type = "deepseek_v32",
     .architecture = "deepseek32",
     .shared_of = 1,
     .router_bias = kF32},
    {.model_type = "phi3", .architecture = "phi3", .names = {kPhi3}},
};

constexpr std::int64_t kMost = std::int64_t{1} << 31;

// A number may stand under one of several names.
class Keys : public JsonKeys {
 public:
  Keys(const Json& json, const std::string& file, std::vector<Diagnostic>& problems)
      : JsonKeys(json, "", file, problems) {}

  std::int64_t integer(Names names, std::optional<std::int64_t> absent) {
    std::optional<std::int64_t> found;
    const char* where = nullptr;
    for (const char* key : names) {
      const Json* j = find(key);
      if (j == nullptr) continue;
      const auto n = whole(*j);
      if (!n) {
        problem(key, fmt::format("must be a whole number from 0 to {}", kMost));
        return absent.value_or(0);
      }
      if (found && *found != *n) {
        problem(key, fmt::format("{} contradicts {}: {}", *n, where, *found));
        return *found;
      }
      found = n;
      where = key;
    }
    if (!found && !absent) problem(*names.begin(), "is missing");
    return found.value_or(absent.value_or(0));
  }
  double real(const char* key, double absent) {
    const Json* j = find(key);
    if (j == nullptr) return absent;
    if (j->is_number() && std::isfinite(j->get<double>())) return j->get<double>();
    problem(key, "must be a number");
    return absent;
  }
  Keys child(const Json& json) const { return {json, file_, problems_}; }

 private:
  static std::optional<std::int64_t> whole(const Json& j) {
    if (j.is_number_unsigned() && j.get<std::uint64_t>() <= static_cast<std::uint64_t>(kMost)) {
      return static_cast<std::int64_t>(j.get<std::uint64_t>());
    }
    if (j.is_number_float()) {  // 8.0 is written for 8 by some
      const double d = j.get<double>();
      if (d >= 0 && d <= static_cast<double>(kMost) && d == std::floor(d)) {
        return static_cast<std::int64_t>(d);
      }
    }
    return std::nullopt;
  }
};

const HfRow* find_row(std::string_view model_type) {
  const auto it = std::find_if(std::begin(kRows), std::end(kRows),
                               [&](const HfRow& r) { return r.model_type == model_type; });
  return it == std::end(kRows) ? nullptr : it;
}

// The object that holds the numbers of the text model, and its row.
const Json& text_model(const Json& config) {
  for (const char* key : {"text_config", "llm_config", "language_config"}) {
    const auto it = config.find(key);
    if (it != config.end() && it->is_object()) return *it;
  }
  return config;
}

std::optional<std::int64_t> or_required(std::int64_t absent) {
  return absent > 0 ? std::optional(absent) : std::nullopt;
}

void read_attention(const HfRow& row, const Architecture& a, Keys& keys, Hyper& h) {
  const HfRow::Defaults& d = row.defaults;
  h.heads = keys.integer({"num_attention_heads"}, or_required(d.heads));
  h.kv_heads = keys.integer({"num_key_value_heads"}, d.kv_heads > 0 ? d.kv_heads : h.heads);
  const std::int64_t per_head = d.head_dim > 0 ? d.head_dim : h.heads > 0 ? h.hidden / h.heads : 0;
  const bool said = keys.has("head_dim") || keys.has("attention_head_dim");
  if (!said && d.head_dim == 0 && !a.latent_attention && h.heads > 0 && h.hidden % h.heads != 0) {
    keys.problem("head_dim", fmt::format("is missing, and num_attention_heads {} does not divide "
                                         "hidden_size {}",
                                         h.heads, h.hidden));
  }
  h.head_dim_k = h.head_dim_v = keys.integer({"head_dim", "attention_head_dim"}, per_head);
  h.rms_eps = keys.real(keys.has("rms_norm_eps") ? "rms_norm_eps" : "norm_eps", 1e-6);
  if (keys.flag("use_qk_norm", false) && a.qk_norms == Need::Optional) h.qk_norm = a.qk_norm;
}

// Returns YaRN's logarithmic multiplier.
double read_rope(const Architecture& a, Keys& keys, Hyper& h) {
  if (a.rope == RopeKind::None) return 0;
  const Json none = Json::object();
  const Json* parameters = keys.find("rope_parameters");
  if (parameters != nullptr && parameters->is_object() && parameters->contains("full_attention") &&
      parameters->at("full_attention").is_object()) {
    parameters = &parameters->at("full_attention");
  }
  const Json* scaling = keys.find("rope_scaling");
  if (scaling == nullptr) scaling = parameters;
  Keys rope = keys.child(parameters != nullptr && parameters->is_object() ? *parameters : none);
  Keys scaled = keys.child(scaling != nullptr && scaling->is_object() ? *scaling : none);
  h.rope_base = keys.real("rope_theta", rope.real("rope_theta", 10000.0));
  const double part = keys.real("partial_rotary_factor", rope.real("partial_rotary_factor", 1.0));
  if (!(part > 0 && part <= 1)) keys.problem("partial_rotary_factor", "must be above 0, at most 1");
  h.rope_dims = keys.integer({"rotary_dim"},
                             static_cast<std::int64_t>(static_cast<double>(h.head_dim_k) * part));
  const std::string type = scaled.has("rope_type") ? scaled.text("rope_type") : scaled.text("type");
  if (type == "linear") h.rope_scale = scaled.real("factor", 1.0);
  if (type != "yarn") return 0;
  h.yarn = true;
  h.yarn_factor = scaled.real("factor", 1.0);
  h.yarn_original_context = scaled.integer({"original_max_position_embeddings"}, h.context_train);
  h.yarn_beta_fast = scaled.real("beta_fast", 32.0);
  h.yarn_beta_slow = scaled.real("beta_slow", 1.0);
  return 0.1 * scaled.real("mscale_all_dim", 0.0);
}

// The last layer of a period is the first that sees all.
std::int64_t period_of(Keys& keys, std::int64_t absent) {
  const Json* types = keys.find("layer_types");
  if (types == nullptr || !types->is_array()) return absent;
  const auto full = std::find(types->begin(), types->end(), Json("full_attention"));
  return full == types->end() ? 0 : full - types->begin() + 1;
}

// The file states the heads of layers that slide, and those of the others beside them.
void read_gemma4(const Architecture& a, Keys& keys, Hyper& h) {
  h.window_head_dim = h.head_dim_k;
  h.head_dim_k = h.head_dim_v = h.rope_dims = keys.integer({"global_head_dim"}, h.window_head_dim);
  h.window_kv_heads = h.kv_heads;
  h.kv_heads = keys.integer({"num_global_key_value_heads"}, h.kv_heads);
  if (h.window_head_dim == h.head_dim_k) h.window_head_dim = 0;
  if (h.window_kv_heads == h.kv_heads) h.window_kv_heads = 0;
  h.key_is_value = keys.flag("attention_k_eq_v", false);
  h.borrowed_kv_layers = keys.integer({"num_kv_shared_layers"}, 0);
  h.layer_embedding = keys.integer({"hidden_size_per_layer_input"}, 0);
  h.window_period = period_of(keys, a.window_period);
  const std::int64_t ffn = keys.integer({"intermediate_size"}, {});
  if (keys.flag("use_double_wide_mlp", false)) h.borrowed_ffn = 2 * ffn;
  if (!keys.flag("enable_moe_block", false)) {
    h.ffn = ffn;
    return;
  }
  h.shared_ffn = ffn;  // beside the experts
  h.experts = keys.integer({"num_experts"}, {});
  h.experts_used = keys.integer({"top_k_experts"}, {});
  h.expert_ffn = keys.integer({"moe_intermediate_size", "expert_intermediate_size"}, {});
}

void read_latent(Keys& keys, double multiplier, Hyper& h) {
  h.kv_rank = keys.integer({"kv_lora_rank"}, {});
  h.q_rank = keys.integer({"q_lora_rank"}, 0);
  h.rope_dims = keys.integer({"qk_rope_head_dim"}, {});
  h.mla_key = h.rope_dims + keys.integer({"qk_nope_head_dim"}, {});
  h.mla_value = keys.integer({"v_head_dim"}, {});
  h.kv_heads = 1;
  h.head_dim_k = h.kv_rank + h.rope_dims;
  h.head_dim_v = h.kv_rank;
  h.index_heads = keys.integer({"index_n_heads"}, 0);
  h.index_width = keys.integer({"index_head_dim"}, 0);
  derive_latent(multiplier, h);
}

void read_experts(const HfRow& row, const Architecture& a, Keys& keys, Hyper& h) {
  if (a.experts == Need::Never) {
    h.ffn = keys.integer({"intermediate_size"}, {});
    return;
  }
  h.experts = keys.integer({"num_local_experts", "num_experts", "n_routed_experts"},
                           a.experts == Need::Always ? std::optional<std::int64_t>{} : 0);
  if (h.experts == 0) {
    h.ffn = keys.integer({"intermediate_size"}, {});
    return;
  }
  h.experts_used = keys.integer({"num_experts_per_tok", "experts_per_token"}, {});
  h.expert_ffn = row.expert_ffn_is_ffn ? keys.integer({"intermediate_size"}, {})
                                       : keys.integer({"moe_intermediate_size"}, {});
  h.dense_layers = keys.integer({"first_k_dense_replace"}, 0);
  h.shared_ffn =
      keys.integer({"shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"}, 0);
  if (row.shared_of > 0) h.shared_ffn = keys.integer({"n_shared_experts"}, 0) * h.expert_ffn;
  h.expert_latent = keys.integer({"moe_latent_size"}, 0);
  h.expert_interval = keys.integer({"interleave_moe_layer_step"}, 0);
  if (h.expert_interval > 1) h.ffn = keys.integer({"intermediate_size_mlp"}, {});
  if (h.dense_layers > 0 || h.pattern.find('-') != std::string::npos) {
    h.ffn = keys.integer({"intermediate_size"}, {});
  }
  h.router_norm = keys.flag("norm_topk_prob", a.router_norm);
  h.router_scale = keys.real("routed_scaling_factor", 1.0);
  if (a.any_router) {
    h.router = keys.text("scoring_func") == "softmax" ? RouterKind::SoftmaxAll : a.router;
    h.expert_groups = keys.integer({"n_group"}, 0);
    h.expert_groups_used = keys.integer({"topk_group"}, h.expert_groups);
    if (h.expert_groups <= 1) h.expert_groups = h.expert_groups_used = 0;
  }
  if (const Json* only = keys.find("mlp_only_layers"); only != nullptr && !only->empty()) {
    keys.problem("mlp_only_layers", "dense layers between layers of experts are not known");
  }
  if (keys.integer({"decoder_sparse_step"}, 1) != 1) {
    keys.problem("decoder_sparse_step", "only 1 is known: experts in every layer");
  }
}

void read_recurrence(Keys& keys, Hyper& h) {
  if (keys.has("hybrid_override_pattern")) {
    h.pattern = keys.text("hybrid_override_pattern");
    h.ssm_heads = keys.integer({"mamba_num_heads"}, {});
    h.ssm_inner = h.ssm_heads * keys.integer({"mamba_head_dim"}, {});
    h.ssm_groups = keys.integer({"n_groups"}, {});
    h.ssm_state = keys.integer({"ssm_state_size"}, {});
    h.ssm_conv = keys.integer({"conv_kernel"}, {});
    return;
  }
  h.attention_interval = keys.integer({"full_attention_interval"}, 4);
  h.ssm_heads = keys.integer({"linear_num_value_heads"}, {});
  h.ssm_inner = h.ssm_heads * keys.integer({"linear_value_head_dim"}, {});
  h.ssm_groups = keys.integer({"linear_num_key_heads"}, {});
  h.ssm_state = keys.integer({"linear_key_head_dim"}, {});
  h.ssm_conv = keys.integer({"linear_conv_kernel_dim"}, {});
}

// Layers that the file lists one by one must be those that the shape gives.
void check_layer_types(Keys& keys, const Hyper& h) {
  const Json* types = keys.find("layer_types");
  if (types == nullptr) return;
  if (!types->is_array() || static_cast<std::int64_t>(types->size()) != h.layers) {
    return keys.problem("layer_types", fmt::format("has {} entries for num_hidden_layers {}",
                                                   types->size(), h.layers));
  }
  for (std::int64_t l = 0; l < h.layers; ++l) {
    const Json& type = (*types)[static_cast<std::size_t>(l)];
    const std::string expected = h.recurs(l)                   ? "linear_attention"
                                 : h.slides(l) && h.chunked    ? "chunked_attention"
                                 : h.window > 0 && h.slides(l) ? "sliding_attention"
                                                               : "full_attention";
    if (type == expected) continue;
    return keys.problem(
        "layer_types",
        fmt::format("layer {} is {}, this kind of model has {} there", l,
                    type.is_string() ? printable(type.get<std::string>()) : "no text", expected));
  }
}

Format dtype_of(Keys& keys) {
  const std::string text = keys.has("dtype") ? keys.text("dtype") : keys.text("torch_dtype");
  if (text == "float16") return Format::F16;
  return text == "float32" ? Format::F32 : Format::BF16;
}

const HfRow& row_of(const Json& config, const Json& inner, const std::string& file) {
  std::string type;
  for (const Json* j : {&config, &inner}) {
    const auto it = j->find("model_type");
    if (it == j->end() || !it->is_string()) continue;
    type = it->get<std::string>();
    if (const HfRow* row = find_row(type)) {
      if (!row->architecture.empty()) return *row;
      const Json& layers = inner.value("num_hidden_layers", Json());
      const Json& hidden = inner.value("hidden_size", Json());
      throw Error::input(file, fmt::format("model_type {} is known but cannot be sized: {} "
                                           "({} layers, hidden {}); a GGUF or the folder of a "
                                           "model of a known type can",
                                           type, row->why, layers.dump(), hidden.dump()));
    }
  }
  const std::vector<std::string> known = known_model_types();
  const std::string near = suggest(type, known);
  throw Error::input(file,
                     fmt::format("model_type: {}{}; known are {}",
                                 type.empty() ? std::string("is missing")
                                              : fmt::format("'{}' is not known", printable(type)),
                                 near.empty() ? "" : fmt::format(" (did you mean {}?)", near),
                                 fmt::join(known, ", ")));
}

}  // namespace

std::vector<std::string> known_model_types() {
  std::vector<std::string> names;
  for (const HfRow& row : kRows) {
    if (!row.architecture.empty()) names.emplace_back(row.model_type);
  }
  return names;
}

HfConfig read_hf_config(const Json& config, const std::string& file) {
  HfConfig c;
  const Json& inner = text_model(config);
  c.row = &row_of(config, inner, file);
  c.architecture = find_architecture(c.row->architecture);
  BANDWALL_CHECK(c.architecture != nullptr);
  if (c.row->model_type == "nemotron_h" && !inner.contains("n_routed_experts")) {
    c.architecture = find_architecture("nemotron_h");  // dense feed-forward blocks only
  }
  const Architecture& a = *c.architecture;
  c.model_type = std::string(c.row->model_type);
  c.other_parts = config.contains("vision_config") || config.contains("audio_config");

  std::vector<Diagnostic> problems;
  Keys keys(inner, file, problems);
  Keys outer(config, file, problems);
  Hyper& h = c.hyper;
  h.layers = keys.integer({"num_hidden_layers"}, {});
  h.hidden = keys.integer({"hidden_size"}, {});
  h.vocab = keys.integer({"vocab_size"}, or_required(c.row->defaults.vocab));
  h.context_train = keys.integer({"max_position_embeddings"}, or_required(c.row->defaults.context));
  h.tied_head = keys.flag("tie_word_embeddings", outer.flag("tie_word_embeddings", c.row->tied));
  read_attention(*c.row, a, keys, h);
  const double multiplier = read_rope(a, keys, h);
  if (a.latent_attention) read_latent(keys, multiplier, h);
  if (a.rope == RopeKind::None || a.split_rates || a.attention_gate) read_recurrence(keys, h);
  if (a.name == "gemma4") {
    read_gemma4(a, keys, h);
  } else {
    read_experts(*c.row, a, keys, h);
  }
  if (a.window_period > 0) {
    h.window = keys.integer({"sliding_window", "attention_chunk_size"},
                            a.window > 0 ? std::optional(a.window) : std::nullopt);
  }
  h.mtp_layers = keys.integer({"num_nextn_predict_layers", "mtp_num_hidden_layers"}, 0);
  if (!h.pattern.empty()) h.mtp_layers = 0;  // hybrids by pattern: counted from stored headers only
  c.attention_bias = keys.flag("attention_bias", false);
  c.dtype = dtype_of(inner.contains("dtype") || inner.contains("torch_dtype") ? keys : outer);
  set_facts(a, h);
  if (problems.empty()) {
    check_hyper(a, h, file, problems);
    if (problems.empty()) check_layer_types(keys, h);
  }
  if (!problems.empty()) throw Error(Error::Kind::Input, std::move(problems));
  return c;
}

}  // namespace bandwall
