#include "runtime/engine_probe.h"

#include <algorithm>
#include <cmath>

#include "hwmodel/error.h"
#include "runtime/host.h"
#include "runtime/synthetic_model.h"
#include "workload/architectures.h"

namespace bandwall {
namespace {

LedgerRow divided(const LedgerRow& row, double by) {
  LedgerRow one;
  one.calls = 1;
  one.traffic.weights = row.traffic.weights / by;
  one.traffic.activations = row.traffic.activations / by;
  one.traffic.kv_read = row.traffic.kv_read / by;
  one.traffic.kv_written = row.traffic.kv_written / by;
  one.traffic.state = row.traffic.state / by;
  one.flops = row.flops / by;
  one.time = row.time / by;
  return one;
}

double distinct_of(const Meter& meter, int layer) {
  const auto& all = meter.steps.back().routing.distinct_experts;
  return layer >= 0 && static_cast<std::size_t>(layer) < all.size()
             ? all[static_cast<std::size_t>(layer)]
             : 0;
}

// Rows that the vocabulary needs so that the head takes about `bytes`.
std::int64_t vocab_of(double bytes, std::int64_t hidden, Format format) {
  const double row = static_cast<double>(row_bytes(format, hidden));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(bytes / row), 512, 1 << 20) / 32 * 32;
}

constexpr std::int64_t kContext = 16384;

}  // namespace

ProbeModel::ProbeModel(const ModelSpec& spec) {
  SyntheticModel file = synthetic_model(spec, {}, Pages::Huge);
  memory_ = std::move(file.memory);
  model_ = std::make_unique<LoadedModel>(
      LoadedModel::from_memory({memory_->data(), file.size}, "probe"));
}

EngineProbe::EngineProbe(const LoadedModel& model, EngineOptions options, ReadProbe& read)
    : model_(model), engine_(model, options), read_(read) {
  std::uint64_t state = 1;
  for (int i = 0; i < 16384; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    tokens_.push_back(static_cast<std::int32_t>(
        (state >> 33) % static_cast<std::uint64_t>(model.spec().hyper.vocab)));
  }
  engine_.evaluate(some_tokens(1), Outputs::Last);  // buffers and first touches
  engine_.reset();
}

std::span<const std::int32_t> EngineProbe::some_tokens(std::int64_t n) {
  const auto count = static_cast<std::size_t>(n);
  BANDWALL_CHECK(count <= tokens_.size());
  if (next_ + count > tokens_.size()) next_ = 0;
  next_ += count;
  return std::span(tokens_).subspan(next_ - count, count);
}

void EngineProbe::go_to(std::int64_t depth) {
  if (engine_.position() > depth && engine_.can_rewind(depth)) return engine_.rewind(depth);
  if (engine_.position() > depth) engine_.reset();
  const std::int64_t more = depth - engine_.position();
  if (more > 0) engine_.evaluate(some_tokens(more), Outputs::None);
}

PlainReading EngineProbe::reading() {
  PlainReading r = read_.sample();
  if (!(r.pages > BytesPerSecond(0))) r.pages = r.memory;
  return r;
}

