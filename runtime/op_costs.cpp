#include "runtime/op_costs.h"

#include <algorithm>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/engine.h"
#include "runtime/synthetic_model.h"
#include "workload/architectures.h"
#include "workload/cost_key.h"

namespace bandwall {
namespace {

constexpr std::int64_t kPrompt = 64, kDecode = 32, kExperts = 8, kExpertsUsed = 2;

// Small enough for the caches, so that fixed costs are most of the time. One shape for each path
// that the engine has; a kind of op is taken from the first that has it. States are as wide as
// those of real models, so that work per byte of activations is theirs.
constexpr const char* kShapes[] = {"qwen3moe", "llama", "nemotron_h_moe", "qwen3next", "deepseek2"};

Hyper small_shape(const std::string& architecture) {
  const Architecture* a = find_architecture(architecture);
  BANDWALL_CHECK(a != nullptr);
  Hyper h;
  h.layers = 4;
  h.hidden = 256;
  h.vocab = 512;
  h.context_train = 4096;
  h.heads = 4;
  h.kv_heads = 2;
  h.head_dim_k = h.head_dim_v = h.rope_dims = 64;
  if (a->experts == Need::Always) {
    h.experts = kExperts;
    h.experts_used = kExpertsUsed;
    h.expert_ffn = 256;
  } else {
    h.ffn = 512;
  }
  if (a->shared_expert) h.shared_ffn = 512;
  if (architecture == "nemotron_h_moe" || architecture == "qwen3next") {
    const bool delta = architecture == "qwen3next";
    h.ssm_state = 128;
    h.ssm_inner = 1024;
    h.ssm_heads = delta ? 8 : 16;
    h.ssm_groups = 4;
    h.ssm_conv = 4;
    if (delta) h.attention_interval = 4;
    if (!delta) h.pattern = "ME*M";
    if (!delta) h.rope_dims = 0;
  }
  if (a->latent_attention) {
    h.kv_heads = 1;
    h.kv_rank = h.head_dim_v = h.q_rank = 256;
    h.head_dim_k = h.kv_rank + h.rope_dims;
    h.mla_key = 192;
    h.mla_value = 128;
  }
  set_facts(*a, h);
  return h;
}

struct KindSamples {
  Series decode, prompt;
  LedgerRow decode_row, prompt_row;  // of one call
};
using Kinds = std::map<OpKind, KindSamples>;

LedgerRow per_call(const LedgerRow& row) {
  const double calls = static_cast<double>(std::max<std::int64_t>(1, row.calls));
  LedgerRow one;
  one.calls = 1;
  one.traffic.weights = row.traffic.weights / calls;
  one.traffic.activations = row.traffic.activations / calls;
  one.traffic.kv_read = row.traffic.kv_read / calls;
  one.traffic.state = row.traffic.state / calls;
  one.flops = row.flops / calls;
  one.time = row.time / calls;
  return one;
}

void sample(Engine& engine, Kinds& kinds, Series& residual) {
  engine.reset();
  std::vector<std::int32_t> prompt(static_cast<std::size_t>(kPrompt));
  for (std::size_t i = 0; i < prompt.size(); ++i)
    prompt[i] = static_cast<std::int32_t>(i * 7 % 512);
  Meter prefill;
  engine.evaluate(prompt, Outputs::Last, &prefill);
  for (std::int64_t i = 0; i < kDecode; ++i) {
    const std::int32_t token = static_cast<std::int32_t>(i * 13 % 512);
    Meter decode;
    engine.evaluate({&token, 1}, Outputs::Last, &decode);
    // One sample per token: a median over tokens forgets those that the host disturbed.
    for (const auto& [kind, row] : decode.ledger.by_kind()) {
      kinds[kind].decode_row = per_call(row);
      kinds[kind].decode.add(kinds[kind].decode_row.time.value());
    }
    residual.add(decode.ledger.residual().value());
  }
  for (const auto& [kind, row] : prefill.ledger.by_kind()) {
    kinds[kind].prompt_row = per_call(row);
    kinds[kind].prompt.add(kinds[kind].prompt_row.time.value());
  }
}

const RateCurve* curve_for(const Backend& backend, const char* format, int threads) {
  const auto it = backend.stream_curves.find(format);
  if (it == backend.stream_curves.end()) return nullptr;
  for (const RateCurve& curve : it->second) {
    if (curve.threads == threads) return &curve;
  }
  return it->second.empty() ? nullptr : &it->second.back();
}

// What streams and products explain of an op; the model's matrices are Q8_0 (routers F32).
class Explained {
 public:
  Explained(const Backend& backend, int threads, double model_bytes)
      : backend_(backend), threads_(threads), bytes_(model_bytes) {}
  double stream(OpKind kind, const LedgerRow& row) const {
    const bool plain = kind == OpKind::Router || kind == OpKind::Ssm;
    return seconds(plain ? "F32" : "Q8_0", row.traffic.weights) + seconds("F32", row.traffic.state);
  }
  double products(OpKind kind, const LedgerRow& row, double rows) const {
    if (!(rows > 1) || !multiplies(kind)) return 0;
    const auto it = backend_.gemm.find(kind == OpKind::Router ? "F32" : "Q8_0");
    if (it == backend_.gemm.end()) return 0;
    const GemmRate& g = it->second.value;
    return row.flops * ((rows - 1) / rows) / (g.at(rows)) / Seconds(1);
  }
  static bool multiplies(OpKind kind) {
    return kind == OpKind::QkvProj || kind == OpKind::AttnOut || kind == OpKind::Router ||
           kind == OpKind::Experts || kind == OpKind::DenseFfn || kind == OpKind::SharedExpert ||
           kind == OpKind::SsmIn || kind == OpKind::SsmOut;
  }

