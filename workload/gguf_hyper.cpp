// Hyper-parameters from GGUF metadata; keys and defaults as ggml-org/llama.cpp has them.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "workload/architectures_detail.h"

namespace bandwall {

using architectures::convolution_block;
using architectures::delta_block;
using architectures::gemma4_block;
using architectures::mixer_block;

namespace {

constexpr std::int64_t kAnyMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMostBlocks = 1 << 16;  // bounds work on counts not yet checked

class Keys {
 public:
  Keys(const Architecture& a, const GgufFile& file, std::vector<Diagnostic>& problems)
      : prefix_(fmt::format("{}.", a.name)), file_(file), problems_(problems) {}

  bool is_array(std::string_view key) const {
    const GgufValue* value = file_.find(prefix_ + std::string(key));
    return value != nullptr && value->type() == GgufType::Array;
  }
  bool has(std::string_view key) const { return file_.find(prefix_ + std::string(key)) != nullptr; }

  // Items of a per-layer array, or the one number for all layers; nothing when the key is missing.
  std::vector<std::int64_t> per_layer(std::string_view key, std::int64_t layers) {
    const auto count = static_cast<std::size_t>(std::clamp<std::int64_t>(layers, 0, kMostBlocks));
    const GgufValue* value = file_.find(prefix_ + std::string(key));
    if (value == nullptr) return {};
    if (const auto one = value->as_int()) return std::vector<std::int64_t>(count, *one);
    const auto items = value->as_ints();
    const auto possible = [](std::int64_t x) { return x >= 0 && x <= kAnyMax; };
    if (items && items->size() >= count && std::all_of(items->begin(), items->end(), possible)) {
      return {items->begin(), items->begin() + static_cast<std::ptrdiff_t>(count)};
    }
    problem(key, fmt::format("must be a whole number or an array of at least {}", count));
    return {};
  }

  // Per-layer arrays may hold zeros beside the one value: blocks without that part.
  void allow_zeros() { zeros_allowed_ = true; }

  // Whole number, at most 2^31 - 1; per-layer arrays are accepted when all items are equal.
  std::int64_t integer(std::string_view key, std::optional<std::int64_t> fallback) {
    const GgufValue* value = find(key, fallback.has_value());
    if (value == nullptr) return fallback.value_or(0);
    std::optional<std::int64_t> found = value->as_int();
    if (value->type() == GgufType::Array) {
      const auto items = value->as_ints();
      if (items && !items->empty()) {
        const std::int64_t one =
            zeros_allowed_ ? *std::max_element(items->begin(), items->end()) : items->front();
        const auto differs = [&](auto x) { return x != one && !(zeros_allowed_ && x == 0); };
        if (std::any_of(items->begin(), items->end(), differs)) {
          problem(key, "differs from layer to layer, which is not supported for this architecture");
          return 0;
        }
        found = one;
      }
    }
    if (!found) {
      problem(key, "must be a whole number");
      return 0;
    }
    if (*found < 0 || *found > kAnyMax) {
      problem(key, fmt::format("{} is out of range (0 to {})", *found, kAnyMax));
      return 0;
    }
    return *found;
  }

  // True for every layer whose item of the array is not 0; a number stands for all layers.
  std::vector<bool> layers_with(std::string_view key, std::int64_t layers) {
    const auto count = static_cast<std::size_t>(std::min(layers, kMostBlocks));
    const GgufValue* value = find(key, true);
    if (value == nullptr) return std::vector<bool>(count, false);
    if (value->type() != GgufType::Array) {
      return std::vector<bool>(count, value->as_int().value_or(0) != 0);
    }
    const auto items = value->as_ints();
    if (!items || items->size() < count) {
      problem(key, fmt::format("must be an array of at least {} whole numbers", count));
      return std::vector<bool>(count, false);
    }
    std::vector<bool> with;
    for (std::size_t i = 0; i < count; ++i) with.push_back((*items)[i] != 0);
    return with;
  }

