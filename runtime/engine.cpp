#include "runtime/engine.h"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "hwmodel/error.h"
#include "runtime/bad_numbers.h"
#include "runtime/blocks.h"
#include "runtime/host.h"
#include "runtime/mapped_file.h"

namespace bandwall {
namespace {

EngineOptions resolve(const LoadedModel& model, EngineOptions o) {
  constexpr std::int64_t kMostContext = std::int64_t{1} << 31, kMostThreads = 4096;
  constexpr std::int64_t kMostSequences = 4096;
  const auto bad = [](const char* field, std::int64_t value, std::int64_t most) {
    throw Error::input(field,
                       fmt::format("{} is outside 1..{}; give a number inside it", value, most));
  };
  if (o.context < 1 || o.context > kMostContext) bad("context", o.context, kMostContext);
  if (o.n_ubatch < 1 || o.n_ubatch > kMostContext) bad("ubatch", o.n_ubatch, kMostContext);
  if (o.threads < 0 || o.threads > kMostThreads) bad("threads", o.threads, kMostThreads);
  if (o.threads == 0) o.threads = default_threads();
  if (o.sequences < 1 || o.sequences > kMostSequences) {
    bad("sequences", o.sequences, kMostSequences);
  }
  o.n_ubatch = std::min(o.n_ubatch, o.context);
  if (o.k == nullptr) o.k = kv_format_from_name("f16");
  if (o.v == nullptr) o.v = kv_format_from_name("f16");
  require_kv_formats(model.spec().hyper, *o.k, *o.v);
  if (o.table == nullptr) {
    o.table = o.kernels == KernelMode::Reference ? &reference_kernels() : &best_kernels();
  }
  return o;
}

// Rows of activations in one step.
std::int64_t most_rows(const EngineOptions& o) { return std::max(o.n_ubatch, o.sequences); }

// Weights stay in the file and come and go with the page cache; cache and buffers must fit.
const EngineOptions& require_memory(const Hyper& h, const EngineOptions& o) {
  const auto size_at = [&](std::int64_t context) {
    return kv_cache_size(h, *o.k, *o.v, {context, std::min(o.n_ubatch, context), o.sequences});
  };
  const double cache = size_at(o.context);
  const double buffers =
      Scratch::size(h, most_rows(o)) + 4.0 * static_cast<double>(h.state_values() * o.sequences);
  const std::optional<Bytes> available = host_info().memory_available;
  const double limit = available ? available->value() : 1e15;
  if (cache + buffers <= limit) return o;
  if (buffers > limit) {
    throw Error::input(
        "ubatch", fmt::format("steps of {} rows need {} for buffers, {} is available; use a "
                              "smaller micro-batch (-ub) or fewer sequences",
                              most_rows(o), gb_and_gib(Bytes(buffers)), gb_and_gib(Bytes(limit))));
  }
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
      : model(m),
        spec(m.spec()),
        options(require_memory(m.spec().hyper, o)),
        weights(resolve_weights(m)),
        pool(o.threads, o.pin_threads ? Pinning::On : Pinning::Off),
        cache(m.spec().hyper, *o.k, *o.v, {o.context, o.n_ubatch, o.sequences, o.rotate_kv}),
        states(m.spec().hyper, o.sequences),
        rope(m.spec().hyper, weights.rope_factors.data),
        sliding(sliding_rope(m.spec().hyper), weights.rope_factors.data),
        scratch(m.spec().hyper, most_rows(o)),
        sequences(static_cast<std::size_t>(o.sequences)) {
    if (o.prefault == Prefault::Auto) mappings = m.mappings();
  }

  const LoadedModel& model;
  const ModelSpec& spec;
  EngineOptions options;
  ModelWeights weights;
  ThreadPool pool;
  WorkQueue queue;
  KvCache cache;
  StateCache states;
  Rope rope, sliding;  // of layers that see all, and of those that slide
  Scratch scratch;
  StepMeter meter;
  struct SequenceState {
    std::int64_t position = 0;
    std::int64_t written = 0;  // cells were written up to here since it was cleared
    bool cut_short = false;    // a step ended early: recurrent layers have seen some of it
  };
  std::vector<SequenceState> sequences;
  std::vector<float> logits;
  const std::atomic<bool>* interrupt = nullptr;
  std::vector<std::span<const std::byte>> mappings;  // not yet in memory
  bool prepared = false;

  void check_interrupt() const {
    if (interrupt != nullptr && interrupt->load(std::memory_order_relaxed)) throw Interrupted{};
  }
  void prefault();
  SequenceState& state(std::int64_t sequence);
  void clear(std::int64_t sequence);
  void check_whole(std::int64_t sequence);
  void check_room(std::int64_t count, std::int64_t sequence);
  void check_token(std::int32_t token, std::size_t index) const;
  void prepare();
  Pass pass(StepMeter& to, std::int64_t n, std::int64_t per_sequence) {
    return {spec.hyper, weights, *options.table, pool, queue, cache,
            states,     rope,    scratch,        to,   n,     per_sequence};
  }
  template <class After>
  void run_ops(Pass& p, std::span<const std::int32_t> tokens, std::int64_t rows, float* out,
               After&& after_layer);
  [[noreturn]] void find_bad_numbers(std::span<const std::int32_t> tokens, const Step& shape,
                                     float* out);
  void place(std::int64_t row, std::int64_t sequence, std::int64_t position);
  void step(std::span<const std::int32_t> tokens, Step shape, float* out, Meter* to);
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

// Before the first step.
void Engine::Impl::prepare() {
  prefault();
  if (!prepared) check_vectors(model);
  prepared = true;
}

Engine::Impl::SequenceState& Engine::Impl::state(std::int64_t sequence) {
  if (sequence < 0 || sequence >= options.sequences) {
    throw Error::input("sequence", fmt::format("{} is outside 0..{}; ask for more sequences",
                                               sequence, options.sequences - 1));
  }
  return sequences[static_cast<std::size_t>(sequence)];
}

void Engine::Impl::clear(std::int64_t sequence) {
  state(sequence) = {};
  states.clear(sequence);
}

void Engine::Impl::check_whole(std::int64_t sequence) {
  if (!state(sequence).cut_short || states.empty()) return;
  throw Error::input(
      spec.name,
      fmt::format("the last step of sequence {} ended early and left the recurrent state "
                  "of some layers ahead of others; rewind it to 0 or reset the engine "
                  "and begin again from position 0",
                  sequence));
}

void Engine::Impl::check_room(std::int64_t count, std::int64_t sequence) {
  const std::int64_t position = state(sequence).position;
  if (count > options.context - position) {
    throw Error::input("context", fmt::format("{} tokens after {} do not fit into a context of {}; "
                                              "give a larger context (-c) or a shorter prompt",
                                              count, position, options.context));
  }
}

void Engine::Impl::check_token(std::int32_t token, std::size_t index) const {
  if (token >= 0 && token < spec.hyper.vocab) return;
  throw Error::input("tokens", fmt::format("token {} is {}, the vocabulary has ids 0..{}", index,
                                           token, spec.hyper.vocab - 1));
}

// Says where a row of the next step belongs; rows of a sequence follow each other.
void Engine::Impl::place(std::int64_t row, std::int64_t sequence, std::int64_t position) {
  const Hyper& h = spec.hyper;
  scratch.sequences[static_cast<std::size_t>(row)] = sequence;
  scratch.positions[static_cast<std::size_t>(row)] = position;
  SequenceState& s = state(sequence);
  s.written = std::max(s.written, position + 1);
  rope.angles(position, scratch.angles.get() + row * h.rope_dims);
  if (h.rope_base_sliding <= 0) return;
  sliding.angles(position, scratch.sliding_angles.get() + row * h.rope_dims);
}

void Engine::Impl::record_experts(std::int64_t layer, std::int64_t n, Meter& to) const {
  const std::int64_t used = spec.hyper.experts_used;
  auto& positions = to.experts[static_cast<std::size_t>(layer)];
  const std::int32_t* ids = scratch.choice.ids.data();
  for (std::int64_t i = 0; i < n; ++i) positions.emplace_back(ids + i * used, ids + (i + 1) * used);
}

// The ops of a step in order; after_layer(l) when a layer is done.
template <class After>
void Engine::Impl::run_ops(Pass& p, std::span<const std::int32_t> tokens, std::int64_t rows,
                           float* out, After&& after_layer) {
  const Hyper& h = spec.hyper;
  embed(p, tokens.data());
  for (std::int64_t l = 0; l < h.layers; ++l) {
    check_interrupt();
    p.kept = l + 1 < h.layers ? p.n : rows;
    if (h.attends(l) && h.kv_rank > 0) attend_latent(p, l);
    if (h.attends(l) && h.kv_rank == 0) attend(p, l);
    if (h.recurs(l)) recur(p, l);
    keep_rows(p);  // of a layer that mixes no positions
    if (h.is_dense_layer(l) && p.n > 0) feed_forward(p, l);
    if (h.is_moe_layer(l) && p.n > 0) route_to_experts(p, l);
    after_layer(l);
  }
  if (rows > 0) head(p, rows, out);
}

// The step once more, with a look at what every op gives.
void Engine::Impl::find_bad_numbers(std::span<const std::int32_t> tokens, const Step& shape,
                                    float* out) {
  StepMeter watching;
  watching.begin();
  Pass p = pass(watching, static_cast<std::int64_t>(tokens.size()), shape.tokens_per_sequence);
  watching.on_close = [&](OpKind kind, std::int64_t layer) {
    if (const auto what = bad_output(p, kind, shape.output_rows, out)) {
      throw_bad_numbers(model, kind, layer, tokens, *what);
    }
  };
  scratch.suspect.store(false);
  run_ops(p, tokens, shape.output_rows, out, [](std::int64_t) {});
  throw Error::running(spec.name,
                       "a step gave NaN or infinity once and not when it was repeated; "
                       "the memory of this machine may be faulty");
}

// The rows of tokens lie where shape says: `tokens_per_sequence` each of `sequences`.
void Engine::Impl::step(std::span<const std::int32_t> tokens, Step shape, float* out, Meter* to) {
  const Hyper& h = spec.hyper;
  const auto n = static_cast<std::int64_t>(tokens.size());
  for (std::int64_t i = 0; i < n; ++i) {
    state(scratch.sequences[static_cast<std::size_t>(i)]).cut_short = true;
  }
  Pass p = pass(meter, n, shape.tokens_per_sequence);
  scratch.suspect.store(false);
  Routing routing;
  routing.distinct_experts.assign(static_cast<std::size_t>(h.layers), 0.0);
  if (to != nullptr && to->record_experts) to->experts.resize(static_cast<std::size_t>(h.layers));
  meter.mark();
  run_ops(p, tokens, shape.output_rows, out, [&](std::int64_t l) {
    if (!layer_is_finite(p)) find_bad_numbers(tokens, shape, out);
    meter.mark();  // the look at the numbers is no op's
    if (!h.is_moe_layer(l) || p.n == 0) return;
    routing.distinct_experts[static_cast<std::size_t>(l)] =
        static_cast<double>(scratch.choice.active.size());
    if (to != nullptr && to->record_experts) record_experts(l, p.n, *to);
  });
  if (scratch.suspect.load()) find_bad_numbers(tokens, shape, out);
  meter.end(n);
  if (to != nullptr) {
    to->ledger += meter.ledger();
    to->steps.push_back({std::move(shape), std::move(routing), meter.ledger().wall});
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    SequenceState& s = state(scratch.sequences[i]);
    s.position = scratch.positions[i] + 1;
    s.cut_short = false;
  }
}

Engine::Engine(const LoadedModel& model, EngineOptions options) {
  model.require_kernels();
  impl_ = std::make_unique<Impl>(model, resolve(model, options));
}
Engine::~Engine() = default;

std::span<const float> Engine::evaluate(std::span<const std::int32_t> tokens, Outputs outputs,
                                        Meter* meter, std::int64_t sequence) {
  Impl& m = *impl_;
  m.check_whole(sequence);
  const auto count = static_cast<std::int64_t>(tokens.size());
  m.check_room(count, sequence);
  for (std::size_t i = 0; i < tokens.size(); ++i) m.check_token(tokens[i], i);
  m.prepare();
  const std::int64_t wanted = outputs == Outputs::All    ? count
                              : outputs == Outputs::Last ? std::min<std::int64_t>(1, count)
                                                         : 0;
  m.logits.resize(static_cast<std::size_t>(wanted * m.spec.hyper.vocab));
  float* out = m.logits.data();
  std::int64_t done = 0;
  const std::int64_t past = m.state(sequence).position;
  for (const Step& s : prefill_steps(count, past, m.options.n_ubatch, wanted)) {
    m.check_interrupt();
    m.meter.begin();
    for (std::int64_t i = 0; i < s.tokens(); ++i) m.place(i, sequence, s.past + i);
    m.step(tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(s.tokens())), s,
           out, meter);
    done += s.tokens();
    out += s.output_rows * m.spec.hyper.vocab;
  }
  return m.logits;
}

std::span<const float> Engine::evaluate_step(std::span<const SequenceToken> tokens, Meter* meter) {
  Impl& m = *impl_;
  const auto count = static_cast<std::int64_t>(tokens.size());
  std::vector<bool> named(m.sequences.size(), false);
  std::vector<std::int32_t> ids;
  Step shape{.sequences = count, .tokens_per_sequence = 1, .past = 0, .output_rows = count};
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    m.check_whole(tokens[i].sequence);
    m.check_room(1, tokens[i].sequence);
    m.check_token(tokens[i].token, i);
    const auto at = static_cast<std::size_t>(tokens[i].sequence);
    if (named[at]) {
      throw Error::input("sequence",
                         fmt::format("{} is named twice; a step takes one token of each", at));
    }
    named[at] = true;
    ids.push_back(tokens[i].token);
    shape.pasts.push_back(m.sequences[at].position);
    shape.past = std::max(shape.past, m.sequences[at].position);
  }
  m.logits.resize(static_cast<std::size_t>(count * m.spec.hyper.vocab));
  if (count == 0) return m.logits;
  m.prepare();
  m.check_interrupt();
  m.meter.begin();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    m.place(i, tokens[at].sequence, shape.pasts[at]);
  }
  m.step(ids, std::move(shape), m.logits.data(), meter);
  return m.logits;
}