 private:
  double seconds(const char* format, Bytes moved) const {
    const RateCurve* curve = curve_for(backend_, format, threads_);
    return curve == nullptr ? 0 : moved / curve->at(Bytes(bytes_)) / Seconds(1);
  }

  const Backend& backend_;
  int threads_;
  double bytes_;
};

}  // namespace

OpCosts::OpCosts(int threads, OpCostEffort effort) : threads_(threads) {
  const int rounds = effort == OpCostEffort::Quick ? 9 : 31;
  for (const std::string shape : kShapes) {
    const SyntheticModel file =
        synthetic_model(uniform_spec(shape, small_shape(shape), Format::Q8_0), {});
    const LoadedModel model = LoadedModel::from_memory(file.bytes(), "probe");
    EngineOptions options;
    options.context = 256;
    options.n_ubatch = kPrompt;
    options.threads = threads;
    Engine engine(model, options);
    Kinds warm_up, kinds;
    Series ignored;
    sample(engine, warm_up, ignored);
    for (int i = 0; i < rounds; ++i) sample(engine, kinds, residual_);
    const double bytes = static_cast<double>(model.spec().weight_bytes());
    for (const auto& [kind, s] : kinds) {
      kinds_.emplace(cost_key(model.spec().hyper, kind),
                     Kind{kind, bytes, s.decode, s.prompt, s.decode_row, s.prompt_row});
    }
  }
}

void OpCosts::add_fixed(Backend& backend) const {
  for (const auto& [key, k] : kinds_) {
    const Explained explained(backend, threads_, k.model_bytes);
    const double left = k.decode.median() - explained.stream(k.kind, k.decode_row);
    backend.op_seconds[key] = {
        Seconds(std::max(0.0, left)),
        {Source::Kind::Measured,
         fmt::format("engine on a small model, median, spread {:.0f} %", 100 * k.decode.spread())}};
  }
  backend.step_seconds = {Seconds(residual_.median()),
                          {Source::Kind::Measured, "wall time of a step outside its ops"}};
}

void OpCosts::add_elementwise(Backend& backend) const {
  for (const auto& [key, k] : kinds_) {
    if (backend.activation_stream.count(key) != 0) continue;
    const Explained explained(backend, threads_, k.model_bytes);
    const double more =
        (k.prompt_row.traffic.activations - k.decode_row.traffic.activations).value();
    // Attention of many positions has a rate of its own; head and output norm saw one row in both.
    if (k.kind == OpKind::Attention || !(more > 0)) continue;
    const double rows =
        static_cast<double>(kPrompt) *
        (k.kind == OpKind::Experts ? static_cast<double>(kExpertsUsed) / kExperts : 1.0);
    const double decode = k.decode.median() - explained.stream(k.kind, k.decode_row);
    const double prompt = k.prompt.median() - explained.stream(k.kind, k.prompt_row) -
                          explained.products(k.kind, k.prompt_row, rows);
    if (!(prompt > decode)) continue;  // products explain it all
    backend.activation_stream[key] = {
        BytesPerSecond(more / (prompt - decode)),
        {Source::Kind::Measured,
         fmt::format("engine on a small model, {} rows against 1", kPrompt)}};
  }
}

}  // namespace bandwall