  double real(std::string_view key, std::optional<double> fallback) {
    const GgufValue* value = find(key, fallback.has_value());
    if (value == nullptr) return fallback.value_or(0);
    const auto found = value->as_double();
    if (!found) problem(key, "must be a number");
    return found.value_or(0);
  }

  bool flag(std::string_view key, bool fallback) {
    const GgufValue* value = find(key, true);
    if (value == nullptr) return fallback;
    const auto found = value->as_bool();
    if (!found) problem(key, "must be true or false");
    return found.value_or(fallback);
  }

  std::string_view text(std::string_view key, std::string_view fallback) {
    const GgufValue* value = find(key, true);
    if (value == nullptr) return fallback;
    const auto found = value->as_string();
    if (!found) problem(key, "must be a string");
    return found.value_or(fallback);
  }

  void problem(std::string_view key, std::string message) {
    problems_.push_back({file_.file_name, fmt::format("key {}{}: {}", prefix_, key, message)});
  }

 private:
  const GgufValue* find(std::string_view key, bool optional) {
    const GgufValue* value = file_.find(prefix_ + std::string(key));
    if (value == nullptr && !optional) {
      problem(key, "is missing; convert the model again with a current converter");
    }
    return value;
  }

  bool zeros_allowed_ = false;
  std::string prefix_;
  const GgufFile& file_;
  std::vector<Diagnostic>& problems_;
};

void read_attention(const Architecture& a, Keys& keys, Hyper& h) {
  h.heads = keys.integer("attention.head_count", {});
  if (a.block != gemma4_block) h.kv_heads = keys.integer("attention.head_count_kv", h.heads);
  const std::int64_t per_head = h.heads > 0 ? h.hidden / h.heads : 0;
  h.head_dim_k = keys.integer("attention.key_length", per_head);
  h.head_dim_v = keys.integer("attention.value_length", per_head);
  h.rms_eps = keys.real("attention.layer_norm_rms_epsilon", {});
}

void read_rope(Keys& keys, Hyper& h) {
  h.rope_dims = keys.integer("rope.dimension_count", h.head_dim_k);
  h.rope_base = keys.real("rope.freq_base", 10000.0);
  const std::string_view type = keys.text("rope.scaling.type", "linear");
  // Before rope.scaling.factor there was rope.scale_linear; 0 and absence mean no scaling.
  double factor = keys.real("rope.scaling.factor", 0.0);
  if (factor == 0.0) factor = keys.real("rope.scale_linear", 0.0);
  if (factor == 0.0) factor = 1.0;
  if (type == "linear") {
    h.rope_scale = factor;
  } else if (type == "yarn") {
    h.yarn = true;
    h.yarn_factor = factor;
    h.yarn_original_context = keys.integer("rope.scaling.original_context_length", h.context_train);
    h.yarn_attn_factor = keys.real("rope.scaling.attn_factor", 1.0) *
                         keys.real("rope.scaling.yarn_attn_factor", 1.0);
    h.yarn_beta_fast = keys.real("rope.scaling.yarn_beta_fast", 32.0);
    h.yarn_beta_slow = keys.real("rope.scaling.yarn_beta_slow", 1.0);
    if (keys.real("rope.scaling.yarn_ext_factor", 1.0) != 1.0) {
      keys.problem("rope.scaling.yarn_ext_factor", "only 1 is supported");
    }
  } else if (type != "none") {
    keys.problem("rope.scaling.type", "is none of none, linear, yarn, which are supported");
  }
}

// The number of layers after which the pattern repeats, from a number or from one flag per layer.
std::int64_t read_period(const Architecture& a, Keys& keys, const Hyper& h) {
  const char* key = "attention.sliding_window_pattern";
  if (!keys.is_array(key)) return keys.integer(key, a.window_period);
  const std::vector<std::int64_t> slides = keys.per_layer(key, h.layers);
  const auto full = std::find(slides.begin(), slides.end(), 0);
  const std::int64_t period = full == slides.end() ? 0 : full - slides.begin() + 1;
  for (std::size_t l = 0; l < slides.size(); ++l) {
    const auto at = static_cast<std::int64_t>(l);
    if ((slides[l] != 0) == (period == 0 || at % period != period - 1)) continue;
    keys.problem(
        key, fmt::format("layer {} breaks the period of {}, only whole ones are known", l, period));
    break;
  }
  return period;
}

// Layers that slide and layers that see all take turns; only whole periods are known.
void read_window(const Architecture& a, Keys& keys, Hyper& h) {
  if (a.window_period == 0) return;
  h.window = keys.integer("attention.sliding_window",
                          a.window > 0 ? std::optional(a.window) : std::nullopt);
  h.window_period = read_period(a, keys, h);
  if (a.rope_base_sliding == 0) return;
  h.rope_base_sliding = keys.real("rope.freq_base_swa", a.rope_base_sliding);
}

void refuse_softcaps(Keys& keys) {
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (keys.real(key, 0.0) != 0.0) keys.problem(key, "soft-capped logits are not supported");
  }
}

// Shared experts are stored as one, as wide as all of them.
void read_shared_expert(const Architecture& a, Keys& keys, Hyper& h) {
  const std::int64_t count = keys.integer("expert_shared_count", 0);
  if (a.block == gemma4_block) return;  // the dense part beside them
  if (!a.shared_expert) {
    if (count == 0) return;
    keys.problem("expert_shared_count", "shared experts are not supported for this architecture");
    return;
  }
  h.shared_ffn = keys.integer("expert_shared_feed_forward_length", count * h.expert_ffn);
}

// What differs between layers that slide and layers that see all, and what the last layers lack.
void read_layer_kinds(Keys& keys, Hyper& h) {
  const std::int64_t own = keys.integer("attention.key_length_swa", h.head_dim_k);
  if (keys.integer("attention.value_length_swa", own) != own) {
    keys.problem("attention.value_length_swa", "differs from key_length_swa, which is not known");
  }
  if (own != h.head_dim_k) h.window_head_dim = own;
  h.borrowed_kv_layers = keys.integer("attention.shared_kv_layers", 0);
  h.layer_embedding = keys.integer("embedding_length_per_layer_input", 0);
  h.kv_heads = h.heads;
  std::optional<std::int64_t> sliding;
  const std::vector<std::int64_t> heads = keys.per_layer("attention.head_count_kv", h.layers);
  for (std::size_t l = 0; l < heads.size(); ++l) {
    if (h.slides(static_cast<std::int64_t>(l))) {
      sliding = heads[l];
    } else {
      h.kv_heads = heads[l];
    }
  }
  if (sliding && *sliding != h.kv_heads) h.window_kv_heads = *sliding;
  const std::vector<std::int64_t> ffn = keys.per_layer("feed_forward_length", h.layers);
  if (ffn.empty()) return;
  (h.experts > 0 ? h.shared_ffn : h.ffn) = ffn.front();
  if (ffn.back() != ffn.front()) h.borrowed_ffn = ffn.back();
  for (std::size_t l = 0; l < std::max(heads.size(), ffn.size()); ++l) {
    const auto at = static_cast<std::int64_t>(l);
    if (l < heads.size() && heads[l] != h.kv_heads_of(at)) {
      keys.problem("attention.head_count_kv", "differs among layers of one kind");
      break;
    }
    if (l < ffn.size() && h.experts == 0 && ffn[l] != h.dense_ffn(at)) {
      keys.problem("feed_forward_length", "differs among layers of one kind");
      break;
    }
  }
}

// Convolutions are where the array of heads of keys and values holds a 0.
void read_convolutions(Keys& keys, Hyper& h) {
  for (const bool attends : keys.layers_with("attention.head_count_kv", h.layers)) {
    h.mixers += attends ? '*' : 'C';
  }
  h.ssm_conv = keys.integer("shortconv.l_cache", {});
  h.ssm_inner = h.hidden;
}

// Which mixer each block holds shows in the per-layer arrays: heads of keys and values,
// feed-forward width, neither (Mamba-2).
std::string read_pattern(Keys& keys, const Hyper& h) {
  const std::vector<bool> attends = keys.layers_with("attention.head_count_kv", h.layers);
  const std::vector<bool> feeds = keys.layers_with("feed_forward_length", h.layers);
  std::string pattern;
  for (std::size_t l = 0; l < attends.size(); ++l) {
    pattern += feeds[l] ? (h.experts > 0 ? 'E' : '-') : attends[l] ? '*' : 'M';
  }
  return pattern;
}

void read_recurrence(const Architecture& a, Keys& keys, Hyper& h) {
  h.ssm_conv = keys.integer("ssm.conv_kernel", {});
  h.ssm_inner = keys.integer("ssm.inner_size", {});
  h.ssm_state = keys.integer("ssm.state_size", {});
  h.ssm_heads = keys.integer("ssm.time_step_rank", {});
  h.ssm_groups = keys.integer("ssm.group_count", {});
  if (a.block == delta_block) {
    h.attention_interval = keys.integer("full_attention_interval", 4);
    return;
  }
  h.pattern = read_pattern(keys, h);
  h.expert_latent = keys.integer("moe_latent_size", 0);
}

// What the file says the scores of the router are; absent: as all models of the architecture have
// it, or softmax where there are both (files of DeepSeek-V2 do not say).
void read_router(const Architecture& a, Keys& keys, Hyper& h) {
  const std::int64_t gating = keys.integer("expert_gating_func", 0);
  h.router = a.router;
  if (a.any_router) {
    if (gating <= gating_code(RouterKind::SoftmaxAll)) h.router = RouterKind::SoftmaxAll;
    h.expert_groups = keys.integer("expert_group_count", 0);
    h.expert_groups_used = keys.integer("expert_group_used_count", h.expert_groups);
    if (h.expert_groups == 1) h.expert_groups = h.expert_groups_used = 0;
  }
  if (gating != 0 && gating != gating_code(h.router)) {
    keys.problem("expert_gating_func",
                 fmt::format("{} (1 softmax, 2 sigmoid, 3 softmax of the chosen) is not what {} "
                             "models use, {}",
                             gating, a.name, gating_code(a.router)));
  }
}

void read_experts(const Architecture& a, Keys& keys, Hyper& h) {
  h.experts =
      keys.integer("expert_count", a.experts == Need::Always ? std::optional<std::int64_t>{} : 0);
  if (h.experts == 0) return;
  h.experts_used = keys.integer("expert_used_count", {});
  // Without a width of its own: Mixtral and OLMoE keep an expert's width in feed_forward_length,
  // the others the width of all experts of a token together.
  const bool whole = a.expert_ffn_is_ffn || h.experts_used == 0;
  h.expert_ffn = keys.integer("expert_feed_forward_length", whole ? h.ffn : h.ffn / h.experts_used);
  h.dense_layers = keys.integer("leading_dense_block_count", 0);
  h.expert_interval = keys.integer("interleave_moe_layer_step", 0);
  read_shared_expert(a, keys, h);
  if (h.dense_layers == 0 && h.expert_interval <= 1) h.ffn = 0;
  read_router(a, keys, h);
  h.router_norm = keys.flag("expert_weights_norm", a.router_norm);
  h.router_scale = keys.real("expert_weights_scale", 1.0);
  if (h.router_scale == 0.0) h.router_scale = 1.0;  // 0 stands for "no scaling" in files
}

// Widths of latent attention and the scale of its scores: where YaRN stretches the context, it
// sharpens the scores instead of the rotated values (rope.scaling.yarn_log_multiplier,
// DeepSeek-V3).
void read_latent(Keys& keys, Hyper& h) {
  h.kv_rank = keys.integer("attention.kv_lora_rank", {});
  h.q_rank = keys.integer("attention.q_lora_rank", 0);
  if (!keys.has("attention.key_length_mla")) {
    keys.problem("attention.key_length_mla",
                 "is missing; files without it hold keys and values in one tensor per block, "
                 "blk.N.attn_kv_b.weight, which is not supported; convert the model again with a "
                 "current converter");
    return;
  }
  h.mla_key = keys.integer("attention.key_length_mla", {});
  h.mla_value = keys.integer("attention.value_length_mla", {});
  h.index_heads = keys.integer("attention.indexer.head_count", 0);
  h.index_width = keys.integer("attention.indexer.key_length", 0);
  derive_latent(keys.real("rope.scaling.yarn_log_multiplier", 0.0), h);
}

}  // namespace

