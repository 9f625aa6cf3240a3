#include "runtime/engine.h"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/blocks.h"
#include "runtime/host.h"
#include "runtime/mapped_file.h"

namespace bandwall {
namespace {

EngineOptions resolve(const LoadedModel& model, EngineOptions o) {
  constexpr std::int64_t kMostContext = std::int64_t{1} << 31, kMostThreads = 4096;
  const auto bad = [](const char* field, std::int64_t value, std::int64_t most) {
    throw Error::input(field,
                       fmt::format("{} is outside 1..{}; give a number inside it", value, most));
  };
  if (o.context < 1 || o.context > kMostContext) bad("context", o.context, kMostContext);
  if (o.n_ubatch < 1 || o.n_ubatch > kMostContext) bad("ubatch", o.n_ubatch, kMostContext);
  if (o.threads < 0 || o.threads > kMostThreads) bad("threads", o.threads, kMostThreads);
  if (o.threads == 0) o.threads = default_threads();
  o.n_ubatch = std::min(o.n_ubatch, o.context);
  if (o.k == nullptr) o.k = kv_format_from_name("f16");
  if (o.v == nullptr) o.v = kv_format_from_name("f16");
  if (o.table == nullptr) {
    o.table = o.kernels == KernelMode::Reference ? &reference_kernels() : &best_kernels();
  }
  return o;
}

// Weights stay in the file and come and go with the page cache; cache and buffers must fit.
const EngineOptions& require_memory(const Hyper& h, const EngineOptions& o) {
  const auto size_at = [&](std::int64_t context) {
    return kv_cache_size(h, *o.k, *o.v, {context, std::min(o.n_ubatch, context)});
  };
  const double cache = size_at(o.context);
  const double buffers = Scratch::size(h, o.n_ubatch) + 4.0 * static_cast<double>(h.state_values());
  const std::optional<Bytes> available = host_info().memory_available;
  const double limit = available ? available->value() : 1e15;
  if (cache + buffers <= limit) return o;
  std::int64_t fits = 0;  // in steps of 256: the largest context whose cache fits
  for (std::int64_t step = std::int64_t{1} << 31; step >= 256; step /= 2) {
    if (size_at(fits + step) + buffers <= limit) fits += step;
  }
  throw Error::input("context",
                     fmt::format("{} positions need {} for the KV cache and {} for buffers, {} is "
                                 "available; about {} positions fit",
                                 o.context, gb_and_gib(Bytes(cache)), gb_and_gib(Bytes(buffers)),
                                 gb_and_gib(Bytes(limit)), fits));
}

}  // namespace

struct Engine::Impl {
  Impl(const LoadedModel& m, EngineOptions o)
      : spec(m.spec()),
        options(require_memory(m.spec().hyper, o)),
        weights(resolve_weights(m)),
        pool(o.threads, o.pin_threads ? Pinning::On : Pinning::Off),
        cache(m.spec().hyper, *o.k, *o.v, {o.context, o.n_ubatch}),
        states(m.spec().hyper, 1),
        rope(m.spec().hyper, weights.rope_factors.data),
        sliding(sliding_rope(m.spec().hyper), weights.rope_factors.data),
        scratch(m.spec().hyper, o.n_ubatch) {
    if (o.prefault == Prefault::Auto) mappings = m.mappings();
  }

  const ModelSpec& spec;
  EngineOptions options;
  ModelWeights weights;
  ThreadPool pool;
  WorkQueue queue;
  KvCache cache;
  StateCache states;
  bool cut_short = false;  // a step ended early: recurrent layers have seen some of it
  Rope rope, sliding;      // of layers that see all, and of those that slide
  Scratch scratch;
  StepMeter meter;
  std::int64_t position = 0;
  std::int64_t written = 0;  // cells were written up to here since the last reset
  std::vector<float> logits;
  const std::atomic<bool>* interrupt = nullptr;
  std::vector<std::span<const std::byte>> mappings;  // not yet in memory

  void check_interrupt() const {
    if (interrupt != nullptr && interrupt->load(std::memory_order_relaxed)) throw Interrupted{};
  }
  void prefault();
  void check_tokens(std::span<const std::int32_t> tokens) const;
  void check_logits(const float* row, std::int64_t rows, std::int64_t first) const;
  void step(std::span<const std::int32_t> tokens, std::int64_t rows, float* out, Meter* to);
  void record_experts(std::int64_t layer, std::int64_t n, Meter& to) const;
};

void Engine::Impl::prefault() {
  if (mappings.empty()) return;
  // A file that does not fit would push its own pages out again.
  const std::optional<Bytes> available = host_info().memory_available;
  constexpr double kShare = 0.9;
  if (available && static_cast<double>(spec.file_bytes) < available->value() * kShare) {
    constexpr std::size_t kPiece = std::size_t{64} << 20;
    for (const std::span<const std::byte> map : mappings) {
      for (std::size_t at = 0; at < map.size(); at += kPiece) {
        check_interrupt();
        populate(map.subspan(at, std::min(kPiece, map.size() - at)));
      }
    }
  }
  mappings.clear();
}

void Engine::Impl::check_tokens(std::span<const std::int32_t> tokens) const {
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count > options.context - position) {
    throw Error::input("context", fmt::format("{} tokens after {} do not fit into a context of {}; "
                                              "give a larger context (-c) or a shorter prompt",
                                              count, position, options.context));
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= spec.hyper.vocab) {
      throw Error::input("tokens", fmt::format("token {} is {}, the vocabulary has ids 0..{}", i,
                                               tokens[i], spec.hyper.vocab - 1));
    }
  }
}