void Engine::reset() {
  for (std::int64_t i = 0; i < impl_->options.sequences; ++i) impl_->clear(i);
}

void Engine::rewind(std::int64_t position, std::int64_t sequence) {
  Impl::SequenceState& s = impl_->state(sequence);
  BANDWALL_CHECK(position >= 0 && position <= s.position);
  if (position == 0) return impl_->clear(sequence);
  impl_->check_whole(sequence);
  if (position < s.position && !impl_->states.empty()) {
    throw Error::input("position",
                       fmt::format("{} of {} positions cannot be kept: recurrent layers hold all "
                                   "that they saw in one state; begin again from position 0",
                                   position, s.position));
  }
  if (!impl_->cache.can_continue(position, s.written)) {
    throw Error::input(
        "position",
        fmt::format("cannot go back to {} of {}: layers with a window of {} have dropped cells "
                    "that it sees; reset and evaluate the first {} again",
                    position, s.position, impl_->spec.hyper.window, position));
  }
  s.position = position;
}

bool Engine::can_rewind(std::int64_t position, std::int64_t sequence) const {
  const Impl::SequenceState& s = impl_->state(sequence);
  if (position < 0 || position > s.position) return false;
  if (position == 0) return true;
  if (s.cut_short && !impl_->states.empty()) return false;
  if (position == s.position) return true;
  return impl_->states.empty() && impl_->cache.can_continue(position, s.written);
}

std::int64_t Engine::position(std::int64_t sequence) const {
  return impl_->state(sequence).position;
}
const EngineOptions& Engine::options() const { return impl_->options; }
Bytes Engine::kv_bytes() const { return bytes(impl_->cache.bytes()); }
void Engine::set_interrupt(const std::atomic<bool>* flag) { impl_->interrupt = flag; }

}  // namespace bandwall
