// Ranges of hyper-parameters, and what they must have to do with each other.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "workload/architectures_detail.h"

namespace bandwall {

using architectures::convolution_block;
using architectures::delta_block;
using architectures::gemma4_block;
using architectures::mixer_block;

namespace {

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

void check_convolutions(const Hyper& h, Checker& check) {
  check.require(static_cast<std::int64_t>(h.mixers.size()) == h.layers &&
                    h.mixers.find_first_not_of("C*") == std::string::npos,
                fmt::format("the mixers of {} blocks must be as many letters C or *, not '{}'",
                            h.layers, h.mixers.substr(0, 80)));
  check.range("shortconv.l_cache", h.ssm_conv, 2, 256);
  check.range("channels of a short convolution", h.ssm_inner, 1, kMaxWidth);
  check.require(h.ssm_state == 0 && h.ssm_heads == 0 && h.ssm_groups == 0,
                "short convolutions keep no state but their last inputs");
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

// Heads, layers and widths that only some layers have.
void check_layer_kinds(const Architecture& a, const Hyper& h, Checker& check) {
  const bool own = h.window_head_dim > 0 || h.window_kv_heads > 0;
  check.require(a.block == gemma4_block || (!own && h.borrowed_kv_layers == 0 &&
                                            h.layer_embedding == 0 && !h.key_is_value),
                fmt::format("{} models have the same heads in all layers, and keys and values in "
                            "each",
                            a.name));
  check.range("attention.key_length_swa", h.window_head_dim, 0, kMaxHeadDim);
  check.range("attention.head_count_kv of layers that slide", h.window_kv_heads, 0,
              std::max<std::int64_t>(h.heads, 1));
  check.require(h.window_kv_heads < 1 || h.heads % h.window_kv_heads == 0,
                fmt::format("attention.head_count {} is not divisible by head_count_kv {} of "
                            "layers that slide",
                            h.heads, h.window_kv_heads));
  // Of the layers that write cells, each kind must be there for the others to borrow from.
  const std::int64_t period = std::max<std::int64_t>(1, h.window_period);
  check.range("attention.shared_kv_layers", h.borrowed_kv_layers, 0,
              std::max<std::int64_t>(0, h.layers - period));
  check.range("feed_forward_length of layers without keys", h.borrowed_ffn, 0, kMaxWidth);
  check.range("embedding_length_per_layer_input", h.layer_embedding, 0, 1 << 13);
  check.range("interleave_moe_layer_step", h.expert_interval, 0,
              std::max<std::int64_t>(1, h.layers));
}

}  // namespace

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
  check_layer_kinds(a, h, check);
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
  if (h.pattern.empty() && (!has_experts || h.dense_layers > 0 || h.expert_interval > 1)) {
    check.range("feed_forward_length", h.ffn, 1, kMaxWidth);
  }
  check.require(h.pattern.empty() || a.block == mixer_block,
                fmt::format("{} models have no block pattern", a.name));
  check.require(a.block == convolution_block || h.mixers.empty(),
                fmt::format("{} models have no short convolutions", a.name));
  if (a.block == convolution_block) check_convolutions(h, check);
  check.require(h.attention_interval == 0 || a.block == delta_block,
                fmt::format("{} models have no full_attention_interval", a.name));
  if (a.block == mixer_block || a.block == delta_block) check_hybrid(a, h, check);
  if (a.latent_attention) check_latent(h, check);
  check.require(a.latent_attention || h.kv_rank == 0,
                fmt::format("{} models have no attention.kv_lora_rank", a.name));
  check_rope(h, check);
}

}  // namespace bandwall