std::int64_t gating_code(RouterKind kind) {
  switch (kind) {
    case RouterKind::SoftmaxAll:
      return 1;
    case RouterKind::SigmoidBias:
      return 2;
    case RouterKind::SoftmaxSelected:
      return 3;
    case RouterKind::None:
      return 0;
  }
  return 0;
}

void derive_latent(double yarn_log_multiplier, Hyper& h) {
  double sharpness = 1.0;
  if (h.yarn && yarn_log_multiplier != 0.0 && h.yarn_factor > 0) {
    sharpness = 1.0 + yarn_log_multiplier * std::log(h.yarn_factor);
    h.yarn_attn_factor /= 1.0 + 0.1 * std::log(h.yarn_factor);
  }
  if (h.mla_key > 0) {
    h.attention_scale = sharpness * sharpness / std::sqrt(static_cast<double>(h.mla_key));
  }
}

YarnText yarn_before_latent(const Hyper& h) {
  YarnText y{0, h.yarn_attn_factor};
  if (!h.yarn || h.mla_key == 0 || h.attention_scale <= 0 || h.yarn_factor <= 1) return y;
  const double sharpness = std::sqrt(h.attention_scale * std::sqrt(static_cast<double>(h.mla_key)));
  const double multiplier = (sharpness - 1) / std::log(h.yarn_factor);
  if (std::fabs(multiplier) < 1e-9) return y;  // rounding of a scale without one
  return {multiplier, h.yarn_attn_factor * (1.0 + 0.1 * std::log(h.yarn_factor))};
}