StepSample EngineProbe::sample(std::span<const std::int32_t> tokens, std::int64_t depth) {
  // A step that lost its processor, or beside which reading changed, is done again.
  constexpr int kTries = 3;
  constexpr double kMostDrift = 0.10;
  Meter best;
  PlainReading beside;
  double least = 0;
  for (int i = 0; i < kTries; ++i) {
    go_to(depth);
    const PlainReading before = i == 0 && read_before_ ? *read_before_ : reading();
    const HostWatch watch;
    Meter meter;
    engine_.evaluate(tokens, Outputs::Last, &meter);
    const double switches = watch.switches();
    const PlainReading after = reading();
    read_before_ = after;
    const double drift = std::fabs(after.pages / before.pages - 1);
    const double unrest = switches + (drift > kMostDrift ? drift / kMostDrift : 0);
    if (i == 0 || unrest < least) {
      best = std::move(meter);
      beside = {(before.memory + after.memory) / 2.0, (before.pages + after.pages) / 2.0};
      least = unrest;
    }
    if (!(least > 0)) break;
  }
  const bool decode = tokens.size() == 1;
  StepSample out;
  std::map<OpKind, LedgerRow> sums;
  for (const auto& [key, row] : best.ledger.rows) {
    OpSample& op = out[key.kind];
    LedgerRow& sum = sums[key.kind];
    if (!decode && sum.calls > 0) continue;  // rows are in order of layers: the first is kept
    sum.calls += row.calls;
    sum.traffic += row.traffic;
    sum.flops += row.flops;
    sum.time += row.time;
    op.distinct = distinct_of(best, key.layer);
    op.read = beside.pages.value();
    op.memory = beside.memory.value();
  }
  for (auto& [kind, op] : out) op.row = divided(sums[kind], static_cast<double>(sums[kind].calls));
  return out;
}

StepSample EngineProbe::decode(std::int64_t depth) { return sample(some_tokens(1), depth); }

StepSample EngineProbe::prompt(std::int64_t tokens) { return sample(some_tokens(tokens), 0); }

ProbeSize probe_size(bool small) {
  const HostInfo host = host_info();
  const double cache = host.l3 ? host.l3->value() : 32 * kMiB;
  const double available = host.memory_available ? host.memory_available->value() : 4 * kGiB;
  ProbeSize size;
  size.head_bytes = std::clamp(4.5 * cache, 24 * kMiB, std::max(24 * kMiB, available / 12));
  size.expert_bytes = std::clamp(cache, 32 * kMiB, std::max(32 * kMiB, available / 12));
  if (small) size = {24 * kMiB, 24 * kMiB};
  return size;
}

ModelSpec wide_spec(Format format, const ProbeSize& size) {
  const Architecture* a = find_architecture("glm4moe");
  BANDWALL_CHECK(a != nullptr);
  Hyper h;
  h.layers = 3;
  h.dense_layers = 1;
  // Rows as long as those of models of 7 to 14 billion parameters, and of experts.
  // Plain formats take the room of several others and are read for routers: half of all.
  const bool plain = !info(format).quantized;
  const double share = plain ? 0.5 : 1;
  h.hidden = plain ? 2048 : 4096;
  h.context_train = kContext;
  h.heads = 32;
  h.kv_heads = 8;
  h.head_dim_k = h.head_dim_v = h.rope_dims = 128;
  h.ffn = plain ? 4096 : 14336;
  h.expert_ffn = h.shared_ffn = 1024;
  const double expert = 3.0 * static_cast<double>(row_bytes(format, h.hidden) * h.expert_ffn);
  h.experts = std::clamp<std::int64_t>(
                  static_cast<std::int64_t>(share * size.expert_bytes / expert), 8, 64) /
              8 * 8;
  h.experts_used = std::max<std::int64_t>(2, h.experts / 8);
  h.vocab = vocab_of(share * size.head_bytes, h.hidden, format);
  set_facts(*a, h);
  return uniform_spec("glm4moe", h, format);
}

ModelSpec attention_spec(const HeadShape& shape, const ProbeSize& size) {
  const Architecture* a = find_architecture("llama");
  BANDWALL_CHECK(a != nullptr);
  Hyper h;
  h.layers = 1;
  h.hidden = h.ffn = 1024;
  h.context_train = kContext;
  h.heads = shape.heads;
  h.kv_heads = shape.kv_heads;
  h.head_dim_k = h.head_dim_v = h.rope_dims = shape.dim;
  h.vocab = vocab_of(0.3 * size.head_bytes, h.hidden, Format::Q8_0);
  set_facts(*a, h);
  return uniform_spec("llama", h, Format::Q8_0);
}

}  // namespace bandwall
