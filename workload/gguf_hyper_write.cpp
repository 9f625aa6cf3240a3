// Hyper-parameters into metadata: the inverse of gguf_hyper.cpp, key by key.
#include <algorithm>

#include <fmt/format.h>

#include "workload/architectures.h"
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

 private:
  std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  std::string_view prefix_;
  GgufHeader& header_;
};

void write_rope(const Hyper& h, Writer& keys) {
  keys.number("rope.dimension_count", h.rope_dims);
  keys.real("rope.freq_base", h.rope_base);
  if (h.yarn) {
    keys.text("rope.scaling.type", "yarn");
    keys.real("rope.scaling.factor", h.yarn_factor);
    keys.number("rope.scaling.original_context_length", h.yarn_original_context);
    keys.real("rope.scaling.attn_factor", h.yarn_attn_factor);
    keys.real("rope.scaling.yarn_beta_fast", h.yarn_beta_fast);
    keys.real("rope.scaling.yarn_beta_slow", h.yarn_beta_slow);
  } else if (h.rope_scale != 1.0) {
    keys.text("rope.scaling.type", "linear");
    keys.real("rope.scaling.factor", h.rope_scale);
  }
}

void write_experts(const Hyper& h, Writer& keys) {
  keys.number("expert_count", h.experts);
  keys.number("expert_used_count", h.experts_used);
  keys.number("expert_feed_forward_length", h.expert_ffn);
  if (h.dense_layers > 0) keys.number("leading_dense_block_count", h.dense_layers);
  if (h.shared_ffn > 0) {  // stored as one, as wide as all of them
    keys.number("expert_shared_count", std::max<std::int64_t>(1, h.shared_ffn / h.expert_ffn));
    keys.number("expert_shared_feed_forward_length", h.shared_ffn);
  }
  keys.number("expert_gating_func", gating_code(h.router));
  keys.flag("expert_weights_norm", h.router_norm);
  if (h.router_scale != 1.0) keys.real("expert_weights_scale", h.router_scale);
}

}  // namespace

void write_hyper(const Architecture& a, const Hyper& h, GgufHeader& header) {
  Writer keys(a, header);
  keys.number("block_count", h.layers + h.mtp_layers);
  if (h.mtp_layers > 0) keys.number("nextn_predict_layers", h.mtp_layers);
  keys.number("context_length", h.context_train);
  keys.number("embedding_length", h.hidden);
  keys.number("feed_forward_length", h.ffn > 0 ? h.ffn : h.expert_ffn);
  keys.number("attention.head_count", h.heads);
  keys.number("attention.head_count_kv", h.kv_heads);
  keys.number("attention.key_length", h.head_dim_k);
  keys.number("attention.value_length", h.head_dim_v);
  keys.real("attention.layer_norm_rms_epsilon", h.rms_eps);
  if (h.window > 0) keys.number("attention.sliding_window", h.window);
  if (h.window_period != a.window_period) {
    keys.number("attention.sliding_window_pattern", h.window_period);
  }
  if (h.rope_base_sliding != 0) keys.real("rope.freq_base_swa", h.rope_base_sliding);
  write_rope(h, keys);
  if (h.experts > 0) write_experts(h, keys);
}

}  // namespace bandwall
