#include <fmt/format.h>

#include <algorithm>

#include "configs/load.h"
#include "workload/architectures.h"
#include "workload/format.h"

namespace bandwall {
namespace {

constexpr std::int64_t kMostLayers = 1024, kMostWidth = 1 << 20, kMostContext = 1 << 27;
constexpr std::int64_t kMostExperts = 1 << 14;

std::int64_t or_none(Reader& r, std::string_view key, std::int64_t high) {
  return r.optional_integer(key, 0, high).value_or(0);
}

void read_attention(Reader& r, Hyper& h) {
  h.heads = r.integer("heads", 1, 1 << 14);
  h.kv_heads = r.integer("kv_heads", 1, 1 << 14);
  h.head_dim_k = r.integer("head_dim_k", 1, 1 << 13);
  h.head_dim_v = r.integer("head_dim_v", 1, 1 << 13);
  if (r.flag("qk_norm", false)) h.qk_norm = QkNorm::PerHead;  // where models of a kind differ
  h.window = or_none(r, "window", kMostContext);
  h.window_period = or_none(r, "window_period", kMostLayers);
  h.window_head_dim = or_none(r, "window_head_dim", 1 << 13);
  h.window_kv_heads = or_none(r, "window_kv_heads", 1 << 14);
  h.key_is_value = r.flag("key_is_value", false);
  h.borrowed_kv_layers = or_none(r, "borrowed_kv_layers", kMostLayers);
  h.borrowed_ffn = or_none(r, "borrowed_ffn", kMostWidth);
  h.layer_embedding = or_none(r, "layer_embedding", 1 << 13);
  if (h.heads % std::max<std::int64_t>(1, h.kv_heads) != 0) {
    r.problem("kv_heads", fmt::format("{} does not divide heads, {}", h.kv_heads, h.heads));
  }
}

// Returns YaRN's logarithmic multiplier of scores, 0 when there is none.
double read_rope(Reader& r, Hyper& h) {
  h.rope_dims = r.integer("rope_dims", 0, 1 << 13);
  h.rope_base = r.optional_number("rope_base", 1, 1e12).value_or(h.rope_base);
  h.rope_scale = r.optional_number("rope_scale", 1e-3, 1e6).value_or(h.rope_scale);
  auto yarn = r.optional_child("yarn");
  if (!yarn) return 0.0;
  h.yarn = true;
  h.yarn_factor = yarn->number("factor", 1, 1e6);
  h.yarn_original_context = yarn->integer("original_context", 1, kMostContext);
  h.yarn_beta_fast = yarn->optional_number("beta_fast", 1e-3, 1e6).value_or(h.yarn_beta_fast);
  h.yarn_beta_slow = yarn->optional_number("beta_slow", 1e-3, 1e6).value_or(h.yarn_beta_slow);
  h.yarn_attn_factor = yarn->optional_number("attn_factor", 1e-3, 1e3).value_or(1.0);
  return yarn->optional_number("log_multiplier", 0, 1e3).value_or(0.0);
}

// Latent attention: kv_rank, and the widths of a head outside the latent space.
void read_latent(Reader& r, double yarn_log_multiplier, Hyper& h) {
  h.kv_rank = or_none(r, "kv_rank", 1 << 13);
  if (h.kv_rank == 0) return;
  h.q_rank = or_none(r, "q_rank", kMostWidth);
  h.mla_key = r.integer("mla_key", 1, 1 << 13);
  h.mla_value = r.integer("mla_value", 1, 1 << 13);
  h.index_heads = or_none(r, "index_heads", 1 << 13);
  h.index_width = or_none(r, "index_width", 1 << 13);
  derive_latent(yarn_log_multiplier, h);
}

void read_experts(Reader& r, Hyper& h) {
  h.ffn = or_none(r, "ffn", kMostWidth);
  h.experts = or_none(r, "experts", kMostExperts);
  h.dense_layers = or_none(r, "dense_layers", kMostLayers);
  h.expert_interval = or_none(r, "expert_interval", kMostLayers);
  h.experts_used = or_none(r, "experts_used", kMostExperts);
  h.expert_ffn = or_none(r, "expert_ffn", kMostWidth);
  h.shared_ffn = or_none(r, "shared_ffn", kMostWidth);
  h.expert_latent = or_none(r, "expert_latent", kMostWidth);
  h.expert_groups = or_none(r, "expert_groups", kMostExperts);
  h.expert_groups_used = or_none(r, "expert_groups_used", kMostExperts);
  if (r.flag("softmax_router", false)) h.router = RouterKind::SoftmaxAll;  // where models differ
  h.router_norm = r.flag("router_norm", true);
  h.router_scale = r.optional_number("router_scale", 1e-6, 1e6).value_or(1.0);
  if (h.experts == 0 && h.ffn == 0) r.problem("ffn", "missing; the model has no experts either");
  if (h.experts > 0 && (h.experts_used < 1 || h.experts_used > h.experts)) {
    r.problem("experts_used", fmt::format("{} is outside 1..{}", h.experts_used, h.experts));
  }
  if (h.experts > 0 && h.expert_ffn < 1) r.problem("expert_ffn", "missing");
  if (h.dense_layers > h.layers) r.problem("dense_layers", "more than layers");
}

void read_hybrid(Reader& r, Hyper& h) {
  if (const auto mixers = r.optional_text("mixers")) {
    h.mixers = *mixers;
    h.ssm_inner = r.integer("ssm_inner", 1, kMostWidth);
    h.ssm_conv = r.integer("ssm_conv", 1, 1024);
    if (static_cast<std::int64_t>(mixers->size()) != h.layers) {
      r.problem("mixers", fmt::format("has {} letters for {} layers", mixers->size(), h.layers));
    }
    return;
  }
  const auto pattern = r.optional_text("pattern");
  h.attention_interval = or_none(r, "attention_interval", kMostLayers);
  if (!pattern && h.attention_interval == 0) return;
  if (pattern) {
    h.pattern = *pattern;
    if (pattern->find_first_not_of("ME*-") != std::string::npos) {
      r.problem("pattern", "may hold M (Mamba-2), E (experts), * (attention), - (dense) only");
    }
    if (static_cast<std::int64_t>(pattern->size()) != h.layers) {
      r.problem("pattern", fmt::format("has {} letters for {} layers", pattern->size(), h.layers));
    }
  }
  h.ssm_inner = r.integer("ssm_inner", 1, kMostWidth);
  h.ssm_state = r.integer("ssm_state", 1, kMostWidth);
  h.ssm_heads = r.integer("ssm_heads", 1, kMostWidth);
  h.ssm_groups = r.integer("ssm_groups", 1, kMostWidth);
  h.ssm_conv = r.integer("ssm_conv", 1, 1024);
}

Hyper read_hyper(Reader r) {
  Hyper h;
  r.source();
  h.layers = r.integer("layers", 1, kMostLayers);
  h.mtp_layers = or_none(r, "mtp_layers", kMostLayers);
  h.hidden = r.integer("hidden", 1, kMostWidth);
  h.vocab = r.integer("vocab", 1, 1 << 24);
  h.context_train = r.integer("context_train", 1, kMostContext);
  h.tied_head = r.flag("tied_head", false);
  h.rms_eps = r.optional_number("rms_eps", 0, 1).value_or(h.rms_eps);
  read_attention(r, h);
  read_latent(r, read_rope(r, h), h);
  read_experts(r, h);
  read_hybrid(r, h);
  return h;
}

Format read_format(Reader& r, std::string_view key, Format absent) {
  const auto text = r.optional_text(key);
  if (!text) return absent;
  if (const auto format = format_from_name(*text)) return *format;
  std::vector<std::string> names;
  for (const FormatInfo& f : all_formats()) names.emplace_back(f.name);
  check_key(r, key, *text, names);
  return absent;
}

PublishedMix read_mix(Reader& r) {
  PublishedMix mix;
  mix.name = r.text("name");
  mix.note = r.source().note;
  if (const auto file = r.optional_figure<Bytes>("file")) {
    mix.file_bytes = file->value.count();
    if (mix.file_bytes < 1) r.problem("file", "a published size is above zero; leave it out");
  }
  mix.attention = read_format(r, "attention", mix.attention);
  mix.tables = read_format(r, "tables", mix.tables);
  mix.experts = read_format(r, "experts", mix.experts);
  mix.rest = read_format(r, "rest", mix.rest);
  for (Reader& o : r.children("overrides")) {
    mix.overrides.push_back({o.text("tensors"), read_format(o, "format", Format::F32)});
  }
  mix.alias_warning = r.optional_text("alias_warning").value_or("");
  return mix;
}

}  // namespace

ModelShape read_model_shape(Reader& r) {
  ModelShape shape;
  shape.name = r.text("name");
  shape.architecture = r.text("architecture");
  shape.aliases = r.texts("aliases");
  if (const auto parameters = r.optional_figure<double>("parameters")) {
    shape.published_parameters = static_cast<std::int64_t>(parameters->value);
  }
  shape.hyper = read_hyper(r.child("hyper"));
  for (Reader& mix : r.children("published")) shape.published.push_back(read_mix(mix));
  shape.default_mix = r.text("default_mix");
  std::vector<std::string> mixes = known_mixes();
  for (const PublishedMix& mix : shape.published) mixes.push_back(mix.name);
  if (!shape.default_mix.empty()) check_key(r, "default_mix", shape.default_mix, mixes);
  return shape;
}

}  // namespace bandwall
