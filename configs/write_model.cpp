// A model shape as text of the schema that load_model.cpp reads.
#include <fmt/format.h>

#include "configs/library.h"
#include "workload/architectures.h"
#include "workload/mix.h"

namespace bandwall {
namespace {

// Quotes and control bytes would end the text or the line.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += c == '"' || c == '\\' || byte < 0x20 || byte == 0x7f ? '_' : c;
  }
  return out + '"';
}

class Hypers {
 public:
  void number(std::string_view key, std::int64_t value, std::int64_t absent = 0) {
    if (value != absent) text_ += fmt::format("  {}: {}\n", key, value);
  }
  void always(std::string_view key, std::int64_t value) {
    text_ += fmt::format("  {}: {}\n", key, value);
  }
  void real(std::string_view key, double value, double absent) {
    if (value != absent) text_ += fmt::format("  {}: {}\n", key, value);
  }
  void flag(std::string_view key, bool value, bool absent) {
    if (value != absent) text_ += fmt::format("  {}: {}\n", key, value);
  }
  void line(std::string_view text) { text_ += fmt::format("  {}\n", text); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string yarn_text(const Hyper& h) {
  const YarnText yarn = yarn_before_latent(h);
  std::string text = fmt::format(
      "yarn: {{factor: {}, original_context: {}, beta_fast: {}, "
      "beta_slow: {}, attn_factor: {}",
      h.yarn_factor, h.yarn_original_context, h.yarn_beta_fast, h.yarn_beta_slow, yarn.attn_factor);
  if (yarn.log_multiplier != 0) text += fmt::format(", log_multiplier: {}", yarn.log_multiplier);
  return text + "}";
}

void attention_lines(const Hyper& h, Hypers& out) {
  out.always("heads", h.heads);
  out.always("kv_heads", h.kv_heads);
  out.always("head_dim_k", h.head_dim_k);
  out.always("head_dim_v", h.head_dim_v);
  out.flag("qk_norm", h.qk_norm == QkNorm::PerHead, false);
  out.number("window", h.window);
  out.number("window_period", h.window_period);
  out.number("window_head_dim", h.window_head_dim);
  out.number("window_kv_heads", h.window_kv_heads);
  out.flag("key_is_value", h.key_is_value, false);
  out.number("borrowed_kv_layers", h.borrowed_kv_layers);
  out.number("borrowed_ffn", h.borrowed_ffn);
  out.number("layer_embedding", h.layer_embedding);
  out.always("rope_dims", h.rope_dims);
  out.real("rope_base", h.rope_base, 10000.0);
  out.real("rope_scale", h.rope_scale, 1.0);
  if (h.yarn) out.line(yarn_text(h));
  out.number("kv_rank", h.kv_rank);
  out.number("q_rank", h.q_rank);
  out.number("mla_key", h.mla_key);
  out.number("mla_value", h.mla_value);
  out.number("index_heads", h.index_heads);
  out.number("index_width", h.index_width);
}

}  // namespace

std::string write_model_shape(const ModelShape& shape, std::string_view note) {
  const Hyper& h = shape.hyper;
  Hypers out;
  out.always("layers", h.layers);
  out.number("mtp_layers", h.mtp_layers);
  out.always("hidden", h.hidden);
  out.always("vocab", h.vocab);
  out.always("context_train", h.context_train);
  out.flag("tied_head", h.tied_head, false);
  out.real("rms_eps", h.rms_eps, 1e-5);
  attention_lines(h, out);
  out.number("ffn", h.ffn);
  out.number("experts", h.experts);
  out.number("dense_layers", h.dense_layers);
  out.number("expert_interval", h.expert_interval);
  out.number("experts_used", h.experts_used);
  out.number("expert_ffn", h.expert_ffn);
  out.number("shared_ffn", h.shared_ffn);
  out.number("expert_latent", h.expert_latent);
  out.number("expert_groups", h.expert_groups);
  out.number("expert_groups_used", h.expert_groups_used);
  out.flag("softmax_router", h.router == RouterKind::SoftmaxAll, false);
  out.flag("router_norm", h.router_norm, true);
  out.real("router_scale", h.router_scale, 1.0);
  if (!h.mixers.empty()) out.line("mixers: " + quoted(h.mixers));
  if (!h.pattern.empty()) out.line("pattern: " + quoted(h.pattern));
  out.number("attention_interval", h.attention_interval);
  out.number("ssm_inner", h.ssm_inner);
  out.number("ssm_state", h.ssm_state);
  out.number("ssm_heads", h.ssm_heads);
  out.number("ssm_groups", h.ssm_groups);
  out.number("ssm_conv", h.ssm_conv);
  return fmt::format(
      "schema: 1\nname: {}\narchitecture: {}\nparameters: {{value: {}, source: derived, note: "
      "{}}}\n"
      "hyper:\n  source: datasheet\n  note: {}\n{}default_mix: {}\n",
      quoted(shape.name), quoted(shape.architecture), shape.published_parameters,
      quoted("sum over the tensors of the shape"), quoted(note.empty() ? "not stated" : note),
      out.take(), find_mix(shape.default_mix) != nullptr ? shape.default_mix : "Q4_K_M");
}

}  // namespace bandwall