Hyper read_hyper(const Architecture& a, const GgufFile& file, std::vector<Diagnostic>& problems) {
  Keys keys(a, file, problems);
  Hyper h;
  if (a.block == mixer_block || a.block == convolution_block) keys.allow_zeros();
  h.layers = keys.integer("block_count", {});
  // Blocks of multi-token prediction come last and are not part of a step.
  h.mtp_layers = std::min(h.layers, keys.integer("nextn_predict_layers", 0));
  h.layers -= h.mtp_layers;
  h.hidden = keys.integer("embedding_length", {});
  h.context_train = keys.integer("context_length", {});
  const bool own_ffn = a.experts != Need::Always && a.block != gemma4_block;
  if (a.block != gemma4_block) {
    h.ffn = keys.integer("feed_forward_length",
                         own_ffn ? std::optional<std::int64_t>{} : std::optional<std::int64_t>(0));
  }
  read_attention(a, keys, h);
  if (a.rope != RopeKind::None) read_rope(keys, h);
  if (a.latent_attention) read_latent(keys, h);
  read_experts(a, keys, h);
  if (a.block == mixer_block || a.block == delta_block) read_recurrence(a, keys, h);
  if (a.block == convolution_block) read_convolutions(keys, h);
  if (a.runs) refuse_softcaps(keys);
  h.qk_norm = a.qk_norm;  // the caller knows whether tensors for it are there
  set_facts(a, h);
  read_window(a, keys, h);
  if (a.block == gemma4_block) read_layer_kinds(keys, h);
  return h;
}

}  // namespace bandwall
