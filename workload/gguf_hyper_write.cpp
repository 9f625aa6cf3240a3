// Hyper-parameters into metadata: the inverse of gguf_hyper.cpp, key by key.
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "workload/architectures_detail.h"
#include "workload/gguf_header.h"

namespace bandwall {
namespace {

class Writer {
 public:
  Writer(const Architecture& a, GgufHeader& header) : prefix_(a.name), header_(header) {}
  void number(std::string_view key, std::int64_t value) { header_.number(full(key), value); }
  void real(std::string_view key, double value) { header_.real(full(key), value); }
  void flag(std::string_view key, bool value) { header_.flag(full(key), value); }
  void text(std::string_view key, std::string_view value) { header_.text(full(key), value); }
  void numbers(std::string_view key, const std::vector<std::int64_t>& values) {
    header_.numbers(full(key), values);
  }

 private:
  std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  std::string_view prefix_;
  GgufHeader& header_;
};

void write_latent(const Hyper& h, Writer& keys) {
  keys.number("attention.kv_lora_rank", h.kv_rank);
  if (h.q_rank > 0) keys.number("attention.q_lora_rank", h.q_rank);
  keys.number("attention.key_length_mla", h.mla_key);
  keys.number("attention.value_length_mla", h.mla_value);
  if (h.index_heads > 0) {
    keys.number("attention.indexer.head_count", h.index_heads);
    keys.number("attention.indexer.key_length", h.index_width);
  }
}

void write_rope(const Hyper& h, Writer& keys) {
  keys.number("rope.dimension_count", h.rope_dims);
  keys.real("rope.freq_base", h.rope_base);
  if (h.yarn) {
    keys.text("rope.scaling.type", "yarn");
    keys.real("rope.scaling.factor", h.yarn_factor);
    keys.number("rope.scaling.original_context_length", h.yarn_original_context);
    const YarnText yarn = yarn_before_latent(h);
    keys.real("rope.scaling.attn_factor", yarn.attn_factor);
    if (yarn.log_multiplier != 0) {
      keys.real("rope.scaling.yarn_log_multiplier", yarn.log_multiplier);
    }
    keys.real("rope.scaling.yarn_beta_fast", h.yarn_beta_fast);
    keys.real("rope.scaling.yarn_beta_slow", h.yarn_beta_slow);
  } else if (h.rope_scale != 1.0) {
    keys.text("rope.scaling.type", "linear");
    keys.real("rope.scaling.factor", h.rope_scale);
  }
}

void write_experts(const Architecture& a, const Hyper& h, Writer& keys) {
  keys.number("expert_count", h.experts);
  keys.number("expert_used_count", h.experts_used);
  keys.number("expert_feed_forward_length", h.expert_ffn);
  if (h.dense_layers > 0) keys.number("leading_dense_block_count", h.dense_layers);
  if (h.shared_ffn > 0 && a.shared_expert) {  // stored as one, as wide as all of them
    keys.number("expert_shared_count", std::max<std::int64_t>(1, h.shared_ffn / h.expert_ffn));
    keys.number("expert_shared_feed_forward_length", h.shared_ffn);
  }
  if (h.expert_groups > 1) {
    keys.number("expert_group_count", h.expert_groups);
    keys.number("expert_group_used_count", h.expert_groups_used);
  }
  if (h.expert_interval > 1) keys.number("interleave_moe_layer_step", h.expert_interval);
  keys.number("expert_gating_func", gating_code(h.router));
  keys.flag("expert_weights_norm", h.router_norm);
  if (h.router_scale != 1.0) keys.real("expert_weights_scale", h.router_scale);
}

// Per layer: the value where the block holds such a part, else 0.
std::vector<std::int64_t> where(std::string_view blocks, std::string_view letters,
                                std::int64_t value) {
  std::vector<std::int64_t> values;
  for (const char c : blocks) {
    values.push_back(letters.find(c) != std::string_view::npos ? value : 0);
  }
  return values;
}

// By the kind of each layer: keys and values, feed-forward width.
void write_layer_kinds(const Hyper& h, Writer& keys) {
  std::vector<std::int64_t> heads, ffn;
  for (std::int64_t l = 0; l < h.layers; ++l) {
    heads.push_back(h.kv_heads_of(l));
    ffn.push_back(h.experts > 0 ? h.shared_ffn : h.dense_ffn(l));
  }
  keys.numbers("attention.head_count_kv", heads);
  keys.numbers("feed_forward_length", ffn);
  keys.number("attention.key_length_swa", h.key_dim(0));
  keys.number("attention.value_length_swa", h.value_dim(0));
  keys.number("attention.shared_kv_layers", h.borrowed_kv_layers);
  keys.number("embedding_length_per_layer_input", h.layer_embedding);
}

void write_recurrence(const Hyper& h, Writer& keys) {
  keys.number("ssm.conv_kernel", h.ssm_conv);
  keys.number("ssm.inner_size", h.ssm_inner);
  keys.number("ssm.state_size", h.ssm_state);
  keys.number("ssm.time_step_rank", h.ssm_heads);
  keys.number("ssm.group_count", h.ssm_groups);
  if (h.attention_interval > 0) keys.number("full_attention_interval", h.attention_interval);
  if (h.expert_latent > 0) keys.number("moe_latent_size", h.expert_latent);
}

void write_widths(const Architecture& a, const Hyper& h, Writer& keys) {
  if (a.block == architectures::gemma4_block) return write_layer_kinds(h, keys);
  const std::int64_t ffn = h.ffn > 0 ? h.ffn : h.expert_ffn;
  if (h.pattern.empty()) {
    keys.number("feed_forward_length", ffn);
  } else {
    keys.numbers("feed_forward_length", where(h.pattern, "E-", ffn));
  }
  const std::string& blocks = h.mixers.empty() ? h.pattern : h.mixers;
  if (blocks.empty()) {
    keys.number("attention.head_count_kv", h.kv_heads);
  } else {
    keys.numbers("attention.head_count_kv", where(blocks, "*", h.kv_heads));
  }
}

}  // namespace

void write_hyper(const Architecture& a, const Hyper& h, GgufHeader& header) {
  Writer keys(a, header);
  keys.number("block_count", h.layers + h.mtp_layers);
  if (h.mtp_layers > 0) keys.number("nextn_predict_layers", h.mtp_layers);
  keys.number("context_length", h.context_train);
  keys.number("embedding_length", h.hidden);
  keys.number("attention.head_count", h.heads);
  write_widths(a, h, keys);
  keys.number("attention.key_length", h.head_dim_k);
  keys.number("attention.value_length", h.head_dim_v);
  keys.real("attention.layer_norm_rms_epsilon", h.rms_eps);
  if (h.window > 0) keys.number("attention.sliding_window", h.window);
  if (h.window_period != a.window_period) {
    keys.number("attention.sliding_window_pattern", h.window_period);
  }
  if (h.rope_base_sliding != 0) keys.real("rope.freq_base_swa", h.rope_base_sliding);
  if (h.rope != RopeKind::None) write_rope(h, keys);
  if (h.kv_rank > 0) write_latent(h, keys);
  if (h.experts > 0) write_experts(a, h, keys);
  if (!h.mixers.empty()) {
    keys.number("shortconv.l_cache", h.ssm_conv);
  } else if (h.ssm_inner > 0) {
    write_recurrence(h, keys);
  }
}

}  // namespace bandwall