void Engine::Impl::check_logits(const float* row, std::int64_t rows, std::int64_t first) const {
  const std::int64_t vocab = spec.hyper.vocab;
  for (std::int64_t i = 0; i < rows * vocab; ++i) {
    if (std::isfinite(row[i])) continue;
    throw Error::running(
        spec.name, fmt::format("the logit of token {} at position {} is {}; the file is damaged "
                               "or needs more range than its format has",
                               i % vocab, first + i / vocab, row[i]));
  }
}

void Engine::Impl::record_experts(std::int64_t layer, std::int64_t n, Meter& to) const {
  const std::int64_t used = spec.hyper.experts_used;
  auto& positions = to.experts[static_cast<std::size_t>(layer)];
  const std::int32_t* ids = scratch.choice.ids.data();
  for (std::int64_t i = 0; i < n; ++i) positions.emplace_back(ids + i * used, ids + (i + 1) * used);
}

void Engine::Impl::step(std::span<const std::int32_t> tokens, std::int64_t rows, float* out,
                        Meter* to) {
  const Hyper& h = spec.hyper;
  const auto n = static_cast<std::int64_t>(tokens.size());
  written = std::max(written, position + n);
  meter.begin();
  cut_short = true;
  Pass p{h, weights, *options.table, pool, queue, cache, states, rope, scratch, meter, n, position};
  Routing routing;
  routing.distinct_experts.assign(static_cast<std::size_t>(h.layers), 0.0);
  if (to != nullptr && to->record_experts) to->experts.resize(static_cast<std::size_t>(h.layers));
  for (std::int64_t i = 0; i < n; ++i) {
    rope.angles(position + i, scratch.angles.get() + i * h.rope_dims);
    if (h.rope_base_sliding <= 0) continue;
    sliding.angles(position + i, scratch.sliding_angles.get() + i * h.rope_dims);
  }
  meter.mark();
  embed(p, tokens.data());
  for (std::int64_t l = 0; l < h.layers; ++l) {
    check_interrupt();
    if (h.attends(l) && h.kv_rank > 0) attend_latent(p, l);
    if (h.attends(l) && h.kv_rank == 0) attend(p, l);
    if (h.recurs(l)) recur(p, l);
    if (h.is_dense_layer(l)) feed_forward(p, l);
    if (!h.is_moe_layer(l)) continue;
    route_to_experts(p, l);
    routing.distinct_experts[static_cast<std::size_t>(l)] =
        static_cast<double>(scratch.choice.active.size());
    if (to != nullptr && to->record_experts) record_experts(l, n, *to);
  }
  if (rows > 0) {
    head(p, rows, out);
    check_logits(out, rows, position + n - rows);
  }
  meter.end(n);
  if (to != nullptr) {
    to->ledger += meter.ledger();
    to->steps.push_back({Step{1, n, position, rows}, std::move(routing), meter.ledger().wall});
  }
  position += n;
  cut_short = false;
}

Engine::Engine(const LoadedModel& model, EngineOptions options) {
  model.require_kernels();
  impl_ = std::make_unique<Impl>(model, resolve(model, options));
}
Engine::~Engine() = default;

std::span<const float> Engine::evaluate(std::span<const std::int32_t> tokens, Outputs outputs,
                                        Meter* meter) {
  Impl& m = *impl_;
  m.check_tokens(tokens);
  if (m.cut_short && !m.states.empty()) {
    throw Error::input(m.spec.name,
                       "the last step ended early and left the recurrent state of some "
                       "layers ahead of others; begin again from position 0");
  }
  m.prefault();
  const auto count = static_cast<std::int64_t>(tokens.size());
  const std::int64_t wanted = outputs == Outputs::All    ? count
                              : outputs == Outputs::Last ? std::min<std::int64_t>(1, count)
                                                         : 0;
  m.logits.resize(static_cast<std::size_t>(wanted * m.spec.hyper.vocab));
  float* out = m.logits.data();
  std::int64_t done = 0;
  for (const Step& s : prefill_steps(count, m.position, m.options.n_ubatch, wanted)) {
    m.check_interrupt();
    m.step(tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(s.tokens())),
           s.output_rows, out, meter);
    done += s.tokens();
    out += s.output_rows * m.spec.hyper.vocab;
  }
  return m.logits;
}

void Engine::reset() {
  impl_->position = impl_->written = 0;
  impl_->cut_short = false;
  impl_->states.clear(0);
}

void Engine::rewind(std::int64_t position) {
  BANDWALL_CHECK(position >= 0 && position <= impl_->position);
  if (position == 0) return reset();
  if (position < impl_->position && !impl_->states.empty()) {
    throw Error::input("position",
                       fmt::format("{} of {} positions cannot be kept: recurrent layers hold all "
                                   "that they saw in one state; begin again from position 0",
                                   position, impl_->position));
  }
  if (!impl_->cache.can_continue(position, impl_->written)) {
    throw Error::input(
        "position",
        fmt::format("cannot go back to {} of {}: layers with a window of {} have dropped cells "
                    "that it sees; reset and evaluate the first {} again",
                    position, impl_->position, impl_->spec.hyper.window, position));
  }
  impl_->position = position;
}

std::int64_t Engine::position() const { return impl_->position; }
const EngineOptions& Engine::options() const { return impl_->options; }
Bytes Engine::kv_bytes() const { return bytes(impl_->cache.bytes()); }
void Engine::set_interrupt(const std::atomic<bool>* flag) { impl_->interrupt = flag; }

}  // namespace bandwall
